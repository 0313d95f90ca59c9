"""Where a base came from: all that is needed to build it again without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn

from netwarp.errors import ConfigurationError
from netwarp.model.label_set import LabelSet
from netwarp.model.preprocess import Preprocess

__all__ = ["BaseSource", "carry"]


@dataclass(frozen=True)
class BaseSource:
    """A network's architecture and what belongs to it, as plain values: it goes through JSON and back.

    Attributes:
        spec: How :func:`netwarp.bases.load_base` names the network, e.g. ``"smp:Unet/resnet18"``.
        classes: Name of each output.
        palette: RGB colour (0–255) of each output.
        preprocess: What the network wants done to a frame.
        options: What else the scheme needs to build it, JSON-able (Hugging Face: the configuration).
    """

    spec: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    preprocess: Preprocess
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """The part of the spec before the first colon."""
        return self.spec.partition(":")[0]

    @property
    def name(self) -> str:
        """The part of the spec after the first colon."""
        return self.spec.partition(":")[2]

    @property
    def labels(self) -> LabelSet:
        """Names and colours together."""
        return LabelSet(self.classes, self.palette)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for a saved model."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BaseSource:
        """The inverse of :meth:`to_dict`, also after a trip through JSON.

        Raises:
            ConfigurationError: the values describe no base.
        """
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


def carry(network: nn.Module, source: BaseSource) -> nn.Module:
    """Hang ``.preprocess``, ``.classes``, ``.palette`` and ``.source`` on a network, and set it to eval mode.

    Plain attributes: ``state_dict()`` and ``named_modules()`` stay as they were.
    """
    carried = {
        "preprocess": source.preprocess,
        "classes": source.classes,
        "palette": source.palette,
        "source": source,
    }
    for name, value in carried.items():
        setattr(network, name, value)
    return network.eval()
