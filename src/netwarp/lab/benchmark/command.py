"""``netwarp benchmark``: what the warp costs over the memory's limit, and what video costs over single frames."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from netwarp.cli.models import device_named
from netwarp.cli.terminal import quiet_loading, say
from netwarp.lab.benchmark.plan import Request as Request
from netwarp.lab.benchmark.plan import check_request

EXAMPLE = """\
examples:
  netwarp benchmark
  netwarp benchmark --quick
  netwarp benchmark warp --shape 1,1024,128,128 1,19,512,1024
  netwarp benchmark stream --network espnet lraspp --json speed.json
  netwarp benchmark warp stream streams memory --plot speed.png
  netwarp benchmark flow --data camvid:DIR --split val \\
      --base netwarp:espnet --weights espnet.pth

PART is warp (warp_combine, forward and backward, against grid_sample, torch.compile and the memory's limit), stream \
(whole streams against the network frame by frame), streams (several in one process), memory (by length and number of \
streams), flow (times; with --data what each is worth) or engines (a network in PyTorch, half precision, torch.compile,
ONNX Runtime and OpenVINO); by default all of them, some 25 minutes on two cores.
What is compared takes turns; printed are medians. Ctrl-C prints and writes what is there.
docs/speed.md explains the tables and the JSON."""


def run(request: Request) -> None:
    """Measure; see the module."""
    check_request(request)
    with quiet_loading(request.debug):
        from netwarp.lab.benchmark.run import benchmark

    with _status_line() as (tell, print_above):
        benchmark(replace(request, device=device_named(request.device)), say=print_above, tell=tell)


@contextlib.contextmanager
def _status_line() -> Iterator[tuple[Callable[[str], None], Callable[[str], None]]]:
    """On a terminal a line that says what is being done, and a way to print above it; elsewhere only the printing."""
    if not sys.stderr.isatty():
        yield lambda _: None, say
        return
    from tqdm import tqdm

    with tqdm(bar_format="{desc} ({elapsed})", leave=False, dynamic_ncols=True) as line:

        def print_above(text: str) -> None:
            with line.external_write_mode(file=sys.stdout):
                say(text)

        yield line.set_description_str, print_above
