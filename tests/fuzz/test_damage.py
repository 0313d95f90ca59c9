"""Damaged files of every kind: no crash, no hang, no "unexpected", and no wrong result without a word.

Some of each kind here, always the same; ``make fuzz`` tries more of them, other ones each time (``NETWARP_FUZZ``).
"""

import contextlib
import io
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzz.damage import damaged
from fuzz.kinds import KINDS
from netwarp.cli import main
from netwarp.errors import NetWarpError

TRIES = int(os.environ.get("NETWARP_FUZZ", "8"))
FIRST = int(os.environ.get("NETWARP_FUZZ_FIRST", "0"))
SECONDS = 30  # for what takes one at most
MEMORY = 2**30
SILENT = "another result, and no word"


class HangError(BaseException):
    """A command that did not end."""


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "cli"))
    return tmp_path


def run(command) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said), no_hang():
        return main(list(command)), said.getvalue()


def restored(whole: Path, folder: Path) -> None:
    """Make the folder what it was before the command."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(whole, folder, dirs_exist_ok=True)


def fault_of(kind, wanted, before: int) -> str | None:
    """What is wrong with how the command takes the files that are here; None if nothing is."""
    status, said = run(kind.command)
    errors = [line for line in said.splitlines() if line.startswith("netwarp: error: ")]
    if "error: unexpected " in said or (status, len(errors)) not in ((0, 0), (2, 1)):
        return f"exit {status}: {said[-300:]}"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before > MEMORY:
        return "takes more than a GiB"
    if left := [str(path) for path in Path().rglob("*.partial*")]:
        return f"leaves {left}"
    if status == 0 and kind.result is not None and not said.strip() and kind.result() != wanted:
        return SILENT
    return None


def faults(name, seeds, workplace, whole, monkeypatch) -> list[str]:
    """What goes wrong with a kind of file, damaged as each seed says."""
    kind = KINDS[name]
    kind.make()
    shutil.copytree(workplace, whole, dirs_exist_ok=True)
    if name == "configuration":  # what it says is checked before, which is what is tried here

        def enough(*args: object, **kwargs: object) -> None:
            raise NetWarpError("enough")

        monkeypatch.setattr("netwarp.training.train", enough)
    else:
        status, said = run(kind.command)
        assert not status, said
    wanted = None if kind.result is None else kind.result()
    content, found = (whole / kind.file).read_bytes(), []
    for seed in seeds:
        restored(whole, workplace)
        what, left = damaged(content, seed, text=kind.text)
        if kind.packet and content.startswith(left) and not len(left) % kind.packet:
            continue
        Path(kind.file).write_bytes(left)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if fault := fault_of(kind, wanted, before):
            found.append(f"{what}: {fault}")
    return found


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_no_surprise(name, workplace, tmp_path_factory, monkeypatch):
    tries = -(-TRIES // 4) if KINDS[name].slow else TRIES
    found = faults(name, range(FIRST, FIRST + tries), workplace, tmp_path_factory.mktemp("whole"), monkeypatch)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "seeds"),
    [
        ("mp4", (20132, 20316, 20336, 20525, 20932, 21092)),
        ("webm", (20076, 20452, 20669, 20895, 21149, 21340)),
        ("ts", (20052, 20220, 20301, 20829, 20879, 20971, 21036)),
        ("gif", (20006, 20173, 20319, 20815, 21196, 21454)),
        ("avi", (20140, 20191)),
    ],
)
def test_frames_that_once_went_unseen(name, seeds, workplace, tmp_path_factory, monkeypatch):
    found = faults(name, seeds, workplace, tmp_path_factory.mktemp("whole"), monkeypatch)
    assert not found, "\n".join(found)
