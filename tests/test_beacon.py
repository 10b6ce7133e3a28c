"""The beacon: the watchdog and the outside hear of the engine's turn, and of nothing but it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from runbook.adapters.systemd import Systemd
from runbook.alert import Severity
from runbook.engine import Beacon, Courier
from runbook.engine.courier import MILESTONES, PING
from runbook.errors import JobFailed
from runbook.heartbeat import Word
from runbook.job import Found, JobSpec, Verdict
from runbook.session import SessionCalendar
from tests.engine_world import BAD, OK, World, job, verify
from tests.fakes import MONDAY, TUESDAY, WEDNESDAY, at, calendar, session, until
from tests.manager import Manager

_RENEWED = timedelta(seconds=10)  # after which the lease is due again


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., World]]:
    family: list[World] = []
    yield lambda *jobs, now="08:00", day=MONDAY, **more: World(tmp_path, jobs, at(now, day), family=family, **more)
    for world in family:
        world.stop()


class Hangs:
    """A keeper that holds up the turn, as a database or a disk may."""

    def __init__(self) -> None:
        self.on, self.free, self.there = threading.Event(), threading.Event(), threading.Event()

    def next(self, books: Any, now: datetime) -> None:
        return None

    def due(self, store: Any, now: datetime) -> bool:
        if self.on.is_set():
            self.there.set()
            self.free.wait(20)
        return False


def test_a_turn_feeds_the_watchdog_and_an_engine_that_hangs_does_not(make, manager: Manager):
    hangs = Hangs()
    w = make(keepers=(hangs, Beacon(Systemd(manager.environment).alive, calendar, ()))).start()
    manager.all()
    w.turn()
    fed = manager.all()
    assert fed
    assert all(word.startswith("WATCHDOG=1") for word in fed)
    assert "STATUS=NFO shut; 0 open alerts, 0 messages undelivered" in fed[-1]
    hangs.on.set()
    w.engine.wake()
    assert hangs.there.wait(10)
    manager.all()
    for _ in range(20):
        w.engine.wake()
    assert manager.all() == [], "no thread beside the turn speaks for it"
    hangs.on.clear()
    hangs.free.set()
    until(lambda: w.engine.wake() or manager.all(), "the turn comes again")


def test_an_engine_whose_thread_has_ended_feeds_no_watchdog(make, manager: Manager):
    w = make(keepers=(Beacon(Systemd(manager.environment).alive, calendar, ()),)).start()
    with w.store.write() as books:  # another process has taken the lease
        books.desk.take("other:2", 2, "other", w.clock.now(), timedelta(seconds=15), dead=True)
    w.clock.jump_to(w.clock.now() + _RENEWED)
    w.engine.wake()
    assert w.engine.finished.wait(10)
    manager.all()
    w.engine.wake()
    assert manager.all() == []


def test_an_engine_that_cannot_write_its_ledger_feeds_no_watchdog(make, manager: Manager, caplog):
    w = make(keepers=(Beacon(Systemd(manager.environment).alive, calendar, ()),), busy_seconds=0.02).start()
    with w.store.write():  # held as another process would hold it
        w.clock.jump_to(w.clock.now() + _RENEWED)
        until(lambda: w.engine.wake() or "stayed locked" in caplog.text, "the lease cannot be renewed")
        manager.all()
        caplog.clear()
        until(lambda: w.engine.wake() or "stayed locked" in caplog.text, "it is tried again")
        assert manager.all() == []
    until(lambda: w.engine.wake() or manager.all(), "the ledger is free again")


# -- the outside --------------------------------------------------------------------------------------------------------


class Outside:
    """A dead-man's switch that keeps what it hears; `down` says why it does not hear."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, Any], UUID | None]] = []
        self.down = ""
        self.tried = 0

    def ping(self, check: str, signal: str, body: str, run: UUID | None = None) -> str:
        self.tried += 1
        if not self.down:
            self.heard.append((check, signal, json.loads(body), run))
        return self.down

    def close(self) -> None:
        pass

    def counted(self, pings: int) -> bool:
        return len(self.pings()) == pings

    def asked(self, times: int) -> bool:
        return self.tried >= times

    def pings(self) -> list[dict[str, Any]]:
        return [body for check, _, body, _ in self.heard if check == PING]

    def marks(self) -> list[tuple[str, str]]:
        return [(signal, body["state"]) for check, signal, body, _ in self.heard if check == MILESTONES]


class Lit:
    """An engine with a beacon, a courier and an outside; `again` is the next process on the same ledger."""

    def __init__(self, make: Callable[..., World], outside: Outside, *jobs: JobSpec, **more: Any) -> None:
        self.outside = outside
        held: SessionCalendar = more.get("calendar") or calendar()
        self.keepers: list[Beacon] = []
        does = more.pop("does", {})
        w = make(*jobs, **more)
        w.steps.does.update(does)
        self.courier = Courier(w.store, outside, w.clock, retries=())
        beacon = Beacon(lambda _: None, lambda: held, jobs, self.courier, pings={PING, MILESTONES})
        w.engine._keepers = (*w.engine._keepers, beacon)
        self.world = w
        self.courier.start()
        w.start()

    def go(self, *clocks: str, day: date = MONDAY) -> None:
        self.world.go(*clocks, day=day)
        with self.world.store.read() as books:
            owed = books.milestones.owed()
        if not self.outside.down:
            until(lambda: not self._owed(), f"{owed} is heard")

    def _owed(self) -> list[Any]:
        with self.world.store.read() as books:
            return books.milestones.owed()

    def stop(self) -> None:
        self.courier.stop()
        self.world.engine.stop()


