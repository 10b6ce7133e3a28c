"""Reminders until somebody has acknowledged, and the acknowledgement itself, which lasts until the next session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from runbook.alert.quiet import Hours
from runbook.alert.rules import RULES
from runbook.alert.state import Alert, AlertChange, AlertState, ChangeKind, repeated


def remind(alerts: Sequence[Alert], now: datetime, hours: Hours) -> list[AlertChange]:
    """Say again what nobody has acknowledged and what its rule reminds of."""
    changes = []
    for alert in alerts:
        at = reminder_at(alert, hours)
        if at is None or at > now or (RULES[alert.rule].until_open and now >= _last(alert, hours)):
            continue
        most = RULES[alert.rule].reminders
        count = alert.reminded + 1
        why = f"reminder {count} of {most}" if most is not None else f"reminder {count}"
        changes.append(repeated(ChangeKind.REMINDED, now, replace(alert, reminded=count), why))
    return changes


def reminder_at(alert: Alert, hours: Hours) -> datetime | None:
    """When `alert` is to be said again; None for one that is not: a flap, a cause on probation, what is kept back."""
    rule = RULES[alert.rule]
    if rule.remind is None or alert.told_at is None or not alert.said or not _speaks(alert):
        return None
    if alert.acked or alert.flapping or alert.mending:
        return None
    if rule.reminders is not None and alert.reminded >= rule.reminders:
        return None
    at = alert.told_at + rule.remind
    if not hours.loud(at):  # what is critical rings at night once; said again it is when somebody can act
        at = hours.wakes(at) or at
    if rule.until_open and at >= _last(alert, hours):
        return None
    return at


def unack(alerts: Sequence[Alert], now: datetime, hours: Hours) -> list[AlertChange]:
    """A new session begins: what was acknowledged before it and is still there must be seen again."""
    begun = hours.begun(now)
    changes = []
    for alert in alerts:
        if not alert.acked or alert.state is not AlertState.OPEN or alert.acked_at is None:
            continue
        if begun is None or alert.acked_at >= begun:
            continue
        free = replace(alert, acked=False, level_at=now)
        if alert.said and _speaks(alert):
            who = f"acknowledged by {alert.acked_by} for the session before"
            changes.append(repeated(ChangeKind.UNACKED, now, free, who))
        else:
            changes.append(AlertChange(ChangeKind.UNACKED, now, free))
    return changes


def acknowledged(alert: Alert, by: str, note: str, now: datetime) -> AlertChange:
    """Somebody has seen it: no more reminders, nobody else is called; the alert itself stays as it is."""
    return AlertChange(ChangeKind.ACKED, now, replace(alert, acked=True, acked_at=now, acked_by=by, note=note))


def _last(alert: Alert, hours: Hours) -> datetime:
    """Where an alert that is said again until the open falls silent: at the open, or at the close of a session that was on."""
    edges = (hours.opens_after(alert.opened_at), hours.close_after(alert.opened_at))
    return min((edge for edge in edges if edge is not None), default=alert.opened_at)


def _speaks(alert: Alert) -> bool:
    return alert.state is AlertState.OPEN and alert.settles_at is None and not alert.muted
