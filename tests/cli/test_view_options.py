"""``--window``, ``--stride``, ``--scales`` and ``--flip``: what they mean in Python, and what is said of mistakes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tinybase
import torch
from small_videos import expected, masks, same
from torch import Tensor, nn

from netwarp import Preprocess, VideoModel, load_base
from netwarp.cli import main
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate
from netwarp.inference.sliding import Sliding

SPEC = "streets:clips=2,frames=3,size=48x40"
BASE = ("--base", "tinybase:build")
ELEVEN = (*BASE, "--classes", "11")
Fails = Callable[..., str]


class OnlySquares(nn.Module):
    """A network for 32×32 and nothing else, whose processor shrinks frames to that."""

    preprocess = Preprocess(size=(32, 32))

    def __init__(self) -> None:
        super().__init__()
        self.body = tinybase.build()

    def forward(self, image: Tensor) -> Tensor:
        if tuple(image.shape[-2:]) != (32, 32):
            raise RuntimeError(f"32 by 32 only, not {list(image.shape)}")
        return self.body(image)


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    monkeypatch.setattr(tinybase, "Squares", OnlySquares, raising=False)
    return "--base", "tinybase:Squares"


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (("--window", "24"), {"window": 24}),
        (("--window", "24x16", "--stride", "20x8", "--flip"), {"window": (16, 24), "stride": (8, 20), "flip": True}),
        (("--scales", "0.5,1"), {"scales": (0.5, 1)}),
        (("--flip", "logits", "--window", "24"), {"window": 24, "flip": "logits"}),
        (("--flip=probabilities", "--window", "24"), {"window": 24, "flip": True}),
        (
            ("--window", "32", "--stride", "16", "--scales", "0.5,1.25"),
            {"window": 32, "stride": 16, "scales": (0.5, 1.25)},
        ),
    ],
)
@pytest.mark.parametrize("memory", [True, False])
def test_segment_means_what_it_means_in_python(clips: Path, given: tuple, meant: dict, memory: bool):
    alone = () if memory else ("--frame-by-frame",)
    assert run("segment", clips / "ok.mp4", "masks", *BASE, *given, *alone) == 0
    base = load_base("tinybase:build")
    model = VideoModel(base, training_free=True) if memory else VideoModel(base, [])
    found = masks("masks")
    assert same(found, expected(clips / "ok.mp4", Sliding(model, **meant)))
    if memory:
        assert not same(found, expected(clips / "ok.mp4", model))


def test_windows_take_the_place_of_a_size_and_are_what_a_network_is_tried_on(clips: Path, squares: tuple, fails: Fails):
    assert run("segment", clips / "ok.mp4", "shrunk", *squares) == 0
    assert run("segment", clips / "ok.mp4", "windows", *squares, "--window", 32, "--frame-by-frame") == 0
    base = OnlySquares()
    alone = VideoModel(base, [], preprocess=Preprocess(), example_size=(32, 32))
    assert same(masks("windows"), expected(clips / "ok.mp4", Sliding(alone, 32)))
    assert run("segment", clips / "ok.mp4", "both.mp4", *squares, "--window", 32, "--side-by-side") == 0
    for given, tried in ((("--window", 24), "24×24"), (("--scales", "0.5,1"), "33×25")):
        line = fails("segment", clips / "ok.mp4", "out.mp4", *squares, *given)
        assert f"the base fails on a frame of {tried}: 32 by 32 only" in line


def test_evaluate_means_what_it_means_in_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    meant = {"window": (24, 32), "scales": (1, 1.5), "flip": True}
    given = ("--window", "32x24", "--scales", "1,1.5", "--flip", "--widths", "2", "--cache", tmp_path)
    assert run("evaluate", "--data", SPEC, *ELEVEN, *given, "--compare", "--json", "both.json") == 0
    assert run("evaluate", "--data", SPEC, *ELEVEN, *given, "--json", "alone.json") == 0
    base = load_base("tinybase:build", classes=11)
    models = {
        "alone": Sliding(VideoModel(base, []), **meant),
        "free": Sliding(VideoModel(base, training_free=True), **meant),
        "plain": VideoModel(base, []),
    }
    scores = evaluate(models, open_data(SPEC, cache=tmp_path))
    both, alone = (json.loads(Path(f"{name}.json").read_text()) for name in ("both", "alone"))
    for record, name in ((both, "free"), (both["compared_with"]["frame by frame"], "alone"), (alone, "alone")):
        assert record["miou"] == pytest.approx(scores[name]["miou"], abs=1e-3)
        assert record["tc"] == pytest.approx(scores[name]["tc"], abs=1e-3)
        assert record["ms_per_frame"] > 0
    assert len({scores[name]["miou"] for name in scores}) == 3
    assert capsys.readouterr().err == ""


def test_many_views_are_worked_on_one_clip_at_a_time():
    from netwarp.cli import evaluate as command
    from netwarp.cli.arguments import Parser, read_request

    data = open_data(SPEC)
    models = {"m": VideoModel(load_base("tinybase:build", classes=11), [])}

    def workers(*given: str) -> int:
        request = read_request(command.Request, Parser("evaluate", "", ""), ["--data", SPEC, *ELEVEN, *given])
        return command._workers(request, models, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 4)
        assert workers() == 4
        assert workers("--window", "24") == 4
        assert workers("--scales", "9,10") == 1


def test_batch_is_how_many_views_go_in_a_pass(clips: Path, monkeypatch: pytest.MonkeyPatch):
    """It changes nothing but that."""
    shown: list[int] = []
    forward = nn.Conv2d.forward

    def note(self: nn.Conv2d, image: Tensor) -> Tensor:
        if image.shape[1] == 3:
            shown.append(len(image))
        return forward(self, image)

    monkeypatch.setattr(nn.Conv2d, "forward", note)
    results = []
    for batch in (("--batch", "5"), ()):
        shown.clear()
        given = (*BASE, "--window", "24", "--flip", "--frame-by-frame", *batch)
        assert run("segment", clips / "ok.mp4", f"m{len(batch)}", *given) == 0
        results.append(masks(f"m{len(batch)}"))
        assert max(shown) == (5 if batch else 4)
    assert same(*results)
    given = ("evaluate", "--data", SPEC, *ELEVEN, "--window", "24", "--flip", "--batch", "7", "--workers", "1")
    assert run(*given) == 0
    assert max(shown) == 7


def test_the_least_scale_is_that_which_the_mistake_advises(clips: Path, fails: Fails):
    assert "0.31 is the least for frames of 64×48" in fails(
        "segment", clips / "ok.mp4", "m", *BASE, "--scales", "0.3", "--frame-by-frame"
    )
    assert run("segment", clips / "ok.mp4", "m", *BASE, "--scales", "0.31", "--frame-by-frame") == 0


def test_a_network_that_needs_larger_pictures_says_its_own_least(clips: Path, monkeypatch, fails: Fails):
    def build() -> nn.Module:
        network = tinybase.build()
        network.preprocess = Preprocess(divisor=32)
        return network

    monkeypatch.setattr(tinybase, "coarse", build, raising=False)
    line = fails("segment", clips / "ok.mp4", "m", "--base", "tinybase:coarse", "--window", "24")
    assert "give --window 32 or more" in line


def test_many_views_are_said_once(clips: Path, monkeypatch, capsys: pytest.CaptureFixture[str]):
    def build(classes: int = 5) -> nn.Module:
        network = tinybase.build(classes)
        network.margins = {"none of its layers": 30}
        return network

    monkeypatch.setattr(tinybase, "wide", build, raising=False)
    ok = clips / "ok.mp4"
    assert run("segment", ok, "m", *BASE, "--window", "16", "--stride", "5", "--frame-by-frame") == 0
    many = capsys.readouterr().err
    assert len(many.splitlines()) == 1
    # 11 columns and 8 rows of 16×16.
    assert "a frame of 64×48 has 88 views, and the network works on 7.3 times the pixels of the whole frame" in many
    given = ("--base", "tinybase:wide", "--window", "24", "--frame-by-frame")
    assert run("segment", ok, "m", *given) == 0
    narrow = capsys.readouterr().err
    # 4 columns and 3 rows of 84×84, for 124×108.
    assert "has 12 views, and the network works on 6.3 times the pixels of the whole frame, 30 pixels beyond" in narrow
    assert narrow.endswith("each on every side included: larger windows are faster\n")
    assert run("segment", ok, "m", *given[:2], "--window", "31", "--frame-by-frame") == 0
    assert capsys.readouterr().err == ""
    given = ("--base", "tinybase:wide", "--classes", "11", "--window", "24", "--compare")
    assert run("evaluate", "--data", SPEC, *given) == 0
    assert len(capsys.readouterr().err.splitlines()) == 1


MISTAKES = {
    "--window 0": "'0'",
    "--window wide": "'wide'",
    "--window 32 --stride 33": "33×33",
    "--window 32x16 --stride 20": "20×20",
    "--window 32 --stride 0": "'0'",
    "--stride 8": "--stride goes with --window",
    "--scales 0": "not 0.0",
    "--scales 1,nan": "not nan",
    "--scales 1,,2": "'1,,2'",
    "--scales half": "'half'",
    "--scales 1,0.5,1.0": "scales must differ",
    "--window 5": "--window 16",
    "--window 32x15": "32×15",
    "--scales 1,0.3": "is the least",
    "--window 24 --batch 0": "'0'",
    "--window 24 --batch many": "'many'",
    "--batch 2": "--batch goes with --window, --scales or --flip",
    "--flip=logit": "'logit'",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(clips: Path, fails: Fails, arguments: str):
    assert MISTAKES[arguments] in fails("segment", clips / "ok.mp4", "new/out.mp4", *BASE, *arguments.split())
    assert MISTAKES[arguments] in fails("evaluate", "--data", SPEC, *ELEVEN, *arguments.split())


@pytest.mark.parametrize("given", ["--size 32x24", "--window 8", "--scales 1", "--stride 8", "--flip", "--batch 3"])
def test_what_does_not_go_together(clips: Path, fails: Fails, given: str):
    option = given.split()[0]
    if option in ("--window", "--scales"):
        line = fails("segment", clips / "ok.mp4", "out.mp4", *BASE, *given.split(), "--size", "32x24")
        assert f"--size and {option}" in line
        assert fails("evaluate", "--data", SPEC, *ELEVEN, *given.split(), "--size", "32x24") == line
    line = fails("evaluate", "--data", SPEC, "--predictions", "x", *given.split())
    assert option in line
    assert "--predictions" in line


def test_what_follows_a_bare_flip_is_not_its_value(clips: Path):
    assert run("segment", "--flip", clips / "ok.mp4", "m", *BASE, "--frame-by-frame") == 0
    alone = Sliding(VideoModel(load_base("tinybase:build"), []), flip="probabilities")
    assert same(masks("m"), expected(clips / "ok.mp4", alone))
