"""The files of a conversion, checked before anything that takes long, without torch: is the source a caffemodel?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from netwarp.errors import OutputError, WeightsError, is_out_of_memory
from netwarp.input_files import expanded, is_text
from netwarp.output_places import check_places

ENDING = ".safetensors"

# Protobuf reads no message that is longer.
_LIMIT = 2**31 - 1
_SEEN = 4096

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (
        b"\x89HDF\r\n\x1a\n",
        "is an HDF5 snapshot (.caffemodel.h5): write it again in Caffe's binary form, with net.save(…) or "
        "snapshot_format: BINARYPROTO",
    ),
    (b"PK\x03\x04", "is a zip archive or a PyTorch checkpoint: give the .caffemodel, unpacked"),
    (b"\x1f\x8b", "is compressed (gzip): unpack it first"),
    *(
        (bytes((0x80, version)), "is a Python pickle, as PyTorch's old checkpoints are: give the .caffemodel")
        for version in range(2, 6)
    ),
    # A network begins with its name or a layer; these with a number.
    (b"\x08", "is a solver's state or a mean image (.solverstate, .binaryproto): give the .caffemodel"),
)
# How a NetParameter can begin: the tags of its fields 1–8 and 100, and those of no others.
_FIRST_TAGS = (b"\x0a", b"\x12", b"\x1a", b"\x20", b"\x22", b"\x28", b"\x32", b"\x38", b"\x42", b"\xa2\x06")


def checked_files(source: str | Path, target: str | Path) -> tuple[Path, Path]:
    """Refuse a source that is no caffemodel, and a target that cannot be written."""
    source, target = expanded(source), expanded(target)
    if target.suffix != ENDING:
        name = f"{target.stem or 'model'}{ENDING}"
        raise OutputError(f"{target} does not end with {ENDING}: name it {name}")
    check_places([source], files=[target])
    check_is_caffemodel(source)
    return source, target


@contextlib.contextmanager
def memory_in_words(path: Path) -> Iterator[None]:
    """Raise a one-line error if the block runs out of memory for a file."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise WeightsError(
            f"{path} does not fit into memory: converting takes several times a file's size, so close other programs, "
            "or convert it on a larger machine"
        ) from error


def check_is_caffemodel(path: Path) -> None:
    """Refuse a file whose size or first bytes are not a caffemodel's, and say what to give instead."""
    try:
        if path.is_dir():
            raise WeightsError(f"{path} is a folder: give the .caffemodel in it")
        if not path.exists():
            raise WeightsError(f"no caffemodel at {path}")
        if not path.is_file():
            raise WeightsError(f"{path} is a device or a pipe: give the .caffemodel as a file")
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(_SEEN)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    if not start:
        raise WeightsError(f"{path} is empty (0 bytes): download it again")
    for beginning, what in _BEGINNINGS:
        if start.startswith(beginning):
            raise WeightsError(f"{path} {what}")
    if start[8:10] == b'{"' and start[:8].endswith(b"\0\0"):
        raise WeightsError(f"{path} is a safetensors file: it needs no conversion, or give the .caffemodel")
    if is_text(start):
        raise WeightsError(f"{path} is {_kind_of_text(start)}")
    if size > _LIMIT:
        raise WeightsError(f"{path} is larger than 2 GB, which is more than protobuf, and so Caffe, can read")


def damaged(path: Path) -> WeightsError:
    """The error for a file that protobuf cannot read, for the caller to raise."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
        size = path.stat().st_size
    except OSError:
        start, size = b"", 0
    if start.startswith(_FIRST_TAGS):
        return WeightsError(f"{path} is cut off, damaged, or no caffemodel ({size:,} bytes): download or copy it again")
    return WeightsError(f"{path} is not a caffemodel: its content is something else")


def _kind_of_text(start: bytes) -> str:
    text = start.decode(errors="replace").lstrip().lower()
    if text.startswith("<"):
        return "a web page: the download went wrong, open its address in a browser"
    if "git-lfs" in text:
        return "a pointer of Git LFS, not the file itself: fetch it with git lfs pull"
    if any(f"{word}{mark}" in text for word in ("layer", "layers", "input_param") for mark in (" {", "{")) or (
        text.startswith(("name:", "input:"))
    ):
        return "a prototxt, the text that describes a network: its weights lie in the .caffemodel"
    return "no caffemodel: its content is text"
