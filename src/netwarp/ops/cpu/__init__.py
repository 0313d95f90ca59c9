"""The kernel for the CPU: loops that numba compiles.

They are imported, and numba with them, at the first warp (:mod:`netwarp.ops.kernels`).
"""
