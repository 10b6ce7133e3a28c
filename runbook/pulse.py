"""The pulse: what the daemon says of itself each second, for the processes beside it. Plain values, no secret.

The ledger keeps a sample a minute and the changes of mode; the pulse is one small file that is written anew each second and
says how things stand between them. Its age is its worth: an old one is no news, and says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runbook.bot import Judged
from runbook.day import FeedChange
from runbook.feed.state import State
from runbook.feed.verdict import Verdict
from runbook.feed.view import view
from runbook.session import PhaseName, Session

VERSION = 1
FRESH = 5.0  # seconds: an older pulse says nothing of now
_OVER = 10.0  # seconds that a rate is taken over


class Rates:
    """Ticks a second by symbol, over the last ten seconds of the clock it is fed with."""

    def __init__(self) -> None:
        self._held: deque[tuple[float, dict[str, int]]] = deque()

    def take(self, at: float, ticks: Mapping[str, int]) -> dict[str, float]:
        """The rates at `at`, given the ticks counted so far; a count that has fallen (a new session) begins anew."""
        if self._held and (at < self._held[-1][0] or any(ticks.get(k, 0) < n for k, n in self._held[-1][1].items())):
            self._held.clear()
        self._held.append((at, dict(ticks)))
        while len(self._held) > 2 and at - self._held[1][0] >= _OVER:
            self._held.popleft()
        then, before = self._held[0]
        passed = at - then
        return {name: (n - before.get(name, 0)) / passed if passed > 0 else 0.0 for name, n in ticks.items()}


@dataclass(frozen=True, slots=True)
class Word:
    """What the daemon knows at one instant; `at` is the monotonic time of its clock, `written` the host's wall time."""

    written: datetime
    now: datetime
    at: float
    pid: int
    mode: str
    running: bool
    state: State | None
    session: Session | None
    rates: Mapping[str, float] = field(default_factory=dict)
    last: FeedChange | None = None
    calls_max: int = 0
    bot: Judged | None = None
    verdict: Verdict | None = None
    log: str | None = None


def compose(word: Word) -> dict[str, Any]:
    """The pulse as JSON values; ages and durations in seconds, rates in ticks a second, times ISO 8601."""
    phase = word.session.phase_at(word.now) if word.session else PhaseName.SHUT
    return {
        "version": VERSION,
        "written": word.written.isoformat(),
        "now": word.now.isoformat(),
        "pid": word.pid,
        "mode": word.mode,
        "session": word.session.date.isoformat() if word.session else None,
        "zone": str(word.session.zone) if word.session else "Asia/Kolkata",
        "phase": str(phase),
        "feed": _feed(word),
        "bot": {"health": str(word.bot.health), "reason": word.bot.reason, "action": word.bot.action} if word.bot else None,
        "verdict": [
            {"hop": str(r.hop), "health": str(r.health), "evidence": r.evidence, "action": r.action} for r in word.verdict.rungs
        ]
        if word.verdict
        else None,
        "log": word.log,
    }  # fmt: skip


def _feed(word: Word) -> dict[str, Any]:
    state = word.state
    if state is None:
        return {"running": word.running, "mode": "OFF"}
    seen = view(state, word.at)
    link, last = state.link, word.last
    return {
        "running": word.running,
        "mode": str(seen.mode),
        "mode_for": round(seen.mode_for, 1),
        "source": str(seen.source) if seen.source else None,
        "evaluated_age": None if state.evaluated_at is None else round(word.at - state.evaluated_at, 1),
        "link": str(seen.link),
        "generation": seen.generation,
        "subscribed": None if link.subscribed_at is None else len(state.watched) - len(link.refused),
        "refused": [i.symbol for i in link.refused],
        "fault": link.fault.reason if link.fault else None,
        "hint": (link.fault.hint if link.fault else None) or None,
        "fault_refused": bool(link.fault and link.fault.refused),
        "rate": round(sum(word.rates.values()), 2),
        "ticks": seen.ticks,
        "replays": seen.replays,
        "outage": seen.outage,
        "outages": seen.outages,
        "reconnects": seen.counts.reconnects,
        "poll_interval": seen.poll_interval,
        "polls": seen.counts.polls,
        "calls_left": seen.calls_left,
        "calls_max": word.calls_max,
        "silence": round(seen.silence, 1),
        "longest_gap": round(seen.longest_gap, 1),
        "last": {"at": last.at.isoformat(), "was": last.was, "now": last.now, "reason": last.reason} if last else None,
        "symbols": {
            v.instrument.symbol: {
                "exchange": v.instrument.exchange, "ticks": v.ticks, "rate": round(word.rates.get(v.instrument.symbol, 0.0), 2),
                "ws": v.ws_ltp, "ws_age": _tenth(v.ws_age), "ltt": v.ws_ltt, "rest": v.rest_ltp, "rest_age": _tenth(v.rest_age),
                "rest_unchanged": _tenth(v.rest_unchanged), "rest_fault": v.rest_fault, "late": v.instrument in state.late,
            }
            for v in seen.instruments
        },
    }  # fmt: skip


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


@dataclass(frozen=True, slots=True)
class Pulse:
    """A pulse as another process read it, and how old it was then (seconds of the host)."""

    age: float
    told: Mapping[str, Any]

    @property
    def fresh(self) -> bool:
        return self.age <= FRESH

    @property
    def feed(self) -> Mapping[str, Any]:
        found = self.told.get("feed")
        return found if isinstance(found, Mapping) else {}

    @property
    def symbols(self) -> Mapping[str, Mapping[str, Any]]:
        found = self.feed.get("symbols")
        return found if isinstance(found, Mapping) else {}

    @property
    def zone(self) -> str:
        return str(self.told.get("zone") or "Asia/Kolkata")


def heard(told: object, now: datetime) -> Pulse | None:
    """A pulse from what a file held; None for what is none, or of a version we do not know. A stamp ahead of us is age 0."""
    if not isinstance(told, Mapping) or told.get("version") != VERSION:
        return None
    try:
        written = datetime.fromisoformat(str(told.get("written")))
    except ValueError:
        return None
    if written.tzinfo is None:
        return None
    return Pulse(max(0.0, (now - written).total_seconds()), told)
