"""A dense CRF over one frame and over several along flow, and the model that puts it behind a network."""

import itertools

import pytest
import torch

from netwarp import load_base
from netwarp.lab.study.build import build
from netwarp.lab.study.rows import Row

pytest.importorskip("pydensecrf")

from netwarp.lab.study.crf import WEIGHTS, dense_crf

H, W = 40, 60


def two_regions(noise: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probabilities of two classes with noise, a picture of two colours, and the true labels."""
    generator = torch.Generator().manual_seed(0)
    truth = (torch.arange(W) >= W // 3).long().expand(H, W)
    scores = torch.nn.functional.one_hot(truth, 2).permute(2, 0, 1)[None].float()
    scores = scores + noise * torch.randn(scores.shape, generator=generator)
    picture = torch.tensor([40, 200], dtype=torch.uint8)[truth].expand(1, 3, H, W)
    return scores.log_softmax(1), picture, truth


def test_without_weights_labels_are_the_networks_own():
    log_probs, picture, _ = two_regions(noise=2.0)
    found = dense_crf(log_probs, picture, weights=(0.0, 0.0))
    assert torch.equal(found.argmax(0), log_probs[0].argmax(0))
    torch.testing.assert_close(found, log_probs[0].exp())


def test_noise_between_two_regions_is_cleaned():
    log_probs, picture, truth = two_regions(noise=1.0)
    assert (log_probs[0].argmax(0) == truth).float().mean() < 0.85
    for weights in (WEIGHTS, (0.0, 10.0)):  # colour alone tells the two apart too
        assert (dense_crf(log_probs, picture, weights=weights).argmax(0) == truth).float().mean() > 0.995


def test_a_frame_thrice_without_motion_is_as_one():
    log_probs, picture, _ = two_regions(noise=0.5)
    zero = torch.zeros(1, 2, H, W)
    thrice = dense_crf(log_probs.repeat(3, 1, 1, 1), picture.repeat(3, 1, 1, 1), [zero, zero])
    torch.testing.assert_close(thrice, dense_crf(log_probs, picture), atol=0.02, rtol=0)


def along_flow(truth: torch.Tensor, shift: int, u: float) -> float:
    """How often a frame that says nothing is labelled as it should, out of two past ones that moved by ``shift``."""
    past = torch.nn.functional.one_hot(truth, 2).permute(2, 0, 1).float()
    frames = [past.roll(shift * step, 2) for step in range(3)]
    log_probs = torch.stack([*(4 * frame for frame in frames[:2]), torch.zeros(2, H, W)]).log_softmax(1)
    grey = torch.full((3, 3, H, W), 128, dtype=torch.uint8)
    flow = torch.zeros(1, 2, H, W)
    flow[:, 0] = u
    labels = dense_crf(log_probs, grey, [flow, flow], weights=(6.0, 0.0)).argmax(0)
    inner = slice(4 * abs(shift), -4 * abs(shift))
    return float((labels == frames[-1].argmax(0))[:, inner].float().mean())


def test_past_frames_count_where_the_flow_leads():
    stripes = (torch.arange(W) % 10 < 5).long().expand(H, W)
    assert along_flow(stripes, shift=3, u=-3.0) > 0.95
    assert along_flow(stripes, shift=3, u=0.0) < 0.7
    assert along_flow(stripes, shift=3, u=3.0) < 0.7


def test_a_row_has_it_behind_the_network_frame_by_frame(pictures):
    frames = pictures(4)
    base = load_base("netwarp:streetnet")
    logits = [build(Row("base"), base).step(frame)[0] for frame in frames]
    single, along = (build(Row("crf", crf=count), base) for count in (1, 3))
    state = past = None
    for frame, own in zip(frames, logits, strict=True):
        probs, state = single.step(frame, state)
        torch.testing.assert_close(probs[0], dense_crf(own.log_softmax(1), frame))
        probs, past = along.step(frame, past)
        torch.testing.assert_close(probs.sum(1), torch.ones_like(probs[:, 0]))
    expected = dense_crf(
        torch.cat(logits[1:]).log_softmax(1),
        torch.cat(frames[1:]),
        [along.flow(now, before) for before, now in itertools.pairwise(frames[1:])],
    )
    torch.testing.assert_close(probs[0], expected)


def test_its_figures_are_not_those_of_another():
    rows = [Row("a"), Row("a", crf=1), Row("a", crf=3), Row("a", crf=3, flow="zero")]
    assert len({str(row.settings()) for row in rows}) == 4
    assert Row("a", crf=1, flow="zero").settings() == rows[1].settings()
