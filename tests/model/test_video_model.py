"""A VideoModel's life: built without a trace in the network, by options that make sense; trained, copied, removed."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from model.tiny import LAYERS, PLAIN, Pan, frozen_copy, hooks_on, same_state, stream, tiny, video
from netwarp import NetWarpError, VideoModel
from netwarp.errors import ConfigurationError, WeightsError
from netwarp.label_sets import CAMVID
from netwarp.model import FlowCNN, Preprocess


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_building_changes_nothing_in_the_network(layers):
    net = tiny().train()
    net.mid.eval()
    before, attributes, kind = frozen_copy(net), set(vars(net)), type(net)
    modes, grads = [m.training for m in net.modules()], [p.requires_grad for p in net.parameters()]
    random = torch.get_rng_state()
    model = VideoModel(net, layers, flow_cnn=None, preprocess=PLAIN)
    assert same_state(net, before)
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == grads
    assert torch.equal(torch.get_rng_state(), random)
    assert set(vars(net)) == attributes
    assert type(net) is kind
    assert model.base is net


@pytest.mark.parametrize("layers", LAYERS, ids=str)
def test_a_removed_model_leaves_no_hook_and_does_not_run(layers, pictures):
    """And no other trace: see the contract of all networks."""
    net, frames = tiny(), pictures(2)
    model = video(layers, net)
    stream(model, frames)
    assert model.remove() is net
    assert hooks_on(net) == 0
    assert model.remove() is net  # twice does no harm
    for call in (lambda: model.step(frames[0]), lambda: model(frames[1], frames[0])):
        with pytest.raises(NetWarpError, match="removed"):
            call()


def test_a_copy_of_the_network_carries_no_working_hooks(pictures):
    net = tiny()
    model = video(net=net)
    twin = copy.deepcopy(net)
    x = pictures(1)[0].float() / 255
    assert torch.equal(twin(x), net(x))
    assert model.base is net


def test_without_memory_it_is_the_network_frame_by_frame(pictures):
    model = video(classes=list("abcde"), palette=[(i, i, i) for i in range(5)], example_size=(32, 48))
    single, frames = model.without_memory(), pictures(2)
    for name in ("base", "preprocess", "classes", "palette", "example_size"):
        assert getattr(single, name) == getattr(model, name)
    with torch.no_grad():
        _, state = single.step(frames[0])
        assert torch.equal(single.step(frames[1], state)[0], model.step(frames[1])[0])
        assert not torch.equal(model(*frames), single(*frames))  # both go on


def test_training_free():
    net = tiny()
    model = VideoModel(net, training_free=True, preprocess=PLAIN)
    assert model.layers == ("log_probs",)
    assert model.memory == "fused"
    assert model.flow_cnn is None
    assert model.training_free
    assert not any(p.requires_grad for p in model.netwarps.parameters())
    assert all(p.requires_grad for p in net.parameters())
    (netwarp,) = model.netwarps
    assert (netwarp.w2 > 0).all()
    torch.testing.assert_close(netwarp.w1 + netwarp.w2, torch.ones(5))  # a still video keeps its logits
    chosen = VideoModel(net, ["mid"], training_free=True, memory="previous", start=(0.8, 0.2), preprocess=PLAIN)
    assert chosen.layers == ("mid",)
    assert chosen.memory == "previous"
    assert chosen.netwarps[0].w2.unique().item() == pytest.approx(0.2)


def test_one_flow_cnn_serves_all_layers():
    cnn = FlowCNN(stride=2)
    model = VideoModel(tiny(), ["stem", "mid", "output"], flow_cnn=cnn, preprocess=PLAIN)
    assert model.flow_cnn is cnn
    assert [n.w1.numel() for n in model.netwarps] == [8, 6, 5]
    own = {name for name, _ in model.named_parameters() if not name.startswith("base.")}
    assert own == {f"netwarps.{i}.{w}" for i in range(3) for w in ("w1", "w2")} | {
        f"flow_cnn.conv{i}.{p}" for i in range(1, 5) for p in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": None}, "no layers"),
        ({"layers": ["mid", "ouput"]}, "'ouput'"),
        ({"layers": ["mid", "mid"]}, "'mid'"),
        *(({name: 3}, "3") for name in ("layers", "flow")),
        *(({name: 3}, name) for name in ("flow_cnn", "preprocess", "classes", "palette", "gate", "example_size")),
        ({"flow": "diss"}, "'dis'"),
        ({"flow": lambda current, previous: None}, "index=None"),
        ({"flow_cnn": "papers"}, "'paper'"),
        ({"flow_cnn": FlowCNN(), "training_free": True}, "FlowCNN"),
        ({"example_size": (0, 5)}, "example_size"),
        *(({"start": start}, "w1, w2") for start in (("a", "b"), (float("nan"), 0.0), (0.5,))),
        ({"gate": "photometrik"}, "'photometric'"),
        ({"gate": "learned", "training_free": True}, "gate"),
        ({"memory": "fuse"}, "'fused'"),
    ],
)
def test_a_model_that_cannot_be_built_changes_nothing(options, says):
    net = tiny().train()
    before, attributes = frozen_copy(net), set(vars(net))
    with pytest.raises(ConfigurationError, match=says):
        VideoModel(net, **{"layers": ["mid"], "preprocess": PLAIN, **options})
    assert hooks_on(net) == 0
    assert same_state(net, before)
    assert set(vars(net)) == attributes
    assert net.training


@pytest.mark.parametrize("base", ["netwarp:espnet", None, VideoModel(tiny(), [], preprocess=PLAIN)])
def test_what_is_no_network_is_refused(base):
    with pytest.raises(ConfigurationError, match=type(base).__name__):
        VideoModel(base, training_free=True)


def test_damaged_weights():
    net = tiny()
    with torch.no_grad():
        net.head.bias[0] = float("inf")
    with pytest.raises(WeightsError):
        VideoModel(net, ["mid"], preprocess=PLAIN)
    assert hooks_on(net) == 0


class TestMetadata:
    """Attributes of the names that netwarp looks for may mean something else in a foreign network."""

    def of(self, net, **options):
        return VideoModel(net, ["mid"], flow=Pan(), **options)

    def test_names_colours_and_preprocessing_are_taken(self):
        net = tiny()
        net.classes, net.palette = list("abcde"), [[i, i, i] for i in range(5)]
        net.preprocess = Preprocess((0.5,) * 3, (0.5,) * 3)
        model = self.of(net)
        assert model.classes == ("a", "b", "c", "d", "e")
        assert model.palette == tuple((i, i, i) for i in range(5))
        assert model.preprocess == net.preprocess

    def test_a_list_of_known_names_brings_its_colours(self):
        net = tiny(classes=11)
        net.classes = list(CAMVID.names)
        assert self.of(net).palette == CAMVID.palette

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("classes", value) for value in (5, [0, 1, 2], torch.zeros(5), nn.Linear(2, 2))),
            *(("palette", value) for value in (lambda: 3, "viridis")),
            *(("preprocess", value) for value in (lambda x: x / 255, True)),
        ],
    )
    def test_anything_else_by_these_names_is_left_alone(self, name, value):
        net = tiny()
        setattr(net, name, value)
        model = self.of(net)
        assert model.classes[0] == "class 0"
        assert model.palette[1] == (128, 0, 0)
        assert model.preprocess == Preprocess()

    def test_what_is_given_goes_before_the_networks_own(self):
        net = tiny()
        net.classes, net.preprocess, net.palette = list("abcde"), Preprocess(divisor=8), [(0, 0, 0)] * 5
        model = self.of(net, classes=list("vwxyz"), preprocess=PLAIN, palette=np.full((5, 3), 7, np.uint8))
        assert model.classes == ("v", "w", "x", "y", "z")
        assert model.preprocess == PLAIN
        assert model.palette == ((7, 7, 7),) * 5

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("classes", ["a", "b"], "2 class names for 5"),
            ("palette", [(1, 2, 3)] * 4, "4 colours for 5"),
            ("palette", [(1, 2, 300)] * 5, "300"),
            ("palette", [(1, 2)] * 5, "RGB"),
            ("palette", ["red"] * 5, "'red'"),
            ("palette", [1] * 5, "not 1"),
        ],
    )
    def test_wrong_names_and_colours_are_refused(self, name, value, says):
        net = tiny()
        with pytest.raises(ConfigurationError, match=says):
            self.of(net, **{name: value})
        setattr(net, name, value)
        with pytest.raises(ConfigurationError, match=says):
            self.of(net)
        assert hooks_on(net) == 0


def training(model):
    return {name for name, module in model.named_modules() if module.training}


def names_in(model):
    return {name for name, _ in model.named_modules()}


class Fixed(nn.Module):
    def forward(self, x):
        return torch.cat((x, -x), 1)


class TestFrozen:
    """What is frozen stays in evaluation mode, whatever is called: no dropout, no new statistics."""

    @pytest.mark.parametrize("call", [lambda o: o.train(), lambda o: o[0].train(), lambda o: o.eval().train(True)])
    def test_a_network(self, call, pictures):
        model = video()
        model.base.requires_grad_(False)
        before, frames = frozen_copy(model.base), pictures(2)
        call(nn.Sequential(model))  # as a part of something else, which a trainer makes of it
        assert training(model) == {n for n in names_in(model) if not n.startswith("base")}
        first = model(*frames)
        first.sum().backward()
        assert same_state(model.base, before)
        assert torch.equal(model(*frames), first)
        assert all(p.grad is None for p in model.base.parameters())
        assert model.netwarps[0].w2.grad.any()

    def test_parts_of_a_network(self):
        model = video()
        model.base.stem.requires_grad_(False)
        model.base.norm.requires_grad_(False)
        model.train()
        assert names_in(model.base) - training(model.base) == {"stem", "norm"}

    def test_a_block_with_all_that_is_in_it(self):
        """Its dropout too, which has no parameters to freeze."""
        encoder = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, affine=False), nn.Dropout())
        mid = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout())
        model = video(net=nn.Sequential(OrderedDict(encoder=encoder, mid=mid, drop=nn.Dropout())))
        model.base.encoder.requires_grad_(False)
        model.train()
        assert training(model.base) == {"", "mid", "mid.0", "mid.1", "drop"}
        model.base.encoder.requires_grad_(True)
        assert training(model.train().base) == names_in(model.base)

    def test_a_network_without_parameters(self):
        model = video(["output"], Fixed()).train()
        assert model.training
        assert not model.base.training
