"""``netwarp fleet``: many videos, by a worker for each device of this machine or of a Ray cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwarp.cli.arguments import argument, flag, option, whole_number
from netwarp.cli.models import base_of, device_named
from netwarp.cli.segment import Places, RenderOptions, check_combinations, model_builder, opened, rendering
from netwarp.cli.terminal import going_on_later, note, say, warn
from netwarp.errors import ConfigurationError, InputError, unknown_name

if TYPE_CHECKING:
    from netwarp.fleet.pools import Pool
    from netwarp.fleet.records import Record
    from netwarp.fleet.worker import Advance, Plan, Render
    from netwarp.inference.render import Rendered

EXAMPLE = """\
examples:
  netwarp fleet recordings/ labelled/ --base netwarp:espnet --weights espnet.pth
  netwarp fleet list.txt "more/*.avi" labelled/ --model trained.safetensors \\
      --keyframes auto
  netwarp fleet s3://bucket/in s3://bucket/out --model trained.safetensors \\
      --cluster auto
  netwarp fleet --status labelled/

INPUT are videos, folders, globs, text lists (.txt, an input a line) and addresses that fsspec reaches (s3://, gs://,
http://). OUT is a folder or such an address: it gets a video (or a folder of label maps) for each, in the tree of the
inputs, and fleet.json and fleet.csv. Started again, the same command goes on: it skips what is finished, and does what
changed since or failed."""

THREADS = 4
"""Cores for a worker without a GPU: a network gains little from more, and more workers gain all of them."""

SHOWN = 30
"""Most videos in the table on the terminal."""

_HOW = (
    *("debug", "places", "model", "weights", "palette", "device", "workers", "threads", "cluster", "cache"),
    *("cache_size", "redo", "status"),
)
"""Options that results do not depend on, or that the weights' hash stands for."""


@dataclass(frozen=True, kw_only=True)
class Request(RenderOptions):
    """What is asked for."""

    places: list[str] = argument("INPUT… OUT", "what to segment, and where results go", nargs="*")
    write: list[str] = option(
        "WHAT",
        "what OUT gets of each: video, masks and confidence (folders of images), areas and rle (files of numbers), or "
        "several (default: video)",
        nargs="+",
        names=(),
        default=("video",),
    )
    workers: int | None = option(
        "N", "of them (default: one for each GPU, or for each --threads cores)", type=whole_number(1, 100_000)
    )
    threads: int | None = option(
        "N", f"cores of a worker (default: {THREADS}, or all where there are fewer)", type=whole_number(1, 1024)
    )
    cluster: str | None = option("ADDRESS", "of a Ray cluster to work on, or auto for the one that runs here")
    cache: str | None = option("DIR", "what comes from addresses is kept there (default: in ~/.cache/netwarp)")
    cache_size: int = option("GB", "most that is kept there (default: 20)", type=whole_number(0, 1_000_000), default=20)
    redo: bool = flag("do all anew, also with another model or other settings than before")
    status: str | None = option("OUT", "say how far the fleet is that writes there, and do nothing else")


def run(request: Request) -> None:
    """Do all videos; see the module."""
    if request.status is not None:
        _say_status(request.status)
        return
    if len(request.places) < 2:
        raise ConfigurationError("INPUT and OUT are missing: write them before the options")
    check_combinations(request)
    if "video" not in request.write:
        request.refuse(("side_by_side", "legend"), "goes with a video: add video to --write")
    from netwarp.datasets.video_frames import default_cache
    from netwarp.fleet.fleet import Fleet, check_listing
    from netwarp.fleet.records import Ledger
    from netwarp.fleet.sources import list_videos
    from netwarp.fleet.store import open_store
    from netwarp.fleet.worker import KINDS, Plan

    if unknown := [name for name in request.write if name not in KINDS]:
        raise unknown_name("kind of result", unknown[0], KINDS)
    kinds = tuple(kind for kind in KINDS if kind in request.write)
    *inputs, out = request.places
    if not out:
        raise ConfigurationError("OUT is an empty text: name a place ('.' is the current folder)")
    store = open_store(out)
    listing = list_videos(inputs, out, [KINDS[kind] for kind in kinds])
    check_listing(listing, store, kinds)
    for text, why in list(listing.missing.items())[:SHOWN]:
        warn(f"{text} {why}")
    if listing.left_out:
        note(f"left out of the folders, as they are no videos: {listing.left_out}")
    cache = Path(request.cache) if request.cache else default_cache() / "fleet"
    plan = Plan(
        job=SegmentJob(request), out=store.address, token=secrets.token_hex(8), kinds=kinds,
        cache=str(cache.absolute()), cache_limit=request.cache_size * 10**9, threads=request.threads,
        current=str(Path.cwd()),
    )  # fmt: skip
    pool = _pool(request, plan)
    store.prepare()
    with store.claimed(), _bars() as show, going_on_later():
        fleet = Fleet(listing, store, Ledger(store, _settings(request), redo=request.redo), plan.token, show)
        records = fleet.run(pool)
    if fleet.skipped:
        note(f"{fleet.skipped} of {len(listing.videos)} videos were finished before")
    for text in dict.fromkeys(text for record in records for text in record.warnings):
        warn(text)
    say(f"{_table(records)}\n\n{store}/fleet.json, {store}/fleet.csv")
    faulty = [record for record in records if record.fault is not None]
    if faulty:
        first = faulty[0]
        raise InputError(
            f"{len(faulty)} of {len(records)} inputs could not be segmented, or not wholly: {first.name}: {first.fault}"
        )


@dataclass(frozen=True)
class SegmentJob:
    """``netwarp segment`` with a request's options, in a form that travels to workers."""

    request: Request

    def __call__(self, device: str | None) -> tuple[str, Render]:
        """See :data:`netwarp.fleet.worker.Job`."""
        import torch

        from netwarp.model.model_file import read

        request = self.request if device is None else dataclasses.replace(self.request, device=device)
        model_for = model_builder(request)
        if request.model is not None:
            read(request.model)  # what is wrong with it is no video's fault
        torch.manual_seed(0)  # weights that nobody gave are the same in all workers
        weights = _weights_hash(request)

        def render_one(source: str | list[str], places: dict[str, Path], advance: Advance) -> Rendered:
            from netwarp.inference.render import render

            goals: Any = places
            with opened(request, source, (), Places(**goals)) as frames:
                torch.manual_seed(0)
                model = model_for(frames.size)
                count, done = frames.length, iter(range(1, sys.maxsize))
                return render(
                    frames, model, **goals, on_frame=lambda _: advance(next(done), count), **rendering(request),
                )  # fmt: skip

        return weights, render_one


def _weights_hash(request: Request) -> str:
    """Stands for all files that the options name, and for weights that a library brings."""
    digest = hashlib.sha256()
    files = [path for path in request.files_named(but=("places", "cache", "cluster", "write")) if path.is_file()]
    for path in sorted(set(files)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if request.base is not None and not any(path == Path(request.weights or "") for path in files):
        from netwarp.weights import weights_digest

        digest.update(weights_digest(base_of(request)).encode())
    return digest.hexdigest()


def _settings(request: Request) -> dict[str, Any]:
    """The options that results depend on, where they are not as usual."""
    fields = {field.name: field.default for field in dataclasses.fields(request) if field.name not in _HOW}
    values = {name: getattr(request, name) for name in fields} | {"write": tuple(sorted(request.write))}
    return {name: value for name, value in values.items() if value != fields[name]}


def _pool(request: Request, plan: Plan) -> Pool:
    from netwarp.fleet.pools import LocalPool, RayPool
    from netwarp.inference.threads import cores_of_process

    engine = request.engine is not None or (request.base or "").startswith("onnx:")
    if request.cluster is not None:
        on = False if engine or request.device == "cpu" else True if request.device.startswith("cuda") else None
        return RayPool(plan, request.cluster, gpus=on, threads=request.threads or THREADS, workers=request.workers)
    device, cores = "cpu" if engine else device_named(request.device), cores_of_process()
    if device == "cuda":
        import torch

        gpus = torch.cuda.device_count()
        devices: list[str | None] = [f"cuda:{index % gpus}" for index in range(request.workers or gpus)]
    elif device.startswith("cuda"):
        devices = [device] * (request.workers or 1)
    else:
        devices = [None] * (request.workers or max(1, cores // (request.threads or THREADS)))
    threads = request.threads or max(1, cores // len(devices))
    return LocalPool(dataclasses.replace(plan, threads=threads), devices)


@contextlib.contextmanager
def _bars() -> Iterator[Any]:
    """A bar of videos and one of frames for each worker, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda status: None
        return
    from tqdm import tqdm

    bars: dict[object, tqdm[Any]] = {}

    def bar(key: object, unit: str, what: str, done: int, of: int | None) -> None:
        if key not in bars:
            bars[key] = tqdm(desc=what, total=of, unit=unit, position=len(bars), dynamic_ncols=True)
        shown = bars[key]
        if shown.desc.removesuffix(": ") != what:
            shown.reset(total=of)
            shown.set_description(what, refresh=False)
        shown.total, shown.n = of, done
        shown.refresh()

    def show(status: Mapping[str, Any]) -> None:
        bar(None, " videos", f"{status['faults']} faults", status["ended_videos"], status["videos"])
        for place, worker in enumerate(status["workers"]):
            what = worker["video"] or ("waiting" if worker["worker"] else "getting ready")
            bar(place, " frames", f"{worker['number']}: {what}", worker["frames"], worker["of"])

    try:
        yield show
    finally:
        for each in bars.values():
            each.close()


def _table(records: Sequence[Record]) -> str:
    from netwarp.cli.tables import aligned
    from netwarp.fleet.records import totals

    def line(name: str, of: Mapping[str, Any], fault: str) -> list[str]:
        rate, share = of["frames_per_second"], of["keyframe_share"]
        cells = [str(of["frames"]), f"{of['seconds']:.1f}", "" if rate is None else f"{rate:.1f}"]
        return [name, *cells, "" if share is None else f"{share:.0%}", fault]

    shown = list(records) if len(records) <= SHOWN else [record for record in records if record.fault][:SHOWN]
    total = totals(records)
    counts = ", ".join(
        f"{total[name]} {name.replace('_', ' ')}"
        for name in ("damaged", "failed", "set_aside", "missing")
        if total[name]
    )
    return aligned(
        [
            ["video", "frames", "seconds", "frames/s", "keyframes", "fault"],
            *(line(record.name, vars(record), record.state if record.fault else "") for record in shown),
            line(f"{total['done']} of {len(records)} done", total, counts),
        ]
    )


def _say_status(out: str) -> None:
    from netwarp.fleet.store import SILENT, STATUS, open_store

    status = open_store(out).read_json(STATUS)
    if status is None:
        raise InputError(f"no fleet has written into {out}: check the name", option="status")
    ago = time.time() - status["updated"]
    state = "ended" if status["ended"] else "runs" if ago < SILENT else "gave no sign of life since"
    lines = [
        f"{status['ended_videos']} of {status['videos']} videos, {status['frames']} frames, {status['faults']} faults, "
        f"{status['missing']} missing; {status['by']} {state} ({ago:.0f} s ago)"
    ]
    for worker in status["workers"]:
        of = "" if worker["of"] is None else f" of {worker['of']}"
        what = f"frame {worker['frames']}{of} of {worker['video']}" if worker["video"] else "waits"
        lines.append(f"  {worker['number']}  {worker['worker'] or 'gets ready'}  {worker['done']} done, {what}")
    say("\n".join(lines))
