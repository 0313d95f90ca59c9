"""The words follow the numbers, the unwelcome ones too."""

import pytest

from netwarp.evaluation.scores import Scores
from netwarp.lab.demo.summary import BASE, CONTROL, FREE, NETWARP, verdict


def scores(miou: float, tc: float = 95.0, per_class: tuple[float, ...] = (80.0, 20.0)) -> Scores:
    return {"miou": miou, "per_class": per_class, "tiou": {2: 40.0}, "tc": tc, "frames": 10, "ms_per_frame": 12.0}


def said(netwarp: float, control: float = 50.5) -> str:
    rows = {BASE: scores(50), CONTROL: scores(control), FREE: scores(50.4, 97.0), NETWARP: scores(netwarp, 97.0)}
    return " ".join(verdict(rows, ("road", "pole")))


@pytest.mark.parametrize(
    ("netwarp", "words"),
    [
        (51.5, "clearly better than it, by +1.00"),
        (50.7, "a little better than it, by +0.20"),
        (50.5, "does not beat it in IoU (±0.00)"),
        (50.45, "does not beat it in IoU (−0.05)"),
        (49.5, "worse than it in IoU (−1.00)"),
    ],
)
def test_netwarp_is_measured_against_its_control(netwarp: float, words: str) -> None:
    assert words in said(netwarp)


def test_what_was_lost_is_said() -> None:
    rows = {name: scores(50) for name in (BASE, CONTROL, FREE)} | {NETWARP: scores(50, per_class=(85.0, 12.0))}
    text = " ".join(verdict(rows, ("road", "pole")))
    assert "from −8.00 (pole) to +5.00 (road)" in text


def test_classes_that_do_not_occur_are_passed_over() -> None:
    nowhere = {name: scores(50, per_class=(80.0, float("nan"))) for name in (BASE, CONTROL, FREE, NETWARP)}
    assert "nan" not in " ".join(verdict(nowhere, ("road", "pole")))
    assert "pole" not in " ".join(verdict(nowhere, ("road", "pole")))
