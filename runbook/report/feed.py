"""The feed of a session out of its changes of mode and its totals: outages, shares of the promised time, a timeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runbook.day import DayFacts, FeedChange, FeedSample
from runbook.feed.table import Mode
from runbook.report.layout import plain
from runbook.report.parts import FeedPart, Outage, Shares, Stretch
from runbook.session import Session

BRIEF = timedelta(seconds=60)
CELLS = 60  # of the timeline: one line of a phone
SAMPLED = timedelta(seconds=150)  # totals come each minute; a longer silence of them means that nobody watched
_NOT_PROMISED = "no ticks are promised"  # how the feed's machine words an OFF in mid-session that is no fault
_BUCKETS = ("websocket", "rest", "blind", "waiting", "still", "unwatched")
# PROBATION stays REST: its ticks have not proved themselves, and REST keeps running.
_SPOKEN = {
    Mode.LIVE: "WebSocket",
    Mode.FALLBACK: "REST",
    Mode.PROBATION: "REST",
    Mode.BLIND: "BLIND",
    Mode.SUSPECT: "silent",
    Mode.ARMED: "silent",
    Mode.MARKET_SILENT: "market still",
    Mode.OFF: "unwatched",
}
_MARKS = {
    "WebSocket": "=", "REST": "r", "BLIND": "X", "silent": "w", "market still": "m", "unwatched": "?", "not promised": "-",
}  # fmt: skip
_LEGEND = "= WebSocket, r REST, X blind, w silent, ? not watched, - none promised, . not yet"
_RARE = "m market still, "


def legend(bar: str) -> str:
    """What the marks of a timeline mean; a mark that is hardly ever seen is explained where it is."""
    before, after = _LEGEND.split("?", 1)
    return f"{before}{_RARE if 'm' in bar else ''}?{after}"


def feed_part(facts: DayFacts, until: datetime | None, instruments: Iterable[str], *, over: bool) -> FeedPart:
    """All that is known of the feed; `until` is the newest thing the ledger holds of this session."""
    session = facts.day.session
    changes = sorted(facts.changes, key=lambda c: c.at)
    samples = sorted(facts.samples, key=lambda s: s.at)
    end = session.close if session and over else until
    stretches = _stretches(changes, end)
    totals = _add_up(samples)
    seen = _evidence(facts, changes, samples)
    newest = samples[-1].data.get("mode") if samples else None
    names = list(dict.fromkeys([name.rpartition(":")[2] for name in instruments] + list(totals.ticks)))
    return FeedPart(
        mode=str(changes[-1].now) if changes else plain(newest) if newest else None,
        shares=_shares(session, totals, stretches, samples, over=over) if session and totals.seconds else None,
        outages=_outages(changes, stretches) if changes or samples else None,
        longest_gap=totals.longest_gap,
        ticks=tuple((plain(name), totals.ticks.get(name)) for name in names),
        counts=tuple(sorted(totals.counts.items())),
        restarts=totals.restarts,
        not_recorded=totals.not_recorded,
        bar=_bar(session, stretches, seen, end) if session else "",
        until=max(seen, default=None),
    )


# -- totals -----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Totals:
    """The counters of the day; a daemon that starts again counts from nothing, so its runs are added up."""

    seconds: dict[str, float]
    counts: dict[str, int]
    ticks: dict[str, int]
    longest_gap: float | None = None
    not_recorded: int | None = None
    restarts: int = 0


def _add_up(samples: Sequence[FeedSample]) -> _Totals:
    totals = _Totals({}, {}, {})
    for n, sample in enumerate(samples):
        following = samples[n + 1].data if n + 1 < len(samples) else None
        if (gap := _number(sample.data.get("longest_gap"))) is not None:
            totals.longest_gap = max(totals.longest_gap or 0.0, gap)
        if following is not None and not _fell_back(sample.data, following):
            continue
        totals.restarts += following is not None
        for name, value in _numbers(sample.data.get("seconds")).items():
            totals.seconds[name] = totals.seconds.get(name, 0.0) + value
        for held, key in ((totals.counts, "counts"), (totals.ticks, "ticks")):
            for name, value in _numbers(sample.data.get(key)).items():
                held[name] = held.get(name, 0) + int(value)
        if (lost := _number(sample.data.get("not_recorded"))) is not None:
            totals.not_recorded = (totals.not_recorded or 0) + int(lost)
    return totals


def _fell_back(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """A counter is smaller than it was. `waiting` may take back what `websocket` had, so the seconds count as a sum."""
    was, now = _numbers(before.get("seconds")), _numbers(after.get("seconds"))
    if now and sum(was.values()) > sum(now.values()) + 1:
        return True
    for key in ("ticks", "counts"):
        was, now = _numbers(before.get(key)), _numbers(after.get(key))
        if any(now.get(name, value) < value for name, value in was.items()):
            return True
    return False


def _shares(
    session: Session, totals: _Totals, stretches: Sequence[Stretch], samples: Sequence[FeedSample], *, over: bool
) -> Shares:
    end = session.close if over else max(session.open, samples[-1].at)
    pauses = [s for s in stretches if s.mode == "not promised"]
    promised = sum((b - a).total_seconds() for a, b in _promised(session) if a < end for b in (min(b, end),))
    for pause in pauses:
        for a, b in _promised(session):
            promised -= max(0.0, (min(b, pause.end or end, end) - max(a, pause.start)).total_seconds())
    booked = {name: totals.seconds.get(name, 0.0) for name in _BUCKETS}
    missing = promised - sum(booked.values())
    if missing < 5:  # a session is sampled once a minute, by a clock that is not the exchange's
        missing = 0.0
    return Shares(promised=max(promised, sum(booked.values())), missing=missing, **booked)


def _promised(session: Session) -> list[tuple[datetime, datetime]]:
    """The stretches that promise ticks: the trading intervals, without the phases of another kind within them."""
    edges = {edge for pair in session.intervals for edge in pair}
    edges |= {edge for phase in session.phases for edge in (phase.start, phase.end)}
    pairs = zip(sorted(edges), sorted(edges)[1:], strict=False)
    return [(a, b) for a, b in pairs if session.phase_at(a).trading]


# -- changes ----------------------------------------------------------------------------------------------------------


def _stretches(changes: Sequence[FeedChange], end: datetime | None) -> list[Stretch]:
    out = []
    for n, change in enumerate(changes):
        until = changes[n + 1].at if n + 1 < len(changes) else None if end is None else max(end, change.at)
        out.append(Stretch(_spoken(change), change.at, until))
    return out


def _spoken(change: FeedChange) -> str:
    if change.now == Mode.OFF and change.reason.startswith(_NOT_PROMISED):
        return "not promised"
    try:
        return _SPOKEN[Mode(change.now)]
    except ValueError:  # a mode of another version
        return "unwatched"


def _outages(changes: Sequence[FeedChange], stretches: Sequence[Stretch]) -> tuple[Outage, ...]:
    """From each SUSPECT, or whatever stands for it in a ledger that begins later, to LIVE or OFF."""
    found: list[Outage] = []
    held: list[int] = []
    for n, change in enumerate(changes):
        if change.now in (Mode.SUSPECT, Mode.FALLBACK, Mode.PROBATION, Mode.BLIND, Mode.MARKET_SILENT):
            held.append(n)
        elif held and change.now == Mode.LIVE and _brief(changes, held, change):
            held = []
        elif held and change.now in (Mode.LIVE, Mode.OFF):
            found.append(_outage([changes[i] for i in held], [stretches[i] for i in held], change))
            held = []
    if held:
        found.append(_outage([changes[i] for i in held], [stretches[i] for i in held], None))
    return tuple(found)


def _brief(changes: Sequence[FeedChange], held: Sequence[int], back: FeedChange) -> bool:
    """A doubt that ended by itself before the guide would have warned: its seconds are booked, and it is no outage."""
    return all(changes[n].now == Mode.SUSPECT for n in held) and back.at - changes[held[0]].at < BRIEF


def _outage(changes: Sequence[FeedChange], stretches: Sequence[Stretch], over: FeedChange | None) -> Outage:
    fall = next((c for c in changes if c.now in (Mode.FALLBACK, Mode.BLIND)), None)
    first = changes[0]
    silence = _number(first.evidence.get("silence"))
    merged: list[Stretch] = []
    for stretch in stretches:
        if merged and merged[-1].mode == stretch.mode:
            merged[-1] = Stretch(stretch.mode, merged[-1].start, stretch.end)
        else:
            merged.append(stretch)
    if over is None:
        merged[-1] = Stretch(merged[-1].mode, merged[-1].start, None)
    return Outage(
        silent_from=None if silence is None else first.at - timedelta(seconds=silence),
        doubted=first.at,
        fell=fall.at if fall else None,
        end=over.at if over else None,
        back=over is not None and over.now == Mode.LIVE,
        cause=plain((fall or first).reason),
        hint=plain(next((c.hint for c in reversed(changes) if c.hint), "")),
        stretches=tuple(merged),
    )


# -- the timeline -----------------------------------------------------------------------------------------------------


def _evidence(facts: DayFacts, changes: Sequence[FeedChange], samples: Sequence[FeedSample]) -> list[datetime]:
    """Every instant at which somebody demonstrably watched."""
    looks = [(entry.key.job, t.started) for entry in facts.entries for t in entry.tries if "source" in t.facts]
    watching = {job for job, _ in looks}
    checks = [at for _, at in looks]
    checks += [at for tally in facts.rolled if tally.job in watching for at in tally.began()]
    return sorted([c.at for c in changes] + [s.at for s in samples] + checks)


def _bar(session: Session, stretches: Sequence[Stretch], seen: Sequence[datetime], end: datetime | None) -> str:
    """One character to a sixtieth of the session. The worst of a cell wins: three minutes on REST must not vanish."""
    size = (session.close - session.open) / CELLS
    watched = _watched(stretches, seen)
    out = ""
    for n in range(CELLS):
        a, b = session.open + n * size, session.open + (n + 1) * size
        if end is None or end <= a:
            out += "."
            continue
        b = min(b, end)
        if not any(x < b and a < y for x, y in _promised(session)):
            out += "-"
            continue
        spent: dict[str, float] = {}
        for mode, start, stop in watched:
            if (held := (min(stop, b) - max(start, a)).total_seconds()) > 0:
                spent[mode] = spent.get(mode, 0.0) + held
        out += _cell(spent, (b - a).total_seconds())
    return out


def _cell(spent: Mapping[str, float], length: float) -> str:
    for mode in ("BLIND", "REST"):
        if spent.get(mode, 0.0) > 0:
            return _MARKS[mode]
    unknown = length - sum(spent.values()) + spent.get("unwatched", 0.0)
    if unknown > length / 4:
        return "?"
    for mode in ("silent", "market still"):
        if spent.get(mode, 0.0) > length / 4:
            return _MARKS[mode]
    known = {mode: held for mode, held in spent.items() if mode != "unwatched"}
    return _MARKS[max(known, key=lambda mode: known[mode])] if known else "?"


def _watched(stretches: Sequence[Stretch], seen: Sequence[datetime]) -> list[tuple[str, datetime, datetime]]:
    """The stretches as far as samples or checks bear them out: a daemon that died leaves LIVE as its last word."""
    alive: list[tuple[datetime, datetime]] = []
    for at in seen:
        if alive and at - alive[-1][1] <= SAMPLED:
            alive[-1] = (alive[-1][0], at)
        else:
            alive.append((at, at))
    out = []
    for stretch in stretches:
        for a, b in alive:
            start, stop = max(a, stretch.start), min(b, stretch.end or b)
            if start < stop:
                out.append((stretch.mode, start, stop))
    return out


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return float(value)


def _numbers(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): number for name, held in value.items() if (number := _number(held)) is not None}
