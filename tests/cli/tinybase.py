"""A base of the tests' own, named ``tinybase:build`` on the command line: what a user's own network looks like."""

import sys
import time
import warnings

import torch
from torch import Tensor, nn


def build(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
    # Alive at birth: colours decide, and every class has its own.
    network[2].weight.data.mul_(8)
    return network


def one() -> nn.Module:
    return build(1)


def eleven() -> nn.Module:
    return build(11)


def many() -> nn.Module:
    return build(300)


def broken() -> nn.Module:
    raise RuntimeError("no such file: pretrained.pth")


def talkative() -> nn.Module:
    print("Downloading: a large file")
    print("Some weights were not used", file=sys.stderr)
    warnings.warn("this will be removed in 3.0", FutureWarning, stacklevel=1)
    raise RuntimeError("talks too much")


class Even(nn.Module):
    """A network that refuses odd sizes, as those do that halve and double."""

    def __init__(self) -> None:
        super().__init__()
        self.body = build()

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] % 2:
            raise RuntimeError(f"sizes must match except in dimension 3: got {image.shape[-1]}")
        return self.body(image)


class Fixed(Even):
    """A network of one width, which no padding of a wider frame reaches."""

    def forward(self, image: Tensor) -> Tensor:
        if image.shape[-1] != 50:
            raise RuntimeError(f"sizes must match except in dimension 3: got {image.shape[-1]}")
        return self.body(image)


class Slow(nn.Module):
    """A network that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = build()

    def forward(self, image: Tensor) -> Tensor:
        time.sleep(0.03)
        return self.body(image)


class Flat(nn.Module):
    """A network with a layer that says nothing, and one that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.twice, self.flat, self.body = nn.Identity(), nn.Identity(), build()

    def forward(self, image: Tensor) -> Tensor:
        return self.body(self.twice(self.twice(image)) + self.flat(torch.zeros_like(image)))
