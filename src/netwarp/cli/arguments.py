"""Typed requests: the fields of a command's dataclass are its arguments, and every mistake in them is one line."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from netwarp.cli.sections import add_section, fill_sections
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.input_files import expanded

Request = TypeVar("Request", bound="CommandRequest")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommandRequest:
    """What was asked of a command; commands add fields made by :func:`argument`, :func:`option` and :func:`flag`."""

    debug: bool = dataclasses.field(default=False, metadata={"help": "print a traceback before the line of an error"})

    def refuse(self, names: Iterable[str], why: str) -> None:
        """Raise ConfigurationError for the first of some options that was given; ``why`` follows its name."""
        for name in names:
            value = getattr(self, name)
            if value is not None and value is not False:
                raise ConfigurationError(f"{{option}} {why}", option=name)

    def files_named(self, *, but: Collection[str]) -> list[Path]:
        """The files and folders that texts name, also behind a colon, in all fields ``but`` some."""
        found = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            texts = [value] if isinstance(value, str) else value if isinstance(value, (list, tuple)) else []
            for text in (text for text in texts if isinstance(text, str) and text and field.name not in but):
                places = (expanded(part) for part in {text, text.partition(":")[2]} if part)
                found += [place for place in places if _is_there(place)]
        return found


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Make a reader of whole numbers in a range.

    >>> whole_number(0, 51)("18")
    18
    """

    def read(text: str) -> int:
        if not text.strip().isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return int(text)

    return read


def number(fits: Callable[[float], bool], what: str) -> Callable[[str], float]:
    """Make a reader of one number; ``fits`` and ``what`` are as for :func:`numbers`."""
    read = numbers(lambda found: len(found) == 1 and fits(found[0]), what)
    return lambda text: read(text)[0]


def numbers(fit: Callable[[tuple[float, ...]], bool], what: str) -> Callable[[str], tuple[float, ...]]:
    """Make a reader of numbers with commas between them, which must ``fit``; an error says ``what`` the text is not.

    >>> numbers(lambda found: len(found) == 2, "is no range")("0, 80")
    (0.0, 80.0)
    """

    def read(text: str) -> tuple[float, ...]:
        try:
            found = tuple(map(float, text.split(",")))
        except ValueError:
            found = ()
        if not fit(found):
            raise argparse.ArgumentTypeError(f"{text!r} {what}")
        return found

    return read


def local_place(text: str) -> str:
    """Refuse as an output what is no place on this machine, or a folder of that name would be made.

    >>> local_place("runs/mine")
    'runs/mine'
    """
    if text == "-":
        raise argparse.ArgumentTypeError("'-' is no place that is written to: name one, such as /dev/stdout for a text")
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+://", text):
        raise argparse.ArgumentTypeError(f"{text} is not on this machine: name a place here, and copy it from there")
    return text


def seconds(text: str) -> float:
    """Read a time: seconds, or hours, minutes and seconds with colons.

    >>> seconds("90.5"), seconds("1:30"), seconds("1:00:00")
    (90.5, 90.0, 3600.0)
    """
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write seconds, or 1:30 or 1:00:00")
    return 3600 * int(match[1] or 0) + 60 * int(match[2] or 0) + float(match[3])


def argument(metavar: str, text: str, **more: Any) -> Any:  # noqa: ANN401
    """Declare a positional argument; ``more`` is as for ``argparse``."""
    return dataclasses.field(metadata={"positional": True, "metavar": metavar, "help": text, **more})


def option(metavar: str, text: str, *, default: Any = None, **more: Any) -> Any:  # noqa: ANN401
    """Declare an option with a value; its name is the field's, with dashes.

    With ``names``, the known ones, it takes names apart or with commas between them.
    """
    return dataclasses.field(default=default, metadata={"metavar": metavar, "help": text, **more})


def flag(text: str) -> Any:  # noqa: ANN401
    """Declare an option without a value."""
    return dataclasses.field(default=False, metadata={"help": text})


MASK_VALUE = (
    "N=CLASS,…",
    "classes that numbers in label files stand for, where they are others, such as 255=1 in masks of 0 and 255",
)
"""Metavar and help of ``--mask-value``."""


def names_of(texts: Sequence[str] | None, known: Collection[str]) -> list[str]:
    """Names that were given apart, or with commas between them, which some known names have themselves.

    >>> names_of(["a,b", "c, d"], ["a", "b", "c, d"])
    ['a', 'b', 'c, d']
    """
    parts = ([text] if text in known else text.split(",") for text in texts or ())
    return [name.strip() for names in parts for name in names if name.strip()]


