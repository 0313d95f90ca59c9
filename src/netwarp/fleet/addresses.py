"""Addresses of files: on this machine, or whatever fsspec reaches (``s3://``, ``gs://``, ``http://``, ``memory://``)."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Any

from netwarp.errors import needs_extra
from netwarp.input_files import expanded

_REMOTE = re.compile(r"(?!file:)([a-zA-Z][a-zA-Z0-9+.-]+)://")


def is_remote(address: str) -> bool:
    """Whether an address is for fsspec.

    >>> is_remote("s3://bucket/in.mp4"), is_remote("file:///in.mp4"), is_remote("in.mp4")
    (True, False, False)
    """
    return _REMOTE.match(address) is not None


def absolute(address: str) -> str:
    """An address that means the same in every process: an absolute path, or an address without a slash at its end."""
    if is_remote(address):
        return address.rstrip("/")
    return os.path.abspath(expanded(address.removeprefix("file://")))  # noqa: PTH100 (keeps links)


def place_in(address: str) -> tuple[str, PurePosixPath]:
    """The scheme of an address and its path, a server's or bucket's name first.

    >>> place_in("http://host/a/../b.mp4?key=1")
    ('http', PurePosixPath('/host/b.mp4'))
    """
    scheme, path = address.split("://", 1) if is_remote(address) else ("", address)
    if scheme in ("http", "https"):
        path = re.split("[?#]", path, maxsplit=1)[0]
    return scheme, PurePosixPath(os.path.normpath(f"/{path.lstrip('/')}"))


def filesystem(address: str, purpose: str = "an address") -> tuple[Any, str]:
    """What fsspec reaches an address by, and what the address is called there."""
    with needs_extra("fsspec", "cluster", f"{purpose} such as {address}"):
        import fsspec
    filesystem, path = fsspec.core.url_to_fs(address)
    return filesystem, path
