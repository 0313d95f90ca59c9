import io
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from pycocotools import mask as coco
from small_videos import decode, encode, expected, masks, picture, same

from netwarp import Preprocess, VideoModel, load_base, segment
from netwarp.cli import main
from netwarp.cli.models import warn_of_random_weights
from netwarp.label_sets import CAMVID
from netwarp.ops import Edges
from netwarp.video.label_maps import read_mask
from netwarp.video.open import open_frames
from netwarp.video.source import Frame, FrameSource

BASE = ("--base", "tinybase:build")
CAMVID_DATA = Path(__file__).parents[3] / "shared" / "data"


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_video_masks_and_summary(clips: Path, capsys: pytest.CaptureFixture[str]):
    assert run("segment", clips / "ok.mp4", "new/out.mp4", "--masks", "new/masks", *BASE) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert len(printed.out.splitlines()) == 1
    assert printed.out.startswith("8 frames in ")
    assert printed.out.endswith(": new/out.mp4 and new/masks\n")
    with open_frames("new/out.mp4") as written:
        assert written.fps == pytest.approx(12)
        assert written.size == (48, 64)
        assert [frame.time for frame in written] == pytest.approx([i / 12 for i in range(8)], abs=1e-3)
    model = VideoModel(load_base("tinybase:build"), training_free=True)
    assert same(masks("new/masks"), expected(clips / "ok.mp4", model))
    assert not list(Path("new").glob(".*"))


def test_folder_of_masks_named_as_the_images(images: Path):
    assert run("segment", "images", "labels", *BASE) == 0
    assert sorted(path.name for path in Path("labels").iterdir()) == [f"shot{i}.png" for i in range(4)]
    assert PIL.Image.open("labels/shot0.png").mode == "P"


@pytest.mark.parametrize("name", ["out.mp4", "out.MP4", "out.m4v", "out.mov", "out.mkv"])
def test_containers(images: Path, name: str):
    assert run("segment", "images/*.png", name, *BASE, "--fps", 5) == 0
    with open_frames(name) as written:
        assert written.fps == pytest.approx(5)
        assert len(list(written)) == 4


@pytest.mark.parametrize(
    ("options", "layers", "settings"),
    [
        (("--frame-by-frame",), [], {}),
        (("--layers", "1"), ["1"], {"training_free": True}),
        (("--layers", "0,2"), ["0", "2"], {"training_free": True}),
        (("--layers", "0", "output"), ["0", "output"], {"training_free": True}),
        (("--flow", "zero"), ["log_probs"], {"training_free": True, "flow": "zero"}),
        (("--interpolation", "bicubic"), ["log_probs"], {"training_free": True, "interpolation": "bicubic"}),
    ],
)
def test_options_mean_what_they_mean_in_python(clips: Path, options: tuple, layers: list[str], settings: dict):
    assert run("segment", clips / "ok.mp4", "masks", *BASE, *options) == 0
    model = VideoModel(load_base("tinybase:build"), layers, **settings)
    assert same(masks("masks"), expected(clips / "ok.mp4", model))


def test_preprocessing_that_replaces_parts_of_the_networks(clips: Path):
    given = ("--mean", "0.2,0.3,0.4", "--scale", "2", "--order", "bgr")
    assert run("segment", clips / "ok.mp4", "masks", *BASE, *given) == 0
    changed = Preprocess((0.2, 0.3, 0.4), scale=2.0, order="bgr")
    model = VideoModel(load_base("tinybase:build"), training_free=True, preprocess=changed)
    assert same(masks("masks"), expected(clips / "ok.mp4", model))


@pytest.mark.parametrize("how", [("--engine", "openvino"), ("--dtype", "bfloat16"), ("--compile",)])
def test_what_runs_the_network(clips: Path, monkeypatch: pytest.MonkeyPatch, how: tuple):
    monkeypatch.setenv("NETWARP_CACHE", "cache")
    assert run("segment", clips / "ok.mp4", "masks", *BASE, *how) == 0
    found, reference = masks("masks"), expected(clips / "ok.mp4", VideoModel(load_base(BASE[1]), training_free=True))
    assert np.mean(np.array(found) == np.array(reference)) > (0.98 if "--dtype" in how else 0.999)
    assert Path("cache").is_dir() == ("--engine" in how)


