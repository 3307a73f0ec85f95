"""``python -m polyback_conformance NAME [--level N] [--json FILE]``."""

import sys

from polyback_conformance import main

sys.exit(main(sys.argv[1:]))
