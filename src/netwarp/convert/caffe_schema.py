"""The part of Caffe's protobuf schema that holds weights, built here: nothing to compile, no generated file.

Numbers and types are those of ``caffe.proto``; all that is not named here is skipped by the parser, as protobuf has it.
"""

from __future__ import annotations

import functools
from typing import Any

from netwarp.errors import MissingExtraError

__all__ = ["net_parameter"]

# Message: (field, number, type). In capitals: a single value, or with a * any number of them. Names are bytes, since
# those out of a foreign file need not be UTF-8. The gradients of blobs (diff, 6 and 9) are no weights.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "NetParameter": (("name", 1, "BYTES"), ("layers", 2, "V1LayerParameter*"), ("layer", 100, "LayerParameter*")),
    "LayerParameter": (("name", 1, "BYTES"), ("type", 2, "BYTES"), ("blobs", 7, "BlobProto*")),
    # Files from before Caffe's types were texts (2014). An enum looks like a number in a file.
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

    Raises:
        MissingExtraError: protobuf is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise MissingExtraError("protobuf", "convert", "reading a .caffemodel") from error
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
