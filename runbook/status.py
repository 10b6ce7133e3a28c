"""How things stand now: the headline, what is wrong, the daemon, the day's steps, the next session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

from runbook.alert import Alert, AlertState, Severity
from runbook.alert.lifecycle import BROKER_JOB
from runbook.ask import Ask
from runbook.day import DayFacts, Lease
from runbook.pause import ALL, Pause
from runbook.remedy import as_json, words
from runbook.report.ahead import next_after
from runbook.report.asked import ask_json, ask_words, pause_json, pause_words
from runbook.report.delivery import alert_parts
from runbook.report.layout import WIDTH, clock, cut, line, plain, plural, short_day, table, wrap
from runbook.report.parts import Step
from runbook.report.steps import ASKED, steps
from runbook.session import DayStatus, PhaseName, Session, SessionCalendar
from runbook.spans import ago, ahead, span, took

GREEN, ATTENTION, NO_DAEMON = 0, 1, 3
_UNHEARD = timedelta(minutes=5)  # the grace of a dead-man's switch: by then it alarms
_HORIZON = 7  # days: a calendar that ends sooner wants a hand
_START_UP = timedelta(minutes=1)  # after the open, until the feed must have said something
_BAD = ("bad", "failed", "timed out", "abandoned", "missed")
_RED, _AMBER, _OK, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[0m"


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """All that a status is made of. `day` is of the current session, else of the newest; `alerts` are not resolved."""

    now: datetime
    calendar: SessionCalendar
    day: DayFacts | None
    lease: Lease | None
    alerts: tuple[Alert, ...]
    unsent: int
    notes: Sequence[str] = ()
    mode: str = ""
    asks: tuple[Ask, ...] = ()  # open ones, of whatever session
    pauses: tuple[Pause, ...] = ()  # in force
    critical: frozenset[str] = frozenset()  # jobs without which nothing may be called green

    @property
    def today(self) -> date:
        return self.calendar.today(self.now)

    @property
    def session(self) -> Session | None:
        """The session that is on, which may have begun yesterday; else today's."""
        begun = self.calendar.session_at(self.now)
        return begun if begun is not None and self.now < begun.close else self.calendar.day(self.today).session

    @property
    def alive(self) -> bool:
        return self.lease is not None and self.now < self.lease.expires


def exit_code(facts: StatusFacts) -> int:
    """0 green, 1 attention, 3 no live daemon."""
    if not facts.alive:
        return NO_DAEMON
    return ATTENTION if reasons(facts) else GREEN


def reasons(facts: StatusFacts) -> list[str]:
    """Why it is not green, what matters most first. What cannot be told is a reason too."""
    said = [*_daemon_reasons(facts), *_alert_reasons(facts), *_feed_reasons(facts)]
    return [*said, *_people_reasons(facts), *_other_reasons(facts)]


def _daemon_reasons(facts: StatusFacts) -> Iterator[str]:
    if facts.lease is None:
        yield "no daemon runs (`runbook serve` starts it)"
    elif not facts.alive:
        late = ago((facts.now - facts.lease.renewed).total_seconds())
        yield f"the daemon (pid {facts.lease.pid} on {plain(facts.lease.host)}) was last heard of {late}"


def _alert_reasons(facts: StatusFacts) -> Iterator[str]:
    ranked = sorted((a for a in facts.alerts if a.state is AlertState.OPEN), key=lambda a: -a.severity.rank)
    for alert, part in ((a, alert_parts([a], (), facts.calendar.zone)[0]) for a in ranked):
        since = clock(alert.opened_at, facts.calendar.zone, facts.today)
        number = f" #{alert.number}" if alert.number is not None else ""
        loud = "CRITICAL " if alert.severity is Severity.CRITICAL else ""
        seen = f", acknowledged by {plain(alert.acked_by)}" if alert.acked else ""
        kept = f", {plain(alert.muted.partition(': ')[0])}" if alert.muted else ""
        yield f"{loud}{part.title} since {since} ({_since(facts, alert.opened_at)}){number}{seen}{kept}"


def _since(facts: StatusFacts, at: datetime) -> str:
    return span(max(0.0, (facts.now - at).total_seconds()))


def _feed_reasons(facts: StatusFacts) -> Iterator[str]:
    session = facts.session
    if not facts.alive or session is None or facts.now < session.open + _START_UP:
        return
    if not session.phase_at(facts.now).trading:
        return
    feed = _feed(facts)
    mode = feed.get("mode")
    if mode is None:
        yield "the daemon does not say how the feed stands"
    elif mode == "OFF" and feed.get("running") is True:
        return  # watched, and the market of all it watches rests (an index in the closing auction)
    elif mode != "LIVE" and not any(
        a.fingerprint.startswith("feed{") and a.state is AlertState.OPEN for a in facts.alerts
    ):
        yield f"feed {_mode_words(plain(mode))}"


