"""The builders that contract tests run over are worth running over."""

import pytest
import torch
from networks import CLASSES, NETWORKS, build

from netwarp.model.answer import logits_of
from netwarp.model.layers import probe

OUTPUTS = {"binary": 1, "multilabel": 3, "hf:depth_anything": 1}


@pytest.mark.parametrize("name", NETWORKS)
def test_signal_is_alive_and_layers_are_there(name):
    network = build(name)
    assert not network.training
    outputs = OUTPUTS.get(name, CLASSES)
    assert len(network.classes) == len(network.palette) == outputs
    frames = torch.rand(2, 3, *NETWORKS[name].size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = logits_of(network(network.preprocess(frames)))
    assert logits.shape[:2] == (2, outputs)
    assert logits.std(dim=(2, 3)).mean() > 1e-2  # differs over space
    assert (logits[0] - logits[1]).abs().mean() > 1e-2  # and from frame to frame
    layers = {layer.name: layer for layer in probe(network, network.preprocess, NETWORKS[name].size).layers}
    for layer in NETWORKS[name].layers:
        assert layers[layer].calls == 1
