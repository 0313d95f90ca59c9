"""``hf:REPO_OR_FOLDER``: semantic and universal segmentation, and depth, by networks of Hugging Face's transformers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netwarp.bases.spec import BaseSource, ClassRequest, attach_source, weights_file, weights_from_file
from netwarp.errors import ConfigurationError, MissingExtraError, WeightsError, few, needs_extra, reason_of, told_as
from netwarp.input_files import expanded
from netwarp.label_sets import LabelSet, label_set
from netwarp.model.inputs import Preprocess, as_preprocess
from netwarp.weights import check_finite, unwrapped

# Position embeddings that are not interpolated, or a neck that takes squares alone.
_FIXED_SIZE = ("dpt", "data2vec-vision", "eomt", "eomt_dinov3", "videomt")
# What networks of transformers are taken for.
_WHAT = ("SEMANTIC_SEGMENTATION", "UNIVERSAL_SEGMENTATION", "DEPTH_ESTIMATION")
# Convolutions that pad: any size works.
_ANY_SIZE = ("segformer", "mobilevit", "mobilevitv2", "mobilenet_v2")


def load_huggingface(name: str, weights: str | Path | None, classes: int | Sequence[str] | None) -> nn.Module:
    """``hf:REPO_OR_FOLDER``: see :func:`netwarp.bases.load_base`.

    Without ``weights`` (or with ``"default"``) they come from the repository or folder. Code in a repository is never
    run.
    """
    asked = ClassRequest.of(classes)
    if weights == "default" and weights_file(weights) is None:
        weights = None
    state = weights_from_file(weights, f"hf:{name}")
    where, local = _place(name)
    transformers = _transformers()
    options: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    with _quiet(transformers):
        with _one_line(f"hf:{name}", "check the name, and the connection for a hub name"):
            config = transformers.AutoConfig.from_pretrained(where, **options)
        count = asked.agreed(_outputs(transformers, config), None, f"hf:{name}")
        preprocess = _preprocess(transformers, where, config, options)
        origin = f"hf:{name}" if weights is None else str(weights)
        arguments = {
            "config": config,
            "dtype": torch.float32,
            "output_loading_info": True,
            "ignore_mismatched_sizes": True,  # reported by _check_loaded, in one line
        }
        kind = _class_of(transformers, config)
        with _one_line(origin, f"it must hold a {kind.__name__}"):
            if state is None:
                network, info = kind.from_pretrained(where, **arguments, **options)
            else:
                # Through transformers, which knows the older names of its tensors.
                with torch.device("meta"):
                    expected = kind(config).state_dict()
                network, info = kind.from_pretrained(None, state_dict=unwrapped(state, expected), **arguments)
            inputs = _inputs(transformers, where, config, options)
    _check_loaded(info, origin)
    check_finite(network.state_dict(), origin)
    labels = asked.labels(count, known_labels(config, count))
    values = json.loads(config.to_json_string(use_diff=False)) | {"_name_or_path": ""}  # not a path of this machine
    kept = {"config": _without_downloads(values), **({"inputs": inputs} if inputs else {})}
    source = BaseSource(f"hf:{name}", labels.names, labels.palette, preprocess, kept)
    return attach_source(_fed(network, inputs), source)


def rebuild_huggingface(source: BaseSource) -> nn.Module:
    """Build the network of a source with random weights, without the hub or the folder."""
    transformers = _transformers()
    values = dict(source.options.get("config", {}))
    kind = values.pop("model_type", None)
    if not isinstance(kind, str):
        raise ConfigurationError(f"the saved configuration of {source.spec} names no model_type")
    with _quiet(transformers), _offline(), _one_line(source.spec, "another version of transformers may have saved it"):
        config = transformers.AutoConfig.for_model(kind, **values)
        network: nn.Module = _class_of(transformers, config)(config)
    outputs = _outputs(transformers, config)
    if outputs != len(source.classes):
        raise ConfigurationError(
            f"the saved configuration of {source.spec} has {outputs} outputs, its classes are {len(source.classes)}"
        )
    return _fed(network, source.options.get("inputs", {}))


def _transformers() -> Any:  # noqa: ANN401
    with needs_extra("transformers", "models", "a base hf:…"):
        import transformers
    return transformers


def _class_of(transformers: Any, config: Any) -> Any:  # noqa: ANN401
    """The class that a configuration was saved of, else the first that does semantic segmentation, or depth."""
    mappings = [getattr(transformers, f"MODEL_FOR_{what}_MAPPING") for what in _WHAT]
    kinds = [mapping[type(config)] for mapping in mappings if type(config) in mapping]
    if not kinds:
        raise ConfigurationError(
            f"{config.model_type} of transformers neither segments nor gives depth: wrap it in a module whose forward "
            "returns logits, and give that as package.module:callable"
        )
    return next((kind for kind in kinds if kind.__name__ in (config.architectures or ())), kinds[0])


def _outputs(transformers: Any, config: Any) -> int:  # noqa: ANN401
    depth = transformers.MODEL_FOR_DEPTH_ESTIMATION_MAPPING
    outputs: int = config.num_labels
    return 1 if type(config) in depth and _class_of(transformers, config) is depth[type(config)] else outputs


def known_labels(config: Any, count: int) -> LabelSet:  # noqa: ANN401
    """Names of a configuration's outputs (``id2label``), as far as it has as many."""
    names = getattr(config, "id2label", None)
    if not isinstance(names, dict) or len(names) != count:
        return label_set(count, ("depth",) if count == 1 else None)
    return label_set(count, tuple(str(names[i]) for i in range(count)))


