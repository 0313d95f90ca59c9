"""The joint bilateral filter: every kernel against a slow loop of its equation, and what must hold of it."""

import functools
import math

import pytest
import torch

from netwarp.errors import ConfigurationError
from netwarp.ops import reference
from netwarp.ops.cpu import compute as compiled
from netwarp.ops.edges import Edges
from ops.cuda.interpreter import Interpreted


@functools.cache
def drawn(size, window, sigma):
    """Logits, a frame, and what the loop says of them: the same for every kernel."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, *size, generator=draw)
    frame = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8, generator=draw)
    return logits, frame, *slow(logits.softmax(1), frame, window, sigma)


def slow(answer, frame, window, sigma):
    """Labels and means, pixel by pixel; frames uint8, answers probabilities."""
    batch, classes, h, w = answer.shape
    own, radius = answer.argmax(1), window // 2
    labels, means = own.clone(), torch.zeros_like(answer)
    for b in range(batch):
        for y in range(h):
            for x in range(w):
                total = 0.0
                around = set()
                for v in range(max(0, y - radius), min(h, y + radius + 1)):
                    for u in range(max(0, x - radius), min(w, x + radius + 1)):
                        difference = (frame[b, :, y, x].double() - frame[b, :, v, u].double()) / 255
                        weight = math.exp(-difference.square().mean() / (2 * sigma**2))
                        means[b, :, y, x] += weight * answer[b, :, v, u]
                        total += weight
                        around.add(int(own[b, v, u]))
                means[b, :, y, x] /= total
                labels[b, y, x] = max(sorted(around), key=lambda c: means[b, c, y, x])
                for c in set(range(classes)) - around:
                    means[b, c, y, x] = 0
    return labels, means


@pytest.fixture(params=["compiled", "plain", "interpreted"])
def kernel(request, monkeypatch):
    chosen = {"compiled": compiled, "plain": reference}.get(request.param) or Interpreted()
    monkeypatch.setattr("netwarp.ops.edges.kernel_for", lambda _: chosen)


@pytest.mark.parametrize(("size", "window", "sigma"), [((9, 13), 3, 0.2), ((6, 5), 5, 0.05), ((1, 7), 5, 1.0)])
def test_it_is_what_the_equation_says(kernel, size, window, sigma):
    logits, frame, expected, means = drawn(size, window, sigma)
    labels = logits.argmax(1).to(torch.uint8)
    found, filtered = Edges(window, sigma)(logits, labels, frame, keep=True)
    assert found.dtype == torch.uint8
    assert torch.equal(found.long(), expected)
    mixed = (means > 0).sum(1, keepdim=True) > 1
    torch.testing.assert_close(filtered * mixed, means * mixed, rtol=1e-3, atol=1e-4)
    assert Edges(window, sigma)(logits.softmax(1), labels, frame, logits=False)[0].equal(found)


def test_labels_move_to_the_edge_of_the_picture(kernel):
    """Two halves of different colour, and an answer whose edge lies a pixel off."""
    frame = torch.zeros(1, 3, 8, 16, dtype=torch.uint8)
    frame[..., 8:] = 200
    logits = torch.zeros(1, 2, 8, 16)
    logits[:, 1] = torch.linspace(-3, 3, 16) - 0.5
    labels = logits.argmax(1)
    assert int(labels[0, 0].argmax()) == 9
    found, _ = Edges()(logits, labels, frame)
    assert (found[0].argmax(1) == 8).all()


def test_one_colour_and_one_window_of_one_pixel_change_nothing():
    logits = torch.randn(1, 5, 12, 17)
    labels, frame = logits.argmax(1), torch.randint(0, 256, (1, 3, 12, 17), dtype=torch.uint8)
    assert Edges(window=1)(logits, labels, frame)[0].equal(labels)
    assert Edges()(logits, labels, frame / 255)[0].equal(Edges()(logits, labels, frame)[0])


@pytest.mark.parametrize("wrong", [{"window": 4}, {"window": 0}, {"window": 99}, {"sigma": 0.0}, {"sigma": math.nan}])
def test_refuses(wrong):
    with pytest.raises(ConfigurationError, match=str(*wrong.values())):
        Edges(**wrong)
