"""``netwarp smooth``: what another program saved, steadied and filled."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from small_videos import encode, masks, picture, same

from netwarp import VideoModel, load_base, segment
from netwarp.cli import main
from netwarp.label_sets import voc_colour
from netwarp.video.label_maps import read_mask, write_mask
from netwarp.video.open import open_frames

COLOURS = [(9, 8, 7), (60, 50, 40), (100, 120, 140)]


@pytest.fixture
def video(workplace: Path) -> Path:
    return encode(workplace / "v.mp4", [picture(i) for i in range(6)])


def run(*arguments: object) -> int:
    return main(["smooth", *map(str, arguments)])


def label_maps(count: int = 6) -> list[np.ndarray]:
    """Thirds of the picture that move with it."""
    base = np.repeat([0, 1, 2], [22, 21, 21])
    return [np.tile(np.roll(base, i), (48, 1)).astype(np.uint8) for i in range(count)]


def save(folder: str, labels: dict[str, np.ndarray]) -> None:
    Path(folder).mkdir()
    for name, each in labels.items():
        write_mask(Path(folder) / f"{name}.png", each, COLOURS)


@pytest.mark.parametrize("options", [(), ("--edges", "off", "--lag", 2)])
def test_probabilities_give_what_the_network_itself_gives(video: Path, options: tuple):
    base = load_base("tinybase:build")
    Path("saved").mkdir()
    with open_frames(video) as frames, torch.no_grad():
        for frame in frames:
            model = VideoModel(base, [])
            logits, _ = model.step(torch.from_numpy(frame.image).permute(2, 0, 1)[None])
            np.save(f"saved/{frame.index:04d}.npy", logits[0].softmax(0).numpy())
    assert run(video, "saved", "out", *options) == 0
    settings = {"edges": "off", "lag": 2} if options else {}
    expected = [r.labels for r in segment(video, VideoModel(base, training_free=True), **settings)]
    wrong = [np.mean(ours != theirs) for ours, theirs in zip(masks("out"), expected, strict=True)]
    assert max(wrong) < 1e-3


def test_labels_keep_their_colours_and_a_flicker_goes(video: Path):
    labels = label_maps()
    flicker = [each.copy() for each in labels]
    flicker[3][10:14, 5:9] = 2
    save("saved", {f"{i:06d}": each for i, each in enumerate(flicker)})
    assert run(video, "saved", "out", "--overlay", "o.mp4", "--no-cuts") == 0
    assert PIL.Image.open("out/000003.png").getpalette()[:9] == [c for colour in COLOURS for c in colour]
    assert (masks("out")[3][10:14, 5:9] == 0).all()
    assert (masks("saved")[3][10:14, 5:9] == 2).all()
    with open_frames("o.mp4") as written:
        assert len(list(written)) == 6


@pytest.mark.parametrize("options", [(), ("--offline",), ("--edges", "off")])
def test_of_what_nothing_was_said_nothing_is_said(video: Path, options: tuple):
    labels = label_maps()
    for each in labels:
        each[40:] = 255  # as the own car's bonnet is
    labels[3][:20] = 255
    save("saved", {f"{i:06d}": each for i, each in enumerate(labels)})
    assert run(video, "saved", "out", "--no-cuts", "--flow", "zero", *options) == 0
    for found in masks("out"):
        assert (found[44:] == 255).all()
        assert (found[:36] < 3).all()


def test_gaps_are_filled_along_the_flow_from_one_side_or_both(video: Path):
    labels = label_maps()
    save("saved", {"frame0": labels[0], "frame5": labels[5]})
    for options in ((), ("--offline",)):
        assert run(video, "saved", "out", "--edges", "off", *options) == 0
        found = masks("out")
        assert len(found) == 6
        for number in range(1, 5):
            inner = np.s_[8:-8, 12:-8]  # what came into view is not known
            assert np.mean(found[number][inner] != labels[number][inner]) < 0.02
    assert run(video, "saved", "still", "--edges", "off", "--flow", "zero") == 0
    assert same(masks("still")[:5], [labels[0]] * 5)


def test_doubt_is_where_nothing_was_said(video: Path):
    labels = label_maps()
    save("saved", {"frame0": labels[0], "frame5": labels[5]})
    arguments = (video, "saved", "out", "--edges", "off", "--doubt", "doubt")
    assert run(*arguments) == 0
    one_side = masks("doubt")
    assert len(one_side) == 6
    assert not one_side[0].any()
    assert not one_side[5].any()
    assert one_side[1].mean() < one_side[2].mean() < one_side[4].mean()
    assert one_side[4][:, 12:].mean() < 0.7 * one_side[4][:, :3].mean(), "from the left something came into view"
    assert run(*arguments, "--offline") == 0
    both = np.array(masks("doubt"))
    assert (both <= np.array(one_side) + 1.0).all()
    assert both[4].mean() < one_side[4].mean() / 2
    save("whole", {str(i): each for i, each in enumerate(labels)})
    assert run(video, "whole", "out2", "--doubt", "none") == 0
    assert run(video, "whole", "out3") == 0
    assert not np.array(masks("none")).any()
    assert same(masks("out2"), masks("out3"))


def test_images_are_found_by_their_names_and_255_is_nothing(workplace: Path):
    Path("frames").mkdir()
    for i, name in enumerate("abc"):
        PIL.Image.fromarray(picture(i)).save(f"frames/{name}.png")
    holes = [each.copy() for each in label_maps(3)]
    holes[1][:] = 255
    save("saved", dict(zip("abc", holes, strict=True)) | {"notes": holes[0]})
    assert run("frames", "saved", "out", "--edges", "off", "--flow", "zero", "--no-cuts") == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png", "c.png"]
    assert np.array_equal(read_mask("out/b.png"), holes[0])  # nothing was said, so memory alone speaks


def test_masks_of_0_and_255_are_told_and_mapped(video: Path, capsys: pytest.CaptureFixture[str]):
    mask = np.tile(np.repeat(np.uint8([0, 255]), 32), (48, 1))
    Path("saved").mkdir()
    for i in range(6):
        PIL.Image.fromarray(mask).save(f"saved/{i}.TIF")
    assert run(video, "saved", "out", "--edges", "off", "--flow", "zero") == 0
    assert "50.0 % of the pixels are 255" in capsys.readouterr().err
    assert run(video, "saved", "mapped", "--mask-value", "255=1", "--edges", "off", "--flow", "zero") == 0
    assert "255" not in capsys.readouterr().err
    assert all(np.array_equal(each, mask // 255) for each in masks("mapped"))


def test_gray_maps_get_usual_colours(video: Path):
    Path("saved").mkdir()
    for i, each in enumerate(label_maps()):
        PIL.Image.fromarray(each).save(f"saved/{i}.png")
    assert run(video, "saved", "out", "--classes", "5") == 0
    assert PIL.Image.open("out/000000.png").getpalette()[:6] == [*voc_colour(0), *voc_colour(1)]


@pytest.mark.parametrize("declared", [5, 7])
def test_a_length_that_is_wrong_by_one(workplace: Path, declared: int, monkeypatch, capsys):
    other = [255 - np.roll(picture(i)[::-1], 20, 1) // 2 for i in range(3)]
    encode(workplace / "v.mp4", [picture(i) // 3 for i in range(3)] + other)
    monkeypatch.setattr("netwarp.video.decoding.declared_length", lambda *_: declared)
    labels = label_maps()
    labels[3:] = [2 - each for each in labels[3:]]
    save("saved", {str(i): each for i, each in enumerate(labels)})
    assert run("v.mp4", "saved", "out", "--edges", "off") == 0
    assert len(masks("out")) == 6
    assert np.array_equal(masks("out")[3], labels[3]), "the cut is found, and starts anew"
    save("less", {str(i): each for i, each in enumerate(labels[:5])})
    assert run("v.mp4", "less", "filled", "--edges", "off") == 0
    assert len(masks("filled")) == 6
    save("more", {str(i): each for i, each in enumerate([*labels, labels[0]])})
    capsys.readouterr()
    assert run("v.mp4", "more", "out") == (2 if declared == 5 else 0)
    assert "frame 6" in capsys.readouterr().err


def test_a_frame_that_starts_anew_needs_an_answer(workplace: Path, capsys):
    Path("frames").mkdir()
    for i in range(3):
        PIL.Image.fromarray(picture(i) if i < 2 else picture(i)[:32, :40]).save(f"frames/{i}.png")
    save("saved", {"0": label_maps()[0]})
    assert run("frames", "saved", "out") == 2
    *_, warning, error = capsys.readouterr().err.splitlines()
    assert "of 2 frames" in warning
    assert "saved has nothing of frame 2" in error
    save("both", {"0": label_maps()[0], "2": label_maps()[2][:32, :40]})
    assert run("frames", "both", "out2") == 0
    assert [each.shape for each in masks("out2")] == [(48, 64), (48, 64), (32, 40)]


def test_a_video_that_breaks_off_is_finished_and_reported(clips: Path, workplace: Path, capsys):
    with open_frames(clips / "truncated.mp4") as frames:
        save("saved", {"0": np.zeros(frames.size, np.uint8)})
    assert run(clips / "truncated.mp4", "saved", "out", "--flow", "zero") == 2
    assert masks("out")
    assert "what could be read is in out" in capsys.readouterr().err


MISTAKES = {
    "v.mp4 saved out --areas saved/0.png": ["saved/0.png"],
    "v.mp4 saved out --overlay v.mp4": ["v.mp4"],
    "v.mp4 saved out --doubt saved": ["saved"],
    "v.mp4 saved out --doubt ./out": ["out", "--doubt"],
    "v.mp4 saved out --rle v.mp4": ["v.mp4"],
    "v.mp4 nowhere out": ["nowhere"],
    "v.mp4 empty out": ["empty", "000012.png"],
    "v.mp4 saved saved": ["saved"],
    "v.mp4 late out": ["late", "frame 2", "from 0"],
    "v.mp4 twice out": ["1.png", "01.png"],
    "v.mp4 more out": ["frame 7", "6 frames"],
    "v.mp4 small out": ["32×24", "64×48"],
    "v.mp4 saved out --classes 2": ["--classes", "3"],
    "v.mp4 logits out": ["0.npy"],
    "v.mp4 saved out --lag 2 --offline": ["--lag"],
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes_are_named(video: Path, arguments: str, capsys: pytest.CaptureFixture[str]):
    labels = label_maps()
    folders = {
        "empty": {},
        "saved": {str(i): each for i, each in enumerate(labels)},
        "late": {"2": labels[2]},
        "twice": {"0": labels[0], "1": labels[1], "01": labels[1]},
        "more": {"0": labels[0], "7": labels[1]},
        "small": {"0": labels[0][:24, :32]},
    }
    for name, maps in folders.items():
        save(name, maps)
    Path("logits").mkdir()
    np.save("logits/0.npy", np.full((3, 48, 64), 2.0, np.float32))
    assert run(*arguments.split()) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert [value for value in MISTAKES[arguments] if value not in line] == [], line
    assert not Path("out").exists()
