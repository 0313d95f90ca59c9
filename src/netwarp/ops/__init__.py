"""Pure functions on tensors: the warp, the sum that NetWarp makes of it, and reflection beyond the border."""

from netwarp.ops.reflect import reflect, reflect_flow
from netwarp.ops.warp import resize_flow, warp, warp_combine

__all__ = ["reflect", "reflect_flow", "resize_flow", "warp", "warp_combine"]
