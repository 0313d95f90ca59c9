"""``load_base``: build a network from its name, by one of the :data:`SCHEMES`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from torch import nn

from netwarp.bases.from_huggingface import load_huggingface, rebuild_huggingface
from netwarp.bases.from_import import load_import, rebuild_import
from netwarp.bases.from_onnx import load_onnx, rebuild_onnx
from netwarp.bases.from_smp import load_smp, rebuild_smp
from netwarp.bases.from_torchvision import load_torchvision, rebuild_torchvision
from netwarp.bases.in_engine import compute_by
from netwarp.bases.shipped import BASES, load_shipped, rebuild_shipped
from netwarp.bases.spec import BaseSource, attach_source
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.imports import is_import, module_exists

Load = Callable[[str, "str | Path | None", "int | Sequence[str] | None"], nn.Module]


@dataclass(frozen=True)
class Scheme:
    """How a scheme's networks are built."""

    load: Load  # from a name, weights and classes, with its source attached
    rebuild: Callable[[BaseSource], nn.Module]  # from a source, with random weights


SCHEMES: dict[str, Scheme] = {
    "torchvision": Scheme(load_torchvision, rebuild_torchvision),
    "smp": Scheme(load_smp, rebuild_smp),
    "hf": Scheme(load_huggingface, rebuild_huggingface),
    "netwarp": Scheme(load_shipped, rebuild_shipped),
    "onnx": Scheme(load_onnx, rebuild_onnx),
}
"""The part of a spec before the colon. Anything else is a module to import."""

_FORMS = "torchvision:NAME, smp:ARCH/ENCODER, hf:REPO_OR_FOLDER, netwarp:NAME, onnx:FILE or package.module:callable"


def load_base(
    spec: str,
    weights: str | Path | None = None,
    classes: int | Sequence[str] | None = None,
    *,
    engine: str | None = None,
    dtype: str | None = None,
    example_size: tuple[int, int] | None = None,
) -> nn.Module:
    """Load a segmentation network.

    Args:
        spec: ``torchvision:NAME``, ``smp:ARCH/ENCODER``, ``hf:REPO_OR_FOLDER``, ``netwarp:NAME`` (with ``@0.125``
            behind it, an eighth of the channels), ``onnx:FILE`` (``onnx:FILE#OUTPUT`` for one of several results) or
            ``package.module:callable`` (called with ``classes=`` if it takes that; the current directory can be
            imported from).
        weights: A file (``.pth`` or ``.pt`` with a state dict, ``.safetensors``), or the name of weights that the
            library publishes (torchvision: ``"COCO_WITH_VOC_LABELS_V1"``; smp: its encoder's, ``"imagenet"``;
            ``netwarp:playdata``, ``dilation8`` and ``dilation10``: ``"imagenet"``, VGG-16's for the front-end), or
            ``"default"`` for its best. None: random, but for ``hf:`` those of the repository or folder.
        classes: Number of outputs, or their names; None: as many as the weights have, or the network's own number.
        engine: What runs it: ``"onnxruntime"`` (the default of an ``onnx:FILE``) or ``"openvino"``; None for PyTorch.
            A network of PyTorch's stays one (:func:`netwarp.bases.in_engine.run_in`).
        dtype: ``"bfloat16"`` or ``"float16"`` to compute in that; with an engine, where it can.
        example_size: (height, width) of a frame that a ``package.module:callable`` takes, as of
            :class:`netwarp.VideoModel`.

    Returns:
        The network itself in eval mode; its forward takes pre-processed input. It carries ``.preprocess``,
        ``.classes`` (names), ``.palette`` (RGB, 0–255) and ``.source`` (:class:`BaseSource`).

    Raises:
        ConfigurationError: A name is unknown (the closest are named), or the combination makes no sense.
        WeightsError: The weights are missing, damaged, refused, not finite, or of another network.
        MissingExtraError: The library of the scheme is not installed.

    >>> base = load_base("netwarp:espnet")
    >>> len(base.classes), base.preprocess.order
    (12, 'bgr')
    """
    if not isinstance(spec, str):
        raise ConfigurationError(f"a base is named by a text, {_FORMS}; not by {spec!r}")
    if not isinstance(weights, (str, Path, NoneType)):
        raise ConfigurationError(f"weights are named by a file or a text, not by {weights!r}")
    scheme, colon, name = spec.partition(":")
    if not colon or not scheme or not name:
        suggestion = f"netwarp:{spec}" if spec.partition("@")[0] in BASES else _FORMS
        raise ConfigurationError(f"{spec!r} names no base: write {suggestion}")
    if scheme == "onnx":
        return load_onnx(name, weights, classes, engine, dtype)
    if scheme in SCHEMES:
        network = SCHEMES[scheme].load(name, weights, classes)
    else:
        _check_import(scheme, name, spec)
        network = load_import(spec, weights, classes, example_size)
    return compute_by(network, engine, dtype)


def rebuild_base(source: BaseSource | Mapping[str, Any], *, run_imports: bool = False) -> nn.Module:
    """Build a network again from what a loaded one carries: same architecture, random weights, no downloads.

    Args:
        source: ``base.source``, or its dict after a trip through JSON.
        run_imports: Whether a ``package.module:callable`` may be imported and called. A saved model comes with such
            a name, and a file from elsewhere must not decide which code runs here.

    Returns:
        The network in eval mode, carrying what the original carried.

    Raises:
        ConfigurationError: The source describes no base, or one that needs ``run_imports``.
        MissingExtraError: The library of the scheme is not installed.

    >>> base = load_base("netwarp:espnet", classes=["road", "sky", "car", "tree", "rest"])
    >>> rebuild_base(base.source.to_dict()).classes
    ('road', 'sky', 'car', 'tree', 'rest')
    """
    if not isinstance(source, BaseSource):
        source = BaseSource.from_dict(source)
    if source.scheme in SCHEMES:
        return attach_source(SCHEMES[source.scheme].rebuild(source), source)
    if not run_imports:
        raise ConfigurationError(
            f"the model's network is built by {source.spec}, which is code outside of netwarp: if you trust it, "
            f"give {{option}} {source.spec} (in Python, base=load_base({source.spec!r}))",
            option="base",
        )
    _check_import(source.scheme, source.name, source.spec)
    return attach_source(rebuild_import(source), source)


def _check_import(module: str, path: str, spec: str) -> None:
    if module.endswith(".py"):
        name = os.path.relpath(module.removesuffix(".py")).replace(os.sep, ".")
        inside = is_import(f"{name}:{path}")
        wanted = f"write {name}:{path}" if inside else f"in its folder write {Path(module).stem}:{path}"
        raise ConfigurationError(f"{module} is a file, and modules go by their names: {wanted}")
    if not is_import(f"{module}:{path}"):
        raise ConfigurationError(f"{spec!r} names no base: write {_FORMS}")
    if not module_exists(module):
        if "." not in module:
            raise unknown_name("scheme or module", module, [*SCHEMES, *(file.stem for file in Path().glob("*.py"))])
        raise ConfigurationError(
            f"no module {module!r} to take {path} from: it must be installed or lie under {Path.cwd()}"
        )
