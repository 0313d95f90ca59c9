"""How well the warped previous frame explains the current one, within clips and across cuts.

Usage: python benchmarks/cuts.py [--camvid ../shared/data/camvid]

Prints the share of unexplained variance (netwarp.inference.stream) on rendered streets and, if given, on CamVid.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netwarp.flow import DISFlow
from netwarp.inference.keyframes import LEAST_ERROR, THRESHOLD, is_cut, unexplained
from netwarp.streets import render_clip
from netwarp.video.open import open_frames

CLIPS = 12
SIZES = ((180, 320), (96, 160))
Pairs = list[tuple[Tensor, Tensor]]


def tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.transpose(2, 0, 1).copy()).unsqueeze(0)


def report(name: str, pairs: Pairs, flow: DISFlow) -> None:
    shares, cuts = [], 0
    for previous, current in pairs:
        field = flow(current, previous)
        shares.append(100 * unexplained(current, previous, field)[0])
        cuts += is_cut(current, previous, field)
    low, middle, high = np.percentile(shares, (0, 50, 100))
    print(f"{name:52} {len(pairs):5} {low:8.1f} {middle:8.1f} {high:8.1f} {100 * cuts / len(pairs):9.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--camvid", type=Path, help="folder with val/ and test/")
    camvid = parser.parse_args().camvid
    flow = DISFlow()
    print(f"a cut: over {100 * THRESHOLD:.0f} % unexplained, and a residual over {LEAST_ERROR} of white")
    print(f"{'unexplained variance in %':52} {'pairs':>5} {'least':>8} {'median':>8} {'most':>8} {'called cut':>11}")
    for size in SIZES:
        clips = [[tensor(f.image) for f in render_clip(500 + seed, 16, size)] for seed in range(CLIPS)]
        name = f"streets, {size[1]}×{size[0]}"
        for step in (1, 2, 3, 5):
            pairs = [pair for clip in clips for pair in zip(clip, clip[step:], strict=False)]
            report(f"{name}, within clips, {15 / step:g} frames a second", pairs, flow)
        report(f"{name}, across clips", [(a[0], b[-1]) for a, b in itertools.permutations(clips, 2)], flow)
    if camvid is None:
        return
    val, test = ([tensor(f.image) for f in open_frames(camvid / split)] for split in ("val", "test"))
    for step in (1, 2, 3, 5):
        report(f"CamVid val, {15 / step:g} frames a second", list(zip(val, val[step:], strict=False)), flow)
    report("CamVid, from val to test", list(zip(val[::2], test[::4], strict=False)), flow)
    report(
        "CamVid test, from its first drive to its second", list(zip(test[:60:2], test[70:130:2], strict=False)), flow
    )


if __name__ == "__main__":
    main()