def _inputs(transformers: Any, where: str, config: Any, options: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    """What a network's forward takes besides the image, as plain values; see :func:`_fed`."""
    if config.model_type == "videomt":
        return {"clips": True}
    if config.model_type != "oneformer":
        return {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(where, **options)
    length = config.task_seq_len
    tokens = tokenizer("the task is semantic", padding="max_length", max_length=length, truncation=True)
    return {"task_inputs": list(tokens["input_ids"])}


def _fed(network: nn.Module, inputs: dict[str, Any]) -> nn.Module:
    """Let a network take the image alone: OneFormer gets its task, and a network of clips a clip of one frame."""

    def add(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if "clips" in inputs and args and args[0].ndim == 4:
            args = (args[0].unsqueeze(1), *args[1:])
        if "task_inputs" in inputs and len(args) == 1 and "task_inputs" not in kwargs:
            tokens = torch.tensor(inputs["task_inputs"], device=args[0].device)
            kwargs = {**kwargs, "task_inputs": tokens.expand(len(args[0]), -1)}
        return args, kwargs

    if inputs:
        network.register_forward_pre_hook(add, with_kwargs=True)
    return network


def _place(name: str) -> tuple[str, bool]:
    """The name for transformers, and whether it is a folder."""
    folder = expanded(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigurationError(f"{folder} has no config.json: give a folder that save_pretrained() wrote")
        return str(folder), True
    if not name or name.startswith((".", "~", "/")) or name.count("/") > 1 or folder.exists():
        raise ConfigurationError(f"no folder {name or '(empty name)'}: write hf:FOLDER, or hf:OWNER/NAME for the hub")
    return name, False


def _without_downloads(values: Any) -> Any:  # noqa: ANN401
    """Copy a configuration so that its backbone is not downloaded when a network is built from it."""
    if isinstance(values, dict):
        return {k: k != "use_pretrained_backbone" and _without_downloads(v) for k, v in values.items()}
    return values


def _preprocess(transformers: Any, where: str, config: Any, options: dict[str, Any]) -> Preprocess:  # noqa: ANN401
    """The image processor's mean, standard deviation and channel order. Its size, of training crops, is not used."""
    processor = _processor(transformers, where, config, options)
    size = getattr(config, "image_size", None) if config.model_type in _FIXED_SIZE else None
    return replace(
        as_preprocess(processor),
        divisor=_divisor(config),
        size=None if size is None else ((size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))),
    )


def _processor(transformers: Any, where: str, config: Any, options: dict[str, Any]) -> Any:  # noqa: ANN401
    try:
        return transformers.AutoImageProcessor.from_pretrained(where, **options)
    except OSError:
        # None was saved with the network: what its type was published with.
        mapping = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING
        try:
            known = mapping[type(config)]
        except KeyError:
            raise ConfigurationError(
                f"{where} has no preprocessor_config.json: save its image processor there"
            ) from None
        kinds = known.values() if isinstance(known, dict) else known
        return next(kind for kind in kinds if kind is not None)()
    except Exception as error:  # a damaged file may raise anything
        raise ConfigurationError(f"the image processor of {where} cannot be read: {reason_of(error)}") from error


def _divisor(config: Any) -> int:  # noqa: ANN401
    """The number that height and width must divide by, so that the patches cover the frame."""
    if config.model_type in _ANY_SIZE or config.model_type in _FIXED_SIZE:
        return 1
    patch = getattr(config, "patch_size", None)
    return patch if isinstance(patch, int) else 32


def _check_loaded(info: dict[str, Any], origin: str) -> None:
    """Raise unless transformers found every tensor, used every tensor, and all shapes were right."""
    differing = [f"{key} is {list(there)} there and {list(here)} here" for key, there, here in info["mismatched_keys"]]
    findings = {
        "keys are missing": info["missing_keys"],
        "keys are unexpected": info["unexpected_keys"],
        "shapes differ": differing,
    }
    for what, found in findings.items():
        if found:
            raise WeightsError(f"{origin} is of another network: {len(found)} {what} ({few(sorted(found))})")


@contextmanager
def _one_line(origin: str, advice: str) -> Iterator[None]:
    """Turn any error of transformers and the hub into one line."""
    with told_as(WeightsError, f"{origin} cannot be loaded", advice):
        try:
            yield
        except ImportError as error:  # Mask2Former and its like need scipy, others another library
            wanted = re.search(r"requires the (\w+) library", str(error))
            raise MissingExtraError(wanted[1] if wanted else str(error.name), "models", origin) from error


@contextmanager
def _offline() -> Iterator[None]:
    """Keep transformers from asking the hub: what a saved model needs is in its file."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:  # noqa: ANN401
    """Silence transformers' progress bars and reports: what they say is checked and raised here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
