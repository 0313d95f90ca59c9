"""Small trees of files laid out as Cityscapes, and made scenes with objects, crowds and void in them."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (32, 64)


def write_image(root: Path, name: str, *, folder: str = "leftImg8bit_sequence", size=SIZE) -> Path:
    """A frame whose colour says its number."""
    city, _, number = name.rsplit("_", 2)
    path = root / folder / "val" / city / f"{name}_leftImg8bit.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), (int(number), 100, 200), np.uint8)).save(path)
    return path


def write_truth(
    root: Path, name: str, ids: np.ndarray, instances: np.ndarray | None = None, split: str = "val"
) -> Path:
    """Labels (ids), and instances with them; by default nothing is an object."""
    path = root / "gtFine" / "val" / name.rsplit("_", 2)[0] / f"{name}_gtFine_labelIds.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids.astype(np.uint8)).save(path)
    numbers = ids if instances is None else instances
    Image.fromarray(numbers.astype(np.uint16)).save(instances_of(path))
    return path


def instances_of(labels: Path) -> Path:
    return labels.with_name(labels.name.replace("labelIds", "instanceIds"))


def made_scene(seed: int, size=SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Ids and instances: areas, and before them objects that hide each other, crowds, and void."""
    rng = np.random.default_rng(seed)
    h, w = size
    ids = np.kron(rng.integers(0, 24, (h // 8, w // 8)), np.ones((8, 8), int))
    instances = ids.copy()
    counts: dict[int, int] = {}
    for _ in range(30):
        y, x = rng.integers(-4, h), rng.integers(-4, w)
        place = np.s_[max(0, y) : max(0, y + rng.integers(2, 12)), max(0, x) : max(0, x + rng.integers(2, 12))]
        label = int(rng.integers(24, 34))
        kind = rng.random()
        if kind < 0.1:
            ids[place] = instances[place] = rng.integers(0, 7)
        elif kind < 0.25:
            ids[place] = instances[place] = label
        else:
            ids[place] = label
            instances[place] = 1000 * label + counts.get(label, 0)
            counts[label] = counts.get(label, 0) + 1
    return ids, instances
