from __future__ import annotations

import json
from collections.abc import Callable

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


def test_table(capsys: pytest.CaptureFixture[str]):
    assert main(["layers", "--base", "netwarp:espnet", "--size", "320x256"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "kind", "C×h×w", "stride", "once", "a", "frame"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:] if line}
    assert rows["encoder.b3"] == ["Sequential", "256×32×40", "8", "yes"]
    assert rows["log_probs"] == ["log-probabilities", "12×256×320", "1", "yes"]
    assert lines[-1].startswith("for a frame of 320×256; --all lists ")


def test_layers_that_run_several_times_are_marked(capsys: pytest.CaptureFixture[str]):
    arguments = ["--base", "torchvision:fcn_resnet50", "--size", "64x64"]
    relu = next(x for x in listing(capsys, *arguments, "--all")["layers"] if x["name"] == "backbone.layer1.0.relu")
    assert (relu["runs"], relu["usable"]) == (3, False)
    assert main(["layers", *arguments, "--all"]) == 0
    assert "no, 3 times" in capsys.readouterr().out


def test_size_that_the_network_refuses(fails: Callable[..., str]):
    line = fails("layers", "--base", "tinybase:Even", "--size", "51x40")
    assert "fails on a frame of 51×40" in line
    assert "with --size WIDTHxHEIGHT" in line
