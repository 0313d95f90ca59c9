"""Names of other libraries' networks, in whatever case a user writes them."""

from __future__ import annotations

from collections.abc import Iterable

from netwarp.errors import unknown_name

__all__ = ["spelled"]


def spelled(kind: str, name: str, known: Iterable[str]) -> str:
    """A name as its library spells it.

    Args:
        kind: What it names, for the message.
        name: As the user wrote it.
        known: As the library spells them.

    Raises:
        ConfigurationError: No such name, or several that differ in case alone; the closest are named.

    >>> spelled("smp architecture", "unet", ["Unet", "FPN"])
    'Unet'
    """
    names = list(known)
    if name in names:
        return name
    alike = [candidate for candidate in names if candidate.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    raise unknown_name(kind, name, names)
