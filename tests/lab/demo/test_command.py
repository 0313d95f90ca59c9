from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from netwarp.cli import main


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], (Path("netwarp-demo"), 0, False)), (["--out", "here", "--seed", "7", "--quick"], (Path("here"), 7, True))],
)
def test_arguments_reach_the_demo_and_its_table_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: tuple
):
    calls = []

    def run_demo(out: Path, *, seed: int, quick: bool, progress: bool) -> SimpleNamespace:
        calls.append((out, seed, quick, progress))
        return SimpleNamespace(page=out / "index.html", table_text="the table", seconds=61.8)

    module = ModuleType("netwarp.lab.demo.demo")
    module.run_demo = run_demo
    monkeypatch.setitem(sys.modules, "netwarp.lab.demo.demo", module)
    assert main(["demo", *arguments]) == 0
    assert calls == [(*expected, False)]
    assert capsys.readouterr().out == f"the table\n\n62 s: open {expected[0] / 'index.html'} in a browser\n"


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", "4294967296"])
def test_seed_is_checked(capsys: pytest.CaptureFixture[str], seed: str):
    assert main(["demo", "--seed", seed]) == 2
    assert "is not a whole number from 0" in capsys.readouterr().err
