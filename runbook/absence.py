"""Is the daemon there? Judged by another process from the ledger's lease alone, told once an incident, and once when it is back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from runbook.day import Lease
from runbook.ports import Message
from runbook.session import INDIA, Session, SessionCalendar

STALE = timedelta(seconds=90)  # the lease is renewed every five
_LEASE = timedelta(seconds=15)  # as the daemon takes it; one that ends sooner was given back
_NEAR = timedelta(minutes=60)  # before an open: until then a daemon that was stopped may stay so


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found. `fault` says why the ledger could not be read; `calendar` is None where there is none."""

    lease: Lease | None
    locked: bool = False  # some process holds the daemon's lock
    calendar: SessionCalendar | None = None
    fault: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return self.calendar.zone if self.calendar else INDIA


@dataclass(frozen=True, slots=True)
class Incident:
    """An absence since the first look that found it. `told` is the session it was last told for, as text; "" untold."""

    since: datetime
    why: str
    told: str = ""

    def dump(self) -> dict[str, str]:
        return {"since": self.since.isoformat(), "why": self.why, "told": self.told}

    @classmethod
    def load(cls, held: object) -> Incident | None:
        """The incident that `dump` wrote; None for what is none, so that a torn file costs one message too many at most."""
        if not isinstance(held, Mapping):
            return None
        row: Mapping[str, Any] = held
        try:
            since = datetime.fromisoformat(str(row["since"]))
        except (KeyError, ValueError):
            return None
        return cls(since, str(row.get("why", "")), str(row.get("told", ""))) if since.tzinfo else None


@dataclass(frozen=True, slots=True)
class Look:
    """What a look came to. `incident` is to be kept; `message` to be sent, and then `sent` to be kept instead."""

    incident: Incident | None
    message: Message | None = None
    sent: Incident | None = None

    @property
    def absent(self) -> bool:
        return self.incident is not None


def look(seen: Seen, held: Incident | None, now: datetime) -> Look:
    """What this look means, given what is `held` of an incident from the looks before."""
    why, near = _missing(seen, now), _near(seen, now)
    if why is None:
        if held is None or not held.told or not alive(seen, now):
            return Look(None)  # a daemon that was stopped, and whose session is over, is not back: it is not due
        was = f"{_clock(held.since, seen.zone)}-{now.astimezone(seen.zone):%H:%M}"
        body = f"was: {held.why}\nseen: its heartbeat is fresh again ({was})"
        return Look(None, Message("[OK] runbook is back", body))
    incident = replace(held, why=why) if held is not None else Incident(now, why)
    label = str(near.date) if near is not None else "silent"
    if incident.told and (near is None or incident.told == label):
        return Look(incident)
    if seen.fault and now - incident.since < STALE:
        return Look(incident)  # an upgrade or a copy may hold the file for a moment
    return Look(
        incident,
        Message(f"[CRIT] runbook is not watching{_since(seen)}", _body(seen, why, near)),
        replace(incident, told=label),
    )


def alive(seen: Seen, now: datetime) -> bool:
    """Whether a heartbeat is fresh. One from ahead of our clock counts: clocks step, and it was written by somebody."""
    return not seen.fault and seen.lease is not None and now - seen.lease.renewed <= STALE and not _released(seen.lease)


def _missing(seen: Seen, now: datetime) -> str | None:
    """Why the daemon is missed; None where it is there, or not due."""
    if alive(seen, now):
        return None
    if seen.fault:
        return f"the ledger cannot be read: {seen.fault}"
    near = _near(seen, now) is not None or seen.calendar is None
    if seen.lease is None:
        return "no daemon has ever run on this ledger" if near else None
    last = _clock(seen.lease.renewed, seen.zone)
    if _released(seen.lease):
        return f"it was stopped at {last}" if near and now - seen.lease.renewed > STALE else None
    state = "its process hangs: it still holds its lock" if seen.locked else "its process is gone"
    return f"no heartbeat since {last} (pid {seen.lease.pid} on {seen.lease.host}); {state}"


def _near(seen: Seen, now: datetime) -> Session | None:
    """The session that is on, or opens within the hour; that of an unknown weekday counts, since it may be one."""
    if seen.calendar is None:
        return None
    today: date = seen.calendar.today(now)
    for session in (seen.calendar.session_at(now), seen.calendar.session_of(today)):
        if session is not None and session.open - _NEAR <= now < session.close:
            return session
    return None


def _released(lease: Lease) -> bool:
    return lease.expires - lease.renewed < _LEASE


def _since(seen: Seen) -> str:
    return f" since {_clock(seen.lease.renewed, seen.zone)}" if seen.lease is not None and not seen.fault else ""


def _body(seen: Seen, why: str, near: Session | None) -> str:
    lines = [f"seen: {why}"]
    if near is not None:
        opens, closes = (edge.astimezone(seen.zone) for edge in (near.open, near.close))
        lines.append(f"session: {near.exchange} {near.date} {opens:%H:%M}-{closes:%H:%M}")
    lines += [
        "done: nothing; this is `runbook watch`, which only looks",
        "do: systemctl status runbook, then systemctl restart runbook; without systemd start `runbook serve` again",
        "no alert of the feed or of a step can come until then",
    ]
    return "\n".join(lines)


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%d %b %H:%M}"
