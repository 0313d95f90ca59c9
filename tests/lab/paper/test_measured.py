"""Running times: taken once on a machine, anew on another, and where the file that kept them is damaged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from netwarp.evaluation.scores import Scores
from netwarp.lab.paper import measured
from netwarp.lab.paper.measured import times_of
from netwarp.lab.study.rows import BASE, Row, control_of
from netwarp.lab.study.store import Store
from netwarp.lab.study.study_context import StudyContext, StudyInputs

VIDEO = Row("NetWarp", ("log_probs",))
ROWS = (Row(BASE), VIDEO, control_of(VIDEO))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> StudyContext:
    streets, folder = "streets:clips=1,frames=4,size=32x32", tmp_path_factory.mktemp("bench")
    return StudyContext(StudyInputs(streets, "train", "netwarp:streetnet", None, None, "cpu", folder, streets, "test"))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames were run, each time that times were taken."""
    asked: list[int] = []

    def pretend(models, data, **_: object) -> dict[str, Scores]:
        asked.append(len(data.clips[0].frames))
        return {name: {"ms_per_frame": 10.0 + len(asked)} for name in models}

    monkeypatch.setattr(measured, "evaluate", pretend)
    return asked


def test_they_are_taken_once_and_not_of_controls(bench: StudyContext, tmp_path: Path, taken: list[int]):
    first = times_of(ROWS, bench, 3, Store(tmp_path, {}))
    assert first == times_of(ROWS, bench, 3, Store(tmp_path, {})) == {BASE: 11.0, "NetWarp": 11.0}
    assert taken == [3]


def test_another_machine_takes_them_anew(bench: StudyContext, tmp_path: Path, taken: list[int], monkeypatch):
    times_of(ROWS, bench, 3, Store(tmp_path, {}))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    times_of(ROWS, bench, 3, Store(tmp_path, {}))
    monkeypatch.setattr(measured, "machine", lambda device: {"cpu": f"another, {device}"})
    times_of(ROWS, bench, 3, Store(tmp_path, {}))
    assert taken == [3, 3, 3]


def test_other_rows_frames_or_data_too(bench: StudyContext, tmp_path: Path, taken: list[int]):
    times_of(ROWS, bench, 3, Store(tmp_path, {}))
    times_of(ROWS, bench, 2, Store(tmp_path, {}))
    times_of(ROWS, bench, 2, Store(tmp_path, {"data": "other"}))
    times_of([ROWS[0], replace(VIDEO, flow_cnn=2)], bench, 2, Store(tmp_path, {}))
    assert taken == [3, 2, 2, 2]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"NetWarp": 3}', b'{"NetWarp": null, "Frame by frame": 3}', b"\xff\xfe", b"7",
               b'{"NetWarp": NaN, "Frame by frame": 3}', b'{"NetWarp": -1, "Frame by frame": 3}'],
)  # fmt: skip
def test_a_damaged_file_is_made_anew(bench: StudyContext, tmp_path: Path, taken: list[int], damage: bytes):
    times_of(ROWS, bench, 3, Store(tmp_path, {}))
    (path,) = tmp_path.glob("times-*.json")
    path.write_bytes(damage)
    assert times_of(ROWS, bench, 3, Store(tmp_path, {})) == {BASE: 12.0, "NetWarp": 12.0}
    assert times_of(ROWS, bench, 3, Store(tmp_path, {})) == {BASE: 12.0, "NetWarp": 12.0}
    assert taken == [3, 3]
