"""Labels at the camera's rate: right ones, of the newest frame, in bounded memory, whatever network and caller take."""

import threading
import time
from itertools import takewhile

import numpy as np
import pytest
import torch
from torch import nn

from model.tiny import PLAIN, Pan, tiny
from netwarp import Live, Sliding, VideoModel
from netwarp.errors import ConfigurationError, InputError
from netwarp.inference.keyframes import LONGEST_WAIT
from netwarp.inference.threads import Newest
from netwarp.video.camera import open_as_camera
from netwarp.video.source import Frame, FrameSource

H, W, SPEED = 32, 480, 2
COUNT = 40


def pan(count=COUNT, seed=0):
    """At (x, y) now what was at (x + SPEED, y) before, in blocks of 4 pixels."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (H // 4, (W + SPEED * count) // 4 + 1, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    return [np.ascontiguousarray(wide[:, SPEED * (count - 1 - i) :][:, :W]) for i in range(count)]


class TrueFlow:
    """The flow between any two frames of a pan, which it knows by what is in them."""

    spec = "true pan"

    def __init__(self, images):
        self.places = {image.transpose(2, 0, 1).tobytes(): place for place, image in enumerate(images)}

    def __call__(self, current, previous, index=None):
        now, then = (self.places[frame[0].numpy().tobytes()] for frame in (current, previous))
        return Pan(-SPEED * (now - then))(current, previous)


class Camera(FrameSource):
    """Sends pictures at a rate, whether or not anybody looks; then it ends, or fails."""

    description, live = "a camera of a test", True

    def __init__(self, images, interval=0.01, error=None):
        self.images, self.interval, self.error = images, interval, error
        self.closed = False

    def __iter__(self):
        for index, image in enumerate(self.images):
            time.sleep(self.interval)
            yield Frame(index, image, index * self.interval)
        if self.error is not None:
            raise self.error

    def close(self):
        self.closed = True


class Slow(nn.Module):
    """A network of one pixel a place, which takes its time."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.body.weight.mul_(8)
        self.seconds, self.passes, self.error = 0.0, 0, None
        self.eval()

    def forward(self, frame):
        self.passes += 1
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return self.body(frame)

    def alone(self, image):
        with torch.no_grad():
            return self.body(torch.from_numpy(image).permute(2, 0, 1)[None] / 255).argmax(1)[0].numpy()


