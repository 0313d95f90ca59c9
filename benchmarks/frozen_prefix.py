"""A training step with and without the cache of the frozen prefix: medians of alternating runs.

Usage: python benchmarks/frozen_prefix.py DATA, which holds camvid/val and espnet/espnet_p_2_q_8_camvid.pth. CPU time of
one thread, the optimiser's step included; "new" is a step with frames that were not seen before.
"""

import itertools
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import netwarp
from netwarp.flow import make_flow
from netwarp.training.frozen_prefix import frozen_prefix
from netwarp.video.open import open_frames

RUNS = 9
FRAMES = 4
DECODER = ("encoder.classifier", "br", "up_l3", "level3_C", "combine_l2_l3", "up_l2", "conv", "classifier")
CASES = {
    "log_probs, frozen": (["log_probs"], ()),
    "log_probs, decoder trained": (["log_probs"], DECODER),
    "encoder.b3, frozen": (["encoder.b3"], ()),
    "encoder.b3, decoder trained": (["encoder.b3"], DECODER),
    "encoder.b1, frozen": (["encoder.b1"], ()),
}


class Training:
    """A model and its optimiser, always the same from the start."""

    def __init__(self, weights, layers, trained, flow_cnn):
        self.base = netwarp.load_base("netwarp:espnet", weights=weights).requires_grad_(False)
        for name in trained:
            self.base.get_submodule(name).requires_grad_(True)
        torch.manual_seed(0)
        self.model = netwarp.VideoModel(self.base, layers, flow_cnn=flow_cnn, start=(0.5, 0.5)).train()
        self.optimiser = torch.optim.Adam([p for p in self.model.parameters() if p.requires_grad], 1e-3)

    def step(self, current, previous, flow, labels):
        loss = F.cross_entropy(self.model(current, previous, flow), labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return loss.item()


def main() -> None:
    torch.set_num_threads(1)
    data = Path(sys.argv[1])
    weights = data / "espnet" / "espnet_p_2_q_8_camvid.pth"
    read = iter(open_frames(data / "camvid" / "val"))
    frames = [torch.from_numpy(next(read).image.copy()).permute(2, 0, 1)[None] for _ in range(FRAMES)]
    flow = make_flow("dis")
    pairs = [(b, a, flow(b, a, None), torch.randint(11, b.shape[-2:])[None]) for a, b in itertools.pairwise(frames)]
    print(
        f"{'case':<29} {'FlowCNN':>8} {'plain ms':>9} {'cached ms':>10} {'ratio':>6} {'MB/frame':>9} {'new ms':>7} same"
    )
    for case, (layers, trained) in CASES.items():
        for flow_cnn in (None, "paper"):
            plain, cached = (Training(weights, layers, trained, flow_cnn) for _ in range(2))
            seconds: dict[str, list[float]] = {"plain": [], "cached": [], "new": []}
            same = True
            with frozen_prefix(cached.base) as prefix:
                for run in range(RUNS):
                    losses = []
                    for kind, training in (("plain", plain), ("cached", cached)):
                        began = time.process_time()
                        losses.append(training.step(*pairs[run % len(pairs)]))
                        new = kind == "cached" and run < len(pairs)
                        seconds["new" if new else kind].append(time.process_time() - began)
                    same &= losses[0] == losses[1]
                mb = prefix.nbytes / max(prefix.frames, 1) / 1e6
            a, b, new = (1000 * statistics.median(seconds[kind]) for kind in ("plain", "cached", "new"))
            print(
                f"{case:<29} {flow_cnn or 'none':>8} {a:9.0f} {b:10.0f} {a / b:6.2f} {mb:9.1f} {new:7.0f}"
                f" {'bitwise' if same else 'NO'}{f' ({prefix.declined})' if prefix.declined else ''}"
            )


if __name__ == "__main__":
    main()