@pytest.fixture
def lit(make) -> Iterator[Callable[..., Lit]]:
    made: list[Lit] = []

    def light(outside: Outside, *jobs: JobSpec, **more: Any) -> Lit:
        made.append(Lit(make, outside, *jobs, **more))
        return made[-1]

    yield light
    for one in made:
        one.courier.stop()


def test_a_ping_a_minute_says_how_things_stand(lit):
    outside = Outside()
    desk = lit(outside, verify())
    until(outside.pings, "the first")
    for minute in range(1, 4):
        desk.go(f"08:0{minute}:01")
        until(partial(outside.counted, minute + 1), f"one of {minute}")
    assert outside.pings()[-1] == {
        "session": "2026-11-23", "state": "shut", "next": "2026-11-23T08:15:00+05:30", "open_alerts": 0, "undelivered": 0,
    }  # fmt: skip


def test_pings_go_on_through_a_holiday(lit):
    outside = Outside()
    held = calendar(session(MONDAY), closed={TUESDAY: "Guru Nanak Jayanti"})
    desk = lit(outside, now="23:30", day=TUESDAY, calendar=held)
    until(outside.pings, "one on a holiday's night")
    assert outside.pings()[0]["state"] == "closed: Guru Nanak Jayanti"
    assert outside.pings()[0]["session"] is None
    assert desk.courier.stands()["ping"]["fault"] is None


def test_a_good_morning_is_a_start_and_a_success_of_one_run(lit):
    outside = Outside()
    desk = lit(outside, verify())
    desk.go("08:15", "08:29:59")
    assert outside.marks() == []
    desk.go("08:30")
    desk.go("09:04:59")
    assert outside.marks() == [("start", "the steps before the open begin")]
    desk.go("09:05", "09:10", "09:14", "09:15", "15:41", "23:00")
    assert outside.marks()[1:] == [("", "ready at 09:05")]
    runs = {run for check, _, _, run in outside.heard if check == MILESTONES}
    assert len(runs) == 1
    assert all(isinstance(run, UUID) for run in runs)


def test_a_broker_that_is_not_verified_by_its_deadline_is_a_fail_with_the_reason_and_a_late_success(lit):
    outside = Outside()
    desk = lit(outside, verify())
    desk.world.steps.does["verify_broker"] = lambda _: BAD
    desk.go("08:15", "08:30", "09:05", "09:09")
    assert [signal for signal, _ in outside.marks()] == ["start"]
    desk.go("09:10")
    assert outside.marks()[1] == ("fail", "not ready: verify_broker: no login")
    desk.world.steps.does["verify_broker"] = lambda _: OK
    desk.go("09:20", "09:25")
    assert outside.marks()[2:] == [("", "ready at 09:20, late")]


def test_what_was_found_and_is_not_yet_looked_at_again_does_not_count_as_ready(lit):
    """The broker was well at 08:15; the look at open-10m is still to come, and finds that it is not."""
    outside = Outside()
    desk = lit(outside, verify())
    desk.go("08:15", "08:31")
    desk.world.steps.does["verify_broker"] = fail
    desk.go("09:05", "09:10")
    assert [signal for signal, _ in outside.marks()] == ["start", "fail"]


def fail(_ctx: object) -> Found:
    raise JobFailed("OpenAlgo does not answer")


def test_a_step_that_is_not_critical_does_not_decide(lit):
    outside = Outside()
    desk = lit(outside, verify(), job("mine", "open-30m", deadline=None))
    desk.world.steps.does["mine"] = fail
    desk.go("08:15", "08:30", "08:45", "09:05")
    assert [signal for signal, _ in outside.marks()] == ["start", ""]


def test_a_critical_step_of_the_afternoon_does_not_hold_up_the_morning(lit):
    outside = Outside()
    desk = lit(outside, verify(), job("mine", "open+4h", severity=Severity.CRITICAL))
    desk.go("08:15", "08:30", "09:05")
    assert [signal for signal, _ in outside.marks()] == ["start", ""]


def test_a_look_by_hand_before_its_time_is_not_the_last_look(lit):
    outside = Outside()
    desk = lit(outside, verify())
    desk.go("08:15", "08:40")
    assert desk.world.ask("verify_broker", "open-10m").startswith("started")
    desk.go("08:45", "09:04")
    assert [signal for signal, _ in outside.marks()] == ["start"]
    desk.go("09:05")
    assert outside.marks()[1:] == [("", "ready at 09:05")]


def test_a_day_without_a_critical_step_is_never_called_ready(lit):
    outside = Outside()
    desk = lit(outside, job("mine", "open-30m"))
    desk.go("08:30", "08:45", "09:15")
    assert [signal for signal, _ in outside.marks()] == ["start", "fail"]
    assert "nobody can say" in outside.marks()[1][1]


