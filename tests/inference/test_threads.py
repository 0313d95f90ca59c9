"""Streams share torch's threads in equal parts and OpenCV has one; afterwards all have as many as before."""

import threading
from contextlib import ExitStack

import cv2
import pytest
import torch

from inference.clip import Clip
from model.tiny import PLAIN, Pan, tiny
from netwarp import VideoModel, segment
from netwarp.inference.threads import ThreadBudget, opencv_on_one_thread


@pytest.fixture(autouse=True)
def four_threads_and_three_of_opencvs():
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(4)
    cv2.setNumThreads(3)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def run_together(target, count):
    threads = [threading.Thread(target=target) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.parametrize(("streams", "part"), [(1, 4), (2, 2), (3, 1), (4, 1), (9, 1)])
def test_a_pass_has_its_part(streams, part):
    budget = ThreadBudget()
    with ExitStack() as stack:
        for _ in range(streams):
            stack.enter_context(budget.stream())
        with budget.turn():
            assert torch.get_num_threads() == part
        assert torch.get_num_threads() == 4
    assert (budget.streams, budget.passes) == (0, 0)


def test_no_more_passes_at_a_time_than_threads():
    budget, most, lock = ThreadBudget(4), [], threading.Lock()
    together = threading.Barrier(4)  # passes only when four are inside at once

    def stream():
        with budget.stream():
            started.wait(10)
            for _ in range(8):
                torch.set_num_threads(4)  # a new thread has what another was given just then
                with budget.turn():
                    with lock:
                        most.append(budget.passes)
                    together.wait(10)

    started = threading.Barrier(8)
    run_together(stream, 8)
    assert len(most) == 64
    assert max(most) == 4
    assert (budget.streams, budget.passes) == (0, 0)


def test_threads_that_were_cut_down_before_do_not_make_streams_wait_for_each_other():
    budget, together = ThreadBudget(4), threading.Barrier(4)

    def stream():
        torch.set_num_threads(1)
        with budget.stream(), budget.turn():
            together.wait(10)

    run_together(stream, 4)
    assert not together.broken


def test_new_threads_have_all_of_them_after_streams_that_overlapped():
    """Each thread is new, and finds the process's number as another stream has just set it."""
    budget, inside, leave, seen = ThreadBudget(4), threading.Barrier(3), threading.Event(), []

    def stream():
        with budget.stream():
            with budget.turn():
                inside.wait(10)
            leave.wait(10)
            with budget.turn():
                pass

    threads = [threading.Thread(target=stream) for _ in range(2)]
    with budget.stream():
        for thread in threads:
            thread.start()
        with budget.turn():
            inside.wait(10)
        leave.set()
        for thread in threads:
            thread.join(10)
    after = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    after.start()
    after.join()
    assert seen == [4]
    with budget.stream(), budget.turn():
        assert torch.get_num_threads() == 4


def test_an_error_gives_the_threads_back():
    budget = ThreadBudget()
    with pytest.raises(OSError, match="no"), budget.stream(), budget.stream(), budget.turn():
        raise OSError("no")
    assert torch.get_num_threads() == 4
    assert (budget.streams, budget.passes) == (0, 0)


def test_a_stream_that_was_given_up_takes_no_part(pictures):
    def seen(module, inputs, output):
        threads.append(torch.get_num_threads())

    network, threads = tiny(), []
    network.register_forward_hook(seen)
    model = VideoModel(network, ["mid"], flow=Pan(), preprocess=PLAIN)
    threads.clear()
    first, second = (segment(Clip(pictures(9)), model) for _ in "ab")
    next(first)
    next(second), next(first)
    second.close()
    next(first)
    first.close()
    assert threads == [4, 2, 2, 4]
    assert torch.get_num_threads() == 4


def test_eight_streams_say_what_each_says_alone(pictures):
    model = VideoModel(tiny(), ["mid"], flow=Pan(), preprocess=PLAIN, start=(0.5, 0.5))
    videos = [pictures(4) for _ in range(8)]
    alone = [[r.labels for r in segment(Clip(frames), model)] for frames in videos]
    found: dict[int, list] = {}

    numbers = iter(range(8))

    def run():
        number = next(numbers)
        found[number] = [r.labels for r in segment(Clip(videos[number]), model)]

    run_together(run, 8)
    for number, labels in enumerate(alone):
        assert all((a == b).all() for a, b in zip(labels, found[number], strict=True))


def test_opencv_has_one_thread_until_the_last_block_ends():
    first, second = opencv_on_one_thread(), opencv_on_one_thread()
    first.__enter__()
    assert cv2.getNumThreads() == 1
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3


def test_opencv_has_its_threads_back_after_an_error():
    with pytest.raises(OSError, match="no"), opencv_on_one_thread():
        raise OSError("no")
    assert cv2.getNumThreads() == 3


@pytest.mark.parametrize(("overlap", "threads"), [(True, 1), (False, 3)])
def test_a_stream_that_works_ahead_leaves_the_cores_to_the_network(overlap, threads, pictures):
    results = segment(Clip(pictures(4)), VideoModel(tiny(), ["mid"], preprocess=PLAIN), overlap=overlap)
    next(results)
    assert cv2.getNumThreads() == threads
    results.close()
    assert cv2.getNumThreads() == 3
