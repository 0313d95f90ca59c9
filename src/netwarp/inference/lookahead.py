"""Looking ahead: what later frames say is brought back to earlier ones, at the price of their delay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

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


@dataclass(frozen=True)
class Delay:
    """How far a stream looks ahead.

    Attributes:
        frames: Frames that are read before one is handed out, at most.
        every: How many are handed out together: each time the answers of all that wait are gone through once.
        on_disk: Whether answers wait in a file, in half precision.
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
        self._kept: _OnDisk | _InMemory = _OnDisk() if delay.on_disk else _InMemory()
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
                answer = warp_combine(answer, later, to_later, present, past, trust)
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
    """The same in half precision, each frame in a file that has no name and goes with the process."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[IO[bytes], list[tuple[torch.Size, torch.dtype, torch.device]]]] = {}

    def put(self, number: int, tensors: tuple[Tensor, ...]) -> None:
        try:
            file = tempfile.TemporaryFile(prefix="netwarp-")  # noqa: SIM115 - open as long as it is held
            self._held[number] = file, [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors]
            for tensor in tensors:
                file.write(tensor.detach().half().cpu().numpy().tobytes())
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
            torch.frombuffer(bytearray(file.read(2 * shape.numel())), dtype=torch.half).view(shape).to(device, dtype)
            for shape, dtype, device in kinds
        )

    def forget(self, before: int) -> None:
        self._held = {number: kept for number, kept in self._held.items() if number >= before}
