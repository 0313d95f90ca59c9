"""README and docs/: the blocks of Python in them run, page by page, in a folder of their own with a small video."""

import contextlib
import tempfile
from pathlib import Path
from unittest import mock

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser


def _begin(page: dict) -> None:
    """Give a page what its reader has: ``in.mp4``, a camera, a network, a model of it, and some frames of a stream."""
    import torch

    import netwarp
    from cli.small_videos import encode, picture
    from netwarp.video.file import VideoFile

    page["leave"] = leave = contextlib.ExitStack()
    leave.enter_context(contextlib.chdir(leave.enter_context(tempfile.TemporaryDirectory())))
    images = [picture(index) for index in range(3)]
    film = encode(Path("in.mp4"), images).absolute()
    leave.enter_context(mock.patch("netwarp.video.live.open_camera", side_effect=lambda index: VideoFile(film)))
    torch.manual_seed(0)
    network = torch.nn.Sequential()
    network.encoder = torch.nn.Sequential()
    network.encoder.layer4 = torch.nn.Conv2d(3, 8, 3, 2, 1)
    network.head = torch.nn.Conv2d(8, 5, 1)
    previous, current = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in images[:2])
    model = netwarp.VideoModel(network, training_free=True)
    page.update(netwarp=netwarp, my_network=network, model=model, frames=images, previous=previous, current=current)


def _end(page: dict) -> None:
    page["leave"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["README.md", "docs/*.md"], setup=_begin, teardown=_end
).pytest()
