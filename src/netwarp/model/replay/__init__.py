"""What the frozen part of a network returned for a frame is returned again, instead of computed again."""

from __future__ import annotations

from netwarp.model.replay.replay import Replay

__all__ = ["Replay"]
