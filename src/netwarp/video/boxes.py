"""Go through the boxes of an MP4/MOV file: whether each lies within what holds it, and what fragments announce."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

_HOLDERS = frozenset({b"trak", b"mdia", b"minf", b"stbl", b"traf", b"mvex"})
_LARGEST = 1 << 28  # bytes of an index, beyond which it is not looked into


@dataclass
class Fragments:
    """What the boxes of a file say.

    Attributes:
        broken: Whether one does not end with what holds it, or belongs to no track.
        samples: How many samples of each track its fragments announce.
        video: Numbers of the tracks of pictures.
    """

    broken: bool = False
    samples: Counter[int] = field(default_factory=Counter)
    video: list[int] = field(default_factory=list)


def boxes(file: BinaryIO, size: int) -> list[tuple[bytes, int, int]]:
    """List type, begin and end of every top-level box, up to the first that does not lie within the file."""
    found: list[tuple[bytes, int, int]] = []
    start = 0
    while start + 8 <= size:
        file.seek(start)
        header = file.read(16)
        length, kind = int(struct.unpack(">I", header[:4])[0]), header[4:8]
        if not all(32 <= byte < 127 or byte == 0xA9 for byte in kind):
            break  # bytes behind the last box: padding or a trailer
        if length == 1 and len(header) == 16:
            length = int(struct.unpack(">Q", header[8:])[0])
        elif length == 0:
            length = size - start
        if length < 8:
            break
        found.append((kind, start, start + length))
        start += length
    return found


def fragments(file: BinaryIO, size: int) -> Fragments:
    """Look into the index and the heads of all fragments."""
    found, numbers = Fragments(), set[int]()
    outer = boxes(file, size)
    kinds = [kind for kind, *_ in outer if kind in {b"moof", b"mdat"}]
    if b"moof" in kinds:  # each has its data behind it, and nothing else follows
        heads = kinds[kinds.index(b"moof") :]
        found.broken = heads[::2] != [b"moof"] * (len(heads) // 2) or b"moof" in heads[1::2] or outer[-1][2] < size - 8
    for kind, start, end in outer:
        if kind not in {b"moov", b"moof"} or not 8 <= end - start <= _LARGEST or end > size:
            continue
        file.seek(start)
        number = 0
        for inner, body in _within(file.read(end - start), 8):
            if inner is None:
                found.broken = True
            elif inner == b"tkhd":
                number = _number(body, 20 if body[:1] == b"\1" else 12)
                numbers.add(number)
            elif inner == b"hdlr" and body[8:12] == b"vide":
                found.video.append(number)
            elif inner == b"tfhd":
                number = _number(body, 4)
                found.broken |= number not in numbers
            elif inner == b"trun":
                found.samples[number] += _number(body, 4)
                found.broken |= not number
    return found


def _within(data: bytes, at: int) -> Iterator[tuple[bytes | None, bytes]]:
    """Type and contents of the boxes in one, and in those; None for one that does not end with what holds it."""
    while len(data) - at >= 8:
        length, kind = _number(data, at), data[at + 4 : at + 8]
        end = at + length if length else len(data)
        if end > len(data) or end - at < 8:
            break
        if kind in _HOLDERS:
            yield from _within(data[at:end], 8)
        else:
            yield kind, data[at + 8 : end]
        at = end
    if any(data[at:]):
        yield None, b""


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
