"""Draw random views of a sample, and transform its frames, labels and flows alike.

By default flow is transformed along with the frames: ``SampleReader`` estimates it once between whole frames and keeps
it. Estimated anew in each view, by a reader without flow and an estimator after :meth:`Geometry.apply`, it costs more
than all other reading at every visit, and does not see what a crop cuts off. On real video the two differ by 0.2 pixels
in the median; by 0.5 where frames are doubled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from netwarp.datasets.augment_settings import Augmentation
from netwarp.datasets.samples import LoadedSample
from netwarp.errors import InputError
from netwarp.label_sets import IGNORE
from netwarp.ops.warp import resize_flow

# ITU-R BT.601, as in torchvision's and Pillow's gray.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Colour:
    """Factors of brightness, contrast and saturation; 1 changes nothing."""

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0

    def apply(self, frames: Tensor) -> Tensor:
        """Change all frames ``[T,3,H,W]`` uint8 alike: saturation, contrast around their common mean, brightness."""
        values = frames.float()
        luma = values.new_tensor(LUMA)
        keep = torch.eye(3, device=values.device) * self.saturation
        mix = (keep + (1 - self.saturation) * luma) * self.contrast * self.brightness
        mean = (values.mean(dim=(0, 2, 3)) @ luma) * (1 - self.contrast) * self.brightness
        changed = torch.einsum("oc,tchw->tohw", mix, values) + mean
        return changed.round_().clamp_(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Geometry:
    """One view: scaled, mirrored, cropped, recoloured, in this order."""

    source: tuple[int, int]  # (height, width) of the samples that it is for
    flip: bool  # mirror left and right
    size: tuple[int, int]  # (height, width) that everything is scaled to
    window: tuple[int, int, int, int]  # top, left, height, width of what is kept of that, padded outside
    colour: Colour | None = None

    def apply(self, sample: LoadedSample) -> LoadedSample:
        """Transform a sample. A view that changes nothing returns its tensors as they are.

        Frames are scaled bilinearly with antialiasing, labels to the nearest, flows with their values
        (:func:`netwarp.resize_flow`); mirroring negates u.
        """
        if sample.frames.shape[-2:] != self.source:
            h, w = sample.frames.shape[-2:]
            raise InputError(f"{sample.name} is {w}×{h}, but the view is drawn for {self.source[1]}×{self.source[0]}")
        frames, labels, flows = sample.frames, sample.labels, sample.flows
        if self.size != self.source:
            frames = F.interpolate(frames, self.size, mode="bilinear", antialias=True)
            if labels is not None:
                labels = F.interpolate(labels[None, None], self.size, mode="nearest-exact")[0, 0]
            if flows is not None:
                flows = resize_flow(flows, self.size)
        if self.flip:
            frames = frames.flip(-1)
            labels = None if labels is None else labels.flip(-1)
            flows = None if flows is None else flows.flip(-1) * flows.new_tensor((-1.0, 1.0)).view(2, 1, 1)
        frames = self._cut(frames)
        labels = None if labels is None else self._without_padding(self._cut(labels))
        flows = None if flows is None else self._cut(flows)
        if self.colour is not None:
            frames = self.colour.apply(frames)
        return replace(sample, frames=frames, labels=labels, flows=flows)

    def _cut(self, values: Tensor) -> Tensor:
        """Cut the window out of ``[…,h,w]``; outside, repeat the nearest pixel of the edge."""
        if self.window == (0, 0, *self.size):
            return values
        top, left, h, w = self.window
        rows = torch.arange(top, top + h, device=values.device).clamp_(0, self.size[0] - 1)
        columns = torch.arange(left, left + w, device=values.device).clamp_(0, self.size[1] - 1)
        return values.index_select(-2, rows).index_select(-1, columns)

    def _without_padding(self, labels: Tensor) -> Tensor:
        top, left, h, w = self.window
        bottom, right = self.size[0] - top, self.size[1] - left
        if top >= 0 and left >= 0 and bottom >= h and right >= w:
            return labels
        kept = torch.full_like(labels, IGNORE)
        inside = (slice(max(-top, 0), max(bottom, 0)), slice(max(-left, 0), max(right, 0)))
        kept[inside] = labels[inside]
        return kept


def draw_view(augmentation: Augmentation, rng: np.random.Generator, size: tuple[int, int]) -> Geometry:
    """Draw one view. As many numbers are drawn whatever the settings, so that one does not change another.

    >>> draw_view(Augmentation(flip=0.5), np.random.default_rng(0), (360, 480)).size
    (360, 480)
    """
    flip, grow, down, right, *colours = rng.random(7).tolist()
    low, high = map(math.log, augmentation.scale)
    factor = math.exp(low + grow * (high - low))
    # Never one pixel wide: to that width torch 2.13 scales wrongly, and bytes not at all.
    scaled = (_scaled(size[0], factor), _scaled(size[1], factor))
    h, w = augmentation.crop or scaled
    strengths = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    factors = [1 + strength * (2 * share - 1) for strength, share in zip(strengths, colours, strict=True)]
    return Geometry(
        source=size,
        flip=flip < augmentation.flip,
        size=scaled,
        window=(_offset(scaled[0] - h, down), _offset(scaled[1] - w, right), h, w),
        colour=Colour(*factors) if any(strengths) else None,
    )


def _scaled(side: int, factor: float) -> int:
    return max(min(side, 2), round(side * factor))


def _offset(room: int, share: float) -> int:
    """Choose an offset from 0 to ``room``, which may be negative."""
    low, high = min(room, 0), max(room, 0)
    return low + min(int(share * (high - low + 1)), high - low)
