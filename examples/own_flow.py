"""A flow estimator of your own takes one class: here the shift of the whole picture, by phase correlation.

Run: python examples/own_flow.py
"""

import cv2
import torch
from torch import Tensor

import netwarp
from netwarp.streets import render_clip


class GlobalShift:
    """One motion for all pixels; enough for a camera that only pans."""

    spec = "global-shift"  # what a saved model says; register it in netwarp.flow.FLOWS to load such a model by name

    def __call__(self, current: Tensor, previous: Tensor, index: int | None = None) -> Tensor:
        """Frames ``[B,3,H,W]`` to backward flow ``[B,2,H,W]`` in pixels: where in ``previous`` each pixel was."""
        shifts = []
        for pair in zip(current, previous, strict=True):
            now, before = (cv2.cvtColor(f.permute(1, 2, 0).cpu().numpy(), cv2.COLOR_RGB2GRAY) for f in pair)
            window = cv2.createHanningWindow(now.shape[::-1], cv2.CV_32F)
            (u, v), _ = cv2.phaseCorrelate(now.astype("float32"), before.astype("float32"), window)
            shifts.append((u, v))
        flow = torch.tensor(shifts, dtype=torch.float32, device=current.device)
        return flow.view(-1, 2, 1, 1).expand(-1, 2, *current.shape[-2:]).contiguous()


def main() -> None:
    network = torch.nn.Conv2d(3, 5, 1)
    model = netwarp.VideoModel(network, training_free=True, flow=GlobalShift())
    previous, current = (torch.from_numpy(f.image).permute(2, 0, 1)[None] for f in render_clip(seed=3, frames=2))
    u, v = model.estimate_flow(current, previous)[0, :, 0, 0]
    print(f"the picture moved by ({-u:.1f}, {-v:.1f}) pixels")


if __name__ == "__main__":
    main()
