"""Rows are trained and tested on labels that are numbered as the network has its classes."""

from __future__ import annotations

import numpy as np

from netwarp.datasets.registry import open_data
from netwarp.lab.study.study_context import StudyContext, StudyInputs
from netwarp.label_sets import CAMVID

SPEC = "streets:clips=2,frames=2,size=48x40"


def test_both_splits_follow_the_network(tmp_path):
    """The public weights of dilation8 do not have CamVid's order; see :mod:`netwarp.datasets.class_order`."""
    plan = StudyInputs(
        SPEC, "train", "netwarp:dilation8@0.02", None, None, "cpu", tmp_path, test=SPEC, test_split="test"
    )
    with StudyContext(plan) as bench:
        names = bench.base.classes
        assert names != CAMVID.names
        for split, data in (("train", bench.folds[0].train), ("test", bench.folds[0].test)):
            assert data.classes.names == names
            ours = data.clips[0].frames[-1].labels()
            theirs = open_data(SPEC, split, cache=tmp_path).clips[0].frames[-1].labels()
            assert len(np.unique(ours)) > 2
            assert [names[label] for label in ours.ravel()] == [CAMVID.names[label] for label in theirs.ravel()]
