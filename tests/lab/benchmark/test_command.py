from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from netwarp.cli import main
from netwarp.cli.terminal import keep_freed_memory
from netwarp.lab.benchmark import command, flow
from netwarp.lab.benchmark import many_streams as together
from netwarp.lab.benchmark import plan as amounts
from netwarp.lab.benchmark import run as work
from netwarp.lab.benchmark.harness import here
from netwarp.lab.benchmark.networks import NETWORKS, SMALL
from netwarp.lab.benchmark.plan import FULL, QUICK, StreamAmount
from netwarp.lab.benchmark.run import PARTS


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What reaches the work, which is not done."""
    seen: list[tuple[Any, dict[str, Any]]] = []

    def benchmark(plan: object, *, say: Callable[[str], None], tell: object, **places: Any) -> None:
        seen.append((plan, places))
        say("# The tables")

    module = ModuleType("netwarp.lab.benchmark.run")
    module.benchmark = benchmark
    monkeypatch.setitem(sys.modules, "netwarp.lab.benchmark.run", module)
    return seen


def test_the_command_knows_all_parts_and_networks():
    assert tuple(PARTS) == command.PARTS
    assert tuple(NETWORKS) == command.NETWORKS


def test_all_of_it_unless_told_otherwise(calls: list, capsys: pytest.CaptureFixture[str]):
    assert main(["benchmark", "--device", "cpu"]) == 0
    ((plan, places),) = calls
    assert plan == amounts.BenchmarkPlan(prepare=keep_freed_memory)
    assert places == {"json_file": None, "plot": None}
    assert capsys.readouterr().out == "# The tables\n"


def test_arguments_reach_the_work(calls: list):
    arguments = [
        "flow", "warp", "stream", "--json", "a.json", "--plot", "b.png", "--runs", "4", "--threads", "2",
        "--device", "cpu",
        "--quick", "--shape", "1,2,3,4", "2,3,4,5", "--dtype", "float16", "--motion", "random", "--cpu-time",
        "--no-compile", "--network", "lraspp", "--weights", "lraspp=l.pth", "base=1.pth", "--flow", "dis:fast",
        "--data", "camvid:d", "--split", "val", "--base", "netwarp:espnet", "--raft", "r.pth",
    ]  # fmt: skip
    # A network of that name there is none, so it is a file's.
    arguments[arguments.index("base=1.pth")] = "./base=1.pth"
    assert main(["benchmark", *arguments]) == 0
    ((plan, places),) = calls
    assert places == {"json_file": Path("a.json"), "plot": Path("b.png")}
    assert plan == amounts.BenchmarkPlan(
        parts=("warp", "stream", "flow"),
        amounts=QUICK,
        quick=True,
        device="cpu",
        threads=2,
        runs=4,
        shapes=((1, 2, 3, 4), (2, 3, 4, 5)),
        dtypes=("float16",),
        motion="random",
        cpu_time=True,
        compile=False,
        networks=("lraspp",),
        weights={"lraspp": "l.pth"},
        flow="dis:fast",
        data="camvid:d",
        split="val",
        base="netwarp:espnet",
        base_weights="./base=1.pth",
        raft="r.pth",
        prepare=keep_freed_memory,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wrap"], "'warp'"),
        (["--runs", "0"], "whole number"),
        (["--shape", "1,2,3"], "four numbers"),
        (["--shape", "1,2,3,0"], "four numbers"),
        (["--network", "pspnet"], "'pspnet101'"),
        (["--weights", "esp=e.pth"], "'espnet'"),
        (["--weights", "e.pth"], "NETWORK=e.pth, or give --base"),
        (["--weights", "e.pth", "f.pth", "--base", "netwarp:espnet"], "espnet=e.pth"),
        (["warp", "--data", "camvid:d", "--base", "netwarp:espnet"], "--data belongs to part flow"),
        (["flow", "--shape", "1,2,3,4"], "--shape belongs to part warp"),
        (["warp", "--network", "espnet"], "--network belongs to part stream"),
        (["--plto", "x.png"], "'--plot'"),
    ],
)
def test_mistakes_are_one_line(fails: Callable[..., str], arguments: list[str], said: str):
    assert said in fails("benchmark", "--device", "cpu", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["warp", "--plot", "speed.jpg"], "speed.png"),
        (["warp", "--dtype", "float31"], "'float32'"),
        (["stream", "--weights", "espnet=nowhere.pth"], "nowhere.pth"),
        (["flow", "--data", "camvid:nowhere", "--base", "netwarp:espnet"], "nowhere"),
        (["stream", "--flow", "disc"], "'dis'"),
    ],
)
def test_mistakes_that_the_work_finds_are_one_line(fails: Callable[..., str], arguments: list[str], said: str):
    assert said in fails("benchmark", "--device", "cpu", *arguments)


def test_a_whole_run_that_is_tiny(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Everything as in a quick run, but smaller yet, and in this process."""
    tiny = replace(
        QUICK, shapes=((1, 3, 8, 8),), rounds=1, slow_rounds=1, small_size=(24, 32), lengths=(1, 3),
        streams={"espnet": StreamAmount((24, 32), 1, 1, 1, 0.0)}, together=(1, 2), together_size=(24, 32),
        together_frames=1, flow_sizes=((24, 32),),
    )  # fmt: skip
    monkeypatch.setattr(amounts, "QUICK", tiny)
    monkeypatch.setattr(work, "in_own_process", here)
    monkeypatch.setitem(NETWORKS, "espnet", replace(SMALL, rendered=True))
    monkeypatch.setattr(together, "LEAST", 1)
    # In this process it would outlast the test.
    monkeypatch.setattr(command, "keep_freed_memory", amounts.no_preparation)
    monkeypatch.setattr(flow, "UPDATES", 1)
    arguments = ["--quick", "--no-compile", "--device", "cpu", "--json", "speed.json", "--plot", "speed.png"]
    data = ["--data", "streets:clips=1,frames=2,size=32x24", "--base", "netwarp:streetnet"]
    assert main(["benchmark", *arguments, *data]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("# netwarp benchmark (quick run: the figures mean nothing)\n")
    assert [line for line in printed.out.splitlines() if line.startswith("## ")] == [
        "## Warp and sum", "## A stream against the network frame by frame", "## Several streams in one process",
        "## Memory", "## Flow",
    ]  # fmt: skip
    assert printed.err.startswith("netwarp: warp, stream, streams, memory, flow: about a minute on two cores\n")
    written = json.loads(Path("speed.json").read_text(encoding="utf-8"))
    assert written["quick"] is True
    assert all(len(part) > 1 and part["seconds"] > 0 for part in written["parts"].values())
    assert Path("speed.png").stat().st_size > 1000
    assert sorted(path.name for path in workplace.iterdir()) == ["speed.json", "speed.png"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C arrives, also where the tests run in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_is_one_line_that_says_where_things_are(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def measure(plan, tell, apart):
        yield from work_rows()
        signal.raise_signal(signal.SIGINT)

    def work_rows():
        from netwarp.lab.benchmark.results import FlowRow

        yield FlowRow("dis:medium", (360, 480), 8.0, 1.0)

    monkeypatch.setitem(PARTS, "flow", measure)
    assert main(["benchmark", "flow", "--device", "cpu", "--json", "speed.json"]) == 2
    printed = capsys.readouterr()
    assert "| dis:medium | 8.00 | 1.00 |" in printed.out
    assert printed.err.splitlines()[-1] == (
        "netwarp: error: interrupted in part 'flow': what was measured is printed, and in speed.json"
    )
    assert json.loads(Path("speed.json").read_text())["parts"]["flow"]["seconds"] is None


def test_a_terminal_shows_what_is_being_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with command._status_line() as (tell, print_above):
        tell("warp: 1×11×60×45")
        print_above("| a table |")
    printed = capsys.readouterr()
    assert printed.out == "| a table |\n"
    assert "warp: 1×11×60×45 (00:00)" in printed.err


def test_elsewhere_there_are_only_results(capsys: pytest.CaptureFixture[str]):
    with command._status_line() as (tell, print_above):
        tell("warp: 1×11×60×45")
        print_above("| a table |")
    assert capsys.readouterr() == ("| a table |\n", "")


def test_a_full_run_is_announced(calls: list):
    assert main(["benchmark", "memory", "--device", "cpu"]) == 0
    assert calls[0][0].amounts is FULL
