"""Arguments: jsonargparse, with errors of one line that name the nearest valid option."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

from jsonargparse import ArgumentParser, Namespace

from netwarp import __version__
from netwarp.errors import ConfigurationError, unknown_name

__all__ = ["Command", "CommandParser", "build_parser"]


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
        """Do it.

        Raises:
            NetWarpError: it could not be done, or not wholly.
        """


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **options: Any) -> None:  # noqa: ANN401
        # jsonargparse writes the parent's options into the name of a command.
        super().__init__(prog.replace(" [options]", ""), max_help_position=30, **options)


class CommandParser(ArgumentParser):
    """Raises :class:`ConfigurationError` instead of printing usage and leaving."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn argparse's message into a line of ours."""
        raise self._explained(message) from ex

    def _explained(self, message: str) -> ConfigurationError:
        text = " ".join(message.split())
        if match := re.match(r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", text):
            kind = "command" if match[1] == "subcommand" else f"value of {match[1]}"
            return unknown_name(kind, match[2], re.findall(r"'([^']*)'", match[3]))
        if match := re.match(r"the following arguments are required: (.*)", text):
            missing = re.sub(r"\b\w+\.(\w+)", lambda m: m[1].upper(), match[1])
            return ConfigurationError(f"{missing} is missing: what is no option comes first, options behind it")
        if match := re.match(r"unrecognized arguments: (.*)", text):
            return self._unrecognized(match[1].split())
        return ConfigurationError(f"{text.removeprefix('argument ')} ('netwarp COMMAND --help' shows what it takes)")

    def _unrecognized(self, arguments: list[str]) -> ConfigurationError:
        options = [argument.partition("=")[0] for argument in arguments if argument.startswith("-")]
        if options:
            return unknown_name("option", options[0], self._all_options())
        return ConfigurationError(
            f"one argument too many: {arguments[0]!r} (put quotes round a glob, so that the shell leaves it alone)"
        )

    def _all_options(self) -> list[str]:
        parsers: list[argparse.ArgumentParser] = [self]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
        known = {name for parser in parsers for action in parser._actions for name in action.option_strings}
        return sorted(name for name in known if name.startswith("--"))


def build_parser(commands: Mapping[str, Command]) -> CommandParser:
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
    _add_debug(parser)
    subcommands = parser.add_subcommands(required=False, metavar="COMMAND", title="commands", description=None)
    for name, command in commands.items():
        subparser = CommandParser(
            description=command.SUMMARY, epilog=command.EXAMPLE, allow_abbrev=False, formatter_class=_Help
        )
        command.add_arguments(subparser)
        _add_debug(subparser)
        subcommands.add_subcommand(name, subparser, help=command.SUMMARY)
    return parser


def _add_debug(parser: ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="print a traceback before the line of an error")
