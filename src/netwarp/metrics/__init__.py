"""Measures of labels against labels: a pure function first, a thin class that accumulates on top. In percent."""

from netwarp.metrics.iou import IoU, confusion_matrix, iou_per_class, mean_iou
from netwarp.metrics.temporal import TemporalConsistency, temporal_consistency
from netwarp.metrics.trimap import TrimapIoU, trimap

__all__ = [
    "IoU",
    "TemporalConsistency",
    "TrimapIoU",
    "confusion_matrix",
    "iou_per_class",
    "mean_iou",
    "temporal_consistency",
    "trimap",
]
