"""Small networks of every kind that netwarp can load, with random weights: what contract tests run over.

``build(name)`` gives a network whose signal is alive: with the statistics that batch norms are born with, a random
network in eval mode may hand on nearly nothing, and a test that compares zeros cannot fail.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from netwarp.bases import BaseSource, load_base, rebuild_base
from netwarp.label_sets import label_set
from netwarp.model.inputs import Preprocess

CLASSES = 5


@dataclass(frozen=True)
class Network:
    """How to build a network, inner layers where a NetWarp can go, and a (height, width) of frames that it takes."""

    make: Callable[[], nn.Module]
    layers: tuple[str, ...]
    size: tuple[int, int]


def _transformers(
    model_type: str,
    preprocess: Preprocess,
    *,
    outputs: int = CLASSES,
    inputs: dict[str, Any] | None = None,
    **config: Any,
) -> nn.Module:
    labels = label_set(outputs)
    options = {
        "config": {"model_type": model_type, "num_labels": outputs, "initializer_range": 0.2, **config},
        "inputs": inputs or {},
    }
    source = BaseSource(f"hf:tiny/{model_type}", labels.names, labels.palette, preprocess, options)
    return rebuild_base(source)


_STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}

SEGFORMER: dict[str, Any] = {**_STAGES, "num_attention_heads": [1, 2, 3, 4], "decoder_hidden_size": 32}
UPERNET: dict[str, Any] = {
    "backbone_config": {"model_type": "convnext", **_STAGES, "out_features": ["stage1", "stage2", "stage3", "stage4"]},
    "hidden_size": 16,
    "auxiliary_channels": 8,
    "auxiliary_in_channels": 24,
}
DPT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [8, 8, 16, 16],
    "fusion_hidden_size": 16,
}


def _enet() -> nn.Module:
    """ENet at its frames' own size, in place of the 512×512 of its public weights."""
    source = load_base("netwarp:enet", classes=CLASSES).source
    return rebuild_base(replace(source, preprocess=replace(source.preprocess, size=None)))


SWIN: dict[str, Any] = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
QUERIES: dict[str, Any] = {
    "backbone_config": SWIN,
    "hidden_dim": 32,
    "num_attention_heads": 2,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "dim_feedforward": 32,
    "encoder_feedforward_dim": 32,
    "num_queries": 10,
}
MASK2FORMER: dict[str, Any] = {**QUERIES, "feature_size": 32, "mask_feature_size": 32}
ONEFORMER: dict[str, Any] = {
    **QUERIES,
    "conv_dim": 32,
    "mask_dim": 32,
    "task_seq_len": 8,
    "text_encoder_width": 32,
    "text_encoder_num_layers": 1,
    "text_encoder_vocab_size": 50,
}
EOMT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 64,
    "num_queries": 10,
    "num_blocks": 2,
    "num_upscale_blocks": 1,
}
DEPTH_ANYTHING: dict[str, Any] = {
    "backbone_config": {
        "model_type": "dinov2",
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "out_indices": [1, 2, 3, 4],
        "reshape_hidden_states": False,
    },
    "reassemble_hidden_size": 32,
    "neck_hidden_sizes": [8, 8, 16, 16],
    "fusion_hidden_size": 16,
    "head_hidden_size": 8,
}


def _loaded(spec: str, layers: tuple[str, ...], size: tuple[int, int]) -> Network:
    return Network(partial(load_base, spec, classes=CLASSES), layers, size)


_LARGE, _SMALL = (64, 96), (48, 64)
_LIBRARIES = {
    "torchvision:lraspp_mobilenet_v3_large": (("backbone.4", "classifier.cbr"), _LARGE),
    "torchvision:deeplabv3_mobilenet_v3_large": (("backbone.6", "classifier.0"), _LARGE),
    "torchvision:fcn_resnet50": (("backbone.layer1", "classifier.2"), _SMALL),
    "smp:Unet/mobilenet_v2": (("decoder.blocks.2", "decoder.blocks.4"), _LARGE),
    "smp:FPN/resnet18": (("encoder.layer2", "decoder.merge"), _LARGE),
    "smp:Linknet/resnet18": (("encoder.layer3", "decoder.blocks.3"), _LARGE),
    "smp:DeepLabV3Plus/mobilenet_v2": (("decoder.aspp", "decoder.block2"), _LARGE),
    "smp:Segformer/mit_b0": (("decoder.fuse_stage",), _LARGE),
}
THIRD_PARTY: dict[str, Network] = {
    **{spec: _loaded(spec, *where) for spec, where in _LIBRARIES.items()},
    "hf:segformer": Network(
        partial(_transformers, "segformer", Preprocess(), **SEGFORMER), ("decode_head.linear_fuse",), _LARGE
    ),
    "hf:upernet": Network(
        partial(_transformers, "upernet", Preprocess(divisor=32), **UPERNET),
        ("backbone.encoder.stages.1", "decode_head.fpn_bottleneck"),
        _LARGE,
    ),
    "hf:dpt": Network(
        partial(_transformers, "dpt", Preprocess((0.5,) * 3, (0.5,) * 3, size=(64, 64)), **DPT),
        ("neck.fusion_stage.layers.3",),
        (48, 80),
    ),
}
"""Networks of other libraries; ResNet and DeepLabV3 of torchvision stand in two of them, each beside something else."""


