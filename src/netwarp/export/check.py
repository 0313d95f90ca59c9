"""An exported step against the model in PyTorch, on a short moving picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.engines import Engine
from netwarp.errors import ConfigurationError, reason_of
from netwarp.export.step import StreamStep
from netwarp.model import VideoModel
from netwarp.model.netwarp import Flows

FRAMES = 3
"""A first one, and two that remember."""

LEAST_EQUAL = 0.999
"""Labels that must be the same; near a tie rounding decides."""

LARGEST_ERROR = 0.01
"""That memories may have, on average, in their standard deviations."""

CLOSE = 1e-4
"""Share of a value that may be wrong besides, in a regression network's."""


def moving_picture(size: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames ``[1,3,H,W]`` uint8 of a picture that moves and changes, and flow back ``[1,2,H,W]``, roughly true."""
    height, width = size
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, height // 8 + 3, width // 8 + 3, generator=draw)
    scene = F.interpolate(coarse, size=(height + 2 * FRAMES, width + 2 * FRAMES), mode="bicubic").clamp(0, 1)
    for i in range(FRAMES):
        noise = 0.02 * torch.randn(1, 3, height, width, generator=draw)
        frame = scene[..., i : i + height, 2 * i : 2 * i + width] + noise
        rough = F.interpolate(torch.randn(1, 2, 4, 5, generator=draw), size=size, mode="bilinear")
        yield (255 * frame).round().clamp(0, 255).byte(), rough + torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)


def example(model: VideoModel, step: StreamStep, size: tuple[int, int]) -> dict[str, Tensor]:
    """What a step takes for a first frame, in the order of its names."""
    frame, flow = next(moving_picture(size))
    with torch.no_grad():
        memory = model.step(frame)[1].memory
    # Each a tensor of its own: an exporter takes two inputs that are one tensor for the same.
    flows = Flows(flow, -flow)
    return _inputs(step, frame, frame.clone(), flows, [torch.zeros_like(kept) for kept in memory], first=True)


def check(engine: Engine, name: str, model: VideoModel, step: StreamStep, size: tuple[int, int]) -> float:
    """Run both over :func:`moving_picture`; the least share of equal labels, or an error where they differ."""
    inputs, state, equal, error = example(model, step, size), None, 1.0, 0.0
    memory = [tensor for key, tensor in inputs.items() if key.startswith("memory_")]
    for frame, outside in moving_picture(size):
        flows, previous = Flows(outside, -outside), frame if state is None else state.frame
        inputs = _inputs(step, frame, previous, flows, memory, first=state is None)
        if step.flow is not None:
            present, past = frame / 255, previous / 255
            flows = Flows(step.flow(present, past), step.flow(past, present))
        with torch.no_grad():
            logits, state = model.step(frame, state, flows)
        try:
            results = engine({key: tensor.numpy() for key, tensor in inputs.items()})
        except Exception as problem:  # each engine has kinds of its own
            reason = reason_of(problem)[:300]
            raise ConfigurationError(f"the exported graph fails in {name} ({reason}); nothing was written") from problem
        labels = model.labels(logits).to(model.task.stored)
        equal = min(equal, _share_equal(torch.from_numpy(results["labels"]), labels))
        memory = [torch.from_numpy(results[f"new_memory_{i}"]) for i in range(len(memory))]
        error = max([error, *(_distance(*pair) for pair in zip(memory, state.memory, strict=True))])
    if not (equal >= LEAST_EQUAL and error <= LARGEST_ERROR):
        height, width = size
        raise ConfigurationError(
            f"the exported graph does not compute what the model does, in {name} at {width}×{height}: "
            f"{equal:.2%} of the labels are the same, and memories differ by {error:.2g} of their deviation; "
            "nothing was written"
        )
    return equal


def _inputs(
    step: StreamStep, frame: Tensor, previous: Tensor, flows: Flows, memory: Sequence[Tensor], *, first: bool
) -> dict[str, Tensor]:
    known = {"frame": frame, "previous": previous, "flow": flows.backward, "forward_flow": flows.forward}
    known |= {"first": torch.tensor([first]), **{f"memory_{i}": kept for i, kept in enumerate(memory)}}
    return {name: tensor.contiguous() for name in step.names if (tensor := known[name]) is not None}


def _share_equal(found: Tensor, expected: Tensor) -> float:
    """Of labels; a regression network's values are equal where they are close."""
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return 0.0
    if not expected.is_floating_point():
        return float((found == expected).float().mean())
    spread = float(expected.std(correction=0))
    return float(found.isclose(expected, rtol=CLOSE, atol=LARGEST_ERROR * spread).float().mean())


def _distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).square().mean().sqrt() / expected.std().clamp(min=1e-12))
