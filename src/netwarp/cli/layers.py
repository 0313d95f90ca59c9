"""``netwarp layers``: where in a network a NetWarp can go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netwarp.cli.arguments import flag, option, whole_number
from netwarp.cli.models import base_of
from netwarp.cli.network_options import BASE, NetworkOptions, size
from netwarp.cli.terminal import progress_bar, say
from netwarp.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from netwarp.evaluation.layer_alignment import Alignment
    from netwarp.model import Preprocess
    from netwarp.model.layers import Probe
    from netwarp.video.source import FrameSource

EXAMPLE = """\
examples:
  netwarp layers --base netwarp:espnet
  netwarp layers --base smp:Unet/resnet34 --classes 11 --size 960x720 --all
  netwarp layers --base torchvision:fcn_resnet50 --json | jq '.layers[].name'
  netwarp layers --base netwarp:espnet --weights espnet.pth --video drive.mp4

Of a convolution with its norm and activation the last is listed, of a block its end; --all lists every layer.
A NetWarp needs a layer that runs once a frame and whose map follows the frame's size. stride, offset: place i of a map
looks at pixel stride·i + offset (–: the map's cells share the frame). output and log_probs stand for the network's
result.
With --video, how far a layer's representation lies from that of the frame before, in its own standard deviations: as it
is, and warped along the flow. A good place: warped is small, and much smaller than unwarped. No labels are needed."""

# Divisible by 64, so that strides are whole numbers, and small, so that big networks answer soon.
_TYPICAL = (256, 320)


@dataclass(frozen=True, kw_only=True)
class Request(NetworkOptions):
    """What is asked for."""

    base: str = option(*BASE, required=True)
    size: tuple[int, int] | None = option(
        "WxH", "size of the frame to try (default: 320x256, if the network takes it)", type=size
    )
    video: str | None = option(
        "CLIP", "measure on this video how well layers follow the flow: a file, or a folder or glob of frames in order"
    )
    frames: int = option(
        "N",
        "frames to measure on, each with the one before it, spread over the video (default: 20)",
        type=whole_number(1, 999_999),
        default=20,
    )
    all: bool = flag("every layer, also those that run several times a frame")
    json: bool = flag("print JSON instead of a table")


def run(request: Request) -> None:
    """List the layers; see the module."""
    from netwarp.cli.tables import add_alignment, layer_records, layer_table, worth_showing
    from netwarp.model import Preprocess
    from netwarp.video.open import open_frames

    if request.video is not None and request.size is not None:
        raise ConfigurationError("--size has no use with --video, whose own size is taken: leave one of them out")
    source = None if request.video is None else open_frames(request.video)
    base = base_of(request, None if source is None else source.size)
    preprocess = getattr(base, "preprocess", None) or Preprocess()
    seen = _seen(base, preprocess, request.size if source is None else source.size)
    usable = [info for info in seen.layers if info.usable]
    shown = seen.layers if request.all else worth_showing(base, seen)
    records = layer_records(shown, seen)
    height, width = seen.frame
    about: dict[str, Any] = {"base": request.base, "frame": [height, width], "classes": seen.classes}
    hidden = len(usable) - len(shown)
    more = f"; --all lists {hidden} more layers within these" if hidden > 0 else ""
    note = f"for a frame of {width}×{height}{more}"
    if source is not None:
        found, pairs = _measured(base, records, source, request.frames)
        records = add_alignment(records, found, seen.frame)
        about |= {"video": request.video, "pairs": pairs}
        note += (
            f"\nunwarped, warped: distance to the frame before, in standard deviations, over {pairs} pairs of frames; "
            "a good place: warped is small, and much smaller than unwarped"
        )
    say(json.dumps({**about, "layers": records}) if request.json else f"{layer_table(records)}\n\n{note}")


def _seen(base: nn.Module, preprocess: Preprocess, size: tuple[int, int] | None) -> Probe:
    from netwarp.model.layers import probe

    try:
        return probe(base, preprocess, size or _TYPICAL)
    except ConfigurationError:
        if size is not None:
            raise
        return probe(base, preprocess)


def _measured(
    base: nn.Module, records: Sequence[dict[str, Any]], source: FrameSource, pairs: int
) -> tuple[list[Alignment], int]:
    from netwarp.evaluation.layer_alignment import measure_alignment, neighbours

    names = [record["name"] for record in records if record["usable"]]
    with progress_bar(pairs) as advance:

        def counted() -> Iterator[tuple[Tensor, Tensor]]:
            for pair in neighbours(source, pairs):
                yield pair
                advance()

        return measure_alignment(base, names, counted())
