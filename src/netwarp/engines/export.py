"""Modules of PyTorch as ONNX graphs: what our operators and three of torch's become in it, and the export itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, NetWarpError, needs_extra, reason_of
from netwarp.ops.kernels import warp_combine_operator, warp_operator
from netwarp.quiet import quiet_loggers

OPSET = 18
"""Of the exporter; TensorRT, OpenVINO and ONNX Runtime all know it."""


def warp(features: Tensor, flow: Tensor, interpolation: str) -> Tensor:
    """Warp by ``grid_sample``, a node that every engine has; see :func:`netwarp.ops.warp`.

    Its way over coordinates in -1–1 moves a sample by up to 1e-4 pixels. Bicubic it knows another spline, so that 16
    samples at whole pixels are weighed instead.
    """
    height, width = features.shape[-2:]
    x = (torch.arange(width) + flow[:, 0]).clamp(0, width - 1)
    y = (torch.arange(height).unsqueeze(1) + flow[:, 1]).clamp(0, height - 1)
    if interpolation == "bilinear":
        return _sampled(features, x, y, "bilinear")
    left, top = x.floor(), y.floor()
    across, down = _cubic(x - left), _cubic(y - top)
    rows = [
        sum(_sampled(features, left + i, top + j, "nearest") * share.unsqueeze(1) for i, share in enumerate(across, -1))
        for j in range(-1, 3)
    ]
    return torch.stack([row * share.unsqueeze(1) for row, share in zip(rows, down, strict=True)]).sum(0)


def _sampled(features: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    """Read at pixels x, y ``[B,h,w]``; those beyond the border are those at it."""
    height, width = features.shape[-2:]
    places = torch.stack((x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1), -1)
    return F.grid_sample(features, places, mode, "border", align_corners=True)


def _cubic(share: Tensor) -> list[Tensor]:
    """Weights of the four pixels around a place, ``share`` behind the second: Catmull and Rom's."""
    s, s2, s3 = share, share**2, share**3
    return [
        -0.5 * s + s2 - 0.5 * s3,
        1 - 2.5 * s2 + 1.5 * s3,
        0.5 * s + 2 * s2 - 1.5 * s3,
        -0.5 * s2 + 0.5 * s3,
    ]


def warp_combine(
    current: Tensor,
    previous: Tensor,
    flow: Tensor,
    w1: Tensor,
    w2: Tensor,
    gate: Tensor | None,
    interpolation: str,
) -> Tensor:
    """Eq. 3 likewise; see :func:`netwarp.ops.warp_combine`."""
    warped = warp(previous, flow, interpolation)
    if gate is not None:
        warped = current + gate * (warped - current)
    return w1.view(1, -1, 1, 1) * current + w2.view(1, -1, 1, 1) * warped


def median(values: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower median along a dimension, the last of the smallest half."""
    smallest, places = values.topk((values.shape[dim] + 1) // 2, dim, largest=False)
    found = smallest.narrow(dim, -1, 1), places.narrow(dim, -1, 1)
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


def pad(image: Tensor, padding: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:  # noqa: ANN401
    """``pad(mode="replicate")``; ONNX Runtime refuses to cut off more at one end than there is before it is padded."""
    if mode != "replicate" or len(padding) != 4:
        return NotImplemented  # the exporter goes on with its own
    for dim, (before, behind) in zip((-1, -2), (padding[:2], padding[2:]), strict=True):
        places = torch.arange(-before, image.shape[dim] + behind).clamp(0, image.shape[dim] - 1)
        image = image.index_select(dim, places)
    return image


def resize_antialiased(
    image: Tensor,
    output_size: Sequence[int] | None,
    align_corners: bool,
    scale_factors: Sequence[float] | None = None,
) -> Tensor:
    """``interpolate(antialias=True)`` as two products of matrices, which every engine gets right.

    ONNX has a node for it (Resize), but OpenVINO leaves the antialiasing out, and TensorRT refuses it.
    """
    factors = scale_factors or (None, None)
    size = output_size or [int(n * factor) for n, factor in zip(image.shape[2:], scale_factors or (), strict=True)]
    down, across = (
        _triangles(before, after, _scale(before, after, align_corners, factor), image.dtype)
        for before, after, factor in zip(image.shape[2:], size, factors, strict=True)
    )
    return down @ image @ across.mT


def _scale(before: int, after: int, align_corners: bool, factor: float | None) -> float:
    """Pixels before for one after, as PyTorch has it."""
    if align_corners:
        return (before - 1) / (after - 1) if after > 1 else 0.0
    return before / after if factor is None else 1 / factor


def _triangles(before: int, after: int, scale: float, dtype: torch.dtype) -> Tensor:
    """``[after, before]``: weights that fall from the middle of each new pixel to its neighbours' middle."""
    middles = (torch.arange(after, dtype=dtype).unsqueeze(1) + 0.5) * scale
    weights = (1 - (torch.arange(before, dtype=dtype) + 0.5 - middles).abs() / max(scale, 1.0)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


_IN_PLAIN_OPERATORS: dict[Any, Callable[..., Any]] = {
    warp_operator: warp,
    warp_combine_operator: warp_combine,
    torch.ops.aten.median.dim: median,
    torch.ops.aten.pad.default: pad,
    torch.ops.aten._upsample_bilinear2d_aa.vec: resize_antialiased,
}


def to_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    metadata: Mapping[str, Any] | None = None,
    dynamic: Any = None,  # noqa: ANN401
) -> bytes:
    """Export a module, in evaluation mode and on the CPU: the content of an ONNX file.

    ``inputs`` are what it is called with, in order, by the names that the graph's get; ``metadata`` is kept as JSON;
    ``dynamic`` is ``dynamic_shapes`` of ``torch.export.export``, None for the inputs' own sizes alone.

    Raises:
        ConfigurationError: It holds something that cannot be exported.
        MissingExtraError: The exporter is not installed.
    """
    with needs_extra("onnx and onnxscript", "export", "to export"):
        import onnx
        import onnxscript  # noqa: F401 - which torch's exporter needs
    try:
        with quiet_loggers("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir"), torch.no_grad():
            # Not strict: networks and hooks may be any Python, and what they do with tensors is what counts.
            program = torch.export.export(module, tuple(inputs.values()), dynamic_shapes=dynamic, strict=False)
            program = program.run_decompositions(_IN_PLAIN_OPERATORS)
            exported = torch.onnx.export(
                program, (), None, dynamo=True, opset_version=OPSET, external_data=False, verbose=False,
                input_names=list(inputs), output_names=list(outputs),
            )  # fmt: skip
            assert exported is not None
            model = exported.model_proto
            del model.metadata_props[:]
            onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in (metadata or {}).items()})
            content: bytes = model.SerializeToString()
    except NetWarpError:
        raise
    except Exception as error:  # of the exporter's many kinds, or the network's own
        scripted = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        advice = ": give it as it was before torch.jit" if scripted else ""
        raise ConfigurationError(f"the network cannot be exported ({_cause(error)}){advice}") from error
    return content


def _cause(error: BaseException) -> str:
    """What the first of a chain of errors says."""
    while error.__cause__ is not None:
        error = error.__cause__
    return reason_of(error)[:200]
