"""netwarp: any segmentation network on video.

Optical flow carries the previous frame's representation to the current frame, a tiny network corrects the flow, and
a learned weight per channel sums the two (Gadde, Jampani, Gehler: Semantic Video CNNs through Representation Warping,
ICCV 2017).

Names are imported when they are first used, so that ``import netwarp`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from netwarp._moved import lead_old_paths
from netwarp._version import __version__ as __version__

if TYPE_CHECKING:
    from netwarp.bases import load_base
    from netwarp.bases.load_model import load
    from netwarp.errors import NetWarpError
    from netwarp.inference.sliding import Sliding
    from netwarp.inference.sliding_state import SlidingState
    from netwarp.inference.stream import segment
    from netwarp.live import Live
    from netwarp.model import FlowCNN, LearnedGate, NetWarp, PhotometricGate, Preprocess, VideoModel, VideoState
    from netwarp.ops import resize_flow, warp, warp_combine

_HOMES = {
    "FlowCNN": "netwarp.model",
    "LearnedGate": "netwarp.model",
    "Live": "netwarp.live",
    "NetWarp": "netwarp.model",
    "NetWarpError": "netwarp.errors",
    "PhotometricGate": "netwarp.model",
    "Preprocess": "netwarp.model",
    "Sliding": "netwarp.inference.sliding",
    "SlidingState": "netwarp.inference.sliding_state",
    "VideoModel": "netwarp.model",
    "VideoState": "netwarp.model",
    "load": "netwarp.bases.load_model",
    "load_base": "netwarp.bases",
    "resize_flow": "netwarp.ops",
    "segment": "netwarp.inference.stream",
    "warp": "netwarp.ops",
    "warp_combine": "netwarp.ops",
}

__all__ = [  # noqa: RUF022 - grouped as in the documentation
    "NetWarpError",
    "warp",
    "warp_combine",
    "resize_flow",
    "FlowCNN",
    "NetWarp",
    "PhotometricGate",
    "LearnedGate",
    "Preprocess",
    "VideoModel",
    "VideoState",
    "load_base",
    "load",
    "segment",
    "Live",
    "Sliding",
    "SlidingState",
]


lead_old_paths()


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module 'netwarp' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
