"""Video out: what is read back, and what is left behind when it goes wrong."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import TICK, encode, irregular_times, names_in, picture

from netwarp.errors import ConfigurationError, OutputError
from netwarp.output_places import VIDEO_ENDINGS
from netwarp.video.open import open_frames
from netwarp.video.writer import VideoWriter


def read_back(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with open_frames(path) as source:
        frames = list(source)
    assert source.loss is None
    return [frame.image for frame in frames], [frame.time for frame in frames]


@pytest.mark.parametrize("suffix", VIDEO_ENDINGS)
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    with VideoWriter(path, fps=25, quality=8) as writer:
        for index in range(30):
            writer.write(picture(index), index / 25)
    images, times = read_back(path)
    assert times == pytest.approx([index / 25 for index in range(30)], abs=1e-9 if suffix != ".mkv" else 6e-4)
    for index, image in enumerate(images):
        assert np.abs(image.astype(int) - picture(index)).mean() < 2.5
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize("height", [96, 720])
def test_colours_survive_whatever_the_size(tmp_path: Path, height: int) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 64, 128)]
    with VideoWriter(tmp_path / "a.mp4") as writer:
        for colour in colours:
            writer.write(np.full((height, 64, 3), colour, np.uint8))
    for image, colour in zip(read_back(tmp_path / "a.mp4")[0], colours, strict=True):
        np.testing.assert_allclose(image.reshape(-1, 3), np.tile(colour, (image[..., 0].size, 1)), atol=4)


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=25) as writer:
        for index in range(5):
            writer.write(picture(index))
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)


def test_time_stamps_of_variable_frame_rate_survive(tmp_path: Path) -> None:
    times = irregular_times(40)
    source = open_frames(encode(tmp_path / "in.mp4", times=times))
    with source, VideoWriter(tmp_path / "out.mp4", fps=source.fps, inputs=source.paths) as writer:
        for frame in source:
            writer.write(frame.image, frame.time)
    assert read_back(tmp_path / "out.mp4")[1] == pytest.approx(times, abs=float(TICK))


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001), 12.5, 15, 0.5, 240]
)
def test_constant_rates_are_exact(tmp_path: Path, rate: float | Fraction) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps=float(rate)) as writer:
        for index in range(10):
            writer.write(picture(index), float(index / Fraction(rate)))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        gaps = np.diff([frame.pts for frame in container.decode(stream)])
        assert set(gaps * stream.time_base) == {1 / Fraction(rate)}
        assert stream.average_rate == rate


def test_times_grow_strictly_whatever_comes(tmp_path: Path) -> None:
    given = [0.0, 0.04, 0.04, 0.03, 0.12, None, 5000.0, 5000.04, 0.0, 0.04, float("nan"), 0.12]
    with VideoWriter(tmp_path / "a.mp4", fps=25) as writer:
        for index, time in enumerate(given):
            writer.write(picture(index), time)
    times = read_back(tmp_path / "a.mp4")[1]
    assert len(times) == len(given)
    gaps = np.diff(times)
    assert (gaps > 0).all()
    # Repeats and small steps back move by a tick; a clock that restarts goes on one frame later.
    expected = [0.0, 0.04, 0.04, 0.04, 0.12, 0.16, 0.20, 0.24, 0.28, 0.32, 0.36, 0.40]
    assert times == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [(97, 129), (96, 129), (97, 128), (1, 1), (3, 2)])
def test_odd_sizes_repeat_their_last_row_and_column(tmp_path: Path, size: tuple[int, int]) -> None:
    with VideoWriter(tmp_path / "a.mp4", quality=5) as writer:
        for index in range(3):
            writer.write(np.ascontiguousarray(picture(index, 100, 130)[: size[0], : size[1]]))
    image = read_back(tmp_path / "a.mp4")[0][0]
    assert image.shape[:2] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    expected = np.pad(
        picture(0, 100, 130)[: size[0], : size[1]], ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge"
    )
    assert np.abs(image.astype(int) - expected).mean() < 3


def test_views_that_are_not_contiguous(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", quality=5) as writer:
        writer.write(picture(0)[:, ::-1])
    assert np.abs(read_back(tmp_path / "a.mp4")[0][0].astype(int) - picture(0)[:, ::-1]).mean() < 3


def test_another_size_is_letterboxed_with_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    white = np.full((100, 50, 3), 255, np.uint8)
    with caplog.at_level(logging.WARNING), VideoWriter(tmp_path / "a.mp4") as writer:
        for image in (np.full((100, 200, 3), 255, np.uint8), white, white):
            writer.write(image)
    assert len(caplog.records) == 1
    assert "50×100" in caplog.text
    image = read_back(tmp_path / "a.mp4")[0][1]
    assert image.shape == (100, 200, 3)
    assert image[50, 100].min() > 250
    assert image[:, [0, 60, 140, 199]].max() < 5


def test_folder_is_made_and_result_appears_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "out.mp4"
    with VideoWriter(path) as writer:
        assert path.parent.is_dir()
        writer.write(picture(0))
        beside = names_in(path.parent)
        assert [name.partition(".mp4")[0] for name in beside] == [".out", ".out"]  # unfinished, and its lock
    assert names_in(path.parent) == ["out.mp4"]


def test_ctrl_c_inside_the_encoder_loses_no_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes while the encoder works; Python would raise before what it returned is written."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4") as writer:  # noqa: PT012
            monkeypatch.setattr(writer, "_fitted", _interrupting(writer._fitted, at=60))
            for index in range(100):
                writer.write(picture(index))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert writer.frames == 61  # the frame in work is finished first
    assert len(read_back(tmp_path / "out.mp4")[0]) == 61


def _interrupting(make, at: int):
    count = -1

    def interrupted(*args, **options):
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGINT)
        return make(*args, **options)

    return interrupted


def test_ctrl_c_never_replaces_an_earlier_video(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").write_bytes(b"whole")
    for place in ("out.interrupted.mp4", "out.interrupted-2.mp4"):
        with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4") as writer:  # noqa: PT012
            writer.write(picture(0))
            raise KeyboardInterrupt
        assert writer.written == tmp_path / place
        assert len(read_back(tmp_path / place)[0]) == 1
    assert (tmp_path / "out.mp4").read_bytes() == b"whole"
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(picture(0))
    assert len(read_back(tmp_path / "out.mp4")[0]) == 1
    assert names_in(tmp_path) == ["out.interrupted-2.mp4", "out.interrupted.mp4", "out.mp4"]


def test_one_video_is_written_by_one_process(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4") as writer:
        with pytest.raises(OutputError, match=r"out\.mp4"):
            VideoWriter(tmp_path / "out.mp4")
        writer.write(picture(0))
    assert names_in(tmp_path) == ["out.mp4"]


def test_a_pipe_gets_the_whole_video(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "out.mp4")
    with subprocess.Popen(["cat", tmp_path / "out.mp4"], stdout=subprocess.PIPE) as reader:
        with VideoWriter(tmp_path / "out.mp4") as writer:
            for index in range(3):
                writer.write(picture(index))
        (tmp_path / "copy.mp4").write_bytes(reader.communicate()[0])
    assert (tmp_path / "out.mp4").is_fifo()
    assert len(read_back(tmp_path / "copy.mp4")[0]) == 3


def test_what_h264_and_its_containers_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="10000"):
        VideoWriter(tmp_path / "a.mp4", fps=10_000)
    with pytest.raises(OutputError, match="8×17000"), VideoWriter(tmp_path / "a.mp4") as writer:
        writer.write(np.zeros((17_000, 8, 3), np.uint8))
    assert names_in(tmp_path) == []


def test_writing_works_outside_the_main_thread(tmp_path: Path) -> None:
    def work() -> None:
        with VideoWriter(tmp_path / "a.mp4") as writer:
            writer.write(picture(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(read_back(tmp_path / "a.mp4")[0]) == 1


def test_nothing_to_write_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "a.mp4"):
        pass
    assert names_in(tmp_path) == []


def test_settings_and_frames_that_make_no_sense(tmp_path: Path) -> None:
    for settings in ({"fps": 0}, {"fps": float("nan")}, {"quality": 52}):
        with pytest.raises(ConfigurationError):
            VideoWriter(tmp_path / "a.mp4", **settings)
    for frame in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ConfigurationError), VideoWriter(tmp_path / "a.mp4") as writer:
            writer.write(frame)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(("limit", "frames"), [(30_000, 60), (1_000, 3)], ids=["while-writing", "at-the-end"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, limit: int, frames: int) -> None:
    """A limit on file size stands for the disk: the system refuses to write more in the same way."""
    script = textwrap.dedent(f"""
        import resource, numpy as np
        from netwarp.video.writer import VideoWriter
        from netwarp.errors import OutputError
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        rng = np.random.default_rng(0)
        try:
            with VideoWriter("out.mp4", quality=0) as writer:
                for _ in range({frames}):
                    writer.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
        except OutputError as error:
            print(writer.frames, error)
    """)
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    written, message = done.stdout.split(" ", 1)
    assert (int(written) < frames) == (limit == 30_000)
    assert message.startswith("out.mp4 cannot be written (File too large)")
    assert names_in(tmp_path) == []


def test_after_a_failure_the_writer_stays_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = VideoWriter(tmp_path / "a.mp4")
    writer.write(picture(0))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "_fitted", full)
    with pytest.raises(OutputError, match="No space left on device"):
        writer.write(picture(1))
    monkeypatch.undo()
    with pytest.raises(OutputError, match="no more frames"):
        writer.write(picture(2))
    with pytest.raises(OutputError, match="failed before"):
        writer.close()
    assert names_in(tmp_path) == []


def test_the_same_frames_give_the_same_file_whatever_memory_held_before(tmp_path: Path) -> None:
    """On machines with AVX-512, at sizes that are not multiples of 128."""
    script = textwrap.dedent(
        """
        import sys
        import numpy as np
        from netwarp.video.writer import VideoWriter
        y, x = np.mgrid[:144, :192]
        with VideoWriter(sys.argv[1], fps=12) as writer:
            for i in range(12):
                waves = [128 + 90 * np.sin((x - 2 * i) / 5), 128 + 90 * np.sin(y / 4 + (x - i) / 9), 99 + 0 * x + 5 * i]
                writer.write(np.stack(waves, -1).astype(np.uint8))
        """
    )
    files = []
    for filling in ("85", "170"):
        path = tmp_path / f"{filling}.mp4"
        environment = {**os.environ, "MALLOC_PERTURB_": filling}
        subprocess.run([sys.executable, "-c", script, path], check=True, env=environment)
        files.append(path.read_bytes())
    assert files[0] == files[1]
