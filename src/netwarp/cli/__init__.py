"""The command line: ``netwarp COMMAND …``.

A command is a module with ``SUMMARY``, ``EXAMPLE``, ``add_arguments`` and ``run``, and a line in :data:`COMMANDS`.
None of them imports torch before it runs, so that help and mistakes in arguments are answered at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from netwarp.cli.parser import build_parser
from netwarp.cli.terminal import one_line_errors

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, str] = {
    "demo": "netwarp.lab.demo.command",
    "segment": "netwarp.cli.segment",
    "layers": "netwarp.cli.layers",
    "check-data": "netwarp.cli.check_data",
    "train": "netwarp.cli.train",
    "evaluate": "netwarp.cli.evaluate",
    "experiment": "netwarp.lab.study.command",
    "reproduce": "netwarp.lab.paper.command",
    "benchmark": "netwarp.lab.benchmark.command",
    "convert": "netwarp.cli.convert",
}
"""Name of a command → the module that declares and runs it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command."""
    # Read when torch is first imported. Its threads, waiting for the next operation, would otherwise spin on the cores
    # that decoding, flow, and other programs need: on a busy machine that costs several times what it saves.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("NETWARP_DEBUG", "0") not in ("", "0")
    with one_line_errors(debug) as outcome:
        commands = {name: import_module(module) for name, module in COMMANDS.items()}
        parser = build_parser(commands, arguments)
        options = parser.parse_args(arguments)
        if options.subcommand is None:
            parser.print_help()
        else:
            options[options.subcommand].debug = debug
            commands[options.subcommand].run(options[options.subcommand])
    return outcome.status
