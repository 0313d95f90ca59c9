"""Pure functions on tensors: the warp, and the sum that NetWarp makes of it."""

from netwarp.ops.warp import resize_flow, warp, warp_combine

__all__ = ["resize_flow", "warp", "warp_combine"]
