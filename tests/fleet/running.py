"""Run a fleet of :class:`fleet.jobs.FileJob` in a folder, without the command line."""

import json
import secrets
from pathlib import Path

from fleet.jobs import FileJob
from netwarp.fleet.fleet import Fleet, check_listing
from netwarp.fleet.pools import LocalPool
from netwarp.fleet.records import Ledger, Record
from netwarp.fleet.sources import list_videos
from netwarp.fleet.store import open_store
from netwarp.fleet.worker import KINDS, Plan


def plan_for(out: str, mark: str = "a", kinds: tuple[str, ...] = ("video",)) -> Plan:
    here = Path.cwd()
    return Plan(FileJob(mark), open_store(out).address, secrets.token_hex(4), kinds, str(here / "cache"), 1000, None,
                str(here))  # fmt: skip


def run_fleet(
    out: str = "out",
    *inputs: str,
    mark: str = "a",
    kinds: tuple[str, ...] = ("video",),
    workers: int = 1,
    redo: bool = False,
    settings: dict | None = None,
    pool=None,
    show=lambda status: None,
) -> dict[str, Record]:
    """The records by name."""
    store, plan = open_store(out), plan_for(out, mark, kinds)
    listing = list_videos(inputs or ["in"], out, [KINDS[kind] for kind in kinds])
    check_listing(listing, store, kinds)
    store.prepare()
    with store.claimed():
        fleet = Fleet(listing, store, Ledger(store, settings or {}, redo=redo), plan.token, show)
        fleet.run(LocalPool(plan, [None] * workers) if pool is None else pool(plan))
        return fleet.records


def tables(out: str = "out") -> dict:
    """What ``fleet.json`` says."""
    return json.loads((Path(out) / "fleet.json").read_text())
