"""Every command line of README and docs/ is one that the program takes: its options are there and can be read."""

import re
import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from netwarp.cli import COMMANDS
from netwarp.cli.arguments import Parser, read_request

HERE = Path(__file__).parents[1]
PAGES = (HERE / "README.md", HERE / "CONTRIBUTING.md", *sorted((HERE / "docs").glob("*.md")))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}\S.*\n)+", re.MULTILINE)


def commands(text):
    """Command lines in fenced and indented blocks, with their continued lines, without comments."""
    fenced = [block for language, block in FENCED.findall(text) if language in ("", "bash", "sh")]
    for block in [*fenced, *INDENTED.findall(FENCED.sub("", text))]:
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("netwarp ") and (words := shlex.split(line, comments=True)):
                yield words[1:]


FOUND = [(page, words) for page in PAGES for words in commands(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "words"), FOUND, ids=[f"{p.stem}: {' '.join(words)}"[:90] for p, words in FOUND])
def test_a_documented_command_can_be_read(page, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(HERE / "examples", "examples")
    shutil.copy("examples/train.yaml", ".")
    name, *arguments = words
    module, summary = COMMANDS[name]
    command = import_module(module)
    read_request(command.Request, Parser(name, summary, command.EXAMPLE), arguments)


def test_they_are_found():
    assert {page.stem for page, _ in FOUND} >= {
        "README",
        "index",
        "your_network",
        "your_video",
        "training",
        "export",
        "live",
    }
