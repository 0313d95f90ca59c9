"""Video files: healthy ones of many kinds without a false alarm, damaged ones with a true one."""

import gc
import os
import struct
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from clips import encode, irregular_times, picture, set_display_matrix

from netwarp.errors import InputError
from netwarp.video import decoding, file
from netwarp.video.container_check import is_cut_off, is_damaged_inside
from netwarp.video.file import VideoFile
from netwarp.video.open import open_frames
from netwarp.video.packets import packets_of
from netwarp.video.source import AfterDamage, FrameSource


def read(path: Path, after_damage: AfterDamage = "stop") -> tuple[FrameSource, list[int], list[float]]:
    """The source after iterating, and for every frame: which picture it shows, and its time."""
    with VideoFile(path, after_damage=after_damage) as source:
        shown, times = [], []
        for frame in source:
            shown.append(frame.index)
            times.append(frame.time)
    return source, shown, times


HEALTHY = [
    ("b.mp4", "libx264", {}),
    ("faststart.mp4", "libx264", {"container_options": {"movflags": "faststart"}}),
    ("fragments.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("vfr.mp4", "libx264", {"times": irregular_times(40)}),
    ("late.mp4", "libx264", {"times": [*(0.04 * i for i in range(39)), 9.0]}),
    ("b.mkv", "libx264", {}),
    ("vfr.mkv", "libx264", {"times": irregular_times(40)}),
    ("lossless.mkv", "ffv1", {"pix_fmt": "yuv444p"}),
    ("deep.mkv", "ffv1", {"pix_fmt": "yuv420p10le"}),
    ("gray.mkv", "ffv1", {"pix_fmt": "gray"}),
    ("b.ts", "libx264", {}),
    ("simple.avi", "mpeg4", {"b_frames": 0}),
    ("reordered.avi", "libx264", {}),
    ("vp8.webm", "libvpx", {"b_frames": 0, "options": {"deadline": "realtime"}}),
    ("intra.mov", "mjpeg", {"pix_fmt": "yuvj420p", "b_frames": 0}),
    ("drawn.gif", "gif", {"pix_fmt": "rgb8", "b_frames": 0}),
    ("raw.h264", "libx264", {}),
    ("program.mpg", "mpeg2video", {}),
    ("flash.flv", "flv", {"b_frames": 0}),
]


def path_declares_length(name: str) -> bool:
    return not name.endswith(".mpg")  # which holds no duration: FFmpeg guesses it from time stamps near the end


@pytest.mark.parametrize(("name", "codec", "settings"), HEALTHY, ids=[name for name, *_ in HEALTHY])
def test_healthy_files_lose_nothing(tmp_path: Path, name: str, codec: str, settings: dict) -> None:
    source, shown, times = read(encode(tmp_path / name, codec, **settings))
    assert source.loss is None
    assert shown == list(range(40))
    assert source.size == (96, 128)
    expected = settings.get("times", [i / 25 for i in range(40)])
    np.testing.assert_allclose(times, expected, atol=0.0011)  # Matroska and FLV count milliseconds
    if source.length is not None and "times" not in settings and path_declares_length(name):
        assert abs(source.length - 40) <= 2
    if source.fps is not None and "times" not in settings:
        assert source.fps == pytest.approx(25)


def test_pixels_survive_within_the_codecs_error(tmp_path: Path) -> None:
    with open_frames(encode(tmp_path / "a.mp4", options={"crf": "10"}, frames=6)) as source:
        for frame in source:
            assert frame.image.dtype == np.uint8
            assert frame.image.flags.c_contiguous
            error = np.abs(frame.image.astype(int) - picture(frame.index))
            assert error.mean() < 2.5


def test_pixels_are_exact_where_the_codec_is(tmp_path: Path) -> None:
    with open_frames(encode(tmp_path / "a.mkv", "ffv1", pix_fmt="bgr0", frames=3)) as source:
        for frame in source:
            np.testing.assert_array_equal(frame.image, picture(frame.index))


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
        ((0, -1, 1, 0), lambda image: np.rot90(image)),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    ],
    ids=["quarter", "half", "three-quarters", "mirrored", "upside-down", "transposed"],
)
def test_rotation_metadata_is_applied(tmp_path: Path, matrix: tuple[int, int, int, int], turn: Callable) -> None:
    path = encode(tmp_path / "phone.mp4", frames=2, options={"crf": "5"})
    set_display_matrix(path, *matrix)
    with open_frames(path) as source:
        image = next(iter(source)).image
    expected = turn(picture(0))
    assert source.size == image.shape[:2] == expected.shape[:2]
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - expected).mean() < 3


