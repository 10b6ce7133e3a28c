"""Alerts and silences as a person reads them on a terminal, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.alert import Alert, AlertState, Silence
from runbook.outbox import Row, State
from runbook.report.delivery import alert_title
from runbook.report.layout import clock, plain, wrap
from runbook.spans import span

WIDTH = 100
_WORST = (State.SENT, State.UNKNOWN, State.SENDING, State.QUEUED, State.DEAD, State.MERGED)  # the best that was reached


def told_where(rows: Sequence[Row]) -> dict[str, str]:
    """Channel -> the best that became of a message about the alert there: sent, unknown, queued, dead, merged."""
    found: dict[str, State] = {}
    for row in rows:
        best = found.get(row.channel, row.state)
        found[row.channel] = min(best, row.state, key=_WORST.index)
    return {channel: str(state) for channel, state in sorted(found.items())}


def alerts_json(
    alerts: Sequence[Alert], rows: Mapping[str, Sequence[Row]], zone: ZoneInfo, now: datetime
) -> list[dict[str, Any]]:
    """One object for each: number, rule, fingerprint, severity, title, state, since, age, what, todo, told, level, reminded,
    muted, acked, acked_by, acked_at, note, resolved, reason. `told` is an object: channel -> what became of it.
    """

    def iso(at: datetime | None) -> str | None:
        return at.astimezone(zone).isoformat() if at else None

    return [
        {
            "number": a.number, "rule": a.rule, "fingerprint": a.fingerprint, "severity": str(a.severity),
            "title": alert_title(a), "state": str(a.state), "since": iso(a.opened_at), "age": _age(a, now),
            "what": a.what, "todo": a.todo, "told": told_where(rows.get(a.key, ())), "level": a.level + 1,
            "reminded": a.reminded, "muted": a.muted or None, "acked": a.acked, "acked_by": a.acked_by or None,
            "acked_at": iso(a.acked_at), "note": a.note or None, "resolved": iso(a.resolved_at), "reason": a.reason or None,
        }
        for a in alerts
    ]  # fmt: skip


def render_alerts(
    alerts: Sequence[Alert],
    rows: Mapping[str, Sequence[Row]],
    zone: ZoneInfo,
    now: datetime,
    *,
    everything: bool = False,
) -> str:
    """One paragraph for each, the worst first; with `everything` in the order in which they came."""
    shown = list(alerts) if everything else [a for a in alerts if a.state is AlertState.OPEN]
    if not shown:
        return "no alert" + ("" if everything else " is open")
    if not everything:
        shown.sort(key=lambda a: (-a.severity.rank, a.opened_at))
    lines: list[str] = []
    today = now.astimezone(zone).date()
    for a in shown:
        end = f"-{clock(a.resolved_at, zone, today)}" if a.resolved_at else ""
        when = f"{clock(a.opened_at, zone, today)}{end} ({span(_age(a, now))})"
        state = f" {a.state}:" if a.state is not AlertState.OPEN else ""
        lines += wrap(f"#{a.number} {str(a.severity).upper()}{state} {alert_title(a)}, {when}", WIDTH)
        lines += wrap(f"seen: {a.what}", WIDTH, "     ", "       ")
        if a.state is AlertState.OPEN:
            lines += wrap(f"do: {a.todo}", WIDTH, "     ", "       ")
        told = ", ".join(f"{c} {word}" for c, word in told_where(rows.get(a.key, ())).items())
        said = [f"told: {plain(told) or 'nobody'}"]
        said += [f"reminded {a.reminded} times"] if a.reminded else []
        said += [f"called level {a.level + 1}"] if a.level else []
        said += [plain(a.muted)] if a.muted else []
        if a.acked and a.acked_at is not None:
            note = f": {plain(a.note)}" if a.note else ""
            said.append(f"acknowledged {clock(a.acked_at, zone, today)} by {plain(a.acked_by)}{note}")
        elif a.state is AlertState.OPEN:
            said.append(f"`runbook ack {a.number}`")
        lines += wrap("; ".join(said), WIDTH, "     ", "       ")
    return "\n".join(lines)


def silences_json(silences: Sequence[Silence], zone: ZoneInfo, now: datetime) -> list[dict[str, Any]]:
    """One object for each: number, pattern, since, until, holds, reason, by, ended_by."""
    return [
        {
            "number": s.number, "pattern": str(s.pattern), "since": s.since.astimezone(zone).isoformat(),
            "until": s.until.astimezone(zone).isoformat(), "holds": s.holds(now), "reason": s.reason, "by": s.by,
            "ended_by": s.ended_by or None,
        }
        for s in silences
    ]  # fmt: skip


def render_silences(silences: Sequence[Silence], zone: ZoneInfo, now: datetime) -> str:
    """A line for each."""
    today = now.astimezone(zone).date()
    lines = []
    for s in silences:
        left = span((s.until - now).total_seconds())
        end = f"for {left} more" if s.holds(now) else f"ended by {s.ended_by}" if s.ended_by else "over"
        text = f"{s.number} {s.pattern} until {clock(s.until, zone, today)} ({end}), by {s.by}: {s.reason}"
        lines += wrap(text, WIDTH, "", "    ")
    return "\n".join(lines) or "nothing is silenced"


def _age(alert: Alert, now: datetime) -> float:
    return max(0.0, ((alert.resolved_at or now) - alert.opened_at).total_seconds())
