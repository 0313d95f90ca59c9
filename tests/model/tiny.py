"""Networks small enough to see through, and flows that are known."""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from itertools import zip_longest
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp import VideoModel
from netwarp.model import Preprocess

PLAIN = Preprocess((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LAYERS = [["stem"], ["act"], ["mid"], ["stem", "mid"], ["head"], ["output"], ["log_probs"], ["mid", "output"], []]
"""Where NetWarps go in a :class:`TinyNet`."""


class TinyNet(nn.Module):
    """Four named layers: ``stem`` (stride 2), ``act``, ``mid``, ``head``; logits at half the frame's size.

    Args:
        inplace: Whether the activation after ``stem`` changes its output in place.
        returns: ``"tensor"``, ``"dict"`` or ``"object"``.
        classes: Number of outputs.
    """

    def __init__(self, *, inplace: bool = False, returns: str = "tensor", classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.ReLU(inplace)
        self.mid = nn.Conv2d(8, 6, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Conv2d(6, classes, 1)
        self.returns = returns

    def forward(self, x: Tensor) -> object:
        x = self.act(self.stem(x))
        x = self.mid(self.norm(x))
        logits = self.head(self.drop(F.relu(x)))
        if self.returns == "dict":
            return OrderedDict(out=logits, aux=logits + 1)
        return SimpleNamespace(logits=logits) if self.returns == "object" else logits


def tiny(seed: int = 0, **options: object) -> TinyNet:
    """A :class:`TinyNet` in evaluation mode whose signal is alive, always the same for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = TinyNet(**options)  # type: ignore[arg-type]
        with torch.no_grad():
            net.norm.running_mean.normal_()
            net.norm.running_var.uniform_(0.5, 2)
            for parameter in net.parameters():
                parameter.mul_(2)
    return net.eval()


class OneSize(nn.Module):
    """A :class:`TinyNet`, called ``net``, that takes frames of one size alone."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.net, self.size = tiny(), size
        self.eval()

    def forward(self, x: Tensor) -> object:
        if x.shape[-2:] != self.size:
            raise RuntimeError(f"{self.size} only")
        return self.net(x)


class Pan:
    """The flow of a camera that pans: the same everywhere."""

    spec = "pan"

    def __init__(self, u: float = 2.0, v: float = 0.0) -> None:
        self.u, self.v = u, v
        self.calls = 0

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        self.calls += 1
        b, _, h, w = current.shape
        return torch.tensor([self.u, self.v], device=current.device).view(1, 2, 1, 1).repeat(b, 1, h, w)


def rough_flow(batch: int, h: int, w: int, reach: float = 3.0, seed: int = 0) -> Tensor:
    return reach * torch.randn(batch, 2, h, w, generator=torch.Generator().manual_seed(seed))


def set_weights(model: nn.Module, w1: float = 0.7, w2: float = 0.4) -> None:
    """Let the past in, with a different weight for every channel."""
    with torch.no_grad():
        for netwarp in model.netwarps:
            spread = torch.linspace(-0.1, 0.1, netwarp.w1.numel())
            netwarp.w1.copy_(w1 + spread)
            netwarp.w2.copy_(w2 - spread)


def video(layers=("mid",), net=None, *, weights=(0.7, 0.4), **options) -> VideoModel:
    """A model, always the same, that lets the past in (fresh with None); its camera pans, frames stay as they are."""
    torch.manual_seed(0)  # of the FlowCNN
    model = VideoModel(net or tiny(), list(layers), **{"flow": Pan(), "preprocess": PLAIN, **options})
    if weights is not None:
        set_weights(model, *weights)
    return model


def stream(model, frames: Iterable, flows: Iterable[Tensor | None] = (), *, graph: bool = False) -> list[Tensor]:
    """Logits of each frame, by one step after the other and nothing else."""
    state, logits = None, []
    with torch.set_grad_enabled(graph):
        for frame, flow in zip_longest(frames, flows):
            out, state = model.step(frame, state, flow)
            logits.append(out)
    return logits


def count_calls(net: nn.Module) -> Counter[str]:
    """How often each layer of a network runs from now on."""
    calls: Counter[str] = Counter()
    for name, module in net.named_modules():
        if name:
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    return calls


def hooks_on(module: nn.Module) -> int:
    """Number of hooks of any kind on a network."""
    kinds = [name for name in vars(nn.Module()) if "hooks" in name]
    return sum(len(getattr(m, kind) or ()) for m in module.modules() for kind in kinds)


def frozen_copy(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def same_state(module: nn.Module, before: dict[str, Tensor]) -> bool:
    now = module.state_dict()
    return list(now) == list(before) and all(torch.equal(now[key], before[key]) for key in before)
