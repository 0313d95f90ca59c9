"""A network in PyTorch that an engine runs: exported once for each size, checked, and kept on disk."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from netwarp._version import __version__
from netwarp.engines import Engine, check_engine, open_engine
from netwarp.engines.export import to_onnx
from netwarp.errors import ConfigurationError, OutputError, WeightsError, reason_of, unknown_name
from netwarp.model.answer import logits_of
from netwarp.model.inputs import EXPORTING
from netwarp.output_files import write_file

log = logging.getLogger("netwarp")

LEAST_EQUAL = {None: 0.999, "bfloat16": 0.9, "float16": 0.9}
"""Share of labels that an engine must give as PyTorch does, by its precision."""

LARGEST_ERROR = {None: 0.01, "bfloat16": 0.1, "float16": 0.1}
"""That the values of a single output may have, in their standard deviations; it has no largest class to compare."""

LARGEST_CACHE = 4 << 30
"""Bytes of graphs that are kept on disk: beyond that, those that were not used for longest go."""

KEPT = 8
"""Sizes of images whose engines are held, those that were used last."""


def cache_folder() -> Path:
    """Where graphs are kept: ``$NETWARP_CACHE``, else ``netwarp`` in the user's cache."""
    named = os.environ.get("NETWARP_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "netwarp"


def run_in(base: nn.Module, engine: str, precision: str | None = None) -> nn.Module:
    """Let an engine run a network wherever its result alone is wanted; the network stays what it is.

    PyTorch still runs it where a hook looks at one of its layers, where gradients are asked for, in training mode, and
    on a GPU. The first image of a size exports it, which takes seconds, and compares both results; the graph is kept
    in :func:`cache_folder` by the network's content. Weights that change (training, ``load_state_dict``) are another
    content; a change by ``parameter.data`` in place, which PyTorch does not count, goes unnoticed.

    Args:
        base: The network, in evaluation mode, float32.
        engine: One of :data:`netwarp.engines.ENGINES`.
        precision: As of :func:`netwarp.engines.open_engine`.

    Returns:
        The network.

    Raises:
        ConfigurationError: No engine of that name.
    """
    check_engine(engine, precision)
    runner = _Runner(base, engine, precision)
    base.forward = partial(runner.forward, base.forward)
    return base


DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
"""What a network can compute in besides float32."""


def compute_by(base: nn.Module, engine: str | None, dtype: str | None) -> nn.Module:
    """Let an engine run a network, or PyTorch in another dtype; as it is without either."""
    if dtype is not None and dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    if engine is not None:
        return run_in(base, engine, dtype)
    return base if dtype is None else base.to(DTYPES[dtype])


class _Runner:
    def __init__(self, base: nn.Module, engine: str, precision: str | None) -> None:
        self._base, self._name, self._precision = base, engine, precision
        self._engines: dict[tuple[int, ...], Engine] = {}  # by the image's shape, those used last behind
        self._weights: tuple[tuple[int, int], ...] = ()  # that they were made of
        self._busy = threading.Lock()

    def forward(self, own: Callable[[Tensor], Any], image: Tensor) -> Any:  # noqa: ANN401
        """Stand for the network's ``forward``."""
        if not self._may_run(image):
            return own(image)
        with self._busy:
            engine = self._engine(own, image)
        parts = [self._run(engine, part) for part in torch.split(image, 1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _engine(self, own: Callable[[Tensor], Any], image: Tensor) -> Engine:
        shape, weights = (1, *image.shape[1:]), _state_of(self._base)
        if weights != self._weights:
            self._engines, self._weights = {}, weights
        engine = self._engines.pop(shape, None)
        if engine is None:
            engine = self._made(own, image[:1])
            self._weights = _state_of(self._base)  # a network may count its passes in a buffer
        self._engines[shape] = engine
        while len(self._engines) > KEPT:
            del self._engines[next(iter(self._engines))]
        return engine

    def _may_run(self, image: Tensor) -> bool:
        wants_gradient = torch.is_grad_enabled() and (
            image.requires_grad or any(p.requires_grad for p in self._base.parameters())
        )
        looked_at = any(module._forward_hooks for module in self._base.modules() if module is not self._base)
        return not (
            self._base.training
            or wants_gradient
            or looked_at
            or is_in_torch_dispatch_mode()
            or torch.compiler.is_exporting()
            or image.device.type != "cpu"
            or image.dtype != torch.float32
        )

    def _run(self, engine: Engine, image: Tensor) -> Tensor:
        try:
            return torch.from_numpy(engine({"image": image.contiguous().numpy()})["logits"])
        except Exception as error:  # each engine has kinds of its own
            reason = reason_of(error)[:300]
            raise ConfigurationError(
                f"{self._name} fails on the network ({reason}): leave {{option}} out", option="engine"
            ) from error

    def _made(self, own: Callable[[Tensor], Any], image: Tensor) -> Engine:
        """The engine for an image's size: of a graph that is kept, else of a new one, if it computes the same."""
        path = cache_folder() / f"{_content(self._base, image)}.onnx"
        expected = logits_of(own(image))
        # Not there, not to be read, damaged, or of code that has changed since.
        with suppress(OSError, ConfigurationError, WeightsError):
            engine = self._checked(path.read_bytes(), image, expected)
            with suppress(OSError):
                path.touch()
            return engine
        height, width = image.shape[2:]
        log.info("exporting the network for %s at %d×%d, to be kept in %s", self._name, width, height, path)
        with EXPORTING:
            content = to_onnx(_Logits(own), {"image": image.contiguous()}, ["logits"])
        engine = self._checked(content, image, expected)
        try:
            write_file(path, content, "set NETWARP_CACHE to a folder that can be written")
        except OutputError as error:
            log.warning("the exported network serves this run alone: %s", error)
        with suppress(OSError):  # others may remove the same
            _leave_the_newest(path.parent)
        return engine

    def _checked(self, content: bytes, image: Tensor, expected: Tensor) -> Engine:
        engine = open_engine(self._name, content, self._precision)
        found = self._run(engine, image)
        same = found.argmax(1) == expected.argmax(1)
        if expected.shape[1] == 1:
            spread = float(expected.std(correction=0))
            same = found.isclose(expected, rtol=1e-4, atol=LARGEST_ERROR[self._precision] * spread)
        equal = float(same.float().mean())
        if equal < LEAST_EQUAL[self._precision]:
            raise ConfigurationError(
                f"{self._name} gives {equal:.2%} of the labels that the network gives in PyTorch: "
                "leave {option} out, or name another",
                option="engine",
            )
        return engine


def _leave_the_newest(folder: Path) -> None:
    held = 0
    for path in sorted(folder.glob("[0-9a-f]" * 40 + ".onnx"), key=lambda path: path.stat().st_mtime, reverse=True):
        held += path.stat().st_size
        if held > LARGEST_CACHE:
            path.unlink()


def _state_of(base: nn.Module) -> tuple[tuple[int, int], ...]:
    """Which tensors a network's weights are, and how often each was written to: cheap to ask for at every image."""
    return tuple(
        (tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
        for tensor in (*base.parameters(), *base.buffers())
    )


class _Logits(nn.Module):
    """A network's own forward, with a tensor for its result."""

    def __init__(self, forward: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.network = getattr(forward, "__self__", None)  # whose weights these are
        self._own = forward

    def forward(self, image: Tensor) -> Tensor:
        return logits_of(self._own(image))


def _content(base: nn.Module, image: Tensor) -> str:
    """Name a network at a size by what it is made of; what its code does is compared when it is loaded."""
    digest = hashlib.sha256(repr((__version__, torch.__version__, str(base), tuple(image.shape))).encode())
    for name, tensor in base.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:40]
