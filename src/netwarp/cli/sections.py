"""Dataclasses as sections of a configuration: a field is a key of the YAML file and an option of the command line."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

from jsonargparse import ArgumentParser, Namespace

from netwarp.errors import ConfigurationError

__all__ = ["add_section", "in_words", "section_of"]

Section = TypeVar("Section")

_KINDS = {
    int: ("a whole number", "N"),
    float: ("a number", "X"),
    str: ("a text", "TEXT"),
    bool: ("true or false", "BOOL"),
}


def add_section(parser: ArgumentParser, name: str, section: type[Any]) -> None:
    """Declare ``--NAME.FIELD`` for every field of a dataclass, and of the dataclasses in it.

    Help comes from the ``Attributes`` of its docstring.

    Args:
        parser: Where to.
        name: Of the section.
        section: The dataclass; every field has a default.
    """
    group = parser.add_argument_group(name, (section.__doc__ or "").splitlines()[0])
    for key, hint, default, text in _fields(section):
        shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else _shown(default)
        group.add_argument(
            f"--{name}.{key}", type=hint, default=default, metavar=_metavar(hint), help=f"{text} (default: {shown})"
        )


def section_of(section: type[Section], values: Namespace | None) -> Section:
    """The dataclass with the values that were given.

    Args:
        section: As for :func:`add_section`.
        values: What the parser found for it.

    Returns:
        An instance; lists are tuples.

    Raises:
        ConfigurationError: The dataclass refuses a value.
    """
    if values is not None and not isinstance(values, Namespace):
        raise ConfigurationError(f"a section of a configuration must have keys, and one is {values!r} alone")
    given: dict[str, Any] = {}
    hints = typing.get_type_hints(section)
    for field in dataclasses.fields(section):  # type: ignore[arg-type]
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            given[field.name] = section_of(hint, values.get(field.name) if values is not None else None)
        elif values is not None and field.name in values:
            value = values[field.name]
            given[field.name] = tuple(value) if isinstance(value, list) else value
    return section(**given)


def in_words(hint: object) -> str:
    """What a value of a type is, for people.

    Example:
        >>> in_words(int | None), in_words(tuple[float, float])
        ('a whole number or null', 'a list of 2 numbers such as [1, 2]')
    """
    if hint in _KINDS:
        return _KINDS[hint][0]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return " or ".join(str(value) for value in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return "a list of names such as [a, b]" if inner[0] is str else "a list of numbers such as [1, 2, 0.5]"
        return f"a list of {len(inner)} numbers such as [{', '.join('123'[: len(inner)])}]"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if part is type(None) else in_words(part) for part in inner)
    return "a value of another kind"


def _metavar(hint: object) -> str:
    if hint in _KINDS:
        return _KINDS[hint][1]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "|".join(str(value) for value in inner)
    if origin is tuple:
        kind = _KINDS[inner[0]][1]
        return f"[{kind},…]" if inner[-1] is Ellipsis else f"[{','.join([kind] * len(inner))}]"
    parts = [_metavar(part) for part in inner if part is not type(None)]
    return "|".join(parts)


def _fields(section: type[Any], prefix: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Key, type, default and help of every field, those of inner dataclasses included."""
    hints, texts = typing.get_type_hints(section), _attributes(section)
    for field in dataclasses.fields(section):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _fields(hint, f"{key}.")
        else:
            yield key, hint, field.default, texts[field.name]


def _attributes(section: type[Any]) -> dict[str, str]:
    """What the docstring says of each field, without the markup that is for programmers."""
    block = re.search(r"Attributes:\n(.*?)(\n\n|\Z)", section.__doc__ or "", re.DOTALL)
    assert block is not None
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", block[1], re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "").removesuffix(".") for name, text in entries}


def _shown(default: object) -> str:
    return f"[{', '.join(map(str, default))}]" if isinstance(default, tuple) else str(default)
