"""Old module paths that the documentation named: they lead to the modules' new places."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NEW_PLACES = {
    "netwarp.data.check": "netwarp.datasets.check",
    "netwarp.data.datasets": "netwarp.datasets.registry",
    "netwarp.data.frames": "netwarp.video.open",
    "netwarp.data.streets": "netwarp.streets",
    "netwarp.data.video_frames": "netwarp.datasets.video_frames",
    "netwarp.data.video_writer": "netwarp.video.writer",
    "netwarp.engine.evaluate": "netwarp.evaluation.evaluate",
    "netwarp.engine.stream": "netwarp.inference.stream",
    "netwarp.engine.training": "netwarp.training",
    "netwarp.engine.training.fitting": "netwarp.training.loop",
}
PACKAGES = ("netwarp.data", "netwarp.engine")


class _OldPaths(MetaPathFinder, Loader):
    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in NEW_PLACES or name in PACKAGES:
            return ModuleSpec(name, self, is_package=name in PACKAGES)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an empty module: :meth:`exec_module` puts the moved one in its place."""

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in NEW_PLACES:
            sys.modules[module.__name__] = import_module(NEW_PLACES[module.__name__])


def lead_old_paths() -> None:
    """Make imports of the old paths find the new modules, one and the same object under both names."""
    sys.meta_path.append(_OldPaths())
