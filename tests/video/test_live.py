"""Streams from a server on this machine, and cameras that are not there."""

import functools
import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from clips import encode

from netwarp.errors import InputError
from netwarp.video import live
from netwarp.video.open import open_frames


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_stream_is_read_to_its_end(server: str, tmp_path: Path) -> None:
    encode(tmp_path / "a.ts", frames=20)
    with open_frames(f"{server}/a.ts") as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(20))
    assert (source.size, source.fps, source.paths, source.loss) == ((96, 128), 25, (), None)


def test_a_stream_stops_cleanly_in_the_middle(server: str, tmp_path: Path) -> None:
    encode(tmp_path / "a.mkv", frames=20)
    with open_frames(f"{server}/a.mkv") as source:
        assert next(iter(source)).index == 0
    source.close()


def test_a_stream_with_damage_goes_on(server: str, tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", noise=60, container_options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(data)
    with open_frames(f"{server}/a.mp4") as source:
        times = [frame.time for frame in source]
    assert times[-1] == pytest.approx(39 / 25)
    assert len(times) < 40
    assert "lost data" in (source.loss or "")


def test_addresses_that_do_not_work(server: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>no video</html>")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
        for url in (f"{server}/missing.mp4", f"{server}/page.html", f"rtsp://{closed}/live", "nonsense://x"):
            with pytest.raises(InputError) as caught:
                open_frames(url)
            assert url in str(caught.value)
            assert "\n" not in str(caught.value)


def test_frames_that_are_too_large_are_refused_wherever_they_lie(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", frames=3)
    monkeypatch.setattr("netwarp.video.decoding.MOST_PIXELS", 96 * 128 - 1)
    for spec in (str(path), f"{server}/a.mp4"):
        with pytest.raises(InputError, match="128×96, which is too large"):
            open_frames(spec)


def test_passwords_stay_out_of_messages() -> None:
    with pytest.raises(InputError) as caught:
        open_frames("nonsense://me:secret@host/x")
    assert "secret" not in str(caught.value)
    assert "host/x" in str(caught.value)


def test_silence_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/live"
        with pytest.raises(InputError, match=r"did not answer for 0\.3 s"):
            live.LiveStream(url, open_timeout=0.3)


def test_a_stream_that_falls_silent_ends(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.ts", frames=40).read_bytes()
    sent = threading.Event()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data)
                sent.wait(20)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/live.ts"
            with live.LiveStream(url, open_timeout=2.0, read_timeout=0.3) as source:
                count = len(list(source))
        finally:
            sent.set()
            thread.join()
    assert count > 20
    assert "sent nothing for 0.3 s" in (source.loss or "")


def test_a_stream_that_breaks_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netwarp.video.reconnecting.FIRST_WAIT", 0.05)
    data = encode(tmp_path / "a.ts", frames=40).read_bytes()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            for sent in (data[: len(data) // 2], b"", data):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + sent)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/live.ts"
        with open_frames(url, patience=20) as source:
            frames = iter(source)
            counted = [next(frames).index for _ in range(45)]
            source.stop()
        thread.join()
    assert counted == list(range(45)), "more than the stream held before it broke"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are devices on Linux only")
@pytest.mark.parametrize("spec", [87, "87"])
def test_a_camera_that_is_not_there(spec: int | str) -> None:
    with pytest.raises(InputError, match="camera 87 cannot be opened"):
        open_frames(spec)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cameras are devices on Linux only")
def test_a_folder_whose_name_is_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "87").mkdir()
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "87" / "a.png")
    with pytest.raises(InputError, match=r"write \./87"):
        open_frames("87")
    assert len(list(open_frames("./87"))) == 1


def test_a_device_that_is_no_camera() -> None:
    with pytest.raises(InputError, match="/dev/null"):
        open_frames("/dev/null")


def test_cameras_of_other_systems_come_through_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    class Capture:
        released = False

        def __init__(self, index: int) -> None:
            self.left = 3 if index == 0 else 0

        def isOpened(self) -> bool:  # noqa: N802
            return self.left > 0

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            return (True, np.full((4, 6, 3), (1, 2, 3), np.uint8)) if self.left >= 0 else (False, None)

        def get(self, _: int) -> float:
            return 30.0

        def release(self) -> None:
            Capture.released = True

    monkeypatch.setattr("cv2.VideoCapture", Capture)
    monkeypatch.setattr(sys, "platform", "darwin")
    with open_frames(0) as source:
        frames = list(source)
    assert [frame.image[0, 0].tolist() for frame in frames] == [[3, 2, 1]] * 3
    assert (source.size, source.fps, Capture.released) == ((4, 6), 30.0, True)
    assert "stopped after frame 3" in (source.loss or "")
    with pytest.raises(InputError, match="camera 1"):
        open_frames(1)
