"""Networks as users write them, for the tests of import paths."""

import torch
from torch import nn

import netwarp.model as p


class Plain(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.head = nn.Conv2d(3, classes, 1)

    def forward(self, x):
        return self.head(x)


class Described(Plain):
    classes = ("road", "sky")
    palette = ((1, 2, 3), (4, 5, 6))
    preprocess = p.Preprocess((0.5,) * 3, (0.5,) * 3, divisor=4)

    def __init__(self):
        super().__init__(classes=2)


class Nested:
    network = Plain


def fixed():
    return {"out": Plain(4)}


class ReturnsDict(Plain):
    def forward(self, x):
        return {"out": self.head(x)}


class Damaged(Plain):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.head.bias, torch.nan)


def raises():
    raise RuntimeError("the disk is on strike\nand more")


def any_options(**options):
    return Plain(**options)


class WrongPreprocess(Plain):
    preprocess = "imagenet"


class WrongPalette(Described):
    palette = (1, 2)


built = Plain()
number = 3
