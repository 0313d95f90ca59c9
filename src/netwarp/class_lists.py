"""Files that list classes: ``classes.txt`` of a data set, and palettes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from netwarp.errors import InputError
from netwarp.label_sets import IGNORE, Colour, LabelSet, label_set

VOID = ("void", "ignore")
"""Names of what is no class, where they have a colour."""


@dataclass(frozen=True)
class ClassList:
    """The lines of ``classes.txt``: each a name and its colour or None. ``void 0 0 0`` lists what is ignored."""

    names: tuple[str, ...]
    colours: tuple[Colour | None, ...]

    @property
    def labels(self) -> tuple[int, ...]:
        """What each line's pixels are: the class's number, or IGNORE.

        >>> ClassList(("road", "void", "sky"), (None, (0, 0, 0), None)).labels
        (0, 255, 1)
        """
        there = [not _is_void(*line) for line in zip(self.names, self.colours, strict=True)]
        return tuple(sum(there[:number]) if each else IGNORE for number, each in enumerate(there))

    def label_set(self) -> LabelSet:
        """The classes; colours that are not given are those that are usual for their names."""
        lines = [line for line in zip(self.names, self.colours, strict=True) if not _is_void(*line)]
        usual = label_set(len(lines), tuple(name for name, _ in lines))
        return LabelSet(usual.names, tuple(own or other for (_, own), other in zip(lines, usual.palette, strict=True)))


def _is_void(name: str, colour: Colour | None) -> bool:
    return colour is not None and name.casefold() in VOID


def read_class_list(path: Path) -> ClassList:
    """Read ``classes.txt``: a class a line, its name and its colour (``r g b``, behind it or before) or none.

    ``#`` begins a comment.

    Raises:
        InputError: The file cannot be read, has no classes or too many, or two of a name.
    """
    lines: list[tuple[str, Colour | None]] = []
    classes: set[str] = set()
    for number, words in _lines(path):
        colour, name = _parts(words)
        if colour is not None and max(colour) > 255:
            raise InputError(f"{path}, line {number}: a colour is three numbers of 0 to 255, not {list(colour)}")
        lines.append((name, colour))
        if _is_void(name, colour):
            continue
        if name in classes:
            raise InputError(f"{path}, line {number}: there is a class {name!r} already")
        classes.add(name)
    if not (classes and len(lines) <= IGNORE):
        raise InputError(f"{path} names {len(classes)} classes: 1 to {IGNORE} can be told apart")
    return ClassList(tuple(name for name, _ in lines), tuple(colour for _, colour in lines))


def read_palette(path: Path) -> LabelSet | tuple[Colour, ...]:
    """Read colours: those of named classes, as in ``classes.txt``, or nothing but ``r g b`` in each line.

    Raises:
        InputError: As :func:`read_class_list`; or a line has no colour.
    """
    lines = list(_lines(path))
    bare = [re.fullmatch(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)", " ".join(words), re.ASCII) for _, words in lines]
    for found, (number, words) in zip(bare, lines, strict=True):
        if (any(bare) and not found) or (found and max(map(int, found.groups())) > 255):
            raise InputError(f"{path}, line {number}: a colour is three numbers of 0 to 255, not {' '.join(words)!r}")
    if any(bare):
        triples = (map(int, found.groups()) for found in bare if found)
        return tuple((red, green, blue) for red, green, blue in triples)
    listed = read_class_list(path)
    if None in listed.colours:
        name = listed.names[listed.colours.index(None)]
        raise InputError(f"{path} has no colour for {name}: write three numbers of 0 to 255 behind each name")
    return LabelSet(listed.names, tuple(colour for colour in listed.colours if colour is not None))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The words of each line, with its number, but for comments."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing: write the name of each class into it (and its colour: R G B), a line each"
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{path} cannot be read ({why}): give a text, a class a line") from error
    for number, line in enumerate(lines, 1):
        if words := line.partition("#")[0].split():
            yield number, words


def _parts(words: list[str]) -> tuple[Colour | None, str]:
    for colour, name in ((words[-3:], words[:-3]), (words[:3], words[3:])):
        if name and len(colour) == 3 and all(word.isascii() and word.isdecimal() for word in colour):
            red, green, blue = map(int, colour)
            return (red, green, blue), " ".join(name)
    return None, " ".join(words)
