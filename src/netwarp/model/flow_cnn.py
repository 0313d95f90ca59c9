"""FlowCNN Λ: a tiny network that corrects the optical flow (paper, section 3.1, "Flow Transformation")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.ops import resize_flow

__all__ = ["FlowCNN"]

VARIANTS = ("paper",)
STARTS = ("identity", "gaussian")
EPSILON = 1e-4


class FlowCNN(nn.Module):
    """Λ(F): four 3×3 convolutions over flow and frames that are learned from segmentation alone.

    Input are 11 channels: the flow (2), the current frame (3), the previous frame (3) and their difference (3).
    The first three convolutions have 16, 32 and 2 outputs, with ReLU between; the third's output is concatenated
    with the original flow, and a last convolution makes the two channels of the new flow. Nothing clips the result:
    motion goes in every direction. 0.0001 is added to it, so that the warp is differentiable where the flow is whole.

    Everything is computed in float32 (float64 for a float64 flow), also under autocast and in a model that was cast to
    half precision: a flow of 200 pixels in bfloat16 would be wrong by half a pixel.

    Args:
        variant: ``"paper"``, the form above.
        stride: Compute at 1/stride of the frame's size: frames are averaged over cells, the flow is resized, and so is
            the flow that comes out. 1 is the paper's; at the stride of the features it costs next to nothing.
        start: ``"identity"`` starts at Λ(F) = F but for small Gaussian noise; ``"gaussian"`` is the paper's "randomly
            with Gaussian noise" (σ = 0.01) throughout, from which Λ first has to learn to let the flow pass.

    Raises:
        ConfigurationError: ``variant`` or ``start`` is unknown, or ``stride`` is below 1.
    """

    def __init__(self, variant: str = "paper", *, stride: int = 1, start: str = "identity") -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise unknown_name("FlowCNN variant", variant, VARIANTS)
        if start not in STARTS:
            raise unknown_name("FlowCNN start", start, STARTS)
        if not isinstance(stride, int) or stride < 1:
            raise ConfigurationError(f"a FlowCNN's stride must be a whole number, at least 1, not {stride!r}")
        self.variant = variant
        self.stride = stride
        self.start = start
        self.conv1 = nn.Conv2d(11, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3 = nn.Conv2d(32, 2, 3, padding=1)
        self.conv4 = nn.Conv2d(4, 2, 3, padding=1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew, as ``start`` says."""
        convolutions = (self.conv1, self.conv2, self.conv3, self.conv4)
        for convolution in convolutions:
            nn.init.normal_(convolution.weight, std=0.01)
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        if self.start == "identity":
            for convolution in convolutions[:3]:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.normal_(self.conv4.weight, std=0.001)
            with torch.no_grad():
                self.conv4.weight += _identity(self.conv4.weight)

    def forward(self, flow: Tensor, current: Tensor, previous: Tensor) -> Tensor:
        """Correct a flow.

        Args:
            flow: ``[B,2,H,W]``, backward, in pixels of the frames' grid.
            current: ``[B,3,H,W]``, the current frame, RGB in 0–1.
            previous: ``[B,3,H,W]``, the previous frame.

        Returns:
            ``[B,2,⌈H/stride⌉,⌈W/stride⌉]``, the corrected flow in pixels of its own grid.
        """
        dtype = torch.promote_types(torch.float32, flow.dtype)
        flow, current, previous = flow.to(dtype), current.to(dtype), previous.to(dtype)
        if self.stride > 1:
            size = (-(-flow.shape[-2] // self.stride), -(-flow.shape[-1] // self.stride))
            flow = resize_flow(flow, size)
            current, previous = F.adaptive_avg_pool2d(current, size), F.adaptive_avg_pool2d(previous, size)
        with torch.autocast(flow.device.type, enabled=False):
            hidden = torch.cat((flow, current, previous, current - previous), dim=1)
            for convolution in (self.conv1, self.conv2, self.conv3):
                hidden = F.relu(_convolve(hidden, convolution.weight, convolution.bias))
            # What conv4 changes, added to the flow: a GPU's convolutions may round what they take to 10 bits (TF32,
            # torch's default), which is a tenth of a pixel for a flow of 200.
            last = self.conv4.weight - _identity(self.conv4.weight)
            return flow + _convolve(torch.cat((flow, hidden), dim=1), last, self.conv4.bias) + EPSILON

    def extra_repr(self) -> str:  # noqa: D102
        return f"variant={self.variant!r}, stride={self.stride}"


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype), padding=1)


def _identity(weight: Tensor) -> Tensor:
    """Weights ``[2,4,3,3]`` like these that pass the first two channels on."""
    identity = torch.zeros_like(weight)
    identity[:, :2, 1, 1] = torch.eye(2, dtype=weight.dtype, device=weight.device)
    return identity
