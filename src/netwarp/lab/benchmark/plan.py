"""What is asked of ``netwarp benchmark``, and how much of everything is measured for it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace

from netwarp.cli.arguments import argument, flag, local_place, option, option_name
from netwarp.cli.network_options import DeviceOption, several_keyframes
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.lab.study.command import count

PARTS = ("warp", "stream", "streams", "memory", "flow", "engines")
NETWORKS = ("espnet", "lraspp", "dilation8", "pspnet101")
DTYPES = ("float32", "bfloat16", "float16")

Shape = tuple[int, int, int, int]
"""``(B, C, h, w)``."""


@dataclass(frozen=True)
class StreamAmount:
    """How much of a network's stream is run."""

    size: tuple[int, int]  # (height, width) of frames
    dropped: int  # first results that do not count; the first frame has no past, and the next ones load what is needed
    frames: int  # results that do, in each run
    runs: int  # of each model
    minutes: float  # what all of it takes on two cores, about

    def between(self, keyframes: str) -> StreamAmount:
        """The same where the network runs on keyframes: so many results that every 2nd and every 3rd come out even."""
        return self if keyframes == "all" else replace(self, frames=-(-self.frames // EVEN) * EVEN)


EVEN = 6


@dataclass(frozen=True)
class Amounts:
    """How much of everything is measured."""

    shapes: tuple[Shape, ...]  # of maps for the warp, on a CPU
    gpu_shapes: tuple[Shape, ...]  # more of them, on a GPU
    rounds: int  # of the warp and of DIS
    slow_rounds: int  # of RAFT
    streams: Mapping[str, StreamAmount]  # how much of each network is streamed, by its name
    # whether several streams, and memory, are looked at with a NetWarp too, and not only without training
    trained: bool
    groups: tuple[int, ...]  # numbers of streams in one process
    group_size: tuple[int, int]  # (height, width) of their frames
    group_frames: int  # results that count, of all streams of a group
    group_runs: int  # of each group
    small_size: tuple[int, int]  # (height, width) of the frames that memory is measured with
    lengths: tuple[int, ...]  # frames after which memory is looked at
    flow_sizes: tuple[tuple[int, int], ...]  # (height, width) of frames that flow is timed on
    engines: tuple[str, ...]  # networks that run in each engine
    minutes: Mapping[str, float]  # what each part takes on two cores, about; the stream's is that of its networks


FULL = Amounts(
    shapes=((1, 1024, 128, 128), (1, 512, 90, 90), (1, 11, 360, 480), (1, 11, 60, 45)),
    gpu_shapes=((1, 4096, 128, 256), (1, 128, 256, 4096)),
    rounds=7,
    slow_rounds=3,
    streams={
        "espnet": StreamAmount((360, 480), 4, 30, 5, 5.0),
        "lraspp": StreamAmount((360, 480), 4, 30, 5, 1.1),
        # Several seconds a frame.
        "dilation8": StreamAmount((360, 480), 1, 2, 3, 5.7),
        "pspnet101": StreamAmount((713, 713), 1, 2, 3, 6.4),
    },
    trained=True,
    groups=(1, 2, 4, 8),
    group_size=(360, 480),
    group_frames=64,
    group_runs=3,
    small_size=(180, 240),
    lengths=(50, 200, 1000),
    flow_sizes=((360, 480), (480, 640)),
    engines=("espnet", "lraspp"),
    minutes={"warp": 3.0, "streams": 3.3, "memory": 1.7, "flow": 0.8, "engines": 2.5},
)
"""What is measured unless somebody is in a hurry."""

QUICK = Amounts(
    shapes=((1, 64, 32, 32),),
    gpu_shapes=(),
    rounds=3,
    slow_rounds=1,
    streams={
        "espnet": StreamAmount((96, 128), 2, 4, 2, 0.3),
        "lraspp": StreamAmount((96, 128), 2, 4, 2, 0.2),
    },
    trained=False,
    groups=(1, 2),
    group_size=(96, 128),
    group_frames=8,
    group_runs=1,
    small_size=(48, 64),
    lengths=(5, 10, 20),
    flow_sizes=((96, 128),),
    engines=("espnet",),
    minutes={"warp": 0.5, "streams": 0.3, "memory": 0.3, "flow": 0.2, "engines": 1.0},
)
"""To see that all of it runs: sizes and numbers of runs are too small for the figures to mean anything."""


def _shape(text: str) -> Shape:
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

    parts: list[str] = argument("PART", f"any of {', '.join(PARTS)} (default: all)", nargs="*", names=PARTS)
    json: str | None = option("FILE", "write the figures there too", type=local_place)
    plot: str | None = option("FILE.png", "draw them too", type=local_place)
    runs: int | None = option("N", "of everything that is timed (default: by part, 3 to 7)", type=count)
    threads: int | None = option("N", "that torch and OpenCV use on the CPU (default: one for each core)", type=count)
    quick: bool = flag("tiny and short: to see that all of it runs")
    shape: list[Shape] | None = option("B,C,h,w", "warp: of the maps", nargs="+", type=_shape)
    dtype: list[str] | None = option(
        "NAME", "warp: float32, bfloat16, float16 (default: float32; on a GPU all)", nargs="+", names=DTYPES
    )
    motion: str = option(
        "smooth|random", "warp: of the flow (default: smooth)", choices=("smooth", "random"), default="smooth"
    )
    cpu_time: bool = flag("warp: CPU time of all threads, for a machine that others use")
    no_compile: bool = flag("warp, engines: leave torch.compile out")
    network: list[str] | None = option(
        "NAME", f"stream: some of {', '.join(NETWORKS)} (default: all)", nargs="+", names=NETWORKS
    )
    keyframes: tuple[str, ...] | None = option(
        "WHICH,…",
        "stream: of the model without training, as for 'netwarp segment' (default: all,2,3,auto)",
        type=several_keyframes,
    )
    flow: str = option("SPEC", "stream, streams, memory: the flow they use (default: dis)", default="dis")
    weights: list[str] | None = option(
        "[NETWORK=]FILE",
        "stream, streams, engines: a network's weights (default: random ones, as fast); flow: those of --base",
        nargs="+",
    )
    data: str | None = option("SPEC", "flow: labelled clips, such as camvid:DIR")
    split: str | None = option("NAME", "flow: a part of them (default: val, or the only one)")
    base: str | None = option("SPEC", "flow: the network that labels them")
    raft: str | None = option(
        "large|FILE", "flow: RAFT's weights, to see its quality too (default: random ones, which are as fast)"
    )

    @property
    def amounts(self) -> Amounts:
        """How much of everything."""
        return QUICK if self.quick else FULL

    @property
    def measured(self) -> tuple[str, ...]:
        """The parts, in their order."""
        return tuple(part for part in PARTS if part in (self.parts or PARTS))

    @property
    def streamed(self) -> tuple[str, ...]:
        """Names of the networks that are streamed."""
        return tuple(self.network or self.amounts.streams)

    @property
    def weight_files(self) -> dict[str, str]:
        """Files of weights by their networks' names; under "" that of ``--base``."""
        files: dict[str, str] = {}
        for text in self.weights or ():
            name, equals, file = text.partition("=")
            # A file's name may have an = in it, but no network has a folder or a suffix.
            if not equals or not name.isalnum():
                name, file = "", text
                if name in files:
                    raise ConfigurationError(
                        f"two files of weights for --base: say which is whose, as espnet={files[name]}"
                    )
            files[name] = file
        return files

    @property
    def minutes(self) -> float:
        """What all of it takes on two cores, about, with the numbers of runs that the amounts say."""
        by_network = {name: amount.minutes for name, amount in self.amounts.streams.items()}
        stream = sum(by_network.get(name, 1.0) for name in self.streamed)
        return sum(stream if part == "stream" else self.amounts.minutes[part] for part in self.measured)


_READERS = {
    "shape": "warp",
    "dtype": "warp",
    "cpu_time": "warp",
    "network": "stream",
    "keyframes": "stream",
    "data": "flow",
    "split": "flow",
    "base": "flow",
    "raft": "flow",
}
"""Options that one part alone reads."""


def check_request(request: Request) -> None:
    """Refuse unknown names, and options that nothing that is measured reads: somebody would wait in vain."""
    files = request.weight_files
    for kind, names, known in (
        ("part", request.parts, PARTS),
        ("network", [*(request.network or ()), *(name for name in files if name)], NETWORKS),
        ("dtype", request.dtype or (), DTYPES),
    ):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    if "" in files and request.base is None:
        raise ConfigurationError(f"--weights {files['']} is nobody's: write NETWORK={files['']}, or give --base")
    for name, part in _READERS.items():
        if getattr(request, name) and part not in request.measured:
            raise ConfigurationError(f"{option_name(name)} belongs to part {part}, which is not measured")
    if request.base is not None and request.data is None:
        raise ConfigurationError("--base goes with --data, labelled clips that show what each flow is worth")
    if request.data is not None and request.base is None:
        raise ConfigurationError("--data is there for the quality of flow, and needs a network: give --base SPEC")