def option_name(field: str) -> str:
    """The option of a field.

    >>> option_name("side_by_side")
    '--side-by-side'
    """
    return f"--{field.replace('_', '-')}"


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(prog, max_help_position=30, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap sentences to the terminal, also those that go on in the next line, and leave indented lines as they are.

        A line that ends a sentence ends its paragraph.
        """
        paragraphs: list[str] = []
        goes_on = False
        for line in text.splitlines():
            if goes_on and line[:1].strip():
                paragraphs[-1] += f" {line}"
            else:
                paragraphs.append(line)
            goes_on = bool(line[:1].strip()) and not line.endswith((".", ":", "…"))
        wrapped = (line if line.startswith(" ") else textwrap.fill(line, width) for line in paragraphs)
        return "\n".join(indent + line for line in wrapped)


class Answer(SystemExit):
    """A text that was asked for, such as a help, and that ends the command."""

    def __init__(self, text: str) -> None:
        super().__init__(0)
        self.text = text


class Parser(argparse.ArgumentParser):
    """argparse that raises :class:`ConfigurationError` with the option and the nearest valid value."""

    def __init__(self, command: str, summary: str, example: str) -> None:
        super().__init__(
            prog=f"netwarp {command}".rstrip(), description=summary, epilog=example, allow_abbrev=False,
            formatter_class=_Help, exit_on_error=False,
        )  # fmt: skip
        self.required: list[argparse.Action] = []
        self._names: dict[str, Collection[str]] = {}

    def add_field(self, field: dataclasses.Field[Any]) -> None:
        """Declare the argument of a request's field."""
        more = dict(field.metadata)
        if (known := more.pop("names", None)) is not None:
            self._names[field.name] = known
        if more.pop("positional", False):
            more |= {"default": []} if more.get("nargs") == "*" else {}
            action = self.add_argument(field.name, **more)
        elif "metavar" in more:
            default = None if field.default is dataclasses.MISSING else field.default
            action = self.add_argument(option_name(field.name), default=default, **more)
        else:
            action = self.add_argument(option_name(field.name), action="store_true", **more)
        if action.required:
            self.required.append(action)
            action.required = False  # checked here, after names: a misspelt option explains a missing one

    def read(self, arguments: Sequence[str]) -> dict[str, Any]:
        """The values of all fields."""
        given = zip(arguments, [*arguments[1:], ""], strict=False)
        try:
            values, rest = self.parse_known_args([self._spelt_out(*pair) for pair in given])
        except argparse.ArgumentError as error:
            raise ConfigurationError(f"{error.argument_name}: {error.message}") from error
        if rest:
            raise self._not_taken(rest)
        if missing := [action for action in self.required if getattr(values, action.dest) in (None, [])]:
            raise self._missing(missing)
        return vars(values) | {
            name: names_of(given, known)
            for name, known in self._names.items()
            if (given := getattr(values, name)) is not None
        }

    def _spelt_out(self, text: str, following: str) -> str:
        """An option that may go without its value, with its usual one where no value of it follows."""
        for action in self._actions:
            if action.nargs == "?" and text in action.option_strings and following not in (action.choices or ()):
                return f"{text}={action.const}"
        return text

    def _print_message(self, message: str, file: Any = None) -> None:  # noqa: ANN401
        raise Answer(message.rstrip("\n"))

    def _check_value(self, action: argparse.Action, value: Any) -> None:  # noqa: ANN401
        if action.choices is None or value in action.choices:
            return
        known = list(map(str, action.choices))
        if action.option_strings:
            raise ConfigurationError(f"{action.option_strings[-1]} must be {' or '.join(known)}, not {value!r}")
        raise unknown_name(str(action.metavar).lower(), value, known)

    def _missing(self, missing: Sequence[argparse.Action]) -> ConfigurationError:
        if options := [action.option_strings[-1] for action in missing if action.option_strings]:
            return ConfigurationError(f"{options[0]} is missing: '{self.prog} --help' shows what to give")
        first = missing[0]
        if first.choices:
            choices = ", ".join(map(str, first.choices))
            return ConfigurationError(f"{_name_of(first)} is missing: give one of {choices}")
        verb, where = ("are", "them") if len(missing) > 1 else ("is", "it")
        names = " and ".join(map(_name_of, missing))
        return ConfigurationError(f"{names} {verb} missing: write {where} before the options")

    def _not_taken(self, rest: Sequence[str]) -> ConfigurationError:
        wrong = next((text.partition("=")[0] for text in rest if text.startswith("-")), None)
        if wrong is not None:
            known = sorted(name for action in self._actions for name in action.option_strings if name[:2] == "--")
            word = wrong.strip("-")
            helped = ((action.option_strings, action.help or "") for action in self._actions)
            about = [names[-1] for names, text in helped if names and word and text.startswith(word)]
            if about and not difflib.get_close_matches(wrong, known, cutoff=0.75):
                return ConfigurationError(f"no option named {wrong!r}: did you mean {' or '.join(map(repr, about))}?")
            return unknown_name("option", wrong, [name for name in known if name.startswith(wrong)] or known)
        if Path(rest[0]).exists():  # as those that a shell makes of a glob
            hint = "put quotes round a glob, so that the shell leaves it alone"
        else:
            takes = [_name_of(action) for action in self._actions if not action.option_strings]
            hint = f"'{self.prog}' takes {' and '.join(takes) or 'options alone'}"
        return ConfigurationError(f"one argument too many: {rest[0]!r} ({hint})")


def _name_of(action: argparse.Action) -> str:
    return action.option_strings[-1] if action.option_strings else str(action.metavar)


def read_request(request: type[Request], parser: Parser, arguments: Sequence[str]) -> Request:
    """Make a command's request of its arguments."""
    for field in dataclasses.fields(request):
        if "section" in field.metadata:
            add_section(parser, field.name, field.metadata["section"])
        else:
            parser.add_field(field)
    values = {name: _with_home(value) for name, value in parser.read(arguments).items()}
    return request(**(fill_sections(request, values) if "config" in values else values))


def _with_home(value: Any) -> Any:  # noqa: ANN401
    """An argument with the home folder in place of a leading ``~``, which a shell leaves in ``--out=~/runs``."""
    if isinstance(value, list):
        return [_with_home(each) for each in value]
    return str(expanded(value)) if isinstance(value, str) and value.startswith("~") and value != "~" else value


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that is no name of a file
        return False
