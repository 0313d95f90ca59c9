"""Features of both frames side by side: neutral at birth, and trained like a NetWarp."""

from __future__ import annotations

from dataclasses import replace

import torch

from netwarp import load_base
from netwarp.lab.study.build import Concatenation, build, trained_parameters
from netwarp.lab.study.rows import WHOLE, Row

ROW = Row("concatenated", ("at_eighth",), memory="previous", start=(1.0, 0.0), flow="zero", concatenated=True)


def test_a_fresh_one_passes_the_current_representation_on(pictures):
    first, second = (frame.float() / 255 for frame in pictures(2))
    base = load_base("netwarp:streetnet")
    model = build(ROW, base)
    with torch.no_grad():
        torch.testing.assert_close(model(second, first), build(Row("base"), base)(second, first))


def test_every_channel_may_draw_on_every_channel_of_both_frames():
    layer = Concatenation(3)
    current, previous = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    weight = torch.rand(3, 6)
    with torch.no_grad():
        layer.mix.weight.copy_(weight[:, :, None, None])
    expected = torch.einsum("oc,bchw->bohw", weight, torch.cat([current, previous], dim=1))
    torch.testing.assert_close(layer(current, previous, torch.zeros(2, 2, 4, 5)), expected)


def test_it_is_trained_with_the_network():
    base = load_base("netwarp:streetnet")
    alone = trained_parameters(build(ROW, base))
    assert alone == {"netwarps.0.mix.weight": 64 * 128}
    whole = build(replace(ROW, trained=(WHOLE,)), base)
    assert len(trained_parameters(whole)) == 1 + len(list(base.parameters()))
    assert whole.base is not base
