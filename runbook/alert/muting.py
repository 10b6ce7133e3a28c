"""Between deciding and telling: what is a consequence of something told, or silenced, is stored and told to nobody yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from runbook.alert.inhibition import inhibitor, settled_at
from runbook.alert.rules import RULES
from runbook.alert.silence import Silence, silencer
from runbook.alert.state import Alert, AlertChange, AlertState, ChangeKind, spoken, worse


def mute(
    changes: Sequence[AlertChange], alerts: Sequence[Alert], silences: Sequence[Silence], now: datetime
) -> list[AlertChange]:
    """`changes` as they may be told. `alerts` are those that `decide` was given."""
    newest = {a.key: a for a in alerts}
    out = []
    for given in changes:
        change = given
        if (alert := change.alert) is not None:
            before = newest.get(alert.key)
            others = [a for a in newest.values() if a.key != alert.key]
            if change.tell and (why := _reason(before or alert, alert, others, silences, now)):
                change = _untold(change, alert, before, why)
            assert change.alert is not None
            newest[alert.key] = change.alert
        out.append(change)
    return out


def release(alerts: Sequence[Alert], silences: Sequence[Silence], now: datetime) -> list[AlertChange]:
    """What was kept back and may be told now, since it is still there and nothing explains or silences it any more."""
    changes = []
    for alert in alerts:
        if not alert.muted or alert.state is not AlertState.OPEN or alert.settles_at is not None or alert.mending:
            continue
        others = [a for a in alerts if a.key != alert.key]
        if _why(alert, others, silences, now):
            continue
        free = replace(alert, muted="")
        tell = worse(RULES[alert.rule], alert.said)
        changes.append(spoken(ChangeKind.RELEASED, now, free, tell))
    return changes


def release_at(alerts: Sequence[Alert], silences: Sequence[Silence], now: datetime) -> datetime | None:
    """When to look at what is kept back again."""
    kept = [a for a in alerts if a.muted and a.state is AlertState.OPEN]
    ends = [s.until for a in kept for s in silences if s.holds(now) and s.pattern.matches(a)]
    ends += [at for a in kept if (at := settled_at(a, alerts)) is not None]
    return min((at for at in ends if at > now), default=None)


def _reason(before: Alert, alert: Alert, others: Sequence[Alert], silences: Sequence[Silence], now: datetime) -> str:
    """Why this word is not told, "" when it is."""
    if alert.state is not AlertState.RESOLVED:
        return _why(replace(alert, muted=before.muted), others, silences, now)
    if not before.said:
        return before.muted  # nobody heard of it, so nobody need hear that it is over
    return silenced if (silenced := _silence(alert, silences, now)) else ""


def _why(alert: Alert, others: Sequence[Alert], silences: Sequence[Silence], now: datetime) -> str:
    if (parent := inhibitor(alert, others, now)) is not None:
        number = f" #{parent.number}" if parent.number is not None else ""
        return f"inhibited: it follows from {parent.title}{number}"
    return _silence(alert, silences, now)


def _silence(alert: Alert, silences: Sequence[Silence], now: datetime) -> str:
    held = silencer(alert, silences, now)
    return f"silenced by {held.by}: {held.reason}" if held is not None else ""


def _untold(change: AlertChange, alert: Alert, before: Alert | None, why: str) -> AlertChange:
    """The same step without its message, and without the message having been counted."""
    if before is None:  # a flap inherits the words of the alert before it, but this one was never told
        kept = replace(alert, said="", told=alert.told - 1, seq=alert.seq - 1, told_at=None, level_at=None, muted=why)
    elif change.kind in (ChangeKind.REMINDED, ChangeKind.CLIMBED):
        kept = replace(before, muted=why)
    else:
        kept = replace(
            alert, said=before.said, told=before.told, seq=before.seq, told_at=before.told_at,
            level_at=before.level_at, muted=why,
        )  # fmt: skip
    return replace(change, subject=kept, tell=False)
