"""The paper's base networks against their papers and public models: parameters, preprocessing, every layer in numpy."""

from functools import partial

import caffe_reference
import numpy as np
import pytest
import torch
from torch import nn

from netwarp.bases import load_base
from netwarp.bases.dilated_vgg import Dilation, PlayData
from netwarp.bases.pspnet import PSPNet
from netwarp.errors import ConfigurationError

# Side, inputs, outputs of every convolution of VGG-16's front-end, by hand.
VGG = [
    (3, 3, 64), (3, 64, 64), (3, 64, 128), (3, 128, 128), (3, 128, 256), (3, 256, 256), (3, 256, 256),
    (3, 256, 512), *[(3, 512, 512)] * 5, (7, 512, 4096), (1, 4096, 4096),
]  # fmt: skip


def counted(rows):
    return sum(side * side * inputs * outputs + outputs for side, inputs, outputs in rows)


def block(inputs, narrow, project):
    """Parameters of a bottleneck, by hand: three convolutions, a projection, scale and shift of each."""
    outputs = 4 * narrow
    count = inputs * narrow + 9 * narrow * narrow + narrow * outputs + 2 * (2 * narrow + outputs)
    return count + (inputs * outputs + 2 * outputs if project else 0)


def stage(inputs, narrow, blocks):
    return block(inputs, narrow, True) + (blocks - 1) * block(4 * narrow, narrow, False)


def pspnet101(classes):
    stem = 9 * (3 * 64 + 64 * 64 + 64 * 128) + 2 * (64 + 64 + 128)
    stages = stage(128, 64, 3) + stage(256, 128, 4) + stage(512, 256, 23) + stage(1024, 512, 3)
    return stem + stages + 4 * (2048 * 512 + 2 * 512) + 9 * 4096 * 512 + 2 * 512 + 512 * classes + classes


@pytest.mark.parametrize(
    ("build", "by_hand"),
    [
        (lambda: PlayData(11), 134_305_611),  # the paper's 134 million
        (lambda: PlayData(5), counted([*VGG, (1, 4096, 5)])),
        (lambda: Dilation(11), counted([*VGG, (1, 4096, 11), *[(3, 11, 11)] * 7, (1, 11, 11)])),
        (lambda: Dilation(19, levels=10), counted([*VGG, (1, 4096, 19), *[(3, 19, 19)] * 9, (1, 19, 19)])),
        (lambda: PSPNet(19), pspnet101(19)),
        (lambda: PSPNet(19), 65_707_475),
    ],
)
def test_numbers_of_parameters(on_meta, build, by_hand):
    assert sum(p.numel() for p in build().parameters()) == by_hand


def alive(network, gain, seed=0):
    """Random weights and statistics everywhere, biases too, that keep a signal's deviation."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.normal_(0, (gain / module.weight[0].numel()) ** 0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.1, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network.eval()


def vgg_without_norms(build):
    return lambda: alive(build(5, width=1 / 64), 2)


NETWORKS = {
    "playdata": (vgg_without_norms(PlayData), caffe_reference.playdata, "fc8", 16),
    "dilation8": (vgg_without_norms(Dilation), partial(caffe_reference.dilation, largest=16), "ctx_final", 24),
    "dilation10": (
        vgg_without_norms(partial(Dilation, levels=10)), partial(caffe_reference.dilation, largest=64), "ctx_final", 26,
    ),
    "pspnet101": (lambda: alive(PSPNet(5, width=1 / 64), 1), caffe_reference.pspnet, "conv6", 35),
}  # fmt: skip
# 12×18 places divide by all bins of PSPNet's pyramid, as 90×90 do; 9×6 do not.
SIZES = [*((name, size) for name in list(NETWORKS)[:3] for size in ((48, 80), (37, 61)))]
SIZES += [("pspnet101", (89, 137)), ("pspnet101", (65, 41))]


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_every_layer_equals_its_evaluation_in_numpy(name, size):
    build, reference, last, count = NETWORKS[name]
    network = build().double()
    image = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = reference(caffe_reference.blobs_of(network), image[0].numpy())
    assert len(expected) == count
    seen = {}
    for path in set(expected) - {last}:
        network.get_submodule(path).register_forward_hook(
            lambda _, __, output, path=path: seen.update({path: output[0].clone()})
        )
    with torch.no_grad():
        seen[last] = network(image)[0]
    for path, values in expected.items():
        assert values.std() > 1e-3, path
        np.testing.assert_allclose(seen[path].numpy(), values, rtol=0, atol=1e-9 * np.abs(values).max(), err_msg=path)


@pytest.mark.parametrize(
    ("spec", "mean", "std"),
    [
        ("espnet", (110.331, 108.409, 105.033), np.multiply((72.126, 72.691, 69.904), 255)),
        ("playdata@0.01", (110.70, 108.77, 105.41), 1),
        ("dilation8@0.01", (110.70, 108.77, 105.41), 1),
        ("dilation10@0.01", (72.39, 82.91, 73.16), 1),
        ("pspnet101@0.01", (103.939, 116.779, 123.68), 1),
    ],
)
def test_preprocessing_is_the_authors(spec, mean, std):
    rgb = torch.rand(1, 3, 9, 17, dtype=torch.float64)
    expected = (rgb[0].flip(0).permute(1, 2, 0).numpy() * 255 - mean) / std
    prepared = load_base(f"netwarp:{spec}").preprocess(rgb)[0].permute(1, 2, 0).numpy()
    beyond = [(0, padded - side) for padded, side in zip(prepared.shape, expected.shape, strict=True)]
    assert prepared.shape[:2] == ((9, 17) if "pspnet" in spec else (16, 24))
    np.testing.assert_allclose(prepared, np.pad(expected, beyond, mode="edge"), atol=1e-12)


@pytest.mark.parametrize(
    ("build", "before", "classifier"),
    [
        (partial(PlayData, 2, width=0.02), "fc7", "fc8"),
        (partial(PSPNet, 2, width=0.5, blocks=(1,) * 4), "conv5_4", "conv6"),
    ],
)
def test_dropout_stands_before_the_classifier_in_training_alone(build, before, classifier):
    network, kept = build(dropout=0.5), {}
    network.get_submodule(before).register_forward_hook(lambda _, __, out: kept.update(on=out.clamp(min=0)))
    network.get_submodule(classifier).register_forward_hook(lambda _, inputs, __: kept.update(dropped=inputs[0]))
    image = 60 * torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(image)
        assert 0.3 < (kept["dropped"] == 0)[kept["on"] > 0].float().mean() < 0.7
        network.eval()(image)
    assert torch.equal(kept["dropped"], kept["on"])
    build(dropout=0).train()(image)


@pytest.mark.parametrize("width", [0, -0.5, 1.5, float("nan")])
@pytest.mark.parametrize("kind", [PlayData, Dilation, PSPNet])
def test_widths_that_make_no_sense(kind, width):
    with pytest.raises(ConfigurationError, match=str(width)):
        kind(3, width=width)
