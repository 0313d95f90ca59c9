"""The kernel for a GPU, in Triton, which PyTorch's wheels bring along on Linux.

It is imported at the first warp on a GPU (:mod:`netwarp.ops.kernels`).
"""
