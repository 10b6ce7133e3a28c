"""Who is told first, and who next when nobody reacts: a table of channels of our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from runbook.alert.rules import Severity
from runbook.alert.state import Alert, AlertChange, AlertState, ChangeKind, repeated
from runbook.outbox import Row, State
from runbook.spans import span

Levels = tuple[tuple[str, ...], ...]
_ROUNDING = timedelta(seconds=1)  # the ledger keeps instants to the millisecond


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """Who is told when. Without `levels` every channel is told at once, and nothing climbs.

    A critical alert climbs when nobody has acknowledged it `after` so long; any alert, when no channel told so far has it
    `undelivered` seconds after it was written. `quiet` holds what is not critical until `around` the next session.
    `remote`: OpenAlgo is on another host.
    """

    levels: Levels = ()
    after: timedelta = timedelta(minutes=5)
    undelivered: timedelta = timedelta(seconds=60)
    quiet: bool = True
    around: timedelta = timedelta(minutes=60)
    remote: bool = False

    def ladder(self, channels: Sequence[str], to: Sequence[str] | None) -> Levels:
        """The levels of an alert that is meant for `to` (None: for all); each channel once.

        Where `to` names some they are the first level. A channel that no level names belongs to the first.
        """
        if to is not None and not [c for c in channels if c in to]:
            return ()
        if not self.levels:
            return (tuple(c for c in channels if to is None or c in to),)
        named = {c for level in self.levels for c in level}
        first = tuple(to) if to is not None else (*self.levels[0], *(c for c in channels if c not in named))
        out: list[tuple[str, ...]] = []
        for level in (first, *self.levels):
            seen = {c for held in out for c in held}
            if fresh := tuple(c for c in dict.fromkeys(level) if c in channels and c not in seen):
                out.append(fresh)
        return tuple(out)


def reached(alert: Alert, ladder: Levels) -> tuple[str, ...]:
    """The channels that are told of `alert` at the level it is on."""
    return tuple(c for level in ladder[: alert.level + 1] for c in level)


def climb(
    alerts: Iterable[Alert],
    rows: Mapping[str, Sequence[Row]],
    policy: AlertPolicy,
    channels: Sequence[str],
    now: datetime,
) -> list[AlertChange]:
    """Call the next level where nobody reacted. `rows` are the messages by the alert's key."""
    changes = []
    for alert in alerts:
        ladder = policy.ladder(channels, alert.to)
        for at, why in _calls(alert, ladder, rows.get(alert.key, ()), policy):
            if at <= now:
                higher = replace(alert, level=alert.level + 1, level_at=now)
                changes.append(repeated(ChangeKind.CLIMBED, now, higher, why))
                break
    return changes


def climb_at(
    alerts: Iterable[Alert],
    rows: Mapping[str, Sequence[Row]],
    policy: AlertPolicy,
    channels: Sequence[str],
    now: datetime,
) -> datetime | None:
    """When the next alert may climb."""
    coming = (
        at
        for alert in alerts
        for at, _ in _calls(alert, policy.ladder(channels, alert.to), rows.get(alert.key, ()), policy)
    )
    return min((at for at in coming if at > now), default=None)


def _calls(alert: Alert, ladder: Levels, rows: Sequence[Row], policy: AlertPolicy) -> list[tuple[datetime, str]]:
    """(when the next level is called, why), for each thing that would."""
    asleep = alert.state is not AlertState.OPEN or alert.settles_at is not None or bool(alert.muted)
    if asleep or alert.acked or alert.level_at is None or alert.level + 1 >= len(ladder):
        return []
    found = []
    told = [row for row in rows if row.channel in reached(alert, ladder)]
    written = max([alert.level_at, *(row.due_at for row in told if row.held)])  # what waits for the session is not late
    since = alert.level_at - _ROUNDING
    if not any(row.state is State.SENT and row.changed_at and row.changed_at >= since for row in told):
        names = ", ".join(reached(alert, ladder))
        why = f"not delivered on {names} within {span(policy.undelivered.total_seconds())}"
        found.append((written + policy.undelivered, why))
    if alert.severity is Severity.CRITICAL:
        why = f"not acknowledged within {span(policy.after.total_seconds())}"
        found.append((alert.level_at + policy.after, why))
    return found
