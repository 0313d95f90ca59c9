"""A model file is loaded out of itself: nothing that it names elsewhere is looked at."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

import netwarp
from netwarp.bases.self_contained import SizeLimit, check_self_contained
from netwarp.errors import ConfigurationError, WeightsError
from netwarp.weights import MODEL_KEY, read_safetensors

SEEN: list[str] = []


def _note(event, arguments):
    if event in ("open", "os.scandir", "socket.getaddrinfo"):
        SEEN.append(f"{event} {arguments[:1]}")


sys.addaudithook(_note)


@pytest.fixture
def saved(tmp_path):
    """A model's file, and what changes its configuration."""
    path = tmp_path / "m.safetensors"
    netwarp.VideoModel(netwarp.load_base("netwarp:streetnet"), training_free=True).save(path)
    config = json.loads(read_safetensors(path)[1][MODEL_KEY])

    def changed(**change):
        save_file(load_file(path), path, {MODEL_KEY: json.dumps(config | change)})
        return path

    return changed


@pytest.mark.parametrize(
    "flow", ["precomputed:{}", "raft:{}/secret.pth", "raft:large", "raft", "raft:{}/secret.pth@0.5"]
)
def test_a_flow_elsewhere_is_neither_read_nor_asked_for(saved, tmp_path, flow):
    (tmp_path / "secret.pth").write_bytes(b"\x80\x02}q\x00.")
    (tmp_path / "deep").mkdir()
    path = saved(flow=flow.format(tmp_path))
    SEEN.clear()
    with pytest.raises(ConfigurationError) as caught:
        netwarp.load(path)
    assert caught.value.option == "flow"
    assert [seen for seen in SEEN if "secret" in seen or "deep" in seen or "getaddrinfo" in seen] == []
    assert netwarp.load(path, flow="zero").flow.spec == "zero"
    if "pth" in flow:  # trusted, it is read
        with pytest.raises(WeightsError, match=r"secret\.pth"):
            netwarp.load(path, trust=True)


def preprocessing(**change):
    return {"preprocess": {"mean": [0, 0, 0], "std": [1, 1, 1], "scale": 1.0, "order": "rgb"} | change}


@pytest.mark.parametrize(
    "change",
    [
        {"example_size": [100_000, 100_000]},
        preprocessing(divisor=1, size=[1 << 20, 1 << 20]),
        preprocessing(divisor=1 << 30, size=None),
    ],
)
def test_sizes_that_would_take_all_memory_are_refused(saved, change):
    with pytest.raises(WeightsError):
        netwarp.load(saved(**change))


@pytest.mark.parametrize(
    "entry",
    [
        {"backbone": "microsoft/resnet-50"},
        {"inner": [{"backbone": "local-dir:/etc"}]},
        {"encoder_config": {"_attn_implementation": "kernels-community/flash-attn"}},
        {"auto_map": {"AutoConfig": "config.Evil"}},
        {"_name_or_path": "/home/somebody/model"},
    ],
)
def test_a_network_described_by_names_of_a_hub_is_refused(entry):
    with pytest.raises(ConfigurationError) as caught:
        check_self_contained({"spec": "hf:a/b", "options": {"config": entry}}, "m.safetensors")
    assert caught.value.option == "base"
    for fine in ({"backbone": "resnet18"}, {"_attn_implementation": "sdpa", "_name_or_path": ""}):
        check_self_contained({"spec": "hf:a/b", "options": {"config": fine}}, "m.safetensors")
    with pytest.raises(ConfigurationError):
        check_self_contained({"spec": "smp:unet/tu-hf-hub:timm/resnet18"}, "m.safetensors")
    check_self_contained({"spec": "smp:unet/tu-resnet18"}, "m.safetensors")


def test_a_network_larger_than_its_file_is_not_built():
    with SizeLimit(10_000, "m"):
        torch.nn.Linear(100, 100)
    with pytest.raises(WeightsError), SizeLimit(10_000, "m"):
        torch.nn.Linear(10**6, 10**6)
