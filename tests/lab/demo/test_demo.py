"""The demo from end to end, small, its page in a browser, and its command."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import netwarp
from netwarp.cli import main
from netwarp.errors import ConfigurationError, MissingExtraError, OutputError
from netwarp.lab.demo.demo import DemoResult, run_demo
from netwarp.lab.demo.summary import BASE, CONTROL, FREE, NETWARP
from netwarp.streets import CLASSES
from netwarp.video.open import open_frames

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Polled in an expression: the page's security policy lets no script be evaluated by name later.
PLAYED = """new Promise(done => {
  const video = document.querySelector('video'), until = performance.now() + 20000;
  const over = () => video.currentTime > 0.1 || performance.now() > until;
  const look = () => over() ? done(video.currentTime) : setTimeout(look, 50);
  look();
})"""
FILES = ["demo.webp", "index.html", "model.safetensors", "side_by_side.mp4", "street.mp4", "table.json", "table.md"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    out = tmp_path_factory.mktemp("demo") / "made"
    before = torch.random.get_rng_state()
    result = run_demo(out, quick=True, progress=False)
    assert torch.equal(before, torch.random.get_rng_state())
    return result


def test_all_files_are_there_and_nothing_else(demo: DemoResult) -> None:
    assert sorted(path.name for path in demo.page.parent.iterdir()) == FILES


def test_the_table_has_its_rows_in_order(demo: DemoResult) -> None:
    numbers = json.loads((demo.page.parent / "table.json").read_text(encoding="utf-8"))
    assert list(numbers["rows"]) == [BASE, CONTROL, FREE, NETWARP]
    assert list(numbers["rows"][BASE]["per_class"]) == list(CLASSES)
    lines, markdown = demo.table_text.splitlines(), (demo.page.parent / "table.md").read_text(encoding="utf-8")
    for name, line in zip(numbers["rows"], lines[2:6], strict=True):
        row = numbers["rows"][name]
        shown = [float(text) for text in line.removeprefix(name).split()]
        assert shown[:3] == pytest.approx([row["miou"], row["tiou"]["2"], row["iiou"]], abs=0.006)
        assert f"| {name} | {row['miou']:.2f} | {row['tiou']['2']:.2f} | {row['tc']:.2f} |" in markdown
    tables = [block.splitlines() for block in markdown.split("\n\n") if block.startswith("|")]
    assert [len({line.count("|") for line in table}) for table in tables] == [1, 1]


def test_the_control_is_netwarp_with_its_memory_shut(demo: DemoResult) -> None:
    models = demo.story.models
    ours, theirs = models[NETWARP].netwarps[0], models[CONTROL].netwarps[0]
    assert not theirs.w2.any()
    assert ours.w2.any()
    assert len(demo.story.losses[NETWARP]) == len(demo.story.losses[CONTROL])


def test_the_saved_model_labels_the_saved_street(demo: DemoResult) -> None:
    folder = demo.page.parent
    model = netwarp.load(folder / "model.safetensors")
    with open_frames(folder / "street.mp4") as source:
        frames = [frame.image for frame in source]
    assert len(frames) == sum(len(clip) for clip in demo.story.test)
    assert frames[0].shape[:2] == demo.story.settings.size
    state, ours = None, None
    for image in [frame.image for frame in demo.story.test[0][:2]]:
        with torch.no_grad():
            logits, state = model.step(image, state)
            expected, ours = demo.story.models[NETWARP].step(image, ours)
        # The trained one lies in memory channels-last, which sums in another order.
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_the_page_holds_what_it_shows(demo: DemoResult) -> None:
    html = demo.page.read_text(encoding="utf-8")
    sources = re.findall(r"""(?:src|href|poster)\s*=\s*["']([^"']*)""", html)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r"url\(|@import|https?:", html)


def test_a_file_in_the_way_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(OutputError, match="choose another"):
        run_demo(tmp_path / "file", quick=True, progress=False)


@pytest.mark.parametrize(("missing", "extra"), [("jinja2", "report"), ("lightning.fabric", "train")])
def test_what_is_missing_is_said_before_the_work(tmp_path: Path, monkeypatch, missing: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"\[{extra}\]"):
        run_demo(tmp_path / "none", quick=True, progress=False)
    with pytest.raises(ConfigurationError, match="seed"):
        run_demo(tmp_path / "none", seed=-1, quick=True)
    assert not (tmp_path / "none").exists()


def test_what_fails_leaves_nothing(demo: DemoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("netwarp.lab.demo.demo.tell", lambda *_: demo.story)
    monkeypatch.setattr("netwarp.lab.demo.demo.render_page", fail)
    with pytest.raises(OutputError, match="No space left"):
        run_demo(tmp_path / "out", quick=True, progress=False)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: the page was not looked at in a browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser test")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1600, "dark")])
def test_the_page_in_a_browser(demo: DemoResult, browser: Any, width: int, scheme: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(demo.page.as_uri())

    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for kind in ("h1", "p", "td", "figcaption", "li"):
        size = page.eval_on_selector(kind, "e => parseFloat(getComputedStyle(e).fontSize)")
        assert size >= 14, f"{kind} is set in {size} px"
    pictures = page.eval_on_selector_all("img", "all => all.map(i => [i.complete && i.naturalWidth > 0, i.alt])")
    assert pictures
    assert all(loaded and alt for loaded, alt in pictures)

    assert page.evaluate("document.querySelector('video').play().then(() => true, () => false)")
    assert page.evaluate(PLAYED) > 0.1
    video = page.evaluate(
        "(v => ({error: v.error, ready: v.readyState, width: v.videoWidth, shown: v.clientWidth}))"
        "(document.querySelector('video'))"
    )
    assert video["error"] is None
    assert video["ready"] >= 2
    assert video["shown"] <= width
    assert video["width"] == 2 * 2 * demo.story.settings.size[1] + 2
    assert problems == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
    page.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [([], (Path("netwarp-demo"), 0, False)), (["--out", "here", "--seed", "7", "--quick"], (Path("here"), 7, True))],
)
def test_arguments_reach_the_demo_and_its_table_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: tuple
):
    calls = []

    def run_demo(out: Path, *, seed: int, quick: bool, progress: bool) -> SimpleNamespace:
        calls.append((out, seed, quick, progress))
        return SimpleNamespace(page=out / "index.html", table_text="the table", seconds=61.8)

    module = ModuleType("netwarp.lab.demo.demo")
    module.run_demo = run_demo
    monkeypatch.setitem(sys.modules, "netwarp.lab.demo.demo", module)
    assert main(["demo", *arguments]) == 0
    assert calls == [(*expected, False)]
    assert capsys.readouterr().out == f"the table\n\n62 s: open {expected[0] / 'index.html'} in a browser\n"


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", "4294967296"])
def test_seed_is_checked(capsys: pytest.CaptureFixture[str], seed: str):
    assert main(["demo", "--seed", seed]) == 2
    assert "is not a whole number from 0" in capsys.readouterr().err