def _mode_words(mode: str) -> str:
    words = {
        "OFF": "is not being watched", "ARMED": "awaits its first moving tick", "SUSPECT": "is silent, REST is being asked",
        "FALLBACK": "on REST", "PROBATION": "on REST, ticks are on probation", "BLIND": "BLIND, no price from anywhere",
        "MARKET_SILENT": "stands still on both sides: nothing is traded",
    }  # fmt: skip
    return words.get(mode, mode)


def _people_reasons(facts: StatusFacts) -> Iterator[str]:
    """What waits for a person, and what one holds back without which nothing is green."""
    for ask in facts.asks:
        yield f"#{ask.number} {ask.name} waits for your answer (`{plain(ask.how_to_answer)}`)"
    for pause in facts.pauses:
        if pause.job == ALL or pause.job in facts.critical:
            yield pause_words(pause, facts.calendar.zone, facts.now)


def _other_reasons(facts: StatusFacts) -> Iterator[str]:
    calendar, today = facts.calendar, facts.today
    known = calendar.day(today)
    if known.status is DayStatus.UNKNOWN:
        yield f"the calendar does not know today: {plain(known.reason)}"
    elif (calendar.known_until - today).days < _HORIZON:
        yield f"the calendar is known only until {calendar.known_until}"
    rows = _steps(facts)
    if facts.session is not None and not rows:
        yield "nothing is planned in the ledger for today"
    broker = [step for step in rows if step.job == BROKER_JOB and step.ran]
    for step in rows:
        if step.job == BROKER_JOB and step is not (broker or [step])[-1] and not step.waiting:
            continue  # the newer check has the word
        if step.missed or step.broken:
            counted = [(step.missed, "missed"), (step.broken, "failed")]
            many = " and ".join(f"{n} {name}" for n, name in counted if n) + f" of {step.rows}"
            yield f"{step.job} {many if step.repeating else step.state}"
        elif step.job == "check_feed":
            continue  # the feed speaks for itself
        elif step.state in _BAD or (step.ran and step.state in ("attention", "unknown")):
            yield f"{step.job}: {cut(step.reason, 80) or step.state}"
    for name, held in _pings(facts).items() if facts.alive else ():
        since = _instant(held.get("since")) if isinstance(held, Mapping) else None
        if since is not None and facts.now - since > _UNHEARD:
            yield f"the outside has not heard {plain(name)} for {_since(facts, since)}: {plain(held.get('fault'))}"
    if facts.unsent:
        yield f"{plural(facts.unsent, 'message')} not delivered yet"


def _steps(facts: StatusFacts) -> tuple[Step, ...]:
    return steps(facts.day.entries, (), facts.day.rolled) if facts.day is not None else ()


def _feed(facts: StatusFacts) -> Mapping[str, Any]:
    found = facts.lease.data.get("feed") if facts.lease is not None else None
    return found if isinstance(found, Mapping) else {}


# -- text -------------------------------------------------------------------------------------------------------------


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
    rows = _steps(facts)
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
    feed = _feed(facts)
    mode = feed.get("mode")
    if facts.session is not None and mode == "LIVE":
        return "feed on the WebSocket; no alert; every message delivered"
    return "no alert; every message delivered"


def _daemon(facts: StatusFacts) -> list[str]:
    lease = facts.lease
    if lease is None:
        return ["daemon none"]
    up = f"up {_since(facts, lease.since)}" if facts.alive else f"up since {short_day(lease.since.date())}, GONE"
    heard = ago((facts.now - lease.renewed).total_seconds())
    config = f", config {plain(lease.data['config'])}" if lease.data.get("config") else ""
    channels = _channels(lease.data.get("channels")) + _outside(facts)
    said = (
        f"daemon pid {lease.pid} on {plain(lease.host)} {up}, heartbeat {heard}, epoch {lease.epoch}{config}{channels}"
    )
    return wrap(said, WIDTH, "", "  ")


def _outside(facts: StatusFacts) -> str:
    """When the dead-man's switch heard us last, where there is one."""
    held = _pings(facts).get("ping")
    if not isinstance(held, Mapping):
        return ""
    heard = _instant(held.get("heard"))
    said = f", ping {ago((facts.now - heard).total_seconds())}" if heard else ", ping never heard"
    return said + (f" ({plain(held['fault'])})" if held.get("fault") else "")


def _pings(facts: StatusFacts) -> Mapping[str, Any]:
    found = facts.lease.data.get("watch") if facts.lease is not None else None
    return found if isinstance(found, Mapping) else {}


