"""runbook: a go-live runbook that runs. This is the face for the authors of steps in `jobs/`."""

from runbook.errors import JobFailed, Skip
from runbook.job import Context, Found, Verdict

__all__ = ["Context", "Found", "JobFailed", "Skip", "Verdict"]
