"""What cannot be measured is refused before anything is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.lab.benchmark.plan import FULL, QUICK, BenchmarkPlan
from netwarp.lab.benchmark.run import check


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"parts": ("wrap",)}, "'warp'"),
        ({"parts": ()}, "name a part"),
        ({"networks": ("espnett",)}, "'espnet'"),
        ({"weights": {"psp": "x"}}, "'pspnet101'"),
        ({"weights": {"espnet": "nowhere.pth"}}, "nowhere.pth"),
        ({"dtypes": ("bfloat",)}, "'bfloat16'"),
        ({"flow": "disc"}, "'dis'"),
        ({"flow": "dis:quick"}, "preset"),
        ({"device": "cuda", "cpu_time": True}, "--cpu-time"),
        ({"base": "netwarp:streetnet"}, "--data"),
        ({"data": "streets:clips=1,frames=2,size=32x32"}, "--base"),
        ({"data": "camvid:nowhere", "base": "netwarp:streetnet"}, "nowhere"),
        ({"data": "streets:clips=1,frames=2,size=32x32", "base": "netwarp:street"}, "streetnet"),
        ({"raft": "nowhere.pth"}, "nowhere.pth"),
    ],
)
def test_refused(plan: dict[str, object], said: str):
    with pytest.raises(NetWarpError, match=said):
        check(BenchmarkPlan(**plan))


def test_data_without_labels_has_no_quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from netwarp.datasets.clips import Clip, ClipData, ClipFrame
    from netwarp.lab.benchmark import run as module
    from netwarp.label_sets import CAMVID

    data = ClipData("bare", CAMVID, (Clip("a", (ClipFrame("a/0", lambda: None),)),))
    monkeypatch.setattr(module, "open_data", lambda *_: data)
    with pytest.raises(NetWarpError, match="bare has no labelled frames"):
        check(BenchmarkPlan(data="folder:x", base="netwarp:streetnet"))


def test_what_only_flow_reads_is_not_looked_at_without_it():
    check(BenchmarkPlan(parts=("warp",), raft="nowhere.pth"))


def test_good_weights_pass(tmp_path: Path):
    from netwarp.bases import load_base

    torch.save(load_base("netwarp:espnet").state_dict(), tmp_path / "espnet.pth")
    check(BenchmarkPlan(weights={"espnet": str(tmp_path / "espnet.pth")}))


def test_minutes_are_those_of_what_is_asked_for():
    assert BenchmarkPlan(parts=("flow",)).minutes == FULL.minutes["flow"]
    assert BenchmarkPlan(parts=("stream",), networks=("espnet",)).minutes == FULL.streams["espnet"].minutes
    assert BenchmarkPlan().minutes == pytest.approx(
        sum(FULL.minutes.values()) + sum(a.minutes for a in FULL.streams.values())
    )
    assert BenchmarkPlan().minutes <= 20
    assert BenchmarkPlan(amounts=QUICK).minutes <= 2
    # A network that quick runs leave out can be asked for all the same.
    assert BenchmarkPlan(parts=("stream",), amounts=QUICK, networks=("dilation8",)).minutes > 0


def test_errors_are_ours():
    with pytest.raises(ConfigurationError):
        check(BenchmarkPlan(parts=("x",)))
