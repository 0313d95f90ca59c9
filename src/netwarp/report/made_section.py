"""The page's part on how it was made, and on what to do next."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from netwarp.report.story import Story
from netwarp.report.verdict import BASE, CONTROL, NETWARP

__all__ = ["NEXT", "made_section", "processor"]

STAGES = {BASE: "training the network", NETWARP: "training NetWarp", CONTROL: "training the control"}

NEXT = (
    {
        "text": "Label the street again with the model that was trained here, frame by frame beside it:",
        "command": "netwarp segment street.mp4 again.mp4 --model model.safetensors --side-by-side",
    },
    {
        "text": "Make a network of your own a video network, with no training and no labels:",
        "command": "netwarp segment video.mp4 labelled.mp4 --base your_module:build --weights weights.pth",
    },
    {
        "text": "See at which of its layers a NetWarp can be put, to train one:",
        "command": "netwarp layers --base your_module:build",
    },
)
"""What a reader can do now, and the command for it."""


def made_section(story: Story, command: str) -> list[tuple[str, str]]:
    """Names and texts: all that is needed to make the page again."""
    settings = story.settings
    height, width = settings.size
    base = sum(parameter.numel() for parameter in story.models[NETWARP].base.parameters())
    own = sum(parameter.numel() for parameter in story.models[NETWARP].parameters()) - base
    spent = [f"{STAGES.get(stage, stage)} {seconds:.0f} s" for stage, seconds in story.seconds.items()]
    return [
        ("Command", command),
        (
            "Video",
            f"Rendered, {width} × {height} at {settings.fps:g} frames a second. Training on {settings.train[0]} clips "
            f"of {settings.train[1]} frames (streets {_range(story.train_seeds)}), test on {settings.test[0]} clips of "
            f"{settings.test[1]} frames (streets {_range(story.test_seeds)}). The settings were chosen on others.",
        ),
        (
            "Network",
            f"netwarp:streetnet, {base:,} parameters, trained frame by frame for {settings.base_steps} batches of "
            f"{settings.batch_size}. It is small and trained only briefly, so that it flickers and loses thin "
            "things as fast networks do.",
        ),
        (
            "NetWarp",
            f"{own:,} parameters, trained on pairs of frames for {settings.video_steps} batches of "
            f"{settings.batch_size} with the network frozen; the control likewise, on the same pairs in that order.",
        ),
        ("Time", f"{', '.join(spent)[0].upper()}{', '.join(spent)[1:]}."),
        (
            "Versions",
            f"netwarp {version('netwarp')}, PyTorch {version('torch')}, Python {platform.python_version()}, "
            f"{processor()}.",
        ),
    ]


def processor() -> str:
    """What the times were measured on, in a few words."""
    threads = torch.get_num_threads()
    return f"{platform.machine()} with {threads} thread{'s' if threads > 1 else ''}"


def _range(seeds: range) -> str:
    return f"{seeds[0]} to {seeds[-1]}"
