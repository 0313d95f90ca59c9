"""The photometric gate against its formula."""

from __future__ import annotations

import math

import pytest
import torch

from netwarp.errors import ConfigurationError
from netwarp.model import PhotometricGate
from netwarp.model.gates import photometric_error


def test_the_error_is_the_mean_over_channels_of_what_warping_leaves():
    current, previous = torch.rand(2, 1, 3, 4, 6)
    flow = torch.zeros(1, 2, 4, 6)
    flow[:, 0] = 1
    error = photometric_error(current, previous, flow)
    assert error.shape == (1, 1, 4, 6)
    for y in range(4):
        for x in range(6):
            expected = sum(abs(current[0, c, y, x] - previous[0, c, y, min(x + 1, 5)]) for c in range(3)) / 3
            assert error[0, 0, y, x] == pytest.approx(float(expected), abs=1e-6)


def test_a_perfect_warp_is_trusted_and_another_picture_is_not():
    scene = torch.rand(1, 3, 20, 32)
    flow = torch.zeros(1, 2, 20, 30)
    flow[:, 0] = -2
    gate = PhotometricGate(0.1, 3, noise=0)(scene[..., :30], scene[..., 2:], flow)
    assert torch.equal(gate[..., 4:], torch.ones(1, 1, 20, 26))
    unlike = PhotometricGate(0.1, 3, noise=0)(scene[..., :30], 1 - scene[..., :30].round(), torch.zeros(1, 2, 20, 30))
    assert unlike.max() < 0.1


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.3])
def test_sigma_is_where_trust_has_fallen_to_one_over_e(sigma):
    current = torch.full((1, 3, 5, 5), 0.2)
    gate = PhotometricGate(sigma, 1, noise=0)(current, current + sigma, torch.zeros(1, 2, 5, 5))
    torch.testing.assert_close(gate, torch.full((1, 1, 5, 5), 1 / math.e))


def test_the_window_averages_errors_and_not_zeros_from_outside():
    current, previous = torch.zeros(1, 3, 7, 7), torch.zeros(1, 3, 7, 7)
    previous[..., 0, 0] = 0.3
    gate = PhotometricGate(0.1, 3, noise=0)(current, previous, torch.zeros(1, 2, 7, 7))
    assert gate[0, 0, 0, 0] == pytest.approx(math.exp(-((0.3 / 4 / 0.1) ** 2)), abs=1e-5)  # a corner has four pixels
    assert gate[0, 0, 1, 1] == pytest.approx(math.exp(-((0.3 / 9 / 0.1) ** 2)), abs=1e-5)
    assert gate[0, 0, 2, 2] == 1
    assert ((gate >= 0) & (gate <= 1)).all()


def test_noise_widens_the_gate_of_each_frame_by_its_own_median_error():
    current = torch.full((2, 3, 8, 8), 0.2)
    previous = current.clone()
    previous[0] += 0.1  # a noisy frame: an error of 0.1 is nothing special
    previous[1, :, 0, 0] += 0.1  # a clean one: here it stands out
    gate = PhotometricGate(0.05, 1, noise=2)(current, previous, torch.zeros(2, 2, 8, 8))
    torch.testing.assert_close(gate[0], torch.full((1, 8, 8), math.exp(-((0.1 / 0.25) ** 2))))
    # The clean frame's median error is 0, though one of its four sampled pixels is off.
    assert gate[1, 0, 0, 0] == pytest.approx(math.exp(-((0.1 / 0.05) ** 2)), rel=1e-4)
    assert gate[1, 0, 1, 1] == 1


@pytest.mark.parametrize(
    "options",
    [
        {"sigma": 0.0},
        {"sigma": -1.0},
        {"sigma": math.nan},
        {"sigma": math.inf},
        {"window": 0},
        {"window": 4},
        {"noise": -1.0},
        {"noise": math.nan},
        {"sigma": "0.1"},
        {"window": 1.5},
        {"noise": None},
    ],
)
def test_values_that_make_no_sense(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        PhotometricGate(**options)
