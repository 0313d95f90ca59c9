"""Whether a file is a picture with something on it."""

from pathlib import Path

import numpy as np
from PIL import Image


def is_a_picture(path: Path) -> bool:
    return bool(np.asarray(Image.open(path).convert("RGB")).std() > 10)