def test_keyframes(clips: Path, capsys: pytest.CaptureFixture[str]):
    assert run("segment", clips / "ok.mp4", "third", *BASE, "--keyframes", "3", "--no-cuts") == 0
    assert "the network on 3 (38%)" in capsys.readouterr().out
    model = VideoModel(load_base("tinybase:build"), training_free=True)
    results = segment(clips / "ok.mp4", model, keyframes=3, detect_cuts=False)
    assert same(masks("third"), [result.labels for result in results])
    # Without memory and without motion: each third frame's labels stay.
    still = ("--frame-by-frame", "--keyframes", "3", "--flow", "zero", "--no-cuts")
    assert run("segment", clips / "ok.mp4", "still", *BASE, *still) == 0
    found = masks("still")
    assert same(found[1:3], [found[0]] * 2)
    assert not same(found[3:4], found[:1])


def test_edges_and_later_frames(clips: Path):
    for given, settings in (
        (("--edges", "off", "--lag", 2), {"edges": "off", "lag": 2}),
        (("--offline", "--edges-window", 3, "--edges-sigma", 0.2), {"edges": Edges(3, 0.2), "offline": True}),
    ):
        assert run("segment", clips / "ok.mp4", "masks", *BASE, "--no-cuts", *given) == 0
        model = VideoModel(load_base("tinybase:build"), training_free=True)
        results = segment(clips / "ok.mp4", model, detect_cuts=False, **settings)
        assert same(masks("masks"), [result.labels for result in results])


def test_weights_and_class_names(clips: Path):
    state = load_base("tinybase:build").state_dict()
    state = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    state["2.bias"][2] = 1.0
    torch.save(state, "always2.pth")
    names = ",".join(CAMVID.names[:3])
    assert run("segment", clips / "ok.mp4", "m", *BASE, "--weights", "always2.pth", "--classes", names) == 0
    assert all((mask == 2).all() for mask in masks("m"))


def test_saved_model(clips: Path):
    model = VideoModel(load_base("tinybase:build"), ["1"], flow="zero", training_free=True)
    model.save("m.safetensors")
    reference = expected(clips / "ok.mp4", model)
    assert run("segment", clips / "ok.mp4", "m1", "--model", "m.safetensors", *BASE) == 0
    assert same(masks("m1"), reference)
    assert run("segment", clips / "ok.mp4", "m2", "--model", "m.safetensors", *BASE, "--frame-by-frame") == 0
    assert run("segment", clips / "ok.mp4", "m3", *BASE, "--frame-by-frame") == 0
    assert same(masks("m2"), masks("m3"))
    assert not same(masks("m2"), reference)
    assert run("segment", clips / "ok.mp4", "m4", "--model", "m.safetensors", *BASE, "--flow", "dis") == 0
    assert not same(masks("m4"), reference)


def test_saved_model_that_knows_its_base(clips: Path):
    VideoModel(load_base("netwarp:espnet"), training_free=True).save("espnet.safetensors")
    assert run("segment", clips / "ok.mp4", "out.mp4", "--model", "espnet.safetensors", "--size", "32x24") == 0
    assert len(decode(Path("out.mp4"))) == 8


@pytest.mark.parametrize(("size", "few"), [("10x10", True), ("64x48", False)])
def test_a_size_that_leaves_nothing_of_a_frame_is_said(clips: Path, size: str, few: bool, caplog):
    assert run("segment", clips / "ok.mp4", "m", "--base", "netwarp:espnet", "--size", size, "--duration", "0.1") == 0
    assert (f"--size {size} leaves 2×2 places" in caplog.text) == few


def test_random_weights_are_said_to_be_random(clips: Path, capsys: pytest.CaptureFixture[str]):
    assert run("segment", clips / "ok.mp4", "out.mp4", "--base", "netwarp:espnet") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("netwarp: warning: netwarp:espnet has random weights")


