"""A network's source goes through JSON, and the same architecture comes back."""

import json

import pytest
from networks import NETWORKS

from netwarp.bases import BaseSource, load_base, rebuild_base
from netwarp.errors import ConfigurationError, WeightsError


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    import socket

    def fail(*arguments, **options):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.parametrize("name", NETWORKS)
def test_source_through_json(name):
    base = NETWORKS[name].make()
    again = rebuild_base(json.loads(json.dumps(base.source.to_dict())))
    shapes = {key: tensor.shape for key, tensor in base.state_dict().items()}
    assert {key: tensor.shape for key, tensor in again.state_dict().items()} == shapes
    assert type(again) is type(base)
    assert not again.training
    for carried in ("preprocess", "classes", "palette", "source"):
        assert getattr(again, carried) == getattr(base, carried)


def test_a_huggingface_folder_is_not_needed_again(tmp_path):
    NETWORKS["hf:segformer"].make().save_pretrained(tmp_path / "net")
    base = load_base(f"hf:{tmp_path / 'net'}")
    values = json.loads(json.dumps(base.source.to_dict()))
    (tmp_path / "net").rename(tmp_path / "gone")
    again = rebuild_base(values)
    again.load_state_dict(base.state_dict(), strict=True)
    assert str(tmp_path) not in json.dumps(values["options"])


def test_pretrained_backbones_are_not_fetched():
    from netwarp.bases.from_huggingface import _without_downloads

    values = {"use_pretrained_backbone": True, "inner": {"use_pretrained_backbone": True, "depth": 3, "off": False}}
    assert _without_downloads(values) == {
        "use_pretrained_backbone": False,
        "inner": {"use_pretrained_backbone": False, "depth": 3, "off": False},
    }


def test_code_outside_of_netwarp_runs_only_when_trusted():
    source = json.loads(json.dumps(load_base("user_network:Plain", classes=4).source.to_dict()))
    with pytest.raises(ConfigurationError, match="user_network:Plain") as refused:
        rebuild_base(source)
    assert "give --base user_network:Plain" in refused.value.worded(lambda option: f"--{option}")
    assert rebuild_base(source, run_imports=True).head.weight.shape[0] == 4


GOOD = {
    "spec": "netwarp:espnet",
    "classes": list("abcde"),
    "palette": [[0, 0, 0]] * 5,
    "preprocess": {"mean": [0, 0, 0], "std": [1, 1, 1]},
}


@pytest.mark.parametrize(
    "change",
    [
        {"spec": None}, {"spec": "netwarp:nothing"}, {"spec": "espnet"}, {"classes": 5}, {"classes": []},
        {"classes": [1, 2, 3, 4, 5]}, {"palette": [[0, 0, 0]]}, {"palette": [[0, 0]] * 5}, {"preprocess": {"mean": 3}},
        {"preprocess": {"unknown": 1}}, {"preprocess": None}, {"options": 3}, {"spec": "hf:x", "options": {}},
        {"spec": "hf:x", "options": {"config": {"model_type": "nothing"}}}, {"spec": "smp:Unet/nothing"},
        {"spec": "hf:x", "options": {"config": {"model_type": "segformer", "num_labels": 3}}},
    ],
)  # fmt: skip
def test_damaged_sources_give_one_line(change):
    assert rebuild_base(GOOD).classes == tuple("abcde")
    with pytest.raises((ConfigurationError, WeightsError)) as caught:
        rebuild_base({**GOOD, **change})
    assert "\n" not in str(caught.value)


def test_a_source_needs_all_its_parts():
    for key in GOOD:
        with pytest.raises(ConfigurationError, match="describes no base"):
            BaseSource.from_dict({k: v for k, v in GOOD.items() if k != key})
