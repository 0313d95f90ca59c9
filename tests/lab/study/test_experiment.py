"""The experiment from end to end, on tiny rendered streets: its files, and going on after it was cut off."""

import contextlib
import json
import multiprocessing
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.lab.study import study_context
from netwarp.lab.study.experiment import Experiment, run_experiment
from netwarp.lab.study.rows import BASE, FREE, QUICK, Row
from netwarp.lab.study.store import Store, Unit, UnitScores, units_of
from netwarp.lab.study.study_context import StudyContext, StudyInputs, _answer
from netwarp.lab.study.training import BaseTraining, trained_base
from training.processes import command, outcome

STREETS = "streets:clips=2,frames=3,size=96x64"
NAMES = (FREE, "NetWarp + FlowCNN at output", "Best combination: decoder trained, gate, at output, true flow")


def asked(folder: Path, *rows: str) -> Experiment:
    inputs = StudyInputs(STREETS, None, "netwarp:streetnet", str(weights(folder)), None, "cpu", folder / "cache")
    return Experiment(inputs, ("at_eighth", "output"), "at_eighth", rows or NAMES, seeds=1, recipe=QUICK)


def weights(folder: Path) -> Path:
    """A network that is the same in every process; trained for a step."""
    how = BaseTraining("streets:clips=1,frames=2,size=96x64", steps=1, batch_size=1, crop=(32, 32))
    return trained_base("netwarp:streetnet", None, how, folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiment")


@pytest.fixture(scope="module")
def made(folder: Path) -> tuple[str, list[Path]]:
    before = torch.random.get_rng_state()
    result = run_experiment(asked(folder), folder / "made", progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    return result


def rows_in(file: Path) -> dict[str, tuple[dict, list]]:
    """Every row of an experiment and its units, without times."""
    values = json.loads(file.read_text(encoding="utf-8"))
    units = [{k: v for k, v in unit.items() if k != "seconds"} for unit in values["units"]]
    plain = [
        {k: v for k, v in row.items() if k not in ("ms_per_frame", "times_frame_by_frame")} for row in values["rows"]
    ]
    return {row["name"]: (row, [unit for unit in units if unit["row"] == row["name"]]) for row in plain}


def test_its_files_are_there(made, folder: Path):
    table, files = made
    assert [path.name for path in files] == ["made.json", "made.md", "made-tiou.png", "made-crops.png"]
    assert table in (folder / "made.md").read_text(encoding="utf-8")
    for path in files[2:]:
        picture = np.asarray(Image.open(path).convert("RGB"))
        assert picture.std() > 10, f"{path} is blank"


def test_the_json_holds_every_unit_and_what_follows(made):
    values = json.loads(made[1][0].read_text(encoding="utf-8"))
    names = [row["name"] for row in values["rows"]]
    assert names == [BASE, FREE, "Control at output", "Control at output, trained after at_eighth", *NAMES[1:]]
    assert len(values["units"]) == 2 * 6
    for unit in values["units"]:
        assert set(unit["tiou"]) == {str(width) for width in range(1, 21)}
        assert unit["frames"] == 2
        assert len(unit["per_class"]) == 11
        assert (unit["parameters"] == 0) == (unit["row"] in (BASE, FREE))
    for row in values["rows"]:
        of = [unit["miou"] for unit in values["units"] if unit["row"] == row["name"]]
        assert row["miou"]["mean"] == pytest.approx(np.mean(of), abs=1e-3)
        assert row["miou"]["sd"] == pytest.approx(np.std(of, ddof=1), abs=1e-3)
        assert row["ms_per_frame"] > 0
    assert {row["name"]: row["control"] for row in values["rows"]}[NAMES[1]] == "Control at output"
    tests, trains = ([fold[part]["from"] for fold in values["folds"]] for part in ("test", "train"))
    assert tests == trains[::-1]


def test_keyframes_are_tested_on_all_of_the_data(folder: Path):
    given = replace(asked(folder, f"{FREE}, every 2nd", "Stale labels, every 2nd"), depths=(), keyframes=["2"])
    table, files = run_experiment(given, folder / "keyframes", progress=False)
    assert files[-1].name == "keyframes-price.png"
    assert np.asarray(Image.open(files[-1]).convert("RGB")).std() > 10
    values = json.loads(files[0].read_text(encoding="utf-8"))
    assert len(values["folds"]) == 1
    assert values["folds"][0]["test"]["pairs"] == 4  # of two clips of three frames
    shares = {row["name"]: row["network_share"] for row in values["rows"]}
    assert shares == {
        BASE: 100,
        f"{FREE}, every 2nd": pytest.approx(200 / 3, abs=0.01),
        "Stale labels, every 2nd": pytest.approx(200 / 3, abs=0.01),
    }
    assert "network on" in table
    assert "67 %" in table


def test_killed_it_goes_on_and_ends_alike(made, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With two processes, and SIGKILL, which nobody can prepare for, when it says that the first unit is done."""
    arguments = [
        "experiment", "--quick", "--weights", str(weights(folder)), "--out", str(folder / "killed"),
        "--jobs", "2", "--device", "cpu", "--rows", FREE,
    ]  # fmt: skip
    said = tmp_path / "said"
    process = command(str(said), *arguments)
    while not said.exists() or "experiment: 1/" not in said.read_text():
        assert process.exitcode is None, said.read_text()
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert outcome(process) == -signal.SIGKILL
    assert len(workers) >= 2
    _, left = psutil.wait_procs(workers, timeout=120)
    assert not left, "workers outlive the process that they work for"
    kept = {path: path.stat().st_mtime_ns for path in (folder / "killed-units").glob("*.json")}
    assert 1 <= len(kept) <= 4
    assert not (folder / "killed.json").exists()
    done: list[Path] = []
    do = StudyContext.do
    monkeypatch.setattr(
        StudyContext, "do", lambda self, unit, store: done.append(store.path(unit)) or do(self, unit, store)
    )
    run_experiment(replace(asked(folder), rows=[FREE]), folder / "killed", progress=False)
    assert not kept.keys() & set(done)
    assert len(done) == 4 - len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    found, whole = (rows_in(folder / f"{name}.json") for name in ("killed", "made"))
    assert list(found) == [BASE, FREE]
    assert all(found[name] == whole[name] for name in found)


def test_units_are_handed_out_until_all_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Threads stand for processes."""

    def work(there) -> None:
        with contextlib.suppress(EOFError):
            while True:
                unit = there.recv()
                there.send(UnitScores(unit.row.name, unit.fold, unit.seed, 1.0, {}, {2: 1}, 1.0, 1, (1, 1), 0, {}, {}))

    def start(*_: object):
        here, there = multiprocessing.Pipe()
        thread = threading.Thread(target=work, args=(there,))
        thread.start()
        return here, thread

    monkeypatch.setattr(study_context, "_start", start)
    units = units_of([Row("a"), Row("b", ("x",))], folds=2, seeds=3)
    done = study_context.run_units(units, None, Store(tmp_path, {}), jobs=3, name="these", progress=False)
    assert [(each.row, each.fold, each.seed) for each in done] == [(u.row.name, u.fold, u.seed) for u in units]


def test_a_process_that_dies_is_said():
    here, there = multiprocessing.Pipe()
    there.close()
    with pytest.raises(NetWarpError, match="'a row'"):
        _answer(here, Unit(Row("a row"), 0, 0))


@pytest.mark.parametrize(("seeds", "jobs"), [(0, 1), (1, 0)])
def test_nothing_to_do_is_refused(folder: Path, seeds: int, jobs: int):
    with pytest.raises(ConfigurationError, match=f"not {seeds} and {jobs}"):
        run_experiment(replace(asked(folder), seeds=seeds), folder / "none", jobs=jobs, progress=False)
