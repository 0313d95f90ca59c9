"""VSPW (Miao et al., CVPR 2021): videos in the wild at 15 Hz, every frame labelled, 124 classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from netwarp.datasets.clips import Clip, ClipData, ClipFrame
from netwarp.errors import InputError
from netwarp.label_sets import IGNORE, LabelMap, label_set
from netwarp.video.images import images_in, read_image
from netwarp.video.label_maps import read_mask

_NAMES = """
wall ceiling door stair ladder escalator Playground_slide handrail_or_fence window rail goal pillar pole floor
ground grass sand athletic_field road path crosswalk building house bridge tower windmill well_or_well_lid
other_construction sky mountain stone wood ice snowfield grandstand sea river lake waterfall water
billboard_or_Bulletin_Board sculpture pipeline flag parasol_or_umbrella cushion_or_carpet tent roadblock car bus
truck bicycle motorcycle wheeled_machine ship_or_boat raft airplane tyre traffic_light lamp person cat dog horse
cattle other_animal tree flower other_plant toy ball_net backboard skateboard bat ball
cupboard_or_showcase_or_storage_rack box traveling_case_or_trolley_case basket bag_or_package trash_can cage
plate tub_or_bowl_or_pot bottle_or_cup barrel fishbowl bed pillow table_or_desk chair_or_seat bench sofa shelf
bathtub gun commode roaster other_machine refrigerator washing_machine Microwave_oven fan curtain textiles
clothes painting_or_poster mirror flower_pot_or_vase clock book tool blackboard tissue screen_or_television
computer printer Mobile_phone keyboard other_electronic_product fruit food instrument train
"""
VSPW = label_set(124, tuple(_NAMES.split()))
"""Its classes, by the number in a mask less 1."""


def vspw(root: Path, split: str) -> ClipData:
    """Open VSPW, or VSPW_480p: ``SPLIT.txt`` names its videos, a line each.

    A video is ``data/VIDEO/origin/FRAME.jpg``, in order, with ``data/VIDEO/mask/FRAME.png`` for a frame with labels.
    A mask's 0 ("others") and 255 are ignored. ``test`` has no public masks.
    """
    listed = root / f"{split}.txt"
    if not (root / "data").is_dir() or not listed.is_file():
        raise InputError(
            f"{root} does not hold VSPW's {split}: expected data/VIDEO/origin/ and mask/, and {listed.name}"
        )
    videos = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    return ClipData(f"vspw {split}", VSPW, tuple(_clip(root / "data" / video) for video in videos))


def _clip(folder: Path) -> Clip:
    if not (folder / "origin").is_dir():
        raise InputError(f"{folder / 'origin'} is missing: its video is listed, and its frames belong there")
    masks = {path.stem: path for path in (folder / "mask").glob("*.png")}
    frames = tuple(
        _frame(f"{folder.name}/{path.stem}", path, masks.get(path.stem)) for path in images_in(folder / "origin")
    )
    return Clip(folder.name, frames)


def _frame(name: str, image: Path, mask: Path | None) -> ClipFrame:
    if mask is None:
        return ClipFrame(name, partial(read_image, image))
    return ClipFrame(name, partial(read_image, image), partial(_labels, mask), annotation=partial(read_mask, mask))


def _labels(path: Path) -> LabelMap:
    annotated = read_mask(path)
    wrong = annotated[(annotated > len(VSPW)) & (annotated != IGNORE)]
    if wrong.size:
        raise InputError(
            f"{path} holds {wrong[0]} in {wrong.size} of its pixels: VSPW's masks have 0 to {len(VSPW)}, and {IGNORE}"
        )
    # 0 less 1 is 255 in bytes.
    return np.where(annotated == IGNORE, IGNORE, annotated - np.uint8(1)).astype(np.uint8)
