"""OpenCV's number of threads: one while streams run, whatever it was afterwards."""

from __future__ import annotations

import cv2
import pytest

from inference.clip import Clip
from model.tiny import PLAIN, tiny
from netwarp import VideoModel, segment
from netwarp.inference.threads import opencv_on_one_thread


@pytest.fixture(autouse=True)
def three_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


def test_one_until_the_last_block_ends():
    first, second = opencv_on_one_thread(), opencv_on_one_thread()
    first.__enter__()
    assert cv2.getNumThreads() == 1
    second.__enter__()
    first.__exit__(None, None, None)
    assert cv2.getNumThreads() == 1
    second.__exit__(None, None, None)
    assert cv2.getNumThreads() == 3


def test_also_after_an_error():
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
