"""Lab commands are tested like the others."""

from cli.conftest import _rendered_once, clips, fails, images, workplace

__all__ = ["_rendered_once", "clips", "fails", "images", "workplace"]
