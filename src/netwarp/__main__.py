"""``python -m netwarp``, and the script ``netwarp``: the command line."""

import signal
import sys

# While modules are imported Ctrl-C ends the process without a word; main takes over.
if __name__ != "__mp_main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from netwarp.cli import main


def run() -> None:
    """Run the command line and end the process."""
    sys.exit(main())


if __name__ == "__main__":
    run()
