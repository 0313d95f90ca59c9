"""Which frames the network runs on, by what the flow from its last frame fails to explain; and scene cuts."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.model.inputs import to_unit_range
from netwarp.model.netwarp import Flows
from netwarp.ops import resize_flow, warp
from netwarp.ops.reference import inside

log = logging.getLogger("netwarp")

# Between what 'python benchmarks/cuts.py' prints of clips and of cuts. At 5 frames a second and below, as with motion
# too fast or too fine for it, flow itself begins to fail, and a new start is right: what is warped along such a flow is
# as wrong as another scene.
THRESHOLD = 0.12
# Where the picture is nearly flat (fog, a wall, black), noise is all its variance: below this error it is no cut.
LEAST_ERROR = 0.02
# From so many transitions on, and such a share of them, it is likely that the flow fails and that these are no cuts.
TRANSITIONS, SHARE = 10, 0.3
# A flow that leaves the frame nearly everywhere leaves too little to judge by: then the border counts as well.
LEAST_SEEN = 0.25

LONGEST_WAIT = 60
"""Frames after which the network runs whatever a policy says, unless the policy says that it is ``patient``."""

# A pixel of the quarter-size picture counts as unexplained from this error on (0–1), and from so many times the median
# error of its frame, which is noise.
LEAST_DIFFERENCE, NOISES = 0.04, 4.0
TILE = 8
"""Side of the tiles, in pixels of the quarter-size picture."""


@dataclass(frozen=True, eq=False)
class Look:
    """The current frame beside an earlier one, warped along the flow to it; both grey, at a quarter of the size."""

    present: Tensor  # [1,1,h,w], 0-1
    warped: Tensor
    within: Tensor  # 1 where the flow points into the earlier frame, else 0

    @classmethod
    def back(cls, current: Tensor, previous: Tensor, flow: Tensor) -> Look:
        """Look back from a frame to another one, both :func:`half_grey`, along the flow ``[1,2,H,W]``."""
        flow = resize_flow(flow, (previous.shape[-2], previous.shape[-1])).to(previous.dtype)
        # Warped at half the size and compared at a quarter: noise and texture that no flow aligns are averaged away,
        # but not the flow's fractions of a pixel, which would leave twice as much unexplained within clips.
        within = inside(flow, 0.5).all(1, keepdim=True).to(flow.dtype)
        return cls(*(_halved(picture) for picture in (current, warp(previous, flow), within)))

    @cached_property
    def _seen(self) -> Tensor:
        seen = self.within > 0.5
        return seen if seen.float().mean() >= LEAST_SEEN else torch.ones_like(seen)

    @cached_property
    def _fit(self) -> tuple[float, float, float, float]:
        """Means of both pictures, the best gain from the one to the other, and the variance of the present."""
        present, warped = self.present[self._seen], self.warped[self._seen]
        means = float(present.mean()), float(warped.mean())
        present, warped = present - means[0], warped - means[1]
        # An inverted picture is not explained: only a positive gain counts.
        gain = max(float((present * warped).mean()), 0.0) / max(float(warped.square().mean()), 1e-12)
        return *means, gain, float(present.square().mean())

    @cached_property
    def error(self) -> Tensor:
        """Absolute difference ``[1,1,h,w]`` that is left by the best gain and offset, 0–1."""
        mean, other, gain, _ = self._fit
        return (self.present - mean - gain * (self.warped - other)).abs()

    def unexplained(self) -> tuple[float, float]:
        """Share of the present's variance that the earlier frame leaves, and its RMS error.

        Brightness and contrast may differ (light changes, cameras adapt): the share is that left by the best gain and
        offset. It is taken where the flow points into the earlier frame: what a pan uncovers at the border is new, but
        no other scene.
        """
        residual = float(self.error[self._seen].square().mean())
        return residual / max(self._fit[-1], 1e-12), residual**0.5

    @cached_property
    def doubt(self) -> Tensor:
        """Share of each tile ``[1,1,h',w']`` in which the earlier frame does not explain the present, beyond noise."""
        noise = float(self.error[self._seen].median())
        failed = (self.error > max(LEAST_DIFFERENCE, NOISES * noise)).float()
        failed = torch.where(self.within > 0.5, failed, 1.0)
        return F.avg_pool2d(failed, TILE, ceil_mode=True, count_include_pad=False)


def unexplained(current: Tensor, previous: Tensor, flow: Tensor) -> tuple[float, float]:
    """:meth:`Look.unexplained` of two frames ``[1,3,H,W]`` and the flow ``[1,2,H,W]`` between them."""
    return Look.back(half_grey(current), half_grey(previous), flow).unexplained()


def is_cut(current: Tensor, previous: Tensor, flow: Tensor) -> bool:
    """Whether two frames ``[1,3,H,W]`` show different scenes, by the flow ``[1,2,H,W]`` between them."""
    return is_other_scene(Look.back(half_grey(current), half_grey(previous), flow))


def is_other_scene(look: Look) -> bool:
    """Whether a frame shows another scene than an earlier one."""
    share, error = look.unexplained()
    return share > THRESHOLD and error > LEAST_ERROR


class Cuts:
    """Finds scene cuts along a video, logs them, and warns once if they are too many to be cuts."""

    def __init__(self) -> None:
        self._looked = self._found = 0
        self._doubted = False

    def between(
        self, current: Tensor, previous: Tensor, flow: Tensor, *, index: int, time: float, explained: bool = False
    ) -> bool:
        """Whether two frames that follow each other show different scenes; not if the frame is explained otherwise."""
        self._looked += 1
        if explained or not is_cut(current, previous, flow):
            return False
        self._found += 1
        log.info(
            "frame %d: scene cut at %.2f s (or motion that the flow cannot follow): a new state starts; --no-cuts goes "
            "on with the old one",
            index, time,
        )  # fmt: skip
        if not self._doubted and self._looked >= TRANSITIONS and self._found >= SHARE * self._looked:
            self._doubted = True
            log.warning(
                "%d of %d transitions look like scene cuts: if they are none, motion is too fast or too fine for the "
                "flow, and little is remembered (--no-cuts, in Python detect_cuts=False, looks for none)",
                self._found, self._looked,
            )  # fmt: skip
        return True


def half_grey(frame: Tensor) -> Tensor:
    """A frame ``[1,3,H,W]`` in grey at half its size, 0–1."""
    return _halved(_grey(frame))


def _grey(frame: Tensor) -> Tensor:
    """``[1,3,H,W]`` to ``[1,1,H,W]``, the mean of the channels, 0–1; of uint8 no frame of floats is made on the way."""
    if frame.dtype == torch.uint8:
        return frame.sum(1, keepdim=True, dtype=torch.int16).float().div_(3 * 255)
    return to_unit_range(frame).mean(1, keepdim=True)


def _halved(picture: Tensor) -> Tensor:
    """A picture at half its size, rounded up: means of four pixels where the size is even."""
    size = (-(-picture.shape[-2] // 2), -(-picture.shape[-1] // 2))
    return F.interpolate(picture, size=size, mode="bilinear", align_corners=False)


@dataclass(frozen=True, eq=False)
class Doubt:
    """What a policy sees of a frame before it decides whether the network runs on it.

    Attributes:
        index: Number of the frame in its video.
        frames: Frames since the last keyframe, from 1.
        path: Flow to that keyframe, and the trust in it.
        look: The frame beside that keyframe; ``look.doubt`` is the share of each tile that is not explained by it.
    """

    index: int
    frames: int
    path: Flows
    pictures: tuple[Tensor, Tensor]  # the frame and that keyframe, half_grey

    @cached_property
    def look(self) -> Look:
        """The frame beside that keyframe; looked at when it is first asked for."""
        return Look.back(*self.pictures, self.path.backward)


KeyframePolicy = Callable[[Doubt], bool]
"""Says whether the network runs on a frame. Called once for each frame that may be carried, in order."""


@dataclass(frozen=True)
class EveryNth:
    """Run the network on every nth frame."""

    n: int
    patient: ClassVar[bool] = True

    def __call__(self, seen: Doubt) -> bool:
        return seen.frames >= self.n


@dataclass(frozen=True)
class Auto:
    """Run the network where too much is new: on the whole, in the worst tiles (small fast things), or by long motion.

    Its numbers are chosen by the scores of the first half of CamVid's val clip, and by the share of keyframes that all
    of that clip and a still camera get.

    Attributes:
        mean: Share of the frame that may be unexplained.
        worst: Share that may be unexplained in the ``tiles`` worst tiles, on average, from the third frame on: where
            large things pass a still camera, that is exceeded from each frame to the next.
        tiles: How many those are.
        length: Mean length of the flow to the last keyframe that is allowed, in widths of the frame.
        longest: Frames after which the network runs in any case.
    """

    mean: float = 0.07
    worst: float = 0.7
    tiles: int = 6
    length: float = 0.025
    longest: int = 12

    def __call__(self, seen: Doubt) -> bool:
        return seen.frames >= self.longest or self.excess(seen) > 1

    def excess(self, seen: Doubt) -> float:
        """Doubt over what is allowed; above 1 the network runs."""
        tiles = seen.look.doubt.flatten()
        worst = float(tiles.topk(min(self.tiles, tiles.numel())).values.mean()) if seen.frames > 2 else 0.0
        flow = seen.path.backward
        length = float(flow.square().sum(1).sqrt().mean()) / flow.shape[-1]
        return max(float(tiles.mean()) / self.mean, worst / self.worst, length / self.length)


class Budget:
    """Run the network on a share of the frames at most, on average, where doubt is largest.

    Each frame adds the share to what may be spent, and each pass takes 1. A pass is spent on a frame whose doubt is
    above a bar that falls while nothing is spent and rises with every pass; two passes' worth are spent at once.
    """

    def __init__(self, share: float) -> None:
        if not (isinstance(share, (int, float)) and 0 < share <= 1):
            raise ConfigurationError(f"a budget is a share of frames above 0 and up to 1, not {share!r}")
        self.share = share
        self._saved = 0.0
        self._bar = 1.0
        self._measure = Auto()

    def __call__(self, seen: Doubt) -> bool:
        self._saved += self.share
        self._bar *= math.exp(-0.5 * self.share)
        if self._saved < 1 or (self._saved < 2 and self._measure.excess(seen) < self._bar):
            return False
        self._saved -= 1
        self._bar *= math.exp(0.5)
        return True


def make_policy(keyframes: str | int | KeyframePolicy | type) -> KeyframePolicy | None:
    """Build the policy that a name or number means; None for ``"all"`` frames.

    ``"all"``, a number N for every Nth frame, ``"auto"``, ``"budget:SHARE"``, a policy, or a class of policies, of
    which each stream gets one.

    Raises:
        ConfigurationError: an unknown name, N below 1, or a share outside 0–1.

    >>> make_policy("3")
    EveryNth(n=3)
    """
    if isinstance(keyframes, type) or (not isinstance(keyframes, (str, int)) and callable(keyframes)):
        return keyframes() if isinstance(keyframes, type) else keyframes
    text = str(keyframes)
    if isinstance(keyframes, bool) or not isinstance(keyframes, (str, int)):
        raise ConfigurationError(
            f"keyframes are 'all', 'auto', 'budget:SHARE', a number or a policy, not {keyframes!r}"
        )
    if text == "all":
        return None
    if text == "auto":
        return Auto()
    if text.startswith("budget:"):
        share = text.removeprefix("budget:")
        return Budget(float(share) if re.fullmatch(r"\d*\.?\d+", share) else math.nan)
    if re.fullmatch(r"-?\d+", text):
        if int(text) < 1:
            raise ConfigurationError(f"keyframes must be every Nth frame with N at least 1, not {text}")
        return EveryNth(int(text)) if int(text) > 1 else None
    raise unknown_name("keyframes", text, ("all", "auto", "budget:SHARE"))


class BoundedWait:
    """A policy that runs the network after :data:`LONGEST_WAIT` frames in any case, with one warning."""

    def __init__(self, policy: KeyframePolicy) -> None:
        self._policy = policy
        self._longest = math.inf if getattr(policy, "patient", False) else LONGEST_WAIT
        self._asked_in_vain = False

    def __call__(self, seen: Doubt) -> bool:
        if self._policy(seen):
            return True
        if seen.frames < self._longest:
            return False
        if not self._asked_in_vain:
            log.warning("the keyframe policy asked for no network in %d frames: it runs all the same", LONGEST_WAIT)
        self._asked_in_vain = True
        return True


class KeyframeTracker:
    """Follows a stream from its last keyframe on, and asks a policy for the next."""

    def __init__(self, policy: KeyframePolicy) -> None:
        self._policy = BoundedWait(policy)
        self._frames = 0
        self._key: Tensor | None = None  # the last keyframe, half_grey
        self._path: Flows | None = None  # from the last frame to it

    def start(self, image: Tensor) -> None:
        """Begin at a keyframe ``[1,3,H,W]``."""
        self._key, self._path, self._frames = half_grey(image), None, 0

    def next(self, image: Tensor, flows: Flows, index: int) -> tuple[Doubt, bool]:
        """Go on to the next frame: how it stands to the last keyframe, and whether it is one."""
        assert self._key is not None
        self._frames += 1
        self._path = flows if self._path is None else flows.on_to(self._path)
        grey = half_grey(image)
        seen = Doubt(index, self._frames, self._path, (grey, self._key))
        keyframe = self._policy(seen)
        if keyframe:
            self._key, self._path, self._frames = grey, None, 0
        return seen, keyframe
