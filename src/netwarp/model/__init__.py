"""The video model: FlowCNN, NetWarp, and what puts them into a network."""

from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gate import PhotometricGate
from netwarp.model.learned_gate import LearnedGate
from netwarp.model.netwarp import NetWarp
from netwarp.model.preprocess import Preprocess
from netwarp.model.video import VideoModel, VideoState

__all__ = ["FlowCNN", "LearnedGate", "NetWarp", "PhotometricGate", "Preprocess", "VideoModel", "VideoState"]
