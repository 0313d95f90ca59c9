"""What ``netwarp reproduce`` is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from netwarp.cli.arguments import argument, flag, local_place, number, option
from netwarp.cli.network_options import DeviceOption, size
from netwarp.lab.study.command import count

TARGETS = ("table1", "table2", "table3", "table4", "table5", "fig4", "fig5", "fig6")

_width = number(lambda width: 0 < width <= 1, "is not a fraction: give a number above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class Request(DeviceOption):
    """What is asked for; None leaves it to :func:`netwarp.lab.paper.setups.setup_for`."""

    target: str = argument("TARGET", f"one of {', '.join(TARGETS)}", choices=TARGETS)
    data: str | None = option("SPEC", "camvid:DIR, cityscapes:DIR, vspw:DIR, folder:DIR or streets:…")
    out: str | None = option("DIR", "where everything goes (default: runs/reproduce)", type=local_place)
    base: str | None = option("SPEC", "another of the paper's networks, netwarp:NAME or NAME@FRACTION")
    width: float | None = option("FRACTION", "of the network's channels, instead of --base", type=_width)
    weights: str | None = option(
        "FILE", "the network's weights (default: it is trained first; imagenet: that, from VGG-16's)"
    )
    raft: str | None = option("FILE", "table2: weights for RAFT as the accurate flow; the same as --flow raft:FILE")
    flow: str | None = option(
        "SPEC", "table2: the accurate flow, raft:FILE, or precomputed:FOLDER for FlowFields' files"
    )
    crf: bool = flag("table3: a dense CRF too, which the extra crf brings")
    rows: list[str] | None = option("NAME", "only these lines of the table, the base and the controls", nargs="+")
    steps: int | None = option("N", "steps that each row is trained for", type=count)
    base_steps: int | None = option("N", "steps that the network is trained for first", type=count)
    seeds: int | None = option("N", "how often each row is trained (default: 1)", type=count)
    jobs: int | None = option("N", "processes of one thread (default: one for each core; 1 on a GPU)", type=count)
    size: tuple[int, int] | None = option("WxH", "size that frames get for the network; scores at theirs", type=size)
    as_published: bool = flag(
        "train as the paper: no augmentation, plain loss, batch norms frozen, FlowCNN from Gaussian noise"
    )
    quick: bool = flag("two steps on tiny data: to see that all of it runs")
