"""warp_combine against what it replaces and against the memory's speed: medians of alternating runs.

Usage: python benchmarks/warp.py [--threads N] [--runs N] [--flow smooth|random] [--shape 1,1024,128,128 …] [--cpu-time]

It replaces grid_sample, two multiplies and an add ("eager"). The limit is torch.add of the same maps: it, too, reads
two and writes one. The first touch of new memory may cost more than either, and large results are new memory each time;
so "kept" is torch.add into a tensor that is there, and our loop into one. Last, how far off an integer shift is.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.ops import warp_combine
from netwarp.ops.cpu import compute
from netwarp.ops.cpu.arrays import Arrays

SHAPES = ("1,1024,128,128", "1,512,90,90", "1,11,360,480", "1,11,60,45")
FORMATS = {"channels-last": torch.channels_last, "contiguous": torch.contiguous_format}


def eager(current: Tensor, previous: Tensor, flow: Tensor, w1: Tensor, w2: Tensor) -> Tensor:
    h, w = previous.shape[-2:]
    x = (torch.arange(w) + flow[:, 0]) * (2 / (w - 1)) - 1
    y = (torch.arange(h).unsqueeze(1) + flow[:, 1]) * (2 / (h - 1)) - 1
    warped = F.grid_sample(previous, torch.stack((x, y), -1), padding_mode="border", align_corners=True)
    return w1.view(1, -1, 1, 1) * current + w2.view(1, -1, 1, 1) * warped


def motion(kind: str, batch: int, h: int, w: int) -> Tensor:
    """A few pixels: as of a camera and objects, or another one for each pixel."""
    if kind == "random":
        return 3 * torch.randn(batch, 2, h, w)
    return 3 * F.interpolate(torch.randn(batch, 2, 4, 4), (h, w), mode="bicubic").contiguous()


def alternating(functions: dict[str, Callable[[], object]], runs: int, clock: Callable[[], float]) -> dict[str, float]:
    """Milliseconds, after one run of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(runs + 1):
        for name, function in functions.items():
            began = clock()
            function()
            seconds[name].append(clock() - began)
    return {name: 1000 * statistics.median(times[1:]) for name, times in seconds.items()}


def measure(shape: tuple[int, ...], layout: str, kind: str, runs: int, clock: Callable[[], float]) -> None:
    batch, channels, h, w = shape
    current, previous, grad = (torch.randn(shape).contiguous(memory_format=FORMATS[layout]) for _ in range(3))
    flow, (w1, w2) = motion(kind, batch, h, w), torch.randn(2, channels)
    kept = torch.empty_like(current)
    arrays = Arrays(current, previous, flow)
    inputs = (current, previous, flow, w1, w2)
    leaves = tuple(tensor.clone().requires_grad_() for tensor in inputs)

    def both(function: Callable[..., Tensor]) -> None:
        torch.autograd.grad(function(*leaves), leaves, grad)

    with torch.no_grad():
        forward = alternating(
            {
                "add": lambda: torch.add(current, previous),
                "ours": lambda: warp_combine(*inputs),
                "add, kept": lambda: torch.add(current, previous, out=kept),
                "ours, kept": lambda: compute.combine_into(kept, arrays, *inputs, None),
                "eager": lambda: eager(*inputs),
            },
            runs,
            clock,
        )
    trained = alternating({"ours": lambda: both(warp_combine), "eager": lambda: both(eager)}, runs, clock)
    one, none = torch.ones(channels), torch.zeros(channels)
    shifted = (current, previous, flow.round(), none, one)
    off = (warp_combine(*shifted) - eager(*shifted)).abs().max()
    print(
        f"{shape!s:>21} {layout:>14} {forward['add']:8.2f} {forward['ours']:8.2f} {forward['eager']:8.2f}"
        f" {forward['ours'] / forward['add']:8.2f} {forward['ours, kept'] / forward['add, kept']:10.2f}"
        f" {forward['eager'] / forward['ours']:8.1f} {trained['ours']:10.2f} {trained['eager']:8.2f}"
        f" {trained['eager'] / trained['ours']:8.1f} {off:11.0e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--flow", choices=("smooth", "random"), default="smooth")
    parser.add_argument("--shape", nargs="+", default=SHAPES)
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of all threads: for a machine in use")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"{options.threads} threads, {options.flow} flow, milliseconds and ratios")
    print(
        f"{'':>36} {'forward':>8} {'':>8} {'':>8} {'ours/':>8} {'ours/add,':>10} {'eager/':>8} {'and':>10} "
        f"{'':>8} {'eager/':>8} {'shift off':>11}"
    )
    print(
        f"{'shape':>21} {'format':>14} {'add':>8} {'ours':>8} {'eager':>8} {'add':>8} {'kept':>10} {'ours':>8} "
        f"{'backward':>10} {'eager':>8} {'ours':>8} {'(ours: 0)':>11}"
    )
    for text in options.shape:
        for layout in FORMATS:
            measure(tuple(map(int, text.split(","))), layout, options.flow, options.runs, clock)


if __name__ == "__main__":
    main()
