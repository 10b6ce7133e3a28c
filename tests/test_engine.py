"""The engine on a real ledger: plan, claim, run, settle, decide, tell; and what a crash, a lock or a late start leave behind."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook import outbox, people
from runbook.adapters.store import Store
from runbook.agenda import agenda
from runbook.alert import FeedMoved, FeedWord, ReadyReached, Severity
from runbook.almanac import Why
from runbook.ask import Standing
from runbook.clock import RehearsalClock, host_monotonic
from runbook.day import FeedChange
from runbook.engine import Engine, FeedNews, FeedTotals, Parts
from runbook.engine.loop import TURN_EVERY
from runbook.engine.parts import Keeper
from runbook.errors import AlreadyRunning, CalendarError, JobFailed, Skip, StoreBusy
from runbook.job import Context, Found, IfLate, JobSpec, Key, OnAbandoned, Retries, Step, Verdict
from runbook.pause import Pause
from runbook.ports import Delivery
from runbook.run import Entry, Run, State
from runbook.session import INDIA, SessionCalendar
from runbook.teller import Teller, Voice
from runbook.trigger import Anchor, At, Every
from tests.fakes import (
    MONDAY,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    FakeAlarm,
    FakeDesk,
    FakeNotifier,
    StillClock,
    at,
    calendar,
    ledger_file,
    session,
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


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    family: list[World] = []

    def made(*jobs: JobSpec, now: str = "08:00", day: date = MONDAY, **changes: Any) -> World:
        return World(tmp_path, jobs, at(now, day), family=family, **changes)

    yield made
    for world in family:
        world.stop()


# -- one run ------------------------------------------------------------------------------------------------------------


def test_a_step_runs_at_its_time_with_all_it_needs_and_leaves_a_row(make):
    w = make(job("mine", "open-5m", settings={"limit": 3}))
    w.steps.does["mine"] = lambda _: Found(Verdict.ATTENTION, "a bit late", {"ltp": 1.5}, "look")
    w.start()
    assert w.states() == {"mine open-5m": State.PLANNED}
    w.go("09:09:59")
    assert w.steps.called == []
    w.go("09:10")
    (ctx,) = w.steps.called
    assert (ctx.key, ctx.session.date, ctx.actor) == (Key(MONDAY, "mine", "open-5m"), MONDAY, "scheduler")
    assert ctx.settings == {"limit": 3}
    assert at("09:10") <= ctx.now < at("09:11")
    assert 0 < ctx.budget.left() <= 20.0
    row = w.entry("mine", "open-5m")
    assert (row.state, row.verdict, row.reason) == (State.SUCCEEDED, Verdict.ATTENTION, "a bit late")
    assert row.last is not None
    assert (row.last.facts, row.last.hint, len(row.tries)) == ({"ltp": 1.5}, "look", 1)
    assert [r.key for r in w.runs] == [ctx.key]
    assert w.told() == []


class Poised:
    """A world whose engine is to look at what comes, a moment before 09:10; `seen` is what the step found when it began."""

    def __init__(self, made: World, before: float = 0.015) -> None:
        self.world = made
        self.seen: list[tuple[datetime, State, int]] = []
        self.spawned: list[tuple[datetime, Callable[[], None]]] = []
        made.steps.does["mine"] = self._step
        made.engine.take_over()
        made.engine.turn()
        self.clock = StillClock(at("09:10") - timedelta(seconds=before))
        made.engine._p = replace(made.engine._p, spawn=self._spawn, clock=self.clock)

    def _spawn(self, work: Callable[[], None], _name: str) -> None:
        self.spawned.append((self.clock.now(), work))

    def _step(self, _ctx: Context) -> object:
        row = self.world.entry("mine", "open-5m")
        self.seen.append((self.clock.now(), row.state, len(row.tries)))
        return OK

    def work(self) -> None:
        for _, work in self.spawned:
            work()


def test_what_is_due_in_a_moment_is_on_disk_before_it_and_begins_on_its_instant(make):
    w = make(job("mine", "open-5m"))
    poised = Poised(w)
    w.engine._poise()
    ((claimed, work),) = poised.spawned
    assert claimed < at("09:10")
    assert poised.clock.now() == at("09:10")  # the engine, too, stays out of the way until then
    assert w.entry("mine", "open-5m").state is State.RUNNING
    work()
    assert poised.seen == [(at("09:10"), State.RUNNING, 1)]
    w.engine.turn()
    row = w.entry("mine", "open-5m")
    assert row.state is State.SUCCEEDED
    assert row.last is not None
    assert (row.last.started, row.last.ended) == (at("09:10"), at("09:10"))


def test_a_step_that_was_claimed_a_moment_before_waits_for_its_instant_by_itself(make, monkeypatch):
    w = make(job("mine", "open-5m"))
    poised = Poised(w)
    with monkeypatch.context() as patched:
        patched.setattr(w.engine, "_until", lambda _instant: None)  # the engine goes on
        w.engine._poise()
    assert poised.clock.now() < at("09:10")
    poised.work()
    assert poised.seen == [(at("09:10"), State.RUNNING, 1)]


def test_a_step_does_not_wait_for_a_clock_that_was_put_back_in_that_moment(make):
    w = make(job("mine", "open-5m"))
    poised = Poised(w)
    w.engine._poise()
    poised.clock.at -= timedelta(hours=2)
    poised.clock.waited.clear()
    poised.work()
    assert len(poised.seen) == 1
    assert poised.clock.waited == []


def test_a_moment_before_nothing_is_ended_and_what_may_not_start_stays_as_it_is(make):
    w = make(job("mine", "open-5m"), job("first", "open-5m"), job("after", "open-5m", needs=("first",)))
    poised = Poised(w)
    with w.store.write() as books:
        books.pauses.add(Pause("mine", poised.clock.now(), None, "at the dentist", "cli:me"))
    w.engine._poise()
    assert [w.entry(name, "open-5m").state for name in ("mine", "first", "after")] == [
        State.PLANNED, State.RUNNING, State.PLANNED,
    ]  # fmt: skip
    w.engine.turn()
    assert w.entry("mine", "open-5m").state is State.SKIPPED
    assert poised.seen == []


def test_nothing_is_claimed_more_than_a_moment_before(make):
    w = make(job("mine", "open-5m"))
    poised = Poised(w, before=0.5)
    w.engine._poise()
    assert poised.spawned == []
    assert w.entry("mine", "open-5m").state is State.PLANNED


def test_an_engine_that_claims_is_not_idle(make):
    w = make(job("mine", "open-5m"))
    Poised(w)
    seen: list[bool] = []
    claim = w.engine._claim

    def looked(*args: Any, **more: Any) -> Any:
        seen.append(w.engine.idle)
        return claim(*args, **more)

    w.engine._claim = looked
    w.engine._poise()
    assert seen == [False]
    assert not w.engine.idle  # it runs


def test_a_fault_in_that_moment_ends_the_engine_with_a_word(make, caplog):
    w = make(job("mine", "open-5m"))
    Poised(w)

    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("by nothing")

    w.engine._claim = fail
    turns = w.turns
    w.engine._surely(w.engine._poise)
    assert w.engine.lost is not None
    assert "ZeroDivisionError" in w.engine.lost
    w.engine._loop()  # which ends at once
    assert (w.turns, w.engine.finished.is_set()) == (turns, True)


def circle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made


JUNK: tuple[Any, Any, Any] = ("splendid", None, [1])  # what a step may give where a verdict, a text, a mapping belong


def leave(_ctx: Context) -> object:
    raise SystemExit(2)


def fail(_ctx: Context) -> object:
    raise JobFailed("the log is gone", hint="look for it")


def divide(_ctx: Context) -> object:
    return 1 / 0


@pytest.mark.parametrize(
    ("step", "reason", "error_class"),
    [
        (fail, "the log is gone", "JobFailed"),
        (divide, "ZeroDivisionError: division by zero", "ZeroDivisionError"),
        (leave, "SystemExit: 2", "SystemExit"),
        (lambda _: 42, "the step returned int; accepted: Found(...) or None", "TypeError"),
        (lambda _: Found(Verdict.OK, "x", circle()), "what it found cannot be kept: Circular", "JobFailed"),
        (lambda _: Found(JUNK[0], "x"), "what it found cannot be kept: the verdict is", "JobFailed"),
        (lambda _: Found(Verdict.OK, JUNK[1]), "what it found cannot be kept: NoneType", "JobFailed"),
        (lambda _: Found(Verdict.OK, "x", JUNK[2]), "what it found cannot be kept: facts are a list", "JobFailed"),
    ],
)  # fmt: skip
def test_whatever_a_step_does_is_a_row_and_an_alarm_and_the_next_one_runs(step, reason, error_class, make):
    w = make(job("mine", "open"), job("next", "open+1m"))
    w.steps.does["mine"] = step
    w.start()
    w.go("09:15", "09:16")
    row = w.entry("mine", "open")
    assert (row.state, row.verdict) == (State.FAILED, Verdict.UNKNOWN)
    assert row.reason.startswith(reason)
    assert row.last is not None
    assert row.last.error_class == error_class
    assert [title for title in w.told() if "mine failed" in title] == w.told()
    assert len(w.told()) == 1
    assert w.states()["next open+1m"] is State.SUCCEEDED
    assert w.engine.lost is None


def test_a_skip_is_a_row_with_its_reason_and_alarms_nobody(make):
    def skip(_ctx: Context) -> object:
        raise Skip("no trades today")

    w = make(job("mine", "open"))
    w.steps.does["mine"] = skip
    w.start()
    w.go("09:15")
    assert (w.states(), w.entry("mine", "open").reason) == ({"mine open": State.SKIPPED}, "no trades today")
    assert w.told() == []


def test_the_next_success_of_a_job_ends_its_alarm(make):
    w = make(job("mine", "open", "open+1h"))
    w.steps.does["mine"] = fail
    w.start()
    w.go("09:15")
    w.steps.does["mine"] = lambda _: OK
    w.go("10:15")
    assert [("failed" in t, "works again" in t) for t in w.told()] == [(True, False), (False, True)]
    until(lambda: len(w.notifier.sent) == 2, "the messages are not sent")


def test_what_a_step_tells_goes_out_once_with_its_row_to_the_channels_of_its_job(make):
    w = make(job("mine", "open", to=("mail",)), channels=("phone", "mail"))
    w.steps.does["mine"] = lambda _: Found(Verdict.OK, "x", tell=("the day", ("line 1", "line 2")))
    w.start()
    w.go("09:15")
    row = w.message("the day")
    assert (row.channel, row.message.body) == ("mail", "line 1\nline 2")
    assert w.ask("mine", "open") == "started as attempt 2"
    assert len(w.told()) == 1
    until(lambda: w.notifier.titles("mail") == ["the day"], "it is not sent")


def test_the_alarm_clock_is_set_to_the_next_row(make):
    w = make(job("one", "open"), job("two", "close"))
    w.start()
    assert w.alarm.running
    assert w.alarm.armed == [at("09:15")]
    w.go("09:15")
    assert w.alarm.armed == [at("09:15"), at("15:40")]
    assert w.engine.next_due() == at("15:40")
    w.stop()
    assert not w.alarm.running


# -- what never returns ---------------------------------------------------------------------------------------------------


def test_a_step_that_never_returns_is_timed_out_and_no_other_is_late(make):
    released = threading.Event()
    w = make(job("hung", "open", timeout=0.1), job("prompt", "open"), job("later", "open+1m"))
    w.steps.does["hung"] = lambda _: released.wait(30.0)
    w.engine.start()
    w.turn()
    w.clock.jump_to(at("09:15"))
    w.turn()
    until(lambda: w.states()["prompt open"] is State.SUCCEEDED, "the prompt one waits for the hung one")
    assert w.states()["hung open"] is State.RUNNING
    w.go("09:16")
    row = w.entry("hung", "open")
    assert (row.state, row.verdict) == (State.TIMED_OUT, Verdict.UNKNOWN)
    assert "still running after 0.1 s" in row.reason
    assert w.states()["later open+1m"] is State.SUCCEEDED
    assert ["hung ran out of time" in t for t in w.told()] == [True]
    (ctx,) = [c for c in w.steps.called if c.key.job == "hung"]
    assert ctx.budget.stop.is_set()  # whoever waits on its budget ends now
    released.set()
    until(lambda: not [t for t in threading.enumerate() if t.name == "hung-open"], "the thread ends")
    w.settle()
    assert w.entry("hung", "open") == row  # what it gives back now does not count


def test_three_threads_left_behind_are_called_out(make, caplog):
    released = threading.Event()
    w = make(*(job(f"hung{n}", "open", timeout=0.05) for n in range(3)))
    for n in range(3):
        w.steps.does[f"hung{n}"] = lambda _: released.wait(30.0)
    with caplog.at_level(logging.ERROR, "runbook.engine"):
        w.start()
        w.go("09:15")
    assert set(w.states().values()) == {State.TIMED_OUT}
    assert "3 steps hang" in caplog.text
    until(w.engine.finished.is_set, "the engine goes on")
    assert all(f"hung{n} open of 2026-11-23" in (w.engine.lost or "") for n in range(3))
    assert not w.engine.fenced
    assert w.told()[-1] == "[CRIT] runbook ends: steps hang"
    released.set()


def test_threads_that_came_back_in_the_meantime_are_no_reason_to_end(make):
    gates = [threading.Event() for _ in range(3)]
    w = make(*(job(f"slow{n}", f"open+{n}m", timeout=0.05) for n in range(3)))
    for n, gate in enumerate(gates):
        w.steps.does[f"slow{n}"] = lambda _, gate=gate: gate.wait(30.0)
    w.start()
    for n in range(3):
        w.go(f"09:{15 + n}")
        assert w.states()[f"slow{n} open+{n}m"] is State.TIMED_OUT
        gates[n].set()
        until(lambda: not [t for t in threading.enumerate() if t.name.startswith("slow")], "the thread does not end")
    w.turn()
    assert w.engine.lost is None


def test_stopping_takes_seconds_whatever_hangs_and_says_so_in_the_row(make):
    released = threading.Event()
    w = make(job("hung", "open"), job("once", "open", on_abandoned=OnAbandoned.FAIL))
    w.steps.does |= dict.fromkeys(("hung", "once"), lambda _: released.wait(30.0))
    w.notifier.hung = {"phone"}
    w.engine.start()
    w.engine.post(FeedNews(MONDAY, change("live", "blind"), moved(FeedWord.LIVE, FeedWord.BLIND)))
    assert w.notifier.hangs.wait(5.0)
    w.clock.jump_to(at("09:15"))
    w.turn()
    until(lambda: len(w.steps.called) == 2, "both run")
    began = host_monotonic()
    w.engine.stop()
    assert host_monotonic() - began < 5.0
    assert all(ctx.budget.stop.is_set() for ctx in w.steps.called)
    hung, once = w.entry("hung", "open"), w.entry("once", "open")
    assert (once.state, once.reason) == (State.ABANDONED, "runbook was stopped while this ran")
    assert hung.state is State.PLANNED  # it may be run again, and the next start does
    assert hung.last is not None
    assert hung.last.outcome is State.ABANDONED
    with w.store.read() as books:
        lease = books.desk.lease()
    assert lease is not None
    assert lease.expires <= w.clock.now()
    released.set()


# -- repeated until it passes ---------------------------------------------------------------------------------------------


def test_a_check_is_repeated_quietly_each_minute_until_the_later_anchor_takes_over(make):
    w = make(verify(deadline=None))
    w.steps.does["verify_broker"] = lambda _: BAD
    w.start()
    w.go("08:15")
    assert len(w.steps.called) == 1
    w.go("08:15:50")
    assert len(w.steps.called) == 1
    w.go("08:16:05", "08:17:10")
    assert w.steps.names() == ["verify_broker open-60m"] * 3
    assert (w.states()["verify_broker open-60m"], w.told()) == (State.PLANNED, [])
    w.go("09:05")
    first = w.entry("verify_broker", "open-60m")
    assert (first.state, first.reason) == (State.SUCCEEDED, "no login; the check goes on as open-10m")
    assert w.steps.names()[-1] == "verify_broker open-10m"
    w.steps.does["verify_broker"] = lambda _: OK
    w.go("09:06:10", "09:30")
    second = w.entry("verify_broker", "open-10m")
    assert (second.state, len(second.tries)) == (State.SUCCEEDED, 2)
    assert len(w.steps.called) == 5


def test_a_check_that_passes_early_is_not_repeated(make):
    w = make(verify())
    w.start()
    w.go("08:15", "08:30")
    assert len(w.steps.called) == 1
    assert w.states()["verify_broker open-60m"] is State.SUCCEEDED


def test_a_broker_that_is_not_verified_is_critical_once_and_said_again_until_the_open(make):
    w = make(verify())
    w.steps.does["verify_broker"] = lambda _: BAD
    w.start()
    w.go("08:15", "08:44:30")
    assert w.told() == []
    w.go("08:45:31", "08:50")
    assert w.told() == ["[WARN] half an hour to the open, broker not verified"]
    assert "log in: http://desk" in w.message("half an hour").message.body
    w.go("09:05", "09:09:30")
    assert len(w.told()) == 1
    w.go("09:10:31", "09:12")
    (alarm,) = w.told()[1:]
    assert "[CRIT] broker not verified" in alarm
    w.go("09:12:40", "09:20")
    (again,) = w.told()[2:]
    assert "for 2m" in again, "said again until the open, and not after it"
    w.steps.does["verify_broker"] = lambda _: OK
    w.go("09:22")
    assert "broker verified" in w.told()[3]
    w.go("09:30", "15:30")
    assert len(w.told()) == 4


def test_the_reminder_is_not_repeated_by_a_restart_and_not_lost_by_a_start_just_then(make):
    """Started at open-29m: the first look has no verdict in the turn in which the reminder would be due."""
    w = make(verify(), now="08:46")
    w.steps.does["verify_broker"] = lambda _: BAD
    w.start()
    w.settle()
    assert w.told().count("[WARN] half an hour to the open, broker not verified") == 1
    w.stop()
    v = w.again("08:50")
    v.steps.does["verify_broker"] = lambda _: BAD
    v.start()
    v.go("08:52")
    assert v.told().count("[WARN] half an hour to the open, broker not verified") == 1


def test_nobody_is_reminded_when_the_broker_is_verified(make):
    w = make(verify())
    w.start()
    w.go("08:15", "08:46", "09:00")
    assert w.told() == []


def test_a_login_that_was_seen_is_not_asked_for_again_when_the_token_dies(make):
    w = make(verify(deadline=None)).start()
    w.go("08:15")
    w.steps.does["verify_broker"] = lambda _: BAD
    w.go("09:05")
    w.stop()
    v = w.again("09:07")
    v.steps.does["verify_broker"] = lambda _: BAD
    v.start()
    assert [t for t in v.told() if "LOGIN" in t] == []


def test_ready_is_told_once(make):
    w = make(verify())
    ready = ReadyReached(MONDAY, "READY for Mon 23 Nov", ("NFO 09:15-15:40",))
    w.steps.does["verify_broker"] = lambda _: replace(OK, causes=(ready,))
    w.start()
    w.go("08:15", "09:05")
    assert w.told() == ["READY for Mon 23 Nov"]
    assert w.ask("verify_broker", "open-10m") == "started as attempt 2"
    assert w.told() == ["READY for Mon 23 Nov"]


@pytest.mark.parametrize("before", [timedelta(milliseconds=15), timedelta(seconds=1)])
def test_what_is_due_in_a_moment_begins_on_its_instant_although_no_alarm_comes(make, before):
    w = make(job("mine", "open"), now="09:14")
    w.clock.jump_to(at("09:15") - before)
    w.start()
    until(lambda: w.steps.called, "it begins")
    late = w.steps.called[0].now - at("09:15")
    assert timedelta() <= late < timedelta(seconds=TURN_EVERY - 1), "an idle turn would have come later"


def test_a_hung_check_is_tried_again(make):
    released = threading.Event()
    w = make(verify(timeout=0.05, deadline=None))
    w.steps.does["verify_broker"] = lambda _: released.wait(30.0)
    w.start()
    w.go("08:15")
    w.steps.does["verify_broker"] = lambda _: OK
    w.go("08:16:30")
    row = w.entry("verify_broker", "open-60m")
    assert [t.outcome for t in row.tries] == [State.TIMED_OUT, State.SUCCEEDED]
    released.set()


# -- one after another ----------------------------------------------------------------------------------------------------


THRICE = Retries(2, timedelta(minutes=1))


def test_a_failure_with_retries_left_is_made_again_quietly_and_ends_well(make):
    w = make(job("sum", "open-30m", retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45", "08:45:59")
    assert len(w.steps.called) == 1
    assert w.entry("sum", "open-30m").state is State.PLANNED
    w.go("08:46:05", "08:47:59")
    assert len(w.steps.called) == 2  # the second wait is twice as long
    w.steps.does["sum"] = lambda _ctx: OK
    w.go("08:48:15")
    held = w.entry("sum", "open-30m")
    assert (held.state, held.verdict, [t.outcome for t in held.tries]) == (
        State.SUCCEEDED, Verdict.OK, [State.FAILED, State.FAILED, State.SUCCEEDED],
    )  # fmt: skip
    assert w.told() == []


def test_a_failure_whose_retries_are_spent_is_told_once(make):
    w = make(job("sum", "open-30m", retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45", "08:46:05", "08:48:15", "08:52:30", "09:30")
    held = w.entry("sum", "open-30m")
    assert (held.state, len(held.tries)) == (State.FAILED, 3)
    assert len(w.told()) == 1


def test_a_failure_that_is_still_there_at_its_deadline_is_told_while_it_is_tried_on(make):
    w = make(job("sum", "open-30m", deadline=Anchor.parse("open-29m"), retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45", "08:46:05")
    assert w.entry("sum", "open-30m").state is State.PLANNED
    assert len(w.told()) == 1


def test_a_hung_attempt_is_made_again_too(make):
    w = make(job("sum", "open-30m", timeout=0.2, retries=THRICE))
    hang = threading.Event()
    w.steps.does["sum"] = lambda _ctx: hang.wait(30)
    w.start().go("08:45")
    until(lambda: w.entry("sum", "open-30m").state is State.PLANNED, "it is not given up")
    w.steps.does["sum"] = lambda _ctx: OK
    w.go("08:46:10")
    hang.set()
    assert [t.outcome for t in w.entry("sum", "open-30m").tries] == [State.TIMED_OUT, State.SUCCEEDED]


def test_retries_that_fell_into_a_downtime_are_over_and_told(make):
    w = make(job("sum", "open-30m", latest="open-20m", retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45")
    w.stop()
    later = w.again("09:30").start()
    held = later.entry("sum", "open-30m")
    assert (held.state, "not tried after 08:55" in held.reason) == (State.FAILED, True)
    assert "failed: sum of 2026-11-23: the log is gone; not tried" in later.message("started").message.body


def test_what_comes_after_another_waits_for_it_and_runs_whatever_it_came_to(make):
    released = threading.Event()
    w = make(job("recon", "close+10m"), job("report", "close+10m", after=("recon",)))

    def recon(_ctx: Context) -> object:
        released.wait(10.0)
        raise JobFailed("books are gone")

    w.steps.does["recon"] = recon
    w.start()
    w.clock.jump_to(at("15:50"))
    w.turn(4)
    assert w.states() == {"recon close+10m": State.RUNNING, "report close+10m": State.PLANNED}
    released.set()
    w.settle()
    assert w.states() == {"recon close+10m": State.FAILED, "report close+10m": State.SUCCEEDED}


def test_what_needs_another_is_skipped_when_that_failed(make):
    w = make(job("first", "open"), job("second", "open", needs=("first",)), job("third", "open", needs=("second",)))
    w.steps.does["first"] = fail
    w.start()
    w.go("09:15")
    assert w.entry("second", "open").reason == "dependency (first failed)"
    assert w.entry("third", "open").reason == "dependency (second skipped)"
    assert w.steps.names() == ["first open"]


def test_two_rows_of_one_job_do_not_run_at_once(make):
    w = make(job("mine", "open", "open+1m"), now="09:20")
    running, most = 0, 0
    lock = threading.Lock()

    def count(_ctx: Context) -> object:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.05)
        with lock:
            running -= 1
        return OK

    w.steps.does["mine"] = count
    w.start()
    assert set(w.states().values()) == {State.SUCCEEDED}
    assert most == 1


def test_a_job_that_must_not_be_late_is_skipped_by_a_late_start(make):
    w = make(job("gate", "open-30m", if_late=IfLate.SKIP), job("feed", "open-30m"), now="09:00")
    w.start()
    assert w.states() == {"gate open-30m": State.SKIPPED, "feed open-30m": State.SUCCEEDED}
    assert "if_late: skip" in w.entry("gate", "open-30m").reason


# -- restarts ------------------------------------------------------------------------------------------------------------


def test_a_restart_plans_nothing_twice_and_runs_nothing_twice(make):
    w = make(verify(), often("check"), job("report", "close+30m"))
    w.start()
    w.go("08:15", "09:05", "09:15", "09:45", "10:15")
    before = w.states()
    w.stop()
    v = w.again("10:20").start()
    v.go("10:45")
    assert v.states().keys() == before.keys()
    assert v.steps.names() == ["check 0004"]
    with v.store.read() as books:
        assert {len(e.tries) for e in books.ledger.session(MONDAY)} == {0, 1}
        assert books.ledger.sessions(9) == [WEDNESDAY, TUESDAY, MONDAY]
    assert (w.engine.epoch, v.engine.epoch) == (1, 2)


def test_a_start_in_mid_session_sends_one_message_that_says_all(make):
    w = make(often("check"), job("gone", "open+45m", latest="open+60m"), job("late", "open+90m"), job("done", "open"))
    w.start()
    w.go("09:15")
    w.stop()
    v = w.again("11:00").start()
    assert v.told() == ["[WARN] runbook started in mid-session"]
    lines = v.message("mid-session").message.body.splitlines()
    assert lines[0].startswith("down: Mon 23 Nov 09:15 - Mon 23 Nov 11:00")
    assert lines[1:3] == ["missed: check of 2026-11-23, 2 times", "missed: gone of 2026-11-23"]
    assert lines[3] == "runs now: check, late"
    assert v.steps.names() in (["check 0004", "late open+90m"], ["late open+90m", "check 0004"])
    gone = v.entry("gone", "open+45m")
    assert (gone.state, gone.reason) == (State.MISSED, "runbook was not running; latest start was 10:15")
    v.go("11:15")
    assert len(v.told()) == 1


def test_a_deadline_that_passed_before_the_start_is_no_message_beside_that_of_the_start(make):
    slow = replace(job("slow", "open+30m", latest="close"), deadline=Anchor.parse("open+40m"), timeout=600.0)
    w = make(often("check"), slow).start()
    w.go("09:15")
    w.stop()
    release = threading.Event()
    v = w.again("11:00")
    v.steps.does["slow"] = lambda _ctx: (release.wait(20), OK)[1]
    v.engine.start(holder_is_dead=True)
    v.turn()
    for clock in ("11:00:10", "11:00:20"):
        v.clock.jump_to(at(clock))
        v.turn()
    assert v.told() == ["[WARN] runbook started in mid-session"]
    assert "runs now: check, slow" in v.message("mid-session").message.body
    release.set()
    until(lambda: v.states()["slow open+30m"] is State.SUCCEEDED, "the late step does not end")


def test_the_first_start_of_all_says_nothing_of_the_days_before(make):
    w = make(often("check"), job("report", "close+30m", catch_up_sessions=5), now="08:00", day=TUESDAY)
    w.start()
    assert w.states(MONDAY) == {}
    assert w.told() == []


def test_after_days_away_what_can_be_caught_up_is_and_the_rest_is_missed(make):
    w = make(job("recon", "close+10m", latest="close+11h"), job("report", "close+30m", catch_up_sessions=5))
    w.start()
    w.stop()
    v = w.again("08:00", WEDNESDAY).start()
    assert [v.states(day) for day in (MONDAY, TUESDAY)] == [
        {"recon close+10m": State.MISSED, "report close+30m": State.SUCCEEDED}
    ] * 2
    assert v.told() == ["[WARN] runbook was not running"]


def crashed(make: Callable[..., World], *jobs: JobSpec, on: str) -> World:
    """A ledger as kill -9 leaves it: one row running in epoch 1, the lease not given back."""
    w = make(*jobs)
    with w.store.write() as books:
        books.ledger.plan(agenda(jobs, [session()]), "abc")
        epoch = books.desk.take("desk:0", 1, "desk", at("09:15"), timedelta(seconds=15))
        for entry in books.ledger.session(MONDAY):
            if entry.key.slot == on:
                assert books.ledger.claim(entry.key, "scheduler", at("09:15"), epoch)
    return w.again("09:20")


def test_what_a_killed_process_left_running_is_abandoned_and_run_again(make):
    w = crashed(make, job("mine", "open"), on="open").start()
    row = w.entry("mine", "open")
    assert [(t.n, t.outcome) for t in row.tries] == [(1, State.ABANDONED), (2, State.SUCCEEDED)]
    assert "how far it came is not known" in row.tries[0].reason
    assert w.told() == ["[WARN] runbook started in mid-session"]
    assert "runs now: mine" in w.message("mid-session").message.body


def test_what_must_not_be_run_again_stays_abandoned_and_alarms(make):
    w = crashed(make, job("mine", "open", on_abandoned=OnAbandoned.FAIL), on="open").start()
    assert w.states() == {"mine open": State.ABANDONED}
    assert [t for t in w.told() if "mine failed" in t]
    assert w.steps.called == []


def test_a_repeat_that_was_cut_off_is_not_made_up_for(make):
    w = crashed(make, often("check"), on="0001").start()
    assert w.states()["check 0001"] is State.ABANDONED
    assert w.told() == ["[WARN] runbook started in mid-session"]


def test_a_row_of_a_job_that_is_gone_is_abandoned_and_no_more(make):
    w = crashed(make, job("mine", "open"), on="open")
    v = w.again("09:20", jobs=(job("other", "open"),)).start()
    assert v.states() == {"mine open": State.ABANDONED, "other open": State.SUCCEEDED}


def test_what_lives_in_the_process_runs_again_with_a_new_one(make):
    feed = job("start_feed", "open-15m", latest="close-15m", resident=True)
    w = make(feed, job("once", "open-15m"))
    w.start()
    w.go("09:00")
    w.stop()
    v = w.again("10:00").start()
    assert v.steps.names() == ["start_feed open-15m"]
    assert [t.n for t in v.entry("start_feed", "open-15m").tries] == [1, 2]
    v.stop()
    assert w.again("15:30").start().steps.names() == []  # past its latest start
    assert w.again("08:00", TUESDAY).start().steps.names() == []  # of a session that is over


def test_a_live_holder_is_not_pushed_aside(make):
    w = make(job("mine", "open")).start()
    other = w.again("08:00", holder="desk:2")
    with pytest.raises(AlreadyRunning, match="pid 812 on desk"):
        other.engine.start()
    assert w.engine.lost is None


def test_who_loses_the_lease_starts_nothing_more_and_ends(make):
    w = make(job("mine", "open"), often("check")).start()
    released = threading.Event()
    w.steps.does["mine"] = lambda _: released.wait(20.0)
    w.clock.jump_to(at("09:15"))
    w.turn(4)
    v = w.again("09:20", holder="desk:2").start()  # abandons `mine` and runs it itself
    assert v.states()["mine open"] is State.SUCCEEDED
    w.clock.jump_to(at("09:46"))
    w.engine.wake()
    assert w.engine.finished.wait(5.0)
    assert w.engine.lost == "another process has taken the lease of this database"
    assert "check 0002" not in w.steps.names()
    w.engine.stop()
    assert v.states()["mine open"] is State.SUCCEEDED  # its last words change nothing of the other's
    assert len(v.entry("mine", "open").tries) == 2
    with v.store.read() as books:
        lease = books.desk.lease()
    assert lease is not None
    assert (lease.holder, lease.expires > at("09:20")) == ("desk:2", True)
    released.set()


def test_what_a_feed_says_to_an_engine_that_slept_through_a_take_over_is_neither_kept_nor_told(make):
    """It was stopped, and goes on where it was: the news that it holds would be the first thing it writes."""
    w = make(often("check")).start()
    v = w.again("09:20", holder="desk:2").start()
    before = len(v.notifier.sent)
    w.engine.post(FeedTotals(MONDAY, at("09:20"), {"ticks": 7}))
    assert w.engine.finished.wait(5.0)
    assert w.engine.lost == "another process has taken the lease of this database"
    w.engine.stop()
    with v.store.read() as books:
        assert books.feed.samples(MONDAY) == []
    assert w.notifier.sent == []
    assert len(v.notifier.sent) == before


def test_the_lease_is_renewed_with_word_of_how_things_stand(make):
    w = make(job("mine", "open")).start()
    w.go("08:10")
    with w.store.read() as books:
        lease = books.desk.lease()
    assert lease is not None
    assert lease.renewed >= at("08:10")
    assert lease.data == {"feed": {"running": False}}


# -- by hand --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [OK, BAD])
def test_what_is_run_by_hand_before_its_time_stays_planned(result, make):
    w = make(verify(deadline=None))
    w.steps.does["verify_broker"] = lambda _: result
    w.start()
    assert w.ask("verify_broker", "open-60m") == "started as attempt 1"
    row = w.entry("verify_broker", "open-60m")
    assert (row.state, row.occurrence.due, row.verdict) == (State.PLANNED, at("08:15"), result.verdict)
    assert (row.tries[0].actor, w.steps.called[0].actor) == ("cli:me", "cli:me")
    w.go("08:05")
    assert len(w.steps.called) == 1
    w.go("08:15")
    assert [t.actor for t in w.entry("verify_broker", "open-60m").tries] == ["cli:me", "scheduler"]


def test_a_request_is_answered_whatever_it_asks(make):
    released = threading.Event()
    w = make(job("mine", "open"), job("hung", "open")).start()
    w.steps.does["hung"] = lambda _: released.wait(20.0)
    assert w.ask("nobody", "open") == "there is no nobody open of 2026-11-23"
    assert w.ask("mine", "close") == "there is no mine close of 2026-11-23"
    w.clock.jump_to(at("09:15"))
    w.turn(4)
    with w.store.write() as books:
        number = books.desk.ask("run", {"session": str(MONDAY), "job": "hung", "slot": "open"}, "x", at("09:15"))
    w.turn()
    with w.store.read() as books:
        asked = books.desk.request(number)
    assert asked is not None
    assert asked.answer == "hung open of 2026-11-23 is running already"
    released.set()
    assert w.ask("mine", "open") == "started as attempt 2"


def test_a_run_of_a_day_that_the_calendar_lost_is_a_failed_row(make):
    w = make(job("mine", "open")).start()
    w.go("09:15")
    w.calendar = calendar(session(TUESDAY))
    assert w.ask("mine", "open").startswith("started")
    assert w.entry("mine", "open").reason == "LookupError: the calendar no longer has 2026-11-23"


def test_one_job_can_be_run_without_an_engine_turning(make):
    w = make(job("mine", "open"), now="10:00")
    w.steps.does["mine"] = lambda _: Found(Verdict.BAD, "hm", tell=("title", ("line",)))
    key = Key(MONDAY, "mine", "open")
    done = w.engine.run_here(key, "cli:me", again=True)
    assert (done.outcome, done.verdict, done.actor) == (State.SUCCEEDED, Verdict.BAD, "cli:me")
    assert w.entry("mine", "open").state is State.SUCCEEDED
    assert w.told() == ["title"]
    until(lambda: w.notifier.titles() == ["title"], "it is not sent")
    with pytest.raises(JobFailed, match="runs already or has ended"):
        w.again("10:01").engine.run_here(key, "cli:me", again=False)


def test_one_job_that_hangs_is_given_up_without_an_engine_too(make):
    released = threading.Event()
    w = make(job("mine", "open", timeout=0.05), now="10:00")
    w.steps.does["mine"] = lambda _: released.wait(20.0)
    done = w.engine.run_here(Key(MONDAY, "mine", "open"), "cli:me", again=True)
    assert done.outcome is State.TIMED_OUT
    assert w.entry("mine", "open").state is State.TIMED_OUT
    released.set()


# -- the ledger refuses, the ledger is busy ----------------------------------------------------------------------------------


def test_a_run_its_alert_and_its_messages_are_written_together_or_not_at_all(make):
    """The transaction fails after the run and the alert are in it: another reader sees none of the three."""
    w = make(job("mine", "open"))
    w.steps.does["mine"] = fail
    seen: list[tuple[State, object, int, int]] = []
    other = Store(w.store.path)

    def broken() -> str:
        with other.read() as books:
            row = books.ledger.entry(Key(MONDAY, "mine", "open"))
            assert row is not None
            assert row.last is not None
            seen.append((row.state, row.last.outcome, len(books.alerts.unresolved()), books.alerts.unsent()))
        if len(seen) < 3:
            raise StoreBusy
        return "flat"

    w.positions = broken
    w.start()
    w.go("09:15")
    other.close()
    assert seen == [(State.RUNNING, None, 0, 0)] * 3
    assert w.states() == {"mine open": State.FAILED}
    assert len(w.told()) == 1
    with w.store.read() as books:
        assert len(books.alerts.unresolved()) == 1


def change(was: str, now: str, clock: str = "08:00") -> FeedChange:
    return FeedChange(at(clock), was, now, "no tick", None, {})


def moved(was: FeedWord, now: FeedWord, clock: str = "08:00") -> FeedMoved:
    return FeedMoved(was, now, at(clock), "no tick", feed="NIFTY")


def refused(w: World, caplog: pytest.LogCaptureFixture, times: int) -> None:
    """Wait until the ledger has refused so many turns more."""
    seen = caplog.text.count("stayed locked")

    def refused_again() -> bool:
        w.engine.wake()
        return caplog.text.count("stayed locked") >= seen + times

    until(refused_again, "the ledger refuses nothing")


def test_a_busy_ledger_loses_nothing_and_keeps_the_order(make, caplog):
    w = make(verify(), job("mine", "open-15m"), busy_seconds=0.05)
    w.start()
    holding = sqlite3.connect(w.store.path, isolation_level=None, check_same_thread=False)
    w.steps.does["verify_broker"] = lambda _: BAD
    w.go("08:15", "08:44:58")
    begun = threading.Event()

    def hold(_ctx: Context) -> object:
        holding.execute("BEGIN IMMEDIATE")
        begun.set()
        return OK

    w.steps.does["mine"] = hold
    w.clock.jump_to(at("09:00"))
    w.engine.wake()
    assert begun.wait(5.0)
    for n, now in enumerate(("suspect", "fallback", "probation", "live")):
        w.engine.post(FeedNews(MONDAY, change(str(n), now), None))
    w.engine.post(FeedTotals(MONDAY, at("09:00"), {"ticks": 7}))
    refused(w, caplog, 2)
    seen = w.turns
    refused(w, caplog, 3)
    assert w.turns == seen  # it gets no further than its first write
    assert w.engine.lost is None
    assert not w.engine.idle
    with w.store.read() as books:
        assert books.feed.changes(MONDAY) == []
    holding.execute("COMMIT")
    holding.close()
    w.settle()
    with w.store.read() as books:
        assert [c.now for c in books.feed.changes(MONDAY)] == ["suspect", "fallback", "probation", "live"]
        assert [s.data for s in books.feed.samples(MONDAY)] == [{"ticks": 7}]
    assert w.states()["mine open-15m"] is State.SUCCEEDED
    assert w.told() == [
        "[WARN] half an hour to the open, broker not verified"
    ]  # the reminder that was due is not lost either


def test_a_calendar_that_changes_while_the_ledger_is_busy_is_planned_later(make, caplog):
    w = make(job("mine", "open"), busy_seconds=0.05).start()
    holding = sqlite3.connect(w.store.path, isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    w.calendar = calendar(session(opens="10:15"))
    refused(w, caplog, 2)
    holding.execute("COMMIT")
    holding.close()
    w.settle()
    assert w.entry("mine", "open").occurrence.due == at("10:15")


def test_a_fault_of_the_engine_itself_ends_the_process_with_its_name(make):
    w = make(job("mine", "open"))
    w.on_run = lambda _run: 1 / 0
    w.engine.start()
    w.clock.jump_to(at("09:15"))
    w.engine.wake()
    assert w.engine.finished.wait(5.0)
    assert w.engine.lost == "the engine failed: ZeroDivisionError: division by zero"
    assert w.states() == {"mine open": State.SUCCEEDED}


# -- the calendar, and the whole day ------------------------------------------------------------------------------------------


def test_rows_are_planned_for_the_running_session_and_the_two_to_come(make):
    w = make(job("mine", "open"), now="10:00").start()
    with w.store.read() as books:
        assert books.ledger.sessions(9) == [WEDNESDAY, TUESDAY, MONDAY]
    w.go("00:06", day=TUESDAY)
    w.go("00:04", day=WEDNESDAY)
    with w.store.read() as books:
        assert books.ledger.sessions(1) == [WEDNESDAY]
    w.go("00:06", day=WEDNESDAY)
    with w.store.read() as books:
        assert books.ledger.sessions(1) == [date(2026, 11, 26)]


def test_a_calendar_that_changes_moves_what_is_planned_and_cancels_a_closed_day(make, caplog):
    w = make(verify(), job("report", "close+30m")).start()
    w.go("08:15")
    with caplog.at_level(logging.INFO, "runbook.engine"):
        evening = session(opens="18:00", closes="19:00")
        w.calendar = calendar(evening, session(WEDNESDAY), closed={TUESDAY: "Guru Nanak Jayanti"})
        w.settle()
    with w.store.read() as books:
        (told,) = [row for row in books.alerts.messages(MONDAY) if row.key.startswith("plan@")]
    assert told.message.title == "[INFO] the plan has changed"
    for line in (
        "report of 2026-11-23: Mon 23 Nov 16:10 -> Mon 23 Nov 19:30",
        "verify_broker of 2026-11-24 cancelled (closed: Guru Nanak Jayanti), 2 times",
    ):
        assert line in caplog.text
        assert line.split()[0] in told.message.body
    assert w.entry("verify_broker", "open-60m").occurrence.planned == at("08:15")  # it has run
    assert w.entry("verify_broker", "open-10m").occurrence.due == at("17:50")
    assert set(w.states(TUESDAY).values()) == {State.CANCELLED}
    assert "the calendar or the jobs changed" in w.entry("report", "close+30m", TUESDAY).reason
    w.calendar = calendar()
    w.settle()
    assert set(w.states(TUESDAY).values()) == {State.PLANNED}  # a wrong "closed" is as bad as a wrong "open"


def test_a_job_that_was_taken_out_is_cancelled_and_one_put_in_is_planned(make):
    w = make(job("old", "open")).start()
    w.stop()
    v = w.again("08:30", jobs=(job("new", "open"),)).start()
    assert v.states() == {"old open": State.CANCELLED, "new open": State.PLANNED}


def test_every_row_of_a_finished_session_is_final_and_says_why(make):
    day = (
        verify(), job("start_feed", "open-15m", latest="close-15m", resident=True), often("check"),
        job("strict", "open+1h", if_late=IfLate.SKIP), job("needy", "open", needs=("failing",)),
        job("failing", "open-5m"), job("recon", "close+10m"), job("report", "close+30m", after=("recon",)),
        job("dozing", "open+2h", latest="open+2h"),
    )  # fmt: skip
    w = make(*day)
    w.steps.does |= {"failing": fail, "verify_broker": lambda _: BAD}
    w.start()
    clock = at("08:00")
    while clock < at("15:20"):
        clock += timedelta(minutes=19, seconds=30)
        w.clock.jump_to(clock)
        w.settle()
    w.go("15:26", "15:41", "15:50", "16:10")
    states = w.states()
    assert {s.final for s in states.values()} == {True}, {k: s for k, s in states.items() if not s.final}
    with w.store.read() as books:
        assert all(e.reason for e in books.ledger.session(MONDAY))
        assert books.ledger.open_before(TUESDAY) == []
    assert states["needy open"] is State.SKIPPED
    assert states["dozing open+2h"] is State.MISSED
    assert states["report close+30m"] is State.SUCCEEDED
    assert w.entry("verify_broker", "open-10m").reason == "no login; not tried after 15:25"
    assert any("dozing missed its time" in t for t in w.told())


def test_the_feed_s_news_is_a_row_and_an_alarm_that_opens_after_its_hold(make):
    w = make(job("mine", "open")).start()
    w.engine.post(FeedNews(MONDAY, change("live", "fallback"), moved(FeedWord.LIVE, FeedWord.FALLBACK)))
    w.settle()
    assert w.told() == []
    assert w.alarm.armed[-1] == at("08:00:15")  # woken when the hold runs out, not by the next pulse
    w.go("08:00:20")
    assert ["feed on REST" in title for title in w.told()] == [True]
    w.engine.post(FeedNews(MONDAY, change("probation", "live"), moved(FeedWord.PROBATION, FeedWord.LIVE, "08:05")))
    w.engine.post(FeedTotals(MONDAY, at("08:05"), {"ticks": 1}))
    w.settle()
    assert len(w.told()) == 2
    with w.store.read() as books:
        assert [c.now for c in books.feed.changes(MONDAY)] == ["fallback", "live"]
        assert len(books.feed.samples(MONDAY)) == 1


def test_what_nobody_has_seen_is_said_again_in_time_and_an_acknowledgement_of_another_process_ends_it(make):
    w = make(job("mine", "open"), now="10:00").start()
    w.engine.post(FeedNews(MONDAY, change("live", "blind", "10:00"), moved(FeedWord.LIVE, FeedWord.BLIND, "10:00")))
    w.settle()
    assert w.alarm.armed[-1] == at("10:02"), "woken for the reminder, not by the next pulse"
    w.go("10:02")
    assert [title.split(" since")[0] for title in w.told()] == [
        "[CRIT] feed BLIND, no price from anywhere", "[CRIT] feed BLIND, no price from anywhere, for 2m00s now,",
    ]  # fmt: skip
    other = Store(w.store.path)
    with other.write() as books:
        people.ack(books, 1, "on it", "cli:me", w.clock.now())
    other.close()
    w.go("10:04", "10:06")
    assert len(w.told()) == 2


def test_a_channel_that_delivers_nothing_is_told_over_the_other_by_the_engines_own_turn(make):
    w = make(job("mine", "open"), now="09:10", channels=("phone", "mail"))
    w.notifier.answers["phone"] = [(Delivery.MISCONFIGURED, "Unauthorized, error=401")]
    w.steps.does["mine"] = fail
    w.start()
    w.go("09:15")
    until(lambda: "401" in str([r.reason for r in w.rows()]), "it is not tried")
    w.settle()
    (row,) = [row for row in w.rows() if "channel phone" in row.message.title]
    assert (row.channel, "error=401" in row.message.body) == ("mail", True)
    assert {row.epoch for row in w.rows() if row.attempts} == {1}


def test_the_last_words_of_the_feed_are_written_although_we_stop(make):
    w = make(job("mine", "open")).start()
    w.on_run = lambda _run: 1 / 0
    w.clock.jump_to(at("09:15"))
    w.engine.wake()
    assert w.engine.finished.wait(5.0)  # it turns no more: what comes now is taken by the stop
    w.engine.post(FeedTotals(MONDAY, at("08:05"), {"ticks": 1}))
    w.engine.stop()
    with w.store.read() as books:
        assert len(books.feed.samples(MONDAY)) == 1


# -- the calendar is resolved anew, and days nobody knows --------------------------------------------------------------------


def test_a_calendar_that_cannot_be_renewed_is_told_once_and_its_return_too(make):
    w = make(job("mine", "open"), now="08:20").start()
    faults: list[Exception | None] = [CalendarError("the child was killed", hint="look at it"), None]
    done: list[Why] = []

    def renew(_now: datetime, why: Why) -> None:
        done.append(why)
        if (fault := faults[len(done) - 1]) is not None:
            raise fault

    asked: list[Why] = []

    def due(_now: datetime) -> Why | None:
        return asked[-1] if len(done) < len(asked) else None

    w.engine._renewal._p = replace(w.engine._p, calendar_due=due, calendar_renew=renew)
    for why in (Why.LIBRARY, Why.FILES):
        asked.append(why)
        w.settle()
        until(lambda: len(done) == len(asked), "the calendar is not renewed")
        w.settle()
    assert done == [Why.LIBRARY, Why.FILES]
    assert [title.split(" #")[0].split(" since")[0] for title in w.told()] == [
        "[WARN] the calendar could not be renewed",
        "[OK] the calendar is fresh again at 08:20",
    ]
    assert "the child was killed" in w.message("[WARN] the calendar").message.body


def test_on_a_day_the_calendar_does_not_know_what_reads_runs_and_what_acts_is_held(make):
    friday = date(2026, 11, 27)
    known = replace(calendar(), known_until=THURSDAY)
    w = make(job("looks", "open"), replace(job("acts", "open"), acts=True), day=friday, calendar=known).start()
    w.go("09:15", day=friday)
    assert w.states(friday) == {"looks open": State.SUCCEEDED, "acts open": State.SKIPPED}
    assert "known until 2026-11-26" in w.entry("acts", "open", friday).reason
    (ctx,) = w.steps.called
    assert ctx.session.name == "assumed"


def test_a_step_that_has_not_ended_by_its_deadline_is_told_once_and_its_end_too(make):
    w = make(
        replace(job("first", "close+10m"), timeout=600.0),
        replace(job("report", "close+30m"), after=("first",), deadline=Anchor.parse("close+60m")),
    )
    release = threading.Event()
    w.steps.does["first"] = lambda _ctx: (release.wait(20), OK)[1]
    w.start()
    for clock in ("15:50", "16:10", "16:40:01", "16:45"):
        w.clock.jump_to(at(clock))
        w.turn()
    assert [title.split(" since")[0] for title in w.told()] == ["[WARN] report missed its time"]
    assert "deadline, Mon 23 Nov 16:40" in w.message("report missed").message.body
    release.set()
    until(lambda: w.states()["report close+30m"] is State.SUCCEEDED, "the report is not written")
    w.settle()
    assert "report works again" in w.told()[-1]
