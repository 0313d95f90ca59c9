"""What a user can get wrong: one line that names it, exit 2 (both in ``fails``), nothing left behind."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from small_videos import picture
from tinybase import build

from netwarp import VideoModel, load_base
from netwarp.cli import main

BASE = ("--base", "tinybase:build")
Fails = Callable[..., str]


@pytest.fixture(scope="module")
def files(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Much that is not what it seems, and weights and models beside it; never written to."""
    made = tmp_path_factory.mktemp("odd")
    for folder in ("empty", "notes", "flow", "taken.mp4"):
        (made / folder).mkdir()
    for file in ("notes/read.txt", "file", "third"):
        (made / file).touch()
    PIL.Image.fromarray(picture(0, 40, 51)).save(made / "odd.png")
    (made / "bad.pth").write_bytes(b"no pickle")
    torch.save({"encoder.weight": torch.zeros(3)}, made / "other.pth")
    state = build().state_dict()
    state["2.bias"][1] = float("nan")
    torch.save(state, made / "nan.pth")
    torch.save(load_base("netwarp:espnet").state_dict(), made / "espnet.pth")
    VideoModel(build(), training_free=True).save(made / "m.safetensors")
    flow = np.zeros((48, 64, 2), dtype="<f4")
    for number in range(1, 8):
        flow[3, 4] = np.nan if number == 5 else 0
        header = b"PIEH" + np.array([64, 48], dtype="<i4").tobytes()
        (made / "flow" / f"{number:06d}.flo").write_bytes(header + flow.tobytes())
    return made


@pytest.fixture
def odd(files: Path, clips: Path, images: Path, workplace: Path) -> Path:
    """A workplace with all of that, in which ``ok.mp4`` and ``images`` are as they should be."""
    shutil.copytree(files, workplace, dirs_exist_ok=True)
    for video in clips.iterdir():
        Path(video.name).symlink_to(video)
    Path("link.mp4").symlink_to("ok.mp4")
    return workplace


OUT = "ok.mp4 new/out.mp4"
WITH = "--base tinybase:build"
ESPNET = "--base netwarp:espnet --weights espnet.pth"
MISTAKES = {
    # preprocessing, and networks out of files
    f"{OUT} {WITH} --mean 0.4,0.4": ["--mean", "0.4,0.4", "three numbers"],
    f"{OUT} {WITH} --std 0.4,0,0.4": ["std", "positive"],
    f"{OUT} {WITH} --order gbr": ["--order", "rgb", "bgr"],
    f"{OUT} --model m.safetensors --mean 0,0,0": ["--mean", "--base"],
    f"{OUT} --base onnx:bad.pth": ["bad.pth", "no ONNX model"],
    f"{OUT} {WITH} --engine openvino --layers 1": ["--engine", "looks at 1"],
    f"{OUT} {WITH} --engine openvino --compile": ["--engine", "--compile"],
    f"{OUT} {WITH} --engine openvino --device cuda": ["--device cuda", "CPU"],
    f"{OUT} {WITH} --engine onnxruntime --dtype bfloat16": ["onnxruntime", "bfloat16"],
    # input
    f"okk.mp4 new/out.mp4 {WITH}": ["okk.mp4", "did you mean"],
    f"text.mp4 new/out.mp4 {WITH}": ["text.mp4", "text"],
    f"zero.mp4 new/out.mp4 {WITH}": ["zero.mp4", "0 bytes"],
    f"unfinished.mp4 new/out.mp4 {WITH}": ["unfinished.mp4", "moov"],
    f"nowhere/ok.mp4 new/out.mp4 {WITH}": ["nowhere/ok.mp4", "folder"],
    f"*.webm new/out.mp4 {WITH}": ["*.webm"],
    f"empty out.mp4 {WITH}": ["empty"],
    f"notes out.mp4 {WITH}": ["notes", "images"],
    f"93 out.mp4 {WITH}": ["camera 93"],
    f"http://127.0.0.1:9/live out.mp4 {WITH}": ["http://127.0.0.1:9/live"],
    # output
    f"images out.avi {WITH}": ["out.avi", ".mp4, .m4v, .mov, .mkv"],
    f"images file/out.mp4 {WITH}": ["file is a file"],
    f"images file {WITH}": ["file is a file"],
    f"images images {WITH}": ["images holds the input"],
    f"images new/out.mp4 --masks images {WITH}": ["images holds the input"],
    f"ok.mp4 ok.mp4 {WITH}": ["ok.mp4 is the input"],
    f"ok.mp4 link.mp4 {WITH}": ["link.mp4 is the input"],
    f"ok.mp4 masks {WITH} --side-by-side": ["--side-by-side", "masks.mp4"],
    f"ok.mp4 masks {WITH} --masks m": ["--masks"],
    # the network
    OUT: ["--base SPEC", "--model FILE"],
    f"{OUT} --base tinybase:biuld": ["'build'"],
    f"{OUT} --base tinybase:broken": ["pretrained.pth"],
    f"{OUT} --base tinybase:many": ["300"],
    f"{OUT} --base tinybase:talkative": ["talks too much"],  # and nothing of what it printed
    f"{OUT} --base netwarp:espnet --layers encoder.level2_1": ["'encoder.level2_0'"],
    "odd.png out.mp4 --base tinybase:Fixed": ["51×40", "--size WIDTHxHEIGHT"],
    f"{OUT} {WITH} --weights other.pth": ["other.pth", "0.weight", "encoder.weight"],
    # Python's "classes=" is "--classes" here, but not in the name of a folder.
    f"{OUT} {WITH} --weights runs/classes=3/w.pth": ["runs/classes=3/w.pth"],
    f"{OUT} {WITH} --weights nan.pth": ["nan.pth", "2.bias"],
    f"{OUT} {ESPNET} --classes 5": ["12 outputs", "5 of --classes"],
    f"{OUT} {WITH} --flow precomputed:flow": ["flow/000005.flo"],
    f"{OUT} --model none.safetensors": ["none.safetensors"],
    f"{OUT} --model m.safetensors": ["--base"],  # code that a file names is not run unasked
    f"{OUT} --model m.safetensors --base tinybase:Even": ["is of another network"],
    # options
    f"{OUT} --model m --layers 0": ["--layers", "--base"],
    f"{OUT} --model m --weights w.pth": ["--weights", "--base"],
    f"{OUT} --model m --classes 3": ["--classes", "--base"],
    f"{OUT} --model m --interpolation bicubic": ["--interpolation", "--base"],
    f"{OUT} {WITH} --interpolation cubic": ["--interpolation", "'cubic'"],
    f"{OUT} {WITH} --frame-by-frame --layers 0": ["--layers", "--frame-by-frame"],
    f"{OUT} {WITH} --frame-by-frame --side-by-side": ["--side-by-side", "--frame-by-frame"],
    f"{OUT} {WITH} --fps 10": ["--fps"],
    f"{OUT} {WITH} --device gpu": ["'gpu'"],
    f"{OUT} {WITH} --size 640": ["'640'"],
    f"{OUT} {WITH} --alpha 1.5": ["'1.5'"],
    f"{OUT} {WITH} --range 0,1": ["--range", "classes"],
    f"{OUT} {WITH} --clean": ["--clean", "--masks"],
    f"{OUT} {WITH} --every-frame": ["--every-frame", "ok.mp4"],
    f"ok.mp4 new/masks {WITH} --alpha 0.5": ["--alpha", "new/masks"],
    f"ok.mp4 new/masks {WITH} --quality 0": ["--quality", "new/masks"],
    f"{OUT} {WITH} --edges-window 4": ["'4'"],
    f"{OUT} {WITH} --edges-sigma 0": ["'0'"],
    f"{OUT} {WITH} --edges off --edges-sigma 0.1": ["--edges-sigma", "--edges off"],
    f"{OUT} {WITH} --lag 9": ["9", "of 8"],
    f"{OUT} {WITH} --lag 2 --offline": ["--lag", "--offline"],
    f"{OUT} {WITH} --quality 52": ["'52'"],
    f"{OUT} {WITH} --classes 0": ["not 0"],
    f"{OUT} {WITH} --classes road,,sky": ["'road,,sky'"],
    f"{OUT} {WITH} --sise 4x4": ["'--sise'", "'--size'"],
    f"{OUT} {WITH} --colour red": ["'--colour'", "'--palette'"],
    f"{OUT} {WITH} --masks": ["--masks"],
    f"{OUT} {WITH} --masks file": ["file is a file"],
    f"{OUT} {WITH} third.mp4": ["'third.mp4'", "INPUT and OUTPUT"],
    f"{OUT} {WITH} third": ["'third'", "glob"],
    "ok.mp4": ["OUTPUT"],
    f"{WITH} --layers 0 {OUT}": ["INPUT and OUTPUT", "before the options"],
}


