"""Where places of a map look: every kind of layer by its formula, every network along an exact pan."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bases.networks import NETWORKS, build
from model.by_hand import flow_at
from model.tiny import PLAIN, Pan, tiny
from netwarp import VideoModel, load
from netwarp.errors import ConfigurationError
from netwarp.evaluation.layer_alignment import representations
from netwarp.model import Preprocess
from netwarp.model.layers import probe
from netwarp.model.netwarp import Flows, Motion
from netwarp.model.outputs import margin_of
from netwarp.ops import Grid, resize_flow, sample_confidence, sample_flow, warp


class Does(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self._do = function

    def forward(self, x):
        return self._do(x)


class Tokens(nn.Module):
    """Attention over places as tokens, after patches of 4×4."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.weights = nn.Identity()  # [B,1,N,N], no map
        self.last = nn.Identity()  # [B,h,w,C], no map either

    def forward(self, x):
        x = self.patches(x)
        b, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        weights = self.weights((tokens @ tokens.transpose(1, 2)).softmax(-1).unsqueeze(1)).squeeze(1)
        return self.last((tokens + weights @ tokens).reshape(b, h, w, c)).permute(0, 3, 1, 2)


class Unpooled(nn.Module):
    """Maxima of 2×2, put back where they were."""

    def forward(self, x):
        maxima, indices = F.max_pool2d(x, 2, return_indices=True)
        return F.max_unpool2d(maxima, indices, 2)


def conv(kernel, stride, **options):
    return nn.Conv2d(3, 4, kernel, stride, **options)


def resized(**options):
    return Does(lambda x: F.interpolate(x, mode="bilinear", **options))


def corners(x):
    return F.interpolate(x, [2 * n - 1 for n in x.shape[-2:]], mode="bilinear", align_corners=True)


KINDS = {
    "padded": ([conv(3, 2, padding=1)], 2, 0),
    "padded thrice": ([conv(3, 2, padding=1), *(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(2))], 8, 0),
    "unpadded": ([conv(3, 2)], 2, 1),
    "padded by name": ([conv(5, 1, padding="same", dilation=2)], 1, 0),
    "even kernel": ([conv(4, 4)], 4, 1.5),
    "dilated": ([conv(3, 2, dilation=3, padding=1)], 2, 2),
    "pooled": ([nn.MaxPool2d(2)], 2, 0.5),
    "pooled in ceil mode": ([nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)], 4, 1),
    "transposed": ([conv(3, 2, padding=1), nn.ConvTranspose2d(4, 4, 2, 2)], 1, -0.5),
    "transposed, padded": ([conv(3, 4, padding=1), nn.ConvTranspose2d(4, 4, 3, 2, 1, 1)], 2, 0),
    "unpooled": ([conv(3, 2, padding=1), Unpooled()], 2, 0),
    "twice as large, centres": ([conv(4, 4), resized(scale_factor=2)], 2, 0.5),
    "twice as large, nearest": ([conv(4, 4), nn.Upsample(scale_factor=2)], 2, 0.5),
    "corner on corner": ([conv(3, 4, padding=1), Does(corners)], 2, 0),
    "shuffled": ([nn.Conv2d(3, 16, 4, 4), nn.PixelShuffle(2)], 2, 0.5),
    "unshuffled": ([nn.PixelUnshuffle(2)], 2, 0.5),
    "cut and padded": ([Does(lambda x: F.pad(x[..., 3:, 3:], (1, 0, 1, 0))), conv(3, 2, padding=1)], 2, 2),
    "every other": ([Does(lambda x: x[..., 1::2, 1::2])], 2, 1),
    "tokens": ([Tokens()], 4, 1.5),
    "two branches": ([Does(lambda x: F.max_pool2d(x, 2) + x[..., ::2, ::2])], 2, 0.25),
}


@pytest.mark.parametrize("kind", KINDS)
def test_its_stride_and_offset(kind):
    layers, stride, offset = KINDS[kind]
    base = nn.Sequential(*layers).eval()
    info = probe(base, PLAIN, (52, 68)).layers[-1]
    assert info.grid == Grid((stride, stride), (offset, offset))
    assert info.usable


def test_a_map_that_was_interpolated_to_a_size_shares_the_frame():
    base = nn.Sequential(conv(3, 4, padding=1), Does(lambda x: F.interpolate(x, (40, 40), mode="bilinear")))
    assert probe(base.eval(), Preprocess(size=(64, 64)), (64, 64)).layers[-1].grid is None
    skip = Does(lambda x: F.interpolate(conv_of(x), x.shape[-2:], mode="bilinear"))
    conv_of = nn.Conv2d(3, 2, 3, 4, 1)
    info = probe(nn.Sequential(skip).eval(), PLAIN, (33, 33)).layers[-1]
    assert (info.grid, info.stride) == (None, (1, 1))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.AdaptiveAvgPool2d(1), "one value for the whole frame"),
        (nn.AdaptiveAvgPool2d(2), "does not follow the frame's"),
        (Does(lambda x: x[..., : int(x.mean() * 40) + 2, :]), "changes with what is in the frame"),
        (Tokens(), "does not follow the frame's"),
    ],
)
def test_layers_that_no_flow_can_move_are_refused(layer, reason):
    class Beside(nn.Module):
        def __init__(self):
            super().__init__()
            self.side, self.main = layer, nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.main(x) + 0 * self.side(x).mean()

    base = Beside().eval()
    name = "side.weights" if isinstance(layer, Tokens) else "side"
    with pytest.raises(ConfigurationError, match=reason):
        VideoModel(base, [name])
    assert not base.side._forward_hooks
    assert VideoModel(base, ["main"]).layers == ("main",)


