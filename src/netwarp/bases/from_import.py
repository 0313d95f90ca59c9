"""``package.module:callable``: networks that the user's own code builds."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from netwarp.bases.spec import BaseSource, ClassRequest, attach_source, weights_from_file
from netwarp.errors import ConfigurationError, NetWarpError, reason_of, unknown_name
from netwarp.label_sets import LabelSet
from netwarp.model.inputs import Preprocess
from netwarp.model.layers import probe
from netwarp.weights import check_finite, load_weights


def load_import(spec: str, weights: str | Path | None, classes: int | Sequence[str] | None) -> nn.Module:
    """``package.module:callable``: see :func:`netwarp.bases.load_base`."""
    state = weights_from_file(weights, spec)
    asked = ClassRequest.of(classes)
    network = _call(spec, asked.count)
    preprocess = getattr(network, "preprocess", None)
    if preprocess is None:
        preprocess = Preprocess()
    elif not isinstance(preprocess, Preprocess):
        raise ConfigurationError(f"{spec}: its .preprocess is {type(preprocess).__name__}, not netwarp.Preprocess")
    if state is not None and weights is not None:
        load_weights(network, state, weights)
    else:
        check_finite(network.state_dict(), spec)
    known = _labels(network, spec)
    count = len(known) if known is not None else probe(network, preprocess).classes
    if asked.count not in (None, count):
        raise ConfigurationError(f"{spec} has {count} outputs, not the {asked.count} of {{option}}", option="classes")
    labels = asked.labels(count, known)
    return attach_source(network, BaseSource(spec, labels.names, labels.palette, preprocess))


def rebuild_import(source: BaseSource) -> nn.Module:
    """Build the network of a source, as its callable does."""
    return _call(source.spec, len(source.classes))


def module_exists(module: str) -> bool:
    """Whether a module can be imported, the current directory included; imports its parents to find out."""
    with _current_directory():
        try:
            return importlib.util.find_spec(module) is not None
        except (ImportError, ValueError):
            return False


def _call(spec: str, classes: int | None) -> nn.Module:
    module_name, _, path = spec.partition(":")
    with _current_directory():
        built: Any = _find(module_name, path, spec)
        if isinstance(built, nn.Module) or not callable(built):
            raise ConfigurationError(
                f"{spec} is {type(built).__name__}: name a class or function that builds the network"
            )
        arguments = {"classes": classes} if classes is not None and _takes_classes(built) else {}
        try:
            network = built(**arguments)
        except NetWarpError:
            raise
        except Exception as error:  # the user's code
            raise ConfigurationError(f"{spec} fails: {type(error).__name__}: {reason_of(error)}") from error
    if not isinstance(network, nn.Module):
        raise ConfigurationError(f"{spec} returns {type(network).__name__}, not a torch.nn.Module")
    return network


def _find(module_name: str, path: str, spec: str) -> Any:  # noqa: ANN401
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # the user's code
        raise ConfigurationError(f"{spec} cannot be imported: {type(error).__name__}: {reason_of(error)}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            public = [name for name in dir(found) if not name.startswith("_")]
            raise unknown_name(f"callable in {module_name}", part, public)
        found = getattr(found, part)
    return found


def _takes_classes(built: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(built).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.name == "classes" or p.kind is p.VAR_KEYWORD for p in parameters)


def _labels(network: nn.Module, spec: str) -> LabelSet | None:
    """The network's own ``.classes`` and ``.palette``, if it has them."""
    classes = getattr(network, "classes", None)
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        return None
    labels = ClassRequest.of(tuple(classes)).labels(len(classes))
    palette = getattr(network, "palette", None)
    if palette is None:
        return labels
    try:
        return LabelSet(labels.names, tuple((int(r), int(g), int(b)) for r, g, b in palette))
    except (TypeError, ValueError):
        raise ConfigurationError(f"{spec}: its .palette must be one (red, green, blue) for each class") from None


@contextmanager
def _current_directory() -> Iterator[None]:
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
