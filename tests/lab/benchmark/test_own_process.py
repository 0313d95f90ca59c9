"""Generators in a process of their own: as generators here, but for what is theirs alone."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading

import pytest

from lab.benchmark.apart_here import counts, dies, refuses, talks
from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.lab.benchmark import harness as own_process
from netwarp.lab.benchmark.harness import here, in_own_process


def test_values_come_one_at_a_time_with_what_is_said_meanwhile(caplog: pytest.LogCaptureFixture):
    told: list[str] = []
    values = in_own_process(told.append, 3, talks, 2)
    with caplog.at_level(logging.INFO, "netwarp"):
        number, process, threads = next(values)
        assert (number, threads) == (0, 3)
        assert process != os.getpid()
        assert told == ["at 0"]  # and not what leads to the next, which was not asked for
        assert caplog.messages == ["mind 0"]  # events are not of interest
        assert next(values)[:2] == (1, process)
        with pytest.raises(NetWarpError, match="measuring failed with ZeroDivisionError: by nothing") as failure:
            next(values)
    assert "in talks" in failure.value.__notes__[0]  # where it was, for --debug
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_process_that_dies_is_an_error_and_one_that_is_dropped_ends():
    values = in_own_process(lambda _: None, None, dies)
    process, kept_from_ctrl_c = next(values)
    assert kept_from_ctrl_c
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # here it comes
    with pytest.raises(NetWarpError, match="died"):
        next(values)
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread in place of a process, where only what goes over the connection matters."""

    class Thread(threading.Thread):
        def __init__(self, target, args, daemon):
            super().__init__(target=target, args=args, daemon=daemon)
            self.connection = args[0]

        def terminate(self) -> None:
            pass

        kill = terminate

    class Context:
        Pipe = staticmethod(multiprocessing.Pipe)
        Process = Thread

    class Kept:
        """The other end, which a process has of its own and a thread shares."""

        def __init__(self, connection):
            self.send, self.recv = connection.send, connection.recv

        def close(self) -> None:
            pass

    def pipe():
        mine, theirs = multiprocessing.Pipe()
        return mine, Kept(theirs)

    Context.Pipe = staticmethod(pipe)
    monkeypatch.setattr(own_process.multiprocessing, "get_context", lambda _: Context)
    monkeypatch.setattr(own_process.signal, "signal", lambda *_: None)
    monkeypatch.setattr(own_process.warnings, "simplefilter", lambda *_: None)
    monkeypatch.setattr(own_process.log, "addHandler", lambda *_: None)


def test_all_values_and_then_the_end(beside):
    assert list(in_own_process(lambda _: None, None, counts, 3)) == [0, 1, 2]
    assert list(in_own_process(lambda _: None, None, counts, 0)) == []


def test_our_own_errors_come_as_they_are(beside):
    values = in_own_process(lambda _: None, None, refuses)
    assert next(values) == 1
    with pytest.raises(ConfigurationError, match="take another"):
        next(values)


def test_here_is_the_same_in_this_process():
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    values = here(told.append, 7, talks, 1)
    assert next(values)[1] == os.getpid()
    assert told == ["at 0"]
    with pytest.raises(ZeroDivisionError):
        next(values)
    assert signal.getsignal(signal.SIGINT) is before
