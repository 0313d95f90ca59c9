"""Rows of the warp from a clock that is wound by hand, and the form that warp_combine replaces."""

import pytest
import torch

from netwarp.lab.benchmark import warp
from netwarp.lab.benchmark.plan import Request
from netwarp.lab.benchmark.warp import Compiled, eager, warps
from netwarp.ops import warp_combine

SHAPE = (1, 3, 4, 6)


def rows(clock=None, **asked) -> list[dict]:
    told: list[str] = []
    request = Request(**({"parts": [], "device": "cpu", "shape": [SHAPE], "no_compile": True, "runs": 3} | asked))
    found = [row for _, row in warps(request, told.append, clock or one_ms)]
    assert len(told) == len(found)
    return found


def one_ms(function, repeats):
    function()
    return 0.001


def test_a_row_for_each_format_and_dtype():
    found = rows(dtype=["float32", "bfloat16"], motion="random")
    assert [(row["dtype"], row["format"]) for row in found] == [
        ("float32", "channels-last"), ("float32", "contiguous"),
        ("bfloat16", "channels-last"), ("bfloat16", "contiguous"),
    ]  # fmt: skip
    assert {row["shape"] for row in found} == {SHAPE}
    assert {row["motion"] for row in found} == {"random"}


def test_what_has_to_be_moved_against_a_copy():
    """All takes as long here, so that shares are those of bytes."""
    row = rows(dtype=["float32"])[0]
    maps, flow = 3 * 4 * 6 * 4, 2 * 4 * 6 * 4
    assert row["of_copy"] == row["of_copy_kept"] == pytest.approx((3 * maps + flow) / (2 * maps))
    assert row["of_copy_backward"] == pytest.approx((5 * maps + 2 * flow) / (2 * maps))
    assert row["ours_ms"] == row["add_ms"] == row["add_kept_ms"] == row["eager_trained_ms"] == 1
    assert row["ours_over_add"] == row["eager_over_ours"] == row["eager_over_ours_trained"] == 1


def test_ratios_say_what_over_what(monkeypatch: pytest.MonkeyPatch):
    """Only ours takes twice as long."""
    real, ours = warp.warp_combine, []
    monkeypatch.setattr(warp, "warp_combine", lambda *inputs: (ours.append(None), real(*inputs))[1])

    def clock(function, repeats):
        ours.clear()
        function()
        return 0.002 if ours else 0.001

    row = rows(clock, dtype=["float32"])[0]
    assert (row["ours_ms"], row["eager_ms"], row["add_ms"]) == (2, 1, 1)
    assert (row["ours_over_add"], row["eager_over_add"], row["eager_over_ours"]) == (2, 1, 0.5)
    assert (row["ours_trained_ms"], row["eager_trained_ms"], row["eager_over_ours_trained"]) == (2, 1, 0.5)
    assert row["of_copy"] == pytest.approx(row["of_copy_kept"] / 2)  # the loop alone is not warp_combine


def test_left_out_and_failed_compilation_have_a_reason(monkeypatch: pytest.MonkeyPatch):
    row = rows(dtype=["float32"])[0]
    assert row["not_compiled"] == "left out"
    assert row["compiled_ms"] is row["compiled_over_add"] is row["compiled_over_ours_trained"] is None

    def fail(_):
        raise RuntimeError("no luck")

    monkeypatch.setattr(warp, "Compiled", lambda: Compiled(fail))
    assert rows(dtype=["float32"], no_compile=False)[0]["not_compiled"] == "RuntimeError: no luck"


def test_a_compiled_form_takes_part(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warp, "Compiled", lambda: Compiled(lambda eager: lambda *inputs: eager(*inputs)))
    row = rows(dtype=["float32"], no_compile=False)[0]
    assert (
        row["compiled_ms"] == row["compiled_trained_ms"] == row["compiled_over_add"] == row["compiled_over_ours"] == 1
    )
    assert row["not_compiled"] is None


def test_whole_pixels_show_how_far_off_the_eager_form_is():
    row = rows(shape=[(1, 2, 64, 200)], dtype=["float32"])[0]
    assert 0 < row["shift_off"] < 1e-3


@pytest.mark.parametrize("kind", ["smooth", "random"])
def test_motion_of_a_few_pixels(kind: str):
    torch.manual_seed(0)
    flow = warp._motion(kind, 2, 64, 64)
    assert flow.shape == (2, 2, 64, 64)
    assert 1 < float(flow.std()) < 5
    steps = flow.diff(dim=-1).abs().mean()
    assert steps < 0.5 if kind == "smooth" else steps > 2


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
