"""``--palette`` and ``--legend``, where labels are shown."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from small_videos import decode, picture

from netwarp.cli import main
from netwarp.video.label_maps import write_mask

BASE = ("--base", "tinybase:build")
TRIPLES = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def palette_of(path: str) -> list[tuple[int, ...]]:
    values = PIL.Image.open(path).getpalette()
    assert values is not None
    return [tuple(values[3 * i : 3 * i + 3]) for i in range(3)]


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("200 0 0\n0 200 0\n0 0 200\n9 9 9\n", None, TRIPLES),
        ("road 200 0 0\nsky 0 200 0\ncar 0 0 200\n", None, TRIPLES),  # names are made up: in order
        ("Car 200 0 0\nroad 0 200 0\nother 9 9 9\n", "road,Sky,car", [(0, 200, 0), (128, 0, 0), (200, 0, 0)]),
    ],
)
def test_colours_by_order_or_by_name(clips: Path, text: str, names: str | None, expected: list):
    Path("p.txt").write_text(text)
    named = () if names is None else ("--classes", names)
    out = ("out.mp4", "--masks", "m", "--alpha", 1, "--quality", 0, "--palette", "p.txt", "--areas", "a.csv")
    assert run("segment", clips / "ok.mp4", *out, *BASE, *named) == 0
    assert palette_of("m/000000.png") == expected
    label = np.array(PIL.Image.open("m/000000.png"))
    shown = decode(Path("out.mp4"))[0].astype(int)
    inner = label == 0
    assert np.abs(np.median(shown[inner], axis=0) - expected[0]).max() < 12
    if "road" in text and names is None:
        assert Path("a.csv").read_text().startswith("frame,time,road pixels")


def test_a_legend_lies_in_the_video_alone(clips: Path):
    arguments = ("segment", clips / "ok.mp4", "out.mp4", *BASE, "--quality", 0, "--classes", "road,sky,car")
    assert run(*arguments) == 0
    plain = decode(Path("out.mp4"))[0].astype(int)
    assert run(*arguments, "--legend", "--masks", "m") == 0
    named = decode(Path("out.mp4"))[0].astype(int)
    assert plain.shape == named.shape
    assert np.abs(plain - named)[:12].mean() < 3
    assert np.abs(plain - named)[-16:].mean() > 10


def test_smooth_takes_names_and_colours(workplace: Path):
    Path("frames").mkdir()
    Path("saved").mkdir()
    for i in range(3):
        PIL.Image.fromarray(picture(i)).save(f"frames/{i}.png")
        write_mask(Path(f"saved/{i}.png"), np.repeat([[0, 1]], 48, 0).repeat(32, 1).astype(np.uint8), [])
    Path("p.txt").write_text("road 200 0 0\nsky 0 200 0\ncar 0 0 200\n")
    given = ("--palette", "p.txt", "--overlay", "o.mp4", "--legend", "--areas", "a.csv")
    assert run("smooth", "frames", "saved", "out", *given) == 0
    assert palette_of("out/0.png") == TRIPLES
    assert Path("a.csv").read_text().splitlines()[0].endswith("car pixels,car share")


def test_live_draws_names_into_its_recording(clips: Path):
    pytest.importorskip("starlette", reason="the extra live is not installed: no page was served")
    Path("p.txt").write_text("0 0 0\n" * 3)
    given = ("--palette", "p.txt", "--record", "r.mp4", "--legend", "--port", 0)
    assert run("live", clips / "ok.mp4", *BASE, *given) == 0
    shown = decode(Path("r.mp4"))[0]
    assert shown[:20].mean() < 100  # half of the picture, under black
    assert shown[-16:].max() > 180  # and white letters


@pytest.mark.parametrize(
    ("text", "names", "expected", "said"),
    [
        ("void 9 9 9\nroad 200 0 0\nsky 0 200 0\ncar 0 0 200\n", None, TRIPLES, None),
        ("void 200 0 0\nsky 0 200 0\ncar 0 0 200\n", None, TRIPLES, None),
        ("void 200 0 0\nsky 0 200 0\ncar 0 0 200\n", "void,sky,car", TRIPLES, None),
        ("road 200 0 0\nsky 0 200 0\nkar 1 1 1\nvoid 1 1 1\n", "road,sky,car", [*TRIPLES[:2], (128, 128, 0)], "kar"),
    ],
)
def test_void_is_a_class_where_there_is_one_and_other_names_are_said(
    clips: Path, text: str, names: str | None, expected: list, said: str | None, capsys: pytest.CaptureFixture[str]
):
    Path("p.txt").write_text(text)
    named = () if names is None else ("--classes", names)
    assert run("segment", clips / "ok.mp4", "m", "--palette", "p.txt", *BASE, *named) == 0
    assert palette_of("m/000000.png")[:2] == expected[:2]
    warned = [line for line in capsys.readouterr().err.splitlines() if "--palette" in line]
    assert [said in line for line in warned] == ([] if said is None else [True])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("segment images m --legend", ["--legend", "m.mp4"]),
        ("segment images o.mp4 --palette none.txt", ["none.txt"]),
        ("segment images o.mp4 --palette few.txt", ["--palette", "1 colours", "3 classes"]),
        ("segment images o.mp4 --palette names.txt --classes a,b,c", ["--palette", "a, b, c", "road"]),
        ("segment images o.mp4 --palette bad.txt", ["bad.txt", "line 2"]),
        ("segment images o.mp4 --palette names.txt --task regression", ["--palette"]),
        ("segment images o.mp4 --legend --task regression", ["--legend"]),
        ("live images/shot0.png --legend", ["--legend", "--record"]),
        ("smooth images images out --legend", ["--legend", "--overlay"]),
        ("smooth images images out.mp4", ["out.mp4", "--overlay"]),
    ],
)
def test_what_cannot_be(arguments: str, said: list[str], images: Path, fails: Callable[..., str]):
    Path("few.txt").write_text("1 2 3\n")
    Path("names.txt").write_text("road 1 2 3\nsky 4 5 6\n")
    Path("bad.txt").write_text("1 2 3\nroad\n")
    base = () if arguments.startswith("smooth") else BASE
    line = fails(*arguments.split(), *base)
    assert [text for text in said if text not in line] == [], line


def test_an_object_has_one_colour(clips: Path):
    Path("p.txt").write_text("0 200 0\n")
    base = ("--base", "tinybase:one", "--task", "binary")
    assert run("segment", clips / "ok.mp4", "m", *base, "--palette", "p.txt") == 0
    assert palette_of("m/000000.png")[:2] == [(0, 0, 0), (0, 200, 0)]