def test_transparent_video_lies_over_black(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "bgra"
        rgba = np.full((16, 16, 4), 200, np.uint8)
        rgba[..., 3] = 255
        rgba[:8, :, 3] = 0
        rgba[8:, :8, 3] = 128
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="bgra")))
        container.mux(stream.encode(None))
    with open_frames(tmp_path / "a.mkv") as source:
        image = next(iter(source)).image
    assert (image[0, 0].tolist(), image[8, 0].tolist(), image[8, 8].tolist()) == ([0] * 3, [100] * 3, [200] * 3)


def test_untagged_high_definition_is_bt709(tmp_path: Path) -> None:
    """The same yuv values mean other colours from 720 lines on: players go by the height, and so do we."""
    colours = []
    for height in (576, 720):
        with av.open(str(tmp_path / f"{height}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
            planes = np.stack([np.full((height, 64), value, np.uint8) for value in (81, 90, 240)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv444p")))
            container.mux(stream.encode(None))
        with open_frames(tmp_path / f"{height}.mkv") as source:
            colours.append(next(iter(source)).image[0, 0].astype(int))
    np.testing.assert_allclose(colours[0], [254, 0, 0], atol=2)  # BT.601's pure red
    np.testing.assert_allclose(colours[1], [255, 24, 0], atol=4)  # 1.164·65 + 1.793·112; 75.7 − 0.533·112 + 0.213·38


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def scribble(path: Path, share: float, count: int = 2000) -> Path:
    data = bytearray(path.read_bytes())
    start = int(len(data) * share)
    data[start : start + count] = np.random.default_rng(3).bytes(count)
    path.write_bytes(data)
    return path


CUTTABLE = [
    ("a.mp4", "libx264", {"container_options": {"movflags": "faststart"}}),
    ("f.mp4", "libx264", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("a.mkv", "libx264", {}),
    ("a.webm", "libvpx", {"b_frames": 0, "options": {"deadline": "realtime"}}),
    ("a.ts", "libx264", {}),
    ("a.avi", "mpeg4", {"b_frames": 0}),
    ("a.mpg", "mpeg2video", {}),
]


@pytest.mark.parametrize("share", [0.5, 0.8])
@pytest.mark.parametrize(("name", "codec", "settings"), CUTTABLE, ids=[name for name, *_ in CUTTABLE])
def test_a_cut_file_gives_its_frames_and_says_what_is_lost(
    tmp_path: Path, name: str, codec: str, settings: dict, share: float
) -> None:
    path = encode(tmp_path / name, codec, noise=60, **settings)
    size = path.stat().st_size
    cut(path, share)
    if path.suffix == ".ts" and path.stat().st_size % 188 == 0:
        path.write_bytes(path.read_bytes()[:-50])
    source, shown, _ = read(path)
    assert size * 0.1 < path.stat().st_size
    assert 10 <= len(shown) < 40
    assert source.loss is not None
    assert source.loss.startswith(f"{name} is ")
    assert f"after frame {len(shown)}" in source.loss
    if name in {"a.mp4", "a.mkv", "a.webm"}:
        assert f"after frame {len(shown)} of about 40" in source.loss
        assert f"{40 - len(shown)} frames were lost" in source.loss


def test_frames_before_the_cut_are_the_right_ones(tmp_path: Path) -> None:
    whole = encode(tmp_path / "a.mp4", noise=60, container_options={"movflags": "faststart"})
    with open_frames(whole) as source:
        expected = [frame.image for frame in source]
    with open_frames(cut(whole, 0.6)) as source:
        got = [frame.image for frame in source]
    for one, other in zip(got[:-2], expected, strict=False):  # the very last may lie behind a gap of one
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("name", "codec", "settings"), CUTTABLE[:1] + CUTTABLE[2:4] + CUTTABLE[5:])
def test_damage_in_the_middle_is_noticed(tmp_path: Path, name: str, codec: str, settings: dict) -> None:
    path = scribble(encode(tmp_path / name, codec, noise=60, **settings), 0.5)
    source, shown, times = read(path)
    assert source.loss is not None
    assert "damaged" in source.loss
    assert 8 <= len(shown) < 40
    assert times == sorted(times)


def test_reading_goes_on_behind_damage_where_asked(tmp_path: Path) -> None:
    path = scribble(encode(tmp_path / "a.mp4", noise=60, container_options={"movflags": "faststart"}), 0.4)
    stopped = read(path)[1]
    source, shown, times = read(path, "resume")
    assert len(stopped) < len(shown) < 40
    assert times == sorted(times)
    assert times[-1] == pytest.approx(39 / 25)
    assert "reading went on" in (source.loss or "")


def test_a_matroska_file_with_a_hole_is_noticed_though_its_reader_says_nothing(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.webm", "libvpx", noise=60, b_frames=0, options={"deadline": "realtime"})
    assert not is_damaged_inside(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 8] = bytes(len(data) // 8)
    path.write_bytes(data)
    assert is_damaged_inside(path)
    assert not is_cut_off(path)


@pytest.mark.parametrize(
    ("kind", "size"),
    [("C420jpeg ", 5 * 3 + 2 * 3 * 2), ("", 27), ("C422p10 ", 2 * (15 + 2 * 9)), ("Cmono ", 15), ("C444 ", 45)],
)
def test_raw_frames_that_are_cut(tmp_path: Path, kind: str, size: int) -> None:
    whole = f"YUV4MPEG2 W5 H3 F25:1 {kind}Ip\n".encode() + 3 * (b"FRAME\n" + bytes(size))
    path = tmp_path / "a.y4m"
    for data, is_cut in ((whole, False), (whole[:-1], True), (whole[: -size - 3], True), (whole[: -size - 6], False)):
        path.write_bytes(data)
        assert is_cut_off(path) == is_cut
    path.write_bytes(whole[:-1])
    with open_frames(path) as source:
        assert len(list(source)) == 2
        assert source.loss is not None


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg1video"), ("a.vob", "mpeg2video")])
def test_an_mpeg_program_that_ends_in_a_packet_is_cut_off(tmp_path: Path, name: str, codec: str) -> None:
    path = encode(tmp_path / name, codec, frames=12)
    whole = path.read_bytes()
    for data, is_cut in ((whole, False), (whole + bytes(99), False), (whole[:-9], True), (whole[:99], True)):
        path.write_bytes(data)
        assert is_cut_off(path) == is_cut


def test_mp4_without_its_index_cannot_be_opened(tmp_path: Path) -> None:
    path = cut(encode(tmp_path / "a.mp4", noise=60), 0.7)
    with pytest.raises(InputError, match=r"a\.mp4 has no index \(moov\)"):
        open_frames(path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    for name, codec in (("song.mp4", "aac"), ("song.wav", "pcm_s16le")):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream(codec, rate=16000)
            stream.layout = "mono"
            for index in range(4):
                kind = ("fltp", np.float32) if codec == "aac" else ("s16", np.int16)
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), kind[1]), format=kind[0], layout="mono")
                frame.sample_rate, frame.pts = 16000, 1024 * index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(InputError, match="holds no video, only audio"):
            open_frames(tmp_path / name)


def test_longer_sound_is_no_loss(tmp_path: Path) -> None:
    """Matroska declares the duration of the longest track: sound that goes on must not look like lost frames."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=16000)
        audio.layout = "mono"
        for index in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(index), "rgb24")))
        container.mux(video.encode(None))
        for index in range(100):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16000, 1600 * index
            container.mux(audio.encode(frame))
    source, shown, _ = read(path)
    assert (len(shown), source.loss) == (10, None)


def test_frames_are_decoded_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []
    convert = decoding.upright_rgb
    monkeypatch.setattr(
        decoding, "upright_rgb", lambda frame, matrix: (converted.append(frame.pts), convert(frame, matrix))[1]
    )
    path = encode(tmp_path / "a.mp4")
    with open_frames(path) as source:
        frames = iter(source)
        for count in range(1, 6):
            next(frames)
            assert len(converted) == count
    with open_frames(path) as source:
        assert len(list(source)) == len(list(source)) == 40  # a second pass starts again


def test_memory_does_not_grow_with_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", frames=200)
    tracemalloc.start()
    try:
        with open_frames(path) as source:
            for frame in source:
                if frame.index == 20:
                    tracemalloc.reset_peak()
                    before = tracemalloc.get_traced_memory()[0]
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 6 * frame.image.nbytes


def test_decoded_frames_go_when_they_are_done_with(tmp_path: Path) -> None:
    """Not when the garbage collector comes by: on large video, hundreds of pictures would wait for it."""

    def decoded() -> int:
        return sum(type(thing) is av.VideoFrame for thing in gc.get_objects())

    path = encode(tmp_path / "video.mp4")
    gc.collect()
    gc.freeze()  # what is there already need not be looked at, frame for frame
    gc.disable()
    try:
        with open_frames(path) as frames:
            assert max(decoded() for _ in frames) <= 6  # what is being decoded
    finally:
        gc.enable()
        gc.unfreeze()


def test_a_file_is_closed_after_reading_and_after_leaving(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", frames=5)
    with open_frames(path) as source:
        next(iter(source))
    source.close()
    path.unlink()
    assert not path.exists()


def _half_of_a_gif(path: Path) -> Path:
    whole = encode(path.with_suffix(".gif"), "gif", frames=12, pix_fmt="rgb8")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return whole


def _corrupt_packets(path: Path) -> Path:
    """A transport packet that its sender marked as broken, and one that is missing."""
    whole = encode(path.with_suffix(".ts"), frames=12, b_frames=0)
    data = bytearray(whole.read_bytes())
    at = len(data) // 188 // 2 * 188
    data[at + 1] ^= 0x80
    data[at + 190] ^= 0x10
    data[at + 4 : at + 188] = bytes(184)
    whole.write_bytes(data)
    return whole


def _start_of_a_picture_lost(path: Path) -> Path:
    whole = encode(path.with_suffix(".ts"), frames=12, b_frames=0)
    parts = whole.read_bytes().split(b"\0\0\1\xe0")
    whole.write_bytes(b"\0\0\1\xe0".join(parts[:6]) + b"\0\0\0\xe0" + b"\0\0\1\xe0".join(parts[6:]))
    return whole


def _two_pictures_run_together(path: Path) -> Path:
    """The packet of a picture begins as it should, but nothing in it does."""
    whole = encode(path.with_suffix(".ts"), frames=12, b_frames=0)
    parts = whole.read_bytes().split(b"\0\0\1\xe0")
    parts[6] = parts[6].replace(b"\0\0\1", b"\0\0\2")
    whole.write_bytes(b"\0\0\1\xe0".join(parts))
    return whole


def _index_with_a_wrong_bit(path: Path) -> Path:
    whole = encode(path.with_suffix(".avi"), "mpeg4", frames=12, b_frames=0)
    data = bytearray(whole.read_bytes())
    data[data.rindex(b"idx1") + 18] ^= 0x10
    whole.write_bytes(data)
    return whole


@pytest.mark.parametrize(
    "damaged",
    [_half_of_a_gif, _corrupt_packets, _start_of_a_picture_lost, _two_pictures_run_together, _index_with_a_wrong_bit],
)
def test_frames_do_not_go_without_a_word(tmp_path: Path, damaged: Callable[[Path], Path]) -> None:
    source = VideoFile(damaged(tmp_path / "a"))
    assert sum(1 for _ in source) < 12
    assert source.loss is not None


def test_empty_places_of_an_avi_are_no_loss(tmp_path: Path) -> None:
    """Recorders that drop frames write empty chunks, which the file counts."""
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuvj420p"
        for index in range(6):
            frame = av.VideoFrame(32, 24, "yuvj420p")
            frame.pts = 3 * index
            container.mux(stream.encode(frame))
    source = VideoFile(tmp_path / "a.avi")
    np.testing.assert_allclose([frame.time for frame in source], np.arange(6) * 0.3)
    assert source.loss is None


@pytest.mark.parametrize(
    ("start", "duration", "lost"),
    [
        (0, None, True),
        (0, 4.5, True),
        (0, 2.5, False),
        (4.5, None, False),
        (2, 2.5, True),
        (3.3, None, True),
        (0, 3.4, True),
    ],
)
def test_what_is_lost_inside_an_excerpt_is_said_and_no_more(
    tmp_path: Path, start: float, duration: float | None, lost: bool
) -> None:
    path = encode(tmp_path / "a.mkv", frames=60, rate=10, b_frames=0)
    with av.open(path) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, size in places[31:34]:
        data[place + 8 : place + size - 4] = bytes(size - 12)
    path.write_bytes(data)
    with open_frames(path, start=start, duration=duration) as source:
        count = sum(1 for _ in source)
    assert (count < round(10 * (duration or 6 - start))) is lost
    assert (source.loss is not None) is lost


def test_a_fault_before_the_first_picture_comes_is_said_of_a_pipe_too(tmp_path: Path) -> None:
    whole = encode(tmp_path / "a.ts", frames=24).read_bytes()
    starts = [at for at in range(len(whole)) if whole[at : at + 4] == b"\0\0\1\xe0"]
    os.mkfifo(tmp_path / "pipe")
    counts = []
    for start in starts[1:6]:  # the decoder holds pictures back until it knows their order
        data = bytearray(whole)
        data[start // 188 * 188 + 1] |= 0x80
        threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,), daemon=True).start()
        with VideoFile(tmp_path / "pipe", after_damage="stop") as source:
            counts.append(sum(1 for _ in source))
        assert (source.loss is not None) is (counts[-1] < 24)
    assert min(counts) < 4


def test_a_picture_may_come_in_two_packets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "a.ts", frames=12)
    real = file.times_in_transport
    monkeypatch.setattr(file, "times_in_transport", lambda *given: 2 * real(*given))
    assert read(path)[0].loss is None


def test_a_pipe_of_the_number_that_standard_input_has_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encode(tmp_path / "a.mkv", frames=2).read_bytes()
    os.mkfifo(tmp_path / "pipe")
    there, fstat = (tmp_path / "pipe").stat(), os.fstat
    elsewhere = os.stat_result((there.st_mode, there.st_ino, there.st_dev + 1, *there[3:]))
    monkeypatch.setattr(os, "fstat", lambda number: fstat(number) if number else elsewhere)
    threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,), daemon=True).start()
    with VideoFile(tmp_path / "pipe") as source:
        assert sum(1 for _ in source) == 2


def test_a_video_that_claims_vast_frames_is_refused(tmp_path: Path) -> None:
    data = bytearray(encode(tmp_path / "a.gif", "gif", frames=2, pix_fmt="rgb8").read_bytes())
    data[6:10] = struct.pack("<HH", 13_000, 13_000)
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(InputError, match="13000×13000"):
        VideoFile(tmp_path / "a.gif")


def test_a_packet_that_a_transport_stream_lacks_is_noticed(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.ts", frames=12).read_bytes()
    assert read(tmp_path / "whole.ts")[0].loss is None
    middle = len(whole) // 188 // 2 * 188
    (tmp_path / "less.ts").write_bytes(whole[:middle] + whole[middle + 188 :])
    assert "less.ts" in (read(tmp_path / "less.ts", "resume")[0].loss or "")


def _changed(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    at = data.rindex(old)
    path.write_bytes(data[:at] + new + data[at + len(old) :])
    return path


def test_a_block_of_no_track_is_noticed(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", frames=12)
    with av.open(path) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size][7]
    data = bytearray(path.read_bytes())
    data[place + data[place:].index(b"\x81")] = 0x91
    path.write_bytes(data)
    source, shown, _ = read(path, "resume")
    assert len(shown) < 12
    assert source.loss is not None


@pytest.mark.parametrize("old", [b"\x1f\x43\xb6\x75", b"\x18\x53\x80\x67"])
def test_an_element_of_matroska_that_is_none_is_noticed(tmp_path: Path, old: bytes) -> None:
    path = encode(tmp_path / "a.mkv", frames=12)
    assert not is_damaged_inside(path)
    assert is_damaged_inside(_changed(path, old, old[:3] + bytes([old[3] ^ 8])))


def test_matroska_that_was_written_live_shows_a_cut_in_its_blocks(tmp_path: Path) -> None:
    class Pipe:
        def __init__(self) -> None:
            self.written = b""

        def write(self, data: bytes) -> int:
            self.written += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(encode(tmp_path / "a.mkv", frames=12)) as whole, av.open(pipe, "w", format="matroska") as live:
        stream = live.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                live.mux(packet)
    for content, is_cut in ((pipe.written, False), (pipe.written[: len(pipe.written) * 2 // 3], True)):
        (tmp_path / "live.mkv").write_bytes(content)
        assert not is_damaged_inside(tmp_path / "live.mkv")
        assert is_cut_off(tmp_path / "live.mkv") is is_cut


def test_a_fragment_of_no_track_is_noticed(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", frames=12, container_options={"movflags": "frag_every_frame+empty_moov"})
    assert read(path)[0].loss is None
    for old, new in ((b"tfhd", b"tfxd"), (b"moof", b"mooF"), (b"tfdt", b"tfdt")):
        data = path.read_bytes()
        _changed(path, old, new)
        assert is_damaged_inside(path) is (old != new)
        path.write_bytes(data)


def test_what_an_edit_list_leaves_out_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "a.mp4", frames=12)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 12
    data[at : at + 4] = (240).to_bytes(4, "big")  # of its 480 ms
    path.write_bytes(data)
    caplog.set_level("INFO", "netwarp")
    source, shown, _ = read(path)
    assert 5 <= len(shown) < 12
    assert source.loss is None
    assert f"{12 - len(shown)} frames" in caplog.text


@pytest.mark.parametrize("begin", [0, 100, 188])
def test_a_transport_stream_may_begin_anywhere(tmp_path: Path, begin: int) -> None:
    whole = encode(tmp_path / "whole.ts", frames=12).read_bytes()
    (tmp_path / "a.ts").write_bytes(whole[begin:])
    assert read(tmp_path / "a.ts")[0].loss is None
    (tmp_path / "a.ts").write_bytes(whole[begin:-24])
    assert is_cut_off(tmp_path / "a.ts")


def test_tables_of_a_transport_stream_may_count_anew(tmp_path: Path) -> None:
    data = bytearray(encode(tmp_path / "a.ts", frames=12).read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 2] == 0 and at > len(data) // 2 and not data[at + 1] & 1:
            data[at + 3] = (data[at + 3] & 0xF0) | ((data[at + 3] + 5) & 15)
    (tmp_path / "a.ts").write_bytes(data)
    assert read(tmp_path / "a.ts")[0].loss is None


def test_a_file_that_gains_a_stream_while_it_is_read_ends_as_others_do() -> None:
    class Container:
        def demux(self, *streams: object):  # as PyAV does
            yield from streams
            raise IndexError

    assert list(packets_of(Container(), 1, 2)) == [1, 2]  # type: ignore[arg-type]


def test_a_first_picture_that_is_broken_is_noticed(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", frames=24, options={"g": "8"})
    with av.open(path) as container:
        first = next(container.demux(video=0))
    data = bytearray(path.read_bytes())
    data[first.pos : first.pos + first.size] = bytes(first.size)
    path.write_bytes(data)
    source, shown, _ = read(path, "resume")
    assert len(shown) < 24
    assert source.loss is not None
