"""One line out of another library's exception."""

from __future__ import annotations

__all__ = ["reason_of"]


def reason_of(error: BaseException) -> str:
    r"""The first line of an exception's message, or its class where it says nothing.

    >>> reason_of(ValueError("no such thing\nlong explanation"))
    'no such thing'
    >>> reason_of(KeyError())
    'KeyError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
