"""The stage: a site in a folder of its own, a session of twelve minutes, and a phone that prints what it receives."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from runbook.session import INDIA, Day, DayStatus, Phase, PhaseName, Session, SessionCalendar

DAY = date(2026, 11, 23)  # a Monday; any would do, a fixed one makes two rehearsals comparable
MINUTES = 12


def session(exchange: str = "NFO", minutes: int = MINUTES) -> Session:
    """The rehearsed session: from 09:15 so many minutes, with a pre-open before it."""
    opens = datetime(DAY.year, DAY.month, DAY.day, 9, 15, tzinfo=INDIA)
    closes = opens + timedelta(minutes=minutes)
    phases = (
        Phase(PhaseName.PRE_OPEN, opens - timedelta(minutes=15), opens),
        Phase(PhaseName.CONTINUOUS, opens, closes),
    )
    return Session(exchange, DAY, ((opens, closes),), phases, name="rehearsal", source="runbook rehearse", zone=INDIA)


def calendars(minutes: int = MINUTES, holiday: str = "") -> list[SessionCalendar]:
    """The rehearsed day, a weekend before it and a session after it, for the desk and the cash market under it.

    With the name of a `holiday` the day itself is closed.
    """
    made = []
    for exchange in ("NFO", "NSE"):
        held = session(exchange, minutes)
        opens = held.open + timedelta(days=1)
        nxt = Session(
            exchange,
            DAY + timedelta(days=1),
            ((opens, opens + timedelta(hours=6, minutes=25)),),
            name="regular",
            zone=INDIA,
        )
        days = {d: Day(d, DayStatus.CLOSED, "weekend") for d in (DAY - timedelta(days=2), DAY - timedelta(days=1))} | {
            DAY: Day(DAY, DayStatus.CLOSED, holiday)
            if holiday
            else Day(DAY, DayStatus.OPEN, "rehearsal", ("runbook rehearse",), session=held),
            nxt.date: Day(nxt.date, DayStatus.OPEN, "regular", ("runbook rehearse",), session=nxt),
        }
        made.append(SessionCalendar(exchange, INDIA, nxt.date, days))
    return made


def write_site(
    folder: Path, template: Path, *, url: str, stream: str, symbols: list[str], mode: str, phone: str
) -> None:
    """A site that points at the simulator; the key comes from the environment as on a real desk."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(
        template / "jobs", folder / "jobs", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "config.yaml").touch(mode=0o600)  # it holds a channel's address, which counts as a secret
    (folder / "config.yaml").write_text(
        f"""\
version: 1
exchange: NFO
mode: {mode}
openalgo: {{url: "{url}", stream: "{stream}", api_key: "${{OPENALGO_API_KEY}}"}}
symbols: {json.dumps(symbols)}
bot: {{trades: trades.csv}}
notify: {{phone: "{phone}"}}
""",
        encoding="utf-8",
    )


@dataclass(frozen=True, slots=True)
class Received:
    """One message as it reached the phone."""

    title: str
    body: str


@dataclass
class Phone:
    """An HTTP sink on loopback that Apprise's json:// reaches, in place of a person's phone."""

    ring: Callable[[Received], None]
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        phone = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                one = Received(body.get("title", ""), body.get("message", ""))
                phone.received.append(one)
                phone.ring(one)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="phone", daemon=True
        )

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self._server.server_address[1]}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
