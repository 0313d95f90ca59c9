"""``python -m netwarp``: the command line."""

import sys

from netwarp.cli import main

sys.exit(main())