def _instant(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None


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
    feed = _feed(facts)
    symbols = feed.get("symbols")
    if not isinstance(symbols, Mapping) or not symbols:
        return []
    source = plain(feed.get("source") or "")
    session = facts.session
    if not source and (session is None or not session.phase_at(facts.now).trading):
        return []  # none is promised, so none is missed
    said = ", ".join(f"{plain(name)} {_price(held, source)}" for name, held in symbols.items())
    return wrap(f"{said} [{source or 'no source that can be trusted'}]", WIDTH, "prices ")


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


def _price(held: object, source: str) -> str:
    if isinstance(held, Mapping):
        side = "rest" if source.startswith("REST") else "ws"
        price, age = held.get(side, held.get("ltp")), held.get(f"{side}_age", held.get("age"))
    else:
        price, age = held, None
    if isinstance(price, bool) or not isinstance(price, int | float) or not source:
        return "no price"
    return f"{price:.10g}" + (f" ({ago(age)})" if isinstance(age, int | float) and age >= 1 else "")


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
    return [step.job, planned, ran, lasted, state.upper() if state in _BAD else state, cut(_evidence(facts, step), 160)]


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
    session, zone = facts.session, facts.calendar.zone
    begin = facts.today - timedelta(days=1) if session is not None and facts.now < session.open else facts.today
    coming = next_after(facts.calendar, begin)
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


# -- JSON -------------------------------------------------------------------------------------------------------------


def status_json(facts: StatusFacts) -> dict[str, Any]:
    """The status as plain values; null is not known.

    now; exit; state: ok | attention | no daemon; reasons; exchange: {name, status, text, open, close}; mode;
    daemon: {alive, pid, host, since, heartbeat, heartbeat_age, epoch, said: what it says of itself} or null;
    session: the date of the steps; steps: [{job, slot, repeating, planned, planned_last, rows, ran, ok, missed, skipped,
    failed, waiting, state, newest, started, took, reason, hint}]; alerts: [{number, rule, severity, title, state, since,
    acked, acked_by, acked_at, muted}];
    actions: [{number, name, cause, argv, by, did, exit_code, verify, reason, output, started, ended}];
    asks, pauses: as in report.asked; unsent; next: {date, open, close, login, name, reason, remarks}; calendar: {known_until, days}; notes.
    """
    zone, session = facts.calendar.zone, facts.session

    def iso(at: datetime | None) -> str | None:
        return at.astimezone(zone).isoformat() if at else None

    begin = facts.today - timedelta(days=1) if session is not None and facts.now < session.open else facts.today
    coming = next_after(facts.calendar, begin)
    lease = facts.lease
    parts = alert_parts(facts.alerts, (), zone)
    rules = {(a.opened_at, a.number): a.rule for a in facts.alerts}
    seen = {(a.opened_at, a.number): a.acked for a in facts.alerts}
    return {
        "now": iso(facts.now),
        "exit": exit_code(facts),
        "state": {GREEN: "ok", ATTENTION: "attention", NO_DAEMON: "no daemon"}[exit_code(facts)],
        "reasons": reasons(facts),
        "exchange": {
            "name": facts.calendar.exchange,
            "status": facts.calendar.day(facts.today).status.value,
            "text": exchange_words(facts),
            "open": iso(session.open) if session else None,
            "close": iso(session.close) if session else None,
        },
        "mode": plain(facts.mode) or None,
        "daemon": {
            "alive": facts.alive,
            "pid": lease.pid,
            "host": lease.host,
            "since": iso(lease.since),
            "heartbeat": iso(lease.renewed),
            "heartbeat_age": (facts.now - lease.renewed).total_seconds(),
            "epoch": lease.epoch,
            "said": dict(lease.data),
        }
        if lease
        else None,
        "session": facts.day.day.date.isoformat() if facts.day else None,
        "steps": [
            {
                "job": s.job,
                "slot": s.slot,
                "repeating": s.repeating,
                "planned": iso(s.first),
                "planned_last": iso(s.last),
                "rows": s.rows,
                "ran": s.ran,
                "ok": s.ok,
                "missed": s.missed,
                "skipped": s.skipped,
                "failed": s.broken,
                "waiting": s.waiting,
                "state": s.state,
                "newest": s.newest,
                "started": iso(s.started),
                "took": s.took,
                "reason": s.reason,
                "hint": s.hint,
            }
            for s in _steps(facts)
        ],
        "alerts": [
            {
                "number": p.number,
                "rule": rules[p.opened, p.number],
                "severity": p.severity,
                "title": p.title,
                "state": p.state,
                "since": iso(p.opened),
                "acked": bool(seen[p.opened, p.number]),
                "acked_by": p.acked_by or None,
                "acked_at": iso(p.acked),
                "muted": p.muted or None,
            }
            for p in parts
        ],
        "actions": [
            as_json(one) | {"started": iso(one.started), "ended": iso(one.ended)}
            for one in (facts.day.actions if facts.day else ())
        ],
        "asks": [ask_json(ask, zone) for ask in facts.asks],
        "pauses": [pause_json(pause, zone) for pause in facts.pauses],
        "unsent": facts.unsent,
        "next": {
            "date": coming.day.isoformat() if coming.day else None,
            "open": iso(coming.open),
            "close": iso(coming.close),
            "login": iso(coming.login),
            "name": coming.name or None,
            "reason": coming.reason or None,
            "remarks": list(coming.remarks),
        },
        "calendar": {
            "known_until": facts.calendar.known_until.isoformat(),
            "days": (facts.calendar.known_until - facts.today).days,
        },
        "notes": [plain(note) for note in facts.notes],
    }
