"""How an alert reads on a phone: one line that says it all, then what was seen, what was done, what to do."""

from __future__ import annotations

import re
import textwrap
from datetime import datetime
from zoneinfo import ZoneInfo

from runbook.alert.lifecycle import FLAP_BUDGET, STABLE
from runbook.alert.rules import RULES, Severity
from runbook.alert.state import Alert, AlertChange, ChangeKind, Notice
from runbook.ports import Message
from runbook.spans import span

COLUMNS = 60  # what a phone shows without wrapping
_MARK = {Severity.INFO: "[INFO]", Severity.WARNING: "[WARN]", Severity.CRITICAL: "[CRIT]"}


def message_for(change: AlertChange, zone: ZoneInfo, dashboard_url: str = "", positions: str | None = None) -> Message:
    """The message of a change, as plain text. `positions` None: they are not known, and a feed message says so."""
    if isinstance(change.subject, Notice):
        return Message(change.subject.title, _body(change.subject.lines))
    alert = change.subject
    lines = list(_over(alert, zone) if change.kind is ChangeKind.RESOLVED else _open(change, alert))
    if RULES[alert.rule].positions:
        lines.append(f"open positions: {'unknown' if positions is None else positions or 'none'}")
    if alert.number is not None and change.kind is not ChangeKind.RESOLVED:
        lines.append(f"ack {alert.number}")
    lines.append(dashboard_url)
    return Message(_title(change, alert, zone), _body(tuple(lines)))


def delayed_line(alert: Alert, zone: ZoneInfo) -> str:
    """One line for an incident that was over before anybody was told of it."""
    return f"{_drilled(alert)}{_span(alert, zone)} {alert.words(RULES[alert.peak].title)}, recovered (delayed notice)"


def _title(change: AlertChange, alert: Alert, zone: ZoneInfo) -> str:
    named = dict(alert.labels).get("feed")
    tail = (f" ({named})" if named else "") + (f" #{alert.number}" if alert.number is not None else "")
    if change.kind is ChangeKind.RESOLVED:
        return (
            f"{_drilled(alert)}[OK] {alert.words(RULES[alert.peak].back)} at {_clock(change.at, change.at, zone)}{tail}"
        )
    flap = ", flapping" if alert.flapping else ""
    if change.why:
        flap += f", for {span(max(0.0, (change.at - alert.opened_at).total_seconds()))} now,"
    title = alert.words(RULES[alert.rule].title)
    since = _clock(alert.opened_at, change.at, zone)
    return f"{_drilled(alert)}{_MARK[alert.severity]} {title}{flap} since {since}{tail}"


def _drilled(alert: Alert) -> str:
    return "[DRILL] " * alert.drill


def _open(change: AlertChange, alert: Alert) -> tuple[str, ...]:
    if change.why:
        return (change.why, f"seen: {alert.what}", *_steps(alert.todo))
    if change.kind is not ChangeKind.FLAPPING:
        return (f"seen: {alert.what}", f"done: {alert.done}", f"do: {alert.todo}")
    end = "in the report" if alert.told >= FLAP_BUDGET - 1 else "told"
    quiet = f"no message per change; its end ({STABLE.seconds // 60} min stable) is {end}"
    return (f"seen: {alert.what}; again within 15 min", f"done: {alert.done}; {quiet}", f"do: {alert.todo}")


def _steps(todo: str) -> tuple[str, ...]:
    """What to do, one line to a numbered step."""
    steps = [step.strip().rstrip(";") for step in re.split(r"(?=\b\d\. )", todo) if step.strip()]
    return (f"do: {todo}",) if len(steps) < 2 else ("do:", *steps)


def _over(alert: Alert, zone: ZoneInfo) -> tuple[str, ...]:
    return (
        f"was: {alert.words(RULES[alert.peak].title)} {_span(alert, zone)}",
        f"now: {alert.reason}" * bool(alert.reason),
    )


def _span(alert: Alert, zone: ZoneInfo) -> str:
    end = alert.resolved_at or alert.opened_at
    return f"{_clock(alert.opened_at, end, zone)}-{end.astimezone(zone):%H:%M}"


def _clock(at: datetime, now: datetime, zone: ZoneInfo) -> str:
    """The time of day at the exchange, with the date when it is not today's."""
    local = at.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"{local:%d %b %H:%M}"


def _body(lines: tuple[str, ...]) -> str:
    wrapped = [
        textwrap.wrap(line, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for given in lines
        for line in given.splitlines()
    ]
    return "\n".join("\n".join(part) for part in wrapped if part)
