"""The paper's base networks once more: layer by layer in numpy, from the facts of the public models alone.

They work on Caffe's blobs (``{"conv1_1": [weight, bias], "conv1_1_3x3_s2/bn": [scale, shift, mean, variance]}``), in
float64, and share no code with netwarp. Slow and plain on purpose; take small widths and pictures.
"""

import math

import numpy as np
from torch import nn

Blobs = dict[str, list[np.ndarray]]


def blobs_of(network: nn.Module) -> Blobs:
    """A network's weights as Caffe has them: by layer, batch norms as ``NAME/bn``."""
    blobs: Blobs = {}
    for path, module in network.named_modules():
        name = path.removesuffix(".conv").removesuffix(".bn").replace(".", "_")
        if isinstance(module, nn.Conv2d):
            tensors = [module.weight, *([] if module.bias is None else [module.bias])]
        elif isinstance(module, nn.BatchNorm2d):
            name, tensors = f"{name}/bn", [module.weight, module.bias, module.running_mean, module.running_var]
        else:
            continue
        blobs[name] = [tensor.detach().double().numpy() for tensor in tensors]
    return blobs


def convolution(x: np.ndarray, blobs: list[np.ndarray], stride: int = 1, pad: int = 0, dilation: int = 1) -> np.ndarray:
    """``[C,H,W]``: for each tap of the kernel a product of matrices."""
    weight, *bias = blobs
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    rows, columns = (
        (length - dilation * (side - 1) - 1) // stride + 1
        for length, side in zip(x.shape[1:], weight.shape[2:], strict=True)
    )
    total = np.zeros((len(weight), rows, columns))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            top, left = i * dilation, j * dilation
            seen = x[:, top : top + stride * (rows - 1) + 1 : stride, left : left + stride * (columns - 1) + 1 : stride]
            total += np.tensordot(weight[:, :, i, j], seen, axes=1)
    return total + bias[0][:, None, None] if bias else total


def batch_norm(x: np.ndarray, blobs: list[np.ndarray]) -> np.ndarray:
    scale, shift, mean, variance = (blob.reshape(-1, 1, 1) for blob in blobs)
    return scale * (x - mean) / np.sqrt(variance + 1e-5) + shift


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def max_pool(x: np.ndarray, kernel: int, stride: int, pad: int = 0) -> np.ndarray:
    """Caffe's: the number of windows is rounded up, and none begins beyond the picture and its padding."""
    sizes = []
    for length in x.shape[1:]:
        windows = math.ceil((length + 2 * pad - kernel) / stride) + 1
        if pad and (windows - 1) * stride >= length + pad:
            windows -= 1
        sizes.append(windows)
    pooled = np.empty((len(x), *sizes))
    for i in range(sizes[0]):
        for j in range(sizes[1]):
            top, left = i * stride - pad, j * stride - pad
            pooled[:, i, j] = x[:, max(top, 0) : top + kernel, max(left, 0) : left + kernel].max(axis=(1, 2))
    return pooled


