"""The command's work from end to end, on tiny rendered streets: files, what is shared, and going on after a cut."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lab.paper.pictures import is_a_picture
from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.clips import Clip, ClipData
from netwarp.datasets.registry import open_data
from netwarp.errors import ConfigurationError, InputError, MissingExtraError
from netwarp.flow import write_flo
from netwarp.lab.paper.reproduce import reproduce
from netwarp.lab.paper.request import Request
from netwarp.lab.study import training
from netwarp.lab.study.study_context import StudyContext
from netwarp.model import VideoModel
from netwarp.training import TrainSettings

ALONG_FLOW = "+ dense CRF of 3 frames along flow (for FSO-CRF)"
ROWS = ["fc6+fc7, FlowCNN", "concatenated fc6, fc7"]


Made = tuple[str, list[Path]]


def made(target: str, folder: Path, **asked: object) -> Made:
    request = Request(target=target, out=str(folder), quick=True, device="cpu", jobs=1, **asked)
    return reproduce(request, progress=False)


class CutError(Exception):
    """Somebody pulled the plug."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduce")


def units(folder: Path) -> set[str]:
    return {path.name for path in (folder / "units").glob("*-seed0-*.json")}


@pytest.fixture(scope="module")
def table1(folder: Path) -> Made:
    """Done in two goes: the first ends after two rows."""
    do, done = StudyContext.do, []

    def short(self, unit, store):
        if len(done) == 2:
            raise CutError
        done.append(unit)
        return do(self, unit, store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyContext, "do", short)
        with pytest.raises(CutError):
            made("table1", folder, rows=ROWS)
    kept = {path: path.stat().st_mtime_ns for path in (folder / "units").glob("*.json")}
    assert len(kept) == 2
    assert not (folder / "table1.md").exists()
    outcome = made("table1", folder, rows=ROWS)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    return outcome


def test_a_table_in_three_forms(table1: Made, folder: Path):
    assert [path.name for path in table1[1]] == ["table1.md", "table1.csv", "table1.png"]
    assert (folder / "table1.md").read_text(encoding="utf-8") == table1[0]
    assert "paper: IoU" in table1[0]
    assert "noise: twice the standard error" in table1[0]
    assert table1[0].startswith(
        "# Table 1: NetWarp at nine places in PlayData-CNN (quick run: the numbers mean nothing)"
    )
    with (folder / "table1.csv").open(encoding="utf-8") as file:
        rows = {row["line"]: row for row in csv.DictReader(file)}
    assert [row["kind"] for row in rows.values()] == ["base", "control", "netwarp", "baseline"]
    assert rows["fc6+fc7, FlowCNN"]["paper_iou"] == "70.2"
    assert all(0 <= float(row["iou"]) <= 100 for row in rows.values())
    assert is_a_picture(folder / "table1.png")


def test_what_is_kept_is_the_final_model_and_no_other(table1: Made, folder: Path):
    trained = list((folder / "units").glob("trained-*"))
    assert [path.name.partition("-fold")[0] for path in trained] == ["trained-fc6-fc7"]
    assert (trained[0] / "model.safetensors").is_file()
    assert not (trained[0] / "last.ckpt").exists()


