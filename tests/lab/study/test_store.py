"""Units: what they are, and what is kept of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from netwarp.errors import OutputError
from netwarp.inference.views import Views
from netwarp.lab.study.rows import BASE, Recipe, Row
from netwarp.lab.study.store import Store, Unit, UnitScores, units_of

ROW = Row("NetWarp + gate, at x", ("x",))
UNIT = Unit(ROW, 1, 2)
FIGURES = UnitScores(
    ROW.name, 1, 2, 68.25, {"sky": 90.0, "pole": math.nan}, {1: 30.5, 20: 60.0}, math.nan, 50, (1.5, 0.75), 22,
    {"training": 10.5}, ROW.settings(),
)  # fmt: skip


def test_chance_is_repeated_and_the_first_seed_comes_first():
    units = units_of([Row(BASE), ROW], folds=2, seeds=3)
    assert [(u.row.name == BASE, u.fold, u.seed) for u in units] == [
        (True, 0, 0), (False, 0, 0), (True, 1, 0), (False, 1, 0),
        (False, 0, 1), (False, 1, 1), (False, 0, 2), (False, 1, 2),
    ]  # fmt: skip


def test_what_is_kept_comes_back(tmp_path: Path):
    store = Store(tmp_path / "units", {"data": "a"})
    assert store.load(UNIT) is None
    store.keep(UNIT, FIGURES)
    again = store.load(UNIT)
    assert again is not None
    assert math.isnan(again.tc)
    assert math.isnan(again.per_class["pole"])
    same = {"tc": 0.0, "per_class": {}, "settings": {}}
    assert replace(again, **same) == replace(FIGURES, **same)
    assert json.loads(json.dumps(again.settings)) == json.loads(json.dumps(FIGURES.settings))


@pytest.mark.parametrize(
    "other",
    [
        Unit(ROW, 0, 2),
        Unit(ROW, 1, 0),
        Unit(replace(ROW, layers=("y",)), 1, 2),
        Unit(replace(ROW, recipe=Recipe(steps=61)), 1, 2),
    ],
)
def test_other_units_are_not_mistaken_for_it(tmp_path: Path, other: Unit):
    store = Store(tmp_path, {})
    store.keep(UNIT, FIGURES)
    assert store.load(other) is None


def test_what_differs_only_in_testing_shares_its_training(tmp_path: Path):
    store = Store(tmp_path, {})
    whole, windows = Unit(ROW, 0, 0), Unit(replace(ROW, name="in windows", windows=Views.of(89)), 0, 0)
    assert store.training(whole) == store.training(windows)
    assert store.path(whole) != store.path(windows)
    others = (
        Unit(ROW, 0, 1),
        Unit(replace(ROW, recipe=Recipe(crop=(8, 8))), 0, 0),
        Unit(replace(ROW, flow="zero"), 0, 0),
    )
    assert len({store.training(unit) for unit in (whole, *others)}) == 4


def test_what_is_kept_beside_figures_does_not_count():
    settings = ROW.settings()
    assert replace(ROW, kept=True, drawn=True).settings() == settings
    assert replace(ROW, concatenated=True).settings() != settings
    assert replace(ROW, recipe=Recipe(flip=0.5)).settings() != settings


def test_other_data_is_not_mistaken_for_it(tmp_path: Path):
    Store(tmp_path, {"data": "a"}).keep(UNIT, FIGURES)
    assert Store(tmp_path, {"data": "b"}).load(UNIT) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"row": 1}', b"\xff\xfe"])
def test_a_damaged_file_is_done_again(tmp_path: Path, damage: bytes):
    store = Store(tmp_path, {})
    store.keep(UNIT, FIGURES)
    store.path(UNIT).write_bytes(damage)
    assert store.load(UNIT) is None


def test_a_row_that_is_drawn_later_needs_its_pictures(tmp_path: Path):
    store = Store(tmp_path, {})
    drawn = Unit(replace(ROW, drawn=True), 0, 0)
    store.keep(drawn, FIGURES)
    assert store.load(Unit(ROW, 0, 0)) is not None
    assert store.load(drawn) is None
    store.pictures(drawn).touch()
    assert store.load(drawn) is not None
    assert not store.wants_pictures(Unit(drawn.row, 0, 1))


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        Store(tmp_path / "file", {}).keep(UNIT, FIGURES)
