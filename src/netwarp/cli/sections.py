"""Sections of a request: dataclasses whose fields are keys of a YAML file and options of the same name."""

from __future__ import annotations

import argparse
import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from netwarp.errors import ConfigurationError, shown, unknown_name
from netwarp.input_files import expanded

_KINDS = {
    int: ("a whole number", "N"),
    float: ("a number", "X"),
    str: ("a text", "TEXT"),
    bool: ("true or false", "BOOL"),
}


def section(kind: type[Any]) -> Any:  # noqa: ANN401
    """Declare a field of a request that is a section; ``kind`` is its dataclass."""
    return dataclasses.field(metadata={"section": kind})


def add_section(parser: argparse.ArgumentParser, name: str, kind: type[Any]) -> None:
    """Declare ``--NAME.KEY`` for every field of a dataclass, and of the dataclasses in it.

    Help comes from the ``Attributes`` of its docstring.
    """
    group = parser.add_argument_group(name, (kind.__doc__ or "").splitlines()[0])
    for key, hint, default, text in _fields(kind):
        plain = list(default) if isinstance(default, tuple) else default
        shown = yaml.safe_dump(plain, default_flow_style=True).splitlines()[0]
        group.add_argument(
            f"--{name}.{key}", default=argparse.SUPPRESS, metavar=_described(hint)[1], help=f"{text} (default: {shown})"
        )


def fill_sections(request: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """The values of a request's fields: those of the YAML files in ``config``, then those given as options."""
    kinds = {f.name: f.metadata["section"] for f in dataclasses.fields(request) if "section" in f.metadata}
    known = [f"{name}.{key}" for name, kind in kinds.items() for key, *_ in _fields(kind)]
    document: dict[str, Any] = {}
    for path in values["config"] or ():
        document = _merged(document, _read(path))
    plain = {name: value for name, value in values.items() if "." not in name}
    for key, value in document.items():
        if key in kinds:
            continue
        if key not in plain or key in ("config", "debug", "print_config"):
            inner = f".{next(iter(value))}" if isinstance(value, dict) and value else ""
            raise unknown_name("key", f"{key}{inner}", [*known, "out"])
        if plain[key] is None:
            plain[key] = value if value is None else _converted(str, value, key)
        elif plain[key] is False:
            plain[key] = _converted(bool, value, key)
    given = {name: value for name, value in values.items() if "." in name}
    for name, kind in kinds.items():
        texts = {key.partition(".")[2]: text for key, text in given.items() if key.partition(".")[0] == name}
        plain[name] = _section_values(kind, document.get(name), texts, name, known)
    return plain | {name: _made(kind, plain[name]) for name, kind in kinds.items()}


def _read(path: str) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            document = _document(file.read(_LONGEST + 1))
        if not isinstance(document, dict):
            raise ValueError(f"it has no keys, but {shown(document)}")
    except OSError as error:
        raise ConfigurationError(f"no configuration file at {path} ({error.strerror or error})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # not UTF-8, no such day, a number too long
        why = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"the configuration file {path} cannot be read as YAML: {why}") from error
    return document


_LONGEST, _MOST = 1 << 20, 10_000
"""Bytes and values of a configuration; aliases (``*name``) count as what they stand for."""


def _document(content: bytes) -> Any:  # noqa: ANN401
    if len(content) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} bytes")
    root = yaml.compose(content.decode(), Loader=yaml.SafeLoader)
    if root is not None and _count(root, {}) > _MOST:
        raise ValueError(f"it stands for more than {_MOST} values")
    return yaml.safe_load(content.decode())


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of values below a node."""
    if id(node) not in known:
        known[id(node)] = 0  # of one that holds itself
        if isinstance(node.value, str) and "\0" in node.value:
            raise ValueError("no text may hold a zero byte")
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _made(kind: type[Any], values: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A section of its values, when the types of all are right."""
    hints = typing.get_type_hints(kind)
    return kind(**{k: _made(hints[k], v) if dataclasses.is_dataclass(hints[k]) else v for k, v in values.items()})