@pytest.mark.parametrize("arguments", MISTAKES, ids=str)
def test_mistakes_are_named(odd: Path, fails: Fails, arguments: str):
    line = fails("segment", *arguments.split())
    assert [value for value in MISTAKES[arguments] if value not in line] == [], line
    assert (odd / "ok.mp4").is_symlink()


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("segmnet a b", "'segment'"),
        ("segment in --base= ", "OUTPUT"),
        ("layers", "--base"),
        ("layers --bsae x", "'--base'"),
        ("layers --base tinybase:Fixed --size 51x40", "51×40"),
        ("smooth in masks s3://bucket/out", "s3://bucket/out"),
        ("smooth in masks -", "'-'"),
        ("smooth in masks out --overlay s3://bucket/out.mp4", "s3://bucket/out.mp4"),
        ("live 0 --record s3://bucket/out.mp4", "s3://bucket/out.mp4"),
        ("export model.safetensors s3://bucket/out.onnx", "s3://bucket/out.onnx is not"),
    ],
)
def test_mistakes_of_other_commands(fails: Fails, arguments: str, value: str):
    assert value in fails(*arguments.split())


def test_help_wraps_sentences_once(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["segment", "--help"]) == 0
    end = capsys.readouterr().out.rpartition("\n\n")[2].splitlines()
    assert end[0].startswith("INPUT is")
    assert max(map(len, end)) <= 80
    assert [line for line in end[:-1] if len(line) < 60 and not line.endswith(".")] == []


def test_an_option_of_another_command_is_not_advised(fails: Fails):
    assert "--masks" not in fails("layers", "--mask", "x")


def test_an_output_that_is_an_empty_text(images: Path, fails: Fails):
    assert "OUTPUT" in fails("segment", "images", "", *BASE)


def test_what_the_mistakes_advise_works(odd: Path):
    """An existing folder is one for label maps whatever its name."""
    assert main(["segment", "images", "taken.mp4", *BASE]) == 0
    assert len(list(Path("taken.mp4").iterdir())) == 4
    assert main(["segment", "odd.png", "out.mp4", "--base", "tinybase:Even", "--size", "52x40"]) == 0


def test_output_without_permission(clips: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert "no permission" in fails("segment", clips / "ok.mp4", "out.mp4", *BASE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_that_is_not_there(clips: Path, fails: Fails):
    assert "cuda" in fails("segment", clips / "ok.mp4", "out.mp4", *BASE, "--device", "cuda:0")


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

    monkeypatch.setattr("netwarp.inference.drawing.overlay", bug)
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
