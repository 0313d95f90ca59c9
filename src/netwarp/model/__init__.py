"""The video model: FlowCNN and NetWarp, and the network unrolled in time around them."""

from netwarp.model.flow_cnn import FlowCNN
from netwarp.model.gates import LearnedGate, PhotometricGate
from netwarp.model.inputs import Preprocess
from netwarp.model.netwarp import NetWarp
from netwarp.model.video_model import VideoModel
from netwarp.model.video_state import VideoState

__all__ = ["FlowCNN", "LearnedGate", "NetWarp", "PhotometricGate", "Preprocess", "VideoModel", "VideoState"]
