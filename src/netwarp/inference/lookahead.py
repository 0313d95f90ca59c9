"""Looking ahead: what later frames say is brought back to earlier ones, at the price of their delay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from netwarp.errors import ConfigurationError, OutputError
from netwarp.inference.sliding import StreamModel
from netwarp.model import VideoModel
from netwarp.model.gates import resize_confidence
from netwarp.model.netwarp import Flows
from netwarp.ops import warp, warp_combine
from netwarp.ops.warp import Interpolation
from netwarp.output_files import reason

SHARE = 0.8
"""What a later answer has of the result where it can be trusted: as much as an earlier one has in the mode without
training. Chosen on rendered video (docs/training_free.md)."""

PIECE, OVERLAP = 32, 16
"""Frames that are handed out together with ``offline``, and those behind them that are looked at besides. What is
farther away has less than 0.8 to the 16th of the result, 3 %."""

HALF = torch.finfo(torch.half).max
LARGE = 1000.0
"""Logits beyond it rule classes out. Bicubic weights are negative too, and would turn such a one into a winner."""


@dataclass(frozen=True)
class Delay:
    """How far a stream looks ahead."""

    frames: int  # that are read before one is handed out, at most
    every: int  # how many are handed out together: each time the answers of all that wait are gone through once
    on_disk: bool = False  # whether answers wait in a file, in half precision where they are of labels


def make_delay(lag: int, *, offline: bool) -> Delay | None:
    """Build the delay that ``lag`` and ``offline`` of :func:`netwarp.segment` mean; None for none."""
    if isinstance(lag, bool) or not isinstance(lag, int) or lag < 0:
        raise ConfigurationError(f"lag must be a whole number of frames, at least 0, not {lag!r}", option="lag")
    if offline and lag:
        raise ConfigurationError("offline looks ahead as far as is of use: leave lag out", option="lag")
    if offline:
        return Delay(PIECE + OVERLAP - 1, PIECE, on_disk=True)
    # All that wait are gone through for every second half of them: twice the work of one frame, whatever the lag.
    return Delay(lag, (lag + 1) // 2) if lag else None


class Lookahead:
    """Filters a stream's answers once more, backwards: a smoother of fixed lag.

    The model's memory runs forwards. Its results r are combined backwards as it combines them forwards,
    s_t = r_t + share · g · (Warp(s_{t+1}, F_t→t+1) − r_t), so that the past and the future have the same part.
    """

    def __init__(self, model: StreamModel, delay: Delay) -> None:
        self._model, self._delay = model, delay
        self._waiting: list[tuple[Any, tuple[Tensor, ...] | _InFile]] = []
        # Labels bear half precision; values would be inf above 65504, and have steps far below.
        self._dtype = None if model.task.stored.is_floating_point else torch.half
        self._sure = False

    def add(
        self, item: object, answer: Tensor, ahead: Flows | None, sure: Tensor | None = None
    ) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Add the next frame, with the flow to it from the frame before (:meth:`.VideoModel.flows_ahead`).

        ``sure`` ``[1,1,H,W]``, of all frames or none, is how sure its answer is by what was before, 0–1.

        Yields what is due then, the last first, and how sure it is by what is before or behind.
        """
        flow = () if ahead is None else (ahead.backward, *(() if ahead.trust is None else (ahead.trust,)))
        self._sure = sure is not None
        tensors = (answer, *(() if sure is None else (sure,)), *flow)
        self._waiting.append((item, _InFile(tensors, self._dtype) if self._delay.on_disk else tensors))
        if len(self._waiting) > self._delay.frames:
            yield from self._go_back(self._delay.every)

    def finish(self) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Hand out all that waits, the last first: a scene or the video ends here."""
        yield from self._go_back(len(self._waiting))

    def _go_back(self, count: int) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        later: Tensor | None = None
        sure: Tensor | None = None
        flow: list[Tensor] = []
        for place in reversed(range(len(self._waiting))):
            item, kept = self._waiting[place]
            answer, *to_here = kept.read() if isinstance(kept, _InFile) else kept
            behind, sure = sure, to_here.pop(0) if self._sure else None
            if sure is not None and behind is not None and len(flow) > 1:
                size = sure.shape[-2], sure.shape[-1]
                sure = torch.maximum(sure, resize_confidence(flow[1], size) * warp(behind, flow[0]))
            if later is not None:
                to_later, trust = self._model.at_answer(Flows(flow[0], None, *flow[1:]), answer)
                present, past = (answer.new_full((answer.shape[1],), share) for share in (1 - SHARE, SHARE))
                how = self._sampling(later)
                answer = warp_combine(answer, later, to_later, present, past, trust, interpolation=how)
            later, flow = answer, to_here
            if place < count:
                yield item, answer, sure
        del self._waiting[:count]

    def _sampling(self, answer: Tensor) -> Interpolation:
        """Bicubic for logits, which a second bilinear blur harms; values and probabilities keep their range."""
        if self._model.task.stored.is_floating_point or not isinstance(self._model, VideoModel):
            return "bilinear"
        least, most = answer.aminmax()
        return "bicubic" if float(least) > -LARGE and float(most) < LARGE else "bilinear"


class _InFile:
    """Tensors of a frame in a file that has no name and goes with the process.

    All are in half precision but the first, which is in ``dtype``, or with None in its own.
    """

    def __init__(self, tensors: tuple[Tensor, ...], dtype: torch.dtype | None) -> None:
        self._kinds = [(tensor.device, tensor.dtype) for tensor in tensors]
        kept = {"0": _shrunk(tensors[0], dtype or tensors[0].dtype)}
        kept |= {str(place): _shrunk(tensor, torch.half) for place, tensor in enumerate(tensors[1:], start=1)}
        try:
            self._file = tempfile.TemporaryFile(prefix="netwarp-")  # noqa: SIM115 - open as long as it is held
            self._file.write(save(kept))
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"cannot keep the network's answers in {tempfile.gettempdir()} ({reason(error)}): "
                "set TMPDIR to a folder with more room"
            ) from error

    def read(self) -> tuple[Tensor, ...]:
        self._file.seek(0)
        kept = load(self._file.read())
        return tuple(kept[str(place)].to(device, dtype) for place, (device, dtype) in enumerate(self._kinds))


def _shrunk(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.half:  # a logit of -1e9 is not -inf, of which a sum may be NaN
        tensor = tensor.clamp(-HALF, HALF)
    return tensor.detach().to("cpu", dtype).contiguous()
