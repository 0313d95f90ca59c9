"""``netwarp reproduce``: the paper's tables and figures, with the paper's numbers beside those found here."""

from __future__ import annotations

import sys

from netwarp.cli.terminal import going_on_later, quiet_loading, say
from netwarp.errors import ConfigurationError
from netwarp.lab.paper.request import Request

EXAMPLE = """\
examples:
  netwarp reproduce table1
  netwarp reproduce fig4 --out runs/mine
  netwarp reproduce table3 --data camvid:DIR --weights dilation8.safetensors
  netwarp reproduce table4 --data cityscapes:DIR --weights pspnet101.safetensors
  netwarp reproduce table2 --data camvid:DIR --flow precomputed:flowfields/
  netwarp reproduce table3 --data camvid:DIR --size 640x480 --as-published
  netwarp reproduce table2 --quick

Without --data: rendered streets and networks of reduced width, some ten
minutes on two cores for each. With it: full networks, trained on the data's
train split and tested on test (Cityscapes: val).
Writes NAME.csv, NAME.md and NAME.png into --out; what is trained and
measured lies in its folder 'units', for all of them. Cut off and started
again, it goes on where it was."""


def run(request: Request) -> None:
    """Make a table or figure; see the module."""
    for name in ("raft", "flow"):
        if getattr(request, name) is not None and request.target != "table2":
            raise ConfigurationError(f"--{name} goes with table2, which compares flows", option=name)
    if request.raft is not None and request.flow is not None:
        raise ConfigurationError("--raft and --flow both name the accurate flow: leave one of them out")
    if request.flow is not None and request.flow.partition(":")[0] not in ("raft", "precomputed"):
        raise ConfigurationError(f"--flow takes raft:FILE or precomputed:FOLDER, not {request.flow!r}", option="flow")
    if request.crf and request.target != "table3":
        raise ConfigurationError("--crf goes with table3, which compares NetWarp with a CRF")
    if request.weights not in (None, "imagenet") and request.base_steps is not None:
        raise ConfigurationError("--weights and --base-steps are both given: train the network, or load it")
    with quiet_loading(request.debug):
        from netwarp.lab.paper.reproduce import reproduce

    with going_on_later():
        text, files = reproduce(request, progress=sys.stderr.isatty())
    say(text)
    say(", ".join(map(str, files)))
