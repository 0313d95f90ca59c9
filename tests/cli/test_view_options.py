"""``--window``, ``--stride``, ``--scales`` and ``--flip``: what they mean in Python, and what is said of mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tinybase
import torch
from small_videos import decode
from torch import Tensor, nn

from netwarp import Preprocess, VideoModel, load_base
from netwarp.cli import main
from netwarp.datasets.registry import open_data
from netwarp.evaluation.evaluate import evaluate
from netwarp.inference.sliding import Sliding
from netwarp.inference.stream import segment
from netwarp.video.label_maps import read_mask

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


def masks(folder: str) -> list[np.ndarray]:
    return [read_mask(path) for path in sorted(Path(folder).glob("*.png"))]


def expected(source: Path, model: Sliding | VideoModel) -> list[np.ndarray]:
    return [result.labels for result in segment(source, model)]


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


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


def test_side_by_side_shows_the_same_windows_frame_by_frame(clips: Path):
    given = (*BASE, "--quality", 1, "--window", 24, "--scales", "0.5", "--flip")
    assert run("segment", clips / "ok.mp4", "both.mp4", "--side-by-side", *given) == 0
    assert run("segment", clips / "ok.mp4", "left.mp4", "--frame-by-frame", *given) == 0
    assert run("segment", clips / "ok.mp4", "right.mp4", *given) == 0
    both, left, right = (decode(Path(f"{name}.mp4"))[-1].astype(int) for name in ("both", "left", "right"))
    below = slice(24, None)  # the captions lie above
    assert np.abs(both[below, :62] - left[below, :62]).mean() < 4
    assert np.abs(both[below, 68:] - right[below, 2:]).mean() < 4


def test_a_saved_model_in_windows(clips: Path):
    model = VideoModel(load_base("tinybase:build"), ["1"], flow="zero", training_free=True)
    model.save("m.safetensors")
    given = ("--model", "m.safetensors", *BASE, "--window", "20", "--flip")
    assert run("segment", clips / "ok.mp4", "m1", *given) == 0
    assert same(masks("m1"), expected(clips / "ok.mp4", Sliding(model, 20, flip=True)))
    assert run("segment", clips / "ok.mp4", "m2", *given, "--frame-by-frame") == 0
    alone = VideoModel(load_base("tinybase:build"), [])
    assert same(masks("m2"), expected(clips / "ok.mp4", Sliding(alone, 20, flip=True)))
    assert run("segment", clips / "ok.mp4", "both.mp4", *given, "--side-by-side") == 0


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


def test_a_cut_starts_anew_in_windows_too(clips: Path, capsys: pytest.CaptureFixture[str]):
    from small_videos import encode, picture

    rng = np.random.default_rng(0)
    other = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    encode(Path("cut.mp4"), [picture(i) for i in range(3)] + [other] * 2)
    assert run("segment", "cut.mp4", "out.mp4", *BASE, "--window", 24) == 0
    assert "frame 3: scene cut" in capsys.readouterr().err


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


def test_evaluate_a_saved_model_without_its_memory(tmp_path: Path):
    model = VideoModel(load_base("tinybase:build", classes=11), ["log_probs"], flow_cnn=None, start=(0.5, 0.5))
    model.save("m.safetensors", include_base=False)
    given = ("evaluate", "--data", SPEC, *ELEVEN, "--model", "m.safetensors", "--window", "24", "--cache", tmp_path)
    assert run(*given, "--json", "video.json", "--history", "2", "--workers", "2") == 0
    assert run(*given, "--json", "alone.json", "--frame-by-frame") == 0
    alone = VideoModel(load_base("tinybase:build", classes=11), [])
    scores = evaluate({"video": Sliding(model, 24), "alone": Sliding(alone, 24)}, open_data(SPEC, cache=tmp_path))
    for name in scores:
        record = json.loads(Path(f"{name}.json").read_text())
        assert record["miou"] == pytest.approx(scores[name]["miou"], abs=1e-3)
    assert scores["video"]["miou"] != scores["alone"]["miou"]


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


def test_small_videos_are_no_mistake():
    from small_videos import encode

    encode(Path("small.mp4"), [np.zeros((12, 48, 3), np.uint8)] * 2)
    assert run("segment", "small.mp4", "m", *BASE, "--window", "24x12", "--scales", "1,2") == 0


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


MISTAKES = [
    (("--window", "0"), "'0' is no size: write pixels, such as 713, or WIDTHxHEIGHT"),
    (("--window", "-5"), "is no size"),
    (("--window", "wide"), "is no size"),
    (("--window", "713x"), "is no size"),
    (("--window", "32", "--stride", "33"), "a stride of 33×33 leaves gaps between windows of 32×32"),
    (("--window", "32x16", "--stride", "20"), "a stride of 20×20 leaves gaps between windows of 32×16"),
    (("--window", "32", "--stride", "0"), "is no size"),
    (("--stride", "8"), "--stride goes with --window"),
    (("--scales", "0"), "are no scales: write numbers above 0 and up to 10, such as 0.5,1,1.5"),
    (("--scales=-1,1",), "are no scales"),
    (("--scales", "1,nan"), "are no scales"),
    (("--scales", "1,,2"), "are no scales"),
    (("--scales", "1e9"), "are no scales"),
    (("--scales", "half"), "are no scales"),
    (("--scales", "1,0.5,1.0"), "scales must differ"),
    (("--window", "5"), "in windows of 5×5 a network sees nothing that it could tell apart: give --window 16 or more"),
    (("--window", "32x15"), "in windows of 32×15"),
    (("--scales", "1,0.3"), "is the least for frames of "),
    (("--window", "24", "--batch", "0"), "'0' is not a whole number of views"),
    (("--window", "24", "--batch", "many"), "is not a whole number of views"),
    (("--batch", "2"), "--batch goes with --window, --scales or --flip"),
    (("--flip=logit",), "--flip must be probabilities or logits, not 'logit'"),
    (("--flip", "logit"), "one argument too many: 'logit'"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), MISTAKES, ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_mistakes(clips: Path, fails: Fails, arguments: tuple[str, ...], message: str):
    assert message in fails("segment", clips / "ok.mp4", "new/out.mp4", *BASE, *arguments)
    assert message in fails("evaluate", "--data", SPEC, *ELEVEN, *arguments)


def test_what_does_not_go_together(clips: Path, fails: Fails):
    for option, value in (("--window", "32"), ("--scales", "0.5,1")):
        line = fails("segment", clips / "ok.mp4", "out.mp4", *BASE, option, value, "--size", "32x24")
        assert f"--size and {option} both say what size the network sees" in line
    for given in (("--window", "8"), ("--stride", "8"), ("--scales", "1"), ("--flip",), ("--batch", "3")):
        line = fails("evaluate", "--data", SPEC, "--predictions", "x", *given)
        assert f"{given[0]} goes with a network, and --predictions takes its place" in line


def test_what_follows_a_bare_flip_is_not_its_value(clips: Path):
    assert run("segment", "--flip", clips / "ok.mp4", "m", *BASE, "--frame-by-frame") == 0
    alone = Sliding(VideoModel(load_base("tinybase:build"), []), flip="probabilities")
    assert same(masks("m"), expected(clips / "ok.mp4", alone))


def test_flip_goes_with_a_size(clips: Path):
    assert run("segment", clips / "ok.mp4", "m", *BASE, "--frame-by-frame", "--size", "32x24", "--flip") == 0
    model = VideoModel(load_base("tinybase:build"), [], preprocess=Preprocess(size=(24, 32)))
    assert same(masks("m"), expected(clips / "ok.mp4", Sliding(model, flip=True)))
