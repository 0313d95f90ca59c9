"""Pure functions on tensors: the warp, the sum that NetWarp makes of it, and reflection beyond the border."""

from netwarp.ops.reflect import reflect
from netwarp.ops.warp import Grid, resize_flow, sample, sample_confidence, sample_flow, warp, warp_combine

__all__ = ["Grid", "reflect", "resize_flow", "sample", "sample_confidence", "sample_flow", "warp", "warp_combine"]
