"""The warp against grid_sample: medians of alternating runs. Usage: python benchmarks/warp.py"""

import statistics
import time

import torch
import torch.nn.functional as F

from netwarp.ops import warp

SHAPES = ((1, 12, 360, 480), (1, 64, 90, 120), (1, 1024, 128, 128))
RUNS = 9


def through_grid_sample(features: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    h, w = features.shape[-2:]
    x = (torch.arange(w) + flow[:, 0]) * (2 / (w - 1)) - 1
    y = (torch.arange(h).unsqueeze(1) + flow[:, 1]) * (2 / (h - 1)) - 1
    return F.grid_sample(features, torch.stack((x, y), -1), padding_mode="border", align_corners=True)


def main() -> None:
    torch.manual_seed(0)
    print(f"{'shape':>20} {'format':>14} {'warp ms':>9} {'grid_sample ms':>15} {'integer shift off by':>32}")
    for shape in SHAPES:
        for name, memory_format in (("contiguous", torch.contiguous_format), ("channels-last", torch.channels_last)):
            features = torch.randn(shape).contiguous(memory_format=memory_format)
            flow = 3 * torch.randn(shape[0], 2, *shape[2:])
            seconds: dict[str, list[float]] = {"warp": [], "grid_sample": []}
            with torch.no_grad():
                for _ in range(RUNS):
                    for kind, function in (("warp", warp), ("grid_sample", through_grid_sample)):
                        began = time.perf_counter()
                        function(features, flow)
                        seconds[kind].append(time.perf_counter() - began)
                whole = flow.round()
                shift = (warp(features, whole) - through_grid_sample(features, whole)).abs().max()
            ours, theirs = (1000 * statistics.median(seconds[kind]) for kind in ("warp", "grid_sample"))
            print(f"{shape!s:>20} {name:>14} {ours:9.1f} {theirs:15.1f} {shift:24.1e} (ours: 0)")


if __name__ == "__main__":
    main()
