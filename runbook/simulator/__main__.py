"""`python -m runbook.simulator`."""

import sys

from runbook.simulator.command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
