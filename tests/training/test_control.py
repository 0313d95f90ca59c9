"""The control differs from its experiment in the memory alone."""

import torch

from netwarp.training import TrainSettings, train
from netwarp.training.parameters import hold_w2
from training.toy import clips, small_model


def test_the_control_starts_alike_and_keeps_its_memory_shut():
    model, control = small_model(), hold_w2(small_model())
    ours, theirs = dict(model.named_parameters()), dict(control.named_parameters())
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == ["netwarps.0.w1", "netwarps.0.w2"]
    assert torch.equal(control.netwarps[0].w1, model.netwarps[0].w1 + model.netwarps[0].w2)
    assert [n for n, p in theirs.items() if p.requires_grad] == [n for n in ours if n != "netwarps.0.w2"]

    train(control, clips().samples(), TrainSettings(steps=5, batch_size=4, rate=1e-2), classes=3)
    assert torch.equal(control.netwarps[0].w2, torch.zeros(8))
    assert not torch.equal(control.netwarps[0].w1, torch.ones(8))
    current, other, unlike = (torch.rand(1, 3, 24, 32) for _ in range(3))
    with torch.no_grad():
        assert torch.equal(control(current, other), control(current, unlike))
