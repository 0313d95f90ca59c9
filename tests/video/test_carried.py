"""What a video holds besides its frames: shape of pixels, how long the last is shown, sound, which stream is meant."""

import os
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import encode, picture, set_display_matrix

from netwarp.errors import InputError
from netwarp.video.open import open_frames
from netwarp.video.pipe import Pipe
from netwarp.video.writer import VideoWriter

MILLI = Fraction(1, 1000)


def shown(path: Path) -> tuple[int, list[float], float]:
    """Number of frames, their times, and when the last one ends, as PyAV reads them."""
    with av.open(str(path)) as container:
        frames = [(float(f.pts * f.time_base), float(f.duration * f.time_base)) for f in container.decode(video=0)]
    return len(frames), [time for time, _ in frames], sum(frames[-1])


def write(path: Path, times: list[float], last: float | None = None, **more: object) -> Path:
    """Write frames at these milliseconds; the last is shown for so many."""
    with av.open(str(path), "w", **more) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.time_base, stream.codec_context.max_b_frames = MILLI, 0
        for index, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index), "rgb24")
            frame.pts, frame.time_base = round(1000 * time), MILLI
            for packet in stream.encode(frame):
                packet.duration = round(1000 * last) if last and index == len(times) - 1 else packet.duration
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def copied(source: Path, target: Path) -> Path:
    with (
        open_frames(source) as frames,
        VideoWriter(target, fps=frames.fps, pixel_aspect=frames.pixel_aspect, sound=frames.sound) as writer,
    ):
        for frame in frames:
            writer.write(frame.image, frame.time, frame.duration, frame.sound)
    return target


@pytest.mark.parametrize("name", ["late.mkv", "late.mp4", "late.ts"])
@pytest.mark.parametrize("start", [5.0, 100.0])
def test_a_stream_that_starts_late_is_whole_and_begins_at_0(tmp_path: Path, name: str, start: float) -> None:
    path = write(tmp_path / name, [start + i / 10 for i in range(8)])
    with open_frames(path) as source:
        times = [frame.time for frame in source]
    assert source.loss is None
    np.testing.assert_allclose(times, np.arange(8) / 10, atol=1e-3)


@pytest.mark.parametrize("name", ["held.mkv", "held.mp4"])
def test_a_last_frame_that_is_held_is_whole_and_stays_held(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [0.0, 0.1, 0.2], last=4.0)
    with open_frames(path) as source:
        frames = list(source)
    assert (len(frames), source.loss) == (3, None)
    if name == "held.mp4":  # Matroska does not say it
        assert frames[-1].duration == pytest.approx(4.0)
        count, times, _ = shown(copied(path, tmp_path / "out.mp4"))
        with av.open(str(tmp_path / "out.mp4")) as container:
            end = container.duration / av.time_base
        assert (count, end) == (3, pytest.approx(4.2, abs=1e-3))
        np.testing.assert_allclose(times, [0, 0.1, 0.2], atol=1e-4)


@pytest.mark.parametrize(("matrix", "expected"), [((1, 0, 0, 1), Fraction(4, 3)), ((0, 1, -1, 0), Fraction(3, 4))])
def test_pixels_that_are_not_square_stay_so(tmp_path: Path, matrix: tuple[int, ...], expected: Fraction) -> None:
    path = encode(tmp_path / "dvd.mp4", frames=2, options={"x264-params": "sar=4/3"})
    set_display_matrix(path, *matrix)
    with open_frames(path) as source:
        assert source.pixel_aspect == expected
    with av.open(str(copied(path, tmp_path / "out.mp4"))) as container:
        assert container.streams.video[0].sample_aspect_ratio == expected


def test_the_stream_that_the_file_marks_is_read(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("ffv1", rate=10) for _ in range(2)]
        for stream, size in zip(streams, (64, 128), strict=True):
            stream.width, stream.height, stream.pix_fmt = size, 96, "bgr0"
        streams[1].disposition = av.stream.Disposition.default
        streams[0].disposition = av.stream.Disposition.dub
        for index in range(3):
            for stream, size in zip(streams, (64, 128), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(index, width=size), "rgb24")))
        for stream in streams:
            container.mux(stream.encode(None))
    with open_frames(path) as source:
        assert source.size == (96, 128)


@pytest.mark.parametrize(("codec", "name"), [("libx264", "raw.h264"), ("mpeg2video", "raw.m2v")])
def test_raw_streams_go_by_their_header_or_by_what_is_said(tmp_path: Path, codec: str, name: str) -> None:
    path = encode(tmp_path / name, codec, frames=10, rate=24)  # FFmpeg's guess is 25
    with open_frames(path) as source:
        assert not source.timed
        np.testing.assert_allclose([frame.time for frame in source], np.arange(10) / 24, atol=1e-6)
    with open_frames(path, fps=5) as source:
        np.testing.assert_allclose([frame.time for frame in source], np.arange(10) / 5, atol=1e-6)