def _section_values(
    kind: type[Any], values: object, texts: Mapping[str, str], name: str, known: list[str]
) -> dict[str, Any]:
    """The values of a section out of a file and texts of options, both by key."""
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigurationError(f"{name}: a section of a configuration must have keys, not {shown(values)} alone")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            raise unknown_name("key", f"{name}.{key}", known)
    found: dict[str, Any] = {}
    for key in fields:
        hint, full = hints[key], f"{name}.{key}"
        if dataclasses.is_dataclass(hint):
            inner = {k.partition(".")[2]: text for k, text in texts.items() if k.partition(".")[0] == key}
            assert isinstance(hint, type)
            found[key] = _section_values(hint, values.get(key), inner, full, known)
        elif key in texts:
            found[key] = _converted(hint, _value_of(texts[key], hint), full)
        elif key in values:
            found[key] = _converted(hint, values[key], full)
    return found


def _value_of(text: str, hint: object) -> Any:  # noqa: ANN401
    """What an option's text stands for, as YAML reads it; a text where one is wanted."""
    inner = typing.get_args(hint)
    if (hint is str or str in inner) and not text.lstrip().startswith("["):
        return None if text in ("null", "~") and type(None) in inner else text
    try:
        value = _document(text.encode())
        if value is None or isinstance(value, bool) or not any(typing.get_args(part)[:1] == (str,) for part in inner):
            return value
        return yaml.load(text, Loader=yaml.BaseLoader)  # a list of names: '2' and '1.10' are some
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _converted(hint: Any, value: Any, key: str) -> Any:  # noqa: ANN401
    try:
        return _as(hint, value)
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(f"{key} must be {_described(hint)[0]}, not {shown(value)}") from None


def _as(hint: Any, value: Any) -> Any:  # noqa: ANN401
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for part in inner:
            try:
                return _as(part, value)
            except (TypeError, ValueError):
                continue
        raise TypeError
    if origin is typing.Literal:
        if value not in inner:
            raise ValueError
        return value
    if origin is tuple:
        if inner[0] is str:
            whole = [value] if type(value) is int else value
            value = [str(each) if type(each) is int else each for each in whole] if isinstance(whole, list) else whole
        if isinstance(value, str) and value.strip():  # as other commands take lists
            value = [part.strip() if inner[0] is str else yaml.safe_load(part) for part in value.split(",")]
        if not isinstance(value, (list, tuple)) or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise TypeError
        hints = [inner[0]] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_as(part, each) for part, each in zip(hints, value, strict=True))
    if hint is float and not isinstance(value, bool):
        return float(value)  # YAML reads 1e-3 as a text
    if hint is type(None) and value is None:
        return None
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise TypeError
    return str(expanded(value)) if hint is str and value.startswith("~") else value


def _described(hint: Any) -> tuple[str, str]:  # noqa: ANN401
    """A type in words, and as a help text names its values.

    >>> _described(int | None), _described(tuple[float, float])
    (('a whole number or null', 'N'), ('a list of 2 numbers such as 1,2', 'X,X'))
    """
    if hint in _KINDS:
        return _KINDS[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        values = [str(value) for value in inner]
        return " or ".join(values), "|".join(values)
    if origin is tuple:
        kind = _KINDS[inner[0]][1]
        if inner[-1] is not Ellipsis:
            example = ",".join("123"[: len(inner)])
            return f"a list of {len(inner)} numbers such as {example}", ",".join([kind] * len(inner))
        words = "a list of names such as a,b" if inner[0] is str else "a list of numbers such as 1,2,0.5"
        return words, f"{kind},…"
    parts = [_described(part) for part in inner if part is not type(None)]
    null = ["null"] if type(None) in inner else []
    return " or ".join([words for words, _ in parts] + null), "|".join(values for _, values in parts)


def _fields(kind: type[Any], prefix: str = "") -> Iterator[tuple[str, Any, Any, str]]:
    """Key, type, default and help of every field, those of inner dataclasses included."""
    hints, texts = typing.get_type_hints(kind), _attributes(kind)
    for field in dataclasses.fields(kind):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _fields(hint, f"{key}.")
        else:
            yield key, hint, field.default, texts[field.name]


def _attributes(kind: type[Any]) -> dict[str, str]:
    """What the docstring says of each field, without markup."""
    block = re.search(r"Attributes:\n(.*?)(\n\n|\Z)", kind.__doc__ or "", re.DOTALL)
    assert block is not None
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", block[1], re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "").removesuffix(".") for name, text in entries}
