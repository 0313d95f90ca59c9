"""What each setting of DIS costs and is worth: the choice of the presets "light" and "accurate".

    python benchmarks/dis_settings.py

On rendered streets, with OpenCV on one thread: CPU time, mean end-point error and share of pixels that are
more than one pixel off, against the true flow; the share of pixels that the previous frame's true labels, warped along
the flow, get right (which is what a NetWarp lives on; occlusion keeps it below 100); and the mean trust of the mode
without training in the flow.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp import PhotometricGate, warp
from netwarp.flow import DISFlow
from netwarp.streets import CLASSES, render_clip
from netwarp.streets.clip import StreetFrame

Estimate = Callable[[np.ndarray, np.ndarray], np.ndarray]
PRESETS = {"ultrafast": 0, "fast": 1, "medium": 2}


def dis(preset: str, **settings: float) -> Estimate:
    def estimate(current: np.ndarray, previous: np.ndarray) -> np.ndarray:
        estimator = cv2.DISOpticalFlow.create(PRESETS[preset])
        for name, value in settings.items():
            getattr(estimator, f"set{name}")(value)
        return estimator.calc(current, previous, None)

    return estimate


def ours(preset: str) -> Estimate:
    flow = DISFlow(preset)

    def rgb(gray: np.ndarray) -> Tensor:
        return torch.from_numpy(gray).expand(1, 3, *gray.shape)

    return lambda current, previous: flow(rgb(current), rgb(previous))[0].permute(1, 2, 0).numpy()


SETTINGS = {
    "accurate, ours": ours("accurate"),
    "medium": dis("medium"),
    "fast": dis("fast"),
    "ultrafast": dis("ultrafast"),
    "ultrafast, 3 refinements": dis("ultrafast", VariationalRefinementIterations=3),
    "ultrafast, patches every 3 pixels": dis("ultrafast", PatchStride=3),
    "medium, no refinement": dis("medium", VariationalRefinementIterations=0),
    "medium, 8 descents": dis("medium", GradientDescentIterations=8),
    "ultrafast at half size": dis("ultrafast", FinestScale=1),
    "  6 descents": dis("ultrafast", FinestScale=1, GradientDescentIterations=6),
    "  25 descents": dis("ultrafast", FinestScale=1, GradientDescentIterations=25),
    "  1 refinement": dis("ultrafast", FinestScale=1, VariationalRefinementIterations=1),
    "  no spatial propagation": dis("ultrafast", FinestScale=1, UseSpatialPropagation=False),
    "  patches every 3 pixels": dis("ultrafast", FinestScale=1, PatchStride=3),
    "  every 5 pixels, 16 descents (light)": dis(
        "ultrafast", FinestScale=1, PatchStride=5, GradientDescentIterations=16
    ),
    "  every 6 pixels, 25 descents": dis("ultrafast", FinestScale=1, PatchStride=6, GradientDescentIterations=25),
}

if hasattr(cv2, "optflow"):  # with opencv-contrib-python-headless in the place of opencv-python-headless
    SETTINGS["DeepFlow"] = lambda now, before: cv2.optflow.createOptFlow_DeepFlow().calc(now, before, None)
    SETTINGS["RLOF, RIC"] = lambda now, before: cv2.optflow.calcOpticalFlowDenseRLOF(
        *(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR) for gray in (now, before)), None, interp_type=cv2.optflow.INTERP_RIC
    )


def picture(frame: StreetFrame) -> Tensor:
    return torch.from_numpy(frame.image).permute(2, 0, 1)[None] / 255


def score(estimate: Estimate, current: StreetFrame, previous: StreetFrame) -> tuple[float, ...]:
    gray = [cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY) for frame in (current, previous)]
    began = time.process_time()
    found = estimate(*gray)
    seconds = time.process_time() - began
    flow = torch.from_numpy(found).permute(2, 0, 1)[None].contiguous()
    error = (flow[0] - torch.from_numpy(current.flow)).norm(dim=0)
    labels, before = (torch.from_numpy(f.labels.astype(np.int64)).clamp(max=len(CLASSES)) for f in (current, previous))
    brought = warp(F.one_hot(before, len(CLASSES) + 1).permute(2, 0, 1)[None].float(), flow)[0].argmax(0)
    kept = (brought == labels).float().mean()
    trust = PhotometricGate()(picture(current), picture(previous), flow).mean()
    return 1000 * seconds, float(error.mean()), 100 * float((error > 1).float().mean()), 100 * float(kept), float(trust)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 360), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="SETTING")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    scores: dict[str, list[tuple[float, ...]]] = {name: [] for name in options.only}
    for clip in range(options.clips):
        frames = list(render_clip(30_001 + clip, options.frames, tuple(options.size[::-1])))
        for previous, current in itertools.pairwise(frames):
            for name in options.only:
                scores[name].append(score(SETTINGS[name], current, previous))
    print("| DIS | CPU ms | end-point error | > 1 pixel, % | labels kept, % | trust |")
    print("|---|---|---|---|---|---|")
    for name, rows in scores.items():
        ms, *others = zip(*rows, strict=True)
        error, bad, kept, trust = (statistics.mean(column) for column in others)
        print(f"| {name} | {statistics.median(ms):.1f} | {error:.2f} | {bad:.1f} | {kept:.2f} | {trust:.3f} |")


if __name__ == "__main__":
    main()
