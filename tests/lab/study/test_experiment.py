"""The experiment from end to end, on tiny rendered streets: its files, and going on after it was cut off."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.lab.study.experiment import Experiment, Result, run_experiment
from netwarp.lab.study.rows import BASE, FREE, QUICK, Row
from netwarp.lab.study.runner import _answer
from netwarp.lab.study.store import Unit
from netwarp.lab.study.study_context import StudyContext, StudyInputs
from netwarp.lab.study.training import BaseTraining, trained_base

STREETS = "streets:clips=2,frames=3,size=96x64"
NAMES = (FREE, "NetWarp + FlowCNN at output", "Best combination: decoder trained, gate, at output, true flow")


def asked(folder: Path, *rows: str) -> Experiment:
    plan = StudyInputs(STREETS, None, "netwarp:streetnet", str(weights(folder)), None, "cpu", folder / "cache")
    return Experiment(plan, ("at_eighth", "output"), "at_eighth", rows or NAMES, seeds=1, recipe=QUICK)


def weights(folder: Path) -> Path:
    """A network that is the same in every process; trained for a step."""
    how = BaseTraining("streets:clips=1,frames=2,size=96x64", steps=1, batch_size=1, crop=(32, 32))
    return trained_base("netwarp:streetnet", None, how, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    before = torch.random.get_rng_state()
    made = run_experiment(asked(folder), folder / "made", progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    return made


def numbers(folder: Path, name: str) -> dict:
    """All figures of an experiment, without times."""
    values = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    units = [{k: v for k, v in unit.items() if k != "seconds"} for unit in values["units"]]
    times = ("ms_per_frame", "times_frame_by_frame")
    return {"units": units, "rows": [{k: v for k, v in row.items() if k not in times} for row in values["rows"]]}


def test_its_files_are_there(result: Result, folder: Path):
    assert [path.name for path in result.files] == ["made.json", "made.md", "made-tiou.png", "made-crops.png"]
    assert result.table in (folder / "made.md").read_text(encoding="utf-8")
    for path in result.files[2:]:
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.std() > 10, f"{path} is blank"


def test_the_json_holds_every_unit_and_what_follows(result: Result):
    values = json.loads(result.files[0].read_text(encoding="utf-8"))
    names = [row["name"] for row in values["rows"]]
    assert names == [BASE, FREE, "Control at output", "Control at output, trained after at_eighth", *NAMES[1:]]
    assert len(values["units"]) == 2 * 6
    for unit in values["units"]:
        assert set(unit["tiou"]) == {str(width) for width in range(1, 21)}
        assert unit["frames"] == 2
        assert len(unit["per_class"]) == 11
        assert (unit["parameters"] == 0) == (unit["row"] in (BASE, FREE))
    for row in values["rows"]:
        of = [unit for unit in values["units"] if unit["row"] == row["name"]]
        assert row["miou"]["mean"] == pytest.approx(np.mean([unit["miou"] for unit in of]), abs=1e-3)
        assert row["miou"]["sd"] == pytest.approx(np.std([unit["miou"] for unit in of], ddof=1), abs=1e-3)
        assert row["ms_per_frame"] > 0
    assert {row["name"]: row["control"] for row in values["rows"]}[NAMES[1]] == "Control at output"
    assert [fold["test"]["from"] for fold in values["folds"]] == [fold["train"]["from"] for fold in values["folds"]][
        ::-1
    ]


def test_what_was_done_is_not_done_again(result: Result, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(StudyContext, "do", lambda *_: pytest.fail("a unit was done again"))
    (folder / "again-units").symlink_to(folder / "made-units")
    again = run_experiment(replace(asked(folder), rows=NAMES[1:2]), folder / "again", progress=False)
    rows = {row["name"]: row for row in numbers(folder, "again")["rows"]}
    assert list(rows) == [BASE, "Control at output", NAMES[1]]
    assert rows[NAMES[1]] == {row["name"]: row for row in numbers(folder, "made")["rows"]}[NAMES[1]]
    assert len(again.files) == 4


def test_killed_it_goes_on_and_ends_alike(result: Result, folder: Path):
    """With two processes, and SIGKILL, which nobody can prepare for.

    It is killed when it says that the first unit is done, however long that takes, and has far more to do than it can
    finish until the signal comes.
    """
    units = folder / "killed-units"
    arguments = [
        "experiment", "--quick", "--weights", str(weights(folder)), "--out", str(folder / "killed"),
        "--jobs", "2", "--device", "cpu", "--seeds", "50", "--rows", *NAMES,
    ]  # fmt: skip
    process = psutil.Popen([sys.executable, "-m", "netwarp", *arguments], stderr=subprocess.PIPE, text=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if "experiment: 1/" in line:
            break
    else:
        pytest.fail("".join(said))
    workers = process.children(recursive=True)
    process.kill()
    process.wait()
    process.stderr.close()
    assert len(workers) >= 2
    _, left = psutil.wait_procs(workers, timeout=120)
    assert not left, "workers outlive the process that they work for"
    kept = {path: path.stat().st_mtime_ns for path in units.glob("*.json")}
    assert 1 <= len(kept) < 12 + 49 * 8
    assert not (folder / "killed.json").exists()
    run_experiment(asked(folder), folder / "killed", progress=False)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert numbers(folder, "killed") == numbers(folder, "made")


def test_a_process_that_dies_is_said():
    here, there = multiprocessing.Pipe()
    there.close()
    with pytest.raises(NetWarpError, match=r"'a row' died.*fewer --jobs.*goes on"):
        _answer(here, Unit(Row("a row"), 0, 0))


def test_a_network_is_trained_once(folder: Path):
    path = weights(folder)
    before = path.stat().st_mtime_ns
    assert weights(folder) == path
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(("seeds", "jobs"), [(0, 1), (1, 0)])
def test_nothing_to_do_is_refused(folder: Path, seeds: int, jobs: int):
    with pytest.raises(ConfigurationError, match="at least 1"):
        run_experiment(replace(asked(folder), seeds=seeds), folder / "none", jobs=jobs, progress=False)
