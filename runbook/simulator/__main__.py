"""`python -m runbook.simulator`."""

import sys

from runbook.simulator.command import main

sys.exit(main())