def test_a_clock_that_steps_back_goes_on_one_frame_later(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", fps=10) as writer:
        for time in (0.0, 0.1, 0.2, 0.3, 0.0, 0.1, 0.2):
            writer.write(picture(0), time)
    _, times, end = shown(tmp_path / "out.mp4")
    np.testing.assert_allclose(times, np.arange(7) / 10, atol=1e-4)
    assert end == pytest.approx(0.7, abs=1e-3)


# --- sound ------------------------------------------------------------------------------------------------------------

RATE = 48_000


def with_sound(path: Path, codec: str = "aac", seconds: float = 1.5, start: float = 0.0) -> Path:
    """Eight frames, a tenth of a second each, and a tone that goes on longer."""
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("mpeg4", rate=10), container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        audio.layout = "mono"
        kind = audio.codec_context.format.name
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(picture(index), "rgb24")
            frame.pts, frame.time_base = index + round(10 * start), Fraction(1, 10)
            container.mux(video.encode(frame))
        for index in range(round(seconds * RATE / 1024)):
            tone = 0.3 * np.sin(2 * np.pi * 440 * (np.arange(1024) + 1024 * index) / RATE)
            tone = tone.astype(np.float32) if kind.startswith("flt") else (tone * 32767).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(tone[None], format=kind, layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE, 1024 * index + round(RATE * start), Fraction(1, RATE)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def heard(path: Path) -> tuple[list[bytes], list[float]]:
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(audio=0) if p.size]
        return [bytes(p) for p in packets], [float(p.pts * p.time_base) for p in packets]


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv", "out.mov"])
@pytest.mark.parametrize(
    ("name", "codec", "start"), [("a.mp4", "aac", 0.0), ("a.mkv", "aac", 3.0), ("a.avi", "mp2", 0.0)]
)
def test_sound_is_copied_to_its_end_and_stays_in_time(
    tmp_path: Path, name: str, codec: str, start: float, target: str
) -> None:
    source = with_sound(tmp_path / name, codec, start=start)
    before, times = heard(source)
    first = next(time for time in times if time > start - 1e-3)  # the codec's lead before the first frame is left out
    skipped = times.index(first)
    after, later = heard(copied(source, tmp_path / target))
    assert after == before[skipped:]
    np.testing.assert_allclose(later, np.array(times[skipped:]) - start, atol=2e-3)
    assert shown(tmp_path / target)[0] == 8


def test_sound_of_channels_without_a_place_is_copied(tmp_path: Path) -> None:
    """AVI does not say where its channels are heard, MP4 has to."""
    source = with_sound(tmp_path / "a.avi", "pcm_s16le")
    assert b"".join(heard(copied(source, tmp_path / "out.mp4"))[0]) == b"".join(heard(source)[0])


def test_sound_that_the_file_does_not_take_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = with_sound(tmp_path / "a.mkv", "flac")
    assert shown(copied(source, tmp_path / "out.mov"))[0] == 8
    assert "out.mov" in caplog.text
    assert "flac" in caplog.text
    with av.open(str(tmp_path / "out.mov")) as container:
        assert not container.streams.audio


# --- pipes ------------------------------------------------------------------------------------------------------------


def fed(path: Path, content: bytes) -> threading.Thread:
    os.mkfifo(path)
    feeder = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    feeder.start()
    return feeder


def test_a_pipe_is_read_once_and_to_its_end(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.ts", frames=6).read_bytes()
    feeder = fed(tmp_path / "pipe.ts", content)
    with open_frames(tmp_path / "pipe.ts") as source:
        assert [frame.index for frame in source] == list(range(6))
        assert (source.loss, source.paths) == (None, ())
        with pytest.raises(InputError, match=r"pipe\.ts"):
            list(source)
    feeder.join(5)
    assert not feeder.is_alive()


def test_a_pipe_that_cannot_go_back_says_so(tmp_path: Path) -> None:
    fed(tmp_path / "pipe", encode(tmp_path / "a.mp4", noise=200, options={"crf": "1"}).read_bytes())
    with pytest.raises(InputError, match="MP4"):
        open_frames(tmp_path / "pipe")


def test_a_pipe_that_waits_can_be_left(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)  # never ends
    os.write(writer, b"beginning")
    pipe = Pipe(tmp_path / "pipe")
    found: list[bytes] = []
    reading = threading.Thread(target=lambda: found.extend([pipe.read(100), pipe.read(100)]), daemon=True)
    reading.start()
    pipe.stop()
    reading.join(5)
    assert not reading.is_alive()
    assert found[-1] == b""
    pipe.close()
    os.close(writer)


# --- parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.mp4", "images"])
def test_a_part_begins_at_its_first_frame(tmp_path: Path, name: str) -> None:
    import PIL.Image

    if name == "images":
        (tmp_path / name).mkdir()
        for index in range(40):
            PIL.Image.fromarray(picture(index)).save(tmp_path / name / f"{index}.png")
    else:
        encode(tmp_path / name)
    with open_frames(tmp_path / name) as source:
        expected = [frame.image for frame in source][10:20]
    with open_frames(tmp_path / name, start=0.4, duration=0.4) as source:
        frames = list(source)
    assert (source.length, source.loss) == (10, None)
    assert [frame.index for frame in frames] == list(range(10))
    with open_frames(tmp_path / name, duration=0.1) as source:
        assert source.length == len(list(source)) == 3
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(10) / 25, atol=1e-6)
    assert all(np.array_equal(one.image, other) for one, other in zip(frames, expected, strict=True))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_late_part_is_the_same_though_what_is_before_is_not_decoded(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [7 + i / 5 for i in range(60)])
    with open_frames(path) as source:
        expected = [(round(frame.time, 3), frame.image) for frame in source][40:45]
    with open_frames(path, start=8.0, duration=1.0) as source:
        found = [(round(frame.time + 8, 3), frame.image) for frame in source]
    assert [time for time, _ in found] == pytest.approx([time for time, _ in expected], abs=2e-3)
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(found, expected, strict=True))


def test_a_part_behind_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="9 s"):
        open_frames(encode(tmp_path / "a.mp4"), start=9)