@pytest.mark.parametrize(
    ("base", "weights", "advice"),
    [
        ("netwarp:pspnet101", None, "'netwarp convert'"),
        ("netwarp:streetnet", None, "'netwarp train'"),
        ("torchvision:lraspp_mobilenet_v3_large", None, "--weights default"),
        ("smp:Unet/resnet18", None, "--weights default"),
        *(
            (base, weights, None)
            for base, weights in (("netwarp:espnet", "w.pth"), ("hf:folder", None), ("my:net", None))
        ),
    ],
)
def test_where_weights_are_to_be_had(base: str, weights: str | None, advice: str | None, caplog):
    warn_of_random_weights(base, weights)
    assert (base in caplog.text and advice in caplog.text) if advice else caplog.text == ""


@pytest.mark.parametrize("views", [(), ("--window", 24, "--scales", "0.5", "--flip")], ids=str)
def test_side_by_side(clips: Path, views: tuple):
    given = (*BASE, "--quality", 1, *views)
    assert run("segment", clips / "ok.mp4", "both.mp4", "--side-by-side", *given) == 0
    assert run("segment", clips / "ok.mp4", "left.mp4", "--frame-by-frame", *given) == 0
    assert run("segment", clips / "ok.mp4", "right.mp4", *given) == 0
    both, left, right = (decode(Path(f"{name}.mp4"))[-1].astype(int) for name in ("both", "left", "right"))
    assert both.shape == (48, 64 + 2 + 64, 3)
    below = slice(24, None)  # the captions lie above
    assert np.abs(both[below, :62] - left[below, :62]).mean() < 4
    assert np.abs(both[below, 68:] - right[below, 2:]).mean() < 4
    assert views or np.abs(left - right).mean() > 4


@pytest.mark.parametrize("views", [(), ("--window", 24)], ids=str)
def test_scene_cuts_are_said_in_a_line(capsys: pytest.CaptureFixture[str], views: tuple):
    rng = np.random.default_rng(0)
    other = np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    encode(Path("cut.mp4"), [picture(i) for i in range(4)] + [other] * 4)
    assert run("segment", "cut.mp4", "out.mp4", *BASE, *views) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert "frame 4: scene cut at 0.33 s" in said
    assert "--no-cuts" in said
    assert run("segment", "cut.mp4", "out.mp4", *BASE, *views, "--no-cuts") == 0
    assert capsys.readouterr().err == ""


def test_frames_of_different_sizes(images: Path, capsys: pytest.CaptureFixture[str]):
    PIL.Image.fromarray(picture(4, 30, 60)).save(images / "shot4.png")
    assert run("segment", "images", "out.mp4", "--masks", "masks", *BASE) == 0
    assert [mask.shape for mask in masks("masks")] == [(48, 64)] * 4 + [(30, 60)]
    assert len(decode(Path("out.mp4"))) == 5
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "netwarp: frame 4: the size changes to 60×30: a new state starts"
    assert lines[1].startswith("netwarp: warning: frame 4 is 60×30, the first was 64×48")
    assert len(lines) == 2


def test_truncated_video_is_finished_and_reported(clips: Path, capsys: pytest.CaptureFixture[str]):
    assert run("segment", clips / "truncated.mp4", "out.mp4", "--masks", "masks", *BASE) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("netwarp: error: truncated.mp4 is cut off after frame ")
    count = len(decode(Path("out.mp4")))
    assert 0 < count < 30
    assert f"{30 - count} frames were lost; what could be read is in out.mp4 and masks" in printed.err
    assert len(masks("masks")) == count


def test_damaged_image_ends_the_video_before_it(images: Path, capsys: pytest.CaptureFixture[str]):
    (images / "shot2.png").write_bytes(b"no picture")
    assert run("segment", "images", "out.mp4", *BASE) == 2
    error = capsys.readouterr().err
    assert "shot2.png is not an image" in error
    assert "reading ended after frame 2 of 4; what could be read is in out.mp4" in error
    assert len(decode(Path("out.mp4"))) == 2


