"""Files that appear whole or not at all."""

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from netwarp.errors import InputError, OutputError
from netwarp.output_files import atomic_write, check_places, prepare_file, prepare_folder, write_file


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_changes_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "new" / "deep" / "a.bin"
    with atomic_write(path) as file:
        file.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    with atomic_write(path) as file:
        file.write(b"second")
        file.flush()
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second"
    assert names_in(path.parent) == ["a.bin"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("odd"), InputError("of the block's own")])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path, failure):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(failure)) as raised, atomic_write(path) as file:  # noqa: PT012
        file.write(b"half")
        raise failure
    assert raised.value is failure
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_a_full_disk_is_said_in_one_line_with_advice(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputError) as raised, atomic_write(path, "think small") as file:  # noqa: PT012
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert str(raised.value) == f"cannot write {path} (No space left on device): think small"
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("name", ["file/a.bin", "folder", "zero\0byte", "x" * 300])
def test_places_that_take_no_file_are_said_and_left_alone(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    said = r"^cannot write .*\): free space or choose another place$"
    with pytest.raises(OutputError, match=said) as raised, atomic_write(tmp_path / name) as file:
        file.write(b"new")
    assert "\n" not in str(raised.value)
    assert names_in(tmp_path) == ["file", "folder"]
    assert names_in(tmp_path / "folder") == []


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with atomic_write(tmp_path / "ours") as file:
            file.write(b"x")
        (tmp_path / "plain").write_bytes(b"x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "plain")]
    assert modes == [0o666 & ~umask] * 2


def test_the_umask_of_the_process_is_left_alone(tmp_path, monkeypatch):
    """It belongs to all threads: one that makes a file in that moment would make it open to everybody."""

    def forbidden(mask):
        raise AssertionError("umask changed")

    monkeypatch.setattr(os, "umask", forbidden)
    with atomic_write(tmp_path / "a") as file:
        file.write(b"x")


def test_writers_of_one_file_do_not_mix(tmp_path):
    path = tmp_path / "a.bin"

    def write(byte: int) -> bytes:
        with atomic_write(path) as file:
            for _ in range(50):
                file.write(bytes([byte]) * 1000)
        return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        for content in pool.map(write, range(64)):
            assert len(content) == 50_000
            assert len(set(content)) == 1
    assert names_in(tmp_path) == ["a.bin"]


def test_killed_while_writing_the_old_file_is_still_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import sys, pathlib, time\nfrom netwarp.output_files import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'new'); file.flush(); print('half', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"half\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["file", "file/below/deeper", "zero\0byte", "/proc/netwarp"])
def test_folders_that_take_no_file_are_refused(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=name.replace("\0", ".")) as raised:
        prepare_folder(tmp_path / name)
    assert "\n" not in str(raised.value)
    if name.startswith("file"):
        with pytest.raises(OutputError, match=name):
            check_places([], masks=tmp_path / name)
    assert names_in(tmp_path) == ["file"]


def test_a_place_is_neither_a_folder_nor_the_input(tmp_path):
    source = tmp_path / "a.mp4"
    source.touch()
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "folder.mp4").mkdir()
    for name, said in (("a.mp4", "input itself"), ("link.mp4", "input itself"), ("folder.mp4", "is a folder")):
        with pytest.raises(OutputError, match=said):
            check_places([source], video=tmp_path / name)
        with pytest.raises(OutputError, match=said):
            prepare_file(tmp_path / name, [source, tmp_path / "missing"])
    with pytest.raises(OutputError, match=r"a\.txt"):
        check_places([], video=tmp_path / "a.txt")
    check_places([source], video=tmp_path / "new" / "b.mp4", masks=tmp_path / "masks", file=tmp_path / "c")
    assert names_in(tmp_path) == ["a.mp4", "folder.mp4", "link.mp4"]


def test_text_is_written_as_utf_8(tmp_path):
    write_file(tmp_path / "a.md", "1 × 1\n")
    assert (tmp_path / "a.md").read_bytes() == "1 × 1\n".encode()
