"""``netwarp benchmark``: what the warp costs over the memory's limit, and what video costs over single frames."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.models import add_device_argument, device_named
from netwarp.cli.parser import from_text
from netwarp.cli.terminal import keep_freed_memory, quiet_loading, say
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.lab.study.command import count

SUMMARY = "measure speed: the warp against the memory's limit, streams against frame by frame, flow, memory"

EXAMPLE = """\
examples:
  netwarp benchmark
  netwarp benchmark --quick
  netwarp benchmark warp --shape 1,1024,128,128 1,19,512,1024
  netwarp benchmark stream --network espnet lraspp --json speed.json
  netwarp benchmark warp stream streams memory --plot speed.png
  netwarp benchmark flow --data camvid:DIR --split val \\
      --base netwarp:espnet --weights espnet.pth

PART is warp (warp_combine, forward and backward, against grid_sample, torch.compile and the memory's limit), stream \
(whole streams against the network frame by frame), streams (several in one process), memory (by length and number of \
streams) or flow (times; with --data what each is worth); by default all of them, some twenty minutes on two cores.
What is compared takes turns; printed are medians. Ctrl-C prints and writes what is there.
docs/speed.md explains the tables and the JSON."""

PARTS = ("warp", "stream", "streams", "memory", "flow")
NETWORKS = ("espnet", "lraspp", "dilation8", "pspnet101")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--plot", metavar="FILE.png", help="draw them too")
    parser.add_argument(
        "--runs", metavar="N", type=count, help="of everything that is timed (default: by part, 3 to 7)"
    )
    parser.add_argument(
        "--threads", metavar="N", type=count, help="that torch and OpenCV use on the CPU (default: one for each core)"
    )
    add_device_argument(parser)
    parser.add_argument("--quick", action="store_true", help="tiny and short: to see that all of it runs")
    parser.add_argument("--shape", nargs="+", metavar="B,C,h,w", type=_shape, help="warp: of the maps")
    parser.add_argument(
        "--dtype", nargs="+", metavar="NAME", help="warp: float32, bfloat16, float16 (default: float32; on a GPU all)"
    )
    parser.add_argument(
        "--motion", choices=("smooth", "random"), default="smooth", help="warp: of the flow (default: smooth)"
    )
    parser.add_argument(
        "--cpu-time", action="store_true", help="warp: CPU time of all threads, for a machine that others use"
    )
    parser.add_argument("--no-compile", action="store_true", help="warp: leave torch.compile out")
    parser.add_argument(
        "--network", nargs="+", metavar="NAME", help=f"stream: some of {', '.join(NETWORKS)} (default: all)"
    )
    parser.add_argument(
        "--flow", metavar="SPEC", default="dis", help="stream, streams, memory: the flow they use (default: dis)"
    )
    parser.add_argument(
        "--weights",
        nargs="+",
        metavar="[NETWORK=]FILE",
        help="stream, streams: a network's weights (default: random ones, which are as fast); flow: those of --base",
    )
    parser.add_argument("--data", metavar="SPEC", help="flow: labelled clips, such as camvid:DIR")
    parser.add_argument("--split", metavar="NAME", help="flow: a part of them (default: val, or the only one)")
    parser.add_argument("--base", metavar="SPEC", help="flow: the network that labels them")
    parser.add_argument(
        "--raft",
        metavar="large|FILE",
        help="flow: RAFT's weights, to see its quality too (default: random ones, which are as fast)",
    )


def run(options: Namespace) -> None:
    """Measure; see the module."""
    parts = _parts(options.parts)
    by_network, base_weights = _weights(options.weights or [])
    for name in options.network or ():
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS)
    _check_belonging(options, parts, base_weights)
    with quiet_loading(options.debug):
        from netwarp.lab.benchmark.plan import FULL, QUICK, Asked
        from netwarp.lab.benchmark.run import benchmark

    asked = Asked(
        parts=parts,
        amounts=QUICK if options.quick else FULL,
        quick=options.quick,
        device=device_named(options.device),
        threads=options.threads,
        runs=options.runs,
        shapes=tuple(options.shape or ()),
        dtypes=tuple(options.dtype or ()),
        motion=options.motion,
        cpu_time=options.cpu_time,
        compile=not options.no_compile,
        networks=tuple(options.network or ()),
        weights=by_network,
        flow=options.flow,
        data=options.data,
        split=options.split,
        base=options.base,
        base_weights=base_weights,
        raft=options.raft,
        prepare=keep_freed_memory,
    )
    with _status_line() as (tell, print_above):
        benchmark(
            asked,
            say=print_above,
            tell=tell,
            json_file=None if options.json is None else Path(options.json),
            plot=None if options.plot is None else Path(options.plot),
        )


def _parts(names: list[str]) -> tuple[str, ...]:
    for name in names:
        if name not in PARTS:
            raise unknown_name("part", name, PARTS)
    return tuple(part for part in PARTS if part in names) or PARTS


def _weights(texts: list[str]) -> tuple[dict[str, str], str | None]:
    """The files by network, and the one for ``--base``."""
    by_network: dict[str, str] = {}
    others = []
    for text in texts:
        name, equals, file = text.partition("=")
        # A file's name may have an = in it, but no network has a folder or a suffix.
        if equals and name.isalnum():
            if name not in NETWORKS:
                raise unknown_name("network", name, NETWORKS)
            by_network[name] = file
        else:
            others.append(text)
    if len(others) > 1:
        raise ConfigurationError(f"two files of weights for --base: say which is whose, as espnet={others[0]}")
    return by_network, others[0] if others else None


def _check_belonging(options: Namespace, parts: tuple[str, ...], base_weights: str | None) -> None:
    """Refuse what only parts read that are not measured: somebody would wait for what never comes."""
    if base_weights is not None and options.base is None:
        raise ConfigurationError(f"--weights {base_weights} is nobody's: write NETWORK={base_weights}, or give --base")
    readers = {
        "shape": ("warp",),
        "dtype": ("warp",),
        "cpu_time": ("warp",),
        "network": ("stream",),
        "data": ("flow",),
        "split": ("flow",),
        "base": ("flow",),
        "raft": ("flow",),
    }
    for name, those in readers.items():
        if options[name] and not set(those) & set(parts):
            raise ConfigurationError(f"--{name.replace('_', '-')} belongs to part {those[0]}, which is not measured")


@contextlib.contextmanager
def _status_line() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """On a terminal a line that says what is being done, and a way to print above it; elsewhere only the printing."""
    if not sys.stderr.isatty():
        yield lambda _: None, say
        return
    from tqdm import tqdm

    with tqdm(bar_format="{desc} ({elapsed})", leave=False, dynamic_ncols=True) as line:

        def print_above(text: str) -> None:
            with line.external_write_mode(file=sys.stdout):
                say(text)

        yield line.set_description_str, print_above


@from_text
def _shape(text: str) -> tuple[int, int, int, int]:
    """Read ``--shape``.

    >>> _shape("1,11,60,45")
    (1, 11, 60, 45)
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() and 1 <= int(part) <= 10**6 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape: write four numbers, such as 1,1024,128,128")
    batch, channels, h, w = map(int, parts)
    return batch, channels, h, w
