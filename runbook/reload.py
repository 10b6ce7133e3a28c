"""A reload: what of a changed configuration may be put in force while the daemon runs, and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from runbook.config import Config
from runbook.errors import ReloadRefused
from runbook.session import Session, SessionCalendar

# What is made anew around the ledger, while the feed, its socket and the relay go on. All else needs a restart, which is short
# and says what it does; a key that is not named here is never half in force.
LIVE = frozenset({"jobs", "asks", "commands", "remedies", "alerts", "notify", "watch", "ticks", "backup", "retention"})
_BEFORE = timedelta(minutes=10)


def consider(old: Config, new: Config, calendar: SessionCalendar, now: datetime, *, at_once: bool) -> bool:
    """Whether `new` changes anything; raises ReloadRefused where it may not be put in force (now, or at all)."""
    if stuck := frozen(old, new):
        raise ReloadRefused(
            f"restart needed for: {', '.join(stuck)}",
            hint="stop `runbook serve` and start it again (systemctl restart runbook); until then nothing of the file is in force",
        )
    if old.hash == new.hash and set(old.secrets.values()) == set(new.secrets.values()):
        return False
    if not at_once and (session := guarded(calendar, now)) is not None:
        opens, closes = (edge.astimezone(calendar.zone) for edge in (session.open - _BEFORE, session.close))
        raise ReloadRefused(
            f"not between {opens:%H:%M} and {closes:%H:%M}: {session.exchange} {session.date}",
            hint="wait for the close, or `runbook reload --now`",
        )
    return True


def frozen(old: Config, new: Config) -> list[str]:
    """The keys that differ and cannot be changed while the daemon runs, dotted as in the file."""
    was, will = old.merged(), new.merged()
    found = [key for part in sorted({*was, *will} - LIVE) for key in _differs(was.get(part), will.get(part), part)]
    if old.secrets.api_key != new.secrets.api_key:
        found.append("openalgo.api_key")
    return list(dict.fromkeys(found))


def guarded(calendar: SessionCalendar, now: datetime) -> Session | None:
    """The session in whose time nothing is changed without being told to: from ten minutes before its open to its close."""
    for session in (calendar.session_at(now), calendar.session_of(calendar.today(now))):
        if session is not None and session.open - _BEFORE <= now <= session.close:
            return session
    return None


def _differs(was: Any, will: Any, path: str) -> Iterator[str]:
    if isinstance(was, Mapping) and isinstance(will, Mapping):
        for key in sorted({*was, *will}):
            yield from _differs(was.get(key), will.get(key), f"{path}.{key}")
    elif was != will:
        yield path
