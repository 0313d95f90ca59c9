"""What is wrong is said in one line, and nothing was changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from model.tiny import PLAIN, Pan, frozen_copy, hooks_on, same_state, tiny
from netwarp import NetWarpError, VideoModel, load
from netwarp.errors import ConfigurationError, InputError, WeightsError
from netwarp.model import FlowCNN


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layers": None}, "no layers given"),
        ({"layers": ["stem", "mod"]}, "did you mean 'mid'"),
        ({"layers": ["mid", "ouput"]}, "no layer named 'ouput'"),
        ({"layers": "mid"}, "must be a list"),
        ({"layers": ["mid", "mid"]}, "named twice"),
        ({"flow": "diss"}, "did you mean 'dis'"),
        ({"flow": 3}, "flow"),
        ({"flow": lambda current, previous: None}, "index=None"),
        ({"layers": 3}, "must be a list"),
        ({"layers": [3]}, "must be a list"),
        ({"flow_cnn": True}, "flow_cnn must be"),
        ({"preprocess": 3}, "preprocess must be"),
        ({"classes": 3}, "classes must be"),
        ({"palette": 3}, "palette must be"),
        ({"example_size": 3}, "example_size must be"),
        ({"example_size": "ab"}, "example_size must be"),
        ({"start": 0.5}, "w1, w2"),
        ({"start": ("a", "b")}, "w1, w2"),
        ({"start": (float("nan"), 0.0)}, "w1, w2"),
        ({"start": ()}, "w1, w2"),
        ({"start": (0.5,)}, "w1, w2"),
        ({"gate": 3}, "PhotometricGate"),
        ({"gate": "photometrik"}, "did you mean 'photometric'"),
        ({"flow_cnn": "papers"}, "did you mean 'paper'"),
        ({"memory": "fuse"}, "did you mean 'fused'"),
        ({"classes": ["a", "b"]}, "2 class names for 5 classes"),
        ({"palette": [(0, 0, 0)] * 4}, "4 colours for 5 classes"),
        ({"training_free": True, "flow_cnn": FlowCNN()}, "no FlowCNN"),
        ({"example_size": (0, 5)}, "example_size must be"),
    ],
)
def test_a_model_that_cannot_be_built_changes_nothing(options, says):
    net = tiny().train()
    before, attributes = frozen_copy(net), set(vars(net))
    with pytest.raises(ConfigurationError, match=says) as caught:
        VideoModel(net, **{"layers": ["mid"], "preprocess": PLAIN, **options})
    assert "\n" not in str(caught.value)
    assert hooks_on(net) == 0
    assert same_state(net, before)
    assert set(vars(net)) == attributes
    assert net.training


@pytest.mark.parametrize("base", ["netwarp:espnet", None, VideoModel(tiny(), [], preprocess=PLAIN)])
def test_what_is_no_network_is_refused(base):
    with pytest.raises(ConfigurationError, match="load_base") as caught:
        VideoModel(base, training_free=True)
    assert "\n" not in str(caught.value)


def test_damaged_weights():
    net = tiny()
    with torch.no_grad():
        net.head.bias[0] = float("inf")
    with pytest.raises(WeightsError, match="damaged"):
        VideoModel(net, ["mid"], preprocess=PLAIN)
    assert hooks_on(net) == 0


FRAME = torch.zeros(1, 3, 16, 24, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m: m(FRAME, FRAME[..., 1:]), "differ in size"),
        (lambda m: m(FRAME, FRAME.repeat(2, 1, 1, 1)), "differ in size"),
        (lambda m: m(FRAME[0], FRAME), r"\[B,3,H,W\]"),
        (lambda m: m(FRAME, FRAME.float() + 255), "divide by 255"),
        (lambda m: m(FRAME, FRAME, torch.zeros(1, 2, 8, 12)), "for this frame"),
        (lambda m: m(FRAME, FRAME, torch.full((1, 2, 16, 24), float("nan"))), "NaN"),
        (lambda m: m.step(np.zeros((16, 24), np.uint8)), r"\[H,W,3\]"),
        (lambda m: m.step(FRAME, 3), "state must be"),
        (lambda m: m(FRAME, FRAME, np.zeros((1, 2, 16, 24))), "not ndarray"),
        (lambda m: m.step(FRAME, m.step(FRAME)[1], torch.zeros(1, 2, 16, 25)), "for this frame"),
        (lambda m: m.step(FRAME, m.step(FRAME)[1], torch.full((1, 2, 16, 24), float("inf"))), "infinite"),
    ],
)
def test_input_that_cannot_be_used(call, says):
    model = VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN)
    with pytest.raises(InputError, match=says) as caught:
        call(model)
    assert "\n" not in str(caught.value)
    # And the model goes on as if nothing had been.
    assert torch.equal(model(FRAME, FRAME), VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN)(FRAME, FRAME))


@pytest.mark.parametrize(
    "bad",
    [
        lambda current, previous, index=None: torch.full((1, 2, 16, 24), float("nan")),
        lambda current, previous, index=None: torch.zeros(1, 2, 8, 12),
        lambda current, previous, index=None: torch.zeros(1, 2, 16, 24, dtype=torch.int32),
        lambda current, previous, index=None: np.zeros((1, 2, 16, 24), np.float32),
    ],
    ids=["nan", "another size", "integers", "an array"],
)
def test_an_estimator_that_gives_something_else(bad):
    model = VideoModel(tiny(), ["mid"], flow=bad, preprocess=PLAIN)
    with pytest.raises(InputError, match="flow"):
        model(FRAME, FRAME)


def test_the_flow_of_clips_must_be_given(tmp_path):
    model = VideoModel(tiny(), ["mid"], flow="true", preprocess=PLAIN)
    given = torch.zeros(1, 2, 16, 24)
    _, state = model.step(FRAME)
    for call in (
        lambda: model.step(FRAME, state),
        lambda: model(FRAME, FRAME),
        lambda: model.estimate_flow(FRAME, FRAME),
    ):
        with pytest.raises(InputError, match="'dis'"):
            call()
    model.save(tmp_path / "m.safetensors")
    back = load(tmp_path / "m.safetensors", tiny())
    assert back.flow == "true"
    assert torch.equal(back.step(FRAME, state, given)[0], model(FRAME, FRAME, given))


@pytest.mark.parametrize("other", [["stem"], ["stem", "mid"], [], ["output"]])
def test_a_state_of_another_model(other):
    model = VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN)
    _, state = VideoModel(tiny(), other, flow=Pan(), preprocess=PLAIN).step(FRAME)
    with pytest.raises(InputError, match="state=None") as caught:
        model.step(FRAME, state)
    assert "\n" not in str(caught.value)


class Sometimes(nn.Module):
    """A network with a layer that runs in training alone."""

    def __init__(self):
        super().__init__()
        self.net = tiny()
        self.extra = nn.Conv2d(3, 3, 1)
        self.skip = False

    def forward(self, x):
        return self.net(x if self.skip else self.extra(x))


@pytest.mark.parametrize("layers", [["extra"], ["extra", "net.mid"], ["extra", "output"]])
def test_a_layer_that_does_not_run_on_every_frame(layers):
    net = Sometimes().eval()
    model = VideoModel(net, layers, flow=Pan(), preprocess=PLAIN)
    _, state = model.step(FRAME)
    net.skip = True
    for call in (lambda: model.step(FRAME), lambda: model.step(FRAME, state), lambda: model(FRAME, FRAME)):
        with pytest.raises(NetWarpError, match="'extra' did not run"):
            call()
