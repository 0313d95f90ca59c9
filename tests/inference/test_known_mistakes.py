"""What is wrong in the authors' release (REFERENCE, B) and in windows would be easy to get wrong again.

Each test also runs with the mistake put back in, to show that it would be seen.
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from inference.by_loop import mirrored_flow
from inference.labelled import CLASSES, MadeClip, data_of
from model.tiny import PLAIN, Pan, rough_flow, set_weights, tiny
from netwarp import VideoModel
from netwarp.evaluation.evaluate import evaluate
from netwarp.inference.sliding import Sliding


def by_colour(w1: float, w2: float, flow: object = "zero") -> VideoModel:
    """A network that sees single pixels, and so does not know right from left; a NetWarp on its output."""
    net = nn.Conv2d(3, CLASSES, 1)
    nn.init.normal_(net.weight, std=4)
    model = VideoModel(net.eval(), ["output"], flow, None, preprocess=PLAIN, start=(w1, w2))
    return model.eval()


def last(model, frames, flows):
    state = None
    for frame, flow in zip(frames, flows, strict=True):
        found, state = model.step(frame, state, flow)
    return found


def the_releases_mirror(monkeypatch):
    """Both components negated, the map left as it is."""
    monkeypatch.setattr("netwarp.inference.view_tensors.mirror_flow", torch.neg)


class TestMirroredFlow:
    """The release negates both components of the flow and does not mirror the map."""

    def error_of_flipping(self, pictures):
        torch.manual_seed(0)
        model, frames, flows = by_colour(0.3, 0.7), pictures(2), (None, rough_flow(1, 32, 48, reach=4))
        upright, both = (last(Sliding(model, (32, 24), flip=flip), frames, flows) for flip in (False, True))
        return float((upright - both).abs().max())

    def test_a_network_that_knows_no_right_and_left_gains_nothing(self, pictures, monkeypatch):
        assert self.error_of_flipping(pictures) < 1e-5
        the_releases_mirror(monkeypatch)
        assert self.error_of_flipping(pictures) > 0.2

    def error_of_mirroring(self, pictures):
        """Between the result and that of the whole video in a mirror."""
        torch.manual_seed(0)  # of the FlowCNN
        model = VideoModel(tiny(), ["mid"], preprocess=PLAIN).eval()
        set_weights(model)
        sliding = Sliding(model, (20, 25), (20, 12), (0.5, 1.0), flip=True)  # windows lie as in a mirror
        frames, flows = pictures(3), [None, rough_flow(1, 32, 48, seed=1), rough_flow(1, 32, 48, seed=2)]
        mirrored = [frame.flip(-1) for frame in frames]
        reversed_flows = [None if flow is None else mirrored_flow(flow) for flow in flows]
        found, other = last(sliding, frames, flows), last(sliding, mirrored, reversed_flows)
        return float((found - other.flip(-1)).abs().max())

    def test_a_video_in_a_mirror_gives_the_result_in_a_mirror(self, pictures, monkeypatch):
        assert self.error_of_mirroring(pictures) < 1e-5
        the_releases_mirror(monkeypatch)
        assert self.error_of_mirroring(pictures) > 0.01


class TestScaledFlow:
    """Flow is scaled with the image, its values too, as in the release (which only does not divide by 8 to pool it)."""

    def error_of_the_past(self, pictures, scale):
        """Of a result that comes from the past alone, where the camera pans by 6 pixels."""
        torch.manual_seed(0)
        frames, flow = pictures(2, 48, 96, step=6), Pan(6.0)
        past, alone = (Sliding(by_colour(*w, flow), scales=(scale,)) for w in ((0.0, 1.0), (1.0, 0.0)))
        alone.base.load_state_dict(past.base.state_dict())
        found, expected = (last(model, frames, (None, None)) for model in (past, alone))
        return float((found - expected)[..., 24:-24].abs().mean())  # what the pan uncovers is seen in no past

    @pytest.mark.parametrize("scale", [0.5, 2.0])
    def test_a_pan_is_followed_at_every_scale(self, scale, pictures, monkeypatch):
        right = self.error_of_the_past(pictures, scale)
        monkeypatch.setattr(
            "netwarp.inference.view_tensors.resize_flow",
            lambda flow, size: F.interpolate(flow, size, mode="bilinear", align_corners=False),
        )
        assert right < 0.005
        assert self.error_of_the_past(pictures, scale) > 5 * right


class TestTheScoredFrame:
    """The release's loop over three frames stops one short, so that the previous frame is scored."""

    COLOURS = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 255, 255]], dtype=torch.uint8)

    @pytest.fixture
    def model(self):
        """Says the class whose colour a pixel has; a quarter of it comes from the frame before."""
        model = by_colour(0.75, 0.25)
        colours = self.COLOURS.float() / 255
        with torch.no_grad():
            model.base.weight.copy_(2 * colours.view(CLASSES, 3, 1, 1))
            model.base.bias.copy_(-colours.square().sum(1))
        return model

    @pytest.fixture
    def clip(self):
        """Three frames that have nothing in common; people labelled the last one."""
        rng = np.random.default_rng(0)
        labels = [np.kron(rng.integers(0, CLASSES, (8, 12)), np.ones((4, 4), int)).astype(np.uint8) for _ in range(3)]
        return MadeClip(
            [self.COLOURS[torch.from_numpy(each).long()].permute(2, 0, 1)[None] for each in labels],
            [2],
            labels={2: labels[2]},
        )

    @pytest.mark.parametrize("options", [{}, {"flip": True}, {"window": 16, "stride": 12, "flip": True}], ids=str)
    def test_is_the_current_one(self, options, model, clip):
        scores = evaluate({"m": Sliding(model, **options)}, data_of(clip), history=2)["m"]
        assert clip.read == [0, 1, 2]
        assert scores["frames"] == 1
        assert scores["miou"] == 100
        stopped = evaluate({"m": _OneShort(Sliding(model, **options))}, data_of(clip), history=2)["m"]
        assert stopped["miou"] < 30


class _OneShort:
    """A model whose result is always that of the frame before: the release's loop."""

    def __init__(self, model: Sliding) -> None:
        self.model, self.before = model, None

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def step(self, frame, state, flow, index):
        found, state = self.model.step(frame, state, flow, index=index)
        before, self.before = found if self.before is None else self.before, found
        return before, state
