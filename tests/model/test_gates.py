"""The photometric gate against its formula, gates by their names, and gates of the user's own."""

import math

import pytest
import torch
from torch import nn

from model.tiny import rough_flow, video
from netwarp import LearnedGate
from netwarp.errors import ConfigurationError
from netwarp.model import PhotometricGate
from netwarp.model.gate_names import make_gate
from netwarp.model.gates import TERMS, resize_confidence
from netwarp.ops.kernels import photometric_error
from ops.slow import slow_warp

CLIP = torch.randint(0, 256, (2, 2, 3, 18, 26), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_error_is_the_mean_over_channels_of_what_warping_leaves():
    current, previous = torch.rand(2, 1, 3, 4, 6)
    flow = rough_flow(1, 4, 6)
    expected = (current - slow_warp(previous, flow)).abs().mean(1, keepdim=True)
    torch.testing.assert_close(photometric_error(current, previous, flow).double(), expected)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.3])
def test_sigma_is_where_trust_has_fallen_to_one_over_e(sigma):
    current = torch.full((1, 3, 5, 5), 0.2)
    gate = PhotometricGate(sigma, 1, noise=0)(current, current + sigma, torch.zeros(1, 2, 5, 5))
    torch.testing.assert_close(gate, torch.full((1, 1, 5, 5), 1 / math.e))


def test_the_window_averages_errors_and_not_zeros_from_outside():
    current, previous = torch.zeros(1, 3, 7, 7), torch.zeros(1, 3, 7, 7)
    previous[..., 0, 0] = 0.3
    gate = PhotometricGate(0.1, 3, noise=0)(current, previous, torch.zeros(1, 2, 7, 7))
    assert gate[0, 0, 0, 0] == pytest.approx(math.exp(-((0.3 / 4 / 0.1) ** 2)), abs=1e-5)  # a corner has four pixels
    assert gate[0, 0, 1, 1] == pytest.approx(math.exp(-((0.3 / 9 / 0.1) ** 2)), abs=1e-5)
    assert gate[0, 0, 2, 2] == 1
    assert ((gate >= 0) & (gate <= 1)).all()


def test_noise_widens_the_gate_of_each_frame_by_its_own_median_error():
    current = torch.full((2, 3, 8, 8), 0.2)
    previous = current.clone()
    previous[0] += 0.1  # a noisy frame: an error of 0.1 is nothing special
    previous[1, :, 0, 0] += 0.1  # a clean one: here it stands out
    gate = PhotometricGate(0.05, 1, noise=2)(current, previous, torch.zeros(2, 2, 8, 8))
    torch.testing.assert_close(gate[0], torch.full((1, 8, 8), math.exp(-((0.1 / 0.25) ** 2))))
    # The clean frame's median error is 0, though one of its four sampled pixels is off.
    assert gate[1, 0, 0, 0] == pytest.approx(math.exp(-((0.1 / 0.05) ** 2)), rel=1e-4)
    assert gate[1, 0, 1, 1] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 0.0}, {"sigma": math.nan}, {"sigma": "0.1"}, {"window": 0}, {"window": 4}, {"window": 1.5},
        {"noise": -1.0}, {"noise": math.nan}, {"noise": None},
    ],
)  # fmt: skip
def test_values_that_make_no_sense(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        PhotometricGate(**options)


class Halved(nn.Module):
    """A gate of the user's own that learns, in its simplest form."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, current, previous, flow):
        return self.share.expand(len(flow), 1, *flow.shape[2:])


class Both:
    """A gate of the user's own that follows the whole protocol."""

    needs_forward_flow = True

    def __init__(self):
        self.seen = []

    def __call__(self, current, previous, flow, forward_flow=None):
        self.seen.append((current.shape, previous.shape, flow.shape, forward_flow.shape))
        return torch.full_like(flow[:, :1], 0.5)

    def at_layer(self, confidence, current, previous, flow):
        self.seen.append((current.shape, previous.shape))
        return resize_confidence(confidence, (current.shape[-2], current.shape[-1])) / 2


class TestUsersOwn:
    def test_a_function_shuts_out_the_past(self):
        shut, alone = video(gate=lambda current, previous, flow: torch.zeros_like(current[:, :1])), video()
        with torch.no_grad():
            alone.netwarps[0].w1 += alone.netwarps[0].w2
            alone.netwarps[0].w2.zero_()
        torch.testing.assert_close(shut.unroll(CLIP), alone.unroll(CLIP))

    def test_a_module_is_part_of_the_model(self):
        model = video(gate=Halved())
        assert "gate.share" in model.state_dict()
        model.unroll(CLIP).square().mean().backward()
        assert model.gate.share.grad.any()

    def test_the_whole_protocol(self):
        model = video(["stem", "log_probs"], gate=Both())
        fixed = video(["stem", "log_probs"], gate=lambda current, previous, flow: torch.full_like(flow[:, :1], 0.25))
        torch.testing.assert_close(model.unroll(CLIP), fixed.unroll(CLIP))
        frame, flow = (2, 3, 18, 26), (2, 2, 18, 26)
        assert model.gate.seen == [(frame, frame, flow, flow), ((2, 8, 9, 13),) * 2, ((2, 5, 9, 13),) * 2]

    @pytest.mark.parametrize("gate", [Halved(), Both(), lambda current, previous, flow: current[:, :1]])
    def test_it_is_not_saved(self, gate, tmp_path):
        with pytest.raises(ConfigurationError, match=type(gate).__name__):
            video(flow="zero", gate=gate).save(tmp_path / "m.safetensors")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "start", "terms"),
    [
        ("learned", "open", TERMS),
        ("learned:open", "open", TERMS),
        ("learned:photometric", "photometric", TERMS),
        ("learned:open,terms=features+photometric", "open", ("photometric", "features")),
        ("learned,terms=forward_backward", "open", ("forward_backward",)),
    ],
)
def test_names_of_gates(spec, start, terms):
    gate = make_gate(spec)
    assert (gate.start, gate.terms) == (start, terms)
    assert video(gate=spec).gate.terms == terms
    assert make_gate("photometric") == video(gate="photometric").gate == PhotometricGate()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("lerned", "did you mean 'learned'"),
        ("", "known: photometric, learned"),
        ("photometric:open", "write 'photometric' alone"),
        ("learned:opne", "did you mean 'open'"),
        ("learned,terms=photo", "did you mean 'photometric'"),
        ("learned,terms=", "no term"),
        ("learned,what=3", "the form is"),
        ("learned:photometric,terms=features", "needs the term"),
        ({"start": 3}, "no start"),
        *(({"terms": terms}, "terms") for terms in ((), "features")),
        ({"terms": [3]}, "no term .* 3:"),
        ({"error": 0.3}, "PhotometricGate"),
    ],
)
def test_what_is_no_gate(spec, says):
    with pytest.raises(ConfigurationError, match=says):
        make_gate(spec) if isinstance(spec, str) else LearnedGate(**spec)
