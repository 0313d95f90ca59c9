"""Tables in Markdown, and figures as PNG."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netwarp.errors import MissingExtraError, needs_extra
from netwarp.output_files import write_file

EMPTY = "–"
"""The cell of a value that does not apply."""


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in Markdown: names in the first column, on the left; numbers in the others, on the right.

    >>> print(markdown_table(("", "IoU"), [("NetWarp", "61.20")]))
    |  | IoU |
    |---|---:|
    | NetWarp | 61.20 |
    """
    first, *others = ["| " + " | ".join(line) + " |" for line in (head, *rows)]
    return "\n".join([first, "|---|" + "---:|" * (len(head) - 1), *others])


def number(value: float | None, digits: int, *, signed: bool = False) -> str:
    """Write a number for a table; :data:`EMPTY` for None and what is not finite.

    >>> number(1.234, 2), number(-0.5, 1, signed=True), number(None, 2), number(float("nan"), 2)
    ('1.23', '−0.5', '–', '–')
    """
    if value is None or not math.isfinite(value):
        return EMPTY
    rounded = round(value, digits) + 0.0  # no −0.00
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def need(module: str, library: str, extra: str, purpose: str) -> None:
    """Say before the work that the library which a module comes from is missing."""
    if importlib.util.find_spec(module) is None:
        raise MissingExtraError(library, extra, purpose)


def new_figure(width: float, height: float) -> Any:  # noqa: ANN401
    """An empty figure that belongs to no window."""
    with needs_extra("matplotlib", "report", "a figure"):
        from matplotlib.figure import Figure
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:  # noqa: ANN401
    """Write a figure as PNG."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_file(path, data.getvalue())