def test_a_holiday_is_a_success_that_names_it_and_a_weekend_is_silent(lit):
    outside = Outside()
    held = calendar(session(MONDAY), closed={TUESDAY: "Guru Nanak Jayanti", date(2026, 11, 28): "weekend"})
    desk = lit(outside, now="08:00", day=TUESDAY, calendar=held)
    desk.go("09:04:59", day=TUESDAY)
    assert outside.marks() == []
    desk.go("09:05", "09:30", "15:00", day=TUESDAY)
    assert outside.marks() == [("", "NFO closed: Guru Nanak Jayanti")]
    desk.go("09:05", day=date(2026, 11, 28))
    assert len(outside.marks()) == 1


def test_an_evening_session_is_told_of_in_the_morning_and_has_its_own_milestones(lit):
    outside = Outside()
    held = calendar(session(MONDAY), session(TUESDAY), session(WEDNESDAY, "18:15", "19:15"))
    desk = lit(outside, verify(), now="08:00", day=WEDNESDAY, calendar=held)
    desk.go("09:05", "17:15", day=WEDNESDAY)
    assert outside.marks() == [("", "NFO opens at 18:15 today (regular)")]
    desk.go("17:30", "18:05", day=WEDNESDAY)
    assert [signal for signal, _ in outside.marks()] == ["", "start", ""]


def test_a_day_the_calendar_does_not_know_is_a_fail_that_says_so(lit):
    outside = Outside()
    held = calendar(session(MONDAY))
    desk = lit(outside, verify(), now="08:00", day=TUESDAY, calendar=held)
    desk.go("08:15", "08:30", "09:05", "09:10", day=TUESDAY)
    assert [signal for signal, _ in outside.marks()] == ["start", "fail"]
    assert "the calendar does not know today" in outside.marks()[1][1]


def test_a_restart_repeats_no_milestone_and_forgets_none(lit):
    outside = Outside()
    first = lit(outside, verify())
    first.world.steps.does["verify_broker"] = lambda _: BAD
    first.go("08:15", "08:30", "08:45")
    outside.down = "no network"
    first.go("09:10")
    assert [signal for signal, _ in outside.marks()] == ["start"], "the fail is owed"
    first.stop()
    outside.down = ""
    second = lit(outside, verify(), now="09:11", does={"verify_broker": lambda _: BAD})
    second.go("09:11:30")
    assert [signal for signal, _ in outside.marks()] == ["start", "fail"]


def test_a_start_in_the_middle_of_a_day_that_was_never_ready_says_fail_and_then_ready(lit):
    outside = Outside()
    desk = lit(outside, verify(), now="11:00")
    desk.go("11:00:30")
    assert [signal for signal, _ in outside.marks()] in (["fail", ""], [""])
    assert outside.marks()[-1][1].endswith("late")


def test_an_outside_that_cannot_be_reached_is_told_of_in_the_log_once_and_holds_nothing_up(lit, caplog):
    caplog.set_level("INFO", "runbook")
    outside = Outside()
    outside.down = "hc.example: no connection"
    desk = lit(outside, verify())
    for minute in range(1, 4):
        desk.go(f"08:0{minute}:01")
        until(partial(outside.asked, minute + 1), "it is tried")
    assert caplog.text.count("was not reached") == 1
    assert desk.courier.stands()["ping"]["fault"] == "hc.example: no connection"
    outside.down = ""
    desk.go("08:04:10")
    until(outside.pings, "it hears")
    until(lambda: desk.courier.stands()["ping"]["fault"] is None, "the fault is over")
    assert caplog.text.count("hears us again") == 1


def test_a_milestone_that_is_half_a_day_old_is_given_up(lit):
    outside = Outside()
    outside.down = "no network"
    desk = lit(outside, verify())
    desk.go("08:15", "08:30", "09:05", "21:30")
    outside.down = ""
    desk.go("21:31")
    assert outside.marks() == []
    with desk.world.store.read() as books:
        assert books.milestones.words(MONDAY) == {Word.START, Word.READY}


def test_a_switch_that_hangs_delays_no_turn(lit):
    free = threading.Event()

    class Hanging(Outside):
        def ping(self, check: str, signal: str, body: str, run: UUID | None = None) -> str:
            free.wait(20)
            return super().ping(check, signal, body, run)

    outside = Hanging()
    desk = lit(outside, verify())
    desk.world.turn()
    desk.world.turn()
    assert outside.heard == []
    free.set()
    until(lambda: outside.heard, "it goes on")
    assert desk.world.engine.lost is None


def test_what_was_found_is_a_verdict_of_the_step_not_its_outcome(lit):
    outside = Outside()
    desk = lit(outside, verify(repeat_until_ok=None))
    desk.world.steps.does["verify_broker"] = lambda _: Found(Verdict.UNKNOWN, "nobody knows")
    desk.go("08:15", "08:30", "09:05", "09:10")
    assert [signal for signal, _ in outside.marks()] == ["start", "fail"]
