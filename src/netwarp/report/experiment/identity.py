"""What results follow from besides settings, as short plain values: files that keep results are named by them.

Whoever keeps something puts all into its name that would change it, so that nothing out of date is taken for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from netwarp import __version__
from netwarp.data.clips import ClipData

__all__ = ["FORMAT", "data_digest", "key_of", "surroundings", "weights_digest"]

FORMAT = 2
"""Raised whenever the same settings would give other results: what was kept before is then made anew."""

READ = 100
"""Clips whose pictures tell data sets apart; those of thousands of clips would take minutes to read."""

LETTERS = 12
"""Of a key: enough for any number of files in a folder."""


def key_of(described: Mapping[str, Any]) -> str:
    """A short name for plain values, which :data:`FORMAT` is one of."""
    text = json.dumps({"format": FORMAT, **described}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:LETTERS]


def surroundings(device: str) -> dict[str, Any]:
    """Versions, and what kind of device computes: others round otherwise."""
    return {"netwarp": __version__, "torch": torch.__version__, "device": device.partition(":")[0]}


def data_digest(*parts: ClipData) -> str:
    """Stands for what data sets hold.

    Of one that says what it follows from (:attr:`ClipData.origin`) no pixel is read; of others all labels are, and the
    first labelled picture of each clip, of the first :data:`READ` clips.

    Raises:
        InputError: A picture or its labels cannot be read.
    """
    digest = hashlib.sha256()
    for data in parts:
        frames = [[clip.name, *((f.name, f.labels is not None) for f in clip.frames)] for clip in data.clips]
        digest.update(json.dumps([data.origin, list(data.classes.names), frames]).encode())
        for clip in data.clips[:READ] if data.origin is None else ():
            labelled = [frame for frame in clip.frames if frame.labels is not None]
            for read in (*(f.image for f in labelled[:1]), *(f.labels for f in labelled if f.labels is not None)):
                digest.update(np.ascontiguousarray(read()).data)
    return digest.hexdigest()


def weights_digest(network: nn.Module) -> str:
    """Stands for all tensors of a network."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).data)
    return digest.hexdigest()
