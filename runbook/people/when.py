"""Until when, as people write it: 30m, 15:30, 2026-11-27."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from runbook.errors import UsageError
from runbook.fault import Unfit
from runbook.trigger import parse_duration

_ACCEPTED = "HH:MM of today, YYYY-MM-DD for all of that day, or a time from now with h, m or s"
_FURTHEST = timedelta(days=400)


def parse_until(text: str, now: datetime, zone: ZoneInfo) -> datetime:
    """`15:30` (today at the exchange), `2026-11-27` (through that day), `30m`, `1h30m`; raises UsageError.

    The answer is in `zone` and lies ahead of `now`.
    """
    local = now.astimezone(zone)
    compact = text.strip()
    try:
        until = datetime.combine(date.fromisoformat(compact) + timedelta(days=1), time(), zone)
    except (ValueError, OverflowError):
        try:
            until = datetime.combine(local.date(), time.fromisoformat(compact if ":" in compact else "none"), zone)
        except ValueError:
            try:
                until = local + parse_duration(compact)
            except (Unfit, OverflowError) as exc:
                raise UsageError(
                    f"{text!r} is no time to wait for; accepted: {_ACCEPTED}, for example 30m or 15:30"
                ) from exc
    if until <= now:
        raise UsageError(
            f"{text!r} is over at {local:%Y-%m-%d %H:%M}; accepted: {_ACCEPTED}, for example 30m or {local.date() + timedelta(days=1)}"
        )
    if until - now > _FURTHEST:
        raise UsageError(f"{text!r} is more than {_FURTHEST.days} days away; accepted: {_ACCEPTED}, for example 2h")
    return until
