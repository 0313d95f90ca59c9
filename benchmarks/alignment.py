"""Why representations follow the flow only in part: the tables of docs/layers.md.

    python benchmarks/alignment.py --base netwarp:espnet --weights espnet.pth --video DATA/camvid/val

All distances are in standard deviations of the current representation (netwarp.evaluation.layer_alignment).

1. The layers: distance to the previous representation, as it is and warped ('netwarp layers --video' prints it too).
2. Exact shifts: the same picture moved by k whole pixels, and its representation warped by exactly k. What is left is
   the network's and the grid's alone: no flow is estimated, nothing is occluded, no noise differs.
3. What is left after warping, in two parts. "picture": the network run on the warped picture against the network run on
   the current one: occlusion, wrong flow, noise. "network": the warped representation against the network run on the
   warped picture: what warping inside does other than warping outside.
4. Is it the flow? Other flows, other ways to bring it to the layer's grid, and the flow moved by half a cell.
5. Is it the sampling? Other ways to read the previous representation between its pixels.
"""

import argparse
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

import netwarp
from netwarp.evaluation.layer_alignment import IMAGE, Distance, measure_alignment, neighbours, representations
from netwarp.flow import make_flow
from netwarp.model.inputs import to_unit_range
from netwarp.ops import resize_flow, warp
from netwarp.video.open import open_frames

LAYERS = ("encoder.level1", "encoder.b1", "encoder.b2", "encoder.b3", "level3_C", "up_l3", "up_l2", "conv", "output")
SHIFTS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
MARGIN = 64  # pixels at the border that do not count in exact shifts: there the network sees its padding

Seen = list[tuple[dict[str, Tensor], dict[str, Tensor]]]  # of each pair, current and previous
Warp = Callable[[Tensor, Tensor], Tensor]
ToGrid = Callable[[Tensor, tuple[int, int]], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="netwarp:espnet")
    parser.add_argument("--weights")
    parser.add_argument("--classes", type=int)
    parser.add_argument("--video", required=True, help="a video, or a folder of frames in order")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--layers", nargs="+", default=LAYERS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = netwarp.load_base(options.base, options.weights, options.classes)
    pairs = list(neighbours(open_frames(options.video), options.pairs))
    assert base.preprocess.grid(pairs[0][0].shape[-2:]) == (pairs[0][0].shape[-2:],) * 2, "frames are padded or resized"
    with torch.no_grad(), representations(base, options.layers) as look:
        seen = [(look(current), look(previous)) for current, previous in pairs]
        flows = [make_flow("dis")(*pair) for pair in pairs]
        layers(base, options.layers, pairs)
        exact_shifts(look, options.layers, [current for current, _ in pairs[::4]])
        parts(look, options.layers, pairs, seen, flows)
        other_flows(options.layers, pairs, seen, flows)
        other_sampling(options.layers, seen, flows)


def layers(base: torch.nn.Module, names: Sequence[str], pairs: list[tuple[Tensor, Tensor]]) -> None:
    found, count = measure_alignment(base, names, pairs)
    heading(f"1. The layers, {count} pairs", ["unwarped", "warped"])
    for row in found:
        line(row.name, [row.unwarped, row.warped])


def exact_shifts(look: Callable[[Tensor], dict[str, Tensor]], names: Sequence[str], frames: list[Tensor]) -> None:
    heading(f"2. Exact shifts by k pixels to the right, warped; {len(frames)} frames", [f"k={k}" for k in SHIFTS])
    found = {name: {k: Distance() for k in SHIFTS} for name in (IMAGE, *names)}
    reach = max(SHIFTS)
    for frame in frames:
        width = frame.shape[-1] - reach
        still = {IMAGE: to_unit_range(frame[..., :width]), **look(frame[..., :width])}
        for k in SHIFTS:
            window = frame[..., k : k + width]
            moved = {IMAGE: to_unit_range(window), **look(window)}
            for name, distances in found.items():
                z = moved[name]
                flow = torch.zeros(1, 2, frame.shape[-2], width)
                flow[:, 0] = k
                warped = warp(still[name], resize_flow(flow, (z.shape[-2], z.shape[-1])))
                cells = round(MARGIN * z.shape[-1] / width)
                inside = (..., slice(cells, -cells), slice(cells, -cells))
                distances[k].add(z[inside], warped[inside])
    for name, distances in found.items():
        line(name, [distances[k].value() for k in SHIFTS])


