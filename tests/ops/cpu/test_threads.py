"""Work in parts: the same result to the last bit, from any thread, in a forked process, at the very end."""

import multiprocessing
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from netwarp.ops import warp_combine
from netwarp.ops.cpu import compute as threads
from ops.test_warp_combine import FORMATS, arguments


@pytest.fixture
def split(monkeypatch):
    """Split the smallest work, too, over as many threads as it says."""
    monkeypatch.setattr(threads, "WORTH_A_THREAD", 1)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def results(layout, gated, interpolation="bilinear"):
    sources = arguments(2, 5, 7, 9, gate=gated, layout=layout)
    leaves = [a.requires_grad_() for a in sources if a is not None]
    combined = warp_combine(*sources, interpolation=interpolation)
    return [combined.detach(), *torch.autograd.grad(combined.square().sum(), leaves)]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("layout", "how"), [*((layout, "bilinear") for layout in FORMATS), ("contiguous", "bicubic")])
def test_any_number_of_threads_gives_the_same_bits(layout, how, gated, split):
    alone = results(layout, gated, how)
    for count in (2, 3, 64):
        split(count)
        for ours, theirs in zip(results(layout, gated, how), alone, strict=True):
            assert torch.equal(ours, theirs)


def test_every_unit_is_done_once(split):
    split(3)
    for count in (1, 2, 3, 4, 7, 100):
        done = np.zeros(count, int)

        def loop(done, first, last):
            done[first:last] += 1

        threads.in_parts(loop, (done,), count, 1000)
        assert (done == 1).all()


def test_small_work_stays_in_its_thread(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.setattr(threads, "_pool", lambda: pytest.fail("handed over"))
    seen = []
    threads.in_parts(lambda *range_: seen.append(range_), (), 10, threads.WORTH_A_THREAD * 2 - 1)
    torch.set_num_threads(before)
    assert seen == [(0, 10)]


def test_an_error_in_a_part_is_the_callers_error(split):
    split(2)

    def loop(first, last):
        if first:
            raise ValueError("the second part")

    with pytest.raises(ValueError, match="the second part"):
        threads.in_parts(loop, (), 2, 1000)


def test_several_callers_at_once(split):
    split(2)
    alone = results("contiguous", True)
    with ThreadPoolExecutor(6) as callers:
        for found in callers.map(lambda _: results("contiguous", True), range(24)):
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, alone, strict=True))


def _combined_in_a_child(queue):
    queue.put(warp_combine(*arguments(gate=False)).numpy())


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_a_pool_of_its_own(split):
    split(2)
    expected = warp_combine(*arguments(gate=False))  # the pool's threads exist now, and will not in the child
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_combined_in_a_child, args=(queue,))
    child.start()
    found = queue.get(timeout=120)
    child.join(timeout=120)
    assert child.exitcode == 0
    assert np.array_equal(found, expected.numpy())


AT_THE_END = """
import atexit, torch
from netwarp.ops.cpu import compute as threads
threads.WORTH_A_THREAD = 1
torch.set_num_threads(3)
done = []
atexit.register(lambda: (threads.in_parts(lambda a, b: done.append((a, b)), (), 6, 99), print(sorted(done))))
"""


def test_when_no_more_threads_are_started_the_caller_does_it_all():
    ended = subprocess.run([sys.executable, "-c", AT_THE_END], capture_output=True, text=True, check=True)
    done = eval(ended.stdout)
    assert sorted(unit for first, last in done for unit in range(first, last)) == list(range(6))


def test_a_thread_that_the_system_refuses_does_no_work_twice(split, monkeypatch):
    """The pool queues work before it starts a thread for it: others of its threads find that later."""
    split(4)

    class Pool(ThreadPoolExecutor):
        def _adjust_thread_count(self):
            if self._threads:
                raise RuntimeError("can't start new thread")
            super()._adjust_thread_count()

    done, hold = np.zeros(8, int), threading.Event()
    with Pool(8) as pool:
        monkeypatch.setattr(threads, "_pool", lambda: pool)
        pool.submit(hold.wait, 60)

        def loop(first, last):
            done[first:last] += 1

        threads.in_parts(loop, (), 8, 1000)
        assert (done == 1).all()
        assert pool._work_queue.qsize() == 1  # refused, and yet to be found
        hold.set()
    assert (done == 1).all()


def test_a_part_that_another_thread_took_is_waited_for(split, monkeypatch):
    """Also by a caller who was told that there is no thread."""
    split(2)
    began, end = threading.Event(), threading.Event()

    class Refuses:
        def submit(self, work, *arguments):
            threading.Thread(target=work, args=arguments, daemon=True).start()
            assert began.wait(60)
            threading.Timer(0.05, end.set).start()
            raise RuntimeError("can't start new thread")

    done = np.zeros(2, int)

    def loop(first, last):
        if first == 0:
            began.set()
            assert end.wait(60)
        done[first:last] += 1

    monkeypatch.setattr(threads, "_pool", Refuses)
    threads.in_parts(loop, (), 2, 1000)
    assert (done == 1).all()
