"""What results are kept under: all that would change them, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from netwarp import load_base
from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.datasets.registry import open_data
from netwarp.lab.study import store as identity
from netwarp.lab.study.store import data_digest, environment, key_of, weights_digest
from netwarp.lab.study.study_context import StudyContext, StudyInputs
from netwarp.label_sets import CAMVID, LabelSet

STREETS = "streets:clips=2,frames=3,size=64x48"


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
    digests = [
        data_digest(open_data(spec, split))
        for spec, split in (
            (STREETS, "train"), (STREETS, "test"), (f"{STREETS},seed=1", "train"), (f"{STREETS},every=2", "train"),
            ("streets:clips=2,frames=3,size=64x32", "train"), ("streets:clips=1,frames=3,size=64x48", "train"),
        )
    ]  # fmt: skip
    assert len(set(digests)) == 6
    assert data_digest(open_data("streets:size=64x48,frames=3,clips=2", "train")) == digests[0]
    monkeypatch.setattr("netwarp.streets.dataset.RENDERING", 1000)
    assert data_digest(open_data(STREETS, "train")) != digests[0]


def test_other_weights_have_another_digest():
    network = torch.nn.Linear(2, 2)
    before = weights_digest(network)
    assert weights_digest(network) == before
    with torch.no_grad():
        network.bias[0] += 1
    assert weights_digest(network) != before


def test_a_key_holds_the_format(monkeypatch: pytest.MonkeyPatch):
    before = key_of({"a": 1, "b": [2]})
    assert key_of({"b": [2], "a": 1}) == before
    assert key_of({"a": 1, "b": [3]}) != before
    monkeypatch.setattr(identity, "FORMAT", 1000)
    assert key_of({"a": 1, "b": [2]}) != before


def test_surroundings_are_versions_and_the_kind_of_device(monkeypatch: pytest.MonkeyPatch):
    assert environment("cuda:1") == environment("cuda:0") != environment("cpu")
    before = environment("cpu")
    monkeypatch.setattr(torch, "__version__", "1000.0")
    assert environment("cpu") != before


def test_a_bench_knows_what_its_figures_depend_on(tmp_path: Path):
    plan = StudyInputs(STREETS, "train", "netwarp:streetnet", None, None, "cpu", tmp_path)
    others = [
        replace(plan, dropout=0.0), replace(plan, history=1), replace(plan, split="test"),
        replace(plan, test=STREETS, test_split="test"),
    ]  # fmt: skip
    identities = [StudyContext(each).identity() for each in (plan, *others)]
    assert len({key_of(each) for each in identities}) == 5
    assert StudyContext(plan).identity() == identities[0]
    assert weights_digest(load_base("netwarp:espnet")) != identities[0]["weights"]
