"""The status for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from runbook.remedy import words
from runbook.report.asked import ask_words, pause_words
from runbook.report.layout import WIDTH, clock, cut, line, plain, plural, short_day, table, wrap
from runbook.report.parts import Step
from runbook.report.steps import ASKED
from runbook.session import DayStatus, PhaseName, Session
from runbook.spans import ago, ahead, took
from runbook.status.facts import BAD, StatusFacts, instant
from runbook.status.reasons import reasons

_RED, _AMBER, _OK, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"


def render_status(facts: StatusFacts, *, colour: bool = False) -> str:
    """The status for a terminal, at most 100 columns; complete without colour."""
    out = [
        *line(*_headline(facts)),
        *_state(facts, colour=colour),
        *_daemon(facts),
        *_prices(facts),
        *_bot(facts),
        *_remedies(facts),
        *_people(facts),
        "",
    ]
    rows = facts.steps
    if facts.day is not None and facts.day.day.date != facts.today and rows:
        out.append(f"the last session, {short_day(facts.day.day.date)}:")
    if rows:
        out += _table(facts, rows)
    else:
        out.append("  no step in the ledger")
    out += ["", *wrap(_next(facts), WIDTH, "next: "), *wrap(_known(facts), WIDTH, "calendar: ")]
    for note in facts.notes:
        out += wrap(str(note), WIDTH, "note: ")
    return "\n".join(out)


def _headline(facts: StatusFacts) -> tuple[str, ...]:
    now = facts.now.astimezone(facts.calendar.zone)
    mode = f"mode {plain(facts.mode)}" if facts.mode else ""
    return f"{short_day(now.date())} {now:%Y %H:%M %Z}", f"{facts.calendar.exchange} {exchange_words(facts)}", mode


def exchange_words(facts: StatusFacts) -> str:
    """`open since 09:15, closes 15:30 (in 5h26m)`, `opens 09:15 (in 45m00s)`, `closed since 15:30`, `closed today: ...`."""
    session, now, zone = facts.session, facts.now, facts.calendar.zone
    if session is None:
        day = facts.calendar.day(facts.today)
        return f"{'unknown' if day.status is DayStatus.UNKNOWN else 'closed'} today: {plain(day.reason)}"
    if now < session.open:
        return f"opens {clock(session.open, zone)} ({ahead((session.open - now).total_seconds())})"
    if now >= session.close:
        return f"closed since {clock(session.close, zone)}"
    resting = next(
        (start for _, start in _breaks(session) if session.phase_at(now) is PhaseName.BREAK and start > now), None
    )
    if resting is not None:
        return f"in a break until {clock(resting, zone)}, closes {clock(session.close, zone)}"
    left = ahead((session.close - now).total_seconds())
    said = f"open since {clock(session.open, zone)}, closes {clock(session.close, zone)} ({left})"
    return said + ("; of index and shares no tick is promised any more" if session.phase_at(now).alone else "")


def _breaks(session: Session) -> list[tuple[datetime, datetime]]:
    pairs = session.intervals
    return [(before[1], after[0]) for before, after in pairwise(pairs)]


def _state(facts: StatusFacts, *, colour: bool) -> list[str]:
    found = reasons(facts)
    word = "OK" if not found else "ATTENTION" if facts.alive else "NO DAEMON"
    said = "; ".join(found) if found else _fine(facts)
    lines = wrap(said, WIDTH, f"{word}  ")
    if colour:
        paint = _OK if not found else _AMBER if facts.alive else _RED
        lines[0] = f"{paint}{word}{_PLAIN}{lines[0][len(word) :]}"
    return lines


def _fine(facts: StatusFacts) -> str:
    feed = facts.feed
    mode = feed.get("mode")
    if facts.session is not None and mode == "LIVE":
        return "feed on the WebSocket; no alert; every message delivered"
    return "no alert; every message delivered"


def _daemon(facts: StatusFacts) -> list[str]:
    lease = facts.lease
    if lease is None:
        return ["daemon none"]
    up = f"up {facts.since(lease.since)}" if facts.alive else f"up since {short_day(lease.since.date())}, GONE"
    heard = ago((facts.now - lease.renewed).total_seconds())
    config = f", config {plain(lease.data['config'])}" if lease.data.get("config") else ""
    channels = _channels(lease.data.get("channels")) + _outside(facts)
    said = (
        f"daemon pid {lease.pid} on {plain(lease.host)} {up}, heartbeat {heard}, epoch {lease.epoch}{config}{channels}"
    )
    return wrap(said, WIDTH, "", "  ")


def _outside(facts: StatusFacts) -> str:
    """When the dead-man's switch heard us last, where there is one."""
    held = facts.pings.get("ping")
    if not isinstance(held, Mapping):
        return ""
    heard = instant(held.get("heard"))
    said = f", ping {ago((facts.now - heard).total_seconds())}" if heard else ", ping never heard"
    return said + (f" ({plain(held['fault'])})" if held.get("fault") else "")


def _channels(given: object) -> str:
    if isinstance(given, Mapping):
        said = ", ".join(f"{plain(name)} {plain(held)}" for name, held in given.items())
    elif isinstance(given, list | tuple):
        said = ", ".join(plain(name) for name in given)
    else:
        return ", channels no data"
    return f", channels {said or 'none'}"


