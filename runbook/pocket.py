"""How things read on a phone when somebody asks: the status, the plan and the day in short lines without columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from runbook.plan import PlanRow
from runbook.report import Report, short
from runbook.report.ahead import next_after
from runbook.report.layout import clock, cut, plain, short_day
from runbook.session import DayStatus
from runbook.spans import ago
from runbook.status import ATTENTION, GREEN, NO_DAEMON, StatusFacts, exchange_words, exit_code, reasons

_LINE = 160
_REASONS = 12
_RUNS = 30
_WORDS = {GREEN: "OK", ATTENTION: "ATTENTION", NO_DAEMON: "NO DAEMON"}


def status_lines(facts: StatusFacts) -> list[str]:
    """The headline, what is wrong, the prices with their source, and the next session."""
    now, zone = facts.now.astimezone(facts.calendar.zone), facts.calendar.zone
    found = reasons(facts)
    mode = f", mode {plain(facts.mode)}" if facts.mode else ""
    out = [
        f"{_WORDS[exit_code(facts)]} at {short_day(now.date())} {now:%H:%M %Z}",
        f"{facts.calendar.exchange} {exchange_words(facts)}{mode}",
        *(cut(f"- {plain(reason)}", _LINE) for reason in found[:_REASONS]),
    ]
    if len(found) > _REASONS:
        out.append(f"- and {len(found) - _REASONS} more")
    out += _prices(facts)
    if facts.lease is not None:
        out.append(f"heartbeat {ago((facts.now - facts.lease.renewed).total_seconds())}")
    before = facts.today - timedelta(days=1) if facts.session and facts.now < facts.session.open else facts.today
    coming = next_after(facts.calendar, before)
    if coming.day is not None and coming.open is not None and coming.login is not None:
        out.append(f"next: {short_day(coming.day)} {clock(coming.open, zone)}, log in by {clock(coming.login, zone)}")
    else:
        out.append(f"next: not known, {plain(coming.reason)}")
    return out


def _prices(facts: StatusFacts) -> Iterator[str]:
    """Each symbol's price with its source and age, while the daemon lives to know them; none is made up."""
    said = facts.lease.data.get("feed") if facts.alive and facts.lease is not None else None
    symbols = said.get("symbols") if isinstance(said, Mapping) else None
    if not isinstance(said, Mapping) or not isinstance(symbols, Mapping) or not symbols:
        return
    source = plain(said.get("source") or "")
    if not source and (facts.session is None or not facts.session.phase_at(facts.now).trading):
        return  # none is promised, so none is missed
    side = "rest" if source.startswith("REST") else "ws"
    for name, held in symbols.items():
        price = held.get(side) if isinstance(held, Mapping) and source else None
        age = held.get(f"{side}_age") if isinstance(held, Mapping) else None
        if isinstance(price, int | float) and not isinstance(price, bool):
            old = f" ({ago(age)})" if isinstance(age, int | float) and age >= 1 else ""
            yield f"{plain(name)} {price:.10g}{old} [{source}]"
        else:
            yield f"{plain(name)}: no price that can be trusted"


def plan_lines(rows: Iterable[PlanRow], zone: ZoneInfo) -> list[str]:
    """The days, each with its due times; a day without a session says why."""
    out: list[str] = []
    for row in rows:
        day = row.day
        if day.session is None:
            word = "unknown" if day.status is DayStatus.UNKNOWN else "closed"
            out.append(f"{short_day(row.date)} {word}: {plain(day.reason)}")
            continue
        hours = ", ".join(f"{clock(a, zone)}-{clock(b, zone)}" for a, b in day.session.intervals)
        name = "" if day.session.name in ("", "regular") else f" ({plain(day.session.name)})"
        out.append(f"{short_day(row.date)} {row.exchange} {hours}{name}")
        for run in row.runs[:_RUNS]:
            until = (
                f"-{_time(run.last.astimezone(zone).date(), row.date)}{clock(run.last, zone)}" if run.count > 1 else ""
            )
            held = f": {cut(plain(run.paused), _LINE)}" if run.paused else ""
            out.append(f"  {clock(run.first, zone)}{until} {run.job}{held}")
    return out


def _time(on: date, day: date) -> str:
    return "" if on == day else f"{short_day(on)} "


def report_lines(report: Report) -> list[str]:
    """The day as the message after the close has it, so far."""
    title, lines = short(report)
    return [title, *lines]
