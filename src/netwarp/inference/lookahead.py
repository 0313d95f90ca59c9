"""Looking ahead: what later frames say is brought back to earlier ones, at the price of their delay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from netwarp.errors import ConfigurationError, OutputError
from netwarp.inference.stream_model import StreamModel
from netwarp.model.gates import resize_confidence
from netwarp.model.netwarp import Flows
from netwarp.ops import warp, warp_combine
from netwarp.output_files import reason

SHARE = 0.8
"""What a later answer has of the result where it can be trusted: as much as an earlier one has in the mode without
training. Chosen on rendered video (docs/training_free.md)."""

PIECE, OVERLAP = 32, 16
"""Frames that are handed out together with ``offline``, and those behind them that are looked at besides. What is
farther away has less than 0.8 to the 16th of the result, 3 %."""

HALF = torch.finfo(torch.half).max


@dataclass(frozen=True)
class Delay:
    """How far a stream looks ahead.

    Attributes:
        frames: Frames that are read before one is handed out, at most.
        every: How many are handed out together: each time the answers of all that wait are gone through once.
        on_disk: Whether answers wait in a file, in half precision where they are of labels.
    """

    frames: int
    every: int
    on_disk: bool = False


def make_delay(lag: int, *, offline: bool) -> Delay | None:
    """Build the delay that ``lag`` and ``offline`` of :func:`netwarp.segment` mean; None for none.

    Raises:
        ConfigurationError: ``lag`` is no whole number of at least 0, or given with ``offline``.
    """
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
        self._items: list[Any] = []
        # Labels bear half precision; values would be inf above 65504, and have steps far below.
        answers = None if model.task.stored.is_floating_point else torch.half
        self._kept: _OnDisk | _InMemory = _OnDisk(answers) if delay.on_disk else _InMemory()
        self._first = 0  # number of the first that waits
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
        self._kept.put(self._first + len(self._items), (answer, *(() if sure is None else (sure,)), *flow))
        self._items.append(item)
        if len(self._items) > self._delay.frames:
            yield from self._go_back(self._delay.every)

    def finish(self) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        """Hand out all that waits, the last first: a scene or the video ends here."""
        yield from self._go_back(len(self._items))

    def _go_back(self, count: int) -> Iterator[tuple[Any, Tensor, Tensor | None]]:
        later: Tensor | None = None
        sure: Tensor | None = None
        flow: list[Tensor] = []
        for place in reversed(range(len(self._items))):
            answer, *to_here = self._kept.get(self._first + place)
            behind, sure = sure, to_here.pop(0) if self._sure else None
            if sure is not None and behind is not None and len(flow) > 1:
                sure = torch.maximum(sure, resize_confidence(flow[1], _size(sure)) * warp(behind, flow[0]))
            if later is not None:
                to_later, trust = self._model.at_answer(Flows(flow[0], None, *flow[1:]), answer)
                present, past = (answer.new_full((answer.shape[1],), share) for share in (1 - SHARE, SHARE))
                how = self._model.interpolation
                answer = warp_combine(answer, later, to_later, present, past, trust, interpolation=how)
            later, flow = answer, to_here
            if place < count:
                yield self._items[place], answer, sure
        self._first += count
        del self._items[:count]
        self._kept.forget(self._first)


def _size(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[-2], tensor.shape[-1]


class _InMemory:
    """Tensors by their frame's number."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[Tensor, ...]] = {}

    def put(self, number: int, tensors: tuple[Tensor, ...]) -> None:
        self._held[number] = tensors

    def get(self, number: int) -> tuple[Tensor, ...]:
        return self._held[number]

    def forget(self, before: int) -> None:
        self._held = {number: tensors for number, tensors in self._held.items() if number >= before}


class _OnDisk:
    """The same, each frame in a file that has no name and goes with the process.

    All is in half precision but the first tensor of a frame, which is in ``dtype``, or with None in its own.
    """

    def __init__(self, dtype: torch.dtype | None) -> None:
        self._dtype = dtype
        self._held: dict[int, tuple[IO[bytes], list[_Kind]]] = {}

    def put(self, number: int, tensors: tuple[Tensor, ...]) -> None:
        kinds = [
            _Kind(tensor.shape, tensor.dtype, tensor.device, torch.half if place else self._dtype or tensor.dtype)
            for place, tensor in enumerate(tensors)
        ]
        try:
            file = tempfile.TemporaryFile(prefix="netwarp-")  # noqa: SIM115 - open as long as it is held
            self._held[number] = file, kinds
            for tensor, kind in zip(tensors, kinds, strict=True):
                file.write(_bytes(tensor.detach(), kind.kept))
            file.flush()
        except OSError as error:
            raise OutputError(
                f"cannot keep the network's answers in {tempfile.gettempdir()} ({reason(error)}): "
                "set TMPDIR to a folder with more room"
            ) from error

    def get(self, number: int) -> tuple[Tensor, ...]:
        file, kinds = self._held[number]
        file.seek(0)
        return tuple(
            torch.frombuffer(bytearray(file.read(kind.kept.itemsize * kind.shape.numel())), dtype=kind.kept)
            .view(kind.shape)
            .to(kind.device, kind.dtype)
            for kind in kinds
        )

    def forget(self, before: int) -> None:
        self._held = {number: kept for number, kept in self._held.items() if number >= before}


class _Kind(NamedTuple):
    """What a tensor is, and in what dtype it is kept."""

    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    kept: torch.dtype


def _bytes(tensor: Tensor, dtype: torch.dtype) -> bytes:
    if dtype == torch.half:  # a logit of -1e9 is not -inf, of which a sum may be NaN
        tensor = tensor.clamp(-HALF, HALF)
    return tensor.to(dtype).cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