def average_pool(x: np.ndarray, bins: int) -> np.ndarray:
    """Parts of equal size where they fit; else parts that overlap so little that each place is in one."""
    parts = [[slice(i * length // bins, -(-(i + 1) * length // bins)) for i in range(bins)] for length in x.shape[1:]]
    return np.array([[x[:, rows, columns].mean(axis=(1, 2)) for columns in parts[1]] for rows in parts[0]]).transpose(
        2, 0, 1
    )


def enlarge(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear with corner on corner, one axis after the other."""
    for axis, length in enumerate(size, start=1):
        had = x.shape[axis]
        place = np.arange(length) * ((had - 1) / (length - 1) if length > 1 else 0)
        before = np.minimum(place.astype(int), had - 1)
        after = np.minimum(before + 1, had - 1)
        share = (place - before).reshape([-1 if k == axis else 1 for k in range(3)])
        x = (1 - share) * x.take(before, axis) + share * x.take(after, axis)
    return x


def front_end(blobs: Blobs, image: np.ndarray) -> dict[str, np.ndarray]:
    """Activations of the dilated VGG-16 for a pre-processed ``[3,H,W]``, by layer."""
    x = np.pad(image, ((0, 0), (186, 186), (186, 186)), mode="reflect")
    seen = {}

    def layer(name: str, dilation: int = 1) -> None:
        nonlocal x
        x = seen[name] = relu(convolution(x, blobs[name], dilation=dilation))

    for block, count in ((1, 2), (2, 2), (3, 3)):
        for i in range(count):
            layer(f"conv{block}_{i + 1}")
        x = max_pool(x, 2, 2)
    for i in range(3):
        layer(f"conv4_{i + 1}")
    for i in range(3):
        layer(f"conv5_{i + 1}", dilation=2)
    layer("fc6", dilation=4)
    layer("fc7")
    return seen


def playdata(blobs: Blobs, image: np.ndarray) -> dict[str, np.ndarray]:
    """PlayData-CNN: every layer's output; the logits are ``fc8``."""
    seen = front_end(blobs, image)
    seen["fc8"] = convolution(seen["fc7"], blobs["fc8"])
    return seen


def dilation(blobs: Blobs, image: np.ndarray, largest: int) -> dict[str, np.ndarray]:
    """Dilation8 (``largest=16``), Dilation10 (64): every layer's output; the logits are ``ctx_final``."""
    seen = front_end(blobs, image)
    x = seen["final"] = convolution(seen["fc7"], blobs["final"])
    rows = [("ctx_conv1_1", 1), ("ctx_conv1_2", 1), ("ctx_conv2_1", 2), ("ctx_conv3_1", 4), ("ctx_conv4_1", 8)]
    rows += [("ctx_conv5_1", 16), ("ctx_conv6_1", 32), ("ctx_conv7_1", 64)]
    for name, step in [*(row for row in rows if row[1] <= largest), ("ctx_fc1", 1)]:
        x = seen[name] = relu(convolution(x, blobs[name], pad=step, dilation=step))
    seen["ctx_final"] = convolution(x, blobs["ctx_final"])
    return seen


def pspnet(blobs: Blobs, image: np.ndarray) -> dict[str, np.ndarray]:
    """PSPNet-101: outputs of blocks and of ``conv5_4`` (before its ReLU); the logits, enlarged, are ``conv6``."""

    def layer(name: str, x: np.ndarray, stride: int = 1, pad: int = 0, dilation: int = 1) -> np.ndarray:
        return batch_norm(convolution(x, blobs[name], stride, pad, dilation), blobs[f"{name}/bn"])

    seen = {}
    x = relu(layer("conv1_1_3x3_s2", image, stride=2, pad=1))
    x = relu(layer("conv1_2_3x3", x, pad=1))
    x = relu(layer("conv1_3_3x3", x, pad=1))
    x = max_pool(x, 3, 2, pad=1)
    for stage, count, stride, step in ((2, 3, 1, 1), (3, 4, 2, 1), (4, 23, 1, 2), (5, 3, 1, 4)):
        for i in range(1, count + 1):
            block, stride_here = f"conv{stage}_{i}", stride if i == 1 else 1
            inner = relu(layer(f"{block}_1x1_reduce", x))
            inner = relu(layer(f"{block}_3x3", inner, stride_here, pad=step, dilation=step))
            inner = layer(f"{block}_1x1_increase", inner)
            shortcut = layer(f"{block}_1x1_proj", x, stride_here) if i == 1 else x
            x = seen[block] = relu(shortcut + inner)
    size = x.shape[1:]
    levels = [x]
    for bins in (6, 3, 2, 1):
        levels.append(enlarge(relu(layer(f"conv5_3_pool{bins}_conv", average_pool(x, bins))), size))
    seen["conv5_4"] = layer("conv5_4", np.concatenate(levels), pad=1)
    seen["conv6"] = enlarge(convolution(relu(seen["conv5_4"]), blobs["conv6"]), image.shape[1:])
    return seen
