"""The command: a page while the source lasts, a recording that is whole, and one line for what cannot be."""

import re
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra live is not installed: no page was served")

from netwarp.cli import main
from netwarp.video.open import open_frames

BASE = ("--base", "tinybase:build")


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_file_is_shown_and_recorded(clips: Path, capsys: pytest.CaptureFixture[str]):
    assert run("live", clips / "ok.mp4", *BASE, "--port", 0, "--record", "seen.mp4") == 0
    first, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r".*ok\.mp4 with its labels: http://127\.0\.0\.1:\d+/", first)
    assert last.endswith(": seen.mp4")
    with open_frames("seen.mp4") as recorded:
        count = len(list(recorded))
    assert count >= 1
    assert last.startswith(f"{count} frame")


def test_ctrl_c_ends_it_and_the_recording_plays_before(clips: Path, capsys: pytest.CaptureFixture[str]):
    stats = []

    def end() -> None:
        record = Path("seen.mp4")
        for _ in range(1000):
            if record.exists() and record.stat().st_size > 5000:
                break
            time.sleep(0.02)
        address = re.search(r"http://\S+/", capsys.readouterr().out)
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}stats") as answer:
            stats.append(answer.status)
        with open_frames(record) as growing:
            stats.append(len(list(growing)))
        signal.raise_signal(signal.SIGINT)

    ender = threading.Thread(target=end)
    ender.start()
    status = run("live", clips / "ok.mp4", "--loop", *BASE, "--port", 0, "--record", "seen.mp4", "--no-cuts")
    ender.join()
    assert status == 0
    assert stats[0] == 200
    with open_frames("seen.mp4") as recorded:
        assert len(list(recorded)) >= stats[1] >= 1
    assert capsys.readouterr().out.endswith(": seen.mp4\n")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("87", *BASE), "camera 87"),
        (("nothing.mp4", *BASE), "nothing.mp4"),
        (("ok.mp4",), "--base"),
        (("browser", "--loop", *BASE), "--loop"),
        (("ok.mp4", *BASE, "--record", "seen.txt"), "seen.txt"),
        (("ok.mp4", *BASE, "--token", "short"), "--token"),
        (("ok.mp4", *BASE, "--port", "70000"), "70000"),
        (("ok.mp4", *BASE, "--host", "no.such.host.invalid"), "no.such.host.invalid"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be(clips: Path, fails: Callable[..., str], arguments: tuple[str, ...], named: str):
    given = [str(clips / "ok.mp4") if each == "ok.mp4" else each for each in arguments]
    assert named in fails("live", *given)


def test_a_port_in_use(clips: Path, fails: Callable[..., str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in fails("live", clips / "ok.mp4", *BASE, "--port", port)
