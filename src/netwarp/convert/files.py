"""The two files of a conversion: looked at before anything that takes long, without torch, and refused if too large."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from netwarp.convert.foreign import check_is_caffemodel
from netwarp.errors import OutputError, WeightsError
from netwarp.output_files import check_places

__all__ = ["checked_files", "memory_in_words"]

ENDING = ".safetensors"


def checked_files(source: str | Path, target: str | Path) -> tuple[Path, Path]:
    """See that one file can be a caffemodel, and that the other can be written."""
    source, target = Path(source).expanduser(), Path(target).expanduser()
    if target.suffix != ENDING:
        name = f"{target.stem or 'model'}{ENDING}"
        raise OutputError(f"{target} has another ending than that of what is written: name it {name}")
    check_places([source], file=target)
    check_is_caffemodel(source)
    return source, target


@contextlib.contextmanager
def memory_in_words(path: Path) -> Iterator[None]:
    """Say in a line, instead of failing, that a file's content does not fit into memory in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch makes a RuntimeError of it.
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise WeightsError(
            f"{path} does not fit into memory: converting takes several times a file's size, so close other programs, "
            "or convert it on a larger machine"
        ) from error
