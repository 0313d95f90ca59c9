"""The classes that a user asks for, against those that weights and networks have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from netwarp.errors import ConfigurationError, WeightsError
from netwarp.model.label_set import LabelSet, label_set

__all__ = ["ClassRequest"]


@dataclass(frozen=True)
class ClassRequest:
    """What was passed as ``classes=``: a number, names, or neither.

    Attributes:
        count: Number of classes, or None if any will do.
        names: Their names, or None if not said.
    """

    count: int | None = None
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, classes: int | Sequence[str] | None) -> ClassRequest:
        """Read a user's ``classes=``.

        Raises:
            ConfigurationError: neither a positive number nor names.

        >>> ClassRequest.of(["road", "sky"]).count
        2
        """
        if classes is None:
            return cls()
        if isinstance(classes, int) and not isinstance(classes, bool):
            if classes < 1:
                raise ConfigurationError(f"classes must be at least 1, not {classes}")
            return cls(classes)
        if isinstance(classes, Sequence) and not isinstance(classes, (str, bytes)):
            names = tuple(classes)
            if names and all(isinstance(name, str) and name for name in names):
                return cls(len(names), names)
        raise ConfigurationError(f"classes must be a number or a list of names, not {classes!r}")

    def agreed(self, held: int | None, default: int | None, spec: str) -> int:
        """The number of outputs to build.

        Args:
            held: What the weights have; None without weights, or where they do not tell.
            default: What the network has if nobody says otherwise; None if it has no number of its own.
            spec: The network, for the message.

        Raises:
            WeightsError: The weights have another number than was asked for.
            ConfigurationError: Nobody says a number.
        """
        if held is not None:
            if self.count not in (None, held):
                raise WeightsError(f"the weights have {held} outputs, classes={self.count} were asked for")
            return held
        count = self.count or default
        if count is None:
            raise ConfigurationError(f"{spec} has no number of classes of its own: say classes=…")
        return count

    def labels(self, count: int, known: LabelSet | None = None) -> LabelSet:
        """Names and colours for ``count`` outputs: those asked for, else ``known`` if as many, else numbers.

        Raises:
            ConfigurationError: Names were asked for, but not ``count`` of them.
        """
        if self.names is None and known is not None and len(known) == count:
            return known
        return label_set(count, self.names)
