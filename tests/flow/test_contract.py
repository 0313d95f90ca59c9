"""What every flow must do. A new flow is tested by one more line in `estimators`."""

import pytest
import torch
from torch import Tensor

from netwarp.errors import InputError
from netwarp.flow import (
    DISFlow,
    FlowEstimator,
    LucasKanadeFlow,
    PrecomputedFlow,
    RAFTFlow,
    ZeroFlow,
    make_flow,
    write_flo,
)

H, W = 96, 128
U, V = 5, -3  # the true backward flow of `pair`: what is here came from 5 px to the right and 3 px above


class MeasuringRAFT(torch.nn.Module):
    """Stands in for trained RAFT: by trying all shifts, finds how far img1's content lies from it in img2.

    RAFT's flow is defined by img1(x, y) ≈ img2(x + u, y + v). Every shift is tried, so it owes nothing to netwarp.
    """

    def forward(self, img1: Tensor, img2: Tensor, num_flow_updates: int = 12) -> list[Tensor]:
        assert img1.shape[-2] % 8 == 0
        assert img1.shape[-1] % 8 == 0
        assert min(img1.shape[-2:]) >= 128
        assert img1.min() >= -1
        assert img1.max() <= 1
        r, flow = 8, torch.zeros_like(img1[:, :2])
        inner = img1[..., r : 64 - r, r : 64 - r]
        for item in range(img1.shape[0]):
            error = {
                (u, v): ((img2[item, :, r + v : 64 - r + v, r + u : 64 - r + u] - inner[item]).abs().mean().item())
                for u in range(-r, r + 1)
                for v in range(-r, r + 1)
            }
            u, v = min(error, key=error.__getitem__)
            flow[item, 0], flow[item, 1] = u, v
        return [torch.full_like(flow, torch.nan)] * (num_flow_updates - 1) + [flow]


@pytest.fixture
def make_estimator(tmp_path, raft_file, monkeypatch):
    def measuring_raft(scale: float) -> RAFTFlow:
        raft = RAFTFlow(raft_file, scale=scale)
        monkeypatch.setattr(raft, "_network", MeasuringRAFT())
        return raft

    def precomputed() -> PrecomputedFlow:
        flow = torch.tensor([U, V], dtype=torch.float32).view(2, 1, 1).expand(2, H, W)
        write_flo(tmp_path / "000007.flo", flow)
        return PrecomputedFlow(tmp_path)

    estimators = {
        "zero": ZeroFlow,
        "lk": LucasKanadeFlow,
        "dis:ultrafast": lambda: DISFlow("ultrafast"),
        "dis:fast": lambda: DISFlow("fast"),
        "dis:accurate": lambda: DISFlow("accurate"),
        "dis:authors": lambda: DISFlow("authors"),
        "dis:light": lambda: DISFlow("light"),
        "dis:medium": lambda: DISFlow("medium"),
        "dis:medium@0.5": lambda: DISFlow("medium", scale=0.5),
        "dis:ultrafast@0.3": lambda: DISFlow("ultrafast", scale=0.3),
        "raft untrained": lambda: RAFTFlow(raft_file, updates=2),
        "raft untrained@0.5": lambda: RAFTFlow(raft_file, scale=0.5, updates=2),
        "raft measuring": lambda: measuring_raft(1.0),
        "raft measuring@0.5": lambda: measuring_raft(0.5),
        "precomputed": precomputed,
    }
    return lambda name: estimators[name]()


DIS = [
    *("dis:accurate", "dis:authors", "dis:ultrafast", "dis:fast", "dis:medium", "dis:medium@0.5", "dis:ultrafast@0.3")
]
COMPUTED = [*DIS, "lk", "raft untrained", "raft untrained@0.5", "zero"]
SEEING = [*DIS, "lk", "raft measuring", "raft measuring@0.5", "precomputed"]
ALL = sorted({*COMPUTED, *SEEING})
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture
def pair(moved):
    return moved(U, V, H, W)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ALL)
def test_flow_is_float32_of_the_frames_size_and_device(make_estimator, pair, name, device):
    """And of bytes what it is of values in 0–1."""
    current, previous = (f.to(device) for f in pair)
    estimator = make_estimator(name)
    assert isinstance(estimator, FlowEstimator)
    flow = estimator(current, previous, index=7)
    assert torch.equal(estimator(current.float() / 255, previous.float() / 255, index=7), flow)
    doubled = estimator(current.double() / 255, previous.double() / 255, index=7)
    torch.testing.assert_close(doubled, flow, atol=1e-3, rtol=1e-3)
    assert flow.shape == (1, 2, H, W)
    assert flow.dtype == torch.float32
    assert flow.device == current.device
    assert flow.is_contiguous()
    assert flow.isfinite().all()


