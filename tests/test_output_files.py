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
from netwarp.output_files import Lock, atomic_write, write_file
from netwarp.output_places import check_places, prepare_file, prepare_folder


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
            check_places([], folders=[tmp_path / name])
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
    check_places([source], video=tmp_path / "new" / "b.mp4", folders=[tmp_path / "masks"], files=[tmp_path / "c"])
    assert names_in(tmp_path) == ["a.mp4", "folder.mp4", "link.mp4"]


def test_text_is_written_as_utf_8(tmp_path):
    write_file(tmp_path / "a.md", "1 × 1\n")
    assert (tmp_path / "a.md").read_bytes() == "1 × 1\n".encode()


def test_what_a_killed_process_left_goes_with_the_next_write_and_what_is_being_written_stays(tmp_path):
    code = (
        "import os, sys, pathlib\nfrom netwarp.output_files import atomic_write\n"
        "with atomic_write(pathlib.Path(sys.argv[1])) as file:\n    file.write(b'half'); os.kill(os.getpid(), 9)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.bin")])
        assert len(names_in(tmp_path)) == 1
    (tmp_path / ".of.a.user.partial").touch()
    with atomic_write(tmp_path / "b.bin"):
        swept = names_in(tmp_path)
        assert len(swept) == 2
        script = "import sys, pathlib, netwarp.output_files as o\no.write_file(pathlib.Path(sys.argv[1]), b'other')"
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "c.bin")], check=True)
        assert names_in(tmp_path) == sorted([*swept, "c.bin"])
    assert names_in(tmp_path) == [".of.a.user.partial", "b.bin", "c.bin"]


def test_a_link_stays_a_link_and_what_it_leads_to_is_written(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "file")
    for content in (b"first", b"second"):
        prepare_file(tmp_path / "link")
        write_file(tmp_path / "link", content)
        assert (tmp_path / "deep" / "file").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    assert names_in(tmp_path / "deep") == ["file"]


def test_a_pipe_gets_the_content_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    prepare_file(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        write_file(tmp_path / "pipe", b"content")
        assert reader.communicate()[0] == b"content"
    assert (tmp_path / "pipe").is_fifo()
    assert names_in(tmp_path) == ["pipe"]


@pytest.mark.parametrize("redirected", [False, True])
def test_stdout_by_its_name_gets_the_content_behind_what_was_printed(tmp_path, redirected):
    code = (
        "import pathlib, netwarp.output_files as o\nprint('said')\n"
        "o.write_file(pathlib.Path('/dev/stdout'), b'content ')\nprint('more')"
    )
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run([sys.executable, "-c", code], stdout=out if redirected else subprocess.PIPE, check=True)
    assert ((tmp_path / "out").read_bytes() if redirected else done.stdout) == b"said\ncontent more\n"


@pytest.mark.parametrize("name", ["a.mp4", "folder"])
def test_a_lock_keeps_a_second_process_out_and_ends_with_its_process(tmp_path, name):
    (tmp_path / "folder").mkdir()
    code = (
        "import sys, pathlib, time\nfrom netwarp.output_files import Lock\n"
        "held = Lock(pathlib.Path(sys.argv[1]), 'writing')\nprint('held', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / name], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match=name):
            Lock(tmp_path / name, "writing")
        process.kill()
    with Lock(tmp_path / name, "writing"), pytest.raises(OutputError):
        Lock(tmp_path / name, "writing")
    assert names_in(tmp_path) == ["folder"]
    assert names_in(tmp_path / "folder") == []


def test_a_lock_does_not_follow_a_link_that_waits_at_its_place(tmp_path):
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".a.mp4.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError, match=r"a\.mp4"):
        Lock(tmp_path / "a.mp4", "writing")
    assert (tmp_path / "victim").read_bytes() == b"precious"