def slow_model(images, seconds, **options):
    network = Slow()
    model = VideoModel(network, [], TrueFlow(images), preprocess=PLAIN, **options)
    network.passes, network.seconds = 0, seconds
    return network, model


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Loops are compiled at their first use, which would be in the middle of a film."""
    images = pan(3)
    with torch.no_grad():
        free = VideoModel(tiny(), ["output"], TrueFlow(images), flow_cnn=None, preprocess=PLAIN, training_free=True)
        for model in (slow_model(images, 0)[1], free):
            state = None
            for number, image in enumerate([*images, images[0]]):
                _, state = model.step(image, state, keyframe=number in (0, 3))
            with Live(Camera(images), model) as live:
                list(live)


def test_every_frame_has_the_labels_that_the_network_gave_to_an_older_one_moved_along():
    images = pan()
    network, model = slow_model(images, 0.05)
    camera = Camera(images)
    with Live(camera, model, detect_cuts=False) as live:
        results = list(live)
        stats = live.stats.as_json()
    assert camera.closed
    for result in results:
        shift = SPEED * result.age
        seen = network.alone(images[result.index - result.age])
        np.testing.assert_array_equal(result.labels[:, shift:], seen[:, : W - shift])
        np.testing.assert_array_equal(result.frame, images[result.index])
        assert result.keyframe == (result.age == 0)
    order = [result.index for result in results]
    assert order == sorted(set(order))
    assert [result.fresh for result in results] == ["first frame", *[None] * (len(results) - 1)]
    assert len(results) >= 2 * network.passes, "labels come at the network's rate, not at the camera's"
    assert max(result.age for result in results) < COUNT // 2
    assert stats["dropped"] + len(results) + order[0] >= COUNT - 1
    assert stats["camera_fps"] > stats["network_fps"] > 0
    assert set(stats) >= {"label_fps", "latency_ms", "label_age_frames"}


@pytest.mark.parametrize("layers", [["output"], ["log_probs"]])
def test_the_next_answer_is_combined_with_the_last_one_as_keyframes_are(layers):
    images = pan()
    network = tiny()
    model = VideoModel(network, layers, TrueFlow(images), flow_cnn=None, preprocess=PLAIN, training_free=True)
    passes = []
    network.register_forward_hook(lambda *_: time.sleep(0.03))
    step = model.step
    model.step = lambda frame, *rest, **more: passes.append((frame, step(frame, *rest, **more))) or passes[-1][1]
    with Live(Camera(images, 0.03), model, detect_cuts=False, edges="off") as live:
        list(live)
    places = [model.flow.places[frame[0].numpy().tobytes()] for frame, _ in passes]
    assert len(places) > 2
    state = None
    for place in range(places[-1] + 1):
        frame = torch.from_numpy(images[place]).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected, state = step(frame, state, keyframe=place in places)
        if place in places:
            torch.testing.assert_close(passes[places.index(place)][1][0], expected, rtol=1e-3, atol=1e-3)


def test_a_slow_caller_gets_the_newest_frame():
    images = pan()
    _, model = slow_model(images, 0.0)
    with Live(Camera(images), model, detect_cuts=False) as live:
        first = next(live)
        time.sleep(0.25)
        second, third = next(live), next(live)
        assert second.index >= first.index + 5
        assert third.index <= second.index + 5
        assert live.stats.dropped >= 4


def test_a_quick_network_is_waited_for():
    images = pan()
    _, model = slow_model(images, 0.0)
    with Live(Camera(images, 0.03), model, detect_cuts=False) as live:
        ages = [result.age for result in live]
    assert ages.count(0) > len(ages) // 2


def test_after_a_cut_nothing_comes_until_the_network_has_seen_the_new_scene():
    before, after = pan(20, seed=1), pan(20, seed=2)

    class Flow(TrueFlow):
        def __call__(self, current, previous, index=None):
            return super().__call__(current, previous).clamp(-2 * SPEED, 2 * SPEED)

    _, model = slow_model(before + after, 0.06)
    model.flow = Flow(before + after)
    with Live(Camera(before + after, 0.04), model) as live:
        results = list(live)
    assert [result.fresh for result in results if result.fresh] == ["first frame", "scene cut"]
    for result in results:
        assert (result.index < 20) == (result.index - result.age < 20)
    assert results[-1].index >= 35


@pytest.mark.parametrize("shown", [lambda model: model, Sliding])
def test_a_file_in_a_loop_has_labels_from_its_first_frame_on(shown):
    once = pan(20, seed=1)

    class Flow(TrueFlow):
        def __call__(self, current, previous, index=None):
            return super().__call__(current, previous).clamp(-2 * SPEED, 2 * SPEED)

    class Film(Camera):
        live = False

    network, model = slow_model(once, 0.06)
    model.flow = Flow(once)
    with Live(open_as_camera(Film(once, 0.04), loop=True), shown(model)) as live:
        results = {result.index: result for result in takewhile(lambda result: result.index < 35, live)}
    assert results[20].fresh == "scene cut"
    np.testing.assert_array_equal(results[20].labels, network.alone(once[0]))
    assert all(result.index - result.age >= 20 for index, result in results.items() if index >= 20)


def test_the_network_goes_on_with_the_newest_frame_as_soon_as_it_is_done():
    images = pan(3)
    network, model = slow_model(images, 0.1)

    class Waiting(Camera):
        def __iter__(self):
            for frame in super().__iter__():
                if frame.index == 2:
                    limit = time.monotonic() + 5
                    while network.passes < 2 and time.monotonic() < limit:
                        time.sleep(0.01)
                    self.passes = network.passes
                yield frame

    camera = Waiting(images)
    with Live(camera, model, detect_cuts=False) as live:
        list(live)
    assert camera.passes == 2


def test_outdated_passes_hold_nothing_up(capfd):
    images = [pan(1, seed=seed)[0] for seed in range(5)]
    network, model = slow_model(images, 0.3)
    model.flow = lambda current, previous, index=None: torch.zeros(1, 2, H, W)
    threads = torch.get_num_threads()
    with Live(Camera(images, 0.03), model) as live:
        (result,) = live
    assert (result.index, result.fresh) == (4, "scene cut")
    np.testing.assert_array_equal(result.labels, network.alone(images[4]))
    assert "Traceback" not in capfd.readouterr().err
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [threads], "what begins later has fewer threads"


def test_a_policy_that_never_asks_is_not_waited_for_without_end():
    images = pan(2) * 40
    network, model = slow_model(images, 0.0)
    model.flow = lambda current, previous, index=None: torch.zeros(1, 2, H, W)
    with Live(Camera(images), model, detect_cuts=False, keyframes=lambda seen: False) as live:
        ages = [result.age for result in live]
    assert network.passes >= 2
    assert max(ages) <= LONGEST_WAIT + 2


def test_a_source_that_ends_at_once_still_gets_its_labels():
    images = pan(1)
    network, model = slow_model(images, 0.05)
    with Live(Camera(images), model) as live:
        (result,) = live
    np.testing.assert_array_equal(result.labels, network.alone(images[0]))


@pytest.mark.parametrize("where", ["camera", "network"])
def test_errors_of_any_thread_reach_the_caller(where):
    images = pan(6)
    network, model = slow_model(images, 0.0)
    error = InputError("unplugged")
    network.error = error if where == "network" else None
    with pytest.raises(InputError, match="unplugged"), Live(Camera(images, error=error), model) as live:
        list(live)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("netwarp-")]


def test_windows_are_carried_too():
    images = pan(12)
    network, model = slow_model(images, 0.01)
    with Live(Camera(images, 0.03), Sliding(model, window=24), detect_cuts=False) as live:
        results = list(live)
    assert any(result.age for result in results)
    for result in results:
        shift = SPEED * result.age
        seen = network.alone(images[result.index - result.age])
        np.testing.assert_array_equal(result.labels[:, shift:], seen[:, : W - shift])


def test_what_cannot_be():
    with pytest.raises(ConfigurationError, match="loop"):
        Live(Camera(pan(2)), slow_model(pan(2), 0)[1], loop=True)
    with pytest.raises(ConfigurationError, match="true"):
        Live(Camera(pan(2)), VideoModel(tiny(), ["output"], flow="true"))


def test_the_newest_of_many_items():
    made = threading.Event()

    def items():
        yield from range(100)
        made.set()
        time.sleep(0.05)
        yield 100

    with Newest(items()) as newest:
        first = next(newest)
        assert made.wait(10)
        rest = list(newest)
    assert [item for item in rest if item != first][-1] == 100
    assert newest.dropped + 1 + len(rest) == 101
