"""What follows from what: while a cause is told, its consequences are kept and told to nobody.

The tree is fixed: this host's network > the gateway > the broker session > the feed > one symbol, and the bot beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from runbook.alert.rules import RULES
from runbook.alert.state import Alert, AlertState

PARENTS = {
    "feed_symbol": "feed",
    "bot": "feed",
    "feed": "broker",
    "broker": "gateway",
    "gateway": "uplink",
    "channel": "uplink",
}  # incidents
SETTLE = timedelta(seconds=30)  # what is over takes its consequences along within it; what stays after it is told
_SESSION = ("server", "key", "broker", "funds")  # rungs of the broker's check without which no price comes


def ancestors(incident: str) -> tuple[str, ...]:
    """What could be the cause of `incident`, the nearest first."""
    found: list[str] = []
    while (incident := PARENTS.get(incident, "")) != "":
        found.append(incident)
    return tuple(found)


def inhibitor(alert: Alert, alerts: Sequence[Alert], now: datetime) -> Alert | None:
    """The alert that explains `alert`, the topmost one; a parent that is over counts for SETTLE longer.

    No parent hides what is worse than itself, and none that is told to nobody because of a silence hides anything.
    """
    above = ancestors(_incident(alert))
    found = [
        a
        for a in alerts
        if _incident(a) in above
        and _covers(a, alert)
        and not a.drill  # nothing real follows from it
        and a.severity.rank >= alert.severity.rank
        and not a.muted.startswith("silenced")
        and (_there(a) or (bool(alert.muted) and a.resolved_at is not None and now < a.resolved_at + SETTLE))
    ]
    return max(found, key=lambda a: above.index(_incident(a)), default=None)


def settled_at(alert: Alert, alerts: Sequence[Alert]) -> datetime | None:
    """When the last of the parents that are over stops to explain `alert`."""
    above = ancestors(_incident(alert))
    ends = [a.resolved_at + SETTLE for a in alerts if a.resolved_at is not None and _incident(a) in above]
    return max(ends, default=None)


def _there(alert: Alert) -> bool:
    return alert.state is AlertState.OPEN and alert.settles_at is None


def _covers(parent: Alert, child: Alert) -> bool:
    """Whether this parent, such as it is, can have that consequence."""
    match RULES[parent.rule].incident:
        case "uplink":  # a gateway on this host needs no network to be reached
            return _incident(child) == "channel" or ("reach", "remote") in parent.labels
        case "broker":  # the check may also fail for something that takes no price away, such as the wrong mode
            return parent.what.partition(":")[0] in _SESSION
        case "feed":
            return parent.rule != "feed.silent"
    return True


def _incident(alert: Alert) -> str:
    return RULES[alert.rule].incident
