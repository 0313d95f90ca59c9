import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from small_videos import encode, picture

from netwarp.cli import main
from netwarp.streets import render_clip
from netwarp.streets.clip import StreetFrame


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, from which it imports ``tinybase`` as a user's own module."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.delenv("NETWARP_DEBUG", raising=False)
    return tmp_path


@pytest.fixture(autouse=True, scope="session")
def _rendered_once() -> Iterator[None]:
    """Commands on rendered streets all want the same few clips, which are the same whenever they are rendered."""

    @functools.cache
    def rendered(*settings: object, **more: object) -> list[StreetFrame]:
        return list(render_clip(*settings, **more))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netwarp.streets.dataset.render_clip", lambda *a, **k: iter(rendered(*a, **k)))
        yield


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ok.mp4`` and its damaged brothers; never written to."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    encode(folder / "ok.mp4", [picture(i) for i in range(8)])
    noisy = [np.clip(picture(i) + rng.integers(0, 60, (48, 64, 3)), 0, 255).astype(np.uint8) for i in range(30)]
    whole = encode(folder / "whole.mp4", noisy, movflags="+faststart").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    (folder / "unfinished.mp4").write_bytes(encode(folder / "tail.mp4", noisy).read_bytes()[:4000])
    (folder / "text.mp4").write_text("this is no video\n" * 40)
    (folder / "zero.mp4").touch()
    return folder


@pytest.fixture
def images(workplace: Path) -> Path:
    folder = workplace / "images"
    folder.mkdir()
    for index in range(4):
        PIL.Image.fromarray(picture(index)).save(folder / f"shot{index}.png")
    return folder


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail as commands do; gives the text behind ``netwarp: error:``."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        before = sorted(Path.cwd().rglob("*"))
        assert main([str(a) for a in arguments]) == 2
        printed = capsys.readouterr()
        lines = printed.err.splitlines()
        assert len(lines) == 1, printed.err
        assert lines[0].startswith("netwarp: error: ")
        assert printed.out == ""
        assert sorted(Path.cwd().rglob("*")) == before, "a failed command left something behind"
        return lines[0].removeprefix("netwarp: error: ")

    return run
