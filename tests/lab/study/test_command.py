import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from netwarp.cli import main


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Path, int]]:
    """What reaches the experiment, which is not run."""
    seen: list[tuple[Any, Path, int]] = []

    def run_experiment(asked: object, out: Path, *, jobs: int, progress: bool) -> tuple[str, list[Path]]:
        seen.append((asked, out, jobs))
        return "| the table |", [Path("a"), Path("b")]

    module = ModuleType("netwarp.lab.study.experiment")
    module.run_experiment = run_experiment
    module.Experiment = lambda **asked: SimpleNamespace(**asked)
    monkeypatch.setitem(sys.modules, "netwarp.lab.study.experiment", module)
    return seen


def test_arguments_reach_the_experiment(calls: list, capsys: pytest.CaptureFixture[str]):
    arguments = [
        "--data", "camvid:there", "--split", "test", "--base", "netwarp:espnet", "--weights", "w.pth",
        "--depths", "encoder.b2, output", "--train-from", "encoder.b3", "--seeds", "2", "--out", "runs/x",
        "--rows", "Frame by frame", "Training-free", "--jobs", "3", "--device", "cpu",
    ]  # fmt: skip
    assert main(["experiment", *arguments]) == 0
    ((asked, out, jobs),) = calls
    assert (out, jobs) == (Path("runs/x"), 3)
    assert (asked.inputs.data, asked.inputs.split, asked.inputs.base, asked.inputs.weights) == (
        "camvid:there", "test", "netwarp:espnet", "w.pth",
    )  # fmt: skip
    assert (asked.depths, asked.train_from, asked.seeds) == (("encoder.b2", "output"), "encoder.b3", 2)
    assert asked.rows == ("Frame by frame", "Training-free")
    assert asked.base_training is None
    assert asked.recipe.steps > 2
    assert capsys.readouterr().out == "| the table |\n\na, b\n"


@pytest.mark.parametrize("said", ["", "interrupted before the first step", "interrupted: goes on from step 3"])
@pytest.mark.parametrize("command", ["experiment", "reproduce"])
def test_whoever_interrupts_it_is_told_that_it_goes_on(calls, monkeypatch, capsys, command: str, said: str):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt(*([said] if said else []))

    sys.modules["netwarp.lab.study.experiment"].run_experiment = interrupted
    module = ModuleType("netwarp.lab.paper.reproduce")
    module.reproduce = interrupted
    monkeypatch.setitem(sys.modules, "netwarp.lab.paper.reproduce", module)
    given = ["--quick"] if command == "experiment" else ["table1", "--quick"]
    assert main([command, *given, "--device", "cpu"]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"netwarp: error: {said or 'interrupted'}")
    assert line.count("goes on") == 1


def test_quick_needs_no_more(calls: list):
    assert main(["experiment", "--quick", "--jobs", "1", "--out", "here"]) == 0
    ((asked, out, _),) = calls
    assert out == Path("here")
    assert (asked.seeds, asked.recipe.steps) == (1, 2)
    assert asked.inputs.data.startswith("streets:")


def test_a_network_that_is_trained_first(calls: list):
    arguments = ["--data", "streets:", "--base", "netwarp:streetnet", "--depths", "output"]
    assert main(["experiment", *arguments, "--train-base", "streets:clips=3", "--base-steps", "5"]) == 0
    asked = calls[0][0]
    assert (asked.base_training.data, asked.base_training.steps, asked.seeds) == ("streets:clips=3", 5, 3)


def test_keyframes_need_no_depths(calls: list):
    assert main(["experiment", "--data", "streets:", "--base", "netwarp:streetnet", "--keyframes", "2,auto"]) == 0
    assert (calls[0][0].depths, calls[0][0].keyframes) == ((), ("2", "auto"))


QUICK = ["--quick", "--jobs", "1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--data"),
        (["--data", "streets:"], "--base"),
        (["--data", "streets:", "--base", "netwarp:streetnet"], "--depths"),
        (["--quick", "--weights", "a", "--train-base", "streets:"], "--train-base"),
        (["--quick", "--jobs", "x"], "'x'"),
        (["--quick", "--keyframes", "2,some"], "'some'"),
        (["--quick", "--depths", "a,,b"], "'a,,b'"),
        (["--quick", "--detphs", "a"], "'--depths'"),
        ([*QUICK, "--depths", "nowhere"], "'nowhere'"),
        ([*QUICK, "--train-from", "at_eigth"], "'at_eighth'"),
        ([*QUICK, "--rows", "Control"], "'Control'"),
    ],
)
def test_mistakes_are_one_line_before_the_work(fails: Callable[..., str], arguments: list[str], said: str):
    assert said in fails("experiment", *arguments)
