"""The command line: ``netwarp COMMAND …``.

A command is a line in :data:`COMMANDS` and a module with ``EXAMPLE``, ``Request``, a dataclass whose fields are its
arguments, and ``run(request)``. Only the module of the command that is asked for is imported, and none imports torch
before it runs, so that help and mistakes in arguments are answered at once.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from importlib import import_module

from netwarp._version import __version__
from netwarp.cli.arguments import CommandRequest, Parser, read_request
from netwarp.cli.terminal import one_line_errors, with_open_streams
from netwarp.errors import unknown_name

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "netwarp.lab.demo.command",
        "the whole story on street video that it renders and trains on itself; 3 to 6 minutes on two cores",
    ),
    "segment": ("netwarp.cli.segment", "segment a video: any network for single images, as an online video network"),
    "fleet": ("netwarp.cli.fleet", "segment many videos, by every device of this machine or of a Ray cluster"),
    "smooth": ("netwarp.cli.smooth", "steady label maps that another program saved, or fill a video from some of them"),
    "live": ("netwarp.cli.live", "show a camera and its labels in a browser, at the camera's rate"),
    "layers": ("netwarp.cli.layers", "list the layers of a network where a NetWarp can go"),
    "check-data": ("netwarp.cli.check_data", "read a whole data set, name its first fault, or say what is in it"),
    "train": ("netwarp.cli.train", "train a video model, or a network frame by frame, on labelled clips"),
    "evaluate": ("netwarp.cli.evaluate", "measure a network, a video model, or label maps against labelled clips"),
    "experiment": (
        "netwarp.lab.study.command",
        "train and test NetWarp at several depths on both halves of labelled video, against controls",
    ),
    "reproduce": ("netwarp.lab.paper.command", "make the paper's tables and figures anew, its numbers beside them"),
    "benchmark": (
        "netwarp.lab.benchmark.command",
        "measure speed: the warp against the memory's limit, streams against frame by frame, flow, memory",
    ),
    "export": ("netwarp.cli.export", "write a model as an ONNX file, a step of a stream with its state, and check it"),
    "convert": ("netwarp.cli.convert", "turn a published Caffe model into a file that netwarp loads"),
}
"""Name of a command → the module that declares and runs it, and what it does in a line."""

_EPILOG = "'netwarp COMMAND --help' explains a command, with examples."
_DESCRIPTION = (
    "Any segmentation network on video: optical flow carries the previous frame's representation to the current one."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command: 0, or 2 after one line on stderr that says what was wrong and what to do.

    Without arguments it runs this process's, and is the last that it does.
    """
    with_open_streams()
    # Read when torch is first imported. Its threads, waiting for the next operation, would otherwise spin on the cores
    # that decoding, flow, and other programs need: on a busy machine that costs several times what it saves.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments or os.environ.get("NETWARP_DEBUG", "0") not in ("", "0")

    def work() -> None:
        place = next((i for i, text in enumerate(arguments) if not text.startswith("-")), len(arguments))
        parser = _top_parser()
        parser.read(arguments[:place])  # --help and --version end here
        if place == len(arguments):
            parser.print_help()  # which ends here too
        name = arguments[place]
        if name not in COMMANDS:
            raise unknown_name("command", name, COMMANDS)
        module, summary = COMMANDS[name]
        command = import_module(module)
        parser = Parser(name, summary, command.EXAMPLE)
        rest = [*arguments[place + 1 :], *(["--debug"] if debug else [])]
        command.run(read_request(command.Request, parser, rest))

    return one_line_errors(work, debug, whole_process=argv is None)


def _top_parser() -> Parser:
    width = shutil.get_terminal_size().columns - 2
    commands = "\n".join(
        textwrap.fill(f"  {name:<12}{summary}", width, subsequent_indent=14 * " ")
        for name, (_, summary) in COMMANDS.items()
    )
    parser = Parser("", _DESCRIPTION, f"commands:\n{commands}\n\n{_EPILOG}")
    parser.usage = "netwarp [--help] [--version] COMMAND …"
    parser.add_argument("--version", action="version", version=f"netwarp {__version__}")
    for field in fields(CommandRequest):
        parser.add_field(field)
    return parser
