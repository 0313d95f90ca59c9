import pytest

from netwarp.lab.benchmark import flow, networks


@pytest.fixture(autouse=True)
def _memory_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measuring in this process changes nothing that would outlast the test."""
    for module in (flow, networks):
        monkeypatch.setattr(module, "keep_freed_memory", lambda: None)
