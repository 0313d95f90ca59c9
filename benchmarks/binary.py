"""Training-free of all classes, and of "road against the rest", made of the same logits as one output.

python benchmarks/binary.py streets [espnet_p_2_q_8_camvid.pth] [--class road,car]    # the choice, on rendered video
python benchmarks/binary.py camvid:DIR espnet_p_2_q_8_camvid.pth [--class road]       # the real clip, once

Rendered streets get a small network that is trained on others, or ESPNet's public weights, which have never seen any.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from training_free import CHOICE_SEEDS, EDGES, streets_base, table

import netwarp
from netwarp.bases import load_base
from netwarp.datasets.class_order import in_order_of
from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate
from netwarp.label_sets import IGNORE, LabelMap, LabelSet
from netwarp.streets import CLASSES, Streets
from netwarp.streets.labelled_clips import rendered_data


class Against(nn.Module):
    """One class's log-odds against all others, of a network of classes."""

    def __init__(self, network: nn.Module, place: int) -> None:
        super().__init__()
        self.network, self.place, self.preprocess = network, place, network.preprocess
        self.classes = (network.classes[place],)  # type: ignore[index]

    def forward(self, image: Tensor) -> Tensor:
        """Logits ``[B,1,h,w]``."""
        logits = self.network(image)
        others = torch.cat([logits[:, : self.place], logits[:, self.place + 1 :]], 1)
        return logits[:, self.place : self.place + 1] - others.logsumexp(1, keepdim=True)


def one_class(data: ClipData, place: int) -> ClipData:
    """The same clips, whose labels are 1 for a class and 0 for the rest."""

    def labels(frame: ClipFrame) -> LabelMap:
        assert frame.labels is not None
        there = frame.labels()
        return np.where(there == IGNORE, IGNORE, there == place).astype(np.uint8)

    def changed(frame: ClipFrame) -> ClipFrame:
        return frame if frame.labels is None else replace(frame, labels=partial(labels, frame), instances=None)

    clips = tuple(Clip(clip.name, tuple(map(changed, clip.frames))) for clip in data.clips)
    names = LabelSet(("background", data.classes.names[place]), ((0, 0, 0), data.classes.palette[place]))
    return replace(data, classes=names, clips=clips)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--class", dest="names", default="road")
    parser.add_argument("--frames", type=int, default=20, help="of each rendered clip")
    parser.add_argument("--steps", type=int, default=250, help="batches that the streets' network is trained for")
    asked = parser.parse_args()
    choosing = asked.data == "streets"
    if choosing:
        base = load_base("netwarp:espnet", asked.weights) if asked.weights else streets_base(asked.steps)
        base.classes = getattr(base, "classes", None) or CLASSES
        data = rendered_data(list(Streets(CHOICE_SEEDS, frames=asked.frames)))
    else:
        base = load_base("netwarp:espnet", asked.weights)
        data = in_order_of(open_data(asked.data, "val"), base.classes)  # type: ignore[arg-type]
    networks = {} if choosing else {f"{len(data.classes)} classes": (base, data)}
    for name in asked.names.split(","):
        place = data.classes.names.index(name)
        networks[name] = Against(base, place), one_class(data, place)
    for name, (network, clips) in networks.items():
        print(f"\n{name}\n", flush=True)
        model = netwarp.VideoModel(network, training_free=True)
        edges = {"frame by frame": "off", "training-free, no edges": "off", "training-free": "on"}
        edges |= {f"training-free, {way}": kind for way, kind in EDGES.items() if choosing and way != "edges"}
        rows = {row: model.without_memory() if row == "frame by frame" else model for row in edges}
        table(evaluate(rows, clips, edges=edges))


if __name__ == "__main__":
    main()
