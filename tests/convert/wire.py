"""Writes caffemodels byte by byte, without protobuf and without netwarp: an encoding of its own to read against.

https://protobuf.dev/programming-guides/encoding: a field is its number and wire type, and then what the type says.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

V1_TYPES = {"Convolution": 4, "Data": 5, "InnerProduct": 14, "Pooling": 17, "ReLU": 18, "Deconvolution": 39}


def varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers are written as 64 bits
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def delimited(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def numbers(field: int, values: np.ndarray, how: str = "packed") -> bytes:
    """Floats (or doubles) one by one, in one piece, in several, or both."""
    code, wire_type = ("<d", 1) if values.dtype == np.float64 else ("<f", 5)
    flat = values.ravel()
    if how == "unpacked":
        return b"".join(varint(field << 3 | wire_type) + struct.pack(code, x) for x in flat)
    if how == "packed":
        return delimited(field, b"".join(struct.pack(code, x) for x in flat))
    middle = len(flat) // 2
    return numbers(field, flat[:middle]) + numbers(field, flat[middle:], "packed" if how == "split" else "unpacked")


def blob(values: np.ndarray, sizes: str = "shape", how: str = "packed", *, shape: Sequence[int] | None = None) -> bytes:
    """A BlobProto of float32 or float64.

    Args:
        values: The array.
        sizes: ``"shape"``, ``"shape unpacked"``, or ``"four"``: the fields of old files, with ones in front.
        how: See :func:`numbers`.
        shape: What the blob says instead of the array's own shape.
    """
    shape = tuple(values.shape if shape is None else shape)
    if sizes == "four":
        said = b"".join(number(i + 1, n) for i, n in enumerate((1,) * (4 - len(shape)) + shape))
    elif sizes == "shape":
        said = delimited(7, delimited(1, b"".join(map(varint, shape))))
    else:
        said = delimited(7, b"".join(number(1, n) for n in shape))
    return said + numbers(8 if values.dtype == np.float64 else 5, values, how)


@dataclass(frozen=True)
class Layer:
    """What a test wants in a file; blobs are arrays, or bytes where they are encoded already."""

    name: str
    blobs: Sequence[np.ndarray | bytes] = field(default=(), repr=False)
    type: str = "Convolution"


def layer(which: Layer, form: str = "layer", sizes: str = "shape", how: str = "packed") -> bytes:
    """The field of a NetParameter that holds a layer, of the present (``layer``) or the old form (``layers``)."""
    name, kind, bottom, blobs = (1, 2, 3, 7) if form == "layer" else (4, 5, 2, 6)
    content = delimited(name, which.name.encode()) + delimited(bottom, b"data")
    content += delimited(kind, which.type.encode()) if form == "layer" else number(kind, V1_TYPES.get(which.type, 0))
    for each in which.blobs:
        content += delimited(blobs, each if isinstance(each, bytes) else blob(each, sizes, how))
    if form == "layer":
        content += delimited(106, number(1, 64))  # convolution_param: what the schema does not know
    return delimited(100 if form == "layer" else 2, content)


def caffemodel(
    layers: Iterable[Layer], form: str = "layer", sizes: str = "shape", how: str = "packed", name: str = "a net"
) -> bytes:
    """A whole file."""
    return delimited(1, name.encode()) + b"".join(layer(each, form, sizes, how) for each in layers)
