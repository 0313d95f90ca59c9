import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.running import run_fleet, tables
from netwarp.errors import ConfigurationError, InputError, OutputError
from netwarp.fleet.store import open_store


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path


def videos(**texts: str) -> None:
    for name, text in texts.items():
        path = Path("in", *name.split("__")).with_suffix(".mp4")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def written(out: str = "out") -> dict[str, str]:
    return {str(path.relative_to(out)): path.read_text() for path in sorted(Path(out).rglob("*.mp4")) if path.is_file()}


def workers() -> set[str]:
    return {video["worker"] for video in tables()["videos"]}


def test_results_records_and_tables():
    videos(a="one", day__b="two", c="damaged:", d="fail:")
    records = run_fleet()
    assert written() == {"a.mp4": "a one", "c.mp4": "a damaged:", "day/b.mp4": "a two"}
    assert {name: record.state for name, record in records.items()} == {
        "a": "done", "day/b": "done", "c": "damaged", "d": "failed",
    }  # fmt: skip
    found = tables()
    assert found["total"] == {
        "videos": 4, "done": 2, "damaged": 1, "failed": 1, "set_aside": 0, "missing": 0,
        "frames": 6, "seconds": 1.5, "frames_per_second": 4.0, "keyframe_share": 0.5,
    }  # fmt: skip
    with Path("out/fleet.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["d"]["fault"] == f"{Path('in/d.mp4').absolute()} is no video"
    assert rows["day/b"]["frames_per_second"] == "4.0"
    assert [path.name for path in Path("out/.fleet").iterdir() if path.name.startswith("work")] == []


def test_started_again_it_skips_what_is_finished_and_does_what_changed_or_failed():
    videos(a="one", b="two", c="three", d="fail:")
    run_fleet()
    before = {path: path.stat().st_mtime_ns for path in Path("out").glob("*.mp4")}
    videos(b="changed")
    videos(d="mended")
    Path("out/c.mp4").unlink()
    records = run_fleet()
    assert written() == {"a.mp4": "a one", "b.mp4": "a changed", "c.mp4": "a three", "d.mp4": "a mended"}
    assert [path.name for path, time_ in before.items() if path.stat().st_mtime_ns == time_] == ["a.mp4"]
    assert len({record.worker for record in records.values()}) == 2


def test_another_model_or_settings_are_said_and_done_with_redo():
    videos(a="one")
    run_fleet()
    for changed, word in (({"mark": "b"}, "weights"), ({"settings": {"edges": "off"}}, "--edges")):
        with pytest.raises(ConfigurationError, match=f"{word}.*--redo"):
            run_fleet(**changed)
    assert (written(), tables()["weights"]) == ({"a.mp4": "a one"}, "a")
    run_fleet(mark="b", redo=True)
    assert (written(), tables()["weights"]) == ({"a.mp4": "b one"}, "b")
    run_fleet(mark="b")
    assert len(tables()["videos"]) == 1


def test_a_worker_that_is_killed_costs_nothing_and_a_video_that_kills_three_is_set_aside():
    videos(a="one", b="die:", c=f"once:{Path('mark').absolute()}", d="crash:", e="five")
    records = run_fleet(workers=2)
    assert {name: (record.state, record.attempts) for name, record in records.items()} == {
        "a": ("done", 1), "b": ("set aside", 3), "c": ("done", 2), "d": ("set aside", 3), "e": ("done", 1),
    }  # fmt: skip
    assert set(written()) == {"a.mp4", "c.mp4", "e.mp4"}
    assert "SIGKILL" in records["b"].fault
    assert "RuntimeError: out of luck" in records["d"].fault
    videos(b="mended")
    records = run_fleet()
    assert records["b"].state == "done"


def test_folders_of_label_maps_hold_what_the_last_run_wrote():
    videos(a="one")
    run_fleet(kinds=("masks", "confidence"))
    assert sorted(path.name for path in Path("out").iterdir()) == [
        ".fleet", "a", "a.confidence", "fleet.csv", "fleet.json",
    ]  # fmt: skip
    Path("out/a/000007.png").write_bytes(b"\x89PNG tEXtSoftware\0netwarp")
    Path("out/a/notes.txt").write_text("mine")
    videos(a="again")
    run_fleet(kinds=("masks", "confidence"))
    assert sorted(path.name for path in Path("out/a").iterdir()) == ["000000.png", "notes.txt"]
    assert Path("out/a/000000.png").read_text().endswith("again")


def test_results_in_a_folder_that_is_another_videos_stay():
    """A fleet of other inputs wrote them, in a folder that is now that of a video's label maps."""
    videos(day__b="two", day="one")
    for time_ in (1, 2):
        run_fleet("out", "in/day", "in/day.mp4", kinds=("masks",))
        run_fleet("out", "in/day.mp4", kinds=("masks",))
        assert sorted(map(str, Path("out").rglob("*.png"))) == [
            "out/day.mp4/000000.png", "out/day/000000.png", "out/day/b/000000.png",
        ]  # fmt: skip
        videos(day=f"changed {time_}")
    Path("out/day/b/000000.png").unlink()
    run_fleet("out", "in/day", "in/day.mp4", kinds=("masks",))
    assert Path("out/day/b/000000.png").exists()


def test_label_maps_of_others_are_not_replaced():
    videos(a="one")
    Path("out/a").mkdir(parents=True)
    Path("out/a/000000.png").write_bytes(b"\x89PNG the truth")
    assert run_fleet(kinds=("masks",))["a"].state == "failed"
    assert Path("out/a/000000.png").read_bytes() == b"\x89PNG the truth"


def test_options_that_no_video_can_be_done_with_end_it():
    videos(**dict.fromkeys("abcdef", "options:"))
    with pytest.raises(ConfigurationError, match="no such layer"):
        run_fleet()
    assert len(tables()["videos"]) == 3


def test_tables_that_cannot_be_written_hide_no_earlier_fault(monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise OutputError("no space")

    monkeypatch.setattr("netwarp.fleet.fleet.write_tables", fails)
    videos(**dict.fromkeys("abc", "options:"))
    with pytest.raises(ConfigurationError, match="no such layer"):
        run_fleet()
    assert state()["ended"]
    videos(**dict.fromkeys("abc", "fine"))
    with pytest.raises(OutputError, match="no space"):
        run_fleet()
    assert state()["ended"]


def test_a_model_that_cannot_be_loaded_ends_it_before_the_first_video():
    videos(a="one")
    with pytest.raises(ConfigurationError, match="no such layer"):
        run_fleet(mark="refused")
    assert not Path("out/fleet.json").exists()
    run_fleet()


def test_missing_inputs_are_in_the_tables():
    videos(a="one")
    Path("list.txt").write_text("in/a.mp4\nin/none.mp4\n")
    run_fleet("out", "list.txt")
    states = {video["state"]: video["address"] for video in tables()["videos"]}
    assert states["missing"].endswith("in/none.mp4")
    assert (tables()["total"]["done"], tables()["total"]["missing"]) == (1, 1)
    with pytest.raises(InputError, match=r"none\.mp4"):
        run_fleet("out", "none.mp4")


def test_inputs_are_not_overwritten():
    videos(a="one")
    with pytest.raises(OutputError, match="is an input"):
        run_fleet("in", "in/a.mp4")
    here = f"local://{Path.cwd()}/in"
    with pytest.raises(OutputError, match="is an input"):
        run_fleet(here, f"{here}/a.mp4")
    assert Path("in/a.mp4").read_text() == "one"


def test_an_output_that_cannot_be_written_is_refused_before_the_first_video(monkeypatch: pytest.MonkeyPatch):
    videos(a="one")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.pipe_file", forbidden)
    with pytest.raises(OutputError, match="no permission"):
        open_store("memory://bucket/out").prepare()
    Path("file").touch()
    with pytest.raises(OutputError):
        run_fleet("file/out")


def test_a_store_for_inputs_and_results():
    """By addresses of the file system: whatever is not a plain path goes the way of stores."""
    one, two = "one" * 200, "two" * 200
    videos(a=one, day__b=two, c="fail:")
    here = f"local://{Path.cwd()}"
    records = run_fleet(f"{here}/out", f"{here}/in")
    assert written() == {"a.mp4": f"a {one}", "day/b.mp4": f"a {two}"}
    assert records["c"].fault == f"{here}/in/c.mp4 is no video"
    videos(a="other")
    again = run_fleet(f"{here}/out", f"{here}/in")
    assert written()["a.mp4"] == "a other"
    assert again["day/b"].worker == records["day/b"].worker != again["a"].worker
    assert sum(path.stat().st_size for path in Path("cache").rglob("*") if path.is_file()) <= 1000 < len(one + two)


SCRIPT = "from fleet.running import run_fleet; run_fleet(workers=2)"


@contextlib.contextmanager
def started() -> Iterator[subprocess.Popen[bytes]]:
    paths = os.pathsep.join(map(str, [Path(__file__).parents[1], *filter(None, sys.path)]))
    with subprocess.Popen([sys.executable, "-c", SCRIPT], env={**os.environ, "PYTHONPATH": paths}) as process:
        try:
            yield process
        finally:
            process.kill()


def state() -> dict:
    return open_store("out").read_json(".fleet/status.json") or {"workers": [], "ended_videos": 0}


def until(happened) -> None:
    for _ in range(300):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("nothing happened")


def test_two_fleets_and_one_that_is_killed():
    videos(a="one", b="slow:30", c="three")
    with started():
        until(lambda: state()["ended_videos"] == 2 and any(worker["frames"] for worker in state()["workers"]))
        with pytest.raises(OutputError, match="another process"):
            run_fleet()
        (busy,) = [worker for worker in state()["workers"] if worker["video"] == "b"]
        assert (busy["frames"], busy["of"]) == (1, 2)
    process = int(busy["worker"].rpartition(":")[2])
    until(lambda: not Path(f"/proc/{process}").exists())  # workers do not outlive it
    assert set(written()) == {"a.mp4", "c.mp4"}
    videos(b="quick")
    before = Path("out/a.mp4").stat().st_mtime_ns
    assert {record.state for record in run_fleet().values()} == {"done"}
    assert Path("out/a.mp4").stat().st_mtime_ns == before
    assert set(written()) == {"a.mp4", "b.mp4", "c.mp4"}


def test_a_worker_killed_from_outside_is_replaced():
    videos(a="slow:1.5", b="two")
    killed: list[int] = []

    def kill(status) -> None:
        for worker in status["workers"]:
            if worker["frames"] == 1 and not killed:
                killed.append(int(worker["worker"].rpartition(":")[2]))
                os.kill(killed[0], signal.SIGKILL)

    records = run_fleet(show=kill)
    assert killed
    assert {name: (record.state, record.attempts) for name, record in records.items()} == {
        "a": ("done", 2), "b": ("done", 1),
    }  # fmt: skip


def test_a_folder_of_inputs_is_no_place_for_results():
    videos(a="one")
    with pytest.raises(InputError, match="another OUT"):
        run_fleet("in", "in")
    assert [path.name for path in Path("in").iterdir()] == ["a.mp4"]