def parts(
    look: Callable[[Tensor], dict[str, Tensor]],
    names: Sequence[str],
    pairs: list[tuple[Tensor, Tensor]],
    seen: Seen,
    flows: list[Tensor],
) -> None:
    heading("3. What is left after warping, in parts", ["all", "picture", "network"])
    found = {name: (Distance(), Distance(), Distance()) for name in names}
    for (_, previous), (present, past), flow in zip(pairs, seen, flows, strict=True):
        outside = look(warp(to_unit_range(previous), flow).clamp(0, 1))
        for name, (whole, picture, network) in found.items():
            inside = warp(past[name], resize_flow(flow, (past[name].shape[-2], past[name].shape[-1])))
            whole.add(present[name], inside)
            picture.add(present[name], outside[name])
            # Against the deviation of the current representation, as the other two.
            network.add(present[name], present[name] + inside - outside[name])
    for name, distances in found.items():
        line(name, [d.value() for d in distances])


def by_area(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow whose coarse cells hold the mean of what is in them, instead of what is at their centre."""
    h, w = flow.shape[-2:]
    return F.adaptive_avg_pool2d(flow, size) * flow.new_tensor((size[1] / w, size[0] / h)).view(1, 2, 1, 1)


def at_corners(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow read where a strided convolution is centred, at every stride-th pixel, instead of the cell's centre."""
    h, w = flow.shape[-2:]
    rows, columns = (torch.arange(n) * whole // n for n, whole in zip(size, (h, w), strict=True))
    return flow[..., rows[:, None], columns] * flow.new_tensor((size[1] / w, size[0] / h)).view(1, 2, 1, 1)


def moved_by(cells: float, axis: int) -> ToGrid:
    def to_grid(flow: Tensor, size: tuple[int, int]) -> Tensor:
        offset = torch.zeros(1, 2, 1, 1)
        offset[:, axis] = cells
        return resize_flow(flow, size) + offset

    return to_grid


def other_flows(
    names: Sequence[str],
    pairs: list[tuple[Tensor, Tensor]],
    seen: Seen,
    flows: list[Tensor],
) -> None:
    def estimated(spec: str) -> list[Tensor]:
        estimate = make_flow(spec)
        return [estimate(*pair) for pair in pairs]

    variants: dict[str, tuple[list[Tensor], ToGrid]] = {
        "medium": (flows, resize_flow),
        "fast": (estimated("dis:fast"), resize_flow),
        "ultraf.": (estimated("dis:ultrafast"), resize_flow),
        "area": (flows, by_area),
        "corner": (flows, at_corners),
        "u-0.5": (flows, moved_by(-0.5, 0)),
        "u+0.5": (flows, moved_by(0.5, 0)),
        "v-0.5": (flows, moved_by(-0.5, 1)),
        "v+0.5": (flows, moved_by(0.5, 1)),
    }
    heading("4. Other flows, and other ways to the layer's grid", list(variants))
    for name in names:
        line(name, [value(name, seen, fields, warp, to_grid) for fields, to_grid in variants.values()])


def sampled(mode: str) -> Warp:
    """torch's own sampling, at pixel indices, clamped to the border."""

    def read(features: Tensor, flow: Tensor) -> Tensor:
        h, w = features.shape[-2:]
        x = (torch.arange(w) + flow[:, 0]) * 2 / max(w - 1, 1) - 1
        y = (torch.arange(h)[:, None] + flow[:, 1]) * 2 / max(h - 1, 1) - 1
        grid = torch.stack((x, y), -1)
        return F.grid_sample(features, grid, mode=mode, padding_mode="border", align_corners=True)

    return read


def whole_cells(features: Tensor, flow: Tensor) -> Tensor:
    return warp(features, flow.round())


def other_sampling(names: Sequence[str], seen: Seen, flows: list[Tensor]) -> None:
    ways: dict[str, Warp] = {"bilinear": warp, "nearest": whole_cells, "bicubic": sampled("bicubic")}
    heading("5. Other sampling", list(ways))
    for name in names:
        line(name, [value(name, seen, flows, way, resize_flow) for way in ways.values()])


def value(name: str, seen: Seen, flows: list[Tensor], way: Warp, to_grid: ToGrid) -> float:
    distance = Distance()
    for (present, past), flow in zip(seen, flows, strict=True):
        z = past[name]
        distance.add(present[name], way(z, to_grid(flow, (z.shape[-2], z.shape[-1]))))
    return distance.value()


def heading(title: str, columns: Sequence[str]) -> None:
    print(f"\n{title}\n")
    print("| layer | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))


def line(name: str, values: Sequence[float]) -> None:
    print(f"| {name} | " + " | ".join(f"{v:.2f}" for v in values) + " |", flush=True)


if __name__ == "__main__":
    main()
