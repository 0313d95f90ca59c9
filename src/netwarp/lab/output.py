"""Matplotlib, asked for where something is drawn, and figures as PNG files that appear whole."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from netwarp.errors import MissingExtraError
from netwarp.output_files import written_whole

__all__ = ["new_figure", "save_figure", "write_text", "written"]


def written(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a file for writing; see :func:`netwarp.output_files.written_whole`."""
    return written_whole(path, "free space or choose another --out")


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8."""
    with written(path) as file:
        file.write(text.encode())


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401
    """An empty figure that belongs to no window."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report", "a figure") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:  # noqa: ANN401
    """Write a figure as PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    with written(path) as file:
        file.write(data.getvalue())
