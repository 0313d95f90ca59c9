import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from netwarp.cli import main
from netwarp.lab.paper import reproduce as targets
from netwarp.lab.paper.request import TARGETS, Request


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What reaches the work, which is not done."""
    seen: list[Request] = []

    def reproduce(request: Request, **_: Any) -> tuple[str, list[Path]]:
        seen.append(request)
        return "# The table", [Path("a.md"), Path("a.csv")]

    module = ModuleType("netwarp.lab.paper.reproduce")
    module.reproduce = reproduce
    monkeypatch.setitem(sys.modules, "netwarp.lab.paper.reproduce", module)
    return seen


def test_the_command_knows_all_targets():
    assert set(TARGETS) == set(targets.TARGETS)


def test_arguments_reach_the_work(calls: list[Request], capsys: pytest.CaptureFixture[str]):
    arguments = ["--seeds", "4", "--width", "0.25", "--rows", "fc6", "fc7", "--raft", "r.pth"]
    assert main(["reproduce", "table2", *arguments]) == 0
    assert main(["reproduce", "fig4"]) == 0
    first, second = calls
    assert (first.target, first.seeds, first.width, first.rows) == ("table2", 4, 0.25, ["fc6", "fc7"])
    assert second == Request(target="fig4")
    assert capsys.readouterr().out.splitlines()[:2] == ["# The table", "a.md, a.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table6"], "no target named 'table6': did you mean 'table"),
        ([], "TARGET is missing: give one of table1, table2, table3, table4, table5, fig4, fig5, fig6"),
        (["table1", "table2"], "one argument too many: 'table2'"),
        (["table1", "--raft", "r.pth"], "--raft goes with table2"),
        (["table1", "--flow", "precomputed:x"], "--flow goes with table2"),
        (["table2", "--flow", "dis"], "raft:FILE or precomputed:FOLDER, not 'dis'"),
        (["table2", "--flow", "raft:r.pth", "--raft", "r.pth"], "leave one of them out"),
        (["table2", "--flow", "precomputed:nowhere"], "nowhere"),
        (["table4", "--size", "640x480"], "--size goes with the networks that see whole frames"),
        (["table1", "--size", "640"], "'640' is no size"),
        (["table2", "--crf"], "--crf goes with table3"),
        (["table1", "--weights", "w", "--base-steps", "3"], "both given"),
        (["table1", "--base", "netwarp:pspnet101"], "netwarp:playdata"),
        (["fig4", "--base", "netwarp:pspnet101@7"], "@0.125"),
        (["table1", "--rows", "fc9"], "no line of this table named 'fc9'"),
    ],
)
def test_mistakes_are_one_line_before_the_work(
    fails: Callable[..., str], arguments: list[str], said: str, tmp_path: Path
):
    assert said in fails("reproduce", *arguments, "--quick", "--out", str(tmp_path / "out"))
    assert not list(tmp_path.glob("out/*.md"))
