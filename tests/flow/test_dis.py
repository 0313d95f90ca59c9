from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from netwarp.flow import DISFlow
from netwarp.flow.filling import filled
from netwarp.streets import render_clip


def test_equals_opencv_on_its_own_gray_frames(moved):
    current, previous = moved(3, -2)
    gray = [cv2.cvtColor(f[0].permute(1, 2, 0).numpy().copy(), cv2.COLOR_RGB2GRAY) for f in (current, previous)]
    expected = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(gray[0], gray[1], None)
    assert np.array_equal(DISFlow("medium")(current, previous)[0].permute(1, 2, 0).numpy(), expected)


def test_red_and_blue_are_not_exchanged(moved):
    """The red plane moves one way and the blue plane the other; red is the brighter part of gray (0.299 to 0.114)."""
    red = moved(4, 0, seed=1)
    blue = moved(-4, 0, seed=2)
    frames = []
    for r, b in zip(red, blue, strict=True):
        frames.append(torch.cat([r[:, :1], torch.full_like(r[:, :1], 128), b[:, :1]], 1))
    assert DISFlow("medium")(*frames)[:, 0].median() > 2
    assert DISFlow("medium")(*(f.flip(1) for f in frames))[:, 0].median() < -2


def test_threads_do_not_disturb_each_other(moved):
    flow = DISFlow("fast")
    pairs = [moved(seed - 3, seed % 3, 60 + 9 * seed, 100, seed=seed) for seed in range(6)]
    alone = [flow(*pair) for pair in pairs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            together = list(pool.map(lambda pair: flow(*pair), pairs))
            assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_small_frames_still_see_motion(moved):
    flow = DISFlow("medium")(*moved(2, 0, 14, 60))
    assert abs(flow[0, 0, 4:-4, 8:-8].median().item() - 2) < 0.3


@pytest.mark.parametrize(("width", "level"), [(128, 0), (320, 2), (480, 2), (640, 3), (2048, 4)])
def test_as_the_authors_ran_it(moved, width, level):
    """OF_DIS's operating point 2 by hand, at an eighth of the frame's size where that is 640 pixels wide."""
    current, previous = moved(3, -2, 16 << (level + 1), width)
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    estimator.setFinestScale(level)
    estimator.setPatchSize(8)
    estimator.setPatchStride(4)
    estimator.setGradientDescentIterations(12)
    estimator.setUseSpatialPropagation(False)
    estimator.setVariationalRefinementAlpha(10)
    assert estimator.getVariationalRefinementIterations() > 0
    one = [np.rint(f[0].double().mean(0).numpy()).astype(np.uint8) for f in (current, previous)]
    found = DISFlow("authors")(current, previous)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, estimator.calc(one[0], one[1], None), atol=1e-3)
    estimator.setFinestScale(level + 1)
    assert np.abs(found - estimator.calc(one[0], one[1], None)).max() > 0.1


def test_accurate_is_nearer_to_the_true_flow_of_streets():
    """On many clips by a tenth and more: 'python benchmarks/dis_settings.py'."""
    errors = {"medium": 0.0, "accurate": 0.0}
    for seed in (2, 4):
        before, now = render_clip(seed, 2, (270, 360))
        frames = [torch.from_numpy(frame.image).permute(2, 0, 1)[None] for frame in (now, before)]
        for preset in errors:
            errors[preset] += float((DISFlow(preset)(*frames)[0] - torch.from_numpy(now.flow)).norm(dim=0).mean())
    assert errors["accurate"] < 0.9 * errors["medium"]


def affine(h: int, w: int) -> np.ndarray:
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return np.stack((4 + 0.03 * x - 0.01 * y, -2 + 0.02 * y), -1).astype(np.float32)


def inverse_of(flow: np.ndarray) -> np.ndarray:
    """The flow back: at its end, minus the flow."""
    back = -flow
    for _ in range(20):
        y, x = np.mgrid[: flow.shape[0], : flow.shape[1]].astype(np.float32)
        back = -cv2.remap(flow, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return back


def test_what_is_not_seen_moves_as_what_lies_around():
    flow = affine(120, 160)
    back = inverse_of(flow)
    hole = (slice(50, 70), slice(60, 90))
    wrong = flow.copy()
    wrong[hole] += 7
    found = filled(wrong, back)
    assert np.abs(found - flow)[hole].max() < 0.1
    outside = np.ones(flow.shape[:2], bool)
    outside[hole] = False
    outside[:10] = outside[-10:] = outside[:, :10] = outside[:, -10:] = False  # those leave the picture
    assert np.array_equal(found[outside], wrong[outside])


def test_where_nothing_is_seen_the_flow_is_as_good_as_it_was():
    flow = affine(40, 60)
    np.testing.assert_allclose(filled(flow, flow + 50)[8:-8, 8:-8], flow[8:-8, 8:-8], atol=0.1)
