"""The authors' release on a pair of frames, layer by layer in numpy, from its blobs (REFERENCE, part B)."""

import numpy as np
import torch
from caffe_reference import Blobs, convolution, enlarge, max_pool, pspnet, relu

from ops.slow import slow_warp


def warp(x: np.ndarray, flow: np.ndarray) -> np.ndarray:
    return slow_warp(*(torch.from_numpy(each)[None] for each in (x, flow)))[0].numpy()


def transformed_flow(blobs: Blobs, current: np.ndarray, previous: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """FlowCNN in the release's form."""
    now, past, pooled = (max_pool(x, 8, 8) for x in (current, previous, flow))
    x = np.concatenate((pooled, now, warp(past, pooled)))
    x = relu(convolution(x, blobs["conv1_flo_1"], pad=1))
    x = relu(convolution(x, blobs["conv2_flo_1"], pad=1))
    x = convolution(x, blobs["conv3_flo_1"], pad=1)
    return convolution(np.concatenate((pooled, x)), blobs["flo_transformed_1"])


def release(blobs: Blobs, current: np.ndarray, previous: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Logits ``[classes,H,W]`` of the current frame.

    Args:
        blobs: Those of the file.
        current: ``[3,H,W]``, BGR in 0–255 less the mean.
        previous: The frame before, in the same form.
        flow: ``[2,H,W]``, backward, pixels.
    """
    moved = warp(pspnet(blobs, previous)["conv5_4"], transformed_flow(blobs, current, previous, flow))
    ones = np.ones((1, *moved.shape[1:]))
    w1, w2 = (convolution(ones, blobs[name]) for name in ("conv5_4_0_w", "conv5_4_1_w"))
    combined = w1 * pspnet(blobs, current)["conv5_4"] + w2 * moved
    return enlarge(convolution(relu(combined), blobs["conv6"]), current.shape[1:])
