"""Arrays that were kept in a file: all of them, as they were written, or none."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netwarp.input_files import special_kind
from netwarp.output_files import set_aside


def load_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """The arrays of an ``.npz`` file by name; None where there is none. A damaged one is set aside, to be made anew."""
    if special_kind(path) or not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            # Read to their ends, as only there checksums are compared; np.load would stop where a damaged header says.
            contents = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
        return {name: np.load(io.BytesIO(content)) for name, content in contents.items()}
    except Exception:  # damage makes zipfile and numpy raise many types (RuntimeError: "encrypted", …)
        set_aside(path)
        return None
