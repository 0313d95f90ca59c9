"""Sources that behave as cameras do: played at their rate, again and again, and opened again after a break."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from inference.clip import Clip
from netwarp.errors import ConfigurationError, InputError
from netwarp.video import reconnecting
from netwarp.video.camera import PlayedFile, open_as_camera
from netwarp.video.reconnecting import Reconnecting
from netwarp.video.sound import SoundTrack
from netwarp.video.source import SoundPacket

IMAGES = [np.full((4, 6, 3), value, np.uint8) for value in range(5)]
INTERVAL = 0.03


def recorded():
    clip = Clip(IMAGES, lambda index: INTERVAL * index)
    clip.fps = 1 / INTERVAL
    return clip


class Broken(Clip):
    """A stream that ends, or fails, after its frames."""

    live = True

    def __init__(self, images, error=None):
        super().__init__(images)
        self.error = error

    def __iter__(self):
        yield from super().__iter__()
        if self.error is not None:
            raise self.error


def test_frames_of_a_file_come_at_their_times():
    played, began = open_as_camera(recorded()), time.monotonic()
    arrived = [(frame.index, time.monotonic() - began) for frame in played]
    assert isinstance(played, PlayedFile)
    assert [index for index, _ in arrived] == [0, 1, 2, 3, 4]
    assert all(at >= INTERVAL * index - 1e-3 for index, at in arrived)


def test_a_loop_goes_on_counting_and_ends_when_it_is_closed():
    source = recorded()
    with open_as_camera(source, loop=True) as played:
        frames = []
        for frame in played:
            frames.append(frame)
            if frame.index == 11:
                played.stop()
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([INTERVAL * index for index in range(12)])
    assert [frame.image[0, 0, 0] for frame in frames] == [index % 5 for index in range(12)]
    assert source.closed


def test_what_cannot_be_read_twice_is_played_once():
    clip = Clip(iter(IMAGES), lambda index: 0.0)
    assert len(list(open_as_camera(clip, loop=True))) == 5


def test_a_camera_has_no_loop():
    stream = Broken(IMAGES)
    with pytest.raises(ConfigurationError, match="a clip") as caught:
        open_as_camera(stream, loop=True)
    assert caught.value.option == "loop"
    assert stream.closed


def test_a_stream_that_breaks_is_opened_again_after_waits_that_grow(monkeypatch, caplog):
    monkeypatch.setattr(reconnecting, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(reconnecting, "LONGEST_WAIT", 0.03)
    later = [
        InputError("no route"),
        InputError("no route"),
        InputError("no route"),
        Broken(IMAGES[2:], InputError("it fell silent")),
        Broken(IMAGES[:1]),
    ]
    first, states = Broken(IMAGES[:2]), []

    def reopen():
        if not later:
            source.stop()
            raise InputError("over")
        again = later.pop(0)
        if isinstance(again, InputError):
            raise again
        return again

    source = Reconnecting(first, reopen)
    source.on_state = states.append
    frames = list(source)
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.image[0, 0, 0] for frame in frames] == [0, 1, 2, 3, 4, 0]
    assert frames[2].time >= 0.09  # by the clock: the waits count
    waits = [float(state.removesuffix(" s").rpartition(" ")[2]) for state in states]
    assert waits[:6] == [0.01, 0.02, 0.03, 0.03, 0.01, 0.01]
    assert "it fell silent" in states[4]
    assert first.closed


def test_a_wait_for_a_stream_ends_when_it_is_closed(monkeypatch):
    monkeypatch.setattr(reconnecting, "FIRST_WAIT", 60.0)
    source = Reconnecting(Broken(IMAGES), lambda: pytest.fail("opened again"))
    threading.Timer(0.1, source.close).start()
    began = time.monotonic()
    assert len(list(source)) == 5
    assert time.monotonic() - began < 30


def test_a_stream_that_stays_away_has_ended_and_its_sound_moved_with_its_frames(monkeypatch):
    monkeypatch.setattr(reconnecting, "FIRST_WAIT", 0.01)

    class Heard(Broken):
        def __iter__(self):
            for frame in super().__iter__():
                yield replace(frame, sound=(SoundPacket(0, b"", frame.time, 0.1),))

    later = [Heard(IMAGES[:1])]

    def reopen():
        if not later:
            raise InputError("no route")
        return later.pop(0)

    source = Reconnecting(Heard(IMAGES[:2]), reopen, patience=0.1)
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.sound[0].time for frame in frames] == [frame.time for frame in frames]
    assert frames[2].time >= 0.01
    assert "after frame 3 (no route)" in source.loss


def test_tracks_of_sound_that_come_back_as_others_are_left_out(monkeypatch, caplog):
    monkeypatch.setattr(reconnecting, "FIRST_WAIT", 0.01)

    class Heard(Broken):
        def __init__(self, *codecs):
            super().__init__(IMAGES[:1])
            self.sound = tuple(SoundTrack(codec, None) for codec in codecs)

        def __iter__(self):
            for frame in super().__iter__():
                yield replace(frame, sound=tuple(SoundPacket(n, b"", 0.0, 0.1) for n in range(len(self.sound))))

    later = [Heard("aac", "aac", "aac"), Heard("mp3", "mp3"), Heard("aac"), Heard()]
    source = Reconnecting(Heard("aac", "mp3"), lambda: later.pop(0))
    heard = []
    for frame in source:
        heard.append([packet.track for packet in frame.sound])
        if not later:
            source.stop()
    assert heard == [[0, 1], [0], [1], [0], []]
    assert caplog.text.count("its sound has changed") == 1


def test_a_camera_that_is_opened_again_while_it_is_closed_is_closed(monkeypatch):
    monkeypatch.setattr(reconnecting, "FIRST_WAIT", 0.01)
    again = Broken(IMAGES)

    def reopen():
        source.close()  # as another thread does
        return again

    source = Reconnecting(Broken(IMAGES[:2]), reopen)
    assert len(list(source)) == 2
    assert again.closed
