"""One at a time in a folder: threads stand for processes, as each opens the lock anew."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netwarp.errors import OutputError
from netwarp.lab.study.training import file_lock


def test_others_wait_until_the_end_of_the_block(tmp_path: Path):
    entered = threading.Event()

    def enter() -> None:
        with file_lock(tmp_path / "x"):
            entered.set()

    with ThreadPoolExecutor(1) as pool:
        with file_lock(tmp_path / "x"):
            waiting = pool.submit(enter)
            assert not entered.wait(0.3)
            with file_lock(tmp_path / "y"):  # another folder
                pass
        waiting.result()
    assert entered.is_set()


def test_a_process_that_is_killed_keeps_nobody_out(tmp_path: Path):
    code = (
        "import sys, pathlib, time\nfrom netwarp.lab.study.training import file_lock\n"
        "with file_lock(pathlib.Path(sys.argv[1])):\n    print('in', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x")], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"in\n"
        process.kill()
    with file_lock(tmp_path / "x"):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), file_lock(tmp_path / "file" / "x"):
        pass
