"""Who gets which video, of workers that are told what to say."""

import itertools
from collections.abc import Callable

import pytest

from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.fleet.pools import Event, Lost
from netwarp.fleet.scheduler import Scheduler
from netwarp.fleet.sources import Video
from netwarp.fleet.worker import Outcome, Ready

VIDEOS = [Video(name, f"/in/{name}.mp4", 1, "1") for name in "abcd"]
DEAD = Lost("its worker died")


class Told:
    """A pool: ``ready(number)`` and ``done(number, video)`` say what a worker says first, and of a video."""

    def __init__(self, rooms: int, ready: Callable[[int], Event], done: Callable[[int, Video], Event]) -> None:
        self.rooms, self.ready, self.done = rooms, ready, done
        self.said: list[tuple[int, Event]] = []
        self.given: list[tuple[int, str]] = []
        self.numbers = itertools.count(1)
        self.lost: set[int] = set()

    def room(self) -> int:
        return self.rooms

    def start(self) -> int:
        number = next(self.numbers)
        self.said.append((number, self.ready(number)))
        return number

    def give(self, worker: int, video: Video) -> None:
        assert worker not in self.lost
        self.given.append((worker, video.name))
        self.said.append((worker, self.done(worker, video)))

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        said, self.said = self.said, []
        self.lost |= {number for number, event in said if isinstance(event, Lost)}
        return said


def ready(number: int) -> Event:
    return Ready("w", f"host:{number}")


def done(number: int, video: Video) -> Event:
    return Outcome("done", frames=1)


def run(pool: Told) -> dict[str, tuple[str, str, int]]:
    kept: dict[str, tuple[str, str, int]] = {}

    def keep(video: Video, outcome: Outcome, worker: str, attempts: int) -> None:
        assert video.name not in kept
        kept[video.name] = outcome.state, worker, attempts

    Scheduler(pool, lambda weights: VIDEOS, keep, lambda seats: None).run(len(VIDEOS))
    return kept


def test_every_video_is_given_to_one_that_is_free():
    pool = Told(2, ready, done)
    assert run(pool) == {name: ("done", f"host:{1 + i % 2}", 1) for i, name in enumerate("abcd")}


def test_no_more_workers_than_videos():
    pool = Told(100, ready, done)
    assert len(run(pool)) == 4
    assert next(pool.numbers) == 5


def test_a_video_that_workers_die_of_comes_last_and_is_set_aside():
    pool = Told(1, ready, lambda number, video: DEAD if video.name == "a" else done(number, video))
    kept = run(pool)
    assert kept["a"] == ("set aside", "host:3", 3)
    assert [name for _, name in pool.given] == ["a", "b", "c", "d", "a", "a"]
    assert [kept[name][2] for name in "bcd"] == [1, 1, 1]


def test_workers_that_die_before_any_is_ready():
    pool = Told(1, lambda number: DEAD, done)
    with pytest.raises(NetWarpError, match="its worker died"):
        run(pool)
    assert next(pool.numbers) == 4


def test_workers_that_die_early_later_on_are_waited_for(monkeypatch: pytest.MonkeyPatch):
    """A machine that is bad for a while ends nothing that has begun, and no video is blamed."""
    monkeypatch.setattr("netwarp.fleet.scheduler.PAUSE", 0.01)
    monkeypatch.setattr("netwarp.fleet.scheduler.TICK", 0.01)
    pool = Told(1, lambda number: DEAD if 1 < number < 9 else ready(number),
                lambda number, video: DEAD if number == 1 else done(number, video))  # fmt: skip
    assert run(pool) == {"a": ("done", "host:9", 2)} | dict.fromkeys("bcd", ("done", "host:9", 1))


def test_a_worker_that_says_it_cannot_is_not_asked_again():
    no = Lost("no such layer", ConfigurationError("no such layer"))
    pool = Told(2, lambda number: no if number == 2 else ready(number), done)
    assert {worker for _, worker, _ in run(pool).values()} == {"host:1"}
    assert next(pool.numbers) == 3
    with pytest.raises(ConfigurationError, match="no such layer"):
        run(Told(2, lambda number: no, done))


def test_one_that_cannot_and_one_whose_machine_goes_are_no_reason_to_wait_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("netwarp.fleet.scheduler.TICK", 0.01)
    no = Lost("no such layer", ConfigurationError("no such layer"))

    class Shrinks(Told):
        def events(self, seconds: float) -> list[tuple[int, Event]]:
            self.rooms = 1
            return super().events(seconds)

    with pytest.raises(ConfigurationError, match="no such layer"):
        run(Shrinks(2, lambda number: no if number == 1 else DEAD, done))


def test_weights_that_differ_are_refused():
    pool = Told(2, lambda number: Ready(f"w{number}", f"host:{number}"), done)
    with pytest.raises(ConfigurationError, match="host:2"):
        run(pool)


def test_a_fault_is_not_tried_again():
    pool = Told(1, ready, lambda number, video: Outcome("failed", fault="no video"))
    assert set(run(pool).values()) == {("failed", "host:1", 1)}
