"""How well a network's representations follow the flow: where a NetWarp is worth a try, without labels.

The two numbers of a layer are distances from the previous frame's representation, in deviations of the representation
itself: *unwarped* as it is, *warped* along the flow. 0 is the same, √2 is unrelated. A good place has a warped
distance that is small **and** much smaller than the unwarped one: what a NetWarp adds there is the same thing seen
again. If both are about equal, the flow does not move the representation as it moves the picture; if both are small,
little changes. The first row, the picture itself, shows how much moves and what the flow cannot explain. See
docs/layers.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, InputError
from netwarp.flow import FlowEstimator, make_flow
from netwarp.inference.keyframes import is_cut
from netwarp.model.answer import logits_of
from netwarp.model.inputs import (
    Preprocess,
    as_frames,
    base_device,
    check_flow,
    network_input,
    preprocess_of,
    to_unit_range,
)
from netwarp.model.layers import OUTPUTS, probe
from netwarp.model.netwarp import Flows, Motion
from netwarp.model.outputs import Hooks, margin_of
from netwarp.model.running import evaluating
from netwarp.ops import warp
from netwarp.video.source import FrameSource

IMAGE = "image"
"""Name of the picture's own row."""

FURTHEST = 30
"""Most frames from one pair to the next: a long video is not read to its end for a few pairs."""


class Distance:
    """Root mean square distance of representations over all pairs, relative to their deviation over a frame's map."""

    def __init__(self) -> None:
        self._apart = 0.0
        self._variance = 0.0

    def add(self, current: Tensor, other: Tensor) -> None:
        """Count one more pair."""
        current, other = current.double(), other.double()
        self._apart += float((current - other).square().mean((2, 3)).sum())
        self._variance += float(current.var((2, 3), correction=0).sum())

    def value(self) -> float:
        """The distance: 0 for the same; nan where the representations are the same everywhere."""
        return float((self._apart / self._variance) ** 0.5) if self._variance > 0 else float("nan")


@dataclass(frozen=True)
class Alignment:
    """A layer's name, or :data:`IMAGE`, and the distances of its representation from the previous frame's."""

    name: str
    unwarped: float
    warped: float


@contextmanager
def representations(
    base: nn.Module, layers: Sequence[str], preprocess: Preprocess | None = None
) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
    """Yield a function from a frame to the representation of each layer; the network is left as it was."""
    inner = [name for name in layers if name not in OUTPUTS]
    prepared = preprocess_of(base) if preprocess is None else preprocess
    hooks = Hooks(base, inner)

    def look(frame: Tensor) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}

        def keep(name: str, representation: Tensor) -> None:
            seen[name] = representation.clone()  # a network may go on to change it in place

        with hooks.intercept(keep):
            seen["output"] = logits_of(base(network_input(base, prepared, frame)))
        for name in inner:
            if name not in seen:
                raise ConfigurationError(
                    f"layer {name!r} did not run on this frame: choose one that runs on every frame"
                )
        seen["log_probs"] = F.log_softmax(seen["output"].float(), dim=1)
        return {name: seen[name] for name in layers}

    try:
        with evaluating(base), torch.no_grad():
            yield look
    finally:
        hooks.remove()


def neighbours(source: FrameSource, pairs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pairs of neighbouring frames of one size, spread over a video as far as its length is known."""
    apart = max(1, min(FURTHEST, ((source.length or 0) - 1) // pairs))
    found = 0
    previous: Tensor | None = None
    with source:
        for number, frame in enumerate(source):
            image = as_frames(frame.image, torch.device("cpu"))
            if previous is not None and previous.shape == image.shape and number % apart == 1 % apart:
                yield image, previous
                found += 1
                if found == pairs:
                    return
            previous = image


def measure_alignment(
    base: nn.Module,
    layers: Sequence[str],
    pairs: Iterable[tuple[Tensor, Tensor]],
    flow: str | FlowEstimator = "dis",
    preprocess: Preprocess | None = None,
) -> tuple[list[Alignment], int]:
    """Measure each layer's distances over pairs of frames; also returns the number of pairs, without cuts."""
    estimate, device = make_flow(flow), base_device(base)
    prepared = preprocess_of(base) if preprocess is None else preprocess
    distances = {name: (Distance(), Distance()) for name in (IMAGE, *layers)}
    seen = probe(base, prepared)
    grids = {info.name: info.grid for info in seen.layers} | dict.fromkeys(OUTPUTS, seen.output.grid)
    measured = 0
    with representations(base, layers, prepared) as look:
        for pair in pairs:
            current, previous = (frame.to(device) for frame in pair)
            field = check_flow(estimate(current, previous), current)
            if is_cut(current, previous, field):
                continue
            measured += 1
            motion = Motion.between(current, previous, Flows(field), None, None, prepared)
            present = {IMAGE: to_unit_range(current), **look(current)}
            past = {IMAGE: to_unit_range(previous), **look(previous)}
            for name, (unwarped, warped) in distances.items():
                size = (present[name].shape[-2], present[name].shape[-1])
                along = field if name == IMAGE else motion.at(grids[name], size, margin_of(base, name))[0]
                unwarped.add(present[name], past[name])
                warped.add(present[name], warp(past[name], along))
    if not measured:
        raise InputError("no two neighbouring frames of one scene: give a video of two frames or more")
    return [Alignment(name, a.value(), b.value()) for name, (a, b) in distances.items()], measured