def _prices(facts: StatusFacts) -> list[str]:
    """The last price of each symbol with its source and age: the guide's line, `NIFTY 26049.9 [WEBSOCKET]`."""
    if not facts.alive:
        return []  # what a dead daemon said last is no price
    feed = facts.feed
    symbols = feed.get("symbols")
    if not isinstance(symbols, Mapping) or not symbols:
        return []
    source = plain(feed.get("source") or "")
    session = facts.session
    if not source and (session is None or not session.phase_at(facts.now).trading):
        return []  # none is promised, so none is missed
    said = ", ".join(f"{plain(name)} {_price(held, source)}" for name, held in symbols.items())
    return wrap(f"{said} [{source or 'no source that can be trusted'}]", WIDTH, "prices ")


def _price(held: object, source: str) -> str:
    if isinstance(held, Mapping):
        side = "rest" if source.startswith("REST") else "ws"
        price, age = held.get(side, held.get("ltp")), held.get(f"{side}_age", held.get("age"))
    else:
        price, age = held, None
    if isinstance(price, bool) or not isinstance(price, int | float) or not source:
        return "no price"
    return f"{price:.10g}" + (f" ({ago(age)})" if isinstance(age, int | float) and age >= 1 else "")


def _bot(facts: StatusFacts) -> list[str]:
    """What the daemon last knew of the bot; nothing where none is declared, or nobody lives to know."""
    said = facts.lease.data.get("bot") if facts.lease is not None and facts.alive else None
    if not isinstance(said, Mapping):
        return []
    words = {"ok": "", "broken": "", "unknown": "unknown: ", "not_due": ""}
    return wrap(words.get(str(said.get("health")), "") + plain(said.get("reason") or "no data"), WIDTH, "bot    ")


def _remedies(facts: StatusFacts) -> list[str]:
    """What runs against an alert now, waits or asks; and what ran today."""
    said = facts.lease.data.get("remedies") if facts.lease is not None and facts.alive else None
    now = [f"{plain(name)} {plain(held)}" for name, held in said.items()] if isinstance(said, Mapping) else []
    zone = facts.calendar.zone
    ran = [f"{one.name} at {clock(one.started, zone)}: {words(one)}" for one in facts.day.actions] if facts.day else []
    return [part for text in (*ran, *now) for part in wrap(text, WIDTH, "remedy ")]


def _people(facts: StatusFacts) -> list[str]:
    """What is asked, and what is held back."""
    zone, out = facts.calendar.zone, []
    for ask in facts.asks:
        out += wrap(f"#{ask.number} {ask.name}: {ask.question} {ask_words(ask, zone)}", WIDTH, "asked  ")
    for pause in facts.pauses:
        out += wrap(pause_words(pause, zone, facts.now), WIDTH, "paused ")
    return out


def _table(facts: StatusFacts, rows: Sequence[Step]) -> list[str]:
    head = ("STEP", "PLANNED", "RAN", "TOOK", "STATE", "EVIDENCE")
    return table(head, [_row(facts, step) for step in rows])


def _row(facts: StatusFacts, step: Step) -> list[str]:
    zone, day = facts.calendar.zone, step.first.astimezone(facts.calendar.zone).date()
    planned = clock(step.first, zone, day) + (f"-{clock(step.last, zone, day)}" if step.rows > 1 else "")
    if step.started is None:
        left = (step.first - facts.now).total_seconds()
        ran = "asked" if step.state == ASKED else ahead(left) if step.waiting else "-"
    else:
        ran = clock(step.started, zone, day, seconds=True)
    lasted = "-" if step.took is None else took(step.took)
    state = step.newest if step.repeating else step.state
    return [step.job, planned, ran, lasted, state.upper() if state in BAD else state, cut(_evidence(facts, step), 160)]


def _evidence(facts: StatusFacts, step: Step) -> str:
    said = []
    if step.repeating and step.ran:
        done = step.rows - step.waiting
        holes = ", ".join(
            f"{clock(h.start, facts.calendar.zone)}-{clock(h.end, facts.calendar.zone)}" for h in step.holes[:2]
        )
        said.append(f"{step.ran} of {done} ran" + (f", {step.missed} missed {holes}" if step.missed else ""))
        if step.ok < step.ran:
            said.append(f"{step.ok or 'none'} ok")
    elif step.tries > 1:
        said.append(f"try {step.tries}")
    if step.reason and (step.ran or not step.waiting or step.state == ASKED):
        said.append(step.reason)
    return "; ".join(said)


def _next(facts: StatusFacts) -> str:
    zone, coming = facts.calendar.zone, facts.coming
    remarks = f"   ({'; '.join(coming.remarks)})" if coming.remarks else ""
    if coming.open is None or coming.login is None or coming.day is None:
        day = f"{short_day(coming.day)} " if coming.day else ""
        return f"{day}not known: {coming.reason}{remarks}"
    left = ahead((coming.open - facts.now).total_seconds())
    name = "" if coming.name in ("", "regular") else f" {plain(coming.name)}"
    return f"{short_day(coming.day)} {clock(coming.open, zone)}{name} ({left}), log in by {clock(coming.login, zone)}{remarks}"


def _known(facts: StatusFacts) -> str:
    days = (facts.calendar.known_until - facts.today).days
    left = f"{plural(days, 'day')} ahead" if days >= 0 else "PAST"
    return f"known until {short_day(facts.calendar.known_until)} {facts.calendar.known_until.year} ({left})"
