"""``smp:FOLDER``: what save_pretrained of segmentation_models.pytorch wrote."""

import pytest
import torch

from netwarp.bases import load_base, rebuild_base
from netwarp.errors import ConfigurationError

smp = pytest.importorskip("segmentation_models_pytorch")


def test_a_saved_network_comes_back(tmp_path):
    network = smp.FPN("mobilenet_v2", encoder_weights=None, classes=4, decoder_pyramid_channels=32).eval()
    network.save_pretrained(tmp_path / "net")
    base = load_base(f"smp:{tmp_path / 'net'}", classes=list("abcd"))
    frame = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(base(frame), network(frame))
    assert (base.classes, base.preprocess.divisor) == (tuple("abcd"), 32)
    again = rebuild_base(base.source.to_dict())
    assert [p.shape for p in again.parameters()] == [p.shape for p in network.parameters()]


def test_a_saved_transformer_takes_rectangles(tmp_path):
    smp.DPT("tu-vit_tiny_patch16_224", encoder_weights=None, classes=2).save_pretrained(tmp_path)
    with torch.no_grad():
        assert load_base(f"smp:{tmp_path}")(torch.rand(1, 3, 64, 96)).shape == (1, 2, 64, 96)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"config\.json of smp"):
        load_base(f"smp:{tmp_path}")
