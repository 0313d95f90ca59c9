import re

import pytest
import torch

from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.flow import FLOWS, DISFlow, PrecomputedFlow, RAFTFlow, flow_source, make_flow, spec_of, write_flo


@pytest.mark.parametrize(
    ("spec", "preset", "scale"),
    [
        ("dis", "light", 1.0),
        ("dis:ultrafast", "ultrafast", 1.0),
        ("dis:fast@0.5", "fast", 0.5),
        ("dis@.25", "light", 0.25),
        ("dis:@1", "light", 1.0),
    ],
)
def test_dis(spec, preset, scale):
    flow = make_flow(spec)
    assert isinstance(flow, DISFlow)
    assert (flow.preset, flow.scale) == (preset, scale)
    assert make_flow(flow.spec).spec == flow.spec


def test_raft_from_a_file(raft_file):
    flow = make_flow(f"raft:{raft_file}@0.5,updates=3")
    assert isinstance(flow, RAFTFlow)
    assert (flow.weights, flow.scale, flow.updates) == (str(raft_file), 0.5, 3)
    assert flow.spec == f"raft:{raft_file}@0.5,updates=3"


@pytest.mark.parametrize("folder", ["plain", "a@0.5", "a,b", "c:d", "with space"])
def test_precomputed_from_any_folder(tmp_path, folder):
    write_flo(tmp_path / folder / "1.flo", torch.zeros(2, 3, 4))
    flow = make_flow(f"precomputed:{tmp_path / folder},first=1,step=2")
    assert isinstance(flow, PrecomputedFlow)
    assert (flow.folder, flow.first, flow.step) == (tmp_path / folder, 1, 2)
    assert make_flow(flow.spec).spec == flow.spec


def test_an_estimator_is_returned_as_it_is():
    flow = DISFlow("fast")
    assert make_flow(flow) is flow


def test_the_flow_of_clips_is_a_name_and_no_estimator():
    flow = flow_source("true")
    assert flow == flow_source(flow) == spec_of(flow) == "true"
    assert flow_source("zero").spec == spec_of(flow_source("zero")) == "zero"
    with pytest.raises(InputError, match="'dis'"):
        make_flow("true")


def test_a_new_flow_is_one_class_and_one_line(monkeypatch):
    class Constant:
        def __init__(self, u: str, times: int = 1) -> None:
            self.u = float(u) * times

        def __call__(self, current, previous, index=None):
            return torch.full_like(current[:, :2], self.u)

    monkeypatch.setitem(FLOWS, "constant", Constant)
    assert make_flow("constant:2,times=3")(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)).unique().item() == 6


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("diss", "did you mean 'dis'"),
        ("", "no flow named ''"),
        ("farneback", "known: dis, raft, lk, zero, precomputed"),
        ("dis:meduim", "did you mean 'medium'"),
        *((f"dis:medium@{scale}", "size fraction") for scale in ("0", "2", "nan")),
        ("dis:medium@half", "not a number"),
        ("dis:medium,updates=3", "no option of flow 'dis' named 'updates'"),
        ("raft:smal", "did you mean 'small'"),
        ("raft:small,updates=0", "at least 1 update"),
        ("raft:/nowhere/weights.pth", "/nowhere/weights.pth"),
        ("zero:1", "zero"),
        ("zero@0.5", "NAME"),
        ("true:streets", "'true' alone"),
        ("tru", "did you mean 'true'"),
        *((spec, "folder") for spec in ("precomputed", "precomputed:")),
        ("precomputed:/nowhere", "/nowhere"),
        ("precomputed:/nowhere,last=3", "no option of flow 'precomputed' named 'last'"),
        *((spec, str(spec)) for spec in (None, 3)),
    ],
)
def test_bad_specs_say_what_is_wrong(spec, words):
    with pytest.raises(NetWarpError, match=re.escape(words)):
        make_flow(spec)


@pytest.mark.parametrize(("first", "step"), [(-1, 1), (0, 0)])
def test_precomputed_numbers_that_make_no_sense(tmp_path, first, step):
    with pytest.raises(ConfigurationError, match="first must be"):
        PrecomputedFlow(tmp_path, first=first, step=step)
