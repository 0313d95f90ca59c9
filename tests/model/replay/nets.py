"""Small networks that count how often their layers run, and a training that keeps every bit."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from model.tiny import PLAIN, Pan, rough_flow, set_weights
from netwarp import VideoModel
from netwarp.model.replay import Replay


class Counted(nn.Conv2d):
    """Counts its own runs, without hooks."""

    def __init__(self, inputs, outputs, kernel=3):
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.runs = 0

    def forward(self, x):
        self.runs += 1
        return super().forward(x)


class Net(nn.Module):
    """Three levels with connections past each other; stem, low and deep are called ``Counted``."""

    def __init__(self):
        super().__init__()
        self.stem = Counted(3, 4)
        self.low = nn.Sequential(Counted(4, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.deep = nn.Sequential(Counted(4, 4), nn.BatchNorm2d(4), nn.PReLU())
        self.mix = nn.Sequential(Counted(8, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.head = Counted(4, 5, 1)

    def forward(self, x):
        low = self.low(self.stem(x))
        deep = self.deep(F.avg_pool2d(low, 2))
        return self.head(self.mix(torch.cat([low, F.interpolate(deep, size=low.shape[-2:])], 1)))

    def runs(self):
        return {n: m.runs for n, m in self.named_modules() if isinstance(m, Counted)}


def net(trained=(), of=Net):
    torch.manual_seed(0)
    network = of().eval().requires_grad_(False)
    for name in trained:
        network.get_submodule(name).requires_grad_(True)
    return network


def frames(count=3, batch=1, h=12, w=16):
    return torch.rand(count, batch, 3, h, w, generator=torch.Generator().manual_seed(1)).unbind(0)


def video(network, layers, **options):
    torch.manual_seed(0)  # of the FlowCNN
    model = VideoModel(network, layers, **{"flow": Pan(), "preprocess": PLAIN, **options})
    set_weights(model)
    return model.train()


def training(model, *, replayed, batch=1, rounds=3, call=None, budget=4 << 30):
    """All that a training gives, bit by bit, and the replay."""
    clip = frames(batch=batch)
    flow = rough_flow(batch, 12, 16)
    call = call or (lambda current, previous: model(current, previous, flow))
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(parameters, 0.1)
    torch.manual_seed(2)
    results = []
    replay = Replay(model.base, budget)
    if replayed:
        replay.__enter__()
    try:
        for _ in range(rounds):
            for current, previous in ((clip[1], clip[0]), (clip[2], clip[1])):
                optimiser.zero_grad()
                logits = call(current, previous)
                logits.square().mean().backward()
                results += [logits.detach().clone(), *(p.grad.clone() for p in parameters if p.grad is not None)]
                optimiser.step()
        kept = replay.frames
    finally:
        if replayed:
            replay.__exit__(None, None, None)
    results += [tensor.clone() for tensor in model.state_dict().values()]
    replay.kept = kept
    return results, replay


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    assert all(map(torch.equal, ours, theirs))
