"""Labels at the camera's rate: the engine, what it counts, and a page that shows it."""

from netwarp.live.engine import Live
from netwarp.live.follower import LiveFrame

__all__ = ["Live", "LiveFrame"]
