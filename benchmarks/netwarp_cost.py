"""What NetWarp costs with the paper's networks, in times of the network frame by frame: medians of alternating runs.

    python benchmarks/netwarp_cost.py                             # PSPNet-101 at 713×713, dilation8 at 480×360
    python benchmarks/netwarp_cost.py --network pspnet101 --whole # 2048×1024 in 8 windows, as the paper runs it
    python benchmarks/netwarp_cost.py --network dilation8 --size 960x720 --flow dis:fast --json cost.json
    OMP_NUM_THREADS=1 python benchmarks/netwarp_cost.py --cpu-time   # on a machine that others use too

The paper's times (tables 3 and 4) are the limits: 3.04 s for 3.00 s, 395 ms for 380 ms, flow included. A round is a
step of each model on the same frame of a rendered street, in turn; the ratio is the median of the rounds' ratios. Parts
of a step are timed inside of those steps, FlowCNN with the preparation of what it is shown; but for the memory: what is
kept of a frame is copied once more after its step. "By parts" is 1 + parts / frame by frame, which a busy machine
disturbs less than the ratio of whole steps. All models share one network, with random weights.

'netwarp benchmark stream' times whole streams, in which flow and reading overlap with the network.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor

from netwarp import VideoModel
from netwarp.inference.sliding import Sliding
from netwarp.lab.benchmark.networks import FLOW_CNNS, FRAME_BY_FRAME, Around, load_network
from netwarp.lab.benchmark.networks import NETWORKS as STREAMED
from netwarp.lab.benchmark.rounds import in_turn
from netwarp.lab.output import markdown_table
from netwarp.streets import render_clip

WHOLE = (1024, 2048)
FRAMES = 4


@dataclass(frozen=True)
class Network:
    """A network of the paper: (height, width), the paper's ratio, and what is measured on it."""

    size: tuple[int, int]
    limit: float
    models: tuple[Around, ...]


NETWORKS = {
    "pspnet101": Network((713, 713), 1.013, (*STREAMED["pspnet101"].netwarps, Around(("conv5_4",), "release"))),
    "dilation8": Network((360, 480), 1.04, STREAMED["dilation8"].netwarps),
}


@dataclass(frozen=True)
class Row:
    """What was measured of one model; times are medians in ms."""

    network: str
    size: str
    layers: tuple[str, ...]
    flow_cnn: str
    frame_by_frame: float
    with_netwarp: float
    ratio: float
    by_parts: float
    limit: float
    flow: float
    flow_cnn_ms: float
    by_layer: dict[str, float]
    memory: float

    @property
    def cells(self) -> list[str]:
        where = ", ".join(self.layers) if len(self.layers) < 3 else f"{len(self.layers)} context layers"
        return [
            f"{self.network}, {self.size}", where, self.flow_cnn, f"{self.frame_by_frame:.0f}",
            f"{self.with_netwarp:.0f}", f"{self.ratio:.3f}", f"{self.by_parts:.3f}", f"{self.limit:.3f}",
            *(f"{ms:.1f}" for ms in (self.flow, self.flow_cnn_ms, sum(self.by_layer.values()), self.memory)),
        ]  # fmt: skip


HEADS = (
    "network", "NetWarps at", "FlowCNN", "frame by frame, ms", "with NetWarp, ms", "ratio", "by parts",
    "the paper's ratio", "flow, ms", "FlowCNN, ms", "warp + combine, ms", "memory, ms",
)  # fmt: skip