def test_a_saved_model_keeps_its_grids(tmp_path):
    model = VideoModel(tiny(), ["stem", "output"])
    model.grids = (Grid((2.0, 2.0), (1.0, 0.0)), None)
    model.save(tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors", tiny()).grids == model.grids


@pytest.mark.parametrize(("stride", "offset"), [(2.0, 0.0), (8.0, 3.5), (3.0, -2.0), (0.5, -0.25), (1.6, 5.0)])
def test_flow_is_read_at_the_places_by_an_independent_reader(stride, offset):
    flow = torch.randn(2, 2, 21, 34, dtype=torch.float64)
    found = sample_flow(flow, Grid((stride, stride), (offset, offset)), (7, 9))
    torch.testing.assert_close(found, flow_at(flow, stride, offset, (7, 9)))


@pytest.mark.parametrize("size", [(5, 7), (12, 16), (40, 30)])
def test_cells_that_share_a_frame_are_a_resized_flow(size):
    flow = torch.randn(1, 2, 20, 28)
    cells = Grid.of_cells([length / n for length, n in zip((20, 28), size, strict=True)])
    torch.testing.assert_close(sample_flow(flow, cells, size), resize_flow(flow, size))
    trust = torch.rand(1, 1, 20, 28)
    expected = F.interpolate(trust, size=size, mode="bilinear", antialias=True)
    torch.testing.assert_close(sample_confidence(trust, cells, size), expected)


def test_confidence_is_averaged_around_the_places():
    trust = torch.zeros(1, 1, 9, 9)
    trust[..., 4, 4] = 1
    around = sample_confidence(trust, Grid((2.0, 2.0)), (5, 5))[0, 0]
    assert around[2, 2] == pytest.approx(0.25)  # weights ½, 1, ½ of a sum of 2, along both axes
    assert around.sum() == around[2, 2]  # its neighbours, two pixels away, do not see it


SIZES = ((193, 257), (186, 266))
"""None of them a multiple of a stride."""
OTHER_SIZES = {
    "pspnet": ((89, 121), (713, 713)),
    "resnet50": ((155, 221),),
}
"""For networks that refuse the others, or take long over them."""
EARLY = {
    "torchvision:lraspp_mobilenet_v3_large": "backbone.3",
    "torchvision:deeplabv3_mobilenet_v3_large": "backbone.3",
    "torchvision:fcn_resnet50": "backbone.layer1",
    "smp:Unet/mobilenet_v2": "encoder.features.4",
    "smp:FPN/resnet18": "encoder.layer2",
    "smp:Linknet/resnet18": "encoder.layer2",
    "smp:DeepLabV3Plus/mobilenet_v2": "encoder.features.4",
    "smp:Segformer/mit_b0": "encoder.patch_embed1.proj",
    "hf:segformer": "segformer.stages.0.patch_embeddings.proj",
    "hf:upernet": "backbone.encoder.stages.1",
    "netwarp:espnet": "encoder.level1",
    "netwarp:enet": "init",
    "netwarp:playdata": "conv3_3",
    "netwarp:dilation8": "conv3_3",
    "netwarp:dilation10": "conv3_3",
    "netwarp:pspnet101": "conv2_3",
}
"""A layer of each that sees no more than the pixels around a place, so that a pan moves its map exactly."""


OTHER_STRIDES = ("hf:dpt", "hf:videomt", "hf:depth_anything")
"""Networks that resize all frames to one size, or have a stride of 14: 64 pixels are no whole number of places."""


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exact_pan(name):
    """By 64 pixels, a whole number of strides: what is warped is what is there, in every network at every size."""
    net, pan = build(name), 64
    seen = probe(net, net.preprocess, NETWORKS[name].size)
    grids = {info.name: info.grid for info in seen.layers}
    early = [EARLY[name]] if name in EARLY else []
    known = [layer for layer in NETWORKS[name].layers if grids[layer] is not None and name not in OTHER_STRIDES]
    layers = list(dict.fromkeys(early + known))
    assert bool(layers) != (name in OTHER_STRIDES)
    sizes = next((sizes for kind, sizes in OTHER_SIZES.items() if kind in name), SIZES)
    for height, width in sizes if layers else ():
        scene = torch.rand(1, 3, height // 4 + 2, width // 4 + 20, generator=torch.Generator().manual_seed(0))
        scene = F.interpolate(scene, scale_factor=4, mode="bicubic").clamp(0, 1)
        past, present = scene[..., :height, :width], scene[..., :height, pan : pan + width]
        flows = Flows(Pan(float(pan))(present, past))
        motion = Motion.between(present, past, flows, None, None, net.preprocess)
        with representations(net, layers) as look:
            before, now = look(past), look(present)
        for layer in layers:
            z, grid, size = now[layer], grids[layer], tuple(now[layer].shape[-2:])
            warped = warp(before[layer], motion.at(grid, size, margin_of(net, layer))[0])
            rows, columns = (s * torch.arange(n) + o for s, n, o in zip(grid.stride, size, grid.offset, strict=True))
            edge = 24 if height < 100 else 48
            down = (rows >= edge) & (rows < height - edge)
            across = (columns >= edge) & (columns < width - edge - pan)
            # Where a layer sees the whole frame, a pan is not exact, but moved its map is, place by place.
            moved = before[layer].roll(-int(pan / grid.stride[1]), -1)
            expected = z if layer == EARLY.get(name) else moved
            error = (warped - expected)[..., down, :][..., across].square().mean().sqrt()
            deviation = z.var((2, 3), correction=0).mean().sqrt()
            assert error < 0.002 * deviation, (layer, (height, width), float(error / deviation))