def test_an_existing_result_is_replaced_only_by_a_whole_one(clips: Path, monkeypatch: pytest.MonkeyPatch):
    Path("out.mp4").write_bytes(b"the old one")

    def bug(*args: object, **options: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("netwarp.inference.drawing.overlay", bug)
        assert run("segment", clips / "ok.mp4", "out.mp4", *BASE) == 2
    assert Path("out.mp4").read_bytes() == b"the old one"
    assert run("segment", clips / "ok.mp4", "out.mp4", *BASE) == 0
    assert len(decode(Path("out.mp4"))) == 8


def frames_in(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_several_inputs_each_get_their_own_place(clips: Path, images: Path, capsys: pytest.CaptureFixture[str]):
    encode(Path("b.c.mp4"), [picture(i) for i in range(3)])
    assert run("segment", clips / "ok.mp4", "b.c.mp4", "images", "out.d", *BASE) == 0
    counts = {name: len(frames_in(f"out.d/{name}")) for name in frames_in("out.d")}
    assert counts == {"ok": 8, "b.c": 3, "images": 4}
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run("segment", clips / "ok.mp4", "b.c.mp4", "videos/{name}.mkv", *BASE, "--masks", "m") == 0
    assert frames_in("videos") == ["b.c.mkv", "ok.mkv"]
    assert frames_in("m") == ["b.c", "ok"]


def test_images_that_a_shell_spells_out_are_one_video(images: Path):
    assert run("segment", *sorted(images.iterdir()), "out.mp4", *BASE) == 0
    assert len(decode(Path("out.mp4"))) == 4


def test_of_several_inputs_those_that_can_be_read_are_done(clips: Path, capsys: pytest.CaptureFixture[str]):
    assert run("segment", "none.mp4", clips / "text.mp4", clips / "ok.mp4", "out", *BASE) == 2
    assert frames_in("out") == ["ok"]
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith("netwarp: error: 2 of 3 inputs")
    assert "none.mp4" in errors[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a/x.mp4", "b/x.mkv", "out"), "x"),
        (("a.mp4", "b.mp4", "out.mp4"), "{name}"),
        (("a.mp4", "-"), "'-'"),
        (("a.mp4", "s3://bucket/out.mp4"), "s3://bucket/out.mp4"),
        (("a.mp4", "out.mp4", "--masks", "gs://bucket/m"), "gs://bucket/m"),
        (("a.mp4", "out.mp4", "--start", "soon"), "soon"),
        (("a.mp4", "out.mp4", "--duration", "0"), "duration"),
    ],
)
def test_places_and_parts_that_make_no_sense_are_refused(
    arguments: tuple[str, ...], said: str, images: Path, capsys: pytest.CaptureFixture[str]
):
    encode(Path("a.mp4"), [picture(0)])
    assert run("segment", *arguments, *BASE) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error) < 300
    assert frames_in(".") == ["a.mp4", "images"]


def test_a_part_of_a_video(clips: Path):
    assert run("segment", clips / "ok.mp4", "whole", *BASE, "--frame-by-frame") == 0
    assert (
        run("segment", clips / "ok.mp4", "part", *BASE, "--frame-by-frame", "--start", "0:0.25", "--duration", 0.25)
        == 0
    )
    assert same(masks("part"), masks("whole")[3:6])


class Camera(FrameSource):
    """Goes on until somebody presses Ctrl-C."""

    description, live, fps, size = "camera 0", True, 10.0, (48, 64)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(5):
            yield Frame(index, picture(index), index / 10)
        raise KeyboardInterrupt


