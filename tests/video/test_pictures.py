"""Pictures that are more, or less, than a file each: stacks, animations, dead links, and frames in memory."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from clips import encode, picture, set_display_matrix

from netwarp.errors import InputError
from netwarp.video import rgb
from netwarp.video.open import open_frames

PICTURES = [picture(index) for index in range(4)]


def saved(path: Path, **more: object) -> Path:
    first, *others = map(PIL.Image.fromarray, PICTURES)
    first.save(path, save_all=True, append_images=others, **more)
    return path


@pytest.mark.parametrize(
    ("name", "more", "times"),
    [
        ("stack.tif", {}, [0, 0.04, 0.08, 0.12]),
        ("moving.webp", {"duration": [100, 200, 50, 100], "lossless": True}, [0, 0.1, 0.3, 0.35]),
        ("moving.png", {"duration": [100, 200, 50, 100]}, [0, 0.1, 0.3, 0.35]),
        ("moving.PNG", {"duration": 100, "default_image": True}, [0, 0.1, 0.2]),
        ("moving.avif", {"duration": 100, "quality": 100, "subsampling": "4:4:4"}, [0, 0.1, 0.2, 0.3]),
    ],
)
def test_files_of_several_pictures_are_videos(tmp_path: Path, name: str, more: dict, times: list[float]) -> None:
    with open_frames(saved(tmp_path / name, **more)) as source:
        assert (source.length, source.size) == (len(times), (96, 128))
        frames = list(source)
    expected = PICTURES[len(PICTURES) - len(times) :]  # a default image is for viewers that do not move
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-6)
    assert {frame.name for frame in frames} == {None}
    for frame, image in zip(frames, expected, strict=True):
        assert np.abs(frame.image.astype(int) - image).max() <= (8 if name.endswith("avif") else 0)


def test_a_stacks_rate_is_what_is_said(tmp_path: Path) -> None:
    with open_frames(saved(tmp_path / "stack.tif"), fps=10) as source:
        assert [frame.time for frame in source] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_smaller_copies_in_a_stack_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full, small = PIL.Image.fromarray(PICTURES[0]), PIL.Image.fromarray(PICTURES[0][::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    full.save(tmp_path / "pyramid.tif", save_all=True, append_images=[full.copy(), small])
    with open_frames(tmp_path / "pyramid.tif") as source:
        assert [frame.image.shape[:2] for frame in source] == [(96, 128)] * 2
    assert "1 of its pages" in caplog.text


def test_a_folder_counts_what_it_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path / "0.tif")
    PIL.Image.fromarray(PICTURES[2]).save(tmp_path / "2.png")
    (tmp_path / "1.png").symlink_to("/nowhere/annex/1.png")
    with open_frames(tmp_path) as source:
        assert [frame.name for frame in source] == ["0", "2"]
    assert source.loss is not None
    assert "1 of 3" in source.loss
    assert "1.png" in source.loss
    assert "1 of 2 images hold several" in caplog.text
    with pytest.raises(InputError, match="/nowhere/annex"):
        open_frames(tmp_path / "1.png")


@pytest.mark.parametrize("kind", ["list", "array", "iterator", "PIL", "paths"])
def test_pictures_in_memory_are_a_video(tmp_path: Path, kind: str) -> None:
    for index, image in enumerate(PICTURES):
        PIL.Image.fromarray(image).save(tmp_path / f"{index}.png")
    given = {
        "list": PICTURES,
        "array": np.stack(PICTURES),
        "iterator": iter(PICTURES),
        "PIL": [PIL.Image.fromarray(image) for image in PICTURES],
        "paths": sorted(tmp_path.iterdir()),
    }[kind]
    with open_frames(given, fps=10) as source:
        assert (source.size, source.length) == ((96, 128), None if kind == "iterator" else 4)
        frames = list(source)
        again = len(list(source))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert all(np.array_equal(frame.image, image) for frame, image in zip(frames, PICTURES, strict=True))
    assert again == (0 if kind == "iterator" else 4)


@pytest.mark.parametrize(
    "given",
    [
        [],
        np.zeros((4, 5, 3), np.uint8),
        np.zeros((2, 3, 4, 5), np.uint8),
        [np.zeros((4, 5, 3), np.float32)],
        object(),
        1.5,
    ],
    ids=["none", "one", "channels first", "floats", "object", "number"],
)
def test_what_is_no_video_in_memory_is_refused_in_a_line(given: object) -> None:
    with pytest.raises(InputError) as refused:
        open_frames(given)
    assert len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)], ids=["right", "half", "left"]
)
def test_frames_turn_beside_side_data_that_pyav_does_not_know(
    tmp_path: Path, matrix: tuple[int, int, int, int], turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As stereo video has, whose second eye is a kind of its own."""

    def refuse(frame: object) -> None:
        raise ValueError("31 is not a valid Type")

    path = encode(tmp_path / "phone.mp4", frames=1, options={"crf": "5"})
    set_display_matrix(path, *matrix)
    monkeypatch.setattr(rgb, "SideDataContainer", refuse)
    with open_frames(path) as source:
        image = next(iter(source)).image
    assert np.abs(image.astype(int) - np.rot90(picture(0), turns)).mean() < 3
