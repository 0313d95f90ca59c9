"""From beginning to end with parts that are made up: what is printed and written when, and what Ctrl-C leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.benchmark.made_rows import ROWS
from netwarp.errors import ConfigurationError, NetWarpError, OutputError
from netwarp.lab.benchmark import run as module
from netwarp.lab.benchmark.harness import in_own_process
from netwarp.lab.benchmark.plan import BenchmarkPlan
from netwarp.lab.benchmark.run import benchmark


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable]:
    """Warp, flow and memory give rows that are made up; a test may put something else in their place."""

    def gives(part: str) -> Callable:
        def measure(plan, tell, apart):
            tell("something")
            yield from ROWS[part]()

        return measure

    known = {part: gives(part) for part in ("warp", "memory", "flow")}
    monkeypatch.setattr(module, "PARTS", known)
    return known


def after(count: int, part: str, error: BaseException) -> Callable:
    def measure(plan, tell, apart):
        yield from ROWS[part]()[:count]
        raise error

    return measure


ASKED = BenchmarkPlan(parts=("warp", "memory", "flow"))


def test_tables_part_by_part_and_then_the_files(parts: dict[str, Callable], tmp_path: Path):
    said: list[str] = []
    told: list[str] = []
    places = {"json_file": tmp_path / "new" / "speed.json", "plot": tmp_path / "speed.png"}
    measured = benchmark(ASKED, say=said.append, tell=told.append, **places)
    assert [text.strip().splitlines()[0] for text in said] == [
        "# netwarp benchmark", "## Warp and sum", "## Memory", "## Flow",
    ]  # fmt: skip
    assert told == ["warp: something", "memory: something", "flow: something"]
    written = json.loads(places["json_file"].read_text(encoding="utf-8"))
    assert list(written["parts"]) == ["warp", "memory", "flow"]
    assert all(part["seconds"] >= 0 for part in written["parts"].values())
    assert places["plot"].stat().st_size > 1000
    assert set(measured.seconds) == {"warp", "memory", "flow"}


def test_json_is_there_after_the_first_part(parts: dict[str, Callable], tmp_path: Path):
    def look(plan, tell, apart):
        assert list(json.loads((tmp_path / "speed.json").read_text())["parts"]) == ["warp"]
        yield from ROWS["memory"]()

    parts["memory"] = look
    benchmark(ASKED, say=lambda _: None, json_file=tmp_path / "speed.json")


def test_ctrl_c_leaves_what_was_measured(parts: dict[str, Callable], tmp_path: Path):
    parts["memory"] = after(3, "memory", KeyboardInterrupt())
    said: list[str] = []
    json_file, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    with pytest.raises(KeyboardInterrupt) as interrupt:
        benchmark(ASKED, say=said.append, json_file=json_file, plot=plot)
    assert str(interrupt.value) == (
        f"interrupted in part 'memory': what was measured is printed, and in {json_file}, and in {plot}"
    )
    assert "## Memory" in said[-1]
    assert said[-1].endswith("Cut off: there is more to this part.")
    written = json.loads(json_file.read_text(encoding="utf-8"))["parts"]
    assert list(written) == ["warp", "memory"]
    assert written["memory"]["seconds"] is None
    assert len(written["memory"]["by_length"]) == 3
    assert plot.exists()


def test_ctrl_c_before_the_first_row_leaves_nothing(parts: dict[str, Callable], tmp_path: Path):
    parts["warp"] = after(0, "warp", KeyboardInterrupt())
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt, match="nothing was measured"):
        benchmark(ASKED, say=said.append, json_file=tmp_path / "speed.json", plot=tmp_path / "speed.png")
    assert len(said) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_leaves_those_before(parts: dict[str, Callable], tmp_path: Path):
    parts["memory"] = after(0, "memory", NetWarpError("out of luck"))
    said: list[str] = []
    with pytest.raises(NetWarpError, match="out of luck"):
        benchmark(ASKED, say=said.append, json_file=tmp_path / "speed.json", plot=tmp_path / "speed.png")
    assert "## Memory" not in said[-1]
    assert json.loads((tmp_path / "speed.json").read_text())["parts"]["warp"]["seconds"] is not None
    assert (tmp_path / "speed.png").exists()


def test_processes_of_their_own_unless_told_otherwise(parts: dict[str, Callable]):
    given: list[object] = []

    def measure(plan, tell, apart):
        given.append(apart)
        yield from ROWS["warp"]()

    parts["warp"] = measure
    benchmark(BenchmarkPlan(parts=("warp",)), say=lambda _: None)
    benchmark(BenchmarkPlan(parts=("warp",)), say=lambda _: None, apart=iter)
    assert given == [in_own_process, iter]


@pytest.mark.parametrize(
    ("json_file", "plot", "said"),
    [
        (None, "speed.jpg", r"name it .*speed\.png instead of"),
        ("speed.png", "speed.png", "two names"),
        ("folder", None, "is a folder"),
        ("file/speed.json", None, "is a file, not a folder"),
    ],
)
def test_places_are_seen_to_before_the_work(
    parts: dict[str, Callable], tmp_path: Path, json_file: str | None, plot: str | None, said: str
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    parts["warp"] = lambda *_: pytest.fail("measured")
    places = [None if name is None else tmp_path / name for name in (json_file, plot)]
    with pytest.raises(OutputError, match=said):
        benchmark(ASKED, say=lambda _: pytest.fail("said something"), json_file=places[0], plot=places[1])


def test_what_makes_no_sense_is_refused_before_anything_is_said(parts: dict[str, Callable]):
    with pytest.raises(ConfigurationError):
        benchmark(BenchmarkPlan(parts=("warp",), flow="disc"), say=lambda _: pytest.fail("said something"))
