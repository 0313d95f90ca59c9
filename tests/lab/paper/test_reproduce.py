"""The command's work from end to end, on tiny rendered streets: files, what is shared, and going on after a cut."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from netwarp.errors import ConfigurationError
from netwarp.lab.paper.reproduce import Outcome, reproduce
from netwarp.lab.paper.setups import Asked
from netwarp.lab.study.study_context import StudyContext

QUICK = Asked(quick=True)
ROWS = ("fc6+fc7, FlowCNN", "concatenated fc6, fc7")


class CutError(Exception):
    """Somebody pulled the plug."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduce")


def units(folder: Path) -> set[str]:
    return {path.name for path in (folder / "units").glob("*-seed0-*.json")}


@pytest.fixture(scope="module")
def table1(folder: Path) -> Outcome:
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
            reproduce("table1", QUICK, folder, rows=ROWS, progress=False)
    kept = {path: path.stat().st_mtime_ns for path in (folder / "units").glob("*.json")}
    assert len(kept) == 2
    assert not (folder / "table1.md").exists()
    outcome = reproduce("table1", QUICK, folder, rows=ROWS, progress=False)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    return outcome


def test_a_table_in_three_forms(table1: Outcome, folder: Path):
    assert [path.name for path in table1.files] == ["table1.md", "table1.csv", "table1.png"]
    assert (folder / "table1.md").read_text(encoding="utf-8") == table1.text
    assert "paper: IoU" in table1.text
    assert "noise: twice the standard error" in table1.text
    assert table1.text.startswith(
        "# Table 1: NetWarp at nine places in PlayData-CNN (quick run: the numbers mean nothing)"
    )
    with (folder / "table1.csv").open(encoding="utf-8") as file:
        rows = {row["line"]: row for row in csv.DictReader(file)}
    assert [row["kind"] for row in rows.values()] == ["base", "control", "netwarp", "baseline"]
    assert rows["fc6+fc7, FlowCNN"]["paper_iou"] == "70.2"
    assert all(0 <= float(row["iou"]) <= 100 for row in rows.values())
    assert np.asarray(Image.open(folder / "table1.png").convert("RGB")).std() > 10


def test_what_is_kept_is_the_final_model_and_no_other(table1: Outcome, folder: Path):
    trained = list((folder / "units").glob("trained-*"))
    assert [path.name.partition("-fold")[0] for path in trained] == ["trained-fc6-fc7"]
    assert (trained[0] / "model.safetensors").is_file()
    assert not (trained[0] / "last.ckpt").exists()


def test_others_take_what_is_there(table1: Outcome, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Figure 5 is the final model of Table 1; Figures 4 and 6 its scores and labels."""
    monkeypatch.setattr(StudyContext, "do", lambda *_: pytest.fail("a row was done again"))
    before = units(folder)
    asked = Asked(quick=True, base="netwarp:playdata@0.03")
    for name in ("fig4", "fig5", "fig6"):
        outcome = reproduce(name, asked, folder, progress=False)
        assert all(path.stat().st_size > 100 for path in outcome.files)
        assert np.asarray(Image.open(folder / f"{name}.png").convert("RGB")).std() > 10
    assert units(folder) == before
    assert "paper" in (folder / "fig4.md").read_text(encoding="utf-8")


def test_times_are_taken_once(table1: Outcome, folder: Path, monkeypatch: pytest.MonkeyPatch):
    first = reproduce("table2", QUICK, folder, rows=("+ NetWarp, DIS",), progress=False)
    assert "(1.000 ×)" in first.text
    monkeypatch.setattr("netwarp.lab.paper.work.evaluate", lambda *_, **__: pytest.fail("taken again"))
    assert reproduce("table2", QUICK, folder, rows=("+ NetWarp, DIS",), progress=False).text == first.text


@pytest.mark.parametrize(
    ("rows", "jobs", "said"), [(("fc9",), 1, "no line of this table named 'fc9'"), ((), 0, "at least 1 job")]
)
def test_mistakes_are_said_before_the_work(folder: Path, table1: Outcome, rows, jobs: int, said: str):
    with pytest.raises(ConfigurationError, match=said):
        reproduce("table1", QUICK, folder, rows=rows, jobs=jobs, progress=False)
