"""The paper's numbers agree with each other and with what its text says of them."""

import statistics

import pytest

from netwarp.lab.paper.published import (
    CITYSCAPES_CLASSES,
    CONCATENATION,
    PLACES,
    TABLE1,
    TABLE2,
    TABLE3,
    TABLE4,
    TABLE5,
)


def test_table_1_has_nine_places_and_always_gains():
    """ "A consistent improvement … irrespective of the NetWarp locations", and with FlowCNN (section 4.1)."""
    base = TABLE1[()][False].iou
    assert len(PLACES) == 9
    for place in PLACES:
        assert base < TABLE1[place][False].iou < TABLE1[place][True].iou


def test_gains_are_those_of_the_text():
    base, best = TABLE1[()][False], TABLE1["fc6", "fc7"][True]
    assert best.iou - base.iou == pytest.approx(1.3)
    assert CONCATENATION.iou - base.iou == pytest.approx(0.1)
    assert (best.iou, best.tiou) == (TABLE2["+ NetWarp, DIS"].iou, TABLE2["+ NetWarp, DIS"].tiou)
    assert TABLE3["+ NetWarp"].iou - TABLE3["Dilation-CNN"].iou == pytest.approx(1.8)
    for scale, gains in (("SSc", (1.2, 2.4, 1.4)), ("MSc", (0.7, 1.8, 1.4))):
        before, after = TABLE4[f"PSPNet-{scale}"], TABLE4[f"PSPNet-{scale} + NetWarp"]
        assert (after.iou - before.iou, after.tiou - before.tiou, after.iiou - before.iiou) == pytest.approx(gains)


@pytest.mark.parametrize("name", TABLE5)
def test_table_5_has_every_class(name: str):
    row = TABLE5[name]
    assert tuple(row.per_class) == CITYSCAPES_CLASSES
    assert len(CITYSCAPES_CLASSES) == 19
    # To the tenth that the paper rounds to; LRR-4X's mean is of more digits.
    assert statistics.fmean(row.per_class.values()) == pytest.approx(row.iou, abs=0.26)


def test_thin_structures_gain_as_the_text_says():
    """ "The improvement is around 4% IoU for the pole class." """
    before, after = TABLE5["PSPNet-MSc"], TABLE5["PSPNet-MSc + NetWarp"]
    assert after.per_class["pole"] - before.per_class["pole"] == pytest.approx(4.1)


def test_the_point_of_figure_4_follows_from_table_4():
    before, after = ([TABLE4[f"PSPNet-{s}{end}"].tiou for s in ("SSc", "MSc")] for end in ("", " + NetWarp"))
    gains = [100 * (ours / theirs - 1) for ours, theirs in zip(after, before, strict=True)]
    assert gains == pytest.approx((6.05, 4.34), abs=0.01)
