from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from netwarp.cli import main
from netwarp.lab.paper import reproduce as targets
from netwarp.lab.paper.command import TARGETS


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any, Path, dict[str, Any]]]:
    """What reaches the work, which is not done."""
    seen: list[tuple[str, Any, Path, dict[str, Any]]] = []

    def reproduce(name: str, asked: object, out: Path, **options: Any) -> SimpleNamespace:
        seen.append((name, asked, out, options))
        return SimpleNamespace(text="# The table", files=(Path("a.md"), Path("a.csv")))

    module = ModuleType("netwarp.lab.paper.reproduce")
    module.reproduce = reproduce
    monkeypatch.setitem(sys.modules, "netwarp.lab.paper.reproduce", module)
    return seen


def test_the_command_knows_all_targets():
    assert set(TARGETS) == set(targets.TARGETS)


def test_arguments_reach_the_work(calls: list, capsys: pytest.CaptureFixture[str]):
    arguments = [
        "--data", "camvid:there", "--weights", "w.safetensors", "--raft", "r.pth", "--out", "runs/x", "--steps", "5",
        "--seeds", "4", "--jobs", "3", "--device", "cpu", "--rows", "fc6", "fc7",
    ]  # fmt: skip
    assert main(["reproduce", "table2", *arguments]) == 0
    ((name, asked, out, options),) = calls
    assert (name, out) == ("table2", Path("runs/x"))
    assert (asked.data, asked.weights, asked.steps, asked.seeds, asked.quick) == (
        "camvid:there", "w.safetensors", 5, 4, False,
    )  # fmt: skip
    assert (options["raft"], options["jobs"], options["rows"]) == (Path("r.pth"), 3, ("fc6", "fc7"))
    assert capsys.readouterr().out == "# The table\na.md, a.csv\n"


def test_nothing_but_the_name_is_needed(calls: list):
    assert main(["reproduce", "fig4", "--device", "cpu"]) == 0
    assert main(["reproduce", "fig5", "--quick", "--width", "0.25", "--device", "cpu"]) == 0
    (_, first, out, options), (_, quick, quick_out, _) = calls
    assert (first.data, first.base, out) == (None, None, Path("runs/reproduce"))
    assert options["jobs"] >= 1
    assert quick.quick
    assert quick.width == 0.25
    assert quick_out != out  # what it leaves is not to be mistaken for more


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table6"], "no target named 'table6': did you mean 'table"),
        (["x"], "no target named 'x': known: table1, table2, table3, table4, table5, fig4, fig5, fig6"),
        ([], "TARGET is missing: give one of table1, table2, table3, table4, table5, fig4, fig5, fig6"),
        (["table1", "table2"], "one argument too many: 'table2' ('netwarp reproduce' takes TARGET)"),
        (["table1", "--raft", "r.pth"], "--raft goes with table2"),
        (["table1", "--weights", "w", "--base-steps", "3"], "both given"),
        (["table1", "--width", "2"], "'2'"),
        (["table1", "--seeds", "0"], "whole number"),
        (["table1", "--seedz", "1"], "'--seeds'"),
    ],
)
def test_mistakes_are_one_line(fails: Callable[..., str], arguments: list[str], said: str):
    assert said in fails("reproduce", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table1", "--base", "netwarp:pspnet101"], "netwarp:playdata"),
        (["table3", "--data", "camvid:nowhere"], "nowhere"),
        (["fig4", "--base", "netwarp:pspnet101@7"], "@0.125"),
    ],
)
def test_what_does_not_fit_is_said_before_the_work(
    fails: Callable[..., str], arguments: list[str], said: str, tmp_path: Path
):
    assert said in fails("reproduce", *arguments, "--quick", "--jobs", "1", "--out", str(tmp_path))
