"""runbook: a go-live runbook that runs. This is the face for the authors of steps in `jobs/`, and for bots: `open_feed`."""

from typing import TYPE_CHECKING, Any

from runbook.errors import JobFailed, Skip
from runbook.job import Context, Found, Verdict

if TYPE_CHECKING:
    from runbook.app import open_feed

__all__ = ["Context", "Found", "JobFailed", "Skip", "Verdict", "open_feed"]


def __getattr__(name: str) -> Any:
    """`open_feed` on its first use: who writes a step should not load requests for it."""
    if name == "open_feed":
        from runbook.app import open_feed

        return open_feed
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
