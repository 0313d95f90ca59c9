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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from netwarp.video.boxes import boxes, fragments
from netwarp.video.gif_blocks import images
from netwarp.video.matroska import EBML, elements, segment
from netwarp.video.transport import is_continuous, packets_from

_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp")
_PADDING = 4096
_START = b"\0\0\1"
_PACK = b"\0\0\1\xba"
_TAIL = 1 << 18  # bytes at a program's end that hold a pack's begin


def is_cut_off(path: Path) -> bool:
    """Whether the file ends before its container does.

    Knows MP4/MOV boxes, AVI's RIFF chunks, Matroska/WebM's elements, FLV's tags, packets of MPEG-TS and of MPEG
    programs (.mpg, .vob), frames of YUV4MPEG2 (.y4m), and GIF's last byte; other containers say nothing about their
    length, and the answer is no. So it is for pipes, which can be read only once.
    """
    with opened(path) as (file, size):
        head = file.read(12)
        if head[4:8] in _BOXES:
            return any(end > size for *_, end in boxes(file, size))
        if head[:4] == b"RIFF":
            return 8 + int(struct.unpack("<I", head[4:8])[0]) > size
        if head[:4] == EBML:
            begin, end = segment(file)
            return end > size or (begin > 0 and not end and elements(file, size).end > size)
        if head[:4] == b"GIF8":
            file.seek(-min(size, _PADDING), 2)
            return not file.read().rstrip(b"\0").endswith(b";")
        if head[:4] == _PACK:
            return _program_end(file, size) > size
        if head[:9] == b"YUV4MPEG2":
            return _planes_end(file) > size
        if head[:3] == b"FLV":
            return _tags(file, size)[1] > size
        if found := packets_from(file):
            packet, begin = found
            return (size - begin) % packet > 0
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


def is_damaged_inside(path: Path, packets: int | None = None) -> bool:
    """Whether a file that is not cut off holds a broken element (Matroska/WebM), block (GIF) or packet (MPEG-TS).

    Or more than the ``packets`` of its pictures that came, if all were asked for.
    Of other containers nothing is known, and the answer is no.
    """
    with opened(path) as (file, size):
        head = file.read(12)
        if head[:4] == EBML:
            whole = elements(file, size)
            return whole.broken or _lacks(whole.blocks, whole.video, packets)
        if head[4:8] in _BOXES:
            found = fragments(file, size)
            return found.broken or _lacks(found.samples, found.video, packets)
        if head[:4] == b"GIF8":
            count = images(file)
            return count is None or (packets is not None and count > packets)
        if head[:4] == b"RIFF":
            listed, video = _indexed(file, size)
            return listed is None or _lacks(listed, video, packets)
        if head[:3] == b"FLV":
            count, _ = _tags(file, size)
            return count is None or (packets is not None and count > packets)
        return packets_from(file) is not None and not is_continuous(path)


def _indexed(file: BinaryIO, size: int) -> tuple[Counter[int] | None, list[int]]:
    """Count the chunks of each stream in an AVI's first index, and say which are pictures; None if a list is broken."""
    video: list[int] = []
    at = 12
    while at + 12 <= size:
        file.seek(at)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if not all(32 <= letter < 127 for letter in head[:4]):
            return None, video
        if head[:4] == b"LIST" and head[8:] == b"hdrl":
            kinds = [part[4:8] for part in file.read(length).split(b"strh")[1:]]
            video = [number for number, kind in enumerate(kinds) if kind == b"vids"]
        if head[:4] == b"idx1":
            file.seek(at + 8)
            index = file.read(min(length, size))
            entries = [index[place : place + 16] for place in range(0, len(index) - 15, 16)]
            numbers = [int(entry[:2]) for entry in entries if entry[:2].isdigit() and any(entry[12:])]
            strange = any(not entry[:2].isdigit() and entry[:4] != b"rec " for entry in entries)
            return (None if strange else Counter(numbers)), video
        at += 8 + length + length % 2
    return Counter(), video


def _tags(file: BinaryIO, size: int) -> tuple[int | None, int]:
    """Count the pictures of an FLV, None if a tag is not followed by its length; and where the last tag ends."""
    file.seek(5)
    at, count, checked = int.from_bytes(file.read(4), "big") + 4, 0, False
    while at < size:
        file.seek(at)
        head = file.read(13)
        length = int.from_bytes(head[1:4], "big")
        end = at + 15 + length
        if end <= size:
            file.seek(end - 4)
            right = int.from_bytes(file.read(4), "big") == length + 11
            if (checked and not right) or head[0] & 31 not in {8, 9, 18}:
                return None, size
            checked |= right  # some programs write no lengths
            if head[0] & 31 == 9 and length > 1:
                kind, extended = head[11] & 15, head[11] & 0x80
                count += (kind in {1, 3}) if extended else head[11] >> 4 != 5 and (kind != 7 or head[12] == 1)
        at = end
    return count, at


def _lacks(counts: Counter[int], video: Sequence[int], packets: int | None) -> bool:
    """Whether the only track of pictures has more packets than came."""
    return packets is not None and len(video) == 1 and counts[video[0]] > packets


def says_its_length(path: Path) -> bool:
    """Whether this is a Matroska/WebM file whose head says how long it is, so that a cut shows in its size."""
    with opened(path) as (file, _):
        return file.read(4) == EBML and segment(file)[1] > 0


def lacks_index(path: Path) -> bool:
    """Whether this is an MP4/MOV file without the box that says where its frames are: it was never finished."""
    with opened(path) as (file, size):
        if file.read(8)[4:] != b"ftyp":
            return False
        return not any(kind == b"moov" and end <= size for kind, _, end in boxes(file, size))


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A file and its size; of what is none, such as a pipe, an empty one."""
    with path.open("rb") if path.is_file() else io.BytesIO() as file:
        yield file, path.stat().st_size if path.is_file() else 0
