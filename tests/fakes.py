"""What stands in for the world in tests: real classes typed against ports.py, and days of a small calendar."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from runbook.adapters.store import Store
from runbook.budget import Budget
from runbook.clock import host_monotonic
from runbook.errors import RunbookError
from runbook.feed.events import StreamEvent
from runbook.job import Context, Found, Verdict
from runbook.market import Instrument, Quote
from runbook.ports import (
    Candle,
    Delivery,
    Fill,
    Gateway,
    GatewayMode,
    HolidayRow,
    Listing,
    MarketCalendar,
    Message,
    Notifier,
    OpenHours,
    Order,
    PositionBook,
    TickStream,
)
from runbook.session import INDIA, Day, DayStatus, Session, SessionCalendar

MONDAY, TUESDAY, WEDNESDAY, THURSDAY = (date(2026, 11, n) for n in (23, 24, 25, 26))
NIFTY = Instrument("NIFTY", "NSE_INDEX")


def at(clock: str, day: date = MONDAY) -> datetime:
    """A time of day in India, in UTC."""
    return datetime.fromisoformat(f"{day}T{clock}+05:30").astimezone(UTC)


def session(day: date = MONDAY, opens: str = "09:15", closes: str = "15:40") -> Session:
    return Session("NFO", day, ((at(opens, day), at(closes, day)),))


def calendar(*sessions: Session, closed: Mapping[date, str] | None = None) -> SessionCalendar:
    """The given sessions (Monday to Thursday unless named), and days that are closed by name."""
    held = sessions or tuple(session(day) for day in (MONDAY, TUESDAY, WEDNESDAY, THURSDAY))
    days = {s.date: Day(s.date, DayStatus.OPEN, s.name, session=s) for s in held}
    days |= {day: Day(day, DayStatus.CLOSED, why) for day, why in (closed or {}).items()}
    return SessionCalendar("NFO", INDIA, date(2026, 12, 31), days)


def until(what: Callable[[], object], why: str, seconds: float = 10.0) -> None:
    """Wait until `what` holds; fails with `why` when it does not. For what another thread or process does."""
    pause, end = threading.Event(), host_monotonic() + seconds
    while not what():
        if host_monotonic() > end:
            raise AssertionError(f"waited {seconds:g} s in vain: {why}")
        pause.wait(0.005)


@functools.cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runbook.db")
        store.migrate()
        store.close()
        return store.path.read_bytes()


def ledger_file(folder: Path) -> Path:
    """A ledger with its tables and nothing in them; migrated once, and copied from then on."""
    file = folder / "runbook.db"
    if not file.exists():
        file.write_bytes(_migrated())
    return file


class FakeNotifier:
    """Keeps what it is sent. A channel answers as `answers` says, hangs while it is in `hung`, until `close`."""

    def __init__(self, answers: Mapping[str, Sequence[tuple[Delivery, str]]] | None = None) -> None:
        self.sent: list[tuple[str, Message]] = []
        self.hung: set[str] = set()
        self.hangs = threading.Event()  # set once a send hangs
        self.answers = {name: list(script) for name, script in (answers or {}).items()}
        self._released = threading.Event()

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        if channel in self.hung:
            self.hangs.set()
            self._released.wait(timeout)
            return Delivery.UNKNOWN, "no answer"
        self.sent.append((channel, message))
        script = self.answers.get(channel)
        return script.pop(0) if script else (Delivery.SENT, "")

    def close(self) -> None:
        self._released.set()

    def titles(self, channel: str = "phone") -> list[str]:
        return [message.title for name, message in self.sent if name == channel]


class StillClock:
    """A clock on which only waiting takes time."""

    def __init__(self, now: datetime) -> None:
        self.at = now
        self.waited: list[float] = []

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def real(self, seconds: float) -> float:
        return seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waited.append(seconds)
        self.at += timedelta(seconds=seconds)
        return event.is_set()


class FakeAlarm:
    """An alarm clock that nobody winds up: tests wake the engine themselves."""

    def __init__(self) -> None:
        self.armed: list[datetime] = []
        self.running = False

    def start(self) -> None:
        self.running = True

    def at(self, instant: datetime) -> None:
        self.armed.append(instant)

    def stop(self) -> None:
        self.running = False


class FakeDesk:
    """Steps of these tests do their own work; what they ask of the desk is answered with OK."""

    def check_calendar(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "known")

    def verify_broker(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "verified")

    def start_feed(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "started")

    def check_feed(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "ticks")

    def reconcile(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "clean")

    def report(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "written")

    def back_up(self, ctx: Context) -> Found:
        return Found(Verdict.OK, "copied")


def quote(ltp: float = 26049.9, *, low: float = 0.0, high: float = 0.0) -> Quote:
    return Quote(NIFTY, ltp, 0.0, 0.0, high, low, 0.0, 0.0, 0, 0)


@dataclass
class FakeGateway:
    """An OpenAlgo in memory. What is in `faults` under a method's name is raised there; `asked` says what was called."""

    stands_on: GatewayMode = GatewayMode.LIVE
    quoted: Quote = field(default_factory=quote)
    money: Mapping[str, float] = field(default_factory=lambda: {"availablecash": 1.0})
    listings: tuple[Listing, ...] = ()
    faults: dict[str, RunbookError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def _note(self, name: str, budget: Budget) -> None:
        self.asked.append(name)
        budget.take(1.0)
        if name in self.faults:
            raise self.faults[name]

    def health(self, budget: Budget) -> str:
        self._note("health", budget)
        return "pass"

    def ping(self, budget: Budget) -> str:
        self._note("ping", budget)
        return "angel"

    def mode(self, budget: Budget) -> GatewayMode:
        self._note("mode", budget)
        return self.stands_on

    def quote(self, instrument: Instrument, budget: Budget) -> Quote:
        self._note(f"quote {instrument}", budget)
        if "quote" in self.faults:
            raise self.faults["quote"]
        return self.quoted

    def quotes(
        self, instruments: Sequence[Instrument], budget: Budget
    ) -> tuple[tuple[Quote, ...], tuple[tuple[Instrument, str], ...]]:
        self._note("quotes", budget)
        return (self.quoted,), ()

    def funds(self, budget: Budget) -> Mapping[str, float]:
        self._note("funds", budget)
        return self.money

    def orders(self, budget: Budget) -> tuple[GatewayMode, tuple[Order, ...]]:
        self._note("orders", budget)
        return self.stands_on, ()

    def trades(self, budget: Budget) -> tuple[GatewayMode, tuple[Fill, ...]]:
        self._note("trades", budget)
        return self.stands_on, ()

    def positions(self, budget: Budget) -> PositionBook:
        self._note("positions", budget)
        return PositionBook(self.stands_on, ())

    def search(self, query: str, exchange: str, budget: Budget) -> tuple[Listing, ...]:
        self._note("search", budget)
        return self.listings

    def last_candle(self, instrument: Instrument, day: date, budget: Budget) -> Candle | None:
        self._note("last_candle", budget)
        return None


class FakeMarketCalendar:
    """OpenAlgo's calendar of a server on which nobody entered one."""

    def holidays(self, year: int, budget: Budget) -> tuple[HolidayRow, ...]:
        return ()

    def timings(self, day: date, budget: Budget) -> tuple[OpenHours, ...]:
        return ()


class FakeStream:
    """A stream that emits a script as soon as it is connected, and remembers that it was closed."""

    def __init__(self, *script: StreamEvent) -> None:
        self._script = script
        self.closed = False

    def connect(self, generation: int, instruments: Sequence[Instrument], emit: Callable[[StreamEvent], None]) -> None:
        for event in self._script:
            emit(event)

    def resubscribe(self, *, authenticate: bool = True) -> None:
        raise AssertionError("nobody asks a probe to subscribe again")

    def follow(self, instruments: Sequence[Instrument]) -> None:
        raise AssertionError("nobody asks a probe to follow more")

    def hurry(self, on: bool) -> None:
        raise AssertionError("nobody is in a hurry with a probe")

    def drop(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True


def _typed() -> tuple[Gateway, MarketCalendar, TickStream, Notifier]:
    """Holds the fakes against the ports; mypy reads it, nobody calls it."""
    return FakeGateway(), FakeMarketCalendar(), FakeStream(), FakeNotifier()


__all__ = [
    "MONDAY",
    "NIFTY",
    "THURSDAY",
    "TUESDAY",
    "WEDNESDAY",
    "FakeAlarm",
    "FakeDesk",
    "FakeGateway",
    "FakeMarketCalendar",
    "FakeNotifier",
    "FakeStream",
    "at",
    "calendar",
    "ledger_file",
    "quote",
    "session",
    "until",
]
