"""Go through the elements of a Matroska/WebM file: whether each may stand where it does, and ends where it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

EBML = b"\x1a\x45\xdf\xa3"
_HEAD, _SEGMENT, _CLUSTER, _TRACKS, _TRACK = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
_VOID, _CHECKSUM = 0xEC, 0xBF
_PARTS = frozenset(
    # SeekHead, Info, Cues, Chapters, Attachments, Tags, signature
    {_CLUSTER, _TRACKS, _VOID, _CHECKSUM, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1043A770, 0x1941A469, 0x1254C367,
     0x1B538667}
)  # fmt: skip
_BLOCK, _GROUP, _BLOCK_IN_GROUP = 0xA3, 0xA0, 0xA1
_NUMBER, _KIND, _CODEC = 0xD7, 0x83, 0x86
_IN_CLUSTER = {_BLOCK: 1 << 56, _GROUP: 1 << 56, _VOID: 1 << 56, 0x5854: 1 << 56, 0xAF: 1 << 56, _CHECKSUM: 4, 0xE7: 8,
               0xA7: 8, 0xAB: 8}  # fmt: skip
"""What a cluster may hold, and of at most how many bytes: blocks, what marks silence, times and places."""


@dataclass
class Elements:
    """What the elements of a file say.

    Attributes:
        end: Where the last ends; behind the file's end if that was cut.
        broken: Whether one may not stand where it does, or does not end with what holds it.
        blocks: How many blocks each track has.
        video: Numbers of the tracks of pictures, but for those that are coded as in an AVI.
    """

    end: int = 0
    broken: bool = False
    blocks: Counter[int] = field(default_factory=Counter)
    video: list[int] = field(default_factory=list)


def elements(file: BinaryIO, size: int) -> Elements:
    """Read the heads of all elements, of the first segment."""
    found, numbers = Elements(), set[int]()
    at, end = segment(file)
    limit = end or size
    holder: int | None = None  # where the cluster that holds what follows ends, if it says so
    inside = False
    found.end, found.broken = limit, not at
    while 0 < at < limit and not found.broken:
        inside &= at != holder
        if (head := _head(file, at)) is None:
            found.end, found.broken = (size + 1, False) if file.tell() >= size > at + 1 else (limit, True)
            break
        identifier, start, length = head
        inside &= identifier in _IN_CLUSTER or holder is not None
        at = start + (length or 0)
        if at > (limit if holder is None or not inside else holder):
            found.end, found.broken = at, end > 0 or holder is not None
            break
        if inside:
            found.broken = length is None or length > _IN_CLUSTER.get(identifier, -1)
            number = _block(file, start, at) if identifier == _GROUP else _track_of(file, identifier, start)
            if number is not None:
                found.blocks[number] += 1
                found.broken |= bool(numbers) and number not in numbers
        elif identifier == _CLUSTER:
            at, inside, holder = start, True, None if length is None else at
        elif identifier == _HEAD and not end:  # another file
            found.end = start
            break
        else:
            found.broken = length is None or identifier not in _PARTS
            if identifier == _TRACKS:
                for number, is_video in _tracks(file, start, at):
                    numbers.add(number)
                    found.video += [number] * is_video
    return found


def segment(file: BinaryIO) -> tuple[int, int]:
    """Find where the contents of the first segment begin and end; 0 where there is none, or it does not say its end."""
    at = 0
    while (head := _head(file, at)) is not None:
        identifier, start, length = head
        if identifier == _SEGMENT:
            return start, 0 if length is None else start + length
        if identifier not in {_HEAD, _VOID, _CHECKSUM} or length is None:
            break
        at = start + length
    return 0, 0


def _head(file: BinaryIO, at: int) -> tuple[int, int, int | None] | None:
    """Number, begin and length of the element at a place; None if there is none, a length that is not said is None."""
    file.seek(at)
    identifier, length = _integer(file, keep_marker=True), _integer(file, keep_marker=False)
    if identifier is None or length is None:
        return None
    return identifier, file.tell(), length if length >= 0 else None


def _children(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each element within another; begin and end are 0 where they do not fill it."""
    while at < end:
        head = _head(file, at)
        if head is None or head[2] is None or head[1] + head[2] > end:
            yield 0, 0, 0
            return
        at = head[1] + head[2]
        yield head[0], head[1], at


def _block(file: BinaryIO, start: int, end: int) -> int:
    """The track of the block in a group; -1 if it is broken."""
    number = -1
    for identifier, begin, _ in _children(file, start, end):
        if not begin:
            return -1
        if identifier == _BLOCK_IN_GROUP:
            file.seek(begin)
            number = _or(-1, _integer(file, keep_marker=False))
    return number


def _track_of(file: BinaryIO, identifier: int, start: int) -> int | None:
    if identifier != _BLOCK:
        return None
    file.seek(start)
    return _or(-1, _integer(file, keep_marker=False))


def _tracks(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bool]]:
    """The number of each track, and whether it holds pictures, each block one or more."""
    for identifier, begin, close in _children(file, start, end):
        said = {}
        for name, first, last in _children(file, begin, close) if identifier == _TRACK else ():
            if name in {_NUMBER, _KIND, _CODEC}:
                file.seek(first)
                said[name] = file.read(min(last - first, 64))
        if _NUMBER in said:
            video = said.get(_KIND, b"")[-1:] == b"\1" and not said.get(_CODEC, b"").startswith(b"V_MS")
            yield int.from_bytes(said[_NUMBER], "big"), video


def _or(default: int, value: int | None) -> int:
    return default if value is None else value


def _integer(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """Read EBML's variable-length integer: as many bytes as the first has leading zeros, and one; all ones: -1."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    extra = 8 - first[0].bit_length()
    rest = file.read(extra)
    if len(rest) < extra:
        return None
    value = int.from_bytes(first + rest, "big")
    if keep_marker:
        return value
    marker = 1 << (7 * (extra + 1))
    value ^= marker
    return -1 if value == marker - 1 else value
