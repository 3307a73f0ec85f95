"""``python -m polyback``."""

import sys

from polyback.cli import main

if __name__ == "__main__":
    sys.exit(main())
