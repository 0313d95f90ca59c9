"""``netwarp live``: a camera and its labels in a browser, as they come."""

from __future__ import annotations

import argparse
import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netwarp.cli.arguments import argument, flag, local_place, option, whole_number
from netwarp.cli.label_options import EdgeOptions, edges_of
from netwarp.cli.models import build_model, check_model_options
from netwarp.cli.network_options import ModelOptions
from netwarp.cli.result_options import ColourOptions, paint, palette_of
from netwarp.cli.terminal import say
from netwarp.cli.view_options import in_views
from netwarp.errors import ConfigurationError
from netwarp.output_places import check_places

if TYPE_CHECKING:
    from netwarp.live.engine import Live
    from netwarp.live.server import Page
    from netwarp.video.source import FrameSource

EXAMPLE = """\
examples:
  netwarp live 0 --base netwarp:espnet --weights espnet.pth
  netwarp live rtsp://camera.local/stream --model trained.safetensors \\
      --record seen.mp4
  netwarp live street.mp4 --loop \\
      --base torchvision:lraspp_mobilenet_v3_large --weights default
  netwarp live browser --base netwarp:espnet --weights espnet.pth
  netwarp live 0 --base netwarp:espnet --host 0.0.0.0

SOURCE is a camera's index, a stream's address, a video file, which is played at its rate, or browser: the camera of the
browser that shows the page. The network works on one frame while others come; its answer is carried along the flow
to the newest one. /stats and /metrics give rates, latency and what was dropped."""

BROWSER = "browser"


def _token(text: str) -> str:
    if len(text) < 8 or not text.isascii() or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("a token is 8 letters or more, of ASCII and without blanks")
    return text


@dataclass(frozen=True, kw_only=True)
class Request(ModelOptions, EdgeOptions, ColourOptions):
    """What is asked for."""

    source: str = argument("SOURCE", "a camera's index, a stream's address, a video file, or browser")
    port: int = option("N", "of the page; 0 for any that is free (default: 8765)", default=8765,
                       type=whole_number(0, 65535))  # fmt: skip
    host: str = option("A", "address that the page is served at (default: 127.0.0.1, which no other machine reaches)",
                       default="127.0.0.1")  # fmt: skip
    token: str | None = option("TEXT", "what must be in the page's address; with another --host one is made up",
                               type=_token)  # fmt: skip
    loop: bool = flag("play a file again and again")
    record: str | None = option(
        "FILE", "write a video of the labels over the frames, which plays while it grows", type=local_place
    )
    no_cuts: bool = flag("do not look for scene cuts, which start anew")


def run(request: Request) -> None:
    """Serve the page until the source ends, or Ctrl-C; see the module."""
    check_model_options(request)
    edges, palette = edges_of(request), palette_of(request)
    record = None if request.record is None else Path(request.record)
    if request.legend and record is None:
        raise ConfigurationError("{option} is drawn into a video, and the page has its own: name one by --record",
                                 option="legend")  # fmt: skip
    check_places((), video=record)
    import torch

    from netwarp.live.browser_camera import BrowserCamera
    from netwarp.live.engine import Live
    from netwarp.live.server import Page, is_loopback

    token = request.token or (None if is_loopback(request.host) else secrets.token_urlsafe(16))
    with _open(request) as source:
        check_places(source.paths, video=record)
        video = paint(build_model(request, source.size, memory=not request.frame_by_frame), palette)
        model = in_views(video, request)
        if model.task.stored is not torch.uint8 or model.task.name == "multilabel":
            raise ConfigurationError("the page shows label maps of up to 256 classes, and this network gives others")
        with (
            Live(
                source, model, detect_cuts=not request.no_cuts, keyframes=request.keyframes or "all", edges=edges
            ) as live,
            Page(
                live.stats, model.classes, model.palette, source.description, host=request.host, port=request.port,
                token=token, camera=source if isinstance(source, BrowserCamera) else None,
            ) as page,
        ):  # fmt: skip
            say(f"{source.description} with its labels: {page.address}")
            _show(live, page, record, legend=request.legend)
    noun = "frame" if live.labelled == 1 else "frames"
    say(f"{live.labelled} {noun} with labels, {live.stats.dropped} dropped{f': {record}' if record else ''}")


def _open(request: Request) -> FrameSource:
    if request.source != BROWSER:
        from netwarp.video.camera import open_as_camera

        return open_as_camera(request.source, loop=request.loop)
    if request.loop:
        raise ConfigurationError("--loop plays a file again: leave it out with the browser's camera", option="loop")
    from netwarp.live.browser_camera import BrowserCamera

    return BrowserCamera()


def _show(live: Live, page: Page, record: Path | None, *, legend: bool) -> None:
    """Show frames and record them until the source ends, or Ctrl-C."""
    from netwarp.inference.drawing import legend_of, painter
    from netwarp.label_sets import LabelSet
    from netwarp.video.writer import VideoWriter

    model = live.model
    draw = painter(model.task, model.palette, 0.5)
    named = legend_of(model.task, LabelSet(model.classes, model.palette)) if legend else None

    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        writer: VideoWriter | None = None
        for result in live:
            page.show(result)
            if record is None:
                continue
            if writer is None:
                writer = stack.enter_context(VideoWriter(record, fps=live.source.fps, growing=True))
            drawn = draw(result.frame, result.labels)
            writer.write(drawn if named is None else named.draw(drawn, result.labels), result.time)
