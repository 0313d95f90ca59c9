"""Windows, scales and mirrors: what plain loops say, at one pass per view and frame."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from inference.by_loop import averaged, mirrored_flow, motion_at, picture_at, views
from model.tiny import PLAIN, rough_flow, tiny, video
from netwarp.errors import ConfigurationError
from netwarp.inference.sliding import IN_A_PASS, Sliding, _views_in_a_pass
from netwarp.model import FlowCNN, LearnedGate, PhotometricGate, Preprocess

CAFFE = Preprocess((60.0, 120.0, 150.0), (50.0, 60.0, 70.0), 255.0, "bgr", divisor=4)
MEAN_RGB = (150 / 255, 120 / 255, 60 / 255)

VIEWS = [
    {},
    {"flip": True},
    {"window": (16, 24), "stride": (11, 16)},
    {"window": (16, 16), "stride": (8, 16), "flip": True},
    {"scales": (0.5, 1.0, 1.25)},
    {"window": (24, 20), "stride": (16, 20), "scales": (0.5, 1.5), "flip": True},
    {"window": (40, 60), "stride": (20, 20), "flip": True},  # larger than the frame
    {"window": (40, 20), "stride": (10, 20)},  # larger in one direction
]


def network(net, preprocess, layers=("mid",), **options):
    return video(layers, net, preprocess=preprocess, **options).eval()


def base_by_loop(net, preprocess, frame, options):
    """Softmax of the bare network on views cut by hand."""
    size = tuple(frame.shape[-2:])

    def said(number, scaled, place, window, mirrored):
        picture = picture_at(frame, scaled, options.get("window"), MEAN_RGB)
        piece = picture[:, :, place[0] : place[0] + window[0], place[1] : place[1] + window[1]]
        if mirrored:
            piece = torch.stack([piece[..., window[1] - 1 - x] for x in range(window[1])], -1)
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocess.mean, preprocess.std))
        entered = (piece[:, [2, 1, 0]] * 255 - mean) / std
        below, right = -window[0] % preprocess.divisor, -window[1] % preprocess.divisor
        entered = nn.functional.pad(entered, (0, right, 0, below), mode="replicate")
        logits = nn.functional.interpolate(net(entered), entered.shape[-2:], mode="bilinear", align_corners=False)
        return torch.softmax(logits, 1)[..., : window[0], : window[1]]

    return averaged(size, options, said)


@pytest.mark.parametrize("options", [VIEWS[1], VIEWS[3], VIEWS[5], VIEWS[6]], ids=str)
@pytest.mark.parametrize("batch", [1, 3, 4])
def test_mirrors_fused_by_their_logits(options, batch, pictures):
    """One softmax of both, also where the two of a window are in different passes."""
    (frame,) = pictures(1, batch=2)
    model = network(tiny(), PLAIN, layers=[])
    found, _ = Sliding(model, **{**options, "flip": "logits"}, batch=batch).step(frame)

    def said(number, size, place, window, mirrored):
        area = slice(place[0], place[0] + window[0]), slice(place[1], place[1] + window[1])
        piece = picture_at(frame, size, options.get("window"), (0.0, 0.0, 0.0))[:, :, *area]
        upright, twin = (model.step(picture)[0] for picture in (piece, piece.flip(-1)))
        return torch.softmax(upright + twin.flip(-1), 1)

    expected = averaged((32, 48), {**options, "flip": False}, said)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    of_probabilities, _ = Sliding(model, **options, batch=batch).step(frame)
    assert torch.equal(
        of_probabilities, Sliding(model, **{**options, "flip": "probabilities"}, batch=batch).step(frame)[0]
    )
    assert (of_probabilities - found).abs().max() > 0.01


@settings(max_examples=30)
@given(st.data())
def test_a_base_equals_a_plain_loop(data):
    height, width = data.draw(st.integers(5, 30)), data.draw(st.integers(5, 30))
    window = data.draw(st.tuples(st.integers(4, 36), st.integers(4, 36)))
    options = {
        "window": window,
        "stride": tuple(data.draw(st.integers(max(2, side // 3), side)) for side in window),
        "scales": data.draw(st.none() | st.lists(st.floats(0.3, 1.7), min_size=1, max_size=3, unique=True).map(tuple)),
        "flip": data.draw(st.booleans()),
    }
    if data.draw(st.booleans()):
        del options["window"], options["stride"]
    frame = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8)
    net = tiny()
    model = network(net, CAFFE, layers=[])
    found, _ = Sliding(model, **options, batch=data.draw(st.integers(1, 5))).step(frame)
    with torch.no_grad():
        expected = base_by_loop(net, CAFFE, frame, options)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


STREAMS = [
    ({"layers": ["mid"]}, 3),
    ({"layers": ["stem", "mid"], "memory": "fused"}, 2),
    ({"layers": ["log_probs"], "training_free": True}, 4),
    ({"layers": ["output"], "flow_cnn": None, "gate": PhotometricGate()}, 1),
    ({"layers": ["mid"], "flow_cnn": FlowCNN(stride=4), "gate": LearnedGate(terms=["photometric", "features"])}, 2),
    ({"layers": []}, 2),
]


@pytest.mark.parametrize("options", [VIEWS[3], VIEWS[5]], ids=str)
@pytest.mark.parametrize(("settings_", "batch"), STREAMS, ids=lambda v: str(v)[:50])
def test_a_stream_is_a_stream_of_its_own_in_every_view(options, settings_, batch, pictures):
    """A VideoModel by hand in each view, with the flow of the whole frames scaled, cut and mirrored by hand."""
    frames, flows = pictures(3), [None, rough_flow(1, 32, 48, seed=1), rough_flow(1, 32, 48, seed=2)]
    model = network(tiny(), CAFFE, **settings_)
    sliding, state, states = Sliding(model, **options, batch=batch), None, {}
    for t, frame in enumerate(frames):
        found, state = sliding.step(frame, state, flows[t])

        def said(number, size, place, window, mirrored, frame=frame, t=t):
            area = slice(place[0], place[0] + window[0]), slice(place[1], place[1] + window[1])
            piece = picture_at(frame, size, options.get("window"), MEAN_RGB)[:, :, *area]
            flow = None if t == 0 else motion_at(flows[t], size, options.get("window"))[:, :, *area]
            if mirrored:
                piece = torch.stack([piece[..., window[1] - 1 - x] for x in range(window[1])], -1)
                flow = None if flow is None else mirrored_flow(flow)
            key = (number, place, mirrored)
            with torch.no_grad():
                logits, states[key] = model.step(piece, states.get(key), flow)
            return torch.softmax(logits, 1)

        expected = averaged((32, 48), options, said)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    alone, _ = Sliding(network(tiny(), CAFFE, layers=[]), **options).step(frames[-1])
    assert ((found - alone).abs().max() > 0.01) == bool(model.layers)  # the past counts


class BothWays:
    """Flow one way for the frames in order and another way back."""

    def __init__(self, frames, there, back):
        self.frames, self.there, self.back = frames, there, back

    def __call__(self, current, previous, index=None):
        return (self.there if torch.equal(current, self.frames[1]) else self.back).clone()


@pytest.mark.parametrize("options", [VIEWS[3], VIEWS[5]], ids=str)
def test_flow_in_both_directions_follows_the_views(options, pictures):
    frames, there, back = pictures(2), rough_flow(1, 32, 48, seed=1), rough_flow(1, 32, 48, seed=2)
    gate = LearnedGate(terms=["forward_backward"])
    torch.nn.init.constant_(gate.forward_backward, 0.1)
    model = network(tiny(), CAFFE, flow=BothWays(frames, there, back), gate=gate)
    sliding = Sliding(model, **options)
    _, state = sliding.step(frames[0])
    found, _ = sliding.step(frames[1], state)

    def said(number, size, place, window, mirrored):
        area = slice(place[0], place[0] + window[0]), slice(place[1], place[1] + window[1])
        pieces = [picture_at(frame, size, options.get("window"), MEAN_RGB)[:, :, *area] for frame in frames]
        flows = [motion_at(flow, size, options.get("window"))[:, :, *area] for flow in (there, back)]
        if mirrored:
            pieces, flows = [piece.flip(-1) for piece in pieces], [mirrored_flow(flow) for flow in flows]
        with torch.no_grad():
            logits = model.unroll(torch.stack(pieces, 1), flows[0][:, None], forward_flows=flows[1][:, None])
        return torch.softmax(logits, 1)

    torch.testing.assert_close(found, averaged((32, 48), options, said), atol=1e-5, rtol=0)


def test_one_pass_per_view_and_frame(pictures):
    """One frame of three windows and their twins at two scales: every view goes through the network once."""
    net, options = tiny(), {"window": (32, 24), "stride": (16, 16), "scales": (0.5, 1.0), "flip": True}
    model = network(net, PLAIN)
    sliding, shown, state = Sliding(model, **options), [], None
    net.register_forward_pre_hook(lambda module, entered: shown.append(entered[0].shape[0]))
    expected = len(list(views((32, 48), options)))
    assert expected == 2 * (2 + 2 * 3)
    for frame in pictures(4):
        shown.clear()
        _, state = sliding.step(frame, state)
        assert sum(shown) == expected
        assert max(shown) == 4  # neighbours and twins together
    assert model.flow.calls == 3  # and flow is estimated once a frame


def test_how_many_views_go_in_a_pass(pictures, monkeypatch):
    monkeypatch.setitem(IN_A_PASS, "cpu", (3 * 16 * 24, 4))
    net, shown = tiny(), []
    model = network(net, PLAIN, layers=[])
    net.register_forward_pre_hook(lambda module, entered: shown.append(entered[0].shape[0]))
    (frame,) = pictures(1, batch=2)
    for options, expected in (
        ({"window": (16, 24)}, [3, 3, 3]),  # nine of them
        ({"window": (32, 48)}, [1]),
        ({"window": (32, 48), "flip": True}, [1, 1]),
        ({"window": (16, 24), "stride": (16, 24), "flip": True, "batch": 8}, [8]),
        ({"window": (16, 24), "stride": (16, 24), "flip": True, "batch": 5}, [5, 3]),
        ({"window": 8, "stride": 8}, [4] * 6),
    ):
        shown.clear()
        Sliding(model, **options).step(frame)
        assert shown == [2 * views for views in expected]  # two videos at a time


@pytest.mark.parametrize(
    ("window", "on_cpu", "on_gpu"), [((713, 713), 1, 8), ((89, 89), 4, 32), ((1024, 2048), 1, 2), ((4000, 4000), 1, 1)]
)
def test_a_gpu_sees_more_views_at_a_time(window, on_cpu, on_gpu):
    assert _views_in_a_pass(window, torch.device("cpu")) == on_cpu
    assert _views_in_a_pass(window, torch.device("cuda", 1)) == on_gpu


def test_without_anything_asked_it_is_the_model(pictures):
    model, state, other = network(tiny(), PLAIN), None, None
    sliding = Sliding(model)
    for frame in pictures(3):
        found, state = sliding.step(frame, state)
        with torch.no_grad():
            logits, other = model.step(frame, other)
        assert torch.equal(found, logits.softmax(1))


def test_floating_point_and_numpy_frames(pictures):
    (frame,) = pictures(1)
    sliding = Sliding(network(tiny(), PLAIN, layers=[]), 20, flip=True)
    expected, _ = sliding.step(frame)
    for same in (frame.float() / 255, frame.double() / 255, frame[0].permute(1, 2, 0).numpy()):
        torch.testing.assert_close(sliding.step(same)[0], expected, atol=1e-5, rtol=0)


def test_networks_of_half_and_double_precision(pictures):
    (frame,) = pictures(1)
    expected, _ = Sliding(network(tiny(), PLAIN, layers=[]), 20).step(frame)
    half, _ = Sliding(network(tiny().bfloat16(), PLAIN, layers=[]), 20).step(frame)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.sum(1), torch.ones(1, 32, 48))
    torch.testing.assert_close(half, expected, atol=0.05, rtol=0)
    double, _ = Sliding(network(tiny().double(), PLAIN, layers=[]), 20).step(frame)
    assert double.dtype == torch.float64


def test_no_gradients_and_no_graph(pictures):
    model = network(tiny(), PLAIN).train()
    found, state = Sliding(model, 20).step(pictures(1)[0])
    assert not found.requires_grad
    assert not any(kept.requires_grad for memory in state.take() for kept in memory)


def test_what_it_shares_with_its_model():
    model = network(tiny(), PLAIN)
    sliding = Sliding(model.train(), (16, 24), 8, (0.5, 1), True, batch=5)
    for name in ("base", "flow", "layers", "classes", "palette"):
        assert getattr(sliding, name) == getattr(model, name)
    assert sliding.eval() is sliding
    assert not model.training
    alone = sliding.without_memory()
    assert (alone.views, alone.batch, alone.layers, alone.base) == (sliding.views, 5, (), model.base)


@pytest.mark.parametrize(
    ("model", "options", "value"),
    [
        (lambda: tiny(), {"window": 20}, "TinyNet"),
        *((lambda: network(tiny(), PLAIN), {"window": 20, "batch": batch}, f"not {batch}") for batch in (0, -1, 2.5)),
        (lambda: network(tiny(), PLAIN), {"window": 20, "stride": 21}, "21×21"),
        (lambda: network(tiny(), Preprocess(size=(20, 30))), {"window": 20}, "30×20"),
        (lambda: network(tiny(), Preprocess(size=(20, 30))), {"scales": (1,)}, "30×20"),
    ],
)
def test_what_is_refused(model, options, value):
    with pytest.raises(ConfigurationError, match=value):
        Sliding(model(), **options)


@pytest.mark.parametrize("options", [{"window": (20, 30)}, {"flip": True}])
def test_the_preprocessings_size_may_be_that_of_the_windows(options):
    Sliding(network(tiny(), Preprocess(size=(20, 30))), **options)
