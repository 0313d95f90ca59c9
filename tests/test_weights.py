"""Weights files: read without running code, and loaded whole or not at all."""

import argparse
import pathlib
import pickle
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from netwarp.bases.spec import weights_file
from netwarp.errors import WeightsError
from netwarp.weights import load_weights, read_weights


def network():
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4)))


def fresh_state(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return network().state_dict()


def assert_same(state, other):
    assert list(state) == list(other)
    assert all(torch.equal(state[key], other[key]) for key in state)


class HyperParameters(dict):
    """As Lightning's AttributeDict: a class of whoever wrote the file."""

    def __init__(self, **values):
        super().__init__(values)
        self.note = "x"

    def __reduce__(self):
        return type(self), (), vars(self), None, iter(self.items())


def _loaded_network():
    target = network()
    target.load_state_dict(fresh_state())
    return target


WRAPPINGS = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "model": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "twice": lambda state: {"model": {"state_dict": state}},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "torchvision's train.py": lambda state: {"model": state, "epoch": 3, "args": argparse.Namespace(lr=0.01)},
    "numpy's numbers": lambda state: {"state_dict": state, "best": np.float64(0.7), "counts": {"n": np.int64(3)}},
    "Lightning": lambda state: {
        "state_dict": {**{f"model.{key}": value for key, value in state.items()}, "loss.weight": torch.ones(4)},
        "hyper_parameters": HyperParameters(lr=0.1),
        "folder": pathlib.PurePosixPath("runs"),
    },
    "AveragedModel": lambda _: torch.optim.swa_utils.AveragedModel(_loaded_network()).state_dict(),
    "its checkpoint": lambda _: {"ema": torch.optim.swa_utils.AveragedModel(_loaded_network()).state_dict()},
    "BasicSR": lambda state: {"params": {k: v + 1 for k, v in state.items()}, "params_ema": state},
    "model_state": lambda state: {"model_state": state, "optimizer_state": {}},
    "teacher and student": lambda state: {
        **{f"teacher.net.{key}": value + 1 for key, value in state.items()},
        **{f"student.net.{key}": value for key, value in state.items()},
    },
    "mmseg": lambda state: {
        "meta": {"scores": defaultdict(list, miou=[0.1])},
        "state_dict": {**state, "auxiliary_head.weight": torch.ones(4)},
    },
    "both": lambda state: {"state_dict": {f"_orig_mod.module.{key}": value for key, value in state.items()}},
}


@pytest.mark.parametrize("wrapping", [*WRAPPINGS, "safetensors"])
def test_common_wrappings_are_taken_off(tmp_path, wrapping):
    state, path, target = fresh_state(), tmp_path / f"w.{wrapping}", network()
    if wrapping == "safetensors":
        save_file(state, path)
    else:
        torch.save(WRAPPINGS[wrapping](state), path)
    load_weights(target, read_weights(path), "w")
    assert_same(target.state_dict(), state)


def test_a_network_with_a_part_called_module_keeps_its_names():
    target = nn.Sequential(OrderedDict(module=nn.Conv2d(3, 4, 1)))
    load_weights(target, {"module.weight": torch.ones(4, 3, 1, 1), "module.bias": torch.ones(4)}, "w")
    assert target.module.bias.sum() == 4


def test_half_precision_and_missing_counters_are_fine():
    state = {k: v.half() for k, v in fresh_state().items() if not k.endswith("num_batches_tracked")}
    target = network()
    load_weights(target, state, "w")
    assert target.conv.weight.dtype == torch.float32
    assert torch.equal(target.conv.weight, state["conv.weight"].float())


def _with(**changes):
    return {**fresh_state(), **changes}


