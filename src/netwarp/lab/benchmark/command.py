"""``netwarp benchmark``: what the warp costs over the memory's limit, and what video costs over single frames."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from netwarp.cli.arguments import argument, flag, option
from netwarp.cli.models import DeviceOption, device_named
from netwarp.cli.terminal import keep_freed_memory, quiet_loading, say
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.lab.study.command import count

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


@dataclass(frozen=True, kw_only=True)
class Request(DeviceOption):
    """What is asked for."""

    parts: list[str] = argument("PART", f"any of {', '.join(PARTS)} (default: all)", nargs="*")
    json: str | None = option("FILE", "write the figures there too")
    plot: str | None = option("FILE.png", "draw them too")
    runs: int | None = option("N", "of everything that is timed (default: by part, 3 to 7)", type=count)
    threads: int | None = option("N", "that torch and OpenCV use on the CPU (default: one for each core)", type=count)
    quick: bool = flag("tiny and short: to see that all of it runs")
    shape: list[tuple[int, int, int, int]] | None = option("B,C,h,w", "warp: of the maps", nargs="+", type=_shape)
    dtype: list[str] | None = option(
        "NAME", "warp: float32, bfloat16, float16 (default: float32; on a GPU all)", nargs="+"
    )
    motion: str = option(
        "smooth|random", "warp: of the flow (default: smooth)", choices=("smooth", "random"), default="smooth"
    )
    cpu_time: bool = flag("warp: CPU time of all threads, for a machine that others use")
    no_compile: bool = flag("warp: leave torch.compile out")
    network: list[str] | None = option("NAME", f"stream: some of {', '.join(NETWORKS)} (default: all)", nargs="+")
    flow: str = option("SPEC", "stream, streams, memory: the flow they use (default: dis)", default="dis")
    weights: list[str] | None = option(
        "[NETWORK=]FILE",
        "stream, streams: a network's weights (default: random ones, which are as fast); flow: those of --base",
        nargs="+",
    )
    data: str | None = option("SPEC", "flow: labelled clips, such as camvid:DIR")
    split: str | None = option("NAME", "flow: a part of them (default: val, or the only one)")
    base: str | None = option("SPEC", "flow: the network that labels them")
    raft: str | None = option(
        "large|FILE", "flow: RAFT's weights, to see its quality too (default: random ones, which are as fast)"
    )


def run(request: Request) -> None:
    """Measure; see the module."""
    parts = _parts(request.parts)
    by_network, base_weights = _weights(request.weights or [])
    for name in request.network or ():
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS)
    _check_belonging(request, parts, base_weights)
    with quiet_loading(request.debug):
        from netwarp.lab.benchmark.plan import FULL, QUICK, BenchmarkPlan
        from netwarp.lab.benchmark.run import benchmark

    plan = BenchmarkPlan(
        parts=parts,
        amounts=QUICK if request.quick else FULL,
        quick=request.quick,
        device=device_named(request.device),
        threads=request.threads,
        runs=request.runs,
        shapes=tuple(request.shape or ()),
        dtypes=tuple(request.dtype or ()),
        motion=request.motion,
        cpu_time=request.cpu_time,
        compile=not request.no_compile,
        networks=tuple(request.network or ()),
        weights=by_network,
        flow=request.flow,
        data=request.data,
        split=request.split,
        base=request.base,
        base_weights=base_weights,
        raft=request.raft,
        prepare=keep_freed_memory,
    )
    with _status_line() as (tell, print_above):
        benchmark(
            plan,
            say=print_above,
            tell=tell,
            json_file=None if request.json is None else Path(request.json),
            plot=None if request.plot is None else Path(request.plot),
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


def _check_belonging(request: Request, parts: tuple[str, ...], base_weights: str | None) -> None:
    """Refuse what only parts read that are not measured: somebody would wait for what never comes."""
    if base_weights is not None and request.base is None:
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
        if getattr(request, name) and not set(those) & set(parts):
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
