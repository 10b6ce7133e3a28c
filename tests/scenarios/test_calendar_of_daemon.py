"""The daemon's calendar when something is wrong at the start: a child that is killed, a library that changes its mind, a bad file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from runbook import app
from runbook.adapters import exchange
from runbook.alert import Alert
from runbook.clock import SystemClock
from runbook.config.defaults import JOBS
from runbook.session import Day
from tests.fakes import until

CONFIG = """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:9", api_key: "${OPENALGO_API_KEY}"}
symbols: [NIFTY]
jobs:
""" + "".join(f"  - {{name: {job['name']}, enabled: false}}\n" for job in JOBS)
PAST, HOLIDAY = date(2023, 3, 6), date(2023, 1, 26)  # of years whose answers are settled, whenever this runs
KILLED = "import os, sys\nsys.stdin.read()\nos.kill(os.getpid(), 9)\n"
# The real child, but for one past session that it has forgotten.
FORGETS = f"""\
import runpy, sys
import pandas_market_calendars as library
get = library.get_calendar
class Forgetful:
    def __init__(self, real): self.real = real
    def __getattr__(self, name): return getattr(self.real, name)
    def schedule(self, first, last):
        table = self.real.schedule(first, last)
        return table[table.index.strftime("%Y-%m-%d") != "{PAST}"]
library.get_calendar = lambda name: Forgetful(get(name))
runpy.run_path({str(exchange.__file__)!r}.replace("exchange.py", "exchange_child.py"), run_name="__main__")
"""
CLOSED = "exchange: NFO\nclosed:\n  - {date: 2023-03-06, name: Found closed, source: x, checked: 2026-11-22, confidence: high}\n"


class Desk:
    """A site with a session table, and daemons that are started on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, monkeypatch
        self._real = exchange.fetch
        (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
        (folder / "jobs").mkdir()
        (folder / "calendar").mkdir()
        monkeypatch.setenv("OPENALGO_API_KEY", "k" * 64)
        app.prepare(app.load_config(folder), SystemClock().now())

    def child(self, code: str | None) -> None:
        """From now on the library is asked by a child that runs `code`; None is the real one."""
        script = self.folder / "child.py"
        script.write_text(code or "", encoding="utf-8")
        self._patch.setattr(exchange, "fetch", partial(self._real, child=script) if code else self._real)

    def started(self, settled: Callable[[list[Alert]], object]) -> tuple[list[Alert], dict[date, Day]]:
        """(the open alerts, days of the table), once a daemon has started and `settled` holds of its alerts."""
        daemon = app.Daemon(app.load_config(self.folder))
        daemon.start()
        try:

            def alerts() -> list[Alert]:
                with daemon.store.read() as books:
                    return [alert for alert in books.alerts.unresolved() if alert.rule == "calendar.stale"]

            until(lambda: settled(alerts()), "the news of the calendar")
            return alerts(), {day: daemon.almanac.calendar().day(day) for day in (PAST, HOLIDAY)}
        finally:
            daemon.stop()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_a_child_that_is_killed_leaves_the_last_good_table_and_an_alert_which_the_next_good_start_ends(desk: Desk):
    desk.child(KILLED)
    (alert,), days = desk.started(lambda alerts: alerts)
    assert "killed by SIGKILL" in alert.what
    assert (days[PAST].status, days[HOLIDAY].reason) == ("open", "Republic Day")
    desk.child(None)
    alerts, days = desk.started(lambda alerts: not alerts)
    assert alerts == []
    assert days[PAST].status == "open"


def test_a_closure_that_was_written_meanwhile_counts_although_the_child_is_killed(desk: Desk):
    (desk.folder / "calendar" / "overlay.yaml").write_text(CLOSED, encoding="utf-8")
    desk.child(KILLED)
    (alert,), days = desk.started(lambda alerts: alerts)
    assert "SIGKILL" in alert.what
    assert days[PAST].reason == "Found closed"


def test_a_library_that_forgets_a_past_session_is_not_believed(desk: Desk):
    desk.child(FORGETS)
    (alert,), days = desk.started(lambda alerts: alerts)
    assert f"changed its mind about the past: NFO {PAST}: open 09:15-15:30 ->" in alert.what
    assert days[PAST].status == "open"


def test_a_malformed_file_leaves_the_last_good_table_and_the_alert_names_its_line(desk: Desk):
    (desk.folder / "calendar" / "overlay.yaml").write_text("exchange: NFO\nclosed: 7\n", encoding="utf-8")
    (alert,), days = desk.started(lambda alerts: alerts)
    assert "calendar/overlay.yaml:2" in alert.what
    assert days[HOLIDAY].reason == "Republic Day"
