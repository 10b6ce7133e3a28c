"""A world around a real engine on a real ledger: steps that tests write, a clock that tests move, what was told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook import outbox
from runbook.adapters.store import Store
from runbook.alert import FeedMoved, FeedWord, Severity
from runbook.ask import Standing
from runbook.clock import RehearsalClock
from runbook.day import FeedChange
from runbook.engine import Engine, Parts
from runbook.engine.parts import Keeper
from runbook.errors import JobFailed
from runbook.job import Context, Found, JobSpec, Key, Step, Verdict
from runbook.run import Entry, Run, State
from runbook.session import INDIA, SessionCalendar
from runbook.teller import Teller, Voice
from runbook.trigger import Anchor, At, Every
from tests.fakes import (
    MONDAY,
    FakeAlarm,
    FakeDesk,
    FakeNotifier,
    at,
    calendar,
    ledger_file,
    until,
)

OK = Found(Verdict.OK, "fine")
BAD = Found(Verdict.BAD, "no login", hint="log in")


def job(name: str, *anchors: str, latest: str | None = None, **changes: Any) -> JobSpec:
    trigger = At(tuple(Anchor.parse(text) for text in anchors))
    made = JobSpec(name, f"jobs.{name}:step", trigger, 20.0, Anchor.parse(latest) if latest else None)
    return replace(made, **changes)


def often(name: str, every: str = "30m", start: str = "open", end: str = "close", **changes: Any) -> JobSpec:
    minutes = timedelta(minutes=int(every.removesuffix("m")))
    return replace(job(name, "open"), trigger=Every(minutes, Anchor.parse(start), Anchor.parse(end)), **changes)


def verify(**changes: Any) -> JobSpec:
    made = job("verify_broker", "open-60m", "open-10m", latest="close-15m", severity=Severity.CRITICAL)
    until_ok = replace(made, repeat_until_ok=timedelta(minutes=1), deadline=Anchor.parse("open-5m"))
    return replace(until_ok, **changes)


class Steps:
    """Steps by name, and what they were called with. A step that is not set finds that all is fine."""

    def __init__(self) -> None:
        self.does: dict[str, Callable[[Context], object]] = {}
        self.called: list[Context] = []

    def __call__(self, name: str) -> Step:
        def step(ctx: Context) -> object:
            self.called.append(ctx)
            return self.does.get(name, lambda _ctx: OK)(ctx)

        return step

    def names(self) -> list[str]:
        return [f"{ctx.key.job} {ctx.key.slot}" for ctx in self.called]


@dataclass
class World:
    """One engine on one ledger file; `again` is the next process on the same file."""

    folder: Path
    jobs: tuple[JobSpec, ...]
    now: datetime
    calendar: SessionCalendar = field(default_factory=calendar)
    busy_seconds: float = 10.0
    holder: str = "desk:1"
    channels: tuple[str, ...] = ("phone",)
    more: Mapping[str, Any] = field(default_factory=dict)  # further parts of the engine, by name
    steps_of: Callable[[str], Step] | None = None
    keepers: tuple[Keeper, ...] = ()
    family: list[World] = field(default_factory=list)
    asks: tuple[Standing, ...] = ()

    def __post_init__(self) -> None:
        self.family.append(self)
        self.store = Store(ledger_file(self.folder), busy_seconds=self.busy_seconds)
        self.clock = RehearsalClock(self.now)
        self.notifier, self.alarm, self.steps = FakeNotifier(), FakeAlarm(), Steps()
        self.runs: list[Run] = []
        self.on_run: Callable[[Run], object] = self.runs.append
        self.turns = 0
        self.positions: Callable[[], str | None] = lambda: None
        self.teller = Teller(self.store, self.notifier, self.channels, self.clock)
        self.engine = Engine(
            Parts(
                self.clock, self.store, self.alarm, self.teller, Voice(self.channels, INDIA, "http://desk"), FakeDesk(),
                self.jobs, {j.name: (self.steps_of or self.steps)(j.name) for j in self.jobs}, "abc", self.holder, 812, "desk",
                self._calendar, self._state, lambda: self.positions(), "local_paper", self._ran,
                asks=self.asks, keepers=self.keepers,
                **self.more,
            )
        )  # fmt: skip

    def _calendar(self) -> SessionCalendar:
        self.turns += 1  # asked once in every turn
        return self.calendar

    def _ran(self, done: Run) -> None:
        self.on_run(done)

    def _state(self) -> Mapping[str, Any]:
        return {"feed": {"running": False}}

    def start(self) -> World:
        self.engine.start(holder_is_dead=True)
        self.settle()
        return self

    def again(self, clock: str, day: date = MONDAY, **changes: Any) -> World:
        return replace(self, now=at(clock, day), **changes)

    def turn(self, times: int = 2) -> None:
        """Let the engine turn; with two a whole turn lies behind us."""
        seen = self.turns

        def turned() -> bool:
            self.engine.wake()
            return self.turns >= seen + times or self.engine.finished.is_set()

        until(turned, "the engine does not turn")

    def settle(self) -> None:
        """Until nothing runs and nothing more can start now."""
        for _ in range(3):
            self.turn()
            until(lambda: self.engine.idle or self.engine.finished.is_set(), "a step does not end")

    def go(self, *clocks: str, day: date = MONDAY) -> None:
        for clock in clocks:
            self.clock.jump_to(at(clock, day))
            self.settle()

    def entry(self, name: str, slot: str, day: date = MONDAY) -> Entry:
        with self.store.read() as books:
            found = books.ledger.entry(Key(day, name, slot))
        assert found is not None, (name, slot)
        return found

    def states(self, day: date = MONDAY) -> dict[str, State]:
        with self.store.read() as books:
            return {f"{e.key.job} {e.key.slot}": e.state for e in books.ledger.session(day)}

    def told(self) -> list[str]:
        """The titles of all messages in the outbox, whether sent or not."""
        with self.store.read() as books:
            return [row.message.title for row in books.alerts.messages_since(at("00:00", date(2026, 1, 1)))]

    def rows(self) -> list[outbox.Row]:
        with self.store.read() as books:
            return books.alerts.messages_since(at("00:00", date(2026, 1, 1)))

    def message(self, part: str) -> outbox.Row:
        with self.store.read() as books:
            rows = books.alerts.messages_since(at("00:00", date(2026, 1, 1)))
        (found,) = [row for row in rows if part in row.message.title]
        return found

    def ask(self, name: str, slot: str, day: date = MONDAY) -> str:
        with self.store.write() as books:
            data = {"session": str(day), "job": name, "slot": slot}
            number = books.desk.ask("run", data, "cli:me", self.clock.now())
        self.settle()
        with self.store.read() as books:
            asked = books.desk.request(number)
        assert asked is not None
        return asked.answer or "not answered"

    def stop(self) -> None:
        self.engine.stop()
        self.store.close()


def change(was: str, now: str, clock: str = "08:00") -> FeedChange:
    return FeedChange(at(clock), was, now, "no tick", None, {})


def moved(was: FeedWord, now: FeedWord, clock: str = "08:00") -> FeedMoved:
    return FeedMoved(was, now, at(clock), "no tick", feed="NIFTY")


def fail(_ctx: Context) -> object:
    raise JobFailed("the log is gone", hint="look for it")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    family: list[World] = []

    def made(*jobs: JobSpec, now: str = "08:00", day: date = MONDAY, **changes: Any) -> World:
        return World(tmp_path, jobs, at(now, day), family=family, **changes)

    yield made
    for world in family:
        world.stop()
