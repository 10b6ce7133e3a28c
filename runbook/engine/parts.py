"""What an engine is made of, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from runbook.alert import BotMoved, ConfigDoubt, FeedMoved, SymbolStale
from runbook.almanac import Why
from runbook.ask import Standing
from runbook.clock import Clock, host_monotonic
from runbook.command import CommandSpec
from runbook.day import FeedChange, Request
from runbook.engine.crew import Crew
from runbook.job import Desk, JobSpec, Step
from runbook.ports import Commands
from runbook.remedy import Remedy
from runbook.run import Run
from runbook.session import SessionCalendar
from runbook.teller import Teller, Voice

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look, Store

SCHEDULER = "scheduler"  # the actor of what was not started by a person
BROKER_JOB = "verify_broker"


Spawn = Callable[[Callable[[], None], str], None]  # (work, its name)


class Alarm(Protocol):
    """Something that wakes the engine; see adapters/scheduler."""

    def start(self) -> None: ...
    def at(self, instant: datetime) -> None: ...
    def stop(self) -> None: ...


class Keeper(Protocol):
    """A part of the engine's turn that minds one kind of rows, and what the passing of time does to them."""

    def next(self, books: Books, now: datetime) -> datetime | None:
        """When to look again at the latest; None when nothing is foreseen."""
        ...

    def due(self, store: Look, now: datetime) -> None:
        """Do what is due, in transactions of its own."""
        ...


@dataclass(frozen=True, slots=True)
class FeedNews:
    """The feed changed its mode, or one instrument turned: a row, and what it means for the alerts (None: nothing)."""

    session: date
    change: FeedChange
    cause: FeedMoved | SymbolStale | None


@dataclass(frozen=True, slots=True)
class FeedTotals:
    """The feed's totals at a minute."""

    session: date
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BotNews:
    """What was found of the bot, where it means something for the alerts."""

    session: date
    cause: BotMoved


@dataclass(frozen=True, slots=True)
class CauseNews:
    """What means something for the alerts and leaves no row of its own: a configuration that is refused, a drill."""

    session: date
    cause: ConfigDoubt | FeedMoved


@dataclass(frozen=True, slots=True)
class CalendarNews:
    """The calendar was resolved anew, or could not be: then `fault` says why, and the last good table is in use."""

    why: Why
    fault: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of; `app` puts it together."""

    clock: Clock
    store: Store
    alarm: Alarm
    teller: Teller
    voice: Voice
    desk: Desk
    jobs: Sequence[JobSpec]
    steps: Mapping[str, Step]
    config_hash: str
    holder: str
    pid: int
    host: str
    calendar: Callable[[], SessionCalendar]
    state: Callable[[], Mapping[str, Any]]  # what the daemon says of itself beside its lease
    positions: Callable[[], str | None]
    mode: str
    on_run: Callable[[Run], None] = lambda _run: None
    calendar_due: Callable[[datetime], Why | None] = lambda _now: None  # costs a look at some file names
    calendar_renew: Callable[[datetime, Why], object] = lambda _now, _why: None  # seconds; never called by the turn
    spawn: Spawn = field(default_factory=lambda: Crew().do)  # how what takes long is begun
    seconds: Callable[[], float] = host_monotonic  # of real work, which time-outs are counted in
    asked: Callable[[Request], None] = lambda _request: None  # requests that are not the engine's own; must not block
    keepers: Sequence[Keeper] = ()  # what the turn minds after its own; made by whoever knows the doors
    asks: Sequence[Standing] = ()
    commands: Commands | None = None
    allowed: Sequence[CommandSpec] = ()
    remedies: Sequence[Remedy] = ()