# At half size an odd shift is not whole, and the stand-in finds whole ones only.
@pytest.mark.parametrize("shift", [(6, -4), (-4, 2), (0, 6)])
@pytest.mark.parametrize("name", [name for name in SEEING if name != "precomputed"])
def test_flow_is_backward_in_pixels_u_right_v_down(make_estimator, moved, name, shift):
    current, previous = moved(*shift, H, W)
    flow = make_estimator(name)(current, previous)
    inner = flow[0, :, 16:-16, 16:-16].flatten(1)
    assert inner.median(1).values.tolist() == pytest.approx(shift, abs=0.3)


@pytest.mark.parametrize("name", COMPUTED)
def test_a_batch_is_its_items(make_estimator, moved, name):
    pairs = [moved(*shift, 70, 90, seed=seed) for seed, shift in enumerate([(2, 1), (-3, 0), (0, 4)])]
    estimator = make_estimator(name)
    together = estimator(torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs]))
    alone = torch.cat([estimator(*p) for p in pairs])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", ALL)
def test_the_same_frames_give_the_same_flow_whatever_came_between(make_estimator, moved, pair, name):
    estimator = make_estimator(name)
    first = estimator(*pair, index=7)
    if name != "precomputed":
        estimator(*moved(4, 4, 33, 41))  # OpenCV's estimator changes its own settings on small frames
    assert torch.equal(first, estimator(*pair, index=7))
    assert torch.equal(first, make_estimator(name)(*pair, index=7))


@pytest.mark.parametrize("name", [name for name in SEEING if name != "precomputed"])
def test_identical_frames_have_no_motion(make_estimator, pair, name):
    assert make_estimator(name)(pair[0], pair[0]).abs().max() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (7, 300), (12, 300), (31, 33)])
@pytest.mark.parametrize("name", COMPUTED)
def test_every_size_works(make_estimator, moved, name, size):
    if name.startswith("raft"):
        size = tuple(min(side, 137) for side in size)  # 300 shows nothing new and takes long
    flow = make_estimator(name)(*moved(1, 0, *size))
    assert flow.shape == (1, 2, *size)
    assert flow.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_no_gradient_and_the_frames_are_left_alone(make_estimator, pair, name):
    current, previous = ((f.float() / 255).requires_grad_() for f in pair)
    copies = current.detach().clone(), previous.detach().clone()
    flow = make_estimator(name)(current, previous, index=7)
    assert not flow.requires_grad
    assert not flow.is_inference()  # else it could not be used in training
    assert torch.equal(current, copies[0])
    assert torch.equal(previous, copies[1])


@pytest.mark.parametrize("name", COMPUTED)
def test_frames_of_any_memory_layout(make_estimator, pair, name):
    estimator = make_estimator(name)
    rearranged = [f.contiguous(memory_format=torch.channels_last) for f in pair]
    torch.testing.assert_close(estimator(*rearranged), estimator(*pair), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("current", "previous", "words"),
    [
        (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 40), "one size"),
        (torch.zeros(2, 3, 32, 32), torch.zeros(1, 3, 32, 32), "one size"),
        (torch.zeros(3, 32, 32), torch.zeros(3, 32, 32), r"\[3, 32, 32\]"),
        (torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32), "RGB"),
        (torch.zeros(1, 3, 0, 32), torch.zeros(1, 3, 0, 32), "RGB"),
        (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "one dtype"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.int32), torch.zeros(1, 3, 32, 32), "int32"),
    ],
)
@pytest.mark.parametrize("name", ["zero", "lk", "dis:fast", "raft untrained", "precomputed"])
def test_what_is_no_pair_of_frames_is_refused(make_estimator, name, current, previous, words):
    with pytest.raises(InputError, match=words):
        make_estimator(name)(current, previous, index=7)


@pytest.mark.parametrize("value", [255.0, float("nan"), float("inf"), -100.0])
@pytest.mark.parametrize("name", ["dis:fast", "raft untrained"])
def test_floating_point_frames_outside_0_to_1_are_refused(make_estimator, pair, name, value):
    current = torch.full((1, 3, H, W), 0.5)
    current[0, 1, 2, 3] = value
    with pytest.raises(InputError, match="0–1"):
        make_estimator(name)(current, torch.full_like(current, 0.5))


@pytest.mark.parametrize("name", ALL)
def test_the_spec_builds_an_equal_estimator(make_estimator, pair, name):
    estimator = make_estimator(name)
    again = make_flow(estimator.spec)
    assert type(again) is type(estimator)
    assert again.spec == estimator.spec
    assert repr(again) == repr(estimator)
    if "measuring" not in name:
        assert torch.equal(again(*pair, index=7), estimator(*pair, index=7))
