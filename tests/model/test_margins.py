"""Layers whose map looks beyond the frame: flow and gate are brought to what the map shows."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.tiny import PLAIN, Pan, set_weights
from netwarp.evaluation.layer_alignment import measure_alignment
from netwarp.model import FlowCNN, PhotometricGate, Preprocess, VideoModel
from netwarp.model.layers import probe
from netwarp.model.outputs import margin_of
from netwarp.ops import reflect, warp

MARGIN = 16


class Outlook(nn.Module):
    """Reflects its input 16 pixels outward, as the dilation networks do; without padding its layers use that up."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(3, 4, 3)  # looks 15 pixels beyond the frame
        self.halved = nn.Conv2d(4, 5, 2, stride=2)  # the same, at half the size
        self.narrow = nn.Conv2d(5, 6, 16)  # exactly the frame
        self.margins = {"wide": 15, "halved": 15}

    def forward(self, image):
        return self.narrow(self.halved(self.wide(reflect(image, MARGIN))))


def outlook():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Outlook().eval()


def camera(u, v, height=32, width=48):
    """Two frames of a pan over a smooth scene, so that the present at (x, y) was at (x+u, y+v)."""
    coarse = torch.rand(1, 3, height // 4 + 6, width // 4 + 6)
    scene = F.interpolate(coarse, scale_factor=4, mode="bicubic").clamp(0, 1)
    past = scene[..., 10 : 10 + height, 10 : 10 + width]
    present = scene[..., 10 + v : 10 + v + height, 10 + u : 10 + u + width]
    return present, past


def mirrored(place, length):
    """A place in the frame, and -1 if it was seen in a mirror."""
    if 0 <= place <= length - 1:
        return float(place), 1
    return float(-place if place < 0 else 2 * (length - 1) - place), -1


def seen_in_mirror(field, rows, columns, stride):
    """Slowly: a flow on cells of a stride, in pixels of the frame, at places in and around the frame."""
    out = torch.zeros(1, 2, len(rows), len(columns))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            (y, down), (x, right) = mirrored(row, 32), mirrored(column, 48)
            y, x = ((p - (stride - 1) / 2) / stride for p in (y, x))
            y, x = min(max(y, 0), field.shape[2] - 1), min(max(x, 0), field.shape[3] - 1)
            top, left = min(int(y), field.shape[2] - 2), min(int(x), field.shape[3] - 2)
            patch = field[0, :, top : top + 2, left : left + 2]
            share_y, share_x = (
                torch.tensor([1 - t, t], dtype=torch.float32) for t in (float(y - top), float(x - left))
            )
            u, v = torch.einsum("cyx,y,x->c", patch, share_y, share_x) * stride
            out[0, :, i, j] = torch.stack((right * u, down * v))
    return out


def weights_of(places, length):
    """A triangle of a stride of 2 to each side, around places in and around the frame."""
    centres = torch.tensor([mirrored(place, length)[0] for place in places])
    weights = (1 - (centres[:, None] - torch.arange(length)).abs() / 2).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


@pytest.mark.parametrize("flow_cnn", [None, FlowCNN(), FlowCNN(stride=4)])
@pytest.mark.parametrize("gate", [None, PhotometricGate()])
def test_equals_its_steps_by_hand(flow_cnn, gate):
    base, (present, past) = outlook(), camera(3, 1)
    flow = Pan(3.3, 0.6)
    preprocess = Preprocess((0.5,) * 3, (0.25,) * 3, divisor=16)
    model = VideoModel(base, ["halved"], flow=flow, flow_cnn=flow_cnn, gate=gate, preprocess=preprocess)
    set_weights(model)
    with torch.no_grad():
        result = model(present, past)

        field = flow(present, past)
        trust = torch.ones(1, 1, 32, 48) if gate is None else gate(present, past, field)
        stride = 1 if flow_cnn is None else flow_cnn.stride
        field = field if flow_cnn is None else flow_cnn(field, present, past)
        now, before = (base.halved(base.wide(reflect(preprocess(frame), MARGIN))) for frame in (present, past))
        size = now.shape[-2:]
        assert size == (31, 39)
        # Place i looks at pixels 2·i - 15 … 2·i - 12, beyond the frame in a mirror.
        rows, columns = (2 * torch.arange(n) - 14.5 for n in size)
        brought = warp(before, seen_in_mirror(field, rows, columns, stride) / 2)
        share = weights_of(rows, 32) @ trust @ weights_of(columns, 48).T
        brought = share * brought + (1 - share) * now
        w1, w2 = (w.view(1, -1, 1, 1) for w in (model.netwarps[0].w1, model.netwarps[0].w2))
        expected = F.interpolate(base.narrow(w1 * now + w2 * brought), size=(32, 48), mode="bilinear")
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_strides_count_what_the_map_covers():
    strides = {info.name: info.stride for info in probe(outlook(), PLAIN, (32, 48)).layers}
    assert strides["wide"] == (1, 1)
    assert strides["halved"] == (2, 2)


def test_alignment_is_measured_where_the_map_looks():
    present, past = camera(4, 0)
    pair = tuple((255 * frame).round().to(torch.uint8) for frame in (present, past))
    rows, _ = measure_alignment(outlook(), ["wide"], [pair], Pan(4.0, 0.0), PLAIN)
    stretched = outlook()
    stretched.margins = {}
    wrong, _ = measure_alignment(stretched, ["wide"], [pair], Pan(4.0, 0.0), PLAIN)
    assert rows[1].warped < 0.6 * rows[1].unwarped
    assert rows[1].warped < 0.8 * wrong[1].warped


@pytest.mark.parametrize("value", [None, 3, {"wide": "far"}, {"wide": -1}, {"other": 4}])
def test_an_attribute_that_means_something_else_is_no_margin(value):
    base = outlook()
    base.margins = value
    assert margin_of(base, "wide") == 0


def test_a_network_inside_another_keeps_its_margins():
    wrapper = nn.Sequential(outlook())
    assert [margin_of(wrapper, name) for name in ("0.wide", "0.narrow", "wide")] == [15, 0, 0]
