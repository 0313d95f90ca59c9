"""What a table is made with: which network and data, how much of either, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from netwarp.datasets.registry import splits_of
from netwarp.errors import ConfigurationError, unknown_name
from netwarp.inference.views import Views
from netwarp.lab.paper.request import Request
from netwarp.lab.study.rows import Recipe
from netwarp.lab.study.training import BaseTraining

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Of the paper's multi-scale evaluation."""

_CONTEXT = ("ctx_conv1_1", "ctx_conv1_2", "ctx_conv2_1", "ctx_conv3_1", "ctx_conv4_1", "ctx_conv5_1")


@dataclass(frozen=True)
class Network:
    """One of the paper's base networks."""

    name: str  # as in netwarp:NAME
    title: str  # as in the paper
    best: tuple[str, ...]  # where the paper's final model has NetWarps


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("playdata", "PlayData-CNN", ("fc6", "fc7")),
        Network("dilation8", "Dilation-CNN", (*_CONTEXT, "ctx_fc1", "ctx_final")),
        Network("dilation10", "Dilation-CNN", (*_CONTEXT, "ctx_conv6_1", "ctx_conv7_1", "ctx_fc1", "ctx_final")),
        Network("pspnet101", "PSPNet", ("conv4_23", "conv5_4")),
    )
}


@dataclass(frozen=True)
class Setup:
    """All that the figures of a table follow from."""

    network: Network  # which of the paper's
    base: str  # as for load_base
    train: tuple[str, str]  # data and split that are trained on
    test: tuple[str, str]  # those that are tested on
    base_training: BaseTraining  # how the network is trained where it has no weights
    recipe: Recipe  # how the rows are trained
    weights: str | None = None  # as for load_base; None to train the network first
    flow_cnn: int = 1  # stride of FlowCNN
    single: Views | None = None  # windows of a single-scale evaluation; None for whole frames
    multi: Views | None = None  # those of a multi-scale evaluation; None where there is none
    seeds: int = 1  # how often what is trained is trained
    timed_frames: int = 16  # how many frames running times are taken on
    flow_cnn_start: Literal["identity", "gaussian"] = "identity"  # what it does at first
    size: tuple[int, int] | None = None  # (height, width) that frames get for the network; None for their own
    flow: str | None = None  # Table 2's accurate flow, where one is asked for
    crf: bool = False  # whether Table 3 has a dense CRF
    true_flow: bool = False  # whether the data tested on know theirs


def setup_for(networks: tuple[str, ...], request: Request) -> Setup:
    """Fill in what a user left out."""
    if request.base is not None and request.width is not None:
        plain = request.base.partition("@")[0]
        raise ConfigurationError(f"--base and --width are both given: write --base {plain}@{request.width:g}")
    network = NETWORKS[_name_in(request.base, networks)] if request.base else NETWORKS[networks[0]]
    if request.data is None or request.data.partition(":")[0] == "streets":
        setup = _on_streets(network, request.data)
    else:
        setup = _on_real_data(network, request.data)
    if request.quick:
        setup = _quick(setup, own_data=request.data is not None)
    if request.width is not None:
        setup = replace(setup, base=f"netwarp:{network.name}@{request.width:g}")
    recipe, base_training = setup.recipe, setup.base_training
    # ImageNet's are no weights of a segmentation network, but it is trained from them.
    weights, start = (None, request.weights) if request.weights == "imagenet" else (request.weights, None)
    steps = request.base_steps or base_training.steps
    data, split = setup.train
    setup = replace(
        setup,
        base=request.base or setup.base,
        weights=weights,
        recipe=replace(recipe, steps=request.steps or recipe.steps),
        base_training=replace(base_training, data=data, split=split, steps=steps, weights=start, size=request.size),
        size=request.size,
        seeds=request.seeds or setup.seeds,
        crf=request.crf,
        flow=request.flow if request.raft is None else f"raft:{Path(request.raft)}",
    )
    if request.size is not None and setup.single is not None:
        raise ConfigurationError(
            f"{setup.base} sees windows of frames as they are: --size goes with the networks that see whole frames",
            option="size",
        )
    if request.as_published:  # where the network sees windows, they are still drawn
        recipe = replace(setup.recipe, flip=0.0, class_weights=0.0, freeze_batch_norm=True)
        setup = replace(setup, recipe=recipe, flow_cnn=1, flow_cnn_start="gaussian")
    return setup


