"""Arguments: jsonargparse, with errors of one line that name the nearest valid option."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import re
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from jsonargparse import ArgumentParser, Namespace

from netwarp._version import __version__
from netwarp.errors import ConfigurationError, unknown_name

__all__ = ["Command", "CommandParser", "add_section", "build_parser", "from_text", "in_words", "section_of"]

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
    """
    group = parser.add_argument_group(name, (section.__doc__ or "").splitlines()[0])
    for key, hint, default, text in _fields(section):
        shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else _shown(default)
        group.add_argument(
            f"--{name}.{key}", type=hint, default=default, metavar=_metavar(hint), help=f"{text} (default: {shown})"
        )


def section_of(section: type[Section], values: Namespace | None) -> Section:
    """The dataclass with the values that were given."""
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


Value = TypeVar("Value")


class Command(Protocol):
    """What a module has to have to be a command.

    Attributes:
        SUMMARY: What it does, in a line.
        EXAMPLE: Calls of it, for the end of its help.
    """

    SUMMARY: str
    EXAMPLE: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare its arguments."""

    def run(self, options: Namespace) -> None:
        """Do it."""


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:  # noqa: ANN401
        # jsonargparse writes the parent's options into the name of a command.
        super().__init__(prog.replace(" [options]", ""), max_help_position=30, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wrap sentences to the terminal, and leave lines that are indented, the examples, as they are."""
        lines = (line if line.startswith(" ") else textwrap.fill(line, width) for line in text.splitlines())
        return "\n".join(indent + line for line in lines)


class CommandParser(ArgumentParser):
    """Raises :class:`ConfigurationError` instead of printing usage and leaving.

    Attributes:
        given: The arguments that are to be parsed, for messages that fit the command.
        command: Which command's arguments these are; "" for those of all.
    """

    given: Sequence[str] = ()
    command: str = ""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn argparse's message into a line of ours."""
        raise self._explained(" ".join(message.split())) from ex

    def _explained(self, message: str) -> ConfigurationError:
        if match := re.match(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message):
            return self._no_choice(match[1], match[2], re.findall(r"[^\s',]+", match[3]))
        if match := re.match(r"the following arguments are required: (.*)", message):
            return self._missing([name.rpartition(".")[2] for name in match[1].split(", ")])
        if match := re.match(r"unrecognized arguments: (.*)", message):
            return self._unrecognized(match[1].split())
        return self._about_configuration(message) or ConfigurationError(message.removeprefix("argument "))

    def _about_configuration(self, message: str) -> ConfigurationError | None:
        """What jsonargparse says of a configuration file, and of options that are its keys."""
        if match := re.match(r"Subcommand '.*' does not accept option '(.*)'", message):
            known = sorted({action.dest for action in self._actions_in_question() if "." in action.dest})
            return unknown_name("key", match[1], known)
        if match := re.match(r"Parser key \"config\": .*'(.*)'", message):
            return ConfigurationError(f"no configuration file at {match[1]}")
        if match := re.match(r"Problems parsing config: (.*)|Unexpected config: ?(.*)", message):
            why = match[1] or ("it has no keys" + (f", but {match[2]!r}" if match[2] else ""))
            return ConfigurationError(f"the configuration file cannot be read as YAML: {why}")
        if match := re.match(r"Parser key \"(.*?)\": .*(?:Got value|Given value): (.*)", message):
            hints = {action.dest: getattr(action, "_typehint", None) for action in self._actions_in_question()}
            return ConfigurationError(f"{match[1]} must be {in_words(hints.get(match[1]))}, not {match[2]}")
        return None

    def _no_choice(self, argument: str, value: str, known: list[str]) -> ConfigurationError:
        if argument.startswith("-"):
            return ConfigurationError(f"{argument.rpartition('/')[2]} must be {' or '.join(known)}, not {value!r}")
        return unknown_name(argument.lower(), value, known)

    def _missing(self, names: list[str]) -> ConfigurationError:
        actions = {action.dest: action for action in self._actions_in_question()}
        missing = [actions[name] for name in names if name in actions]
        if option := next((action.option_strings[-1] for action in missing if action.option_strings), None):
            return ConfigurationError(f"{option} is missing: {self._help_that_tells()} shows what to give")
        if choices := next((list(action.choices) for action in missing if action.choices), None):
            return ConfigurationError(f"{_name_of(missing[0])} is missing: give one of {', '.join(map(str, choices))}")
        verb, where = ("are", "them") if len(missing) > 1 else ("is", "it")
        said = " and ".join(map(_name_of, missing))
        return ConfigurationError(f"{said} {verb} missing: write {where} before the options")

    def _unrecognized(self, arguments: list[str]) -> ConfigurationError:
        wrong = next((argument.partition("=")[0] for argument in arguments if argument.startswith("-")), None)
        if wrong is None:
            return self._too_many(arguments[0])
        known = sorted({o for a in self._actions_in_question() for o in a.option_strings if o.startswith("--")})
        begun = [option for option in known if option.startswith(wrong)]
        return unknown_name("option", wrong, begun or known)

    def _too_many(self, argument: str) -> ConfigurationError:
        if Path(argument).exists():  # as those that a shell makes of a glob
            hint = "put quotes round a glob, so that the shell leaves it alone"
        else:
            takes = [_name_of(a) for a in self._actions_in_question() if not a.option_strings and _name_of(a)]
            hint = f"'netwarp {self._command()}' takes {' and '.join(takes) or 'options alone'}"
        return ConfigurationError(f"one argument too many: {argument!r} ({hint})")

    def _command(self) -> str:
        """The command that was given; "" if none was."""
        choices = next((a.choices or {} for a in self._actions if isinstance(a, argparse._SubParsersAction)), {})
        return next((name for name in self.given if name in choices), self.command)

    def _help_that_tells(self) -> str:
        return f"'{' '.join(filter(None, ('netwarp', self._command(), '--help')))}'"

    def _actions_in_question(self) -> list[argparse.Action]:
        """The actions of this parser and of the command that was given."""
        actions = list(self._actions)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction) and self._command() in action.choices:
                actions += action.choices[self._command()]._actions
        return actions


