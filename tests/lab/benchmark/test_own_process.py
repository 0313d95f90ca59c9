"""Generators in a process of their own: as generators here, but for what is theirs alone."""

import logging
import multiprocessing
import os
import signal

import pytest

from lab.benchmark.generators import counts, dies, refuses, talks
from netwarp.errors import ConfigurationError, NetWarpError
from netwarp.lab.benchmark.own_process import in_own_process


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
        with pytest.raises(NetWarpError, match="ZeroDivisionError: by nothing") as failure:
            next(values)
    assert "in talks" in failure.value.__notes__[0]  # where it was, for --debug
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_process_that_dies_is_an_error_and_is_gone():
    values = in_own_process(lambda _: None, None, dies)
    process, kept_from_ctrl_c = next(values)
    assert kept_from_ctrl_c
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # here it comes
    with pytest.raises(NetWarpError, match="died"):
        next(values)
    assert not multiprocessing.active_children()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_our_own_errors_come_as_they_are():
    values = in_own_process(lambda _: None, None, refuses)
    assert next(values) == 1
    with pytest.raises(ConfigurationError, match="take another"):
        next(values)


def test_one_that_is_dropped_ends():
    values = in_own_process(lambda _: None, None, counts, 3)
    assert next(values) == 0
    values.close()
    assert not multiprocessing.active_children()
