"""``netwarp convert caffe``: write a caffemodel's weights as a safetensors file, if all of them fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from netwarp.bases import load_base
from netwarp.bases.shipped import ShippedBase, shipped_base
from netwarp.bases.spec import ClassRequest
from netwarp.convert.architecture import Architecture, architecture, likely_architecture
from netwarp.convert.caffe_layers import Parameter, Wanted, fitting, named, outputs_of, taken, wanted_by
from netwarp.convert.caffemodel import Caffemodel, read_caffemodel
from netwarp.convert.files import checked_files, memory_in_words
from netwarp.errors import WeightsError
from netwarp.model import FlowCNN, VideoModel
from netwarp.output_files import write_file
from netwarp.weights import load_weights, safetensors_file

_DRAWS = {"normal_", "uniform_", "kaiming_uniform_"}


class _Undrawn(TorchFunctionMode):
    """Skips filling tensors with random numbers."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def drafted(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network that will not be run: a VGG takes a few milliseconds, and no memory for pages never written.

    The meta device would do too, but the first normal distribution on it imports torch's compiler, for five seconds.
    """
    with _Undrawn():
        return build()


MOST_CLASSES = 1000
"""Limit, so that a damaged file does not ask for a network that does not fit into memory."""

# The layer with the NetWarp of the authors' release: after the batch norm, before the ReLU.
_INSERTION = "conv5_4"
# The release's names of FlowCNN's convolutions, and of w1 and w2: convolutions of a constant 1, so weight + bias.
_FLOW_CNN = {"conv1": "conv1_flo_1", "conv2": "conv2_flo_1", "conv3": "conv3_flo_1", "conv4": "flo_transformed_1"}
_WEIGHTS = {"w1": "conv5_4_0_w", "w2": "conv5_4_1_w"}


@dataclass(frozen=True)
class Converted:
    """The result of a conversion."""

    base: str  # the network, as netwarp.load_base names it
    video: bool  # whether it is a whole model, for netwarp.load, or the weights of the base
    classes: int
    layers: int  # number of Caffe layers that were used
    parameters: int  # number of values in them
    unused: tuple[str, ...]  # layers with weights that were not used
    likely: str | None  # the architecture that the file's layers look like


def convert_caffe(
    arch: str, source: str | Path, target: str | Path, classes: int | Sequence[str] | None = None
) -> Converted:
    """Convert a caffemodel ``source`` of an architecture into a safetensors file ``target``."""
    which = architecture(arch)
    asked = ClassRequest.of(classes)
    source, target = checked_files(source, target)
    with memory_in_words(source):
        return _converted(which, source, target, asked)


def _converted(which: Architecture, source: Path, target: Path, asked: ClassRequest) -> Converted:
    published = shipped_base(which.base)
    model = read_caffemodel(source)
    count = asked.agreed(_classes_in(model, published, which), None, f"netwarp:{which.base}")
    draft = drafted(lambda: published.build(count))
    wanted = wanted_by(draft) | (_wanted_by_release(draft) if which.video else {})
    try:
        if any(layer.name == which.never for layer in model.layers):
            raise WeightsError(f"{model.path} is of another network: {which.name} has no layer {which.never}")
        found = fitting(model, wanted)
    except WeightsError as error:
        raise _with_a_hint(error, model, which) from error
    state = taken(found, wanted, model.path)
    used = {layer.name for layer in found.values()}
    result = Converted(
        base=f"netwarp:{which.base}",
        video=which.video,
        classes=count,
        layers=len(wanted),
        parameters=sum(tensor.numel() for tensor in state.values()),
        unused=tuple(dict.fromkeys(layer.name for layer in model.layers if layer.name not in used)),
        likely=likely_architecture(layer.name for layer in model.layers),
    )
    del model, found  # as much memory as the weights themselves
    if which.video:
        whole = _video_model(load_base(result.base, classes=asked.names or count), state, source)
        del state
        whole.save(target)
    else:
        # Batch norms count batches in training. Caffe does not, and evaluation does not use it.
        counters = {key: torch.zeros((), dtype=torch.int64) for key in draft.state_dict() if key not in state}
        write_file(target, safetensors_file({**state, **counters}, {"format": "pt"}))
    return result


def _classes_in(model: Caffemodel, published: ShippedBase, which: Architecture) -> int:
    name = published.head[0].rpartition(".")[0]
    layer = named(model, name)
    count = None if layer is None else outputs_of(layer, model.path)
    if count is not None and count > MOST_CLASSES:
        raise WeightsError(
            f"{model.path} is of another network, or damaged: its layer {name} tells {count:,} classes apart"
        )
    if count is None:
        what = "has no layer" if layer is None else "has no weights of a classifier in layer"
        raise _with_a_hint(WeightsError(f"{model.path} {what} {name}, of which {which.name} is made"), model, which)
    return count


def _with_a_hint(error: WeightsError, model: Caffemodel, which: Architecture) -> WeightsError:
    """The error, with the architecture that the file seems to be if it is another."""
    likely = likely_architecture(layer.name for layer in model.layers)
    if likely in (None, which.name.partition("@")[0]):
        return error
    return WeightsError(f"{error}: its layers are those of {likely}, give that as --arch")


def _wanted_by_release(network: nn.Module) -> Wanted:
    """The layers of the release's file besides the network's."""
    channels = network.get_parameter(f"{_INSERTION}.bn.weight").numel()
    flow_cnn = drafted(lambda: FlowCNN(variant="release"))
    return wanted_by(flow_cnn, "flow_cnn.", _FLOW_CNN) | {
        layer: (Parameter(f"{weight}.weight", (channels, 1, 1, 1)), Parameter(f"{weight}.bias", (channels,)))
        for weight, layer in _WEIGHTS.items()
    }


def _video_model(base: nn.Module, state: Mapping[str, Tensor], source: Path) -> VideoModel:
    own = base.state_dict().keys()
    load_weights(base, {key: tensor for key, tensor in state.items() if key in own}, source)
    flow_cnn = FlowCNN(variant="release")
    flow_cnn.load_state_dict({key: state[f"flow_cnn.{key}"] for key in flow_cnn.state_dict()})
    model = VideoModel(base, [_INSERTION], "dis", flow_cnn, memory="previous")
    with torch.no_grad():
        for weight in _WEIGHTS:
            value = state[f"{weight}.weight"].flatten() + state[f"{weight}.bias"]
            model.netwarps[0].get_parameter(weight).copy_(value)
    return model
