"""From rows to models: what runs behind a layer, what is trained, and features of both frames side by side."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from netwarp import load_base
from netwarp.errors import ConfigurationError
from netwarp.lab.study import build as build_module
from netwarp.lab.study.build import (
    Concatenation,
    build,
    downstream_modules,
    trained_modules,
    trained_parameters,
)
from netwarp.lab.study.rows import WHOLE, Row, keyframe_rows
from netwarp.model import Preprocess


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
    [("body.first", ("both", "body.then", "late")), ("body.then", ("late",)), ("late.0", ("late.2",))],
)
def test_order_is_that_of_running(layer: str, behind: tuple[str, ...]):
    assert downstream_modules(Crossed(), layer) == behind


@pytest.mark.parametrize(
    ("layer", "said"), [("both", "'both' runs 2"), ("late.2", "'late.2'"), ("body.frist", r"'body\.first'"), ("", "''")]
)
def test_a_layer_that_nothing_can_be_trained_behind(layer: str, said: str):
    with pytest.raises(ConfigurationError, match=said):
        downstream_modules(Crossed(), layer)


def test_no_trace_is_left():
    network = Crossed().train()
    before = torch.random.get_rng_state()
    downstream_modules(network, "body.then")
    assert torch.equal(before, torch.random.get_rng_state())
    for module in network.modules():
        assert module.training
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


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


SIDE_BY_SIDE = Row("", ("at_eighth",), memory="previous", start=(1.0, 0.0), flow="zero", concatenated=True)


def test_a_fresh_concatenation_passes_the_current_representation_on(pictures):
    first, second = (frame.float() / 255 for frame in pictures(2))
    base = load_base("netwarp:streetnet")
    with torch.no_grad():
        torch.testing.assert_close(build(SIDE_BY_SIDE, base)(second, first), build(Row("base"), base)(second, first))


def test_every_channel_may_draw_on_every_channel_of_both_frames():
    layer = Concatenation(3)
    current, previous = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    weight = torch.rand(3, 6)
    with torch.no_grad():
        layer.mix.weight.copy_(weight[:, :, None, None])
    expected = torch.einsum("oc,bchw->bohw", weight, torch.cat([current, previous], dim=1))
    torch.testing.assert_close(layer(current, previous, torch.zeros(2, 2, 4, 5)), expected)


def test_a_concatenation_is_trained_with_the_network():
    base = load_base("netwarp:streetnet")
    assert trained_parameters(build(SIDE_BY_SIDE, base)) == {"netwarps.0.mix.weight": 64 * 128}
    whole = build(replace(SIDE_BY_SIDE, trained=(WHOLE,)), base)
    assert len(trained_parameters(whole)) == 1 + len(list(base.parameters()))
    assert whole.base is not base


def test_a_network_of_one_size_is_tested_at_another():
    base = nn.Conv2d(3, 2, 1)
    base.preprocess = Preprocess(size=(40, 60))
    row = next(row for row in keyframe_rows(["2"]) if row.name.endswith("at 1.125 ×"))
    model = build(row, base)
    for _ in range(2):
        assert build_module.tested_model(row, model).preprocess.size == (45, 68)
    assert base.preprocess.size == (40, 60)


def test_memory_without_training_stands_beside_trained_netwarps_inside():
    row = Row("", ("encoder.b3",), memory="fused", gate="photometric", trained=("after encoder.b3",), then_free=True)
    model = build(row, load_base("netwarp:espnet", classes=12))
    with torch.no_grad():
        model.netwarps[0].w2.fill_(0.4)
    tested = build_module.tested_model(row, model)
    assert tested.layers == ("encoder.b3", "log_probs")
    assert [netwarp.w2.mean().item() for netwarp in tested.netwarps] == pytest.approx([0.4, 0.8])
    at_output = replace(row, layers=("log_probs",))
    tested = build_module.tested_model(at_output, build(at_output, load_base("netwarp:espnet", classes=12)))
    assert (tested.layers, tested.training_free) == (("log_probs",), True)
