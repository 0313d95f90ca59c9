"""What tests of rendered streets share."""

from collections import Counter

import pytest

from netwarp.streets import dataset, render_clip


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Counts how often each seed is rendered."""
    count: Counter[int] = Counter()

    def counting(seed, *args, **options):
        count[seed] += 1
        return render_clip(seed, *args, **options)

    monkeypatch.setattr(dataset, "render_clip", counting)
    return count
