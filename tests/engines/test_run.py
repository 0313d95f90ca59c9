"""Engines: what they refuse, and what they share."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import MagicMock

import pytest

from netwarp.engines import open_engine
from netwarp.engines.run import OpenVino
from netwarp.errors import ConfigurationError


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_an_unknown_precision_is_refused(name):
    with pytest.raises(ConfigurationError, match="no dtype named 'int8'"):
        open_engine(name, b"", "int8")


def test_threads_share_one_core(monkeypatch):
    library, both = MagicMock(), threading.Barrier(2)

    def make():
        try:
            both.wait(0.2)  # two that are in here at a time meet
        except threading.BrokenBarrierError:
            both.reset()
        return MagicMock()

    library.Core.side_effect = make
    monkeypatch.setitem(sys.modules, "openvino", library)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: OpenVino(b""), range(2)))
    assert library.Core.call_count == 1
