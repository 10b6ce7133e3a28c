"""All that the ledger knows of a session -> Report. Pure: the same facts give the same value at any time after the close."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from runbook.day import DayFacts
from runbook.job import JobSpec
from runbook.report.ahead import next_after
from runbook.report.delivery import alert_parts, notices, tallies
from runbook.report.feed import feed_part
from runbook.report.headline import headline
from runbook.report.layout import clock, plain
from runbook.report.parts import Report, Stage
from runbook.report.readiness import readiness
from runbook.report.steps import steps
from runbook.report.trades import newest_facts, trades
from runbook.session import DayStatus, SessionCalendar
from runbook.trigger import firings


def build(
    facts: DayFacts,
    calendar: SessionCalendar,
    now: datetime,
    jobs: Sequence[JobSpec],
    mode: str,
    config_hash: str,
) -> Report:
    """The report of `facts.day`. `now` only says if the session is ahead, running or over."""
    day, zone = facts.day, calendar.zone
    stage = _stage(facts, now)
    until = _until(facts)
    feed = feed_part(facts, until, _instruments(facts), over=stage is Stage.OVER)
    books = trades(facts.entries)
    rows = steps(facts.entries, jobs, facts.rolled)
    alerts = alert_parts(facts.alerts, facts.messages, zone)
    sums = tallies(facts.messages)
    coming = next_after(calendar, day.date - timedelta(days=1) if stage is Stage.AHEAD else day.date)
    said = clock(until, zone, day.date) if until else ""
    word = headline(
        day, stage, zone, books, rows, feed, alerts, sums, calendar.exchange, said, facts.asks, facts.actions
    )
    planned = None
    if not facts.entries and day.session is not None:
        planned = sum(len(firings(job.trigger, day.session)) for job in jobs)
    return Report(
        exchange=calendar.exchange,
        zone=zone,
        day=day,
        stage=stage,
        mode=plain(mode),
        config=plain(config_hash),
        until=until,
        headline=word,
        trades=books,
        steps=rows,
        planned_by_config=planned,
        feed=feed,
        alerts=alerts,
        notices=notices(facts.alerts, facts.messages, zone),
        tallies=sums,
        readiness=readiness(facts.entries, feed, books, mode),
        next=coming,
        asks=facts.asks,
        pauses=facts.pauses,
        actions=facts.actions,
    )


def _stage(facts: DayFacts, now: datetime) -> Stage:
    session = facts.day.session
    if facts.day.status is DayStatus.CLOSED:
        return Stage.CLOSED
    if session is None:
        return Stage.UNKNOWN
    if now < session.open:
        return Stage.AHEAD
    return Stage.RUNNING if now < session.close else Stage.OVER


def _until(facts: DayFacts) -> datetime | None:
    """The newest instant the ledger holds of the session: what is said `so far` is said of then, not of now."""
    at = [c.at for c in facts.changes] + [s.at for s in facts.samples]
    at += [run.ended or run.started for entry in facts.entries for run in entry.tries]
    return max(at, default=None)


def _instruments(facts: DayFacts) -> Iterable[str]:
    """What start_feed was asked to watch: a symbol without a tick is named too."""
    found = newest_facts(facts.entries, "instruments")
    listed = found["instruments"] if found else ()
    return [plain(name) for name in listed] if isinstance(listed, list | tuple) else []
