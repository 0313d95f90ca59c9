"""Check whether a video file holds what its own structure declares.

Declared frame counts and durations are wrong in many healthy files (edit lists, variable frame rate, B-frames,
sound that is longer than the picture), so they cannot tell that a file was cut. Its nesting can: a box, chunk or
element that ends behind the end of the file is missing bytes, whatever it holds. And a Matroska cluster whose
elements do not fill it exactly was damaged: readers skip the rest of it and report nothing. GIF's blocks and the
packets of a transport stream tell the same.
"""

from __future__ import annotations

import io
import re
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_TRANSPORT_PACKETS = (188, 192, 204)
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = 0x18538067
_CLUSTER = 0x1F43B675
_PADDING = 4096
_START = b"\0\0\1"
_PACK = b"\0\0\1\xba"
_TAIL = 1 << 18  # bytes at a program's end that hold a pack's begin
_STUFFING = 0x1FFF  # the part of a transport stream that fills it up


def is_cut_off(path: Path) -> bool:
    """Whether the file ends before its container does.

    Knows MP4/MOV boxes, AVI's RIFF chunks, Matroska/WebM's elements, packets of MPEG-TS and of MPEG programs (.mpg,
    .vob), frames of YUV4MPEG2 (.y4m), and GIF's last byte; other containers say nothing about their length, and the
    answer is no. So it is for pipes, which can be read only once.
    """
    with opened(path) as (file, size):
        head = file.read(12)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp"):
            return any(end > size for _, end in _boxes(file, size))
        if head[:4] == b"RIFF":
            return 8 + int(struct.unpack("<I", head[4:8])[0]) > size
        if head[:4] == _EBML:
            return _segment_end(file) > size
        if head[:4] == b"GIF8":
            file.seek(-min(size, _PADDING), 2)
            return not file.read().rstrip(b"\0").endswith(b";")
        if head[:4] == _PACK:
            return _program_end(file, size) > size
        if head[:9] == b"YUV4MPEG2":
            return _planes_end(file) > size
        if _transport_packet(file):
            return all(size % packet for packet in _TRANSPORT_PACKETS)
    return False


