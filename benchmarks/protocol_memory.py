"""Peak memory and time of the paper's protocol: six scales, windows of 713, mirrored too, on frames of 2048×1024.

Usage: python benchmarks/protocol_memory.py [--layers conv5_4 [conv4_23]] [--frames 2] [--second-only] [--stand-in]

PSPNet-101 with random weights has 162 views a frame, of a few seconds each on two cores: a frame takes ten minutes or
more. ``--stand-in`` takes a network whose memories are as large and which runs in a moment: it shows what windows,
scales and memories take, without the network's own activations.
"""

import argparse
import itertools
import resource
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwarp import VideoModel, load_base
from netwarp.freed_memory import keep_freed_memory
from netwarp.inference.sliding import Sliding, SlidingState
from netwarp.model import Preprocess

SCALES = (1.75, 1.5, 1.25, 1.0, 0.75, 0.5)  # the largest first, so that the peak shows early
SIZE = (1024, 2048)
GIB = 2**30


class StandIn(nn.Module):
    """Maps of PSPNet-101's sizes at the layers that hold the paper's NetWarps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv4_23, self.conv5_4 = nn.Conv2d(3, 1024, 1), nn.Conv2d(1024, 512, 1)
        self.conv6 = nn.Conv2d(512, 19, 1)
        self.preprocess = Preprocess(divisor=8)

    def forward(self, image: Tensor) -> Tensor:
        size = [(side - 1) // 8 + 1 for side in image.shape[-2:]]
        logits = self.conv6(self.conv5_4(self.conv4_23(F.adaptive_avg_pool2d(image, size))))
        return F.interpolate(logits, image.shape[-2:], mode="bilinear", align_corners=True)


def frames(count: int) -> list[Tensor]:
    """A camera that pans over a smooth random picture."""
    coarse = torch.rand(1, 3, SIZE[0] // 16, SIZE[1] // 16 + 2, generator=torch.Generator().manual_seed(0))
    scene = F.interpolate(coarse, (SIZE[0], SIZE[1] + 32), mode="bicubic").clamp(0, 1).mul(255).to(torch.uint8)
    return [scene[..., 4 * i : 4 * i + SIZE[1]].contiguous() for i in range(count)]


def empty(sliding: Sliding, frame: Tensor) -> SlidingState:
    """The state after a frame, but for what its memories hold."""
    maps = [netwarp.w1.numel() for netwarp in sliding.model.netwarps]
    memory = [
        tuple(torch.zeros(len(tiling.views(flip=True)), channels, 90, 90) for channels in maps)
        for tiling in sliding.views.tilings(SIZE)
    ]
    return SlidingState(frame, memory, sliding.shape)


def peak() -> float:
    """GiB of memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", nargs="*", default=["conv5_4"])
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--batch", type=int, help="views in a pass (default: one of this size)")
    parser.add_argument("--second-only", action="store_true", help="begin with empty memories in place of a frame")
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--keep-freed", action="store_true", help="as 'netwarp evaluate' does")
    options = parser.parse_args()
    if options.keep_freed:
        keep_freed_memory()
    torch.manual_seed(0)
    base = (StandIn() if options.stand_in else load_base("netwarp:pspnet101")).eval()
    model = VideoModel(base, options.layers, start=(0.5, 0.5), example_size=(713, 713)).eval()
    sliding = Sliding(model, 713, 476, SCALES, flip=True, batch=options.batch)
    views = sum(len(tiling.views(flip=True)) for tiling in sliding.views.tilings(SIZE))
    print(
        f"{type(base).__name__}, NetWarp at {', '.join(options.layers) or 'no layer'}: {views} views a frame, "
        f"{torch.get_num_threads()} threads; {peak():.2f} GiB before the first",
        flush=True,
    )
    passes = itertools.count(1)

    def tell(*_: object) -> None:
        if (done := next(passes)) % 27 == 0:
            print(f"  pass {done}: peak {peak():.2f} GiB", flush=True)

    base.register_forward_hook(tell)
    state = None
    for number, frame in enumerate(frames(options.frames)):
        if options.second_only and number == 0:
            state = empty(sliding, frame)
            continue
        began = time.perf_counter()
        result, state = sliding.step(frame, state)
        seconds = time.perf_counter() - began
        kept = state.nbytes / GIB
        assert bool(torch.isfinite(result).all())
        print(f"frame {number}: {seconds:7.1f} s, memories {kept:.2f} GiB, peak {peak():.2f} GiB", flush=True)
    print(f"peak {peak():.2f} GiB: {'under' if peak() < 12 else 'NOT under'} 12 GiB")


if __name__ == "__main__":
    main()
