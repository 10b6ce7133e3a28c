"""`calendar show`, `why`, `check`, `schema`, and `explain`: what is known of days, and from whom."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runbook import app
from runbook.clock import SystemClock
from runbook.config import Config
from runbook.errors import CalendarError, ConfigError, StoreError, UsageError
from runbook.fault import nearest
from runbook.pause import Pause, pause_of
from runbook.session import Day, SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.overlay import Overlay
    from runbook.adapters.store import Store
    from runbook.crosscheck import Crosscheck
    from runbook.day import Tally
    from runbook.run import Entry
    from runbook.timetable import Library

_MOST_DAYS = 3660
_CHECK_SECONDS = 30.0
_BEHIND = "note: shown is what the calendar files say now; the session table a daemon goes by was computed before they changed"


@contextmanager
def ledger(config: Config) -> Iterator[Store | None]:
    """The ledger of the site; None where there is none that this version can read."""
    store = app.open_store(config, busy_seconds=5)
    try:
        if store.exists:
            try:
                store.check()
            except StoreError as exc:
                if exc.permanent:
                    raise
            else:
                yield store
                return
        yield None
    finally:
        store.close()


def table(config: Config, exchange: str, now: datetime, first: date, last: date) -> SessionCalendar:
    """The ledger's calendar of `exchange`; where it has none, or files changed since, the one of these days as they stand.

    A note on standard error says when it is not what the files come to. Nothing is kept.
    """
    held: SessionCalendar | None = None
    with ledger(config) as store:
        if store is not None:
            almanac = app.almanac(config, store)
            try:
                held = almanac.calendar(exchange)
            except CalendarError:
                pass  # never computed: an exchange that is not this desk's
            else:
                if almanac.computed_from(exchange) == app.calendar_files(config):
                    return held
    try:
        fresh = computed(config, exchange, now, first, last)
    except (CalendarError, ConfigError) as exc:
        if held is None:
            raise
        print(f"note: this is the last good session table; as the files stand: {exc}", file=sys.stderr)
        return held
    if held is not None:
        print(_BEHIND, file=sys.stderr)
    return fresh


def files_of(config: Config, now: datetime) -> Overlay:
    """The site's calendar files, and what the library answered as far as the ledger has it."""
    with ledger(config) as store:
        return app.overlay(config, app.almanac(config, store).said(now) if store is not None else None)


def computed(config: Config, exchange: str, now: datetime, first: date, last: date) -> SessionCalendar:
    """The calendar as the files stand; raises UsageError for an exchange that nobody knows."""
    folders = files_of(config, now)
    known = sorted({sheet.content.exchange for sheet in folders.sheets()})
    try:
        return folders.calendars([exchange], _back(first, now), last, date(now.year, 12, 31))[exchange]
    except CalendarError as exc:
        if "no such calendar" not in str(exc):
            raise
        accepted = f"{nearest(exchange, known)}{', '.join(known)}, or a name of pandas-market-calendars such as XNYS"
        raise UsageError(f"exchange {exc}; accepted: {accepted}") from exc


def _back(first: date, now: datetime) -> date:
    """Early enough for the last known session: by its hours the unknown days after it are looked at."""
    return min(first, date(now.year - 1, 1, 1))


def show(args: argparse.Namespace) -> int:
    """The days of a year, or of a span: one object each, or a chart of the months."""
    from runbook.wallchart import chart_json, render_chart

    config = app.load_config(args.site)
    now = SystemClock().now()
    exchange = args.exchange or config.settings.exchange
    first, last = _span(args, now)
    about = timedelta(days=1)  # today at the exchange may be another date than here
    calendar = table(config, exchange, now, min(first, now.date() - about), max(last, now.date() + about))
    today = calendar.today(now)
    if args.year is None and args.first is None:
        first, last = date(today.year, 1, 1), date(today.year, 12, 31)
    days = list(calendar.span(first, last))
    if args.json:
        print(json.dumps(chart_json(days, calendar.zone), indent=1))
        return 0
    width = shutil.get_terminal_size((100, 24)).columns
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(render_chart(calendar, days, today, width=width, colour=colour), end="")
    return 0


