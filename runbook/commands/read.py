"""`plan`, `status`, `report`, `history`: reads of the ledger by another process. They never need the daemon."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING

from runbook import app
from runbook.clock import SystemClock
from runbook.commands.ledger import ledger
from runbook.config import Config
from runbook.errors import CalendarError, StoreError, UsageError
from runbook.pause import Pause
from runbook.session import SessionCalendar

if TYPE_CHECKING:
    pass

_PLAN_DAYS = 3
_MOST_DAYS = 400
_BEHIND = (
    "note: calendar files changed since the session table was computed; a daemon that runs reads them within a minute, "
    "else `runbook init` does"
)


def plan(args: argparse.Namespace) -> int:
    """What runs when, from the session table; the first time on a machine it is computed."""
    from runbook.plan import plan_days, render_plan, to_json

    config = app.load_config(args.site)
    calendar = _calendar(config)
    first, last = _span(args, calendar.today(SystemClock().now()))
    rows = plan_days(calendar, config.jobs, first, last, _pauses(config))
    if args.json:
        print(json.dumps(to_json(rows, calendar.zone), indent=1))
    else:
        print(render_plan(rows, calendar.zone))
    return 0


def _calendar(config: Config) -> SessionCalendar:
    """The desk's calendar; a site that was never prepared is prepared by a child, so that this process stays light."""
    try:
        with ledger(config) as store:
            almanac = app.almanac(config, store)
            if almanac.computed_from(config.settings.exchange) not in ({}, app.calendar_files(config)):
                print(_BEHIND, file=sys.stderr)
            return almanac.calendar()
    except (StoreError, CalendarError) as exc:
        if exc.permanent:
            raise
    import subprocess

    print("no session table yet: computing it once ...", file=sys.stderr)
    command = [sys.executable, "-P", "-m", "runbook", "--site", str(config.site), "init"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CalendarError("the calendar could not be computed", hint=done.stderr.strip() or done.stdout.strip())
    with ledger(config) as store:
        return app.almanac(config, store).calendar()


def _pauses(config: Config) -> list[Pause]:
    """What a person holds back now."""
    with ledger(config) as store, store.read() as books:
        return books.pauses.held(SystemClock().now())


def _span(args: argparse.Namespace, today: date) -> tuple[date, date]:
    chosen = [name for name in ("date", "first", "next") if getattr(args, name) is not None]
    if len(chosen) > 1 or (args.last is not None and args.first is None):
        raise UsageError(
            "choose one: --date D, --from D1 --to D2, or --next N, for example --from 2026-11-23 --to 2026-11-27"
        )
    if args.date is not None:
        return args.date, args.date
    if args.first is not None:
        first, last = args.first, args.last if args.last is not None else args.first
    else:
        count = args.next if args.next is not None else _PLAN_DAYS
        if not 1 <= count <= _MOST_DAYS:
            raise UsageError(f"--next {count}: accepted are 1 to {_MOST_DAYS} days, for example --next 5")
        first, last = today, today + timedelta(days=count - 1)
    if not first <= last <= first + timedelta(days=_MOST_DAYS):
        raise UsageError(f"{first} to {last}: accepted is a span of 1 to {_MOST_DAYS} days, the first before the last")
    return first, last


def status(args: argparse.Namespace) -> int:
    """How things stand: 0 green, 1 attention, 3 no live daemon."""
    from runbook.status import exit_code, render_status, status_json

    config = app.load_config(args.site)
    now = SystemClock().now()
    with ledger(config) as store:
        calendar = app.almanac(config, store).calendar()
        facts = app.status_facts(config, store, calendar, now)
    if args.json:
        print(json.dumps(status_json(facts), indent=1))
    else:
        print(render_status(facts, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    return exit_code(facts)


def report(args: argparse.Namespace) -> int:
    """The day as the ledger has it. On a holiday it says so and shows the last session."""
    from runbook.report import build, render_markdown, render_text, to_json

    config = app.load_config(args.site)
    now = SystemClock().now()
    with ledger(config) as store:
        calendar = app.almanac(config, store).calendar()
        newest = calendar.session_at(now)
        today = calendar.day(calendar.today(now))
        day = args.session or (newest.date if newest else today.date)
        facts = app.day_facts(store, calendar, day)
    made = build(facts, calendar, now, config.jobs, config.settings.mode, config.hash)
    if args.session is None and today.session is None:
        shown = f"today, {today.date:%A %d %B %Y}: {today.status} ({today.reason}); the last session follows"
        print(shown, file=sys.stderr if args.json or args.format == "json" else sys.stdout)
    if args.json or args.format == "json":
        print(json.dumps(to_json(made), indent=1))
    else:
        print(render_markdown(made) if args.format == "md" else render_text(made))
    return 0


def history(args: argparse.Namespace) -> int:
    """The last sessions in the ledger, a line each."""
    from runbook.history import history_json, history_rows, render_history

    config = app.load_config(args.site)
    if not 1 <= args.last <= 1000:
        raise UsageError(f"--last {args.last}: accepted are 1 to 1000 sessions, for example --last 10")
    now = SystemClock().now()
    with ledger(config) as store:
        calendar = app.almanac(config, store).calendar()
        with store.read() as books:
            days = [day for day in books.ledger.sessions(args.last + 3) if day <= calendar.today(now)][: args.last]
        facts = [app.day_facts(store, calendar, day) for day in days]
    rows = history_rows(facts, calendar, now, config.jobs, config.settings.mode)
    print(json.dumps(history_json(rows), indent=1) if args.json else render_history(rows))
    return 0
