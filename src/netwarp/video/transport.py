"""Read the packets of an MPEG transport stream: whether any is missing or broken, and when its pictures are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_Bytes = npt.NDArray[np.uint8]
_SIZES = (188, 192, 204)
_LOOKED_AT = 64  # packets by whose sync bytes a stream is known
_START = b"\0\0\1"
_STUFFING = 0x1FFF  # the part that fills a stream up
_HEAD = 14  # bytes of a packet of pictures or sound (PES) before its data, up to its first time
_LENGTHS = np.array([1, 2, 1, 1, 3, 6, 5, 5])  # of what each of its flags announces
_PADDED = 32  # bytes at most behind that


def packets_from(file: BinaryIO) -> tuple[int, int] | None:
    """Bytes of a packet, and where the first of three whole ones begins, if this is a transport stream."""
    file.seek(0)
    head = np.frombuffer(file.read(_LOOKED_AT * max(_SIZES)), np.uint8) == 0x47
    begins: list[tuple[int, int]] = []
    for size in _SIZES:
        count = min(3, len(head) // size)
        if count > 1:
            room = len(head) - (count - 1) * size
            runs = np.logical_and.reduce([head[k * size : k * size + room] for k in range(count)])
            first = 4 if size == 192 else 0
            begins += [(int(begin), size) for begin in np.flatnonzero(runs[first:])[:1]]
    return min(begins)[::-1] if begins else None


def _packets(path: Path) -> Iterator[_Bytes]:
    """Read many of a stream's packets at a time, ``[N,188]``."""
    with path.open("rb") as file:
        if (found := packets_from(file)) is None:
            return
        size, begin = found
        first = 4 if size == 192 else 0
        file.seek(begin)
        while len(content := file.read(size << 18)) >= size:
            packets = np.frombuffer(content[: len(content) // size * size], np.uint8).reshape(-1, size)
            yield packets[:, first : first + 188]


def is_continuous(path: Path) -> bool:
    """Whether every packet of a transport stream begins as one, and none of pictures or sound is missing as they count.

    Where most of a part's packets of these (PES) begin in the same way, all must. And pictures do not stand in a part
    of hardly any packet: its number is wrong.
    """
    with path.open("rb") as file:
        if (found := packets_from(file)) and found[1] >= found[0]:
            return False
    last: dict[int, int] = {}
    counts: Counter[int] = Counter()
    torn: set[int] = set()
    begun: dict[int, Counter[bytes]] = {}
    for packets in _packets(path):
        heads = packets[:, :6].astype(np.int64)
        extended = heads[:, 3] & 0x20 > 0
        if (heads[:, 0] != 0x47).any() or (heads[:, 1] & 0x80).any() or (extended & (heads[:, 4] > 183)).any():
            return False
        parts = (heads[:, 1] & 0x1F) << 8 | heads[:, 2]
        anew = extended & (heads[:, 4] > 0) & (heads[:, 5] & 0x80 > 0)
        for part in np.unique(parts[parts != _STUFFING]).tolist():
            chosen = (parts == part) & (heads[:, 3] & 0x10 > 0)
            counters = heads[chosen, 3] & 15
            steps = np.diff(counters, prepend=last.get(part, counters[:1] - 1)) % 16
            torn |= {part} if ((steps > 1) & ~anew[chosen]).any() else set()
            last |= {part: int(counters[-1])} if len(counters) else {}
            counts[part] += len(counters)
            begun.setdefault(part, Counter()).update(_forms(_beginnings(packets[chosen])))
    for part, forms in begun.items():
        if not forms:
            continue
        (form, count), total = forms.most_common(1)[0], forms.total()
        strays = form[3] >> 4 == 0xE and counts[part] < 3 and counts.total() >= 10 * counts[part]
        if form[:3] == _START and (part in torn or count < total < 2 * count or strays):
            return False
    return True


def _beginnings(packets: _Bytes) -> _Bytes:
    """The first bytes ``[N,14]`` of each of a part's packets (PES) that begins in one of these and has so many."""
    packets = packets[(packets[:, 1] & 0x40) > 0]
    places = 4 + np.where(packets[:, 3] & 0x20, packets[:, 4].astype(np.int64) + 1, 0)[:, None] + np.arange(_HEAD)
    within = places[:, -1] < 188
    return np.take_along_axis(packets[within], places[within], 1)


def _forms(heads: _Bytes) -> list[bytes]:
    """What such beginnings of one part have in common: the start, the kind, and that the rest is as it must be."""
    flags, length, times = heads[:, 7], heads[:, 8], heads[:, 7] >> 6
    needed = (_LENGTHS * (flags[:, None] >> np.arange(8) & 1)).sum(1)
    fits = (length >= needed) & ((flags & 1 > 0) | (length <= needed + _PADDED))
    marked = (heads[:, 9] >> 4 == times) & (heads[:, 9::2] & 1).all(1)
    right = fits & ((times == 0) | ((times > 1) & marked))
    return [bytes(form) for form in np.column_stack([heads[:, :4], heads[:, 6] & 0xF0, right])]


def times_in_transport(path: Path, part: int) -> list[int]:
    """Presentation times of a transport stream's part, one for each of its packets (PES) that says it."""
    times: list[int] = []
    for packets in _packets(path):
        parts = (packets[:, 1].astype(np.int64) & 0x1F) << 8 | packets[:, 2]
        heads = _beginnings(packets[(parts == part) & ((packets[:, 3] & 0x10) > 0)])
        said = (heads[:, :3] == list(_START)).all(1) & ((heads[:, 7] & 0x80) > 0)
        found: npt.NDArray[Any] = heads[said].astype(np.int64)
        high = found[:, 9] >> 1 & 7
        middle, low = (found[:, at] << 7 | found[:, at + 1] >> 1 for at in (10, 12))
        times += (high << 30 | middle << 15 | low).tolist()
    return times
