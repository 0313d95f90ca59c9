"""What is to be measured, and how much of everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
    together: tuple[int, ...]  # numbers of streams in one process
    together_size: tuple[int, int]  # (height, width) of their frames
    together_frames: int  # results that count, of all streams together
    together_runs: int  # of each number of streams
    small_size: tuple[int, int]  # (height, width) of the frames that memory is measured with
    lengths: tuple[int, ...]  # frames after which memory is looked at
    flow_sizes: tuple[tuple[int, int], ...]  # (height, width) of frames that flow is timed on
    minutes: Mapping[str, float]  # what each part takes on two cores, about; the stream's is that of its networks


FULL = Amounts(
    shapes=((1, 1024, 128, 128), (1, 512, 90, 90), (1, 11, 360, 480), (1, 11, 60, 45)),
    gpu_shapes=((1, 4096, 128, 256), (1, 128, 256, 4096)),
    rounds=7,
    slow_rounds=3,
    streams={
        "espnet": StreamAmount((360, 480), 4, 30, 5, 3.8),
        "lraspp": StreamAmount((360, 480), 4, 30, 5, 0.7),
        # Several seconds a frame.
        "dilation8": StreamAmount((360, 480), 1, 2, 3, 3.1),
        "pspnet101": StreamAmount((713, 713), 1, 2, 3, 3.5),
    },
    trained=True,
    together=(1, 2, 4, 8),
    together_size=(360, 480),
    together_frames=64,
    together_runs=3,
    small_size=(180, 240),
    lengths=(50, 200, 1000),
    flow_sizes=((360, 480), (480, 640)),
    minutes={"warp": 3.0, "streams": 3.3, "memory": 1.7, "flow": 0.8},
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
    together=(1, 2),
    together_size=(96, 128),
    together_frames=8,
    together_runs=1,
    small_size=(48, 64),
    lengths=(5, 10, 20),
    flow_sizes=((96, 128),),
    minutes={"warp": 0.5, "streams": 0.3, "memory": 0.3, "flow": 0.2},
)
"""To see that all of it runs: sizes and numbers of runs are too small for the figures to mean anything."""


def no_preparation() -> None:
    """Streams run as in any program that imports this library."""


@dataclass(frozen=True)
class BenchmarkPlan:
    """What is to be measured; the defaults are the command's."""

    parts: tuple[str, ...] = ("warp", "stream", "streams", "memory", "flow")  # names out of PARTS, in their order
    amounts: Amounts = FULL  # how much of everything
    quick: bool = False  # whether the figures mean nothing
    device: str = "cpu"  # where networks run and maps lie, in torch's words
    threads: int | None = None  # that torch and OpenCV use; None for their own numbers
    runs: int | None = None  # in place of every number of rounds and runs
    shapes: tuple[Shape, ...] = ()  # of maps for the warp, in place of those of the amounts
    dtypes: tuple[str, ...] = ()  # theirs; by default float32, and on a GPU bfloat16 and float16 too
    motion: str = "smooth"  # flow of the warp, "smooth" or "random"
    cpu_time: bool = False  # whether the warp's times are those of all threads on the CPU instead of the wall's clock
    compile: bool = True  # whether torch.compile takes part
    networks: tuple[str, ...] = ()  # that are streamed; by default all of the amounts
    weights: Mapping[str, str] = field(default_factory=dict)  # files of weights by the networks' names
    flow: str = "dis"  # spec of the flow that streams use
    data: str | None = None  # spec of labelled clips for the quality of flow; None leaves that out
    split: str | None = None  # A part of the data
    base: str | None = None  # spec of the network for it
    base_weights: str | None = None  # its weights
    raft: str | None = None  # weights for RAFT, "large" or a file; None takes random ones, which are as fast
    # called first in each process that streams: what the command does to its own before it segments
    prepare: Callable[[], None] = no_preparation

    @property
    def streamed(self) -> tuple[str, ...]:
        """Names of the networks that are streamed."""
        return self.networks or tuple(self.amounts.streams)

    @property
    def minutes(self) -> float:
        """What all of it takes on two cores, about, with the numbers of runs that the amounts say."""
        by_network = {name: amount.minutes for name, amount in self.amounts.streams.items()}
        stream = sum(by_network.get(name, 1.0) for name in self.streamed)
        return sum(stream if part == "stream" else self.amounts.minutes[part] for part in self.parts)