def _span(args: argparse.Namespace, now: datetime) -> tuple[date, date]:
    if args.year is not None and (args.first or args.last):
        raise UsageError("choose one: --year Y, or --from D1 --to D2, for example --year 2027")
    if args.last and not args.first:
        raise UsageError(f"--to {args.last} without --from, for example --from 2026-12-01 --to {args.last}")
    year = args.year or now.year
    first = args.first or date(year, 1, 1)
    last = args.last or (first if args.first else date(year, 12, 31))
    if not first <= last < first + timedelta(days=_MOST_DAYS):
        raise UsageError(f"{first} to {last}: accepted are 1 to {_MOST_DAYS} days, the first before the last")
    return first, last


# -- why ----------------------------------------------------------------------------------------------------------------


def why(args: argparse.Namespace) -> int:
    """Which source says what of a day, which counts, and what the jobs' anchors come to on it."""
    from runbook.plan import plan_days, render_plan, to_json
    from runbook.testimony import render_testimony, testify, testimony_json
    from runbook.timetable import merge
    from runbook.wallchart import chart_json, phases_text

    config = app.load_config(args.site)
    now = SystemClock().now()
    exchange = args.exchange or config.settings.exchange
    day: date = args.day
    folders = files_of(config, now)
    sheets = folders.sheets()
    tables = merge(sheets)
    name = tables[exchange].library if exchange in tables else exchange
    library: Library | str | None = None
    fresh: SessionCalendar | None = None
    try:
        fresh = computed(config, exchange, now, day, day) if name is None or exchange not in tables else None
        library = folders.library(name, _back(day, now), day) if name else None
        fresh = fresh or folders.calendars([exchange], _back(day, now), day, date(now.year, 12, 31))[exchange]
    except CalendarError as exc:
        library = str(exc)
    stored = _stored(config, exchange)
    calendar = fresh or stored
    if calendar is None:
        raise CalendarError(f"nothing is known of {exchange}: {library}")
    answer = calendar.day(day)
    told = testify(exchange, answer, sheets, tables, library, calendar)
    rows = plan_days(calendar, config.jobs, day, day)
    drift = _drift(stored, answer)
    if args.json:
        shown = chart_json([answer], calendar.zone)[0]
        made = {
            "date": day.isoformat(), "exchange": exchange, "status": answer.status.value, "reason": answer.reason,
            "confidence": answer.confidence.value, "verdict": told.verdict, "statements": testimony_json(told),
            **{key: shown[key] for key in ("intervals", "phases", "expiring_close")}, "ledger": drift, "plan": to_json(rows, calendar.zone)[0],
        }  # fmt: skip
        print(json.dumps(made, indent=1))
        return 0
    print(render_plan(rows, calendar.zone).splitlines()[0])
    if answer.session is not None:
        print("\n".join(f"  {text}" for text in phases_text(answer.session, calendar.zone)))
    print("\n" + "\n".join(render_testimony(told)))
    if drift:
        print(f"\nnote: {drift}")
    runs = render_plan(rows, calendar.zone).splitlines()[1:]
    print(
        "\n"
        + ("\n".join(["the jobs on it", *runs]) if runs else "no job runs on it: there is no session to count from")
    )
    return 0


def _stored(config: Config, exchange: str) -> SessionCalendar | None:
    with ledger(config) as store:
        if store is None:
            return None
        try:
            return app.almanac(config, store).calendar(exchange)
        except CalendarError:
            return None


def _drift(stored: SessionCalendar | None, answer: Day) -> str | None:
    """What the ledger's table says when the files have moved on since it was computed."""
    if stored is None:
        return None
    held = stored.day(answer.date)
    spans = [day.session.intervals if day.session else () for day in (held, answer)]
    if held.status is answer.status and spans[0] == spans[1]:
        return None
    return f"the session table in the ledger still says {held.status} ({held.reason}); a running daemon reads the files within a minute, else `runbook init` does"


# -- check --------------------------------------------------------------------------------------------------------------