BAD = {
    "missing": (lambda: {k: v for k, v in fresh_state().items() if "conv" not in k}, r"2 of 7 keys are missing \(conv"),
    "unexpected": (lambda: _with(**{"bn.extra": torch.ones(1)}), r"1 are unexpected \(bn.extra\)"),
    "other": (lambda: {"a": torch.ones(1)}, r"6 of 7 .*\(conv.weight, conv.bias, bn.weight, …\), 1 are unexpected"),
    "shape": (lambda: _with(**{"conv.bias": torch.ones(9)}), r"conv.bias is \[9\] there and \[4\] here"),
    "nan": (lambda: _with(**{"bn.bias": torch.full((4,), torch.nan)}), "bn.bias in w.pth holds NaN"),
    "inf": (lambda: _with(**{"bn.bias": torch.full((4,), -torch.inf)}), "bn.bias in w.pth holds infinity"),
    "too large": (
        lambda: _with(**{"bn.bias": torch.full((4,), 1e300, dtype=torch.float64)}),
        "bn.bias in w.pth holds infinity",
    ),
    "sparse": (lambda: _with(**{"bn.bias": torch.ones(4).to_sparse()}), "bn.bias in w.pth is sparse"),
    "complex": (lambda: _with(**{"bn.bias": torch.ones(4) * 1j}), "bn.bias in w.pth is sparse, quantized or complex"),
}


@pytest.mark.parametrize("case", BAD)
def test_weights_that_do_not_fit_change_nothing(case):
    make, message = BAD[case]
    target = network()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    with pytest.raises(WeightsError, match=message) as caught:
        load_weights(target, make(), "w.pth")
    assert "\n" not in str(caught.value)
    assert_same(target.state_dict(), before)


def test_spare_heads_are_left_out():
    target = network()
    load_weights(target, _with(**{"aux.weight": torch.full((1,), torch.nan)}), "w", spare=("aux.",))
    assert_same(target.state_dict(), fresh_state())


class RunsCode:
    def __reduce__(self):
        return (eval, ("print('this must never be printed')",))


def _pickle(value, path):
    path.write_bytes(pickle.dumps(value))


@pytest.mark.parametrize(
    ("writer", "message"),
    [
        (torch.save, r"runs code when it is read \(.*eval\), which is refused"),
        (_pickle, "can be read without running code"),
    ],
)
def test_a_pickle_that_runs_code_is_refused(tmp_path, capsys, writer, message):
    writer({"state_dict": RunsCode()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(tmp_path / "w.pth")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_a_program_is_no_weights(tmp_path):
    torch.jit.trace(network().eval(), torch.rand(1, 3, 4, 4)).save(tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"package\.module:function"):
        read_weights(tmp_path / "w.pt")


def test_another_number_of_outputs_is_said(tmp_path):
    state = fresh_state() | {"conv.weight": torch.ones(9, 3, 1, 1), "conv.bias": torch.ones(9)}
    with pytest.raises(WeightsError, match=r"9 outputs \(classes=") as caught:
        load_weights(network(), state, "w.pth")
    assert caught.value.option == "classes"


def test_a_whole_saved_network_is_refused(tmp_path):
    torch.save(network(), tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"runs code .*\(torch.nn.*save the network's state_dict\(\) alone"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    "value", [[1, 2], {}, 3, {"lr": 0.1}, {1: torch.ones(1)}, {"a": [torch.ones(1)]}, torch.ones(2)]
)
def test_a_file_without_a_state_dict(tmp_path, value):
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        read_weights(tmp_path / "w.pth")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), suffix=st.sampled_from([".pth", ".safetensors"]))
@example(b"", ".pth")
@example(b"", ".safetensors")
@example(b"PK\x03\x04" + bytes(100), ".pth")
@example(b"\x80\x02}q\x00.", ".pth")
@example(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", ".safetensors")
@example(b"not weights at all", ".pth")
def test_any_bytes_give_one_line(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_truncated_file_gives_one_line(tmp_path, data):
    path = tmp_path / data.draw(st.sampled_from(["w.pth", "w.safetensors"]))
    (save_file if path.suffix == ".safetensors" else torch.save)(fresh_state(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(WeightsError, match="no weights file at"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_weights(tmp_path)


def test_names_are_told_from_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert weights_file("imagenet") is None
    assert weights_file("DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1") is None
    (tmp_path / "imagenet").touch()
    assert weights_file("imagenet").name == "imagenet"
    assert weights_file("runs/best").name == "best"
    assert weights_file(tmp_path / "best").name == "best"