def _name_of(action: argparse.Action) -> str:
    """What help and messages call an argument without dashes; "" for the command itself."""
    if isinstance(action, argparse._SubParsersAction):
        return ""
    return action.metavar if isinstance(action.metavar, str) else action.dest.upper()


def from_text(convert: Callable[[str], Value]) -> Callable[[str | Value], Value]:
    """Make a function the ``type=`` of an argument: jsonargparse gives it its own results again, to check them."""

    @functools.wraps(convert)
    def idempotent(value: str | Value) -> Value:
        return convert(value) if isinstance(value, str) else value

    return idempotent


def build_parser(commands: Mapping[str, Command], given: Sequence[str]) -> CommandParser:
    """The parser of the whole command line."""
    parser = CommandParser(
        prog="netwarp",
        description="Any segmentation network on video: optical flow carries the previous frame's representation to "
        "the current one.",
        epilog="'netwarp COMMAND --help' explains a command, with examples.",
        version=__version__,
        allow_abbrev=False,
        formatter_class=_Help,
    )
    parser.given = given
    _add_debug(parser)
    subcommands = parser.add_subcommands(required=False, metavar="COMMAND", title="commands", description=None)
    for name, command in commands.items():
        subparser = CommandParser(
            description=command.SUMMARY, epilog=command.EXAMPLE, allow_abbrev=False, formatter_class=_Help
        )
        subparser.given, subparser.command = given, name
        command.add_arguments(subparser)
        _add_debug(subparser)
        subcommands.add_subcommand(name, subparser, help=command.SUMMARY)
    return parser


def _add_debug(parser: ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="print a traceback before the line of an error")
