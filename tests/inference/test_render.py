"""What a segmented video leaves on disk, also when something goes wrong on the way."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netwarp.errors import ConfigurationError, InputError
from netwarp.inference.render import Interrupted, render
from netwarp.inference.stream import Segmented
from netwarp.model import VideoModel
from netwarp.video.label_maps import read_mask
from netwarp.video.open import open_frames
from netwarp.video.overlay import overlay
from netwarp.video.source import Frame, FrameSource


class Moving(FrameSource):
    """A texture that moves by a pixel a frame; may break off, or lose something."""

    fps = 10.0
    size = (24, 32)

    def __init__(self, length: int = 6, breaks_at: int | None = None, loss: str | None = None) -> None:
        self.description, self.length, self._breaks_at, self._loss = "moving", length, breaks_at, loss

    def __iter__(self) -> Iterator[Frame]:
        y, x = np.mgrid[:24, :32]
        for index in range(self.length):
            if index == self._breaks_at:
                raise InputError(f"frame {index} cannot be read")
            image = np.stack([128 + 100 * np.sin((x - index + k * y) / (3 + k)) for k in range(3)], -1)
            yield Frame(index, image.astype(np.uint8), index / 10)
        self.loss = self._loss


@pytest.fixture
def model() -> VideoModel:
    torch.manual_seed(0)
    return VideoModel(nn.Conv2d(3, 4, 1), training_free=True)


def length(path: Path) -> int:
    with open_frames(path) as source:
        return len(list(source))


def visible(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_video_and_masks_hold_what_was_segmented(tmp_path: Path, model: VideoModel):
    seen: list[Segmented] = []
    video, masks = tmp_path / "new" / "out.mp4", tmp_path / "masks"
    rendered = render(Moving(), model, video=video, masks=masks, quality=0, alpha=0.7, on_frame=seen.append)
    assert (rendered.frames, rendered.keyframes, rendered.damage) == (6, 6, None)
    assert rendered.seconds > 0
    with open_frames(video) as source:
        written = list(source)
    assert [frame.time for frame in written] == pytest.approx([result.time for result in seen])
    for frame, result in zip(written, seen, strict=True):
        drawn = overlay(result.frame, result.labels, model.palette, alpha=0.7)
        assert np.abs(frame.image.astype(int) - drawn).mean() < 12  # colour at half resolution
        assert np.array_equal(read_mask(masks / f"{result.index:06d}.png"), result.labels)
    assert visible(tmp_path) == ["masks", *(f"masks/{i:06d}.png" for i in range(6)), "new", "new/out.mp4"]


def test_damage_ends_the_video_where_it_is(tmp_path: Path, model: VideoModel, caplog: pytest.LogCaptureFixture):
    rendered = render(Moving(breaks_at=4), model, video=tmp_path / "out.mp4")
    assert (rendered.frames, rendered.damage) == (4, "frame 4 cannot be read; reading ended after frame 4 of 6")
    assert length(tmp_path / "out.mp4") == 4
    rendered = render(Moving(loss="two frames were lost"), model, video=tmp_path / "out.mp4")
    assert (rendered.frames, rendered.damage) == (6, "two frames were lost")
    assert not caplog.records, "what the caller gets is not logged besides"


def test_nothing_to_read_leaves_nothing(tmp_path: Path, model: VideoModel):
    with pytest.raises(InputError, match="frame 0 cannot be read"):
        render(Moving(breaks_at=0), model, video=tmp_path / "new" / "deep" / "out.mp4", masks=tmp_path / "m")
    assert visible(tmp_path) == []


def test_an_error_on_the_way_leaves_no_video_and_whole_masks(tmp_path: Path, model: VideoModel):
    (tmp_path / "out.mp4").write_bytes(b"the old one")

    def third(result: Segmented) -> None:
        if result.index == 2:
            raise ValueError

    with pytest.raises(ValueError):
        render(Moving(), model, video=tmp_path / "out.mp4", masks=tmp_path / "masks", on_frame=third)
    assert (tmp_path / "out.mp4").read_bytes() == b"the old one"
    assert visible(tmp_path / "masks") == ["000000.png", "000001.png", "000002.png"]


@pytest.mark.parametrize(("after", "frames"), [(0, 1), (3, 4)])
def test_interruption_finishes_the_video(tmp_path: Path, model: VideoModel, after: int, frames: int):
    def interrupt(result: Segmented) -> None:
        if result.index == after:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=f"after frame {frames}") as caught:
        render(Moving(), model, video=tmp_path / "out.mp4", on_frame=interrupt)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.frames == frames == length(tmp_path / "out.mp4")
    assert visible(tmp_path) == ["out.mp4"]


def test_interruption_before_the_first_frame(tmp_path: Path):
    class Interrupting(nn.Module):
        interrupts = False

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if self.interrupts:
                raise KeyboardInterrupt
            return image

    base = Interrupting()
    model = VideoModel(base, training_free=True)
    base.interrupts = True
    with pytest.raises(Interrupted, match="before the first frame") as caught:
        render(Moving(), model, video=tmp_path / "new" / "out.mp4")
    assert caught.value.frames == 0
    assert visible(tmp_path) == []


def test_confidence_alone(tmp_path: Path, model: VideoModel):
    render(Moving(2), model, confidence=tmp_path / "confidence")
    assert visible(tmp_path / "confidence") == ["000000.png", "000001.png"]


def test_refusals(tmp_path: Path, model: VideoModel):
    with pytest.raises(ConfigurationError, match="nothing to write"):
        render(Moving(), model)
    with pytest.raises(ConfigurationError, match="alpha"):
        render(Moving(), model, video=tmp_path / "out.mp4", alpha=2)
    with pytest.raises(ConfigurationError, match="hold 256"):
        render(Moving(), VideoModel(nn.Conv2d(3, 257, 1), training_free=True), masks=tmp_path / "masks")
    assert visible(tmp_path) == []
