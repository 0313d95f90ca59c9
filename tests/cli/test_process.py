"""The command line as a process: what a terminal and a script see."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_videos import decode, encode, picture

import netwarp
from netwarp.cli import COMMANDS, main

_PATHS = (str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")]))
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS), "OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-m", "netwarp"]


def test_help_and_first_mistakes_are_answered_without_torch():
    script = (
        "import sys; from netwarp.cli import COMMANDS, main\n"
        "for arguments in ([], ['--help'], *([name, '--help'] for name in COMMANDS)):\n"
        "    assert main(arguments) == 0\n"
        "assert main(['segment', '--sise']) == 2\n"
        "assert main(['segment', 'none.mp4', 'out.mp4', '--base', 'netwarp:espnet']) == 2\n"
        "assert not {'torch', 'cv2'} & set(sys.modules), sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_has_an_example_and_fits_a_terminal_of_80_columns(name: str, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*([name] if name else []), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: netwarp {name}".rstrip())
    assert not name or f"\n  netwarp {name}" in text.split("examples:")[1]
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert max(map(len, text.splitlines())) > 60


def test_version():
    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"netwarp {netwarp.__version__}\n", "")


def test_console_script():
    script = Path(sys.executable).with_name("netwarp")
    if not script.exists():
        pytest.skip("netwarp is not installed beside this Python")
    done = subprocess.run([script, "segment", "none.mp4", "o.mp4", "--base", "tinybase:build"], capture_output=True)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr == b"netwarp: error: none.mp4 does not exist: check the path\n"


def test_reader_that_has_had_enough():
    with subprocess.Popen([*COMMAND, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_video_stays_playable(workplace: Path, number: signal.Signals):
    encode(workplace / "long.mp4", [picture(i) for i in range(200)])
    arguments = ["segment", "long.mp4", "out.mp4", "--masks", "masks", "--base", "tinybase:Slow"]
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # Where the tests themselves run in the background of a script, Ctrl-C is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not (workplace / "masks" / "000009.png").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert printed == ""
    count = len(decode(workplace / "out.mp4"))
    assert 9 <= count < 200
    assert errors == (f"netwarp: error: interrupted after frame {count}: what is finished is in out.mp4 and masks\n")
    assert abs(len(list((workplace / "masks").glob("*.png"))) - count) <= 1
    assert sorted(p.name for p in workplace.iterdir()) == ["long.mp4", "masks", "out.mp4"]


def test_disk_that_fills_up(workplace: Path, fails):
    encode(workplace / "large.mp4", [picture(i, 240, 320) for i in range(12)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file may not grow beyond 64 kB: the writing ends as it does on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    try:
        said = fails("segment", "large.mp4", "new/out.mp4", "--base", "tinybase:build", "--quality", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert said.startswith("new/out.mp4 cannot be written (File too large)")


def in_shell(line: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("netwarp", f'"{sys.executable}" -m netwarp', 1)
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=ENVIRONMENT)


def test_results_do_not_depend_on_who_reads(workplace: Path):
    """stderr closed and nobody who reads stdout, or both closed: the work is done, and said where it can be."""
    encode(workplace / "a.mp4", [picture(i) for i in range(3)])
    in_shell("{ netwarp segment a.mp4 o.mp4 --base tinybase:build 2>&-; echo $? >status; } | true")
    assert (workplace / "status").read_text() == "141\n"
    assert len(decode(workplace / "o.mp4")) == 3
    assert in_shell("netwarp check-data streets:clips=1,frames=2,size=32x32 --cache c >&- 2>&-").returncode == 0
    assert sum(path.stat().st_size > 0 for path in (workplace / "c").rglob("*.*")) == 1


def test_what_the_home_folder_and_names_of_files_cannot_do(workplace: Path, fails, monkeypatch):
    (workplace / "home").mkdir()
    monkeypatch.setenv("HOME", str(workplace / "home"))
    encode(workplace / "a.mp4", [picture(0)])
    assert main(["segment", "a.mp4", "--masks=~/m", "~/o.mp4", "--base", "tinybase:build"]) == 0
    assert sorted(p.name for p in (workplace / "home").iterdir()) == ["m", "o.mp4"]
    assert not (workplace / "~").exists()
    said = fails("segment", "no\x1b[31mne.mp4", "o.mp4", "--base", "tinybase:build")
    assert "\x1b" not in said
    assert "\\x1b[31m" in said


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        (BOMB + "model: {base: *g}\n").encode(),
        b"x: [" + b"1," * 600_000 + b"]",
        "# pr\xe9f\xe9r\xe9".encode("latin-1"),
        b"out: [a]",
        b"training: {seed: 10000000000000000000000}",
        b"training: {steps: 1000000000000000}",
        b"training: {workers: 100000}",
        b"training: {rate: 1" + b"0" * 400 + b"}",
        b"training: {seed: 1" + b"0" * 5000 + b"}",
        b"out: 2026-13-45",
        b"training: {augment: {crop: [1000000, 1000000]}}",
        b"&a [*a]",
        b"? [a]\n: b",
    ],
)
def test_configurations_that_are_none_are_said_to_be_so_in_a_short_line(workplace: Path, content: bytes, capsys):
    (workplace / "c.yaml").write_bytes(content)
    assert main(["train", "--config", "c.yaml", "--data.spec", "streets", "--model.layers", "[]"]) == 2
    said = capsys.readouterr().err
    assert "unexpected" not in said
    assert len(said) < 1500
    assert len(said.splitlines()) == 1
