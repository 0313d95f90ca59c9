"""From beginning to end with parts that are made up: what is printed and written when, and what Ctrl-C leaves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.benchmark.generators import counts
from lab.benchmark.made_figures import FOUND
from netwarp.errors import ConfigurationError, InputError, NetWarpError, OutputError, WeightsError
from netwarp.lab.benchmark import run as module
from netwarp.lab.benchmark.plan import FULL, QUICK, Request
from netwarp.lab.benchmark.run import benchmark, check


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable]:
    """Parts give rows that are made up; a test may put something else in their place."""

    def gives(part: str) -> Callable:
        def measure(request, tell, runner):
            tell("something")
            yield from FOUND[part]

        return measure

    known = {part: gives(part) for part in FOUND}
    monkeypatch.setattr(module, "PARTS", known)
    return known


def after(count: int, part: str, error: BaseException) -> Callable:
    def measure(request, tell, runner):
        yield from FOUND[part][:count]
        raise error

    return measure


def asked(folder: Path, **more) -> Request:
    """Warp, memory and flow, with files for what comes out."""
    places = {"json": str(folder / "new" / "speed.json"), "plot": str(folder / "speed.png")}
    return Request(parts=["flow", "warp", "memory"], device="cpu", **(places | more))


def written(folder: Path) -> dict:
    return json.loads((folder / "new" / "speed.json").read_text(encoding="utf-8"))["parts"]


def test_tables_part_by_part_and_then_the_files(parts: dict[str, Callable], tmp_path: Path):
    said: list[str] = []
    told: list[str] = []
    benchmark(asked(tmp_path), say=said.append, tell=told.append)
    assert [text.strip().splitlines()[0] for text in said] == [
        "# netwarp benchmark", "## Warp and sum", "## Memory", "## Flow",
    ]  # fmt: skip
    assert told == ["warp: something", "memory: something", "flow: something"]
    assert list(written(tmp_path)) == ["warp", "memory", "flow"]
    assert all(part["seconds"] >= 0 for part in written(tmp_path).values())
    assert (tmp_path / "speed.png").stat().st_size > 1000


def test_parts_are_measured_in_processes_of_their_own(parts: dict[str, Callable]):
    def measure(request, tell, runner):
        for value in runner(counts, 3):
            yield "rows", FOUND["warp"][0][1] | {"add_ms": float(value)}

    parts["warp"] = measure
    rows = benchmark(Request(parts=["warp"], device="cpu"), say=lambda _: None).tables("warp")["rows"]
    assert [row["add_ms"] for row in rows] == [0, 1, 2]


def test_json_is_there_after_the_first_part(parts: dict[str, Callable], tmp_path: Path):
    def look(request, tell, runner):
        assert list(written(tmp_path)) == ["warp"]
        yield from FOUND["memory"]

    parts["memory"] = look
    benchmark(asked(tmp_path), say=lambda _: None)


def test_ctrl_c_leaves_what_was_measured(parts: dict[str, Callable], tmp_path: Path):
    parts["memory"] = after(3, "memory", KeyboardInterrupt())
    said: list[str] = []
    request = asked(tmp_path)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        benchmark(request, say=said.append)
    assert all(words in str(interrupt.value) for words in ("'memory'", request.json, request.plot))
    assert "## Memory" in said[-1]
    assert said[-1].endswith("Cut off: there is more to this part.")
    assert list(written(tmp_path)) == ["warp", "memory"]
    assert written(tmp_path)["memory"]["seconds"] is None
    assert len(written(tmp_path)["memory"]["by_length"]) == 3
    assert (tmp_path / "speed.png").exists()


def test_ctrl_c_before_the_first_row_leaves_nothing(parts: dict[str, Callable], tmp_path: Path):
    parts["warp"] = after(0, "warp", KeyboardInterrupt())
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt, match="nothing was measured"):
        benchmark(asked(tmp_path), say=said.append)
    assert len(said) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_part_that_fails_leaves_those_before(parts: dict[str, Callable], tmp_path: Path):
    parts["memory"] = after(0, "memory", NetWarpError("out of luck"))
    said: list[str] = []
    with pytest.raises(NetWarpError, match="out of luck"):
        benchmark(asked(tmp_path), say=said.append)
    assert "## Memory" not in said[-1]
    assert written(tmp_path)["warp"]["seconds"] is not None
    assert (tmp_path / "speed.png").exists()


@pytest.mark.parametrize(
    ("json_file", "plot", "said"),
    [
        (None, "speed.jpg", r"speed\.png"),
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
    places = {"json": json_file and str(tmp_path / json_file), "plot": plot and str(tmp_path / plot)}
    with pytest.raises(OutputError, match=said):
        benchmark(asked(tmp_path, **places), say=lambda _: pytest.fail("said something"))


LABELLED = {"data": "streets:clips=1,frames=2,size=32x32"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"parts": ["wrap"]}, "'warp'"),
        ({"network": ["espnett"]}, "'espnet'"),
        ({"weights": ["psp=x"]}, "'pspnet101'"),
        ({"weights": ["e.pth"]}, "NETWORK=e.pth"),
        ({"weights": ["e.pth", "f.pth"], "base": "netwarp:espnet"}, "espnet=e.pth"),
        ({"weights": ["espnet=nowhere.pth"]}, "nowhere.pth"),
        ({"dtype": ["bfloat"]}, "'bfloat16'"),
        ({"flow": "disc"}, "'dis'"),
        ({"flow": "dis:quick"}, "preset"),
        ({"device": "cuda", "cpu_time": True}, "--cpu-time"),
        ({"base": "netwarp:streetnet"}, "--data"),
        (LABELLED, "--base"),
        (LABELLED | {"base": "netwarp:street"}, "streetnet"),
        ({"data": "camvid:nowhere", "base": "netwarp:streetnet"}, "nowhere"),
        ({"raft": "nowhere.pth"}, "nowhere.pth"),
        ({"parts": ["warp"], "raft": "r.pth"}, "--raft belongs to part flow"),
        ({"parts": ["flow"], "shape": [(1, 2, 3, 4)]}, "--shape belongs to part warp"),
        ({"parts": ["warp"], "network": ["espnet"]}, "--network belongs to part stream"),
        ({"parts": ["warp"], "keyframes": ("2",)}, "--keyframes belongs to part stream"),
    ],
)
def test_what_cannot_be_measured_is_refused(asked: dict[str, object], said: str):
    request = Request(**({"parts": [], "device": "cpu"} | asked))
    with pytest.raises((ConfigurationError, InputError, WeightsError), match=said):
        check(request)


def test_data_without_labels_has_no_quality(monkeypatch: pytest.MonkeyPatch):
    from netwarp.datasets.clips import Clip, ClipData, ClipFrame
    from netwarp.label_sets import CAMVID

    data = ClipData("bare", CAMVID, (Clip("a", (ClipFrame("a/0", lambda: None),)),))
    monkeypatch.setattr(module, "open_data", lambda *_: data)
    with pytest.raises(InputError, match="bare"):
        check(Request(parts=[], device="cpu", data="folder:x", base="netwarp:streetnet"))


def test_minutes_are_those_of_what_is_asked_for():
    assert Request(parts=["flow"]).minutes == FULL.minutes["flow"]
    assert Request(parts=["stream"], network=["espnet"]).minutes == FULL.streams["espnet"].minutes
    everything = sum(FULL.minutes.values()) + sum(amount.minutes for amount in FULL.streams.values())
    assert Request(parts=[]).minutes == pytest.approx(everything)
    assert everything <= 30
    assert Request(parts=[], quick=True).minutes <= 3
    # A network that quick runs leave out can be asked for all the same.
    assert Request(parts=["stream"], quick=True, network=["dilation8"]).minutes > 0
    assert "dilation8" not in QUICK.streams
