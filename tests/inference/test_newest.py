"""Cameras in ``segment`` and ``render``: the newest frame is next, unless every one is asked for."""

import time
from dataclasses import replace

import numpy as np
import pytest

from inference.clip import Clip
from model.tiny import PLAIN, tiny
from netwarp import VideoModel, segment
from netwarp.inference.render import render
from netwarp.video.open import open_frames
from netwarp.video.source import SoundPacket

COUNT, INTERVAL = 25, 0.02


class Camera(Clip):
    """A clip whose frames come at their times, whether or not anybody looks."""

    live = True

    def __init__(self):
        rng = np.random.default_rng(0)
        super().__init__(rng.integers(0, 256, (COUNT, 32, 48, 3), np.uint8), lambda index: INTERVAL * index)

    def __iter__(self):
        for frame in super().__iter__():
            time.sleep(INTERVAL)
            yield replace(frame, sound=(SoundPacket(0, bytes([frame.index]), frame.time, INTERVAL),))


def slow_model():
    network = tiny()
    model = VideoModel(network, [], preprocess=PLAIN)
    network.register_forward_hook(lambda *_: time.sleep(4 * INTERVAL))
    return model


def test_a_camera_is_not_fallen_behind():
    camera, model = Camera(), slow_model()
    results = list(segment(camera, model))
    indices = [result.index for result in results]
    assert indices == sorted(set(indices))
    assert len(indices) < COUNT // 2
    assert indices[-1] == COUNT - 1
    heard = [packet.data for result in results for packet in result.sound]
    assert heard == [bytes([index]) for index in range(COUNT)], "no sound is lost with a frame"
    for result in results:
        np.testing.assert_array_equal(result.frame, camera.images[result.index])


def test_every_frame_where_that_is_asked():
    assert [result.index for result in segment(Camera(), slow_model(), every_frame=True)] == list(range(COUNT))


@pytest.mark.parametrize("every_frame", [False, True])
def test_what_was_left_out_and_how_late_the_others_were_is_counted(every_frame, tmp_path):
    camera, sizes = Camera(), []
    out = tmp_path / "out.mp4"
    done = render(
        camera, slow_model(), video=out, every_frame=every_frame, on_frame=lambda _: sizes.append(out.exists())
    )
    assert all(sizes), "the video is there from the first frame on"
    assert done.frames + done.dropped == COUNT
    assert (done.dropped == 0) == every_frame
    assert done.lag > 3 * INTERVAL
    with open_frames(out) as video:
        times = [frame.time for frame in video]
    assert len(times) == done.frames
    assert times[-1] <= COUNT * INTERVAL
