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

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "OMP_NUM_THREADS": "1"}
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


def test_without_arguments_help(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


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
    encode(workplace / "long.mp4", [picture(i) for i in range(400)])
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
    assert 9 <= count < 400
    assert errors == (f"netwarp: error: interrupted after frame {count}: what is finished is in out.mp4 and masks\n")
    assert abs(len(list((workplace / "masks").glob("*.png"))) - count) <= 1
    assert sorted(p.name for p in workplace.iterdir()) == ["long.mp4", "masks", "out.mp4"]


def test_disk_that_fills_up(workplace: Path):
    encode(workplace / "large.mp4", [picture(i, 240, 320) for i in range(12)])
    done = subprocess.run(
        [*COMMAND, "segment", "large.mp4", "new/out.mp4", "--base", "tinybase:build", "--quality", "0"],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"},
        # A file may not grow beyond 64 kB: the writing ends as it does on a full disk.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("netwarp: error: new/out.mp4 cannot be written (File too large)")
    assert sorted(p.name for p in workplace.iterdir()) == ["large.mp4"]
