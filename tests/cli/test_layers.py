import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from netwarp import VideoModel, load_base
from netwarp.cli import main


def listing(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["layers", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_layers_in_order(capsys: pytest.CaptureFixture[str]):
    found = listing(capsys, "--base", "tinybase:build", "--all", "--size", "64x48", "--classes", "5")
    assert found["frame"] == [48, 64]
    assert found["classes"] == 5
    assert [(layer["name"], layer["shape"]) for layer in found["layers"]] == [
        ("0", [8, 48, 64]),
        ("1", [8, 48, 64]),
        ("2", [5, 48, 64]),
        ("output", [5, 48, 64]),
        ("log_probs", [5, 48, 64]),
    ]


def test_short_list_takes_the_end_of_what_belongs_together(capsys: pytest.CaptureFixture[str]):
    names = [layer["name"] for layer in listing(capsys, "--base", "tinybase:build")["layers"]]
    assert names == ["1", "2", "output", "log_probs"]


@pytest.mark.parametrize(
    ("base", "blocks", "inside"),
    [
        ("netwarp:espnet", {"encoder.b1", "encoder.b2", "encoder.b3"}, {"encoder.level1.conv", "encoder.level3.0.c1"}),
        (
            "torchvision:lraspp_mobilenet_v3_large",
            {"backbone.0", "backbone.16", "classifier"},
            {"backbone.1.block.0.0", "backbone.0.0"},
        ),
    ],
)
def test_big_networks_stay_readable(capsys: pytest.CaptureFixture[str], base: str, blocks: set, inside: set):
    short = {layer["name"] for layer in listing(capsys, "--base", base)["layers"]}
    every = {layer["name"]: layer for layer in listing(capsys, "--base", base, "--all")["layers"]}
    assert len(short) <= 42
    assert short < set(every)
    assert blocks <= short
    assert inside <= set(every) - short
    assert all(every[name]["usable"] for name in short)
    # What is listed works.
    VideoModel(load_base(base), sorted(short - {"output", "log_probs"}))


def test_layers_in_a_row_are_each_a_place_and_dropout_is_none(capsys: pytest.CaptureFixture[str]):
    rows = {
        row["name"]: row for row in listing(capsys, "--base", "netwarp:dilation8@0.0625", "--size", "64x48")["layers"]
    }
    assert {"fc6", "fc7", "final", "ctx_conv1_1", "ctx_conv1_2", "ctx_final"} <= set(rows)
    assert not any(row["kind"] == "Dropout" for row in rows.values())
    # Maps that look beyond the frame have the stride of their places, not of the frame.
    assert [rows[name]["stride"] for name in ("conv1_1", "conv3_3", "conv5_3", "fc7")] == [[s, s] for s in (1, 4, 8, 8)]


def test_strides_of_maps_whose_places_lie_in_the_corners(capsys: pytest.CaptureFixture[str]):
    """A frame of 8k+1 pixels has k+1 places 8 pixels apart, and not of 7.9 pixels each."""
    assert main(["layers", "--base", "netwarp:pspnet101@0.01", "--all", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["layers"]}
    assert [rows[name]["stride"] for name in ("conv1_1_3x3_s2", "conv4_23", "conv5_4")] == [[s, s] for s in (2, 8, 8)]


def test_table(capsys: pytest.CaptureFixture[str]):
    assert main(["layers", "--base", "netwarp:espnet", "--size", "320x256"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "kind", "C×h×w", "stride", "offset", "usable"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
    assert rows["encoder.b3"] == ["Sequential", "256×32×40", "8", "0", "yes"]
    assert rows["log_probs"] == ["log-probabilities", "12×256×320", "1", "0", "yes"]
    assert lines[-1].startswith("for a frame of 320×256; --all lists ")


def test_layers_that_run_several_times_are_marked(capsys: pytest.CaptureFixture[str]):
    arguments = ["--base", "torchvision:fcn_resnet50", "--size", "64x64"]
    relu = next(x for x in listing(capsys, *arguments, "--all")["layers"] if x["name"] == "backbone.layer1.0.relu")
    assert (relu["runs"], relu["usable"]) == (3, False)
    assert main(["layers", *arguments, "--all"]) == 0
    assert "no: runs 3 times a frame" in capsys.readouterr().out


class TestOnAVideo:
    def test_table(self, capsys: pytest.CaptureFixture[str], clips: Path):
        assert main(["layers", "--base", "tinybase:build", "--video", str(clips / "ok.mp4"), "--frames", "3"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].split() == ["layer", "kind", "C×h×w", "stride", "offset", "usable", "unwarped", "warped"]
        rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
        assert rows["image"][:5] == ["frame", "3×48×64", "1", "0", "–"]
        assert rows["log_probs"][:5] == ["log-probabilities", "3×48×64", "1", "0", "yes"]
        for name in ("image", "1", "2", "output", "log_probs"):
            unwarped, warped = (float(cell) for cell in rows[name][-2:])
            assert 0 < warped < unwarped < 1
        assert "over 3 pairs of frames" in lines[-1]

    def test_json(self, capsys: pytest.CaptureFixture[str], images: Path):
        found = listing(capsys, "--base", "tinybase:build", "--video", str(images), "--all")
        assert found["frame"] == [48, 64]
        assert (found["video"], found["pairs"]) == (str(images), 3)
        assert [layer["name"] for layer in found["layers"]] == ["image", "0", "1", "2", "output", "log_probs"]
        picture, *layers = found["layers"]
        assert (picture["kind"], picture["usable"], picture["shape"]) == ("frame", False, [3, 48, 64])
        assert all(0 < layer["warped"] < layer["unwarped"] for layer in found["layers"])
        without = listing(capsys, "--base", "tinybase:build", "--size", "64x48", "--all")
        assert [{k: v for k, v in layer.items() if k not in ("unwarped", "warped")} for layer in layers] == without[
            "layers"
        ]

    def test_layers_of_which_nothing_can_be_said(self, capsys: pytest.CaptureFixture[str], images: Path):
        arguments = ["--base", "tinybase:Flat", "--video", str(images), "--all"]
        rows = {layer["name"]: layer for layer in listing(capsys, *arguments)["layers"]}
        assert (rows["flat"]["unwarped"], rows["flat"]["warped"]) == (None, None)  # the same everywhere
        assert (rows["twice"]["runs"], rows["twice"]["warped"]) == (2, None)
        assert rows["output"]["warped"] is not None
        assert main(["layers", *arguments]) == 0
        assert re.search(r"^flat .* –  +–$", capsys.readouterr().out, re.MULTILINE)

    @pytest.mark.parametrize(
        ("arguments", "value"),
        [
            ("nowhere.mp4", "nowhere.mp4"),
            ("images/shot0.png", "two neighbouring frames"),
            ("images --size 64x48", "--size"),
            ("images --frames 0", "'0'"),
            ("images --frames all", "'all'"),
        ],
    )
    def test_what_cannot_be_measured(self, fails: Callable[..., str], images: Path, arguments: str, value: str):
        assert value in fails("layers", "--base", "tinybase:build", "--video", *arguments.split())
