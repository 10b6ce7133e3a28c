"""What a person says of alerts: seen, not now, tell me again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook.alert import AlertState, Pattern
from runbook.alert.reminding import acknowledged
from runbook.errors import UsageError
from runbook.fault import Unfit
from runbook.spans import span

if TYPE_CHECKING:
    from runbook.adapters.store import Books

LONGEST_CRITICAL = timedelta(hours=2)  # without saying that one means it
LONGEST = timedelta(days=30)
_LISTED = 8


def ack(books: Books, number: int, note: str, actor: str, now: datetime) -> str:
    """Say that alert `number` was seen: no more reminders, nobody else is called. The alert stays until it is over."""
    alert = books.alerts.numbered(number)
    if alert is None or alert.state is AlertState.PENDING:
        raise UsageError(f"there is no alert #{number}", hint=_open_ones(books))
    if alert.state is AlertState.RESOLVED:
        raise UsageError(f"#{number} {alert.title} is over: {alert.reason or 'resolved'}", hint=_open_ones(books))
    if alert.acked and alert.acked_at is not None:
        age = span(max(0.0, (now - alert.acked_at).total_seconds()))
        return f"#{number} {alert.title} was acknowledged {age} ago by {alert.acked_by}"
    books.alerts.apply([acknowledged(alert, actor, " ".join(note.split()), now)], None)
    age = span(max(0.0, (now - alert.opened_at).total_seconds()))
    return f"#{number} {alert.title}: acknowledged after {age}; it stays open until it is over"


def silence(
    books: Books, pattern: str, until: datetime, reason: str, actor: str, now: datetime, *, critical: bool = False
) -> str:
    """Do not tell of what `pattern` matches until then. What may be critical is silenced for 2 h at most unless `critical`."""
    try:
        found = Pattern.parse(pattern)
    except Unfit as exc:
        raise UsageError(str(exc), hint="`runbook alerts --all` shows what there was") from exc
    example = "for example `runbook silence feed.symbol --for 30m --reason 'SBIN is suspended'`"
    length = until - now
    if not timedelta(0) < length <= LONGEST:
        raise UsageError(f"a silence of {length} is none; accepted: more than nothing, 30 days at most", hint=example)
    if not reason.strip():
        raise UsageError("a silence needs a reason", hint=example)
    if length > LONGEST_CRITICAL and found.critical and not critical:
        names = ", ".join(rule.name for rule in found.critical)
        raise UsageError(
            f"{found} may be critical ({names}) and is silenced for 2h at most",
            hint="make it shorter, name a rule that is never critical, or say `--critical`",
        )
    number = books.silences.add(found, until, " ".join(reason.split()), actor, now)
    held = sum(a.state is AlertState.OPEN and found.matches(a) for a in books.alerts.unresolved())
    now_open = f"; {held} open now {'is' if held == 1 else 'are'} shown and not told" if held else ""
    return (
        f"silence {number}: {found} for {span(length.total_seconds())}{now_open}; `runbook unsilence {number}` ends it"
    )


def unsilence(books: Books, number: int, actor: str, now: datetime) -> str:
    """End silence `number`; what is still wrong is told with the daemon's next turn."""
    held = books.silences.numbered(number)
    if held is None or not held.holds(now):
        known = ", ".join(f"{s.number} ({s.pattern})" for s in books.silences.holding(now)[:_LISTED]) or "none"
        what = "there is no silence" if held is None else "over already is silence"
        raise UsageError(f"{what} {number}", hint=f"now there are: {known}")
    books.silences.end(number, actor, now)
    return f"silence {number} of {held.pattern} is over; what is still wrong is told now"


def _open_ones(books: Books) -> str:
    known = [a for a in books.alerts.unresolved() if a.state is AlertState.OPEN]
    return f"open now: {', '.join(f'#{a.number} {a.title}' for a in known[:_LISTED]) or 'none'}"
