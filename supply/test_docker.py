"""The Dockerfile: linted, and its steps run as a script, since no image is built here: `make wheel`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TEXT = (HERE / "Dockerfile").read_text()
STAGES = re.split(r"(?m)^FROM .*\n", re.sub(r"(?m)^#.*\n", "", TEXT).replace("\\\n", " "))[1:]


def steps(stage):
    """RUN commands of a stage, without what only a builder knows."""
    return [re.sub(r"--mount=\S+", "", step) for step in re.findall(r"(?m)^RUN (.*)$", stage)]


def copied(stage):
    """Files and folders that a stage takes out of the checkout."""
    lines = re.findall(r"(?m)^COPY (?!--)(.*)$", stage)
    return [(name, words[-1]) for words in map(str.split, lines) for name in words[:-1]]


def test_lint():
    done = subprocess.run([BIN / "hadolint", HERE / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_ignore_file_lets_in_what_is_copied_and_no_more():
    let_in = {line[1:] for line in (HERE / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == {name for stage in STAGES for name, _ in copied(stage)}
    assert all((HERE / name).exists() for name in let_in)


@pytest.fixture
def root(tmp_path):
    yield tmp_path
    shutil.rmtree(tmp_path / "opt", ignore_errors=True)  # gigabytes, which pytest would keep


def test_its_steps_make_an_installation_that_runs(root):
    """In a folder in place of /, from the ordinary registry: that of PyTorch's CPU builds is not asked."""
    _, libraries, wheel, final = STAGES
    script = ["set -eux"]
    for stage in (libraries, wheel):
        build = root / f"build{len(script)}"
        build.mkdir()
        for name, place in copied(stage):
            copy = shutil.copytree if (HERE / name).is_dir() else shutil.copy
            copy(HERE / name, build / (name if place == "./" else place))
        script += [f"cd {build}", *steps(stage)]
    script += [step for step in steps(final) if "uv pip install" in step]
    text = "\n".join(script).replace('--torch-backend="${TORCH}"', "").replace("--no-cache ", "")
    text = re.sub(r"(?<=[ =])/(opt|dist)\b", rf"{root}/\1", text)
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment = {**ours, "PATH": f"{BIN}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    environment = {"PATH": f"{root}/opt/netwarp/bin", "HOME": str(root)}
    for words in (["--version"], ["live", "--help"], ["segment", "--help"]):
        subprocess.run(["netwarp", *words], check=True, capture_output=True, env=environment, cwd=root)
    subprocess.run(["python", "-c", "import starlette, transformers"], check=True, env=environment, cwd=root)
