"""Gates by name: in text, and in saved models."""

from __future__ import annotations

import re
from typing import Any

from netwarp.errors import ConfigurationError, unknown_name
from netwarp.imports import is_own, own_part
from netwarp.model.gates import TERMS, Gate, GateFunction, LearnedGate, PhotometricGate

GATES: dict[str, type[PhotometricGate | LearnedGate]] = {"photometric": PhotometricGate, "learned": LearnedGate}
"""Gates by the name that they have in text and in saved models."""


def gate_to_dict(gate: object) -> dict[str, Any] | None:
    """Describe a gate for a saved model: its arguments, under the name of its kind unless it is photometric."""
    if gate is None:
        return None
    for kind, known in GATES.items():
        if isinstance(gate, known):
            return gate.to_dict() if kind == "photometric" else {kind: gate.to_dict()}
    if isinstance(own := getattr(gate, "spec", None), str):
        return {OWN: own}
    raise ConfigurationError(
        f"a model with the gate {type(gate).__name__} cannot be saved: give the gate a text 'spec', package.module:name"
    )


def gate_from_dict(values: dict[str, Any] | None) -> PhotometricGate | LearnedGate | None:
    """Build the gate that :func:`gate_to_dict` describes; one of the user's own only the user can name."""
    if values is None:
        return None
    if OWN in values:
        raise ConfigurationError(
            f"the model's gate is {values[OWN]}, which is code outside of netwarp: if you trust it, give it as "
            "{option}",
            option="gate",
        )
    kind = next((kind for kind in GATES if kind in values), "photometric")
    return GATES[kind].from_dict(values.get(kind, values))


OWN = "own"
"""Key of a saved model's gate that is the user's own, by its name."""


def make_gate(spec: str) -> Gate | GateFunction:
    """Build the gate that a text names.

    ===========================================  ==============================================================
    ``photometric``                              :class:`PhotometricGate`, the same for every video
    ``learned``, ``learned:open``                :class:`LearnedGate` with all its terms, exactly 1 at first
    ``learned:photometric``                      the same, at first the photometric one
    ``learned:open,terms=photometric+features``  with some of its terms
    ``package.module:name``                      your own: a class or function that makes a gate
    ===========================================  ==============================================================

    Raises:
        ConfigurationError: a name that does not exist, or a text of another form.

    >>> make_gate("learned:photometric,terms=photometric").terms
    ('photometric',)
    """
    if is_own(spec, tuple(GATES)):
        own: Gate | GateFunction = own_part(spec, "a gate")
        if not callable(own):
            raise ConfigurationError(f"{spec} makes {type(own).__name__}, which is not called as a gate is")
        own.spec = spec  # type: ignore[union-attr]
        return own
    form = re.fullmatch(r"([^:,]*)(?::([^,]*))?(?:,terms=([^,]*))?", spec)
    if form is None:
        raise ConfigurationError(f"cannot read gate {spec!r}: the form is NAME[:START][,terms=TERM+TERM]")
    name, start, terms = form.groups()
    if name not in GATES:
        raise unknown_name("gate", name, GATES)
    if name == "learned":
        return LearnedGate(start or "open", TERMS if terms is None else terms.split("+"))
    if start or terms:
        raise ConfigurationError(f"gate {spec!r}: only a learned gate has a start and terms; write {name!r} alone")
    return GATES[name]()
