"""Reading of ``load_base``'s arguments (classes, weights, names, widths), and what a loaded network carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from netwarp.errors import ConfigurationError, WeightsError, shown, unknown_name
from netwarp.input_files import expanded
from netwarp.label_sets import LabelSet, label_set
from netwarp.model.inputs import Preprocess, base_device, channels_last_inputs
from netwarp.model.running import set_mode
from netwarp.weights import read_weights

MOST_CLASSES = 65_536

KNOWN = ("netwarp", "smp", "torchvision")
"""Schemes whose networks work so; all that were tried are faster ('python benchmarks/memory_format.py')."""


def lay_out(base: nn.Module) -> None:
    """Set channels-last format for a network on the CPU, if its scheme is known to work so.

    By a rule, not by the clock: with another format a network rounds otherwise, and results must repeat.
    """
    scheme = getattr(getattr(base, "source", None), "scheme", None)
    if scheme in KNOWN and base_device(base).type == "cpu":
        lay_channels_last(base)


def lay_channels_last(base: nn.Module) -> nn.Module:
    """Set channels-last format for a network's weights and inputs, and so for all maps between.

    Results differ by rounding. A network that uses ``view`` across channels and pixels cannot work so.
    """
    base.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Otherwise layers that run on the image itself would give maps in the usual order, to be mixed with the others.
    base.register_forward_pre_hook(channels_last_inputs)
    return base


_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt", ".tar", ".th", ".safetensors"}


@dataclass(frozen=True)
class BaseSource:
    """A network's architecture and what belongs to it, as plain values that go through JSON and back."""

    spec: str  # how load_base names the network, e.g. "smp:Unet/resnet18"
    classes: tuple[str, ...]  # name of each output
    palette: tuple[tuple[int, int, int], ...]  # RGB colour (0–255) of each output
    preprocess: Preprocess  # the preprocessing that the network expects
    # what else the scheme needs to build it, JSON-able (Hugging Face: the configuration)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        return self.spec.partition(":")[0]

    @property
    def name(self) -> str:
        return self.spec.partition(":")[2]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BaseSource:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
        try:
            source = cls(
                spec=values["spec"],
                classes=tuple(values["classes"]),
                palette=tuple((int(r), int(g), int(b)) for r, g, b in values["palette"]),
                preprocess=Preprocess.from_dict(values["preprocess"]),
                options=dict(values.get("options", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigurationError(f"this describes no base network ({type(error).__name__}: {error})") from error
        if not isinstance(source.spec, str) or not all(isinstance(name, str) for name in source.classes):
            raise ConfigurationError("this describes no base network: its spec and class names must be text")
        if not source.classes or len(source.classes) != len(source.palette):
            raise ConfigurationError(
                f"this describes no base network: {len(source.classes)} classes, {len(source.palette)} colours"
            )
        return source


def attach_source(network: nn.Module, source: BaseSource) -> nn.Module:
    """Set ``.preprocess``, ``.classes``, ``.palette`` and ``.source`` of a network, and evaluation mode.

    Plain attributes: ``state_dict()`` and ``named_modules()`` stay as they were.
    """
    own = {"preprocess": source.preprocess, "classes": source.classes, "palette": source.palette, "source": source}
    for name, value in own.items():
        setattr(network, name, value)
    return set_mode(network, False)


def prepared_by(network: nn.Module, **fields: Any) -> nn.Module:  # noqa: ANN401
    """Replace parts of a loaded network's preprocessing, as its :class:`Preprocess` calls them."""
    source: Any = network.source
    return attach_source(network, replace(source, preprocess=replace(source.preprocess, **fields)))


@dataclass(frozen=True)
class ClassRequest:
    """What was passed as ``classes=``: a number, names, or neither."""

    count: int | None = None
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, classes: int | Sequence[str] | None) -> ClassRequest:
        """Read a user's ``classes=``.

        >>> ClassRequest.of(["road", "sky"]).count
        2
        """
        if classes is None:
            return cls()
        if isinstance(classes, int) and not isinstance(classes, bool):
            if not 1 <= classes <= MOST_CLASSES:
                raise ConfigurationError(f"classes must be 1 to {MOST_CLASSES}, not {shown(classes)}")
            return cls(classes)
        if isinstance(classes, Sequence) and not isinstance(classes, (str, bytes)):
            names = tuple(classes)
            if names and all(isinstance(name, str) and name for name in names):
                return cls(len(names), names)
        raise ConfigurationError(f"classes must be a number or a list of names, not {classes!r}")

    def agreed(self, held: int | None, default: int | None, spec: str) -> int:
        """The number of outputs to build: that of the weights if there are any, else as asked for, else the default."""
        if held is not None:
            if self.count not in (None, held):
                raise WeightsError(
                    f"the weights have {held} outputs, not the {self.count} of {{option}}: leave that out, or take "
                    "weights of as many",
                    option="classes",
                )
            return held
        count = self.count or default
        if count is None:
            raise ConfigurationError(f"{spec} has no number of classes of its own: give classes=…")
        return count

    def labels(self, count: int, known: LabelSet | None = None) -> LabelSet:
        """Names and colours for ``count`` outputs: those asked for, else ``known`` if as many, else numbers."""
        if self.names is None and known is not None and len(known) == count:
            return known
        return label_set(count, self.names)


def weights_file(weights: str | Path | None) -> Path | None:
    """The path in what a user passed as ``weights=``, or None if that is a name such as ``"default"``.

    >>> weights_file("default"), weights_file("runs/best.pth").name
    (None, 'best.pth')
    """
    if weights is None:
        return None
    path = expanded(weights)
    named = isinstance(weights, Path) or path.suffix.lower() in _SUFFIXES or len(path.parts) > 1 or path.exists()
    return path if named else None


def weights_from_file(weights: str | Path | None, spec: str, known: str = "") -> dict[str, Tensor] | None:
    """Read the file that ``weights=`` names, where only a file makes sense; None without weights."""
    path = weights_file(weights)
    if path is None and weights is not None:
        raise ConfigurationError(
            f"{spec} has no weights named {str(weights)!r}: give {known}a .pth, .pt or .safetensors file"
        )
    return None if path is None else read_weights(path)


def outputs_in(state: Mapping[str, Tensor], heads: Iterable[tuple[str, int]]) -> int | None:
    """The number of outputs that weights have, by the name and dimension of the last layer's tensor."""
    for name, dimension in heads:
        there = [key for key in state if key == name or key.endswith(f".{name}")]
        tensor = state[min(there, key=len)] if there else None
        if tensor is not None and tensor.ndim > dimension:
            return tensor.shape[dimension]
    return None


def canonical_name(kind: str, name: str, known: Iterable[str]) -> str:
    """A name as its library spells it.

    >>> canonical_name("smp architecture", "unet", ["Unet", "FPN"])
    'Unet'
    """
    names = list(known)
    if name in names:
        return name
    alike = [candidate for candidate in names if candidate.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise unknown_name(kind, name, names)


def width_of(text: str) -> float:
    """The fraction of a network's channels that a text names, above 0 and at most 1.

    >>> width_of("0.125")
    0.125
    """
    try:
        width = float(text)
    except ValueError:
        width = 0.0
    if not 0 < width <= 1:
        raise ConfigurationError(
            f"a width is a fraction of the channels, above 0 and at most 1, as in @0.125; not {text!r}"
        )
    return width


def channels_at(width: float, channels: int) -> int:
    """The number of a layer's channels in a network of reduced width.

    >>> channels_at(0.125, 64), channels_at(0.001, 64)
    (8, 1)
    """
    return max(1, round(width_of(str(width)) * channels))
