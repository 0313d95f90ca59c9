"""CamVid's original release, on tiny ones with raw videos; and frames of a video by number, taken out once."""

import logging
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from small_camvid import HEIGHT, WIDTH, picture, write_still, write_video

from netwarp.datasets import camvid_videos, video_frames
from netwarp.datasets.camvid import COLOURS, SPLIT_RANGES, camvid, read_coloured_labels, split_of
from netwarp.datasets.video_frames import VideoFrames, default_cache, is_video
from netwarp.errors import InputError, OutputError
from netwarp.label_sets import CAMVID

REAL = Path(__file__).parents[3] / "shared" / "data" / "camvid"
FIRST = 6660  # the number of the first frame of 01TP_extract.avi


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Three stills of 0001TP and its video, whose first frame is where that of the published file is."""
    root = tmp_path / "CamVid"
    for number in (6690, 6720, 6750):
        write_still(root, f"0001TP_{number:06d}", picture(number))
    write_video(root / "videos" / "01TP_extract.avi", [picture(n) for n in range(FIRST, FIRST + 100)])
    return root


def opened(root: Path, split: str = "train", length: int = 2):
    return camvid(root, split, length=length, cache=root.parent / "cache")


def test_previous_frames_come_out_of_the_video_by_number(release: Path):
    data = opened(release.parent)
    samples = data.samples()
    assert data.classes is CAMVID
    assert [len(clip.frames) for clip in data.clips] == [2, 2, 2]
    assert [sample.name for sample in samples] == ["0001TP_006690", "0001TP_006720", "0001TP_006750"]
    assert not samples.left_out
    for number, sample in zip((6690, 6720, 6750), samples, strict=True):
        previous, current = sample.frames
        assert previous.name == f"0001TP_{number - 1:06d}"
        assert previous.labels is None
        np.testing.assert_array_equal(previous.image(), picture(number - 1))
        np.testing.assert_array_equal(current.image(), picture(number))
        assert (current.labels()[: HEIGHT // 2] == CAMVID.names.index("sky")).all()
        assert (current.labels()[HEIGHT // 2 :] == CAMVID.names.index("road")).all()


def test_longer_samples_get_more_frames_until_all_are_one_clip(release: Path):
    (sample, *_) = opened(release, length=4).samples(4)
    assert [frame.name[-4:] for frame in sample.frames] == ["6687", "6688", "6689", "6690"]
    (clip,) = opened(release, length=31).clips
    assert len(clip.frames) == 31 + 60
    assert [frame.labels is not None for frame in clip.frames].count(True) == 3
    for number, frame in enumerate(clip.frames, 6660):
        np.testing.assert_array_equal(frame.image(), picture(number))


def test_frames_before_the_video_begins_are_missing_and_counted(release: Path):
    samples = opened(release, length=32).samples(32)
    assert [s.name for s in samples] == ["0001TP_006720", "0001TP_006750"]
    assert [left.name for left in samples.left_out] == ["0001TP_006690"]


@pytest.mark.parametrize("shift", [-3, 2])
def test_a_video_that_begins_a_little_elsewhere_is_found_out_and_reported(release: Path, shift: int, caplog):
    first = FIRST + shift
    write_video(release / "videos" / "01TP_extract.avi", [picture(n) for n in range(first, first + 100)])
    with caplog.at_level(logging.INFO, "netwarp"):
        samples = opened(release).samples()
    assert f"begins with frame {first} of sequence 0001TP" in caplog.text
    assert len(samples) == 3
    np.testing.assert_array_equal(samples[1].frames[0].image(), picture(6719))


def test_a_whole_recording_that_begins_at_frame_0_is_found_out(tmp_path: Path):
    for number in (0, 30, 60):
        write_still(tmp_path, f"Seq05VD_f{number:05d}", picture(number))
    write_video(tmp_path / "Seq05VD.mkv", [picture(n) for n in range(70)])
    samples = opened(tmp_path, "test").samples()
    assert [s.frames[0].name for s in samples] == ["Seq05VD_f00029", "Seq05VD_f00059"]
    np.testing.assert_array_equal(samples[0].frames[0].image(), picture(29))
    assert [left.name for left in samples.left_out] == ["Seq05VD_f00000"]


def test_a_still_that_the_video_does_not_show_is_left_out_with_its_reason(release: Path):
    write_still(release, "0001TP_006720", 255 - picture(6720))
    write_still(release, "0001TP_006750", picture(6751))
    samples = opened(release).samples()
    assert [s.name for s in samples] == ["0001TP_006690"]
    assert {left.name: left.reason for left in samples.left_out} == {
        "0001TP_006720": "01TP_extract.avi shows something else at its number",
        "0001TP_006750": "01TP_extract.avi shows it at another number",
    }


def test_a_video_of_something_else_leaves_all_out_and_says_so(release: Path, caplog):
    write_video(release / "videos" / "01TP_extract.avi", [np.full((HEIGHT, WIDTH, 3), 9, np.uint8)] * 100)
    with caplog.at_level(logging.WARNING, "netwarp"):
        data = opened(release)
    assert data.clips == ()
    assert len(data.left_out) == 3
    assert "looks like none of the stills of sequence 0001TP" in caplog.text


def test_frames_are_taken_out_once(release: Path, monkeypatch: pytest.MonkeyPatch):
    before = opened(release).samples()

    def decode(*arguments, **options):
        raise AssertionError("the video was decoded again")

    monkeypatch.setattr(video_frames, "VideoFile", decode)
    again = opened(release).samples()
    for one, other in zip(before, again, strict=True):
        np.testing.assert_array_equal(one.frames[0].image(), other.frames[0].image())


def test_a_video_that_changed_is_read_anew(release: Path):
    opened(release)
    write_video(release / "videos" / "01TP_extract.avi", [255 - picture(n) for n in range(FIRST, FIRST + 100)])
    assert len(opened(release).left_out) == 3


def test_frames_of_another_size_are_scaled_to_the_stills(release: Path):
    large = [picture(n).repeat(2, 0).repeat(2, 1) for n in range(FIRST, FIRST + 100)]
    write_video(release / "videos" / "01TP_extract.avi", large)
    sample = opened(release).samples()[0]
    np.testing.assert_array_equal(sample.frames[0].image(), picture(6689))


@pytest.mark.parametrize("matrix", ["ITU601", "ITU709"])
def test_colours_are_those_of_the_stills(release: Path, matrix: str):
    pictures = [picture(n) for n in range(FIRST, FIRST + 100)]
    write_video(release / "videos" / "01TP_extract.avi", pictures, "ffv1", "yuv444p", matrix)
    sample = opened(release).samples()[0]
    difference = np.abs(sample.frames[0].image().astype(int) - picture(6689))
    assert difference.max() <= 3


def test_compression_is_no_difference(release: Path):
    pictures = [picture(n) for n in range(FIRST, FIRST + 100)]
    (release / "videos" / "01TP_extract.avi").unlink()
    write_video(release / "videos" / "01TP.mp4", pictures, "libx264", "yuv420p")
    assert len(opened(release).samples()) == 3


def test_one_frame_is_enough_without_videos(release: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(camvid_videos, "VideoFrames", None)
    assert len(opened(release, length=1).samples(1)) == 3


def test_without_a_video_stills_at_15_hz_follow_each_other(tmp_path: Path, caplog):
    for number in (7959, 7961, 7963, 7967):
        write_still(tmp_path, f"0016E5_{number:05d}", picture(number))
    with caplog.at_level(logging.WARNING, "netwarp"):
        data = opened(tmp_path, "val")
    assert "no video of sequence 0016E5" in caplog.text
    assert [len(clip.frames) for clip in data.clips] == [3, 1]
    assert len(data.samples()) == 2


def test_with_a_video_the_clip_at_15_hz_becomes_one_at_30_hz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(camvid_videos.RAW_VIDEOS, "0016E5", ("0016E5", 7950))
    for number in (7959, 7961, 7963):
        write_still(tmp_path, f"0016E5_{number:05d}", picture(number))
    write_video(tmp_path / "videos" / "0016e5.avi", [picture(n) for n in range(7950, 7970)])
    (clip,) = opened(tmp_path, "val").clips
    assert [frame.name for frame in clip.frames] == [f"0016E5_{n:05d}" for n in range(7958, 7964)]
    assert [frame.labels is not None for frame in clip.frames] == [False, True] * 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda r: (r / "LabeledApproved_full" / "0001TP_006720_L.png").unlink(), r"0001TP_006720_L\.png is missing"),
        (lambda r: write_still(r, "holiday", picture(0)), r"holiday\.png has no frame number"),
        (lambda r: write_still(r, "0001TP_6690", picture(0)), "have one frame number"),
        (lambda r: write_video(r / "0001TP.mkv", [picture(0)]), "could both be the video of sequence 0001TP"),
        (lambda r: (r / "videos" / "01TP_extract.avi").write_bytes(b""), r"01TP_extract\.avi is empty"),
        (lambda r: write_still(r, "0001TP_006720", picture(0)[:20]), "not of the size of the other stills"),
        (lambda r: (r / "LabeledApproved_full").rename(r / "labels"), "no folder LabeledApproved_full"),
    ],
)
def test_bad_releases_are_one_clear_line(release: Path, damage, message: str):
    damage(release)
    with pytest.raises(InputError, match=message):
        opened(release)


def test_stills_in_no_split_are_counted(release: Path):
    write_still(release, "0001TP_000001", picture(1))
    (left,) = opened(release).left_out
    assert (left.name, left.reason) == ("0001TP_000001", "it is in no split of the literature")


def test_colours_become_classes_as_a_slow_loop_does(tmp_path: Path):
    rng = np.random.default_rng(0)
    known = [(colour, name) for name, colours in COLOURS.items() for colour in colours.values()]
    drawn = rng.integers(0, len(known), (9, 14))
    drawn[0] = np.arange(14)
    drawn[1] = np.arange(14, 28)
    drawn[2, :4] = np.arange(28, 32)
    PIL.Image.fromarray(np.array([[known[i][0] for i in row] for row in drawn], np.uint8)).save(tmp_path / "a_L.png")
    expected = [[CAMVID.names.index(c) if (c := known[i][1]) else 255 for i in row] for row in drawn]
    np.testing.assert_array_equal(read_coloured_labels(tmp_path / "a_L.png"), expected)


def test_the_table_has_32_colours_and_fills_every_class():
    assert len({colour for colours in COLOURS.values() for colour in colours.values()}) == 32
    assert {*COLOURS} == {*CAMVID.names, None}
    # Classes that have kept their name have kept their colour, but for the pavement.
    same = {"Sky": "sky", "Building": "building", "Column_Pole": "pole", "Road": "road", "Tree": "tree",
            "SignSymbol": "sign", "Fence": "fence", "Car": "car", "Pedestrian": "pedestrian",
            "Bicyclist": "bicyclist"}  # fmt: skip
    for name, common in same.items():
        assert COLOURS[common][name] == CAMVID.palette[CAMVID.names.index(common)]


def test_a_colour_that_is_none_of_the_32_is_named(tmp_path: Path):
    labels = np.full((6, 7, 3), (128, 64, 128), np.uint8)
    labels[0, :5] = (1, 2, 3)
    labels[1, 0] = (255, 255, 255)
    write_still(tmp_path, "0001TP_006690", picture(0)[:6, :7], labels)
    (clip,) = opened(tmp_path, length=1).clips
    message = r"0001TP_006690_L\.png has the colour \(1, 2, 3\) in 5 of its pixels \(and 1 other such colours\)"
    with pytest.raises(InputError, match=message):
        clip.frames[0].labels()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data does not lie beside the checkout")
def test_ranges_are_those_of_the_real_lists():
    for split, count in (("train", 367), ("val", 101), ("test", 233)):
        names = [path.stem for path in (REAL / split).iterdir()]
        assert len(names) == count
        for name in names:
            sequence, number = re.fullmatch(r"(\w+)_f?(\d+)", name).groups()
            assert split_of(sequence, int(number)) == split
    ends = {(sequence, end) for sequence, first, last, _ in SPLIT_RANGES for end in (first, last)}
    real = {(m[1], int(m[2])) for p in REAL.glob("*/*.jpg") if (m := re.fullmatch(r"(\w+)_f?(\d+)", p.stem))}
    assert ends <= real


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
