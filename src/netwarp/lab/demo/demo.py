"""``netwarp demo``: the whole story on video that it renders itself."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from netwarp.cli.tables import score_record, score_table
from netwarp.errors import ConfigurationError, OutputError
from netwarp.lab.demo.media import write_moving_picture, write_panels, write_street
from netwarp.lab.demo.page import render_page
from netwarp.lab.demo.story import FULL, QUICK, Story, tell
from netwarp.lab.demo.summary import NETWARP, READING, markdown
from netwarp.lab.output import need
from netwarp.output_files import Lock, reason, write_file
from netwarp.output_places import prepare_folder
from netwarp.streets import CLASSES
from netwarp.training.process_state import need_lightning


@dataclass(frozen=True)
class DemoResult:
    """What a demo leaves."""

    page: Path  # the HTML page
    table_text: str  # the table and how to read it, for the terminal
    story: Story  # models, scores and clips
    seconds: float  # how long all of it took


def run_demo(out: Path, *, seed: int = 0, quick: bool = False, progress: bool = True) -> DemoResult:
    """Render street video, train a network and a NetWarp on it, compare, and write a page about it.

    Into ``out`` go ``index.html`` (self-contained), ``side_by_side.mp4``, ``street.mp4``, ``demo.webp``
    (a moving picture), ``table.json``, ``table.md`` and ``model.safetensors``. They are made in a folder of their own
    and moved there when all are whole; what else is in ``out`` stays.
    """
    began = time.perf_counter()
    if seed < 0:
        raise ConfigurationError(f"the demo's seed must be 0 or more, not {seed}")
    need("jinja2", "Jinja2", "report", "the demo's page")
    need_lightning("the demo")
    out = Path(out)
    prepare_folder(out)
    story = tell(QUICK if quick else FULL, seed, progress)
    command = f"netwarp demo --out {out.name}" + (f" --seed {seed}" if seed else "")
    with _moved_when_whole(out) as folder:
        _write(story, folder, command)
    text = f"{score_table(story.scores)}\n\n{READING}"
    return DemoResult(out / "index.html", text, story, time.perf_counter() - began)


def _write(story: Story, folder: Path, command: str) -> None:
    with story.timed("videos"):
        size = write_panels(story, folder / "side_by_side.mp4")
        write_street(story, folder / "street.mp4")
        write_moving_picture(story, folder / "demo.webp")
    story.models[NETWARP].save(folder / "model.safetensors")
    numbers = {
        "rows": {name: score_record(scores, CLASSES) for name, scores in story.scores.items()},
        "seed": story.seed,
        "settings": asdict(story.settings),
        "seconds": {stage: round(seconds, 1) for stage, seconds in story.seconds.items()},
    }
    write_file(folder / "table.json", json.dumps(numbers, indent=2, ensure_ascii=False) + "\n")
    write_file(folder / "table.md", markdown(story.scores, CLASSES))
    write_file(folder / "index.html", render_page(story, folder / "side_by_side.mp4", size, command))


@contextmanager
def _moved_when_whole(out: Path) -> Iterator[Path]:
    """A folder in ``out``'s, whose files move into ``out`` at the end; gone if anything goes wrong."""
    folder: Path | None = None
    try:
        for left in out.glob(".netwarp-demo-*"):  # of a process that was killed
            with suppress(OutputError), Lock(left, "writing"):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=".netwarp-demo-", dir=out))
        with Lock(folder, "writing"):
            yield folder
        # The page last: where it is, all that it names is there too.
        for path in sorted(folder.iterdir(), key=lambda p: p.name == "index.html"):
            path.replace(out / path.name)
    except OSError as error:
        raise OutputError(f"the demo cannot be written to {out} ({reason(error)}): choose another folder") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
