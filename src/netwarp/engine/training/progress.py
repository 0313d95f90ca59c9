"""A bar of steps on the terminal."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

from tqdm import tqdm

from netwarp.engine.training.records import StepRecord

__all__ = ["progress_bar"]

SMOOTHING = 0.9


@contextlib.contextmanager
def progress_bar(steps: int, done: int, shown: bool) -> Iterator[Callable[[StepRecord], None]]:
    """Show loss and IoU (both averaged over about ten steps), rate, and the latest validation.

    Args:
        steps: Of the training.
        done: How many of them were done before.
        shown: Or nothing at all.

    Yields:
        To be called with each step's record.
    """
    means: dict[str, float] = {}
    validation = ""
    with tqdm(total=steps, initial=done, unit="step", disable=not shown, dynamic_ncols=True) as bar:

        def advance(record: StepRecord) -> None:
            nonlocal validation
            for name, value in (("loss", record.loss), ("IoU", record.iou)):
                if not math.isnan(value):
                    means[name] = SMOOTHING * means.get(name, value) + (1 - SMOOTHING) * value
            if record.scores is not None:
                validation = f", validation IoU {record.scores.iou:.1f}"
            text = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
            bar.set_postfix_str(f"{text}, rate {record.rate:.1e}{validation}", refresh=False)
            bar.update()

        yield advance
