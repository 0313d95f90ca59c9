"""Which results still matter, while torch computes with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from netwarp.model.replay.dataflow import Dataflow, tensors_in


class TouchedError(Exception):
    """Something was computed with what is trained."""


def touched():
    raise TouchedError


def flow(*constants: Tensor) -> Dataflow:
    return Dataflow(constants, touched)


def two(following: Dataflow) -> tuple[Tensor, Tensor]:
    first, second = torch.rand(1, 4), torch.rand(1, 4)
    assert (following.result(first), following.result(second)) == (0, 1)
    return first, second


def test_a_result_matters_while_it_lives():
    following = flow()
    with following:
        first, second = two(following)
        assert following.alive() == {0, 1}
        del first
        assert following.alive() == {1}
        del second
        assert following.alive() == frozenset()


@pytest.mark.parametrize(
    "made",
    [
        lambda a, b: a + b,
        lambda a, b: torch.cat([a, b], 1),
        lambda a, b: torch.nn.functional.interpolate(torch.stack([a, b], 1), size=7),
        lambda a, b: (a @ b.T).relu(),
        lambda a, b: {"here": [torch.maximum(a, b)]},
        lambda a, b: torch.stack([a, b]).unbind(0)[0],
        lambda a, b: torch.ops.aten.add(a, b),
        lambda a, b: torch.empty_like(a).copy_(a * b),
        lambda a, b: Tripled.apply(a + b),
    ],
)
def test_and_while_something_made_of_it_does(made):
    following = flow()
    with following:
        a, b = two(following)
        kept = made(a, b)
        del a, b
        assert following.alive() == {0, 1}
        del kept


class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 3 * x


@pytest.mark.parametrize("view", [lambda a: a[:, 1:], lambda a: a.T, lambda a: a.detach(), lambda a: a.view(2, 2)])
def test_a_view_is_made_of_it(view):
    following = flow()
    with following:
        a, b = two(following)
        kept = view(a)
        del a, b
        assert following.alive() == {0}
        assert kept is not None


def test_what_comes_between_may_die():
    following = flow()
    with following:
        a, b = two(following)
        kept = (a * 2).exp().sum()
        del a, b
        assert following.alive() == {0}
        del kept
        assert following.alive() == frozenset()


@pytest.mark.parametrize(
    "read",
    [
        lambda a: a.sum().item(),
        lambda a: bool((a > 0).all()),
        lambda a: [0][int(a.sum() * 0)],
        lambda a: a.tolist(),
        lambda a: a.numpy(),
        lambda a: np.asarray(a),
        lambda a: float(a[0, 0]),
        lambda a: torch.equal(a, a),
        lambda a: f"{a}",
        lambda a: [0][(a.sum() * 0).long()],
    ],
)
def test_numbers_that_were_read_matter_for_ever(read):
    following = flow()
    with following:
        a, b = two(following)
        read(a)
        del a, b
        assert following.alive() == {0}


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a.shape,
        lambda a: a.size(0),
        lambda a: (a.ndim, a.dim(), a.numel(), len(a), a.stride(), a.device, a.dtype, a.requires_grad),
        lambda a: torch.zeros(a.shape[-1]),
        lambda a: a.is_contiguous() and a.is_floating_point(),
    ],
)
def test_its_shape_may_be_asked_for(ask):
    following = flow()
    with following:
        a, b = two(following)
        ask(a)
        del a, b
        assert following.alive() == frozenset()


def test_what_was_changed_in_place_matters_for_ever_and_so_does_what_changed_it():
    following = flow()
    with following:
        a, b = two(following)
        c = torch.zeros(1, 4)
        view = c[:, :2]
        c += a
        del a, b, c
        assert following.alive() == {0}
        del view
        assert following.alive() == {0}


def test_a_tensor_of_unknown_origin_may_be_made_of_anything_so_far():
    following = flow()
    stranger = torch.rand(1, 4)
    with following:
        a, b = two(following)
        kept = stranger * 2
        del a, b
        assert following.alive() == {0, 1}
        assert following.result(torch.rand(1)) == 2
        assert following.alive() == {0, 1}
        assert kept is not None


def test_a_constant_is_made_of_nothing():
    constant = torch.rand(1, 4)
    following = flow(constant)
    with following:
        a, b = two(following)
        kept = constant * 2
        del a, b
        assert following.alive() == frozenset()
        assert kept is not None


@pytest.mark.parametrize("use", [lambda w: w * 2, lambda w: w.detach(), lambda w: w.data, lambda w: w.tolist()])
def test_what_is_trained_is_noticed_before_anything_is_computed_with_it(use):
    weight = torch.nn.Parameter(torch.rand(1, 4))
    with flow(weight), torch.no_grad():
        assert weight.shape == (1, 4)  # asking is not using
        with pytest.raises(TouchedError):
            use(weight)


def test_paused_it_follows_nothing():
    following = flow()
    weight = torch.nn.Parameter(torch.rand(1, 4))
    with following:
        a, _ = two(following)
        with following.paused():
            assert not torch.overrides.has_torch_function((a,))
            hidden = a * weight.detach()
        with pytest.raises(ZeroDivisionError), following.paused():
            raise ZeroDivisionError
        assert torch.overrides.has_torch_function((a,))
        assert hidden is not None


def test_tensors_in_containers():
    a, b, c = torch.rand(3, 1)
    assert [id(t) for t in tensors_in((a, [b]), {"x": {"y": c}, "z": 3})] == [id(t) for t in (a, b, c)]