def test_others_take_what_is_there(table1: Made, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Figure 5 is the final model of Table 1; Figures 4 and 6 its scores and labels."""
    monkeypatch.setattr(StudyContext, "do", lambda *_: pytest.fail("a row was done again"))
    before = units(folder)
    for name in ("fig4", "fig5", "fig6"):
        outcome = made(name, folder, base="netwarp:playdata@0.03")
        assert all(path.stat().st_size > 100 for path in outcome[1])
        assert is_a_picture(folder / f"{name}.png")
    assert units(folder) == before
    assert "paper" in (folder / "fig4.md").read_text(encoding="utf-8")


def test_times_are_taken_once(table1: Made, folder: Path, monkeypatch: pytest.MonkeyPatch):
    first = made("table2", folder, rows=["+ NetWarp, DIS"])
    assert "(1.000 ×)" in first[0]
    monkeypatch.setattr("netwarp.lab.paper.measured.evaluate", lambda *_, **__: pytest.fail("taken again"))
    assert made("table2", folder, rows=["+ NetWarp, DIS"])[0] == first[0]


def test_a_crf_stands_beside_netwarp(folder: Path):
    pytest.importorskip("pydensecrf")
    outcome = made("table3", folder, crf=True, rows=["+ dense CRF", ALONG_FLOW])
    with (folder / "table3.csv").open(encoding="utf-8") as file:
        rows = {row["line"]: row for row in csv.DictReader(file)}
    assert [row["kind"] for row in rows.values()] == ["base", "control", "baseline", "baseline"]
    assert rows[ALONG_FLOW]["paper_iou"] == "66.1"
    assert len({row["tiou"] for row in rows.values()}) >= 3
    assert all(float(row["ms_per_frame"]) > 0 for row in list(rows.values())[2:])
    assert "FSO-CRF" in outcome[0]


def test_a_crf_that_is_not_installed_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pydensecrf", None)
    with pytest.raises(MissingExtraError, match=r"pydensecrf2.*\[crf\]"):
        made("table3", tmp_path / "out", crf=True)
    assert not (tmp_path / "out").exists()


def test_the_papers_setting_at_another_size(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """What the usual setting made is not taken for it, and what is left of differences is said."""
    rows, trained, train = {}, [], training.train

    def noted(model: VideoModel, samples: object, settings: TrainSettings, **more: object) -> object:
        trained.append((model, settings))
        return train(model, samples, settings, **more)

    monkeypatch.setattr(training, "train", noted)
    for asked in ({}, {"as_published": True, "size": (48, 64)}):
        outcome = made("table3", folder, rows=["+ NetWarp"], **asked)
        with (folder / "table3.csv").open(encoding="utf-8") as file:
            rows[len(rows)] = {row["line"]: row["iou"] for row in csv.DictReader(file)}
    assert all(rows[0][line] != rows[1][line] for line in ("Dilation-CNN", "+ NetWarp"))
    model, settings = trained[-1]
    assert model.preprocess.size == (48, 64)
    assert model.flow_cnn.start == "gaussian"
    assert (settings.class_weights, settings.augment, settings.freeze_batch_norm) == ("none", Augmentation(), True)
    said = outcome[0].partition("Not as in the paper:")[2]
    assert "data: rendered streets" in said
    assert "loss:" not in said


def test_flow_out_of_files_is_trained_and_tested_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files of the true flow give what the true flow gives."""
    spec, flows = "streets:clips=2,frames=3,size=96x64", tmp_path / "flows"
    for split in ("train", "test"):
        for clip in open_data(spec, split, cache=folder / "units" / "cache").clips:
            (flows / clip.name).mkdir(parents=True)
            for index, frame in enumerate(clip.frames[1:], 1):
                write_flo(flows / clip.name / f"{index:06}.flo", torch.from_numpy(frame.flow()))
    lines = ["+ NetWarp, flow from files (for FlowFields)", "+ NetWarp, true flow"]
    asked = {"rows": lines, "flow": f"precomputed:{flows}"}
    made("table2", folder, **asked)
    with (folder / "table2.csv").open(encoding="utf-8") as file:
        rows = {row["line"]: row for row in csv.DictReader(file)}
    files, true = (rows[line] for line in lines)
    assert (files["paper_iou"], true["paper_iou"]) == ("70.3", "")
    assert all(files[name] == true[name] != "" for name in ("iou", "tiou", "tc"))
    assert files["iou"] != rows["PlayData-CNN"]["iou"]
    monkeypatch.setattr("netwarp.lab.paper.reproduce.trained_base", lambda *_, **__: pytest.fail("trained first"))
    next(flows.glob("*/000002.flo")).unlink()
    with pytest.raises(InputError, match=r"frame 2.*no \.flo file of number 2"):
        made("table2", tmp_path / "other", **asked)


def test_data_without_pairs_is_refused_before_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def single_frames(spec: str, *of: str, **how: object) -> ClipData:
        data = open_data(spec, *of, **how)
        return replace(data, clips=tuple(Clip(clip.name, clip.frames[:1]) for clip in data.clips))

    monkeypatch.setattr("netwarp.lab.paper.reproduce.open_data", single_frames)
    monkeypatch.setattr("netwarp.lab.paper.reproduce.trained_base", lambda *_, **__: pytest.fail("trained first"))
    with pytest.raises(ConfigurationError, match=r"trained on pairs.*original release with its videos"):
        made("table1", tmp_path)
