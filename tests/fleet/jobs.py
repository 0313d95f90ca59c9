"""What workers do in tests: no network, and what a file says."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from netwarp.errors import ConfigurationError, InputError


@dataclass(frozen=True)
class FileJob:
    """Writes the text of each file, behind a mark that stands for the model; some texts are orders."""

    mark: str = "a"

    def __call__(self, device):
        if self.mark == "refused":
            raise ConfigurationError("no such layer")
        return self.mark, self._render

    def _render(self, source, places, advance):
        text = Path(source).read_text() if isinstance(source, str) else "".join(Path(s).read_text() for s in source)
        order, _, rest = text.partition(":")
        if order == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "once" and not Path(rest).exists():  # dies of no fault of its own
            Path(rest).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "crash":
            raise RuntimeError("out of luck")
        if order == "fail":
            raise InputError(f"{source} is no video")
        if order == "options":
            raise ConfigurationError("no such layer", option="fps")
        if order == "slow":
            advance(1, 2)
            time.sleep(float(rest))
        for kind, place in places.items():
            if kind == "video":
                place.write_text(f"{self.mark} {text}")
            else:
                place.mkdir()
                (place / "000000.png").write_text(f"Software\0netwarp {text}")
        return SimpleNamespace(
            frames=2, keyframes=1.0, seconds=0.5, damage="half of it was read" if order == "damaged" else None
        )
