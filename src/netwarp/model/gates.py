"""Gates: confidence in each warped pixel, from how well the warped previous frame fits the current one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.ops import Grid, sample_confidence, warp
from netwarp.ops.kernels import photometric_error

Confidence = Tensor
"""``[B,1,H,W]`` in 0–1: 1 where the warped representation is trusted, 0 where the current one stands alone."""

TERMS = ("photometric", "forward_backward", "features")
STARTS = ("open", "photometric")

GateFunction = Callable[[Tensor, Tensor, Tensor], Confidence]
"""A gate in its simplest form: a function of current frame, previous frame and flow, as for :class:`Gate`."""


class Gate(Protocol):
    """Gives the confidence in the warped representation, pixel by pixel.

    :class:`PhotometricGate` and :class:`LearnedGate` are gates. A model takes a :data:`GateFunction` in place of one.
    """

    @property
    def needs_forward_flow(self) -> bool:
        """Whether the model is to estimate flow in both directions for it."""

    def __call__(
        self, current: Tensor, previous: Tensor, flow: Tensor, forward_flow: Tensor | None = None
    ) -> Confidence:
        """Compute the confidence from frames and flow.

        Args:
            current: ``[B,3,H,W]``, RGB in 0–1.
            previous: ``[B,3,H,W]``.
            flow: ``[B,2,H,W]``, backward, pixels.
            forward_flow: ``[B,2,H,W]``, from the previous frame to the current one, where :attr:`needs_forward_flow`.

        Returns:
            ``[B,1,H,W]`` in 0–1.
        """

    def at_layer(self, confidence: Confidence, current: Tensor, previous: Tensor, flow: Tensor) -> Confidence:
        """Adapt the confidence to a layer, by what its representations say.

        Args:
            confidence: ``[B,1,h,w]``, what the call returned, at the layer's places.
            current: ``[B,C,h,w]``, the layer's representation.
            previous: ``[B,C,h,w]``, the one that it remembers.
            flow: ``[B,2,h,w]``, backward, in pixels of the layer.

        Returns:
            ``[B,1,h,w]`` in 0–1, or ``confidence`` itself.
        """


def relative_error(error: Tensor, scale: float, noise: float) -> Tensor:
    """``(e / (scale + noise · median(e)))²`` of an error e ``[B,1,H,W]``: relative to the median of its map."""
    # Every fourth row and column are plenty for a median, and a sixteenth of the time.
    median = error[..., ::4, ::4].flatten(1).median(1).values.view(-1, 1, 1, 1)
    return (error / (scale + noise * median)) ** 2


def resize_confidence(confidence: Confidence, size: tuple[int, int]) -> Confidence:
    """Bring confidence ``[B,1,H,W]`` to a size (h, w), averaging over its cells; 1 everywhere stays exactly 1."""
    cells = [length / n for length, n in zip(confidence.shape[-2:], size, strict=True)]
    return sample_confidence(confidence, Grid.of_cells(cells), size)


@dataclass(frozen=True)
class PhotometricGate:
    """``exp(−(e/s)²)`` of the photometric error e, where s is ``sigma`` plus ``noise`` times the frame's median error.

    Where the picture changed (occlusion, wrong flow, another look), the current representation replaces the warped.
    Noise, compression and changing light leave a median error nearly everywhere; with it in s, the gate fits a dark,
    noisy video as well as a clean one.

    Attributes:
        sigma: Error (0–1) at which the confidence has fallen to 1/e in a video without noise.
        window: Side of the window in pixels over which the error is averaged, odd; 1 for none.
        noise: How many median errors are added to ``sigma``; 0 for a fixed gate.

    Raises:
        ConfigurationError: ``sigma`` is not positive, ``window`` not odd and positive, or ``noise`` negative.
    """

    sigma: float = 0.02
    window: int = 1
    noise: float = 3.0
    needs_forward_flow: ClassVar[bool] = False
    takes_bytes: ClassVar[bool] = True  # frames as they come, uint8 too, which are faster to compare

    def __post_init__(self) -> None:
        if not all(isinstance(value, (int, float)) for value in (self.sigma, self.window, self.noise)):
            raise ConfigurationError(f"a gate's sigma, window and noise must be numbers, not those of {self}")
        if not (self.sigma > 0 and math.isfinite(self.sigma)):
            raise ConfigurationError(f"a gate's sigma must be positive, not {self.sigma}")
        if self.window < 1 or self.window % 2 != 1:
            raise ConfigurationError(f"a gate's window must be odd and positive, not {self.window}")
        if not (self.noise >= 0 and math.isfinite(self.noise)):
            raise ConfigurationError(f"a gate's noise must be at least 0, not {self.noise}")

    def __call__(
        self, current: Tensor, previous: Tensor, flow: Tensor, forward_flow: Tensor | None = None
    ) -> Confidence:
        return torch.exp(-self.cost(current, previous, flow))

    def at_layer(self, confidence: Confidence, current: Tensor, previous: Tensor, flow: Tensor) -> Confidence:
        return confidence

    def cost(self, current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
        """``(e/s)²`` at every pixel, ``[B,1,H,W]``; arguments as in a call."""
        error = photometric_error(current, previous, flow)
        if self.window > 1:
            error = F.avg_pool2d(error, self.window, stride=1, padding=self.window // 2, count_include_pad=False)
        return relative_error(error, self.sigma, self.noise)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(**values)


def forward_backward_error(backward: Tensor, forward: Tensor) -> Tensor:
    """How far flow there and back misses the start, ``[B,1,H,W]``, relative to what flow of that length may miss.

    ``|b + f(b)|² / (0.01 (|b|² + |f(b)|²) + 0.5)`` for flows ``[B,2,H,W]``: above 1 a pixel counts as occluded in
    Sundaram, Brox and Keutzer (ECCV 2010, Eq. 5).
    """
    back = warp(forward, backward)
    missed = (backward + back).square().sum(1, keepdim=True)
    return missed / (0.01 * (backward.square() + back.square()).sum(1, keepdim=True) + 0.5)


def feature_error(current: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """Distance ``[B,1,h,w]`` of a representation ``[B,C,h,w]`` to the previous one, warped along a flow of this grid.

    Root mean square over the channels, relative to the representation's own deviation over the map; float32 or better.
    """
    dtype = torch.promote_types(torch.float32, current.dtype)
    current, warped = current.to(dtype), warp(previous.to(dtype), flow)
    deviation = current.var((2, 3), correction=0).mean(1).clamp(min=1e-12).view(-1, 1, 1, 1)
    return ((current - warped).square().mean(1, keepdim=True) / deviation).sqrt()


class LearnedGate(nn.Module):
    """``exp(−Σ a·e)`` with learned coefficients a ≥ 0, one for each of up to three errors e per pixel.

    - ``photometric``: that of :class:`PhotometricGate`, relative to the video's noise.
    - ``forward_backward``: :func:`forward_backward_error`. It needs flow in the other direction too, which a model
      estimates unless it is given: about as much work again.
    - ``features``: :func:`feature_error` at each layer itself, relative to the noise as the first is. No gradient goes
      through the representations: the network is not trained to look trustworthy.

    A coefficient of 0 has a gradient, so that a gate which starts open can close. All layers of a model share one gate.

    Args:
        start: ``"open"``: all coefficients are 0 and the gate is exactly 1, which is the paper's equation.
            ``"photometric"``: the first is 1 and the others 0, which is :class:`PhotometricGate`.
        terms: Which errors it looks at.
        error: How the photometric error is measured.

    Attributes:
        photometric: A parameter ``[]`` of that name for each of ``terms``. Below 0 it counts as 0.

    Raises:
        ConfigurationError: a start or term is unknown, or there is no term, or none to start from.
    """

    takes_bytes = True
    FEATURE_SCALE = 0.2  # deviations; the error that lowers confidence by a factor e^-a in a video without noise
    FEATURE_NOISE = 3.0

    def __init__(
        self, start: str = "open", terms: Sequence[str] = TERMS, *, error: PhotometricGate | None = None
    ) -> None:
        super().__init__()
        if start not in STARTS:
            raise unknown_name("start of a learned gate", start, STARTS)
        if isinstance(terms, str) or not isinstance(terms, Sequence) or not terms:
            raise ConfigurationError(f"terms must be a list of some of {', '.join(TERMS)}, not {terms!r}")
        for term in terms:
            if term not in TERMS:
                raise unknown_name("term of a learned gate", term, TERMS)
        if start == "photometric" and start not in terms:
            raise ConfigurationError("a learned gate that starts as the photometric one needs the term 'photometric'")
        if error is not None and not isinstance(error, PhotometricGate):
            raise ConfigurationError(f"the photometric error is measured by a PhotometricGate, not {error!r}")
        self.start = start
        self.terms = tuple(term for term in TERMS if term in terms)
        self.error = error or PhotometricGate()
        for term in self.terms:
            self.register_parameter(term, nn.Parameter(torch.tensor(float(term == start))))

    @property
    def needs_forward_flow(self) -> bool:
        return "forward_backward" in self.terms

    def coefficient(self, term: str) -> Tensor:
        """Coefficient ``[]`` of a term, float32 or better: its parameter, but at least 0.

        Its gradient is the parameter's below 0 too, or a coefficient of 0 could never grow again.
        """
        parameter = self.get_parameter(term)
        value = parameter.to(torch.promote_types(torch.float32, parameter.dtype))
        return value + (value.clamp(min=0) - value).detach()

    def forward(
        self, current: Tensor, previous: Tensor, flow: Tensor, forward_flow: Tensor | None = None
    ) -> Confidence:
        cost = torch.zeros((), device=flow.device)
        if "photometric" in self.terms:
            cost = cost + self.coefficient("photometric") * self.error.cost(current, previous, flow)
        if self.needs_forward_flow:
            assert forward_flow is not None
            cost = cost + self.coefficient("forward_backward") * forward_backward_error(flow, forward_flow)
        return torch.exp(-cost).expand(flow.shape[0], 1, *flow.shape[2:])

    def at_layer(self, confidence: Confidence, current: Tensor, previous: Tensor, flow: Tensor) -> Confidence:
        """Multiply by what the representations say, where ``features`` is a term."""
        if "features" not in self.terms:
            return confidence
        with torch.no_grad():
            cost = relative_error(feature_error(current, previous, flow), self.FEATURE_SCALE, self.FEATURE_NOISE)
        return confidence * torch.exp(-self.coefficient("features") * cost)

    def to_dict(self) -> dict[str, Any]:
        return {"start": self.start, "terms": list(self.terms), "error": self.error.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        return cls(values["start"], values["terms"], error=PhotometricGate(**values["error"]))

    def extra_repr(self) -> str:
        return f"start={self.start!r}, terms={list(self.terms)}, error={self.error}"


@dataclass(frozen=True)
class _FunctionGate:
    """A gate around a function of three tensors."""

    function: GateFunction
    needs_forward_flow: bool = False

    def __call__(
        self, current: Tensor, previous: Tensor, flow: Tensor, forward_flow: Tensor | None = None
    ) -> Confidence:
        return self.function(current, previous, flow)

    def at_layer(self, confidence: Confidence, current: Tensor, previous: Tensor, flow: Tensor) -> Confidence:
        return confidence


def as_gate(gate: Gate | GateFunction | None) -> Gate | None:
    """Wrap a function of three tensors as a gate; return a gate as it is."""
    if gate is None or hasattr(gate, "at_layer"):
        return cast("Gate | None", gate)
    return _FunctionGate(gate)
