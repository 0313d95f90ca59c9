"""What the parts of a stream cost, in percent of a network's pass: CPU time, medians of alternating calls.

    python benchmarks/stream_parts.py [--threads N] [--runs N] [--contiguous]

ESPNet with random weights and 12 classes at 480×360, laid out channels-last as by "netwarp segment". CPU time of all
threads, since a part that has a thread of its own costs what it takes from the network.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import torch
import torch.nn.functional as F

import netwarp
from netwarp import FlowCNN, PhotometricGate, VideoModel, warp
from netwarp.bases.spec import lay_channels_last
from netwarp.flow import make_flow
from netwarp.freed_memory import keep_freed_memory
from netwarp.inference.keyframes import is_cut
from netwarp.model.inputs import as_frames, to_unit_range
from netwarp.model.task import Task
from netwarp.ops import warp_combine
from netwarp.streets import render_clip

SIZE = (360, 480)
FLOWS = ("dis:light", "dis:ultrafast", "dis:fast", "dis:medium", "dis:medium@0.5")


def parts(contiguous: bool) -> dict[str, Callable[[], object]]:
    """The parts by name; the first is the network."""
    base = netwarp.load_base("netwarp:espnet", classes=12).eval()
    if not contiguous:
        lay_channels_last(base)
    arrays = [frame.image for frame in render_clip(3, 2, SIZE)]
    before, now = (as_frames(array, torch.device("cpu")) for array in arrays)
    past, present = to_unit_range(before), to_unit_range(now)
    flow = make_flow("dis")(now, before)
    gate = PhotometricGate()
    trust = gate(present, past, flow)
    logits = base(present)
    memory, (w1, w2) = logits.clone(), torch.tensor([[0.2], [0.8]]).expand(2, logits.shape[1])
    at_size, at_stride = FlowCNN().eval(), FlowCNN(stride=8).eval()
    free = VideoModel(base, training_free=True).eval()
    state = free.step(before)[1]
    return {
        "the network": lambda: base(present),
        **{f"flow, {spec}": lambda spec=spec: make_flow(spec)(now, before) for spec in FLOWS},
        "cut": lambda: is_cut(now, before, flow),
        "FlowCNN at full size": lambda: at_size(flow, present, past),
        "FlowCNN at stride 8": lambda: at_stride(flow, present, past),
        "gate": lambda: gate(present, past, flow),
        "  of it the frame warped": lambda: warp(past, flow),
        "log-probabilities": lambda: F.log_softmax(logits, 1),
        "warp and sum of the logits, with gate": lambda: warp_combine(logits, memory, flow, w1, w2, trust),
        "the same without gate": lambda: warp_combine(logits, memory, flow, w1, w2),
        "copy of the memory": lambda: logits.clone(),
        "labels": lambda: Task(logits.shape[1]).labels(logits),
        "a step without training, flow known": lambda: free.step(now, state, flow),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--contiguous", action="store_true", help="the network in PyTorch's usual memory format")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    torch.manual_seed(0)
    with torch.no_grad():
        functions = parts(options.contiguous)
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for number in range(options.runs + 1):
            for name, function in functions.items():
                began = time.process_time()
                function()
                if number:
                    seconds[name].append(time.process_time() - began)
    whole = statistics.median(seconds["the network"])
    print("| part | CPU ms | % of the network |\n|---|---|---|")
    for name, times in seconds.items():
        part = statistics.median(times)
        print(f"| {name} | {1000 * part:.1f} | {100 * part / whole:.1f} |")


if __name__ == "__main__":
    main()
