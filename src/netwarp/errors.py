"""The errors that netwarp raises: one line each, what is wrong and what to do.

The command line prints such an error as a single line and exits with 2; from Python all of them
are caught with ``except netwarp.NetWarpError``.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

LONGEST = 180
"""Letters that a list of names may have: an error's line has at most :data:`MOST`."""

MOST = 300
"""Letters of a line that says an error."""


class NetWarpError(Exception):
    """Base of every error that netwarp raises on purpose.

    Attributes:
        option: The argument that the error is about, as Python calls it; ``{option}`` stands for it in the text.
    """

    def __init__(self, text: str = "", *, option: str | None = None) -> None:
        super().__init__(text)
        self.option = option

    def __str__(self) -> str:
        return self.worded(lambda option: f"{option}=…")

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel from worker processes as a pickle, with the option and notes."""
        return Exception.__new__, (type(self), *self.args), self.__dict__

    def worded(self, name: Callable[[str], str]) -> str:
        """The text, with the option as ``name`` calls it."""
        text = str(self.args[0]) if self.args else ""
        return text if self.option is None else text.replace("{option}", name(self.option))


class InputError(NetWarpError):
    """A video, image, flow or tensor that cannot be used."""


class OutputError(NetWarpError):
    """A result that cannot be written."""


class ConfigurationError(NetWarpError):
    """A name, number or combination of options that makes no sense."""


class WeightsError(NetWarpError):
    """Weights that are damaged, not finite, or belong to another network."""


class MissingExtraError(NetWarpError):
    """An optional library that is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {library}, which is not installed: pip install '.[{extra}]' in a clone of netwarp"
        )


@contextlib.contextmanager
def needs_extra(library: str, extra: str, purpose: str) -> Iterator[None]:
    """Import an optional library in the block. Raises MissingExtraError where it is not installed."""
    try:
        yield
    except ImportError as error:
        raise MissingExtraError(library, extra, purpose) from error


def shown(value: object) -> str:
    """A value that somebody gave, as Python writes it, cut where it is long or deep.

    >>> shown("x" * 1000)[:30], len(shown([["x" * 1000] * 1000] * 1000)) < 1000
    ("'xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", True)
    """
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 100
    brief.maxlevel = 2
    text = brief.repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """Build the error for a misspelt name of a kind, such as ``"layer"``, naming the closest of the known ones."""
    names, text = list(known), str(name)
    close = difflib.get_close_matches(text, names, n=3, cutoff=0.5) if len(text) <= LONGEST else []
    if close:
        hint = f"did you mean {' or '.join(repr(c) for c in close)}?"
    elif not names:
        hint = "there is none to choose from"
    else:
        hint = f"known: {_listed(names)}"
    return ConfigurationError(f"no {kind} named {shown(name)}: {hint}")


def _listed(names: Sequence[str]) -> str:
    """Names with commas between them, in quotes where one has a comma or blank itself; of many the first."""
    words = [repr(name) if set(name) & set(", ") else name for name in names]
    shown = [word for n, word in enumerate(words, 1) if n == 1 or len(", ".join(words[:n])) <= LONGEST]
    return ", ".join(shown) + (f" and {len(words) - len(shown)} more" if len(shown) < len(words) else "")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, a GPU's, or a CPU's, which torch says by a RuntimeError.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    True
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def shortened(text: str, most: int = MOST) -> str:
    """A text of at most so many letters: long lists lose their middle, and then the text does, since its end advises.

    >>> shortened("no class x: known: a, b, c, d, e, f: give one", 40)
    'no class x: known: a, b, …, f: give one'
    >>> shortened(f"{20 * 'a'}.mp4 is a folder: name a file", 30)
    'aaaaaaaaaaaaaaaaaa … me a file'
    """
    while len(text) > most and (lists := list(_LISTED.finditer(text))):
        longest = max(lists, key=lambda found: found.end() - found.start())
        first = ", ".join(longest.group().split(", ")[:2])
        text = f"{text[: longest.start()]}{first}, …, {text[longest.end() :]}"
    if len(text) <= most:
        return text
    head = 3 * most // 5
    return f"{text[:head].rstrip()} … {text[head + 3 - most :].lstrip()}"


_LISTED = re.compile(r"(?:[^,:;()…]{1,60}, ){4,}")
"""Four names or more of a list, with their commas."""


def few(names: Sequence[str]) -> str:
    """The first three of some names, for a line."""
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def reason_of(error: BaseException) -> str:
    r"""The first line of an exception's message, or its class where there is no message.

    >>> reason_of(ValueError("no such thing\nlong explanation"))
    'no such thing'
    >>> reason_of(KeyError())
    'KeyError'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextlib.contextmanager
def told_as(kind: type[NetWarpError], what: str, advice: str) -> Iterator[None]:
    """Tell in one line whatever goes wrong in the block: the libraries of stores and hubs raise kinds of their own."""
    try:
        yield
    except NetWarpError:
        raise
    except Exception as error:
        reason = reason_of(error)
        if isinstance(error, PermissionError):
            reason = f"no permission for {error.filename}" if error.filename else "no permission"
        raise kind(f"{what} ({reason}): {advice}") from error