def check(args: argparse.Namespace) -> int:
    """The calendar held against OpenAlgo's: 1 for a contradiction, 0 when they agree or OpenAlgo has nothing to say."""
    from runbook.budget import Budget
    from runbook.crosscheck import AHEAD, ask, crosscheck

    config = app.load_config(args.site)
    app.need_secrets(config)
    clock = SystemClock()
    now = clock.now()
    exchange = args.exchange or config.settings.exchange
    span = date(now.year, 1, 1), date(now.year + 1, 12, 31)
    calendar = table(config, exchange, now, *span)
    today = calendar.today(now)
    if args.year is not None:
        first, last = date(args.year, 1, 1), date(args.year, 12, 31)
    else:
        first, last = today, max(date(today.year, 12, 31), today + timedelta(days=AHEAD))
    gateway = app.gateway(config, clock)
    try:
        opinion = ask(gateway, first, last, today, Budget(_CHECK_SECONDS))
    finally:
        gateway.close()
    found = crosscheck(calendar, opinion, first, last, today)
    if args.json:
        print(json.dumps(_check_json(found), indent=1))
    else:
        print(_check_text(found))
    return 1 if found.contradictions else 0


def _check_json(found: Crosscheck) -> dict[str, Any]:
    return {
        "exchange": found.exchange, "from": str(found.first), "to": str(found.last), "verdict": found.verdict,
        "agreed": found.agreed, "hours_agreed": found.hours_agreed, "unheard": found.unheard,
        "findings": [
            {
                "form": str(f.form), "contradiction": f.form.contradicts, "severity": str(f.severity),
                "date": str(f.day) if f.day else None, "ours": f.ours or None, "theirs": f.theirs, "todo": f.todo or None,
            }
            for f in found.findings
        ],
    }  # fmt: skip


def _check_text(found: Crosscheck) -> str:
    lines = [f"{found.exchange}, {found.first} to {found.last}, held against OpenAlgo's calendar", ""]
    for f in found.findings:
        mark = "!!" if f.form.contradicts else "--"
        when = f"{f.day:%Y-%m-%d %a} " if f.day else ""
        lines.append(f"  {mark} {when}{f.form}: {f.text}")
        if f.todo:
            lines.append(f"       -> {f.todo}")
    count = len(found.contradictions)
    lines += [""] if found.findings else []
    told = f": {found.agreed} days agree ({found.hours_agreed} of them with their hours)" if found.agreed else ""
    told += f", {found.unheard} without a second opinion" if found.agreed and found.unheard else ""
    verdict = {"contradiction": f"{count} contradiction{'s' if count > 1 else ''}", "agree": "no contradiction"}
    lines.append(f"{verdict.get(found.verdict, found.verdict)}{told}")
    if found.verdict == "agree":
        lines.append("agreement proves little: OpenAlgo's list is kept by hand, and both were wrong together before")
    return "\n".join(lines)


def schema(_args: argparse.Namespace) -> int:
    """The format of calendar/*.yaml for editors."""
    from runbook.timetable import schema_text

    print(schema_text(), end="")
    return 0


# -- explain ------------------------------------------------------------------------------------------------------------


def explain(args: argparse.Namespace) -> int:
    """One job on one day."""
    from runbook.explain import explain as told_of
    from runbook.explain import explained_json, render_explained

    config = app.load_config(args.site)
    now = SystemClock().now()
    job = config.job(args.job)
    if job is None:
        names = [j.name for j in config.jobs]
        raise UsageError(f"no job {args.job!r}; accepted: {nearest(args.job, names)}{', '.join(names)}")
    exchange = config.settings.exchange
    wanted = args.date or now.date()
    calendar = table(config, exchange, now, min(wanted, now.date()), max(wanted, now.date() + timedelta(days=1)))
    day = calendar.day(args.date or calendar.today(now))
    held, rolled, pauses = _kept(config, day.date, now)
    pause = pause_of(pauses, job.name, now)
    told = told_of(
        job, day, {j.name: j for j in config.jobs}, held, exchange, now, calendar.zone, calendar.assumed(day.date), rolled,
        {job.name: pause.words(calendar.zone, now)} if pause is not None else {},
    )  # fmt: skip
    print(
        json.dumps(explained_json(told, calendar.zone), indent=1)
        if args.json
        else render_explained(told, calendar.zone),
        end="",
    )
    if args.json:
        print()
    return 0


def _kept(config: Config, day: date, now: datetime) -> tuple[Sequence[Entry], Sequence[Tally], Sequence[Pause]]:
    """The rows of the day, what of it is only counted any more, and what is held back now."""
    with ledger(config) as store:
        if store is None:
            return (), (), ()
        with store.read() as books:
            return books.ledger.session(day, repeats=False), books.repeats.tallies(day), books.pauses.held(now)
