"""A daemon that is meant to be killed: `python -m tests.soak.engine_child FOLDER OPEN` serves the site in FOLDER in real time.

It is the real daemon on the host's clock; only its calendar is handed over (a session that opened at OPEN), which saves the two
seconds of the library at each of the many starts.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import date, datetime, timedelta
from pathlib import Path

from runbook import app
from runbook.almanac import Almanac
from runbook.clock import SystemClock
from runbook.logs import setup
from runbook.redact import Redactor
from runbook.session import INDIA, Day, DayStatus, Session, SessionCalendar
from tests.soak import deaths

HOURS = timedelta(hours=6)


def calendar(opens: datetime) -> list[SessionCalendar]:
    """One open day, and one after it."""
    made = []
    for exchange in ("NFO", "NSE"):
        days: dict[date, Day] = {}
        for n in range(2):
            start = opens + timedelta(days=n)
            day = start.astimezone(INDIA).date()
            held = Session(exchange, day, ((start, start + HOURS),), name="soak", zone=INDIA)
            days[day] = Day(day, DayStatus.OPEN, "soak", ("soak",), session=held)
        made.append(SessionCalendar(exchange, INDIA, max(days), days))
    return made


def main(folder: Path, opens: datetime) -> None:
    deaths.arm()
    serve(folder, opens)


def serve(folder: Path, opens: datetime) -> None:
    config = app.load_config(folder)
    setup(logging.INFO, Redactor(config.secrets.values()))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())

    def fill(almanac: Almanac) -> None:
        almanac.keep(calendar(opens), {"source": "soak"}, SystemClock().now())

    daemon = app.Daemon(config, app.Hooks(calendar=fill))
    daemon.start()
    print("started", flush=True)
    while not stop.wait(0.1) and not daemon.engine.finished.is_set():
        pass
    lost = daemon.engine.lost
    daemon.stop()
    os._exit(1 if lost else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