def _multilabel() -> nn.Module:
    network = load_base("netwarp:streetnet", classes=3)
    network.task = "multilabel"  # type: ignore[assignment]
    return network


OTHER_OUTPUTS: dict[str, Network] = {
    "binary": Network(partial(load_base, "netwarp:streetnet", classes=1), ("at_eighth",), _SMALL),
    "multilabel": Network(_multilabel, ("at_quarter",), _SMALL),
    "hf:mask2former": Network(
        partial(_transformers, "mask2former", Preprocess(divisor=32), **MASK2FORMER),
        ("model.pixel_level_module.decoder.mask_projection",),
        _LARGE,
    ),
    "hf:maskformer": Network(
        partial(
            _transformers, "maskformer", Preprocess(divisor=32), backbone_config=SWIN, fpn_feature_size=32,
            mask_feature_size=32,
            decoder_config={
                "model_type": "detr", "d_model": 32, "decoder_layers": 1, "decoder_attention_heads": 2,
                "decoder_ffn_dim": 32, "num_queries": 10,
            },
        ),
        ("model.pixel_level_module.decoder.mask_projection",),
        _LARGE,
    ),
    "hf:oneformer": Network(
        partial(
            _transformers, "oneformer", Preprocess(divisor=32), inputs={"task_inputs": [1, 2, 3, 0, 0, 0, 0, 0]},
            **ONEFORMER,
        ),
        ("model.pixel_level_module.decoder.mask_projection",),
        _LARGE,
    ),
    "hf:eomt": Network(
        partial(_transformers, "eomt", Preprocess(size=(64, 64)), **EOMT),
        ("embeddings.patch_embeddings.projection",),
        _SMALL,
    ),
    "hf:videomt": Network(
        partial(_transformers, "videomt", Preprocess(size=(64, 64)), inputs={"clips": True}, **EOMT),
        ("embeddings.patch_embeddings.projection",),
        _SMALL,
    ),
    "hf:depth_anything": Network(
        partial(_transformers, "depth_anything", Preprocess(divisor=14), outputs=1, **DEPTH_ANYTHING),
        ("neck.fusion_stage.layers.3",),
        (56, 70),
    ),
}  # fmt: skip
"""Networks whose outputs are no logits of classes."""

NETWORKS: dict[str, Network] = {
    **THIRD_PARTY,
    **OTHER_OUTPUTS,
    "netwarp:espnet": _loaded("netwarp:espnet", ("encoder.b2", "conv"), _LARGE),
    "netwarp:enet": Network(_enet, ("b14", "b42"), _LARGE),
    # The paper's, with a sixteenth of their channels.
    "netwarp:playdata": _loaded("netwarp:playdata@0.0625", ("conv3_3", "fc7"), _SMALL),
    "netwarp:dilation8": _loaded("netwarp:dilation8@0.0625", ("conv5_3", "ctx_conv1_2"), _SMALL),
    "netwarp:dilation10": _loaded("netwarp:dilation10@0.0625", ("ctx_conv7_1",), _SMALL),
    "netwarp:pspnet101": _loaded("netwarp:pspnet101@0.0625", ("conv4_23", "conv5_4"), (65, 81)),
}
"""All of them and netwarp's own."""


def build(name: str, seed: int = 0) -> nn.Module:
    """A network of :data:`NETWORKS` in eval mode, carrying ``.preprocess``, ``.classes``, ``.palette``, ``.source``.

    The same for the same seed; the caller's random numbers go on undisturbed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = NETWORKS[name].make()
        _settle(network, NETWORKS[name].size)
    return network.eval()


def _settle(network: nn.Module, size: tuple[int, int]) -> None:
    """Let batch norms take the statistics of a few random images, averaged over all of them."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(network.preprocess(torch.rand(2, 3, *size)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
