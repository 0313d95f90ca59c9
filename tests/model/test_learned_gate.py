"""The learned gate against its formula, and in a model: open it is not there, and from there it learns."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F

from model.tiny import PLAIN, Pan, rough_flow, tiny
from model.tiny import video as plain_video
from netwarp import LearnedGate, VideoModel
from netwarp.errors import ConfigurationError, InputError
from netwarp.flow import write_flo
from netwarp.model import PhotometricGate, Preprocess
from netwarp.model.gates import TERMS, feature_error, forward_backward_error, relative_error, resize_confidence
from netwarp.model.model_file import read
from ops.slow import slow_warp

PLACES = [["stem"], ["mid"], ["output"], ["log_probs"], ["stem", "mid", "log_probs"]]
SUBSETS = [("photometric",), ("forward_backward",), ("features",), ("photometric", "features"), TERMS]


class Sway(Pan):
    """The camera pans one way, and not quite the same way back, so that there and back is no round trip."""

    spec = "sway"

    def __call__(self, current, previous, index=None):
        flow = super().__call__(current, previous, index)
        brighter = (current.float().mean((1, 2, 3)) > previous.float().mean((1, 2, 3))).view(-1, 1, 1, 1)
        return torch.where(brighter, flow, 0.5 - flow)


def video(layers=("mid",), net=None, **options):
    return plain_video(layers, net, **{"flow": Sway(), **options})


def clip(count=3, h=18, w=26, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, count, 3, h, w), dtype=torch.uint8, generator=generator)


def set_coefficients(gate, **values):
    with torch.no_grad():
        for name, value in values.items():
            gate.get_parameter(name).fill_(value)


class TestErrors:
    def test_there_and_back_again(self):
        backward, forward = rough_flow(1, 5, 7, 2.0), rough_flow(1, 5, 7, 2.0, seed=1)
        back = slow_warp(forward, backward)
        lengths = backward.double().square().sum(1) + back.square().sum(1)
        expected = (backward + back).square().sum(1) / (0.01 * lengths + 0.5)
        torch.testing.assert_close(
            forward_backward_error(backward, forward)[:, 0].double(), expected, rtol=1e-5, atol=1e-6
        )

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_features_against_a_loop(self, dtype):
        current, previous = torch.randn(2, 2, 3, 5, 6).to(dtype)
        flow = rough_flow(2, 5, 6)
        error, apart = feature_error(current, previous, flow), current.double() - slow_warp(previous, flow)
        assert error.dtype == torch.float32
        for b in range(2):
            planes = [current[b, c].double().flatten().tolist() for c in range(3)]
            variance = sum(sum((v - sum(plane) / 30) ** 2 for v in plane) / 30 for plane in planes) / 3
            expected = (apart[b].square().mean(0) / variance).sqrt()
            torch.testing.assert_close(error[b, 0].double(), expected, rtol=1e-4, atol=1e-6)

    def test_features_that_are_the_same_everywhere(self):
        flat = torch.full((1, 4, 6, 8), 0.3)
        assert not feature_error(flat, flat, rough_flow(1, 6, 8)).gt(1e-3).any()
        assert torch.isfinite(feature_error(flat, torch.randn(1, 4, 6, 8), rough_flow(1, 6, 8))).all()

    @pytest.mark.parametrize("size", [(45, 60), (51, 77), (90, 120), (7, 3)])
    def test_trust_everywhere_stays_exactly_that_at_every_size(self, size):
        assert torch.equal(resize_confidence(torch.ones(1, 1, 360, 480), size), torch.ones(1, 1, *size))
        trust = torch.rand(1, 1, 90, 120)
        expected = F.interpolate(trust, size=size, mode="bilinear", align_corners=False, antialias=True)
        torch.testing.assert_close(resize_confidence(trust, size), expected)


class TestFormula:
    def test_is_the_exponential_of_the_weighted_errors(self):
        current, previous = torch.rand(2, 2, 3, 16, 24)
        flow, forward = rough_flow(2, 16, 24), rough_flow(2, 16, 24, seed=1)
        features, remembered = torch.randn(2, 2, 5, 8, 12)
        gate = LearnedGate()
        set_coefficients(gate, photometric=0.3, forward_backward=0.02, features=0.4)
        photometric = -PhotometricGate()(current, previous, flow).log()
        expected = torch.exp(-0.3 * photometric - 0.02 * forward_backward_error(flow, forward))
        trust = gate(current, previous, flow, forward)
        torch.testing.assert_close(trust, expected, atol=1e-6, rtol=1e-4)

        small = F.interpolate(flow, size=(8, 12), mode="bilinear") / 2
        cost = relative_error(feature_error(features, remembered, small), 0.2, 3.0)
        seen = torch.rand(2, 1, 8, 12)
        torch.testing.assert_close(gate.at_layer(seen, features, remembered, small), seen * torch.exp(-0.4 * cost))

    @pytest.mark.parametrize("value", [0.0, -0.5, 0.25])
    def test_a_coefficient_is_never_negative_and_always_learns(self, value):
        gate = LearnedGate()
        set_coefficients(gate, features=value)
        assert float(gate.coefficient("features").detach()) == max(value, 0.0)
        gate.coefficient("features").backward()
        assert float(gate.features.grad) == 1.0

    def test_no_gradient_goes_through_the_representations(self):
        gate = LearnedGate("photometric")
        features, remembered = (torch.randn(1, 5, 8, 12, requires_grad=True) for _ in range(2))
        gate.at_layer(torch.ones(1, 1, 8, 12), features, remembered, rough_flow(1, 8, 12)).sum().backward()
        assert features.grad is None
        assert remembered.grad is None
        assert gate.features.grad.any()


class TestInAModel:
    @pytest.mark.parametrize(("layers", "terms"), [*zip(PLACES, SUBSETS, strict=True)], ids=str)
    @pytest.mark.parametrize("preprocess", [PLAIN, Preprocess(divisor=16), Preprocess(size=(21, 37), divisor=8)])
    def test_open_it_is_the_papers_equation_bitwise(self, layers, terms, preprocess):
        frames = clip(2, 51, 77)
        plain = video(layers, preprocess=preprocess)
        gated = video(layers, preprocess=preprocess, gate=LearnedGate(terms=terms))
        assert torch.equal(gated.unroll(frames), plain.unroll(frames))

    @pytest.mark.parametrize("layers", PLACES, ids=str)
    def test_photometric_it_is_the_photometric_gate(self, layers):
        frames, error = clip(), PhotometricGate(0.3, 3)
        fixed = video(layers, gate=error, memory="fused")
        learned = video(layers, gate=LearnedGate("photometric", error=error), memory="fused")
        torch.testing.assert_close(learned.unroll(frames), fixed.unroll(frames))
        assert not torch.allclose(learned.unroll(frames), video(layers, memory="fused").unroll(frames))

    @pytest.mark.parametrize("start", ["open", "photometric"])
    @pytest.mark.parametrize("terms", [("photometric",), ("photometric", "features"), TERMS], ids="+".join)
    def test_all_its_parameters_learn_from_the_first_step(self, terms, start):
        model = video(["stem", "log_probs"], gate=LearnedGate(start, terms, error=PhotometricGate(0.5)))
        model.unroll(clip()).square().mean().backward()
        assert {name for name, _ in model.named_parameters() if name.startswith("gate.")} == {
            f"gate.{t}" for t in terms
        }
        assert all(model.get_parameter(f"gate.{term}").grad.any() for term in terms)

    @pytest.mark.parametrize(("layers", "memory"), [*zip(PLACES, ("previous", "fused") * 3, strict=False)], ids=str)
    def test_the_stream_is_the_clip_and_checkpointing_changes_nothing(self, layers, memory):
        frames = clip(4)
        seen = []
        for checkpoint in (False, True):
            model = video(layers, memory=memory, gate=LearnedGate("photometric", error=PhotometricGate(0.5)))
            set_coefficients(model.gate, features=0.2, forward_backward=0.1)
            state = None
            with torch.no_grad():
                for i in range(4):
                    logits, state = model.step(frames[:, i], state)
            assert torch.equal(model.unroll(frames, checkpoint=checkpoint), logits)
            model.train()
            torch.manual_seed(3)
            model.unroll(frames, checkpoint=checkpoint).square().mean().backward()
            seen.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        assert {f"gate.{term}" for term in TERMS} <= seen[0].keys()
        assert seen[0].keys() == seen[1].keys()
        assert all(torch.equal(seen[1][name], gradient) for name, gradient in seen[0].items())


class TestForwardFlow:
    def test_is_estimated_only_where_it_is_looked_at(self):
        frames = clip(3)
        for terms, calls in ((("photometric", "features"), 1), (TERMS, 2)):
            model = video(gate=LearnedGate(terms=terms))
            model.flow.calls = 0
            model(frames[:, 1], frames[:, 0])
            assert model.flow.calls == calls

    def test_given_is_taken_instead(self):
        frames = clip(3)
        model = video(memory="fused", gate=LearnedGate())
        set_coefficients(model.gate, forward_backward=0.3)
        flows, forward = (
            torch.stack([model.estimate_flow(frames[:, i + a], frames[:, i + b]) for i in range(2)], 1)
            for a, b in ((1, 0), (0, 1))
        )
        estimated = model.unroll(frames)
        model.flow.calls = 0
        assert torch.equal(model.unroll(frames, flows, forward_flows=forward), estimated)
        assert model.flow.calls == 0
        assert not torch.allclose(model.unroll(frames, flows, forward_flows=forward + 1), estimated)

    def test_of_another_size_is_refused(self):
        with pytest.raises(InputError, match="flows of this clip"):
            video(gate=LearnedGate()).unroll(clip(3), forward_flows=torch.zeros(2, 2, 2, 18, 25))

    def test_cannot_be_looked_up(self, tmp_path):
        write_flo(tmp_path / "1.flo", torch.zeros(1, 2, 18, 26))
        frame = clip(1)[:1, 0]
        for terms, refused in ((("photometric",), False), (TERMS, True)):
            model = video(flow=f"precomputed:{tmp_path}", gate=LearnedGate(terms=terms))
            _, state = model.step(frame, index=0)
            if not refused:
                model.step(frame, state, index=1)
                continue
            with pytest.raises(ConfigurationError, match="leave that term out") as caught:
                model.step(frame, state, index=1)
            assert "\n" not in str(caught.value)


class TestLife:
    def test_files_of_models_without_it_or_bicubic_stay_readable_for_older_versions(self, tmp_path):
        gates = {None: 1, PhotometricGate(): 1, LearnedGate(): 2}
        for (gate, oldest), how in itertools.product(gates.items(), ("bilinear", "bicubic")):
            expected = 3 if how == "bicubic" else oldest
            video(flow="zero", gate=gate, interpolation=how).save(tmp_path / "m.safetensors")
            config = read(tmp_path / "m.safetensors").config
            assert config["format"] == expected
        video(flow="zero", gate=PhotometricGate(0.3, 3, 1.0)).save(tmp_path / "m.safetensors")
        assert read(tmp_path / "m.safetensors").config["gate"] == {"sigma": 0.3, "window": 3, "noise": 1.0}

    def test_in_state_dict_and_in_copies(self):
        model = video(gate=LearnedGate())
        assert {key for key in model.state_dict() if key.startswith("gate.")} == {f"gate.{term}" for term in TERMS}
        twin = copy.deepcopy(model)
        before = model.unroll(clip())
        set_coefficients(twin.gate, photometric=2.0)
        assert torch.equal(model.unroll(clip()), before)
        assert not torch.allclose(twin.unroll(clip()), before)
        other = video(gate=LearnedGate())
        other.load_state_dict(twin.state_dict())
        assert torch.equal(other.unroll(clip()), twin.unroll(clip()))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_in_half_precision_it_is_still_open(self, dtype):
        frames = clip()
        plain, gated = (video(gate=gate, flow_cnn=None).to(dtype) for gate in (None, LearnedGate()))
        assert gated.gate.photometric.dtype == dtype
        assert torch.equal(gated.unroll(frames), plain.unroll(frames))
        set_coefficients(gated.gate, photometric=0.5, forward_backward=0.5, features=0.5)
        assert torch.isfinite(gated.unroll(frames)).all()

    def test_under_autocast(self):
        model = video(gate=LearnedGate("photometric"))
        with torch.autocast("cpu", torch.bfloat16):
            logits = model.unroll(clip())
        logits.float().square().mean().backward()
        assert all(p.grad.isfinite().all() for p in model.gate.parameters())

    def test_without_layers_there_is_nothing_to_learn(self):
        model = VideoModel(tiny(), [], preprocess=PLAIN, gate=LearnedGate())
        assert model.gate is None
        assert not [name for name, _ in model.named_parameters() if name.startswith("gate")]