class Stream:
    """A model that is stepped through a video, with a clock at its parts.

    Args:
        model: Its flow and NetWarps are given clocks.
        window: Side of the windows that a frame is cut into; None for whole frames.
        clock: Gives seconds.
    """

    def __init__(self, model: VideoModel, window: int | None, clock: Callable[[], float]) -> None:
        self.stepped = model.eval() if window is None else Sliding(model, window).eval()
        self.clock = clock
        self.state: Any = None
        self.steps: list[float] = []
        self.parts: dict[str, list[float]] = defaultdict(list)
        self.now: dict[str, float] = defaultdict(float)
        model.flow = self.timed("flow", model.flow)
        model.motion_between = self.timed("FlowCNN", model.motion_between)
        for name, module in zip(model.layers, model.netwarps, strict=True):
            module.forward = self.timed(name, module.forward)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = self.clock()
            result = function(*arguments, **options)
            self.now[name] += self.clock() - began
            return result

        return call

    @torch.no_grad()
    def step(self, frame: Tensor, counted: bool) -> None:
        self.now.clear()
        began = self.clock()
        result, self.state = self.stepped.step(frame, self.state)
        seconds = self.clock() - began
        if not result.isfinite().all():
            raise SystemExit("the network's random weights gave infinite values, whose time would be no measure")
        kept = [self.state.memory] if isinstance(self.stepped, VideoModel) else self.state.look()
        memory = [tensor for each in kept for tensor in each]
        began = self.clock()
        for tensor in memory:
            tensor.clone()
        self.now["memory"] = self.clock() - began
        if counted:
            self.steps.append(seconds)
            for name, each in self.now.items():
                self.parts[name].append(each)

    def part(self, name: str) -> float:
        return 1000 * statistics.median(self.parts.get(name, [0.0]))


def measure(name: str, options: argparse.Namespace) -> list[Row]:
    network = NETWORKS[name]
    size = WHOLE if options.whole else options.size or network.size
    window = network.size[0] if options.whole else None
    base = load_network(STREAMED[name], None, "cpu")
    clock = time.process_time if options.cpu_time else time.perf_counter

    models = [around for around in network.models if options.flow_cnn in (None, around.flow_cnn)]
    streams = [Stream(around.build(base, options.flow), window, clock) for around in (FRAME_BY_FRAME, *models)]
    images = [torch.from_numpy(f.image).permute(2, 0, 1)[None] for f in render_clip(3, FRAMES, size)]
    there_and_back = images + images[-2:0:-1]
    # A first frame has no past, and the second is the first with one: neither is counted.
    for number in range(options.runs + 2):
        for each in in_turn(streams, number):
            each.step(there_and_back[number % len(there_and_back)], counted=number > 1)
    single, *others = streams
    alone = 1000 * statistics.median(single.steps)
    rows = []
    for around, each in zip(models, others, strict=True):
        layers = around.layers or ()
        by_layer = {layer: each.part(layer) for layer in layers}
        extra = sum((*by_layer.values(), each.part("flow"), each.part("FlowCNN"), each.part("memory")))
        rows.append(
            Row(
                name,
                f"{size[1]}×{size[0]}" + (f" in windows of {window}" if window else ""),
                layers,
                around.flow_cnn or "none",
                alone,
                1000 * statistics.median(each.steps),
                statistics.median(ours / base for ours, base in zip(each.steps, single.steps, strict=True)),
                1 + extra / alone,
                network.limit,
                each.part("flow"),
                each.part("FlowCNN"),
                by_layer,
                each.part("memory"),
            )
        )
    return rows


def size_of(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return height, width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, help="one of the two; default: both")
    parser.add_argument("--size", type=size_of, metavar="WxH", help="of frames, in place of the network's own")
    parser.add_argument("--whole", action="store_true", help="2048×1024 frames in PSPNet's windows")
    parser.add_argument("--flow-cnn", choices=FLOW_CNNS, help="only models with this FlowCNN")
    parser.add_argument("--flow", default="dis")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true", help="measure CPU time of all threads, not the wall's")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.whole:
        options.network = "pspnet101"
    cv2.setNumThreads(torch.get_num_threads())
    rows = [row for name in ([options.network] if options.network else NETWORKS) for row in measure(name, options)]
    print(f"{torch.get_num_threads()} threads, flow {options.flow}, {options.runs} rounds\n")
    print(markdown_table(HEADS, [row.cells for row in rows]))
    print("\nwarp + combine, ms by layer:")
    for row in rows:
        print(f"- {row.network}, FlowCNN {row.flow_cnn}: " + ", ".join(f"{k} {v:.1f}" for k, v in row.by_layer.items()))
    if options.json:
        told = {"threads": torch.get_num_threads(), "flow": options.flow, "rounds": options.runs}
        options.json.write_text(json.dumps(told | {"rows": [asdict(row) for row in rows]}, indent=2) + "\n")


if __name__ == "__main__":
    main()
