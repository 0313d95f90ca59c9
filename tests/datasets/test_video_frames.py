"""Frames of a video by number, taken out once."""

from pathlib import Path

import pytest
from small_camvid import picture, write_video

from netwarp.datasets.video_frames import VideoFrames, default_cache, is_video
from netwarp.errors import InputError, OutputError


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "drive.mkv", [picture(n) for n in range(12)])


def test_decoding_ends_with_the_last_frame_that_is_wanted(video: Path, tmp_path: Path):
    seen: list[int] = []
    frames = VideoFrames(video, tmp_path)
    frames.take([2], lambda index, image: seen.append(index))
    assert seen == [0, 1, 2]
    frames.take([2], lambda index, image: seen.append(index))
    assert seen == [0, 1, 2]
    frames.take([2], lambda index, image: seen.append(index), until=4)
    assert seen == [0, 1, 2, 0, 1, 2, 3, 4]


def test_frames_behind_the_end_are_looked_for_once(video: Path, tmp_path: Path):
    seen: list[int] = []
    VideoFrames(video, tmp_path).take([1, 50], lambda index, image: seen.append(index))
    assert len(seen) == 12
    again = VideoFrames(video, tmp_path)
    again.take([1, 50], lambda index, image: seen.append(index))
    assert len(seen) == 12
    assert (again.has(1), again.has(50)) == (True, False)


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b"\xff"])
def test_damaged_notes_are_no_notes(video: Path, tmp_path: Path, damage: bytes):
    frames = VideoFrames(video, tmp_path)
    frames.notes = {"length": 12}
    frames.keep_notes()
    assert VideoFrames(video, tmp_path).notes == {"length": 12}
    (frames.folder / "notes.json").write_bytes(damage)
    assert VideoFrames(video, tmp_path).notes == {}


def test_frames_of_two_sizes_do_not_mix(video: Path, tmp_path: Path):
    large, small = VideoFrames(video, tmp_path), VideoFrames(video, tmp_path, size=(24, 32))
    large.take([0])
    small.take([0])
    assert large.reader(0)().shape == (48, 64, 3)
    assert small.reader(0)().shape == (24, 32, 3)


def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/netwarp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_cache() == Path("/home/me/.cache/netwarp")


def test_names_of_videos():
    assert all(is_video(Path(name)) for name in ("0016E5.MXF", "a.b.mp4"))
    assert not any(is_video(Path(name)) for name in ("0016E5.zip.001", "a.png", "mp4", "md5sums"))


def test_what_cannot_be_read_or_written(video: Path, tmp_path: Path):
    with pytest.raises(InputError, match=r"gone\.mp4 cannot be read"):
        VideoFrames(tmp_path / "gone.mp4", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="another cache folder"):
        VideoFrames(video, tmp_path / "file").take([0])
