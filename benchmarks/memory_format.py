"""Networks with their channels side by side in memory against the usual order: medians of alternating passes.

    python benchmarks/memory_format.py [--network SPEC …] [--size WxH] [--runs N]

Weights are random: time does not depend on them. A network that reads its memory in the usual order, and so cannot work
channels-last, is told as such. 'netwarp segment' and 'netwarp evaluate' lay out by this table
(:func:`netwarp.bases.spec.lay_out`).
"""

import argparse
import copy
import statistics
import time

import torch

import netwarp
from netwarp.bases.spec import lay_channels_last
from netwarp.model.answer import logits_of

NETWORKS = (
    "netwarp:espnet", "netwarp:streetnet", "netwarp:playdata@0.25", "netwarp:dilation8@0.25", "netwarp:pspnet101@0.25",
    "torchvision:lraspp_mobilenet_v3_large", "torchvision:deeplabv3_mobilenet_v3_large", "torchvision:fcn_resnet50",
    "smp:unet/resnet18", "smp:fpn/resnet18", "smp:deeplabv3plus/mobilenet_v2", "smp:segformer/mit_b0",
)  # fmt: skip


def size_of(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return height, width


@torch.no_grad()
def measure(spec: str, size: tuple[int, int], runs: int) -> str:
    base = netwarp.load_base(spec, classes=11 if spec.startswith("smp:") else None).eval()
    laid = lay_channels_last(copy.deepcopy(base))
    image = torch.rand(1, 3, *size)
    image = base.preprocess(image) if hasattr(base, "preprocess") else image
    times: dict[str, list[float]] = {"usual": [], "channels-last": []}
    for number in range(runs + 1):
        for name, network in (("usual", base), ("channels-last", laid)):
            began = time.perf_counter()
            try:
                logits_of(network(image))
            except RuntimeError as error:
                return f"| {spec} | | | cannot: {str(error).splitlines()[0]} |"
            if number:
                times[name].append(time.perf_counter() - began)
    usual, last = (1000 * statistics.median(times[name]) for name in times)
    ratio = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
    return f"| {spec} | {usual:.0f} | {last:.0f} | {ratio:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--size", type=size_of, default=(360, 480), metavar="WxH")
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {options.size[1]}×{options.size[0]}\n")
    print("| network | usual, ms | channels-last, ms | channels-last / usual |\n|---|---|---|---|")
    for spec in options.network:
        print(measure(spec, options.size, options.runs), flush=True)


if __name__ == "__main__":
    main()
