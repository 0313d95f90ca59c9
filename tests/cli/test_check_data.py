from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from netwarp.cli import main

REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def folder(workplace: Path) -> Path:
    """``mine``: a clip with a gap, two classes, and a split ``rest`` whose labels have no frame before them."""
    root = workplace / "mine"
    for split, names in (("val", ["1", "2", "5"]), ("rest", ["1", "9", "12"])):
        for kind in ("frames", "labels"):
            (root / split / kind / "c").mkdir(parents=True)
            for name in names:
                PIL.Image.fromarray(np.full((4, 6), int(kind == "frames"), np.uint8)).save(
                    root / split / kind / "c" / f"{name}.png"
                )
    (root / "classes.txt").write_text("road\nsky\n")
    return root


def label(folder: Path, pixels: np.ndarray, split: str = "val", name: str = "2") -> None:
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(folder / split / "labels" / "c" / f"{name}.png")


def test_a_summary(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check-data", f"folder:{folder}"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "netwarp: warning: mine val: 1 of 2 classes never occurs (sky)\n"
    lines = dict(line.strip().split(None, 1) for line in printed.out.splitlines()[1:4])
    assert lines == {"clips": "2", "frames": "3, 6×4", "labelled": "3"}
    assert "samples    1 of 2 frames" in printed.out
    assert "2: no frame before it, and clips of 2 need 1 (c/1, c/5)" in printed.out
    assert "road 100.00 %, sky 0.00 %" in printed.out


def test_no_sample_is_left(folder: Path, fails: Callable[..., str]):
    line = fails("check-data", f"folder:{folder}", "--split", "rest")
    assert "mine rest has no sample of 2 frames (3: no frame before it, and clips of 2 need 1)" in line
    assert "--length 1" in line
    assert main(["check-data", f"folder:{folder}", "--split", "rest", "--length", "1"]) == 0


def test_a_missing_neighbour_is_a_fault_where_that_is_asked_for(folder: Path, fails: Callable[..., str]):
    line = fails("check-data", f"folder:{folder}", "--strict")
    assert line.startswith(
        "c/1 in mine val lacks neighbours (no frame before it, and clips of 2 need 1; 1 more are left out)"
    )
    assert main(["check-data", f"folder:{folder}", "--strict", "--length", "1"]) == 0


def test_every_split(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check-data", f"folder:{folder}", "--all"]) == 2
    printed = capsys.readouterr()
    assert "mine val" in printed.out
    assert "mine rest" in printed.err
    assert main(["check-data", f"folder:{folder}", "--all", "--length", "1"]) == 0
    assert "mine rest" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: label(f, np.full((4, 6), 2)), r"2.png holds label 2 in 24 of its pixels"),
        (lambda f: label(f, np.zeros((4, 6, 3))), "2.png holds colours"),
        (lambda f: (f / "val" / "frames" / "c" / "2.png").write_bytes(b"\x89PNG"), "2.png is not an image"),
        (lambda f: (f / "classes.txt").unlink(), "classes.txt is missing"),
    ],
)
def test_the_first_fault_is_named(folder: Path, fails: Callable[..., str], damage: Callable, message: str):
    damage(folder)
    assert message in fails("check-data", f"folder:{folder}")


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", "SPEC"),
        ("canvid:x", "'camvid'"),
        ("streets:clips=1 --split tain", "'train'"),
        ("streets:clips=1 --length 0", "'0'"),
        ("streets:clips=1 --length two", "'two'"),
        ("streets:clips=1 --split val --all", "--split"),
        ("camvid:nowhere", "nowhere"),
        ("mine", "'mine'"),
    ],
)
def test_mistakes_in_the_arguments(fails: Callable[..., str], arguments: str, value: str):
    assert value in fails("check-data", *arguments.split())


@pytest.mark.skipif(not (REAL / "camvid").is_dir(), reason="the real data does not lie beside the checkout")
def test_the_real_clip(capsys: pytest.CaptureFixture[str], fails: Callable[..., str]):
    assert main(["check-data", f"camvid:{REAL}"]) == 0
    printed = capsys.readouterr().out
    assert "frames     101, 480×360" in printed
    assert "samples    100 of 2 frames" in printed
    assert "1: no frame before it, and clips of 2 need 1 (0016E5_07959)" in printed
