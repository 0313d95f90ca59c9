"""Memory that is kept, where the C library can be told."""

from netwarp import freed_memory


def test_memory_is_kept_only_where_that_can_be_said(monkeypatch):
    calls = []
    keep = freed_memory.keep_freed_memory.__wrapped__
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: calls.append(name) or object())
    keep()  # a C library without mallopt
    monkeypatch.setattr(freed_memory.sys, "platform", "darwin")
    keep()
    assert calls == [None]
