"""Metrics of label maps, in percent: a pure function each, and a class that accumulates over a data set."""

from netwarp.metrics.by_label import LabelConsistency, LabelIoU, WarpingError
from netwarp.metrics.instance import InstanceIoU, iiou_per_class, instance_counts
from netwarp.metrics.iou import IoU, confusion_matrix, iou_per_class, mean_iou
from netwarp.metrics.metric import Metric
from netwarp.metrics.temporal import TemporalConsistency, WarpedIoU, temporal_consistency
from netwarp.metrics.trimap import TrimapCurve, TrimapIoU, band_matrices, trimap, trimap_distance
from netwarp.metrics.video_consistency import VideoConsistency, VideoConsistencyCurve, video_consistency

__all__ = [
    "InstanceIoU",
    "IoU",
    "LabelConsistency",
    "LabelIoU",
    "Metric",
    "TemporalConsistency",
    "TrimapCurve",
    "TrimapIoU",
    "VideoConsistency",
    "VideoConsistencyCurve",
    "WarpedIoU",
    "WarpingError",
    "band_matrices",
    "confusion_matrix",
    "iiou_per_class",
    "instance_counts",
    "iou_per_class",
    "mean_iou",
    "temporal_consistency",
    "trimap",
    "trimap_distance",
    "video_consistency",
]