def departures(setup: Setup) -> list[str]:
    """Every way in which a setup is not the paper's (section 4; batch norm, dropout and DIS's preset: its release)."""
    recipe, streets = setup.recipe, setup.test[0].partition(":")[0] == "streets"
    window = setup.network.name == "pspnet101"
    weighted = f"classes count 1 / ln({recipe.class_weights:g} + frequency); the paper's loss is plain"
    listed = {
        "data: rendered streets; the paper's are CamVid and Cityscapes": streets,
        f"network: {setup.base} has a fraction of the paper's channels": "@" in setup.base,
        "network: trained here first, mirrored, with class weights; the paper's has its published weights": (
            setup.weights is None
        ),
        "frames: at their own size; Dilation8 was published at 640×480 (--size 640x480)": (
            setup.network.name == "dilation8" and setup.size != (480, 640)
        ),
        f"augmentation: pairs are mirrored with probability {recipe.flip:g}; the paper has none": recipe.flip > 0,
        "augmentation: windows at random places, as large as the network sees them; the paper says nothing of them": (
            recipe.crop is not None
        ),
        f"loss: {weighted}": recipe.class_weights > 0,
        f"batch norm: in training mode, on {recipe.batch_size} pairs; the release freezes all": (
            window and not recipe.freeze_batch_norm
        ),
        "dropout: none; the networks have it": setup.base_training.dropout == 0,
        "FlowCNN: starts at the identity; the paper's at Gaussian noise": setup.flow_cnn_start == "identity",
        f"FlowCNN: at 1/{setup.flow_cnn} of the frame's size; the paper's at the frame's": setup.flow_cnn > 1,
        "flow: DIS, preset light; the authors' is dis:authors": True,
        "steps, rates, batches, and the rate's course: ours; the paper names none": True,
    }
    return [words for words, differs in listed.items() if differs]


def _name_in(base: str, networks: tuple[str, ...]) -> str:
    scheme, _, name = base.partition(":")
    known = name.partition("@")[0]
    if scheme != "netwarp" or known not in networks:
        raise unknown_name("network for this", base, [f"netwarp:{name}" for name in networks])
    return known


# Sizes and settings for streets were chosen on their validation split (docs/reproduce.md).
_FROM_SCRATCH = BaseTraining("", dropout=0.0, channels_last=True)
# FlowCNN, whose gradient is small while w2 is, strays at ten times its rate: by 13 pixels in 16 steps.
_END_TO_END = Recipe(steps=40, batch_size=4, netwarp_rate=3e-2, base_rate=5e-5, flow_cnn_rate=1e-3, flip=0.5)


def _on_streets(network: Network, data: str | None) -> Setup:
    """A network of reduced width, and as much of everything as two cores can do in ten minutes."""
    if network.name != "pspnet101":
        # Table 1 has twenty rows to train, Table 3 has two.
        steps = 16 if network.name == "playdata" else 40
        return Setup(
            network,
            f"netwarp:{network.name}@0.0625",
            (data or "streets:clips=40,frames=4,size=320x180", "train"),
            (data or "streets:clips=8,frames=6,size=320x180", "test"),
            replace(_FROM_SCRATCH, steps=400, batch_size=2, rate=2e-3, crop=(180, 320)),
            replace(_END_TO_END, steps=steps, batch_size=2, base_rate=2e-5, netwarp_rate=1e-2),
            flow_cnn=2,
        )
    # An eighth of 713 and 476 on frames of an eighth of Cityscapes' size: 8 and 77 windows for the paper's 8 and 81.
    return Setup(
        network,
        "netwarp:pspnet101@0.125",
        (data or "streets:clips=48,frames=4,size=256x128", "train"),
        (data or "streets:clips=6,frames=5,size=256x128", "test"),
        replace(_FROM_SCRATCH, steps=400, batch_size=8, rate=5e-3, crop=(89, 89)),
        replace(_END_TO_END, crop=(89, 89)),
        flow_cnn=2,
        single=Views.of(89, 60),
        multi=Views.of(89, 60, SCALES, flip="logits"),
        timed_frames=4,
    )


def _on_real_data(network: Network, data: str) -> Setup:
    """The full network. The paper tells no numbers of its training; these are a beginning, untried for want of data."""
    splits = splits_of(data)
    # Cityscapes keeps the labels of its test split to itself.
    wanted = ("val", "test") if data.startswith("cityscapes:") else ("test", "val")
    test = next((split for split in wanted if split in splits), None)
    if "train" not in splits or test is None:
        raise ConfigurationError(f"{data} has the splits {', '.join(splits)}: a train and a test split are needed")
    window = network.name == "pspnet101"
    crop = (713, 713) if window else None
    return Setup(
        network,
        f"netwarp:{network.name}",
        (data, "train"),
        (data, test),
        BaseTraining("", steps=20_000, batch_size=4, rate=1e-4, crop=crop or (360, 480)),
        Recipe(steps=2000, batch_size=2, netwarp_rate=1e-3, base_rate=1e-5, flow_cnn_rate=1e-4, crop=crop, flip=0.5),
        single=Views.of(713, 476) if window else None,
        multi=Views.of(713, 476, SCALES, flip="logits") if window else None,
        timed_frames=4 if window else 16,
    )


def _quick(setup: Setup, *, own_data: bool) -> Setup:
    """Two steps of everything: to see that it runs."""
    tiny = "streets:clips=2,frames=3,size=96x64"
    window = setup.network.name == "pspnet101"
    small = replace(
        setup,
        base=f"netwarp:{setup.network.name}@0.03",
        base_training=replace(setup.base_training, steps=2, batch_size=2, crop=(57, 57) if window else (64, 96)),
        recipe=replace(setup.recipe, steps=2, batch_size=2, crop=(57, 57) if window else None),
        single=Views.of(57, 38) if window else None,
        multi=Views.of(57, 38, (0.5, 1.0), flip="logits") if window else None,
        timed_frames=3,
    )
    return small if own_data else replace(small, train=(tiny, "train"), test=(tiny, "test"))
