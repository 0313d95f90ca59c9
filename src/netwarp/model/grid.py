"""The grids of feature maps, followed through a network's operations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from netwarp.ops import Grid


@dataclass(frozen=True)
class _Map:
    grid: Grid
    size: tuple[int, int]  # (h, w)
    resized: bool = False  # whether it was interpolated on its way, and so keeps no exact shift

    def lies_in(self, shape: Sequence[int]) -> tuple[int, int] | None:
        """The dimensions of a tensor along which its rows and columns run: channels may come before or after."""
        places = [len(shape) - 2, *([1] if len(shape) == 4 else [])]
        return next(((d, d + 1) for d in places if d > 0 and tuple(shape[d : d + 2]) == self.size), None)


class GridTracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the grids of maps through all that torch computes inside the block, in whatever module.

    Convolutions, pooling, padding, cutting and interpolation move and scale a grid; all else hands on that of its
    finest map, that of tokens and of channels-last layouts too. What it does not know loses its grid.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._maps: Any = WeakTensorKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch would else import its compiler, for seconds, to leave this class out of what it compiles."""
        return False

    def begin_at(self, picture: Tensor) -> None:
        """Take a picture ``[B,C,H,W]`` as what grids are of."""
        self._maps[picture] = _Map(Grid(), (picture.shape[-2], picture.shape[-1]))

    def grid_of(self, tensor: Tensor) -> tuple[Grid, bool] | None:
        """The grid of a map ``[B,C,h,w]``, and whether the map was interpolated; None where it is not known."""
        found = self._maps.get(tensor)
        return None if found is None or tuple(tensor.shape[-2:]) != found.size else (found.grid, found.resized)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        given = {argument.name: argument.default_value for argument in schema.arguments}
        given |= dict(zip(given, args, strict=False)) | (kwargs or {})
        known = [found for t in _tensors(given.values()) if (found := self._maps.get(t)) is not None]
        if known:
            name = schema.name.removeprefix("aten::").lstrip("_")
            for output in _tensors([result]):
                if (found := self._after(name, given, known, output)) is not None:
                    self._maps[output] = found
        return result

    def _after(self, name: str, given: dict[str, Any], known: list[_Map], output: Tensor) -> _Map | None:
        picture: Any = given.get("input", given.get("self"))
        before = self._maps.get(picture) if isinstance(picture, Tensor) else None
        dims = None if before is None else before.lies_in(picture.shape)
        if before is None or dims is None:
            return None if _is_window(name) else _handed_on(known, output)
        step = _step(name, given, dims, picture.shape, output.shape)
        if step is None:
            return _handed_on(known, output)
        resized = step != Grid() and ("upsample" in name or "adaptive" in name)
        size = (output.shape[dims[0]], output.shape[dims[1]])
        return _Map(step.on(before.grid), size, before.resized or resized)


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    flat = [each for value in values for each in (value if isinstance(value, (list, tuple)) else [value])]
    return [each for each in flat if isinstance(each, Tensor)]


def _handed_on(known: list[_Map], output: Tensor) -> _Map:
    """The map that an operation without a rule of its own goes on with: the finest that fits and is exact."""

    def rank(each: _Map) -> tuple[bool, bool, int]:
        return each.lies_in(output.shape) is None, each.resized, -each.size[0] * each.size[1]

    best = min(known, key=rank)
    # Branches of one stride that are summed or stacked, perhaps half a pixel apart: their mean.
    alike = [e for e in known if replace(e, grid=best.grid) == best and e.grid.stride == best.grid.stride]
    same = [each.grid.offset for each in alike]
    down, across = (sum(offset[axis] for offset in same) / len(same) for axis in (0, 1))
    return replace(best, grid=replace(best.grid, offset=(down, across)))


def _is_window(name: str) -> bool:
    return name == "convolution" or "max_pool2d" in name or name == "avg_pool2d"


def _step(
    name: str, given: dict[str, Any], dims: tuple[int, int], before: Sequence[int], after: Sequence[int]
) -> Grid | None:
    """Where the places of a result lie on the map that an operation takes; None where it leaves them as they are."""
    if _is_window(name):
        return _window(given, given["weight"].shape[-2:] if name == "convolution" else given["kernel_size"])
    if "upsample" in name and given.get("align_corners"):
        down, across = ((before[d] - 1) / max(after[d] - 1, 1) for d in dims)
        return Grid((down, across))
    if "upsample" in name:
        scales = given.get("scale_factors") or (given.get("scales_h"), given.get("scales_w"))
        return Grid.of_cells([1 / s if s else before[d] / after[d] for s, d in zip(scales, dims, strict=True)])
    if name == "max_unpool2d":  # of cells of as many pixels each, of which the last may be cut off
        return Grid.of_cells([1 / round(after[d] / before[d]) for d in dims])
    if "adaptive" in name or name in ("pixel_shuffle", "pixel_unshuffle"):
        return Grid.of_cells([before[d] / after[d] for d in dims])
    if name in ("constant_pad_nd", "reflection_pad2d", "replication_pad2d"):
        left, _, top, _ = [*(given.get("pad") or given["padding"]), 0, 0][:4]
        return Grid(offset=(-float(top), -float(left)))
    if name in ("slice", "index_select") and (dim := given["dim"] % len(before)) in dims:
        stride, offset = _cut(given, before[dim]) if name == "slice" else _run(given["index"].tolist())
        return Grid((stride, 1.0), (offset, 0.0)) if dim == dims[0] else Grid((1.0, stride), (0.0, offset))
    return None


def _window(given: dict[str, Any], kernel: Sequence[int]) -> Grid:
    def both(values: Any, otherwise: Any) -> list[int]:  # noqa: ANN401
        numbers = [int(value) for value in values or otherwise]
        return numbers * 2 if len(numbers) == 1 else numbers

    kernel = both(kernel, ())
    stride, padding = both(given.get("stride"), kernel), both(given.get("padding"), (0,))
    reach = [d * (k - 1) / 2 - p for d, k, p in zip(both(given.get("dilation"), (1,)), kernel, padding, strict=True)]
    window = Grid((stride[0], stride[1]), (reach[0], reach[1]))
    return Grid().among(window) if given.get("transposed") else window


def _cut(given: dict[str, Any], length: int) -> tuple[float, float]:
    start = given["start"] or 0
    return float(given["step"]), float(max(start + length, 0) if start < 0 else start)


def _run(index: list[int]) -> tuple[float, float]:
    """The longest stretch of even steps upward, of equal ones the middle one: what is beside it may be a reflection."""
    best, begin = (0, 0, 1.0, 0.0), 0
    for end in range(1, len(index)):
        step = index[end] - index[end - 1]
        if end - 1 == begin or step != index[begin + 1] - index[begin]:
            begin = end - 1
        if step > 0:
            aside = abs(begin + end + 1 - len(index))
            best = max(best, (end - begin, -aside, float(step), float(index[begin] - step * begin)))
    return best[2:]
