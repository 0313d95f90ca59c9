"""What runs behind a layer, on networks whose order is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from netwarp import load_base
from netwarp.errors import ConfigurationError
from netwarp.lab.study.build import downstream_modules, trained_modules


class Crossed(nn.Module):
    """Declared in another order than it runs; one module runs on both sides, one never, one has no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.late = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
        self.both = nn.Conv2d(4, 4, 1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.body = nn.ModuleDict({"first": nn.Conv2d(3, 4, 1), "then": nn.Conv2d(4, 4, 1)})
        self.act = nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        hidden = self.both(self.body["first"](image))
        return self.late(self.act(self.both(self.body["then"](hidden))))


@pytest.mark.parametrize(
    ("layer", "behind"),
    [
        ("body.first", ("both", "body.then", "late")),
        ("body.then", ("late",)),
        ("late.0", ("late.2",)),
    ],
)
def test_order_is_that_of_running(layer: str, behind: tuple[str, ...]):
    assert downstream_modules(Crossed(), layer) == behind


def test_a_layer_that_runs_twice_is_refused():
    with pytest.raises(ConfigurationError, match="runs 2 times"):
        downstream_modules(Crossed(), "both")


def test_nothing_behind_the_end():
    with pytest.raises(ConfigurationError, match="nothing"):
        downstream_modules(Crossed(), "late.2")


def test_an_unknown_layer_names_the_closest():
    with pytest.raises(ConfigurationError, match=r"body\.first"):
        downstream_modules(Crossed(), "body.frist")


def test_no_trace_is_left():
    network = Crossed().train()
    before = torch.random.get_rng_state()
    downstream_modules(network, "body.then")
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(
        module.training and not module._forward_hooks and not module._forward_pre_hooks for module in network.modules()
    )


def test_espnet_behind_its_encoders_end():
    base = load_base("netwarp:espnet")
    behind = downstream_modules(base, "encoder.b3")
    assert set(behind) == {
        "encoder.classifier", "br", "up_l3", "level3_C", "combine_l2_l3", "up_l2", "conv", "classifier",
    }  # fmt: skip


def test_gradients_agree():
    """What is said to be behind is all that a gradient can reach without passing the layer."""
    network = Crossed()
    network.body["then"].register_forward_hook(lambda *args: args[-1].detach())
    network(torch.rand(1, 3, 2, 2)).sum().backward()
    reached = {name.rpartition(".")[0] for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached - {"both"} == {"late.0", "late.2"}


def test_names_and_layers_together():
    assert trained_modules(Crossed(), ("unused", "after body.then")) == ("unused", "late")
    assert trained_modules(Crossed(), ()) == ()
