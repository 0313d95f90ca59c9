"""What a training step on a pair costs, in steps on single frames: medians of alternating runs.

    python benchmarks/training_step.py                 # ESPNet at 480×360, batches of 2
    python benchmarks/training_step.py --batch 4 --runs 9

A step is forward pass, loss, backward pass and Adam, with flow at hand, as training has it after the first time through
the data. Reading and augmenting are not in it: they run beside, and are the same for both but for one frame more.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

import netwarp
from netwarp import FlowCNN, VideoModel
from netwarp.training.losses import segmentation_sum

SIZE = (360, 480)
CLASSES = 12


@dataclass(frozen=True)
class Row:
    """Where the NetWarp is, the FlowCNN's stride (None for none), what is trained, and whether the past is."""

    layers: tuple[str, ...]
    stride: int | None = 8
    trained: bool = True
    past: bool = True


ROWS = {
    "single frame": Row(()),
    "single frame, network frozen but its classifier": Row((), trained=False),
    **{
        f"pair, {layer}, {text}": Row((layer,), **options)
        for layer in ("encoder.level1", "encoder.b3", "log_probs")
        for text, options in {
            "both branches": {},
            "past detached": {"past": False},
            "past detached, FlowCNN at full size": {"past": False, "stride": 1},
            "network frozen": {"trained": False},
        }.items()
    },
}


def step_of(name: str, batch: int) -> Callable[[], None]:
    row = ROWS[name]
    torch.manual_seed(0)
    cnn = None if row.stride is None else FlowCNN(stride=row.stride)
    model = VideoModel(netwarp.load_base("netwarp:espnet"), row.layers, flow_cnn=cnn, start=(0.5, 0.5))
    model.base.requires_grad_(row.trained)
    if not row.layers:
        model.base.get_submodule("classifier").requires_grad_(True)
    model.train()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad])
    frames = torch.randint(0, 256, (batch, 2, 3, *SIZE), dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (batch, *SIZE))
    flows = 3 * torch.randn(batch, 1, 2, *SIZE)

    def step() -> None:
        logits = model.unroll(frames, flows, detach=not row.past)
        loss = segmentation_sum(logits, labels, None) / labels.numel()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    steps = {name: step_of(name, options.batch) for name in ROWS}
    seconds: dict[str, list[float]] = {name: [] for name in ROWS}
    for step in steps.values():
        step()
    for _ in range(options.runs):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - began)
    single = statistics.median(seconds[next(iter(ROWS))])
    print(f"{'':>60} {'ms a step':>10} {'in single frames':>17}")
    for name, taken in seconds.items():
        print(f"{name:>60} {1000 * statistics.median(taken):10.0f} {statistics.median(taken) / single:17.2f}")


if __name__ == "__main__":
    main()
