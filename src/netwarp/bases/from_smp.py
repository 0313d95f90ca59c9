"""``smp:ARCH/ENCODER``: the networks of segmentation_models.pytorch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from netwarp.bases.spec import BaseSource, ClassRequest, attach_source, canonical_name, outputs_in, weights_file
from netwarp.errors import ConfigurationError, WeightsError, needs_extra, reason_of, unknown_name
from netwarp.input_files import expanded
from netwarp.model.inputs import Preprocess
from netwarp.weights import load_weights, read_weights

# Last convolution of all architectures, and of DPT.
_HEADS = (("segmentation_head.0.weight", 0), ("segmentation_head.head.4.weight", 0))


def load_smp(name: str, weights: str | Path | None, classes: int | Sequence[str] | None) -> nn.Module:
    """``smp:ARCH/ENCODER``: see :func:`netwarp.bases.load_base`.

    Named weights are the encoder's (``"imagenet"``); a file holds the whole network.
    """
    if (folder := expanded(name)).is_dir():
        return _saved(folder, weights, ClassRequest.of(classes))
    architecture, encoder = _names(name)
    spec = f"smp:{architecture}/{encoder}"
    path = weights_file(weights)
    encoder_weights = None if path is not None or weights is None else _encoder_weights(encoder, str(weights))
    state = None if path is None else read_weights(path)
    asked = ClassRequest.of(classes)
    count = asked.agreed(None if state is None else outputs_in(state, _HEADS), None, spec)
    network = _build(architecture, encoder, count, encoder_weights)
    if state is not None and path is not None:
        load_weights(network, state, path)
    labels = asked.labels(count)
    preprocess = _preprocess(architecture, encoder, encoder_weights, network)
    return attach_source(network, BaseSource(spec, labels.names, labels.palette, preprocess))


def rebuild_smp(source: BaseSource) -> nn.Module:
    """Build the network of a source with random weights; nothing is downloaded."""
    if "saved" in source.options:
        return _of_config(dict(source.options["saved"]), source.spec)
    return _build(*_names(source.name), len(source.classes), None)


def _saved(folder: Path, weights: str | Path | None, asked: ClassRequest) -> nn.Module:
    """A network that ``save_pretrained`` wrote: its configuration and weights, or other weights."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        encoder, classes = str(config["encoder_name"]), int(config["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{folder} holds no config.json of smp ({reason_of(error)}): give a folder that save_pretrained() wrote"
        ) from error
    network = _of_config(config, f"smp:{folder}")
    path = weights_file(weights) or next((p for p in map(folder.joinpath, _SAVED) if p.is_file()), None)
    if path is None:
        raise WeightsError(f"{folder} holds no weights ({' or '.join(_SAVED)})")
    load_weights(network, read_weights(path), path)
    labels = asked.labels(asked.agreed(classes, None, f"smp:{folder}"))
    preprocess = _preprocess(str(config["_model_class"]), encoder, None, network)
    source = BaseSource(f"smp:{folder.name}", labels.names, labels.palette, preprocess, {"saved": config})
    return attach_source(network, source)


_SAVED = ("model.safetensors", "pytorch_model.bin")


def _of_config(config: dict[str, Any], spec: str) -> nn.Module:
    smp = _smp()
    known = {network.__name__: network for network in smp.MODEL_ARCHITECTURES_MAPPING.values()}
    name = str(config.get("_model_class"))
    if name not in known:
        raise unknown_name(f"smp architecture (of {spec})", name, known)
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    try:
        network: nn.Module = known[name](**{**arguments, "encoder_weights": None, **_any_size(name)})
    except Exception as error:  # every architecture refuses in its own way
        raise ConfigurationError(f"{spec} cannot be built: {reason_of(error)}") from error
    return network


def _any_size(architecture: str) -> dict[str, bool]:
    """Without it a vision transformer takes nothing but squares of the size that it was trained with."""
    return {"dynamic_img_size": True} if architecture == "DPT" else {}


def _smp() -> Any:  # noqa: ANN401
    with needs_extra("segmentation-models-pytorch", "models", "a base smp:…"):
        import segmentation_models_pytorch as smp
    return smp


