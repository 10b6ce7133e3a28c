"""The feed loop of the daemon: it asks `feed` what to do, and doors to do it.

monitor  one session after the other
watch    one session: the queue, the state, what is performed
asking   questions to REST, in threads of their own
herald   what is told: rows, causes, lines
parts    what it is made of
"""

from __future__ import annotations

from dataclasses import replace

from runbook.feed.policy import Policy
from runbook.monitor.herald import totals
from runbook.monitor.monitor import Monitor
from runbook.monitor.parts import LINGER, MOST_WATCHED, FeedParts, Keeper, NoKeeper, Watching, watched

__all__ = [
    "LINGER",
    "MOST_WATCHED",
    "FeedParts",
    "Keeper",
    "Monitor",
    "NoKeeper",
    "Watching",
    "scaled",
    "totals",
    "watched",
]


def scaled(policy: Policy, rate: float) -> Policy:
    """The policy of a rehearsal at `rate`: limits that wait for a real socket keep their real length."""
    return replace(
        policy,
        verify_within=policy.verify_within * rate,
        connect_within=policy.connect_within * rate,
        poll_overdue=policy.poll_overdue * rate,
        pause_after=max(policy.pause_after, rate),
    )