def test_ctrl_c_ends_a_camera(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("netwarp.video.live.open_camera", lambda index: Camera())
    assert run("segment", 0, "out.mp4", *BASE) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    count = len(decode(Path("out.mp4")))
    said = rf"{count} frames? of camera 0, {5 - count} left out, \d+\.\d\d s behind the camera: out\.mp4\n"
    assert re.fullmatch(said, printed.out)


def test_ctrl_c_leaves_the_numbers_of_a_cameras_frames(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netwarp.video.live.open_camera", lambda index: Camera())
    Path("a.csv").write_text("an earlier table")
    assert run("segment", 0, "m", *BASE, "--areas", "a.csv", "--every-frame") == 0
    assert len(Path("a.csv").read_text().splitlines()) == 1 + len(masks("m")) > 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_bar_on_a_terminal_only(images: Path, monkeypatch: pytest.MonkeyPatch):
    PIL.Image.fromarray(picture(4, 30, 60)).save(images / "shot4.png")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run("segment", "images", "labels", *BASE) == 0
    text = terminal.getvalue()
    assert "5/5" in text
    # A line of the log stands alone, not behind what is left of a bar.
    assert "\rnetwarp: frame 4: the size changes to 60×30: a new state starts\n" in text


def test_real_street():
    weights = CAMVID_DATA / "espnet" / "espnet_p_2_q_8_camvid.pth"
    if not weights.exists():
        pytest.skip("the real data does not lie beside the checkout (../shared/data)")
    frames = CAMVID_DATA / "camvid" / "val" / "0016E5_079[67]*.jpg"
    code = run("segment", frames, "out.mp4", "--base", "netwarp:espnet", "--weights", weights, "--masks", "m")
    assert code == 0
    labels = masks("m")
    assert len(labels) == len(decode(Path("out.mp4"))) > 5
    truth = [read_mask(CAMVID_DATA / "camvid" / "valannot" / path.name) for path in sorted(Path("m").glob("*.png"))]
    right = [(mask == true)[true != 11].mean() for mask, true in zip(labels, truth, strict=True)]
    assert min(right) > 0.85


def test_confidence_as_gray_files(clips: Path, workplace: Path):
    arguments = ["segment", str(clips / "ok.mp4"), "maps", "--base", "tinybase:build", "--frame-by-frame"]
    assert main([*arguments, "--confidence", "sure"]) == 0
    names = sorted(path.name for path in Path("maps").iterdir())
    assert names == sorted(path.name for path in Path("sure").iterdir())
    with PIL.Image.open(Path("sure") / names[0]) as picture:
        assert picture.mode == "L"
        assert np.array(picture).min() >= 255 // 3
    assert main([*arguments, "--confidence", "maps"]) == 2


def test_numbers_about_labels(clips: Path, images: Path):
    numbers = ("--areas", "n/a.csv", "--rle", "n/r.json")
    assert run("segment", clips / "ok.mp4", "m", *BASE, "--classes", "road,sky,car", *numbers) == 0
    found = masks("m")
    rows = [line.split(",") for line in Path("n/a.csv").read_text().splitlines()]
    assert rows[0] == ["frame", "time", *(f"{n} {w}" for n in ("road", "sky", "car") for w in ("pixels", "share"))]
    for index, labels in enumerate(found):
        assert [int(cell) for cell in rows[index + 1][2::2]] == np.bincount(labels.ravel(), minlength=3).tolist()
        assert float(rows[index + 1][1]) == pytest.approx(index / 12, abs=1e-3)
    results = json.loads(Path("n/r.json").read_text())
    sizes = {(each["image_id"], each["category_id"]): int(coco.area(each["segmentation"])) for each in results}
    assert sizes == {
        (i, c): n for i, labels in enumerate(found) for c, n in enumerate(np.bincount(labels.ravel())) if n
    }
    # Each input its own; and all that is wrong is said before anything is made.
    assert run("segment", clips / "ok.mp4", "images", "all", *BASE, "--areas", "n/{name}.csv") == 0
    assert frames_in("n") == ["a.csv", "images.csv", "ok.csv", "r.json"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("v.mp4 out --areas v.mp4", "v.mp4 is the input"),
        ("v.mp4 out --areas x.csv --rle ./x.csv", "--rle"),
        ("v.mp4 out --rle images", "images is a folder"),
        ("images out --areas images/shot0.png", "images/shot0.png"),
        ("v.mp4 images out --areas a.csv", "{name}"),
        ("v.mp4 out --areas new/a.csv --task regression", "--areas"),
        ("v.mp4 out --areas=", "AREAS"),
    ],
)
def test_numbers_are_refused_where_they_cannot_be(arguments: str, said: str, images: Path, fails: Callable[..., str]):
    encode(Path("v.mp4"), [picture(0)])
    assert said in fails("segment", *arguments.split(), *BASE)


def test_an_object_against_the_rest_in_numbers(clips: Path):
    base = ("--base", "tinybase:one", "--task", "binary")
    assert run("segment", clips / "ok.mp4", "m", *base, "--areas", "a.csv", "--rle", "r.json") == 0
    assert Path("a.csv").read_text().startswith("frame,time,background pixels,background share,object pixels,")
    counts = [int((labels == 1).sum()) for labels in masks("m")]
    found = json.loads(Path("r.json").read_text())
    assert {each["category_id"] for each in found} == {1}
    assert [int(coco.area(each["segmentation"])) for each in found] == [count for count in counts if count]