def _planes_end(file: BinaryIO) -> int:
    """Where the last frame of a YUV4MPEG2 file ends; of a layout of planes that is not known, 0."""
    file.seek(0)
    fields = {field[:1]: field[1:].decode("latin-1") for field in file.readline(_PADDING).split()[1:]}
    kind = re.match(r"(420|411|422|444|mono)(alpha)?(?:jpeg|mpeg2|paldv)?(?:p?(\d+))?$", fields.get(b"C", "420jpeg"))
    w, h = (int(fields[side]) if fields.get(side, "").isdecimal() else 0 for side in (b"W", b"H"))
    if kind is None or not w or not h:
        return 0
    across, down = {"420": (2, 2), "411": (4, 1), "422": (2, 1), "444": (1, 1)}.get(kind[1], (0, 0))
    samples = w * h * (2 if kind[2] else 1) + (2 * -(-w // across) * -(-h // down) if across else 0)
    end = file.tell()
    while line := file.readline(_PADDING):
        if not line.startswith(b"FRAME"):
            return end + len(line) + 1 if b"FRAME".startswith(line) else 0
        end = file.seek(samples * (2 if int(kind[3] or 8) > 8 else 1), io.SEEK_CUR)
    return end


def _program_end(file: BinaryIO, size: int) -> int:
    """Where the last packet of an MPEG program ends, as the packets say; where they say nothing, they are left."""
    file.seek(max(0, size - _TAIL))
    place = file.tell() + max(0, file.read(_TAIL).find(_PACK))
    while place + 6 <= size:
        file.seek(place)
        head = file.read(14).ljust(14, b"\0")
        if head[:3] != _START:
            break
        if head[3] == _PACK[3]:
            place += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12  # MPEG-2, else MPEG-1
        elif head[3] >= 0xBB:
            place += 6 + int.from_bytes(head[4:6], "big")
        else:  # the end, or none of its packets
            break
    return place


def is_damaged_inside(path: Path) -> bool:
    """Whether a file that is not cut off holds a broken element (Matroska/WebM), block (GIF) or packet (MPEG-TS).

    Of other containers nothing is known, and the answer is no.
    """
    with opened(path) as (file, size):
        head = file.read(4)
        if head == _EBML:
            end = _segment_end(file)
            return 0 < end <= size and not all(_is_filled(file, cluster) for cluster in _clusters(file, end))
        if head == b"GIF8":
            return not _ends_as_gif(file)
        packet = _transport_packet(file)
        return packet is not None and not _is_continuous(path, packet)


def says_its_length(path: Path) -> bool:
    """Whether this is a Matroska/WebM file whose head says how long it is, so that a cut shows in its size."""
    with opened(path) as (file, _):
        return file.read(4) == _EBML and _segment_end(file) > 0


def lacks_index(path: Path) -> bool:
    """Whether this is an MP4/MOV file without the box that says where its frames are: it was never finished."""
    with opened(path) as (file, size):
        if file.read(8)[4:] != b"ftyp":
            return False
        return not any(kind == b"moov" and end <= size for kind, end in _boxes(file, size))


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A file and its size; of what is none, such as a pipe, an empty one."""
    with path.open("rb") if path.is_file() else io.BytesIO() as file:
        yield file, path.stat().st_size if path.is_file() else 0


def _boxes(file: BinaryIO, size: int) -> list[tuple[bytes, int]]:
    """List type and end of every top-level box, up to the first that does not lie within the file."""
    boxes: list[tuple[bytes, int]] = []
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
        start += length
        boxes.append((kind, start))
    return boxes


def _segment_end(file: BinaryIO) -> int:
    """Find where Matroska's Segment ends; 0 where it does not say (a live recording)."""
    file.seek(0)
    while True:
        identifier = _vint(file, keep_marker=True)
        length = _vint(file, keep_marker=False)
        if identifier is None or length is None:
            return 0
        if identifier == _SEGMENT:
            return file.tell() + length
        file.seek(length, 1)


def _clusters(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of every cluster's contents; for a broken element, a span that nothing can fill."""
    while (at := file.tell()) < end:
        identifier, length = _vint(file, keep_marker=True), _vint(file, keep_marker=False)
        if identifier is None or file.tell() + (length or 0) > end:
            yield at, at - 1
            return
        if length is None:
            return  # written live: its length was not known
        start = file.tell()
        if identifier == _CLUSTER:
            yield start, start + length
        file.seek(start + length)


def _is_filled(file: BinaryIO, span: tuple[int, int]) -> bool:
    at, end = span
    while at < end:
        file.seek(at)
        identifier, length = _vint(file, keep_marker=True), _vint(file, keep_marker=False)
        if identifier is None or length is None:
            return False
        at = file.tell() + length
    return at == end


def _vint(file: BinaryIO, *, keep_marker: bool) -> int | None:
    """Read EBML's variable-length integer: as many bytes as the first has leading zeros, and one; all ones: unknown."""
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
    return None if value == marker - 1 else value


def _ends_as_gif(file: BinaryIO) -> bool:
    """Go from block to block, to the one that ends the file."""
    file.seek(10)
    file.seek(13 + _colours(file.read(1)))
    while kind := file.read(1):
        if kind == b";":
            return True
        if kind == b",":
            file.seek(1 + _colours(file.read(9)[8:]), 1)
        elif kind != b"!" or not file.read(1):
            return False
        while length := file.read(1):
            if not length[0]:
                break
            file.seek(length[0], 1)
    return False


def _colours(flags: bytes) -> int:
    """Bytes of the table of colours that such flags announce."""
    return 3 << (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


def _is_continuous(path: Path, packet: int) -> bool:
    """Whether every packet of a transport stream begins as one, and none of a part's is missing by their counters.

    Where most of a part's packets of pictures or sound (PES) begin with the same four bytes, all must.
    """
    last: dict[int, int] = {}
    begun: dict[int, Counter[bytes]] = {}
    for packets in _transport_packets(path, packet):
        heads = packets[:, :6].astype(np.int64)
        if (heads[:, 0] != 0x47).any() or (heads[:, 1] & 0x80).any():
            return False
        parts = (heads[:, 1] & 0x1F) << 8 | heads[:, 2]
        anew = (heads[:, 3] & 0x20 > 0) & (heads[:, 4] > 0) & (heads[:, 5] & 0x80 > 0)
        for part in np.unique(parts[parts != _STUFFING]).tolist():
            chosen = (parts == part) & (heads[:, 3] & 0x10 > 0)
            counters = heads[chosen, 3] & 15
            steps = np.diff(counters, prepend=last.get(part, counters[:1] - 1)) % 16
            if ((steps > 1) & ~anew[chosen]).any():
                return False
            last |= {part: int(counters[-1])} if len(counters) else {}
            begun.setdefault(part, Counter()).update(bytes(start[:4]) for start in _beginnings(packets[chosen]))
    usual = [(counts.most_common(1)[0], counts.total()) for counts in begun.values() if counts]
    return all(count == total for (start, count), total in usual if start[:3] == _START and 2 * count > total)


def _transport_packets(path: Path, packet: int) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Read a transport stream, many of its packets at a time, ``[N,188]``."""
    with path.open("rb") as file:
        while len(content := file.read(packet << 18)) >= packet:
            packets = np.frombuffer(content[: len(content) // packet * packet], np.uint8).reshape(-1, packet)
            first = 4 if packet == 192 else 0
            yield packets[:, first : first + 188]


def _beginnings(packets: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The first 14 bytes ``[N,14]`` of each of a part's packets (PES) that begins in one of these."""
    packets = packets[(packets[:, 1] & 0x40) > 0]
    places = 4 + np.where(packets[:, 3] & 0x20, packets[:, 4].astype(np.int64) + 1, 0)[:, None] + np.arange(14)
    return np.where(places < 188, np.take_along_axis(packets, np.minimum(places, 187), 1), 0).astype(np.uint8)


def times_in_transport(path: Path, part: int) -> list[int]:
    """Presentation times of a transport stream's part, one for each of its packets (PES) that says it."""
    with path.open("rb") as file:
        packet = _transport_packet(file)
    times: list[int] = []
    for packets in _transport_packets(path, packet) if packet else ():
        parts = (packets[:, 1].astype(np.int64) & 0x1F) << 8 | packets[:, 2]
        heads = _beginnings(packets[(parts == part) & ((packets[:, 3] & 0x10) > 0)])
        said = (heads[:, :3] == list(_START)).all(1) & ((heads[:, 7] & 0x80) > 0)
        heads = heads[said].astype(np.int64)
        high = heads[:, 9] >> 1 & 7
        middle, low = (heads[:, at] << 7 | heads[:, at + 1] >> 1 for at in (10, 12))
        times += (high << 30 | middle << 15 | low).tolist()
    return times


def _transport_packet(file: BinaryIO) -> int | None:
    """Bytes of a packet, if this is an MPEG transport stream."""
    file.seek(0)
    head = file.read(5 * max(_TRANSPORT_PACKETS))
    for packet in _TRANSPORT_PACKETS:
        sync = 4 if packet == 192 else 0
        if len(head) >= 4 * packet + sync + 1 and all(head[sync + k * packet] == 0x47 for k in range(4)):
            return packet
    return None
