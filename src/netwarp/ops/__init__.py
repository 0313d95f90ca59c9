"""Pure functions on tensors: the warp, the sum that NetWarp makes of it, a filter of labels, and reflection."""

from netwarp.ops.edges import Edges
from netwarp.ops.reflect import reflect
from netwarp.ops.warp import Grid, resize_flow, sample, sample_confidence, sample_flow, warp, warp_combine

__all__ = [
    "Edges",
    "Grid",
    "reflect",
    "resize_flow",
    "sample",
    "sample_confidence",
    "sample_flow",
    "warp",
    "warp_combine",
]
