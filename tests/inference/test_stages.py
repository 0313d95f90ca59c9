"""The stage before the network: new starts, motion, one check of the flow."""

import math

import pytest
import torch

from inference.clip import Clip
from model.tiny import PLAIN, Pan, tiny
from netwarp import Sliding, VideoModel
from netwarp.errors import InputError
from netwarp.inference.stream import prepare_frames
from netwarp.inference.threads import Staging

CPU = torch.device("cpu")


class Asked(Pan):
    """Notes the frames between which it is asked for flow."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[tuple[torch.Tensor, torch.Tensor, int]] = []

    def __call__(self, current, previous, index=None):
        self.pairs.append((current, previous, index))
        return super().__call__(current, previous, index)


def seen_by(model, frames, detect_cuts=False):
    return list(prepare_frames(Clip(frames), model, detect_cuts, Staging(CPU)))


def test_frames_in_order_with_the_motion_that_leads_to_each(pictures):
    frames, flow = pictures(4), Asked()
    model = VideoModel(tiny(), ["mid"], flow=flow, preprocess=PLAIN)
    seen = seen_by(model, frames)
    assert [s.fresh for s in seen] == ["first frame", None, None, None]
    assert [s.motion is None for s in seen] == [True, False, False, False]
    assert [index for _, _, index in flow.pairs] == [1, 2, 3]
    for number, (current, previous, _) in enumerate(list(flow.pairs), start=1):
        assert torch.equal(current, seen[number].image)
        assert torch.equal(previous, seen[number - 1].image)
        expected = model.estimate_motion(current, previous)
        assert torch.equal(seen[number].motion.flow, expected.flow)


def test_a_network_without_memory_needs_no_flow(pictures):
    flow = Asked()
    seen = seen_by(VideoModel(tiny(), [], flow=flow, preprocess=PLAIN), pictures(3), detect_cuts=True)
    assert [s.fresh for s in seen] == ["first frame", None, None]
    assert all(s.motion is None for s in seen)
    assert not flow.pairs


@pytest.mark.parametrize("windows", [False, True])
def test_flow_is_checked_once_a_frame(windows, pictures, monkeypatch):
    model = VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN)
    if windows:
        model = Sliding(model, 20)
    checked, isfinite = [], torch.isfinite
    monkeypatch.setattr(torch, "isfinite", lambda tensor: checked.append(tensor.shape) or isfinite(tensor))
    state = None
    for prepared in seen_by(model, pictures(4), detect_cuts=True):
        _, state = model.step(prepared.image, state, prepared.motion)
    assert len(checked) == 3


@pytest.mark.parametrize("detect_cuts", [False, True])
def test_flow_with_nan_is_refused(detect_cuts, pictures):
    def broken(current, previous, index=None):
        return torch.full((1, 2, *current.shape[-2:]), math.nan)

    with pytest.raises(InputError, match="NaN"):
        seen_by(VideoModel(tiny(), ["mid"], flow=broken, preprocess=PLAIN), pictures(2), detect_cuts)


def test_on_a_cpu_nothing_is_copied():
    staging, tensor = Staging(CPU), torch.arange(6)
    assert staging.upload(tensor) is tensor
    (back,) = staging.download(tensor)
    assert back is tensor
    with staging.aside():
        mark = staging.mark()
    staging.join(mark)
