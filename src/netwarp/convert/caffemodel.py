"""Read a ``.caffemodel``: its layers, with their names and blobs."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from netwarp.convert.files import check_is_caffemodel, damaged
from netwarp.errors import WeightsError, needs_extra
from netwarp.input_files import expanded

# Message: (field, number, type), with a * any number of values. Names are bytes, since they need not be UTF-8. The
# gradients of blobs (diff, 6 and 9) are not weights.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "NetParameter": (("name", 1, "BYTES"), ("layers", 2, "V1LayerParameter*"), ("layer", 100, "LayerParameter*")),
    "LayerParameter": (("name", 1, "BYTES"), ("type", 2, "BYTES"), ("blobs", 7, "BlobProto*")),
    # Until 2014, when types were enums, which are numbers in a file.
    "V1LayerParameter": (("name", 4, "BYTES"), ("type", 5, "INT32"), ("blobs", 6, "BlobProto*")),
    "BlobProto": (
        ("num", 1, "INT32"),
        ("channels", 2, "INT32"),
        ("height", 3, "INT32"),
        ("width", 4, "INT32"),
        ("data", 5, "FLOAT*"),
        ("shape", 7, "BlobShape"),
        ("double_data", 8, "DOUBLE*"),
    ),
    "BlobShape": (("dim", 1, "INT64*"),),
}
_PACKAGE = "netwarp.caffe"


@functools.cache
def net_parameter() -> Any:  # noqa: ANN401
    """The class of ``NetParameter`` messages: ``net_parameter().FromString(data)``.

    The messages lie in a pool of their own, so that Caffe's own schema may be loaded in the same process.
    """
    with needs_extra("protobuf", "convert", "reading a .caffemodel"):
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="netwarp/caffe.proto", package=_PACKAGE, syntax="proto2")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            single = kind.removesuffix("*")
            field = described.field.add(name=name, number=number)
            field.label = kinds.LABEL_OPTIONAL if single == kind else kinds.LABEL_REPEATED
            if single in _MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{single}"
            else:
                field.type = getattr(kinds, f"TYPE_{single}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.NetParameter"))


# The number of the type InnerProduct until 2014.
_V1_INNER_PRODUCT = 14


class Blob:
    """An array of a layer, read when it is needed.

    ``shape`` has four sizes in old files (``[1,1,1,N]`` is a bias there), and is None if the file has none; ``size`` is
    the number of values.
    """

    def __init__(self, message: Any) -> None:  # noqa: ANN401
        self._numbers = message.double_data or message.data
        self._double = len(message.double_data) > 0
        old = ("num", "channels", "height", "width")
        self.shape: tuple[int, ...] | None = None
        # In Caffe's own order.
        if any(message.HasField(name) for name in old):
            self.shape = tuple(getattr(message, name) for name in old)
        elif message.HasField("shape"):
            self.shape = tuple(message.shape.dim)
        self.size = len(self._numbers)

    def numbers(self) -> np.ndarray:
        """Copy all numbers: float32 or float64, as in the file."""
        return _as_array(self._numbers, np.dtype(np.float64 if self._double else np.float32))


@dataclass(frozen=True)
class CaffeLayer:
    """A layer with weights."""

    name: str
    inner_product: bool  # whether it is a fully connected layer, whose weights are [out, in]
    blobs: tuple[Blob, ...] = field(repr=False)


@dataclass(frozen=True)
class Caffemodel:
    """A file's network."""

    path: Path
    name: str  # may be empty
    layers: tuple[CaffeLayer, ...]  # those with weights, in the file's order; names may repeat


def read_caffemodel(path: str | Path) -> Caffemodel:
    """Read a network that Caffe wrote, with layers in the present form (``layer``) and that until 2014 (``layers``).

    It takes about twice the file's size in memory while reading, and once as long as the layers are held.
    """
    schema = net_parameter()
    path = expanded(path)
    check_is_caffemodel(path)
    try:
        message = schema.FromString(path.read_bytes())
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # protobuf's, and whatever else damaged bytes may raise
        raise damaged(path) from error
    layers = [
        CaffeLayer(_text(each.name), each.type == _V1_INNER_PRODUCT, tuple(map(Blob, each.blobs)))
        for each in message.layers
        if each.blobs
    ]
    layers += [
        CaffeLayer(_text(each.name), each.type == b"InnerProduct", tuple(map(Blob, each.blobs)))
        for each in message.layer
        if each.blobs
    ]
    if not layers:
        held = len(message.layers) + len(message.layer)
        if not held:
            raise damaged(path)
        raise WeightsError(
            f"{path} has {held} layers and no weights in any: it only describes a network; give the .caffemodel"
        )
    return Caffemodel(path, _text(message.name), tuple(layers))


def _text(name: bytes) -> str:
    """Decode a name, with unprintable characters replaced."""
    return "".join(c if c.isprintable() else "�" for c in name.decode(errors="replace"))


def _as_array(numbers: Any, dtype: np.dtype) -> np.ndarray:  # noqa: ANN401
    if hasattr(numbers, "__array__"):
        return np.array(numbers, dtype)
    # Protobuf before 7.34. Without the count, or with np.array, every number would become a Python object first: 4 GB
    # for a VGG.
    return np.fromiter(numbers, dtype, count=len(numbers))
