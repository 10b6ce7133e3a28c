"""Why a status is not green, and the exit code that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from runbook.alert import AlertState, Severity
from runbook.alert.lifecycle import BROKER_JOB
from runbook.pause import ALL
from runbook.report.asked import pause_words
from runbook.report.delivery import alert_parts
from runbook.report.layout import clock, cut, plain, plural
from runbook.session import DayStatus
from runbook.spans import ago
from runbook.status.facts import BAD, StatusFacts, instant

GREEN, ATTENTION, NO_DAEMON = 0, 1, 3
_UNHEARD = timedelta(minutes=5)  # the grace of a dead-man's switch: by then it alarms
_HORIZON = 7  # days: a calendar that ends sooner wants a hand
_START_UP = timedelta(minutes=1)  # after the open, until the feed must have said something


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
        yield f"{loud}{part.title} since {since} ({facts.since(alert.opened_at)}){number}{seen}{kept}"


def _feed_reasons(facts: StatusFacts) -> Iterator[str]:
    session = facts.session
    if not facts.alive or session is None or facts.now < session.open + _START_UP:
        return
    if not session.phase_at(facts.now).trading:
        return
    feed = facts.feed
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
    rows = facts.steps
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
        elif step.state in BAD or (step.ran and step.state in ("attention", "unknown")):
            yield f"{step.job}: {cut(step.reason, 80) or step.state}"
    for name, held in facts.pings.items() if facts.alive else ():
        since = instant(held.get("since")) if isinstance(held, Mapping) else None
        if since is not None and facts.now - since > _UNHEARD:
            yield f"the outside has not heard {plain(name)} for {facts.since(since)}: {plain(held.get('fault'))}"
    if facts.unsent:
        yield f"{plural(facts.unsent, 'message')} not delivered yet"
