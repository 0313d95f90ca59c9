"""What a user can get wrong: one line, exit 2, nothing left behind."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from small_videos import picture

from netwarp import VideoModel, load_base
from netwarp.cli import main

BASE = ("--base", "tinybase:build")
Fails = Callable[..., str]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("okk.mp4", "did you mean"),
        ("text.mp4", "is not a video: its content is text"),
        ("zero.mp4", "is empty (0 bytes)"),
        ("unfinished.mp4", "has no index (moov)"),
        ("nowhere/ok.mp4", "nor does its folder"),
        ("*.webm", "matches no file"),
    ],
)
def test_input_that_cannot_be_read(clips: Path, fails: Fails, name: str, message: str):
    assert message in fails("segment", clips / name, "new/out.mp4", *BASE)


def test_empty_folder(workplace: Path, fails: Fails):
    (workplace / "empty").mkdir()
    assert "is empty" in fails("segment", "empty", "out.mp4", *BASE)


def test_folder_without_images(workplace: Path, fails: Fails):
    (workplace / "notes").mkdir()
    (workplace / "notes" / "read.txt").touch()
    assert "holds no images" in fails("segment", "notes", "out.mp4", *BASE)


def test_camera_that_is_not_there(fails: Fails):
    assert "camera 93 cannot be opened" in fails("segment", "93", "out.mp4", *BASE)


def test_stream_that_does_not_answer(fails: Fails):
    assert "cannot be opened" in fails("segment", "http://127.0.0.1:9/live", "out.mp4", *BASE)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "OUTPUT is an empty text"),
        ("out.avi", "OUTPUT is a video (.mp4, .m4v, .mov, .mkv) or a folder"),
        ("out.png", "OUTPUT is a video"),
        ("file/out.mp4", "is a file, not a folder"),
        ("file/deep/out.mp4", "lies below the file file"),
        ("file", "is a file, not a folder"),
        ("images", "holds the input's images"),
    ],
)
def test_output_that_cannot_be(images: Path, workplace: Path, fails: Fails, output: str, message: str):
    (workplace / "file").touch()
    assert message in fails("segment", "images", output, *BASE)


def test_an_existing_folder_is_one_for_label_maps_whatever_its_name(images: Path, workplace: Path):
    (workplace / "taken.mp4").mkdir()
    assert main(["segment", "images", "taken.mp4", *BASE]) == 0
    assert len(list((workplace / "taken.mp4").iterdir())) == 4


def test_output_without_permission(clips: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "no permission" in fails("segment", clips / "ok.mp4", "out.mp4", *BASE)


def test_output_is_input(clips: Path, workplace: Path, fails: Fails):
    content = (clips / "ok.mp4").read_bytes()
    (workplace / "ok.mp4").write_bytes(content)
    (workplace / "link.mp4").symlink_to("ok.mp4")
    for output in ("ok.mp4", "./ok.mp4", "link.mp4"):
        assert "is the input itself" in fails("segment", "ok.mp4", output, *BASE)
    assert (workplace / "ok.mp4").read_bytes() == content


def test_masks_among_the_input_images(images: Path, fails: Fails):
    assert "holds the input's images" in fails("segment", "images", "new/out.mp4", "--masks", "images", *BASE)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("tinybase:biuld", "did you mean 'build'"),
        ("tinybases:build", "no scheme or module named 'tinybases'"),
        ("tinybase", "names no base"),
        ("tinybase:broken", "no such file: pretrained.pth"),
        ("tinybase:many", "300 classes"),
        ("netwarp:espent", "did you mean 'espnet'"),
        ("torchvision:fcn_resnet5", "did you mean 'fcn_resnet50'"),
        ("hf:./nothing", "no folder ./nothing"),
    ],
)
def test_base_that_does_not_exist(clips: Path, fails: Fails, base: str, message: str):
    assert message in fails("segment", clips / "ok.mp4", "new/out.mp4", "--base", base)


def test_layer_misspelt(clips: Path, fails: Fails):
    line = fails("segment", clips / "ok.mp4", "new/out.mp4", "--base", "netwarp:espnet", "--layers", "encoder.level2_1")
    assert "did you mean 'encoder.level2_0'" in line


def test_size_that_the_network_refuses(workplace: Path, fails: Fails):
    PIL.Image.fromarray(picture(0, 40, 51)).save("odd.png")
    line = fails("segment", "odd.png", "out.mp4", "--base", "tinybase:Even")
    assert "fails on a frame of 51×40" in line
    assert "--size WIDTHxHEIGHT" in line
    assert main(["segment", "odd.png", "out.mp4", "--base", "tinybase:Even", "--size", "52x40"]) == 0


def test_weights_of_another_network(clips: Path, workplace: Path, fails: Fails):
    torch.save({"encoder.weight": torch.zeros(3)}, "other.pth")
    line = fails("segment", clips / "ok.mp4", "out.mp4", *BASE, "--weights", "other.pth")
    assert "is of another network" in line
    assert "0.weight" in line
    assert "encoder.weight" in line


def test_paths_are_quoted_as_they_are(clips: Path, workplace: Path, fails: Fails):
    # Python's "classes=" is "--classes" here, but not in the name of a folder.
    line = fails("segment", clips / "ok.mp4", "out.mp4", *BASE, "--weights", "runs/classes=3/w.pth")
    assert "runs/classes=3/w.pth" in line


@pytest.mark.parametrize(("content", "message"), [(b"no pickle", "no checkpoint"), (None, "no weights file")])
def test_weights_that_cannot_be_read(clips: Path, workplace: Path, fails: Fails, content: bytes | None, message: str):
    if content is not None:
        (workplace / "w.pth").write_bytes(content)
    assert message in fails("segment", clips / "ok.mp4", "out.mp4", *BASE, "--weights", "w.pth")


def test_nan_in_weights(clips: Path, fails: Fails):
    state = load_base("tinybase:build").state_dict()
    state["2.bias"][1] = float("nan")
    torch.save(state, "nan.pth")
    assert "2.bias" in fails("segment", clips / "ok.mp4", "out.mp4", *BASE, "--weights", "nan.pth")


def test_wrong_number_of_classes(clips: Path, fails: Fails):
    torch.save(load_base("netwarp:espnet").state_dict(), "espnet.pth")
    arguments = ("segment", clips / "ok.mp4", "out.mp4", "--base", "netwarp:espnet", "--weights", "espnet.pth")
    assert "the weights have 12 outputs, not the 5 of --classes" in fails(*arguments, "--classes", 5)
    assert "not the 2 of --classes" in fails(*arguments, "--classes", "road,sky")


def test_nan_in_flow(clips: Path, workplace: Path, fails: Fails):
    flow = np.zeros((48, 64, 2), dtype="<f4")
    header = b"PIEH" + np.array([64, 48], dtype="<i4").tobytes()
    (workplace / "flow").mkdir()
    for number in range(1, 8):
        if number == 5:
            flow[3, 4] = np.nan
        (workplace / "flow" / f"{number:06d}.flo").write_bytes(header + flow.tobytes())
    line = fails("segment", clips / "ok.mp4", "new/out.mp4", *BASE, "--flow", "precomputed:flow")
    assert "NaN" in line or "finite" in line


def test_model_files(clips: Path, workplace: Path, fails: Fails):
    assert "no model file" in fails("segment", clips / "ok.mp4", "out.mp4", "--model", "m.safetensors")
    (workplace / "m.safetensors").write_bytes(b"not one")
    assert "VideoModel.save did not write it" in fails(
        "segment", clips / "ok.mp4", "out.mp4", "--model", "m.safetensors"
    )
    VideoModel(load_base("tinybase:build"), training_free=True).save("m.safetensors")
    line = fails("segment", clips / "ok.mp4", "out.mp4", "--model", "m.safetensors")
    assert "give it as --base" in line, "code that a file names is not run unasked"
    line = fails("segment", clips / "ok.mp4", "out.mp4", "--model", "m.safetensors", "--base", "tinybase:Even")
    assert "does not fit its network" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --base SPEC (any network) or --model FILE"),
        (("--model", "m", "--layers", "0"), "--layers goes with --base"),
        (("--model", "m", "--weights", "w.pth"), "--weights goes with --base"),
        (("--model", "m", "--classes", "3"), "--classes goes with --base"),
        (("--model", "m", "--interpolation", "bicubic"), "--interpolation goes with --base"),
        ((*BASE, "--interpolation", "cubic"), "'cubic'"),
        ((*BASE, "--frame-by-frame", "--layers", "0"), "--layers makes no sense with --frame-by-frame"),
        ((*BASE, "--frame-by-frame", "--side-by-side"), "--side-by-side makes no sense"),
        ((*BASE, "--fps", "10"), "--fps is for images"),
        ((*BASE, "--flow", "dsi"), "did you mean 'dis'"),
        ((*BASE, "--device", "gpu"), "'gpu' is none of auto, cpu, cuda"),
        ((*BASE, "--size", "640"), "write WIDTHxHEIGHT"),
        ((*BASE, "--size", "0x4"), "write WIDTHxHEIGHT"),
        ((*BASE, "--alpha", "1.5"), "'1.5' is not a number from 0 to 1"),
        ((*BASE, "--alpha", "nan"), "'nan' is not a number from 0 to 1"),
        ((*BASE, "--quality", "52"), "from 0 (lossless) to 51"),
        ((*BASE, "--quality", "1.5"), "not a whole number"),
        ((*BASE, "--classes", "0"), "at least 1"),
        ((*BASE, "--classes", "road,,sky"), "neither a number nor names"),
        ((*BASE, "--layers", "0", "0"), "named twice"),
        ((*BASE, "--layers", "output,log_probs"), "the same place"),
        ((*BASE, "--sise", "4x4"), "did you mean '--size'"),
        ((*BASE, "--side"), "'--side-by-side'"),
        ((*BASE, "--masks"), "--masks: expected one argument"),
        ((*BASE, "--masks", "ok.txt"), "is a file, not a folder"),
        ((*BASE, "third.mp4"), "'netwarp segment' takes INPUT and OUTPUT"),
        ((*BASE, "ok.txt"), "put quotes round a glob"),
    ],
)
def test_options_that_make_no_sense(clips: Path, workplace: Path, fails: Fails, arguments: tuple, message: str):
    (workplace / "ok.txt").touch()
    assert message in fails("segment", clips / "ok.mp4", "new/out.mp4", *arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_that_is_not_there(clips: Path, fails: Fails):
    assert "finds no GPU" in fails("segment", clips / "ok.mp4", "out.mp4", *BASE, "--device", "cuda:0")


def test_options_for_video_with_a_folder(clips: Path, fails: Fails):
    assert "name a video, such as masks.mp4" in fails("segment", clips / "ok.mp4", "masks", *BASE, "--side-by-side")
    assert "--masks goes with a video" in fails("segment", clips / "ok.mp4", "masks", *BASE, "--masks", "m")


def test_commands_and_arguments_that_are_missing(clips: Path, fails: Fails):
    assert "did you mean 'segment'" in fails("segmnet", "a", "b")
    assert "OUTPUT is missing" in fails("segment", clips / "ok.mp4")
    assert "INPUT and OUTPUT are missing: write them before the options" in fails(
        "segment", *BASE, "--layers", "0", clips / "ok.mp4", "out.mp4"
    )
    assert fails("layers") == "--base is missing: 'netwarp layers --help' shows what to give"
    assert "one argument too many: 'b' ('netwarp segment' takes INPUT and OUTPUT)" in fails("segment", "a", "c", "b")
    Path("b").touch()
    assert "one argument too many: 'b' (put quotes round a glob" in fails("segment", "a", "c", "b")
    assert "did you mean '--base' or" in fails("layers", "--bsae", "x")
    assert "--masks" not in fails("layers", "--mask", "x"), "an option of another command"


@pytest.mark.parametrize("masks", [False, True])
def test_full_disk(clips: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch, masks: bool):
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if masks:
        monkeypatch.setattr("PIL.Image.Image.save", full)
    else:
        monkeypatch.setattr("netwarp.video.writer.av.open", full)
    output = "new/masks" if masks else "new/out.mp4"
    assert "No space left on device" in fails("segment", clips / "ok.mp4", output, *BASE)


def test_an_error_that_nobody_thought_of(clips: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch):
    def bug(*args: object, **options: object) -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("netwarp.inference.render.overlay", bug)
    line = fails("segment", clips / "ok.mp4", "new/out.mp4", *BASE)
    assert line == "unexpected ZeroDivisionError: division by zero (--debug shows where)"


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str):
    if how == "environment":
        monkeypatch.setenv("NETWARP_DEBUG", "1")
    assert main(["segment", "none.mp4", "out.mp4", *BASE, *(["--debug"] if how == "option" else [])]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("netwarp: error: none.mp4 does not exist")


def test_other_libraries_keep_quiet(clips: Path, fails: Fails):
    # fails() sees to it that neither stream holds anything but the error.
    assert "talks too much" in fails("segment", clips / "ok.mp4", "out.mp4", "--base", "tinybase:talkative")
