"""Go through the blocks of a GIF: how many images it has, and whether one has swallowed what follows it."""

from __future__ import annotations

from typing import BinaryIO

_IMAGE, _MORE, _END = b",", b"!", b";"
_CONTROL = b"\xf9"
_LOOKED_INTO = 8  # images of a file, at most


def images(file: BinaryIO) -> int | None:
    """Count the images; None if a block is broken, or an image's data does not end with its last pixel.

    Damage within the data of an image may let its chain of pieces run on through the next image, and end there. Then
    the pieces are of unlike lengths, which encoders do not write; what is in them says whether it is so.
    """
    file.seek(10)
    file.seek(13 + _colours(file.read(1)))
    count, unlike = 0, list[tuple[int, int, bytes]]()
    while (kind := file.read(1)) != _END:
        if kind == _IMAGE:
            head = file.read(9)
            file.seek(_colours(head[8:]), 1)
            bits, pieces = file.read(1), _pieces(file)
            if pieces is None or not bits:
                return None
            count += 1
            lengths = [len(piece) for piece in pieces]
            if len({*lengths[:-1], max(lengths, default=0)}) > 1:
                pixels = int.from_bytes(head[4:6], "little") * int.from_bytes(head[6:8], "little")
                unlike.append((pixels, bits[0], b"".join(pieces)) if len(unlike) < _LOOKED_INTO else (0, 0, b""))
        elif kind == _MORE:
            label, pieces = file.read(1), _pieces(file)
            if pieces is None or (label == _CONTROL and [len(piece) for piece in pieces] != [4]):
                return None
        else:
            return None
    if 2 * len(unlike) > count:  # as its encoder writes
        return count
    return count if all(_ends_with_its_pixels(*each) for each in unlike[:_LOOKED_INTO]) else None


def _colours(flags: bytes) -> int:
    """Bytes of the table of colours that such flags announce."""
    return 3 << (1 + (flags[0] & 7)) if flags and flags[0] & 0x80 else 0


def _pieces(file: BinaryIO) -> list[bytes] | None:
    """The pieces of a block's data, up to the empty one; None if it does not come."""
    pieces: list[bytes] = []
    while length := file.read(1):
        if not length[0]:
            return pieces
        pieces.append(file.read(length[0]))
    return None


def _ends_with_its_pixels(pixels: int, bits: int, data: bytes) -> bool:
    """Whether data (LZW) ends not much behind its last pixel. What its words are is not asked, but how long."""
    clear, first = 1 << bits, [1] * ((1 << bits) + 2)
    words, width, last, held, kept = list(first), bits + 1, 0, 0, 0
    for place, byte in enumerate(data):
        held |= byte << kept
        kept += 8
        while kept >= width:
            code = held & ((1 << width) - 1)
            held, kept = held >> width, kept - width
            if code == clear:
                words, width, last = list(first), bits + 1, 0
                continue
            if code == clear + 1 or pixels <= 0:
                return place > len(data) - 8
            if last and len(words) < 4096:
                words.append(last + 1)
            if code >= len(words):
                return False
            last = words[code]
            pixels -= last
            width += len(words) == 1 << width and width < 12
    return True
