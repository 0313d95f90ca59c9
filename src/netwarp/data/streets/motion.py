"""The exact flow between two views of a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netwarp.data.streets.camera import Matrix
from netwarp.data.streets.raster import View

__all__ = ["flow_between"]


def flow_between(
    current: View, previous: View, camera: Matrix, body_of: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The exact motion of every pixel's surface point from one view of a scene back to another.

    With X = K⁻¹p/n the point of pixel p at nearness n, and (Q, q) the rigid motion of its body in the camera's axes
    from now to then, it was seen at p' ~ K Q K⁻¹ p + n K q. The sky has n = 0: only turning moves it.

    Args:
        current: The view whose pixels are asked about.
        previous: The view that they are looked for in.
        camera: ``[3,3]`` pinhole matrix.
        body_of: ``[N+1]`` the body of each surface's number.

    Returns:
        Flow ``[2,H,W]`` float32 in pixels (u right, v down): the point at (x, y) was at (x+u, y+v); and
        ``[H,W]`` bool: it was in the frame, and nothing hid it.
    """
    h, w = current.surface.shape
    turns = previous.rotations @ current.rotations.transpose(0, 2, 1)
    shifts = previous.places - np.einsum("bij,bj->bi", turns, current.places)
    turns = camera @ turns @ np.linalg.inv(camera)
    shifts = shifts @ camera.T

    xs, ys = np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64)[:, None]
    near = current.nearness.astype(np.float64)
    turn, shift = turns[0], shifts[0]
    there = [turn[i, 0] * xs + (turn[i, 1] * ys + turn[i, 2]) + shift[i] * near for i in range(3)]
    body = body_of[current.surface]
    rows, columns = np.nonzero(body)
    if len(rows):
        own = body[rows, columns]
        pixel = np.stack([columns, rows, np.ones_like(rows)], 1)
        moved = np.einsum("nij,nj->ni", turns[own], pixel) + shifts[own] * near[rows, columns][:, None]
        for i in range(3):
            there[i][rows, columns] = moved[:, i]

    depth_ratio = there[2]
    ahead = depth_ratio > 1e-6
    safe = np.where(ahead, depth_ratio, 1.0)
    x, y = there[0] / safe, there[1] / safe
    flow = np.stack([x - xs, y - ys]).astype(np.float32)

    visible = ahead & (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    column = np.where(visible, np.rint(2 * x) + 1, 0).astype(np.intp)
    row = np.where(visible, np.rint(2 * y) + 1, 0).astype(np.intp)
    found = previous.fine_surface[row, column]
    clear = previous.fine_nearness[row, column] <= near / safe * 1.02 + 1e-6
    visible &= (found == current.surface) | clear
    visible &= previous.drawn[current.surface]
    return flow, visible
