"""What `open_frames` takes, image files, and what bad input gets."""

import logging
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from clips import encode, picture
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netwarp.errors import ConfigurationError, InputError, NetWarpError
from netwarp.video.images import natural_key, read_image
from netwarp.video.open import open_frames


def save(path: Path, image: np.ndarray, **options: object) -> Path:
    PIL.Image.fromarray(image).save(path, **options)
    return path


def refusal(spec: object) -> str:
    with pytest.raises(InputError) as caught:
        open_frames(spec)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_folder_of_images_in_natural_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "netwarp")
    for number in (10, 2, 1):
        save(tmp_path / f"frame{number}.png", np.full((4, 6, 3), number, np.uint8))
    save(tmp_path / "frame3.JPG", np.full((8, 6, 3), 3, np.uint8), format="JPEG", quality=95)
    save(tmp_path / ".hidden.png", np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "frame4.txt").write_text("not a frame")
    (tmp_path / "frame5.png").mkdir()
    with open_frames(tmp_path, fps=10) as source:
        frames = list(source)
    assert [frame.name for frame in frames] == ["frame1", "frame2", "frame3", "frame10"]
    assert "frame4.txt" in caplog.text
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.time for frame in frames] == [0.0, 0.1, 0.2, 0.3]
    assert [frame.image.shape for frame in frames] == [(4, 6, 3), (4, 6, 3), (8, 6, 3), (4, 6, 3)]
    assert (source.fps, source.length, source.size, source.loss) == (10, 4, (4, 6), None)
    assert len(list(source)) == 4  # a second pass starts again


