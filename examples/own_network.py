"""A network of your own on video: without training, and with a NetWarp inside that you train with a loop of your own.

Run: python examples/own_network.py (a few seconds; the network stays as good as untrained)
"""

import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import netwarp
from netwarp.streets import CLASSES, Streets, render_clip
from netwarp.video.writer import VideoWriter


class MyNetwork(nn.Module):
    """Any module that takes pre-processed frames and returns logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.head = nn.Conv2d(32, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(x))


def main() -> None:
    torch.manual_seed(0)
    network = MyNetwork(len(CLASSES)).eval()
    preprocess = netwarp.Preprocess(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "street.mp4"
        with VideoWriter(video, fps=15) as writer:
            for frame in render_clip(seed=1, frames=10, size=(90, 160)):
                writer.write(frame.image, frame.time)

        # Without training: one line, and a loop over results.
        model = netwarp.VideoModel(network, training_free=True, preprocess=preprocess, classes=CLASSES)
        for result in netwarp.segment(video, model):
            print(f"frame {result.index} at {result.time:.2f} s: {len(set(result.labels.flat))} classes")
        assert model.remove() is network  # nothing of us is left in it

        # With a NetWarp behind the encoder, trained on pairs: previous frame, current frame, its labels.
        model = netwarp.VideoModel(network, ["encoder.5"], preprocess=preprocess, classes=CLASSES)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
        model.train()
        for pair in Streets(seeds=range(2), frames=4, size=(90, 160)).pairs():
            previous, current = (torch.from_numpy(p).permute(2, 0, 1)[None] for p in (pair.previous, pair.current))
            labels = torch.from_numpy(pair.labels).long()[None]
            loss = F.cross_entropy(model(current, previous), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            print(f"loss {loss:.3f}")

        # A stream in your own hands, and the model in one file.
        model.eval()
        state = None
        with torch.no_grad():
            for frame in render_clip(seed=1, frames=3):
                logits, state = model.step(frame.image, state)
        print(f"logits {list(logits.shape)}")
        saved = Path(folder) / "model.safetensors"
        model.save(saved)
        print(netwarp.load(saved, base=MyNetwork(len(CLASSES))).layers)


if __name__ == "__main__":
    main()
