"""The form that warp_combine replaces: it computes the same, and is compiled where that can be."""

from __future__ import annotations

import pytest
import torch

from netwarp.lab.benchmark.warp import Compiled, eager
from netwarp.ops import warp_combine


@pytest.mark.parametrize("size", [(7, 9), (1, 5), (4, 1)])
def test_it_computes_what_warp_combine_does(size: tuple[int, int]):
    current, previous = torch.randn(2, 2, 3, *size)
    flow, (w1, w2) = 2 * torch.randn(2, 2, *size), torch.randn(2, 3)
    torch.testing.assert_close(
        eager(current, previous, flow, w1, w2), warp_combine(current, previous, flow, w1, w2), atol=2e-4, rtol=1e-4
    )


def test_half_precision_is_warped_in_float32_and_stays_half():
    current, previous = torch.randn(2, 1, 3, 5, 400).to(torch.bfloat16)
    flow = torch.zeros(1, 2, 5, 400)
    one, none = torch.ones(3, dtype=torch.bfloat16), torch.zeros(3, dtype=torch.bfloat16)
    result = eager(current, previous, flow, none, one)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result, previous, atol=0.05, rtol=0.01)  # bfloat16 coordinates would be pixels off


def test_a_compiled_form_is_run_before_it_is_given():
    ran: list[object] = []
    compiled = Compiled(lambda warp: warp)
    assert compiled.of(ran.append) is eager
    assert ran == [eager]
    assert compiled.why_not is None


def test_without_a_compiler_it_is_tried_once():
    tried: list[None] = []

    def fail(warp):
        tried.append(None)
        raise RuntimeError("No working C++ compiler found in\n torch._inductor.config.cpp.cxx: (None, 'g++')")

    compiled = Compiled(fail)
    assert compiled.of(lambda _: None) is None
    assert compiled.of(lambda _: None) is None
    assert len(tried) == 1
    assert "there is no C++ compiler" in compiled.why_not


def test_another_failure_is_that_of_one_shape():
    answers = iter([ValueError("too\nlarge"), None])

    def compile_warp(warp):
        if (error := next(answers)) is not None:
            raise error
        return warp

    compiled = Compiled(compile_warp)
    assert compiled.of(lambda _: None) is None
    assert compiled.why_not == "ValueError: too large"
    assert compiled.of(lambda _: None) is eager
    assert compiled.why_not is None


def test_ctrl_c_while_compiling_is_no_failure():
    def interrupt(warp):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Compiled(interrupt).of(lambda _: None)
