"""The dilated VGG networks started from torchvision's VGG-16, whose random weights stand in for ImageNet's."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models

from netwarp import load_base
from netwarp.bases.dilated_vgg import FRONT_END, VGG_CAMVID_PREPROCESS, PlayData, start_from_vgg16
from netwarp.bases.shipped import BASES, shipped_base
from netwarp.errors import ConfigurationError, WeightsError
from netwarp.model import Preprocess

WIDTH = 1 / 32


@pytest.fixture
def thin() -> nn.Module:
    """torchvision's VGG-16 with a 32nd of the channels: its own layers, but for the linear ones' size."""
    torch.manual_seed(1)
    plan = [c if c == "M" else c // 32 for c in models.vgg.cfgs["D"]]
    features = models.vgg.make_layers(plan)
    network = models.VGG(features, num_classes=4, init_weights=False)
    network.classifier = nn.Sequential(
        nn.Linear(16 * 49, 128),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(128, 4),
    )
    for parameter in network.parameters():
        parameter.data.mul_(2.0)
    return network.eval()


def seen_in(network: nn.Module, run: nn.Module, image: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.update({name: out.clone()})
        )
        for name in names
    ]
    with torch.no_grad():
        run(image)
    for handle in handles:
        handle.remove()
    return seen


PREPARED = [VGG_CAMVID_PREPROCESS, Preprocess((0.2, 0.3, 0.4), (0.5, 0.6, 0.7)), Preprocess()]


@pytest.mark.parametrize("preprocess", PREPARED, ids=["bgr", "rgb", "the same"])
def test_features_are_torchvisions(thin, preprocess):
    """Up to conv4_3: from there on ours are dilated."""
    network = PlayData(3, width=WIDTH).eval()
    start_from_vgg16(network, preprocess, thin.state_dict())
    frame = torch.rand(1, 3, 128, 160)
    layers = ["conv1_1", "conv2_2", "conv3_3", "conv4_3"]
    places = ["features.1", "features.8", "features.15", "features.22"]
    theirs = seen_in(thin, thin.features, Preprocess()(frame), places)
    ours = seen_in(network, network, preprocess(frame), layers)
    for layer, place, stride in zip(layers, places, (1, 2, 4, 8), strict=True):
        margin, (h, w) = network.margins[layer] // stride, theirs[place].shape[-2:]
        inner = (..., slice(48 // stride, -48 // stride), slice(48 // stride, -48 // stride))  # without their zeros
        expected = theirs[place][inner]
        found = ours[layer][..., margin : margin + h, margin : margin + w][inner]
        assert expected.std() > 1e-3
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_linear_layers_are_dilated_convolutions(thin):
    network = PlayData(3, width=WIDTH).eval()
    start_from_vgg16(network, VGG_CAMVID_PREPROCESS, thin.state_dict())
    features = torch.rand(1, 16, 7, 7)
    apart = torch.zeros(1, 16, 25, 25)
    apart[..., ::4, ::4] = features
    with torch.no_grad():
        expected = thin.classifier[:5](features.flatten(1))
        torch.testing.assert_close(network.fc7(network.fc6(apart)).flatten(1), expected)
    assert expected.std() > 1e-3


@pytest.mark.parametrize("name", ["playdata", "dilation8", "dilation10"])
def test_every_layer_of_the_full_networks_has_its_weights(on_meta, name):
    network, vgg16 = shipped_base(name).build(5), models.vgg16().state_dict()
    start_from_vgg16(network, VGG_CAMVID_PREPROCESS, vgg16)  # shapes are all there is here
    assert len(vgg16) == 2 * len(FRONT_END) + 2  # theirs has a classifier too


def test_loaded_by_name_with_a_classifier_of_its_own(thin, monkeypatch):
    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", lambda self, **options: thin.state_dict())
    full = shipped_base("dilation8")
    small = replace(full, build=partial(full.build, width=WIDTH))
    monkeypatch.setitem(BASES, "dilation8", small)
    base = load_base("netwarp:dilation8", weights="imagenet", classes=4)
    assert torch.equal(base.conv5_3.weight, thin.features[28].weight)
    assert base.ctx_final.weight.shape == (4, 4, 1, 1)
    assert not base.training


def test_where_the_file_cannot_be_had(monkeypatch):
    def fail(self, **options):
        raise OSError("no route to host\nat all")

    monkeypatch.setattr(models.WeightsEnum, "get_state_dict", fail)
    monkeypatch.setitem(BASES, "playdata", shipped_base("playdata@0.01"))
    with pytest.raises(WeightsError, match=r"^cannot download .*no route to host\).*https://.*checkpoints$"):
        load_base("netwarp:playdata", weights="imagenet")


@pytest.mark.parametrize("spec", ["netwarp:playdata@0.125", "netwarp:espnet", "netwarp:pspnet101"])
def test_networks_without_such_weights(spec):
    with pytest.raises(ConfigurationError, match="netwarp:playdata$" if "@" in spec else "'imagenet'"):
        load_base(spec, weights="imagenet")
