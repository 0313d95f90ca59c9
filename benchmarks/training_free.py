"""The mode without training: what was tried, and what it gains. Prints the tables of docs/training_free.md.

    python benchmarks/training_free.py streets                          # the choice, on rendered video (about 15 min)
    python benchmarks/training_free.py camvid --data ../shared/data     # the real clip, once

``streets`` trains the demo's small network on rendered streets first, and compares variants on other streets.
``camvid`` takes the public ESPNet weights (``--network enet``: ENet's) and the 15 Hz clip: DATA must hold
``camvid/val`` (frames 0016E5 in order), ``camvid/valannot`` (their labels, 11 classes, 11 = void) and
``espnet/espnet_p_2_q_8_camvid.pth`` (``enet/enet_camvid.pth``).
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

import netwarp
from netwarp import PhotometricGate, VideoModel
from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.clips import ClipData
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate
from netwarp.evaluation.scores import Scores
from netwarp.flow import DISFlow
from netwarp.label_sets import CAMVID
from netwarp.ops import Edges
from netwarp.streets import CLASSES, Streets
from netwarp.streets.labelled_clips import rendered_data
from netwarp.training import TrainSettings, train

WEIGHTS = {"espnet": Path("espnet", "espnet_p_2_q_8_camvid.pth"), "enet": Path("enet", "enet_camvid.pth")}
TRAIN_SEEDS, CHOICE_SEEDS = range(20_000, 20_032), range(25_000, 25_008)


class ForwardBackwardGate:
    """Trust where the flow there and back again ends where it began: exp(-(|F + F'(x + F)| / (alpha + |F| / 20))²).

    Costs a second flow. With ``also``, both gates must agree.
    """

    def __init__(self, alpha: float, also: PhotometricGate | None = None) -> None:
        self.alpha, self.also, self.estimate = alpha, also, DISFlow()

    def __call__(self, current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        back = self.estimate(previous, current)
        distance = (flow + netwarp.warp(back, flow)).norm(dim=1, keepdim=True)
        gate = torch.exp(-((distance / (self.alpha + flow.norm(dim=1, keepdim=True) / 20)) ** 2))
        return gate if self.also is None else gate * self.also(current, previous, flow)


Gate = PhotometricGate | ForwardBackwardGate


def fused(base: nn.Module, weight: float, gate: Gate | None = None, **options: object) -> VideoModel:
    """A model with fixed weights: ``weight`` of the warped memory, the rest of the current frame."""
    settings: dict[str, object] = {"memory": "fused", "flow_cnn": None, "start": (1 - weight, weight), "gate": gate}
    return VideoModel(base, ["log_probs"], **{**settings, **options})


def reported(base: nn.Module) -> dict[str, VideoModel]:
    """The rows that are shown for every clip."""
    return {
        "frame by frame": VideoModel(base, []),
        "average over time, no flow, 0.5": fused(base, 0.5, flow="zero"),
        "warped, 0.5, previous frame only": fused(base, 0.5, memory="previous"),
        "warped, 0.5, fused memory": fused(base, 0.5),
        "training-free: 0.8, fused, gate": VideoModel(base, training_free=True),
        "  the same, flow dis:medium": VideoModel(base, training_free=True, flow="dis:medium"),
        "  the same, flow dis:fast": VideoModel(base, training_free=True, flow="dis:fast"),
        "  the same, flow dis:ultrafast": VideoModel(base, training_free=True, flow="dis:ultrafast"),
    }


def tried(base: nn.Module) -> dict[str, VideoModel]:
    """What the choice was made from, on rendered video."""
    rows = reported(base)
    for weight in (0.3, 0.7):
        rows[f"warped, {weight}, fused, no gate"] = fused(base, weight)
    rows["warped, 0.5, fused, logits"] = VideoModel(base, ["output"], flow_cnn=None, memory="fused", start=(0.5, 0.5))
    for weight in (0.7, 0.8, 0.9):
        for sigma in (0.03, 0.05, 0.08):
            gate = PhotometricGate(sigma, 1, noise=0)
            rows[f"{weight}, gate {sigma}"] = fused(base, weight, gate)
    rows["0.8, gate 0.05, window 5"] = fused(base, 0.8, PhotometricGate(0.05, 5, noise=0))
    for sigma, noise in ((0.01, 3.0), (0.03, 3.0), (0.01, 5.0)):
        rows[f"0.8, gate {sigma} + {noise:g} median errors"] = fused(base, 0.8, PhotometricGate(sigma, 1, noise=noise))
    for alpha in (0.5, 1.0):
        rows[f"0.8, forward-backward gate {alpha}"] = fused(base, 0.8, ForwardBackwardGate(alpha))
    rows["0.8, both gates"] = fused(base, 0.8, ForwardBackwardGate(1.0, PhotometricGate()))
    return rows


EDGES = {"edges": "on", "edges 5": Edges(5), "edges 7, 0.03": Edges(sigma=0.03), "edges 7, 0.07": Edges(sigma=0.07)}


def scored(models: dict[str, VideoModel], data: ClipData) -> dict[str, Scores]:
    """Scores of the models, and of the mode without training with the picture's edges and with later frames."""
    edges, lag, offline = dict.fromkeys(models, "off"), dict.fromkeys(models, 0), dict.fromkeys(models, False)
    free = VideoModel(next(iter(models.values())).base, training_free=True)
    ways = [(name, kind, 0, False) for name, kind in EDGES.items()]
    ways += [(f"lag {frames}", "off", frames, False) for frames in (1, 2, 4, 8)]
    ways += [("edges, lag 4", "on", 4, False), ("offline", "off", 0, True), ("edges, offline", "on", 0, True)]
    for way, kind, frames, ahead in ways:
        name = f"training-free, {way}"
        models[name], edges[name], lag[name], offline[name] = free, kind, frames, ahead
    models["frame by frame, edges"], edges["frame by frame, edges"] = VideoModel(free.base, []), "on"
    lag["frame by frame, edges"], offline["frame by frame, edges"] = 0, False
    return evaluate(models, data, edges=edges, lag=lag, offline=offline)


def streets_base(steps: int) -> nn.Module:
    data = rendered_data(list(Streets(TRAIN_SEEDS, frames=8)))
    base = netwarp.load_base("netwarp:streetnet")
    settings = TrainSettings(
        steps=steps, rate=5e-3, class_weights="inverse_log", class_weight_constant=1.05,
        augment=Augmentation(flip=0.5, crop=(144, 256)),
    )  # fmt: skip
    model = VideoModel(base, [], classes=CLASSES, palette=CAMVID.palette)
    train(model, data.samples(1), settings, classes=len(CLASSES), progress=True)
    return base


def table(scores: dict[str, Scores]) -> None:
    first = next(iter(scores.values()))
    print("| | IoU | tIoU, 2 px | tc | ms a frame / frame by frame |")
    print("|---|---|---|---|---|")
    for name, row in scores.items():
        measures = ((row["miou"], first["miou"]), (row["tiou"][2], first["tiou"][2]), (row["tc"], first["tc"]))
        cells = [f"{value:.2f}" + (f" ({value - of:+.2f})" if row is not first else "") for value, of in measures]
        print(f"| {name} | {' | '.join(cells)} | {row['ms_per_frame'] / first['ms_per_frame']:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", choices=("streets", "camvid"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--network", choices=WEIGHTS, default="espnet", help="for camvid")
    parser.add_argument("--steps", type=int, default=250, help="batches that the streets' network is trained for")
    options = parser.parse_args()
    if options.clip == "streets":
        base = streets_base(options.steps)
        table(scored(tried(base), rendered_data(list(Streets(CHOICE_SEEDS, frames=20)))))
    else:
        base = netwarp.load_base(f"netwarp:{options.network}", weights=options.data / WEIGHTS[options.network])
        table(scored(reported(base), open_data(f"camvid:{options.data / 'camvid'}", "val")))


if __name__ == "__main__":
    main()
