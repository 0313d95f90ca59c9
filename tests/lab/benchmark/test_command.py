import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from lab.benchmark.generators import here
from netwarp.cli import main
from netwarp.lab.benchmark import command, flow, many_streams, plan
from netwarp.lab.benchmark import run as work
from netwarp.lab.benchmark.networks import NETWORKS, SMALL
from netwarp.lab.benchmark.plan import FULL, QUICK, Request, StreamAmount
from netwarp.lab.benchmark.run import PARTS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What reaches the work, which is not done."""
    seen: list[Request] = []

    def benchmark(request: Request, *, say: Callable[[str], None], tell: object) -> None:
        seen.append(request)
        say("# The tables")

    module = ModuleType("netwarp.lab.benchmark.run")
    module.benchmark = benchmark
    monkeypatch.setitem(sys.modules, "netwarp.lab.benchmark.run", module)
    return seen


def test_the_command_knows_all_networks():
    assert tuple(NETWORKS) == plan.NETWORKS


def test_all_of_it_unless_told_otherwise(asked: list[Request], capsys: pytest.CaptureFixture[str]):
    assert main(["benchmark", "--device", "cpu"]) == 0
    (request,) = asked
    assert request == Request(parts=[], device="cpu")
    assert request.amounts is FULL
    assert request.measured == tuple(PARTS)
    assert request.streamed == tuple(NETWORKS)
    assert capsys.readouterr().out == "# The tables\n"


def test_arguments_reach_the_work(asked: list[Request]):
    arguments = [
        "flow", "warp", "stream", "--json", "a.json", "--plot", "b.png", "--runs", "4", "--threads", "2",
        "--device", "cpu",
        "--quick", "--shape", "1,2,3,4", "2,3,4,5", "--dtype", "float16", "--motion", "random", "--cpu-time",
        # A network named ./base there is none, so it is a file's.
        "--no-compile", "--network", "lraspp", "--weights", "lraspp=l.pth", "./base=1.pth", "--flow", "dis:fast",
        "--keyframes", "all,budget:0.2",
        "--data", "camvid:d", "--split", "val", "--base", "netwarp:espnet", "--raft", "r.pth",
    ]  # fmt: skip
    assert main(["benchmark", *arguments]) == 0
    (request,) = asked
    assert request == Request(
        parts=["flow", "warp", "stream"], json="a.json", plot="b.png", runs=4, threads=2, device="cpu", quick=True,
        shape=[(1, 2, 3, 4), (2, 3, 4, 5)], dtype=["float16"], motion="random", cpu_time=True, no_compile=True,
        network=["lraspp"], weights=["lraspp=l.pth", "./base=1.pth"], flow="dis:fast", data="camvid:d", split="val",
        base="netwarp:espnet", raft="r.pth", keyframes=("all", "budget:0.2"),
    )  # fmt: skip
    assert request.measured == ("warp", "stream", "flow")
    assert request.weight_files == {"lraspp": "l.pth", "": "./base=1.pth"}
    assert request.amounts is QUICK


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wrap"], "'warp'"),
        (["--runs", "0"], "whole number"),
        (["--shape", "1,2,3"], "four numbers"),
        (["--shape", "1,2,3,0"], "four numbers"),
        (["--plto", "x.png"], "'--plot'"),
        (["warp", "--plot", "speed.jpg"], "speed.png"),
        (["stream", "--flow", "disc"], "'dis'"),
    ],
)
def test_mistakes_are_one_line(fails: Callable[..., str], arguments: list[str], said: str):
    assert said in fails("benchmark", "--device", "cpu", *arguments)


def test_a_whole_run_that_is_tiny(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Everything as in a quick run, but smaller yet, and in this process."""
    tiny = replace(
        QUICK, shapes=((1, 3, 8, 8),), rounds=1, slow_rounds=1, small_size=(24, 32), lengths=(1, 3),
        streams={"espnet": StreamAmount((24, 32), 1, 1, 1, 0.0)}, groups=(1, 2), group_size=(24, 32),
        group_frames=1, flow_sizes=((24, 32),),
    )  # fmt: skip
    monkeypatch.setattr(plan, "QUICK", tiny)
    monkeypatch.setattr(work, "in_own_process", lambda tell, threads, *work: here(*work))
    monkeypatch.setitem(NETWORKS, "espnet", replace(SMALL, rendered=True))
    monkeypatch.setattr(many_streams, "LEAST", 1)
    monkeypatch.setattr(flow, "UPDATES", 1)
    arguments = ["--quick", "--no-compile", "--device", "cpu", "--json", "speed.json", "--plot", "speed.png"]
    data = ["--data", "streets:clips=1,frames=2,size=32x24", "--base", "netwarp:streetnet"]
    assert main(["benchmark", *arguments, *data]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("# netwarp benchmark (quick run: the figures mean nothing)\n")
    assert [line for line in printed.out.splitlines() if line.startswith("## ")] == [
        "## Warp and sum", "## A stream against the network frame by frame", "## Several streams in one process",
        "## Memory", "## Flow", "## A network in several engines",
    ]  # fmt: skip
    assert printed.err.startswith("netwarp: warp, stream, streams, memory, flow, engines: about ")
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
def test_ctrl_c_is_one_line_that_says_where_things_are(workplace: Path, monkeypatch, capsys):
    def measure(request, tell, runner):
        yield "rows", {"flow": "dis:medium", "size": (360, 480), "ms": 8.0, "ratio": 1.0}
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setitem(PARTS, "flow", measure)
    assert main(["benchmark", "flow", "--device", "cpu", "--json", "speed.json"]) == 130
    printed = capsys.readouterr()
    assert "| dis:medium | 8.00 | 1.00 |" in printed.out
    assert printed.err.splitlines()[-1] == (
        "netwarp: error: interrupted in part 'flow': what was measured is printed, and in speed.json"
    )
    assert json.loads(Path("speed.json").read_text())["parts"]["flow"]["seconds"] is None


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_what_is_being_done(monkeypatch, capsys, terminal: bool):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with command._status_line() as (tell, print_above):
        tell("warp: 1×11×60×45")
        print_above("| a table |")
    printed = capsys.readouterr()
    assert printed.out == "| a table |\n"
    assert ("warp: 1×11×60×45 (00:00)" in printed.err) is terminal