def _names(name: str) -> tuple[str, str]:
    """Architecture and encoder as smp spells them."""
    smp = _smp()
    architecture, slash, encoder = name.partition("/")
    if not slash or not architecture or not encoder:
        raise ConfigurationError(f"smp:{name} is incomplete: write smp:ARCH/ENCODER, for example smp:Unet/resnet18")
    architectures = [network.__name__ for network in smp.MODEL_ARCHITECTURES_MAPPING.values()]
    architecture = canonical_name("smp architecture", architecture, architectures)
    if encoder.startswith("tu-"):
        import timm

        if not timm.is_model(encoder[3:]):
            raise unknown_name("smp encoder", encoder, [f"tu-{model}" for model in timm.list_models()])
        return architecture, encoder
    return architecture, canonical_name("smp encoder", encoder, smp.encoders.get_encoder_names())


def _encoder_weights(encoder: str, weights: str) -> str:
    if encoder.startswith("tu-"):
        known = ["imagenet"]
    else:
        known = list(_smp().encoders.encoders[encoder]["pretrained_settings"])
    if weights.casefold() == "default":
        return "imagenet" if "imagenet" in known else known[0]
    return canonical_name(f"encoder weights of {encoder}", weights, known)


def _build(architecture: str, encoder: str, classes: int, encoder_weights: str | None) -> nn.Module:
    # timm's encoders come with one set of weights, named in the encoder itself; smp wants True for it.
    pretrained = True if encoder_weights is not None and encoder.startswith("tu-") else encoder_weights
    try:
        network: nn.Module = _smp().create_model(
            architecture, encoder, encoder_weights=pretrained, classes=classes, **_any_size(architecture)
        )
    except OSError as error:
        raise WeightsError(
            f"cannot download the {encoder_weights} weights of {encoder} ({reason_of(error)}): "
            "give a file of the whole network as weights, or none"
        ) from error
    except Exception as error:  # every architecture refuses encoders in its own way
        raise ConfigurationError(f"smp:{architecture}/{encoder} cannot be built: {reason_of(error)}") from error
    return network


def _preprocess(architecture: str, encoder: str, encoder_weights: str | None, network: Any) -> Preprocess:  # noqa: ANN401
    settings = _settings(encoder, encoder_weights)
    scale = float(settings["input_range"][1])
    if architecture == "DPT":
        divisor = 32  # patches of 16, and a level of half that
    elif network.requires_divisible_input_shape:
        divisor = int(network.encoder.output_stride)
    else:
        divisor = 1
    return Preprocess(
        mean=tuple(float(m) for m in settings["mean"]),  # type: ignore[arg-type]
        std=tuple(float(s) for s in settings["std"]),  # type: ignore[arg-type]
        scale=scale,
        order="bgr" if str(settings["input_space"]).upper() == "BGR" else "rgb",
        divisor=divisor,
    )


def _settings(encoder: str, encoder_weights: str | None) -> dict[str, Any]:
    """The encoder's training settings: from smp, which downloads them, with its weights; else known by its name.

    Without weights nothing is downloaded: timm's settings are on the disk, and all other encoders were trained with
    ImageNet's mean and standard deviation but the few below.
    """
    if encoder_weights is not None:
        try:
            settings: dict[str, Any] = _smp().encoders.get_preprocessing_params(encoder, pretrained=encoder_weights)
        except Exception as error:
            raise WeightsError(f"cannot download the settings of {encoder} ({reason_of(error)})") from error
        return settings
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)
    if encoder.startswith("tu-"):
        import timm

        trained = timm.get_pretrained_cfg(encoder[3:])
        if trained is not None:
            mean, std = trained.mean, trained.std
    elif encoder.startswith(("inceptionresnetv2", "inceptionv4", "xception", "timm-tf_efficientnet_lite")):
        mean = std = (0.5, 0.5, 0.5)
    elif encoder.startswith("dpn"):
        mean, std = tuple(value / 255 for value in (124, 117, 104)), (1 / (0.0167 * 255),) * 3
    return {"mean": mean, "std": std, "input_range": (0, 1), "input_space": "RGB"}