def test_glob_takes_images_only_and_goes_into_folders(tmp_path: Path) -> None:
    for name in ("b/1.png", "a/2.png", "a/10.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name, picture(0, 4, 4))
    (tmp_path / "a" / "notes.md").write_text("x")
    with open_frames(str(tmp_path / "**" / "*")) as source:
        assert [path.relative_to(tmp_path).as_posix() for path in source.paths] == ["a/2.png", "a/10.png", "b/1.png"]


def test_a_name_with_glob_characters_is_a_file_first(tmp_path: Path) -> None:
    with open_frames(save(tmp_path / "take[1].png", picture(0, 4, 4))) as source:
        assert source.length == 1
    with open_frames(encode(tmp_path / "a:b [1].mp4", frames=3)) as source:
        assert len(list(source)) == 3


def test_glob_of_one_video(tmp_path: Path) -> None:
    encode(tmp_path / "only.mp4", frames=3)
    with open_frames(str(tmp_path / "*.mp4")) as source:
        assert len(list(source)) == 3


def test_file_url(tmp_path: Path) -> None:
    path = save(tmp_path / "a b.png", picture(0, 4, 4))
    with open_frames(path.as_uri()) as source:
        assert source.paths == (path,)


def transparent(height: int = 2, width: int = 2) -> np.ndarray:
    image = np.full((height, width, 4), 200, np.uint8)
    image[..., 3] = [[0, 255], [128, 255]]
    return image


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_transparent_pixels_lie_over_black(tmp_path: Path, suffix: str) -> None:
    path = save(
        tmp_path / f"a.{suffix}", transparent(), **({"lossless": True, "exact": True} if suffix == "webp" else {})
    )
    assert read_image(path)[..., 0].tolist() == [[0, 200], [100, 200]]


def test_gray_sixteen_bit_palette_bilevel_and_cmyk(tmp_path: Path) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    expected = np.repeat(gray[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_image(save(tmp_path / "gray.png", gray)), expected)
    np.testing.assert_array_equal(read_image(save(tmp_path / "wide.png", gray.astype(np.uint16) * 257)), expected)
    np.testing.assert_array_equal(read_image(save(tmp_path / "float.tiff", gray.astype(np.float32) / 255)), expected)
    indexed = PIL.Image.fromarray(gray // 20)
    indexed.putpalette(bytes(value for index in range(12) for value in (index, 2 * index, 255 - index)))
    indexed.save(tmp_path / "indexed.png")
    indices = gray.astype(int) // 20
    np.testing.assert_array_equal(
        read_image(tmp_path / "indexed.png"), np.stack([indices, 2 * indices, 255 - indices], -1).astype(np.uint8)
    )
    PIL.Image.fromarray(gray > 100).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.png")[..., 1], (gray > 100) * 255)
    PIL.Image.new("CMYK", (4, 3), (0, 255, 255, 0)).save(tmp_path / "print.tif")
    assert read_image(tmp_path / "print.tif")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = 255
    undo = {
        1: lambda i: i, 2: lambda i: i[:, ::-1], 3: lambda i: i[::-1, ::-1], 4: lambda i: i[::-1],
        5: lambda i: i.transpose(1, 0, 2), 6: lambda i: np.rot90(i), 7: lambda i: np.rot90(i, 2).transpose(1, 0, 2),
        8: lambda i: np.rot90(i, -1),
    }  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "phone.png", np.ascontiguousarray(undo[orientation](upright)), exif=exif)
    image = read_image(path)
    np.testing.assert_array_equal(image, upright)
    assert image.flags.c_contiguous


def test_images_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", picture(number, 4, 4))
    source = open_frames(tmp_path)
    (tmp_path / "3.png").write_bytes(b"broken since")
    frames = iter(source)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match=r"3\.png"):
        next(frames)


def test_natural_key_survives_digits_that_are_no_numbers() -> None:
    assert sorted([Path("²"), Path("1"), Path("a")], key=natural_key)[0] == Path("1")


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    encode(tmp_path / "street.mp4", frames=2)
    assert f"did you mean {tmp_path / 'street.mp4'}?" in refusal(tmp_path / "stret.mp4")
    assert "its folder" in refusal(tmp_path / "no" / "street.mp4")
    assert "glob" in refusal(tmp_path / "frame%03d.png")


def test_paths_that_are_no_paths(tmp_path: Path) -> None:
    (tmp_path / "file.mp4").write_text("x")
    assert "does not exist" in refusal(tmp_path / "file.mp4" / "below.mp4")
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    refusal("")
    refusal("a\0b")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("letter.mp4", b"Dear Sir or Madam,\n\nplease find enclosed ...\n" * 40, "its content is text"),
        ("notes.txt", b"a text with a name that FFmpeg knows to draw\n" * 40, "its content is text"),
        ("empty.mp4", b"", "is empty (0 bytes)"),
        ("noise.mp4", bytes(range(256)) * 20, "not a video"),
        ("empty.png", b"", "is empty (0 bytes)"),
        ("noise.png", bytes(range(256)), "not an image"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert says in message
    assert name in message


def test_truncated_image(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", picture(0, 200, 200))
    path.write_bytes(path.read_bytes()[:800])
    assert "cannot be decoded" in refusal(path)


def test_folders_and_globs_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is empty" in refusal(tmp_path / "empty")
    (tmp_path / "empty" / "a.txt").write_text("x")
    assert "holds no images" in refusal(tmp_path / "empty")
    assert "matches no file" in refusal(str(tmp_path / "*.png"))
    (tmp_path / "parent" / "frames").mkdir(parents=True)
    save(tmp_path / "parent" / "frames" / "1.png", picture(0, 4, 4))
    assert str(tmp_path / "parent" / "frames") in refusal(tmp_path / "parent")
    for name in "ab":
        encode(tmp_path / f"{name}.mp4", frames=1)
    assert "name one video" in refusal(str(tmp_path / "*.mp4"))


def test_frames_a_second_must_be_positive(tmp_path: Path) -> None:
    save(tmp_path / "1.png", picture(0, 4, 4))
    for fps in (0, -1, float("nan")):
        with pytest.raises(ConfigurationError):
            open_frames(tmp_path, fps=fps)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from(["mp4", "mkv", "avi", "ts", "gif", "png", "jpg", "tif", "webp", "bmp"]))
def test_random_bytes_raise_nothing_but_our_errors(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    magic = {
        "mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "mkv": b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska",
        "avi": b"RIFF\xff\0\0\0AVI LIST", "ts": b"\x47\x40\x00\x10", "gif": b"GIF89a\x10\0\x10\0\xf0\0\0",
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x08\0\0\0\x08", "jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        "tif": b"II*\0\x08\0\0\0", "webp": b"RIFF\x40\0\0\0WEBPVP8 ", "bmp": b"BM",
    }[suffix]  # fmt: skip
    head = magic if data.draw(st.booleans()) else b""
    path = tmp_path / f"random.{suffix}"
    path.write_bytes(head + data.draw(st.binary(max_size=300)))
    message = ""
    try:
        with open_frames(path) as source:
            for frame in source:
                assert frame.image.dtype == np.uint8
    except NetWarpError as error:
        message = str(error)
    assert "\n" not in message
