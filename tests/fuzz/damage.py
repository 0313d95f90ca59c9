"""Damage: what disks, networks and hands do to a file, always the same for a seed."""

import numpy as np

ABSURD = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1_000_000, 65_536)
VALUES = (
    *(
        "-1",
        "0",
        "1e308",
        "-.inf",
        ".nan",
        "1000000000000000",
        "100000",
        "null",
        "true",
        "[]",
        "[1, [2]]",
        "{a: 1}",
        "''",
    ),
    *(
        '"\\x1b[31m"',
        "~",
        "*a",
        "&a [*a, *a]",
        "!!python/object:os.system x",
        "x" * 3000,
        "2001-01-01",
        "0x" + "f" * 99,
    ),
)


def damaged(content: bytes, seed: int, *, text: bool = False) -> tuple[str, bytes]:
    """What was done, and what that leaves of the content."""
    rng = np.random.default_rng(seed)
    ways = _TEXT if text else _BYTES
    way = ways[seed % len(ways)]
    return f"{way.__name__[1:]} {seed}", way(bytearray(content), rng)


def _span(content, rng, most=256):
    length = int(rng.integers(1, max(2, min(most, len(content) // 3))))
    return int(rng.integers(0, max(1, len(content) - length))), length


def _bit(content, rng):
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def _zeros(content, rng):
    at, length = _span(content, rng)
    content[at : at + length] = bytes(length)
    return bytes(content)


def _number(content, rng):
    at = int(rng.integers(0, max(1, min(len(content) - 4, 600))))
    content[at : at + 4] = int(rng.choice(ABSURD)).to_bytes(4, "little" if rng.integers(2) else "big")
    return bytes(content)


def _cut(content, rng):
    return bytes(content[: rng.integers(len(content))])


def _bits(content, rng):
    for at in rng.integers(0, len(content), 24):
        content[at] ^= 1 << rng.integers(8)
    return bytes(content)


def _swap(content, rng):
    (a, length), (b, _) = _span(content, rng), _span(content, rng)
    content[a : a + length], content[b : b + length] = content[b : b + length], content[a : a + length]
    return bytes(content)


def _lost(content, rng):
    at, length = _span(content, rng)
    return bytes(content[:at] + content[at + length :])


def _noise(content, rng):
    at, length = _span(content, rng)
    content[at : at + length] = rng.bytes(length)
    return bytes(content)


def _value(content, rng):
    """Another value behind one of the keys, or in place of a line."""
    lines = content.decode().splitlines()
    at = int(rng.integers(len(lines)))
    head, colon, _ = lines[at].partition(":")
    lines[at] = f"{head}{colon} {rng.choice(VALUES)}" if colon else str(rng.choice(VALUES))
    return "\n".join(lines).encode()


def _line_twice(content, rng):
    lines = content.splitlines(keepends=True)
    at = int(rng.integers(len(lines)))
    return b"".join([*lines[:at], *lines[at : at + 1] * int(rng.choice((2, 50))), *lines[at + 1 :]])


_BYTES = (_bit, _zeros, _number, _cut, _bits, _swap, _lost, _noise)
_TEXT = (_value, _value, _value, _bit, _cut, _line_twice, _noise, _value)
