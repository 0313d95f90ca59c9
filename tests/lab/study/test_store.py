"""What results are kept under, all that would change them and nothing else; and what is kept."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.datasets.registry import open_data
from netwarp.errors import OutputError
from netwarp.inference.views import Views
from netwarp.lab.study import store as identity
from netwarp.lab.study.rows import BASE, Recipe, Row
from netwarp.lab.study.store import Store, Unit, UnitScores, data_digest, environment, key_of, units_of
from netwarp.lab.study.study_context import StudyContext, StudyInputs
from netwarp.label_sets import CAMVID, LabelSet

STREETS = "streets:clips=2,frames=3,size=64x48"
ROW = Row("NetWarp + gate, at x", ("x",))
UNIT = Unit(ROW, 1, 2)
SCORES = UnitScores(
    ROW.name, 1, 2, 68.25, {"sky": 90.0, "pole": math.nan}, {1: 30.5, 20: 60.0}, math.nan, 50, (1.5, 0.75), 22,
    {"training": 10.5}, ROW.settings(),
)  # fmt: skip


def test_chance_is_repeated_and_the_first_seed_comes_first():
    units = units_of([Row(BASE), ROW], folds=2, seeds=3)
    assert [(u.row.name == BASE, u.fold, u.seed) for u in units] == [
        (True, 0, 0), (False, 0, 0), (True, 1, 0), (False, 1, 0),
        (False, 0, 1), (False, 1, 1), (False, 0, 2), (False, 1, 2),
    ]  # fmt: skip


def test_names_of_files_stay_what_they_were():
    """What earlier versions kept is found: these names are theirs."""
    store = Store(Path("units"), {"data": "a"})
    assert store.path(UNIT).name == "netwarp-gate-at-x-fold1-seed2-64665e43d467.json"
    assert store.training(UNIT).name == "trained-x-fold1-seed2-64665e43d467"


def test_what_is_kept_comes_back(tmp_path: Path):
    store = Store(tmp_path / "units", {"data": "a"})
    assert store.load(UNIT) is None
    store.keep(UNIT, SCORES)
    again = store.load(UNIT)
    assert again is not None
    assert math.isnan(again.tc)
    assert math.isnan(again.per_class["pole"])
    same = {"tc": 0.0, "per_class": {}, "settings": {}, "iiou": 0.0}
    assert replace(again, **same) == replace(SCORES, **same)
    assert again.settings == json.loads(json.dumps(SCORES.settings))
    assert Store(tmp_path / "units", {"data": "b"}).load(UNIT) is None


def test_what_differs_is_not_mistaken_and_what_differs_only_in_testing_shares_its_training():
    store = Store(Path("units"), {})
    changes = ({"layers": ("y",)}, {"recipe": Recipe(steps=61)}, {"recipe": Recipe(crop=(8, 8))}, {"flow": "zero"})
    others = [UNIT, Unit(ROW, 0, 2), Unit(ROW, 1, 0), *(Unit(replace(ROW, **change), 1, 2) for change in changes)]
    assert len({store.path(unit) for unit in others}) == len({store.training(unit) for unit in others}) == 7
    windows = Unit(replace(ROW, name="in windows", windows=Views.of(89)), 1, 2)
    assert store.training(UNIT) == store.training(windows)
    assert store.path(UNIT) != store.path(windows)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"row": 1}', b"\xff\xfe"])
def test_a_damaged_file_is_done_again(tmp_path: Path, damage: bytes):
    store = Store(tmp_path, {})
    store.keep(UNIT, SCORES)
    store.path(UNIT).write_bytes(damage)
    assert store.load(UNIT) is None


def test_a_row_that_is_drawn_later_needs_its_pictures(tmp_path: Path):
    store = Store(tmp_path, {})
    drawn = Unit(replace(ROW, drawn=True), 0, 0)
    store.keep(drawn, SCORES)
    assert store.load(Unit(ROW, 0, 0)) is not None
    assert store.load(drawn) is None
    np.savez(store.pictures(drawn), a=np.zeros((2, 2), np.uint8))
    assert store.load(drawn) is not None
    assert not store.wants_pictures(Unit(drawn.row, 0, 1))


def test_a_folder_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        Store(tmp_path / "file", {}).keep(UNIT, SCORES)


def data(image: int = 0, label: int = 0, *, name: str = "a", labelled: bool = True, origin: str | None = None):
    """One clip of two frames, the second with labels; pixels of one value."""
    read = partial(np.full, (4, 6), label, np.uint8)
    frames = (
        ClipFrame("first", partial(np.full, (4, 6, 3), 9, np.uint8)),
        ClipFrame(name, partial(np.full, (4, 6, 3), image, np.uint8), read if labelled else None),
    )
    return ClipData("data", CAMVID, (Clip("clip", frames),), origin=origin)


def test_other_data_has_another_digest():
    reordered = replace(data(), classes=LabelSet(CAMVID.names[::-1], CAMVID.palette))
    others = [data(1), data(label=1), data(name="b"), data(labelled=False), data(origin="made"), reordered]
    digests = {data_digest(each) for each in [data(), *others]}
    assert len(digests) == 7
    assert data_digest(data(), data(1)) not in digests
    assert data_digest(replace(data(), name="under another name")) == data_digest(data())


def test_of_data_that_says_what_it_follows_from_nothing_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netwarp.streets.dataset.render_clip", lambda *_, **__: pytest.fail("rendered"))
    specs = [STREETS, f"{STREETS},seed=1", f"{STREETS},every=2"]
    specs += ["streets:clips=2,frames=3,size=64x32", "streets:clips=1,frames=3,size=64x48"]
    digests = [data_digest(open_data(spec, "train")) for spec in specs]
    assert len({*digests, data_digest(open_data(STREETS, "test"))}) == 6
    assert data_digest(open_data("streets:size=64x48,frames=3,clips=2", "train")) == digests[0]
    monkeypatch.setattr("netwarp.streets.dataset.RENDERING", 1000)
    assert data_digest(open_data(STREETS, "train")) != digests[0]


def test_a_key_holds_the_format_and_not_the_order(monkeypatch: pytest.MonkeyPatch):
    before = key_of({"a": 1, "b": [2]})
    assert key_of({"b": [2], "a": 1}) == before != key_of({"a": 1, "b": [3]})
    monkeypatch.setattr(identity, "FORMAT", 1000)
    assert key_of({"a": 1, "b": [2]}) != before
    assert environment("cuda:1") == environment("cuda:0") != environment("cpu")


def test_a_study_knows_what_its_scores_depend_on(tmp_path: Path):
    inputs = StudyInputs(STREETS, "train", "netwarp:streetnet", None, None, "cpu", tmp_path)
    others = [
        replace(inputs, dropout=0.0), replace(inputs, history=1), replace(inputs, split="test"),
        replace(inputs, test=STREETS, test_split="test"),
    ]  # fmt: skip
    identities = [StudyContext(each).identity() for each in (inputs, *others)]
    assert len({key_of(each) for each in identities}) == 5
    again = StudyContext(inputs)
    assert again.identity() == identities[0]
    with torch.no_grad():
        next(again.base.parameters())[0] += 1
    assert again.identity() != identities[0]


def test_labels_of_both_splits_are_numbered_as_the_network_has_its_classes(tmp_path: Path):
    """The public weights of dilation8 do not have CamVid's order; see :mod:`netwarp.datasets.class_order`."""
    inputs = StudyInputs(STREETS, "train", "netwarp:dilation8@0.02", None, None, "cpu", tmp_path, STREETS, "test")
    with StudyContext(inputs) as context:
        names = context.base.classes
        assert names != CAMVID.names
        for split, half in (("train", context.folds[0].train), ("test", context.folds[0].test)):
            assert half.classes.names == names
            ours = half.clips[0].frames[-1].labels()
            theirs = open_data(STREETS, split, cache=tmp_path).clips[0].frames[-1].labels()
            assert len(np.unique(ours)) > 2
            assert [names[label] for label in ours.ravel()] == [CAMVID.names[label] for label in theirs.ravel()]
