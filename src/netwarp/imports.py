"""``package.module:name``: parts of the user's own, imported as with ``python -m``, the current directory included."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netwarp.errors import ConfigurationError, NetWarpError, reason_of, unknown_name

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_import(spec: str) -> bool:
    """Whether a text has the form ``package.module:name`` (with ``,key=value`` or other words behind it it has not).

    >>> is_import("flows:mine"), is_import("dis:fast@0.5")
    (True, False)
    """
    module, colon, path = spec.partition(":")
    return bool(colon and _DOTTED.fullmatch(module) and _DOTTED.fullmatch(path))


def module_exists(module: str) -> bool:
    """Whether a module can be imported, the current directory included; imports its parents to find out."""
    with current_directory():
        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            return False


def is_own(spec: object, known: tuple[str, ...]) -> bool:
    """Whether a text names a part of the user's own, and none of the known names' variants."""
    if not isinstance(spec, str) or not is_import(spec):
        return False
    module = spec.partition(":")[0]
    return module not in known and module_exists(module)


def own_part(spec: str, what: str, **arguments: object) -> Any:  # noqa: ANN401
    """Import what a text names, a function or class, and call it with those of the arguments that it takes.

    ``what`` says in an error what the call makes. Raises ConfigurationError where it cannot be imported, or fails.
    """
    module_name, _, path = spec.partition(":")
    with current_directory():
        built = found(module_name, path, spec)
        # A network is called too.
        if not callable(built) or (hasattr(built, "forward") and not isinstance(built, type)):
            raise ConfigurationError(f"{spec} is {type(built).__name__}: name a class or function that makes {what}")
        try:
            return built(**{name: value for name, value in arguments.items() if takes(built, name)})
        except NetWarpError:
            raise
        except Exception as error:  # the user's code
            raise ConfigurationError(f"{spec} fails: {type(error).__name__}: {reason_of(error)}") from error


def found(module_name: str, path: str, spec: str) -> Any:  # noqa: ANN401
    """What lies at a path in a module."""
    try:
        part: Any = importlib.import_module(module_name)
    except Exception as error:  # the user's code
        raise ConfigurationError(f"{spec} cannot be imported: {type(error).__name__}: {reason_of(error)}") from error
    for name in path.split("."):
        if not hasattr(part, name):
            public = [each for each in dir(part) if not each.startswith("_")]
            raise unknown_name(f"callable in {module_name}", name, public)
        part = getattr(part, name)
    return part


def takes(built: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of a name, or takes any."""
    try:
        parameters = inspect.signature(built).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)


@contextmanager
def current_directory() -> Iterator[None]:
    """Let the block import from the current directory, as with ``python -m``."""
    directory = str(Path.cwd())
    added = directory not in sys.path and "" not in sys.path
    if added:
        sys.path.insert(0, directory)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if added and directory in sys.path:
            sys.path.remove(directory)
