"""What `uv build` makes, as somebody gets it who has no checkout: `make wheel`."""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import av
import pytest

HERE = Path(__file__).parents[1]
UV = Path(sys.executable).parent / "uv"
# Neither the checkout nor what the surrounding environment imports.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
LINKS = re.compile(r"\]\((?!https?://|#)([^)]*)\)")
IN_VENV = """
import sys, torch
from torchvision import models
from netwarp.streets import render_clip
from netwarp.video.writer import VideoWriter
import netwarp
assert sys.prefix in netwarp.__file__, netwarp.__file__
with VideoWriter("in.mp4", fps=15) as writer:
    for frame in render_clip(seed=1, frames=3, size=(48, 64)):
        writer.write(frame.image, frame.time)
weights = models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT
network = models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None)
torch.save(network.state_dict(), f"{sys.argv[1]}/{weights.url.rpartition('/')[2]}")
print(netwarp.__version__)
"""


def run(*command: object, **options: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=ENVIRONMENT, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--out-dir", folder, HERE)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    return path


def metadata(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    tracked = run("git", "ls-files", "src/netwarp", cwd=HERE).split()
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.removeprefix("src/") for name in tracked} == held
    assert {"netwarp/py.typed", "netwarp/live/page.html", "netwarp/lab/demo/page.html.j2"} <= held


def test_the_version_has_one_place(wheel):
    version = re.search(r'"(.+)"', (HERE / "src/netwarp/_version.py").read_text().partition("=")[2])[1]
    assert metadata(wheel)["Version"] == version
    assert f"-{version}-" in wheel.name
    assert f"## [{version}]" in (HERE / "CHANGELOG.md").read_text()


def test_pypi_takes_both(dist):
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.glob("netwarp*"))


def test_what_pypi_shows_has_no_link_into_the_repository(wheel):
    shown = metadata(wheel).get_payload()
    assert "Any segmentation network on video" in shown
    assert not LINKS.findall(shown)


def test_the_sdist_builds_alone_and_links_to_the_repository_once_it_has_an_address(dist, tmp_path):
    (packed,) = dist.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    project = source / "pyproject.toml"
    text = project.read_text()
    project.write_text(re.sub(r'(?m)^repository = ".*?"', 'repository = "https://example.org/a/netwarp/"', text))
    run(UV, "build", "--quiet", "--wheel", "--out-dir", tmp_path, source)
    (built,) = tmp_path.glob("*.whl")
    shown = metadata(built)
    links = [link for link in LINKS.findall((HERE / "README.md").read_text()) if "://" not in link]
    for link in links:
        kind = "raw" if link.endswith((".webp", ".png")) else "blob"
        assert f"](https://example.org/a/netwarp/{kind}/v{shown['Version']}/{link})" in shown.get_payload()
        assert (HERE / link).exists()
    assert links
    assert "Source, https://example.org/a/netwarp" in shown.get_all("Project-URL")


def test_the_readmes_first_command_runs_in_an_empty_environment(wheel, tmp_path, monkeypatch):
    """With random weights in the place where torch.hub keeps the published ones, which cannot be downloaded here."""
    venv, home = tmp_path / "venv", tmp_path / "home"
    hub = home / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    monkeypatch.setitem(ENVIRONMENT, "TORCH_HOME", str(home))
    monkeypatch.setitem(ENVIRONMENT, "VIRTUAL_ENV", str(venv))
    run(UV, "venv", "--quiet", "--python", sys.executable, venv)
    run(UV, "pip", "install", "--quiet", "--constraint", HERE / "constraints.txt", wheel)
    version = run(venv / "bin/python", "-c", IN_VENV, hub, cwd=tmp_path)
    assert version.strip() == metadata(wheel)["Version"]
    first = re.search(r"(?m)^netwarp (segment .*)$", (HERE / "README.md").read_text())[1].split()
    run(venv / "bin/netwarp", *first, cwd=tmp_path)
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert [frame.height for frame in video.decode(video=0)] == [48, 48, 48]
    shutil.rmtree(venv)  # gigabytes, which pytest would keep
