"""FlowCNN Λ: a tiny network that corrects the optical flow (paper, section 3.1, "Flow Transformation")."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.ops import Grid, sample_flow, warp

VARIANTS = {"paper": (11, 3), "release": (8, 1)}
"""Channels that the first convolution takes, and size of the last one's kernel."""
GAUSSIAN = {"paper": (0.01, 0.01, 0.01, 0.01), "release": (0.1, 1.0, 1.0, 0.001)}
"""Deviation of each convolution's initial weights: the release's own, and for the paper's form, of which none is known,
a small one."""
STARTS = ("identity", "gaussian")
EPSILON = 1e-4
RELEASE_STRIDE = 8
STRIP = 64
"""Rows that are worked on at once, on a CPU."""
REACH = 4
"""Rows above and below that a result depends on: one for each 3×3 convolution."""


class FlowCNN(nn.Module):
    """Λ(F): four convolutions over flow and frames that are learned from segmentation alone.

    The form of the paper: input are 11 channels, the flow (2), the current frame (3), the previous frame (3) and their
    difference (3). Three 3×3 convolutions have 16, 32 and 2 outputs, with ReLU between; the third's output is
    concatenated with the original flow, and a last 3×3 convolution makes the two channels of the new flow. Nothing
    clips the result: motion goes in every direction. 0.0001 is added to it, so that the warp is differentiable where
    the flow is whole.

    The form of the authors' release works at an eighth of the size of the network's *input*: flow and frames go through
    8×8 max-pooling, and the flow keeps its values. Input are 8 channels, the flow (2), the current frame (3) and the
    previous frame (3), warped by that flow. The convolutions are those above without a ReLU behind the third, the last
    one is 1×1, and nothing is added.

    Everything is computed in float32 (float64 for a float64 flow), also under autocast and in a model that was cast to
    half precision: a flow of 200 pixels in bfloat16 would be wrong by half a pixel.

    Args:
        variant: ``"paper"`` or ``"release"``.
        stride: Compute at 1/stride of the frame's size: frames are averaged over cells, the flow is read in their
            middle, and what comes out has a place for each. 1 is the paper's; at the stride of the features it costs
            next to nothing. None takes that of the finest layer of the first :class:`.VideoModel` it is given to: none
            sees a finer flow. The release's form is always at 8.
        start: ``"identity"`` starts at Λ(F) = F but for small Gaussian noise; ``"gaussian"`` is the paper's "randomly
            with Gaussian noise" throughout, from which Λ first has to learn to let the flow pass. Its σ is 0.1, 1, 1
            and 0.001, convolution by convolution, in the release's form; the paper gives none, and its form has 0.01.
        offset: Pixel of the frame, down and across, in the middle of the first cell. None puts the cells side by side
            from the frame's corner on, or, with ``stride`` None, takes that of the finest layer too.

    Attributes:
        stride: As above; None until a model has it.
        offset: As above.
        sees_input: Whether it is shown frames as the network sees them, prepared and padded, instead of RGB in 0–1.

    Raises:
        ConfigurationError: ``variant`` or ``start`` is unknown, or ``stride`` is below 1 or not the release's.
    """

    def __init__(
        self,
        variant: str = "paper",
        *,
        stride: int | None = 1,
        start: str = "identity",
        offset: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown_name("FlowCNN variant", variant, VARIANTS)
        if start not in STARTS:
            raise unknown_name("FlowCNN start", start, STARTS)
        if stride is not None and (not isinstance(stride, int) or stride < 1):
            raise ConfigurationError(f"a FlowCNN's stride must be a whole number, at least 1, not {stride!r}")
        if variant == "release" and stride not in (None, 1, RELEASE_STRIDE):
            raise ConfigurationError(
                f"the release's FlowCNN works at an eighth of the size: leave its stride out, instead of {stride}"
            )
        channels, last = VARIANTS[variant]
        self.variant = variant
        self.stride = RELEASE_STRIDE if variant == "release" else stride
        self.offset = None if offset is None else (float(offset[0]), float(offset[1]))
        self.start = start
        self.sees_input = variant == "release"
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 2, 3, padding=1)
        self.conv4 = nn.Conv2d(4, 2, last, padding=last // 2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as ``start`` says."""
        convolutions = (self.conv1, self.conv2, self.conv3, self.conv4)
        for convolution, deviation in zip(convolutions, GAUSSIAN[self.variant], strict=True):
            nn.init.normal_(convolution.weight, std=deviation)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        if self.start == "identity":
            for convolution in convolutions[:3]:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.normal_(self.conv4.weight, std=0.001)
            # The release's flow comes in pixels of the input and leaves in those of the pooled grid.
            share = 1 / RELEASE_STRIDE if self.variant == "release" else 1.0
            with torch.no_grad():
                self.conv4.weight += share * _identity(self.conv4.weight)

    def forward(self, flow: Tensor, current: Tensor, previous: Tensor) -> Tensor:
        """Correct a flow.

        Args:
            flow: ``[B,2,H,W]``, backward, in pixels of the frames' grid.
            current: ``[B,3,H,W]``, the current frame, RGB in 0–1; for the release's form as the network sees it.
            previous: ``[B,3,H,W]``, the previous frame.

        Returns:
            ``[B,2,⌈H/stride⌉,⌈W/stride⌉]``, the corrected flow in pixels of its own grid.
        """
        dtype = torch.promote_types(torch.float32, flow.dtype)
        flow, current, previous = flow.to(dtype), current.to(dtype), previous.to(dtype)
        with torch.autocast(flow.device.type, enabled=False):
            if self.variant == "release":
                # The largest value of each cell; cells at the lower and right border may be smaller.
                pool = partial(F.max_pool2d, kernel_size=RELEASE_STRIDE, ceil_mode=True)
                return self._release(pool(flow), pool(current), pool(previous))
            stride = self.stride or 1
            if stride > 1:
                size = (-(-flow.shape[-2] // stride), -(-flow.shape[-1] // stride))
                flow = sample_flow(flow, self.grid, size)
                current, previous = (self._cells(picture, stride, size) for picture in (current, previous))
            return self._paper(flow, current, previous)

    @property
    def grid(self) -> Grid:
        """Where the places of the flow that comes out look in the frame, or for the release's form in the input."""
        stride = float(self.stride or 1)
        if self.offset is None:
            return Grid.of_cells((stride, stride))
        return Grid((stride, stride), self.offset)

    def take_grid(self, stride: float, grid: Grid | None) -> None:
        """Take a layer's stride where there is none, and its places then; those too for the release's form."""
        if self.stride is None:
            self.stride = max(1, round(stride))
        elif self.variant != "release":
            return
        if grid is not None and self.offset is None and grid.stride == (self.stride, self.stride):
            self.offset = grid.offset

    def _cells(self, picture: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
        """Average a picture over the cells around its places, to the nearest pixel; beyond the border it goes on."""
        top, left = (round((stride - 1) / 2 - offset) for offset in self.grid.offset)
        height, width = picture.shape[-2:]
        margins = (left, size[1] * stride - left - width, top, size[0] * stride - top - height)
        return F.avg_pool2d(F.pad(picture, margins, mode="replicate"), stride)

    def _paper(self, flow: Tensor, current: Tensor, previous: Tensor) -> Tensor:
        height = flow.shape[-2]
        if flow.device.type != "cpu" or height <= STRIP:
            return self._paper_strip(flow, current, previous)
        # In strips, what is between two convolutions stays in a CPU's cache. Each sees as much more above and below as
        # its convolutions reach, and gives the same values as the whole.
        strips = []
        for top in range(0, height, STRIP):
            begin = max(top - REACH, 0)
            rows = slice(begin, top + STRIP + REACH)
            strip = self._paper_strip(flow[:, :, rows], current[:, :, rows], previous[:, :, rows])
            strips.append(strip[:, :, top - begin : top - begin + STRIP])
        return torch.cat(strips, dim=2)

    def _paper_strip(self, flow: Tensor, current: Tensor, previous: Tensor) -> Tensor:
        hidden = torch.cat((flow, current, previous, current - previous), dim=1)
        # So few channels convolve faster side by side.
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for convolution in (self.conv1, self.conv2, self.conv3):
            hidden = F.relu(_convolve(hidden, convolution.weight, convolution.bias), inplace=True)
        # What conv4 changes, added to the flow: a GPU's convolutions may round what they take to 10 bits (TF32,
        # torch's default), which is a tenth of a pixel for a flow of 200.
        last = self.conv4.weight - _identity(self.conv4.weight)
        return flow + _convolve(torch.cat((flow, hidden), dim=1), last, self.conv4.bias) + EPSILON

    def _release(self, flow: Tensor, current: Tensor, previous: Tensor) -> Tensor:
        hidden = torch.cat((flow, current, warp(previous, flow)), dim=1)
        for convolution in (self.conv1, self.conv2):
            hidden = F.relu(_convolve(hidden, convolution.weight, convolution.bias))
        hidden = _convolve(hidden, self.conv3.weight, self.conv3.bias)
        # Sums of four, written out for the same reason.
        last, bias = self.conv4.weight.to(flow.dtype), self.conv4.bias
        assert bias is not None
        joined = torch.cat((flow, hidden), dim=1).unsqueeze(1)
        return (joined * last.unsqueeze(0)).sum(2) + bias.to(flow.dtype).view(1, 2, 1, 1)

    def extra_repr(self) -> str:
        return f"variant={self.variant!r}, stride={self.stride}"


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), padding=weight.shape[-1] // 2)


def _identity(weight: Tensor) -> Tensor:
    """Weights ``[2,4,k,k]`` like these that pass the first two channels on."""
    identity = torch.zeros_like(weight)
    middle = weight.shape[-1] // 2
    identity[:, :2, middle, middle] = torch.eye(2, dtype=weight.dtype, device=weight.device)
    return identity
