"""``netwarp layers``: where in a network a NetWarp can go."""

from __future__ import annotations

import json

from jsonargparse import ArgumentParser, Namespace

from netwarp.cli.network import add_base_arguments, base_of, size
from netwarp.cli.terminal import say
from netwarp.errors import ConfigurationError

SUMMARY = "list the layers of a network where a NetWarp can go"

EXAMPLE = """\
examples:
  netwarp layers --base netwarp:espnet
  netwarp layers --base smp:Unet/resnet34 --classes 11 --size 960x720 --all
  netwarp layers --base torchvision:fcn_resnet50 --json | jq '.layers[].name'

Of a convolution with its norm and activation the last is listed, of a block its end; --all lists every layer.
A NetWarp needs a layer that runs once a frame. output and log_probs stand for the network's result."""

# Divisible by 64, so that strides are whole numbers, and small, so that big networks answer soon.
_TYPICAL = (256, 320)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_base_arguments(parser, required=True)
    parser.add_argument(
        "--size", metavar="WxH", type=size, help="size of the frame to try (default: 320x256, if the network takes it)"
    )
    parser.add_argument("--all", action="store_true", help="every layer, also those that run several times a frame")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(options: Namespace) -> None:
    """List the layers; see the module."""
    from netwarp.model import Preprocess
    from netwarp.model.probe import probe
    from netwarp.report.layer_table import layer_records, layer_table, worth_showing

    base = base_of(options)
    preprocess = getattr(base, "preprocess", None) or Preprocess()
    try:
        seen = probe(base, preprocess, options.size or _TYPICAL)
    except ConfigurationError:
        if options.size is not None:
            raise
        seen = probe(base, preprocess)
    once = [info for info in seen.layers if info.calls == 1]
    shown = seen.layers if options.all else worth_showing(base, seen)
    records = layer_records(shown, seen)
    height, width = seen.frame
    if options.json:
        say(json.dumps({"base": options.base, "frame": [height, width], "classes": seen.classes, "layers": records}))
        return
    say(layer_table(records))
    hidden = len(once) - len(shown)
    more = f"; --all lists {hidden} more layers within these" if hidden > 0 else ""
    say(f"\nfor a frame of {width}×{height}{more}")
