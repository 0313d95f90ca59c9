"""The way between the host, where frames are read and labels used, and the device of the network."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

__all__ = ["Staging"]


class Staging:
    """What goes to a device and what comes back, so that nobody waits but the one who wants a result.

    On a GPU, what prepares the next frame has a stream of its own beside the network's, and copies go through pinned
    memory. Tensors that :meth:`mark` covers are good for the network's stream after :meth:`join`, and must be held
    until the frame's result was downloaded, as the stream that made them could write over them earlier. On a CPU none
    of it does anything.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._on_gpu = device.type == "cuda"
        self._side: Any = None
        if self._on_gpu:
            self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            # What weights are still being made of must be done before flow is corrected with them.
            self._side.wait_stream(torch.cuda.current_stream(device))

    def aside(self) -> AbstractContextManager[Any]:
        """While it lasts, this thread's work is queued beside the network's."""
        return torch.cuda.stream(self._side) if self._on_gpu else nullcontext()

    def upload(self, tensor: Tensor) -> Tensor:
        """A tensor on the device, without waiting for it to arrive there."""
        if self._on_gpu and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def mark(self) -> Any:  # noqa: ANN401 - PyTorch's events have no common type
        """What has been queued aside until now, for :meth:`join`."""
        return self._side.record_event() if self._on_gpu else None

    def join(self, mark: Any) -> None:  # noqa: ANN401
        """Let the network's stream, not its thread, wait for what was marked."""
        if mark is not None:
            torch.cuda.current_stream(self.device).wait_event(mark)

    def download(self, *tensors: Tensor) -> list[Tensor]:
        """Tensors on the host: the one time that a frame is waited for."""
        copies = [tensor.to("cpu", non_blocking=self._on_gpu) for tensor in tensors]
        if self._on_gpu:
            torch.cuda.current_stream(self.device).synchronize()
            # Out of pinned memory, which a caller who keeps results would fill.
            copies = [copy.clone() for copy in copies]
        return copies
