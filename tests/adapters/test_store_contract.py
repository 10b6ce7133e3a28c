"""What the ledger promises, on SQLite and on a real PostgreSQL alike: claimed by one, settled once, all of a transaction or nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from runbook import run
from runbook.adapters.store import Store, schema
from runbook.agenda import agenda
from runbook.alert import Alert, AlertChange, AlertState, ChangeKind, Notice, Severity
from runbook.ask import Ask, AskKind
from runbook.day import DayFacts, FeedChange
from runbook.errors import AlreadyRunning, LeaseLost, StoreBusy, StoreError, StoreNewer
from runbook.explain import explain
from runbook.job import Found, JobSpec, Key, Occurrence, Verdict
from runbook.outbox import Kind, Row, claim, enqueue, next_step
from runbook.outbox import State as Sending
from runbook.pause import Pause
from runbook.ports import Delivery, Message
from runbook.report import build, render_markdown, render_text
from runbook.run import Attempt, State, abandoned, overran, settle
from runbook.session import INDIA, SessionCalendar
from runbook.status import StatusFacts, render_status
from runbook.trigger import Anchor, At, Every
from tests import report_days
from tests.fakes import MONDAY, TUESDAY, WEDNESDAY, at, calendar, ledger_file, session, until

NOW = at("08:15")
LEASE = timedelta(seconds=15)
ONCE = JobSpec("verify", "jobs.a:b", At((Anchor.parse("open-60m"),)), 20.0, Anchor.parse("close-15m"))
OFTEN = JobSpec("check", "jobs.a:b", Every(timedelta(minutes=1), Anchor.parse("open"), Anchor.parse("open+50m")), 5.0)
KEY = Key(MONDAY, "verify", "open-60m")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a ledger lies that has its tables and nothing in them."""
    if request.param == "sqlite":
        return ledger_file(tmp_path)
    address: str = request.getfixturevalue("cluster").ledger()
    return address


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    made = Store(place, busy_seconds=10.0)
    yield made
    made.close()


def planned(store: Store, *jobs: JobSpec, day=MONDAY) -> list[tuple[Occurrence, bool]]:
    rows = agenda(jobs or (ONCE,), [session(day)])
    with store.write() as books:
        books.ledger.plan(rows, "abc")
    return rows


def claimed(store: Store, key: Key = KEY, now: datetime = NOW, epoch: int = 1, *, again: bool = False) -> Attempt:
    with store.write() as books:
        attempt = books.ledger.claim(key, "scheduler", now, epoch, again=again)
    assert attempt is not None
    return attempt


def state(store: Store, key: Key = KEY) -> State:
    with store.read() as books:
        entry = books.ledger.entry(key)
    assert entry is not None
    return entry.state


@contextmanager
def child(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Another process, which says `ready` and goes on when it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


OPENS = """
    import sys
    from pathlib import Path
    from runbook.adapters.store import Store
    store = Store(sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1]))
"""
HOLDS_THE_LOCK = (
    OPENS
    + """
    with store.write():
        print("ready", flush=True)
        sys.stdin.readline()
    print("gone", flush=True)
    sys.stdin.readline()
"""
)


# -- tables -------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def nowhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a ledger may be made."""
    if request.param == "sqlite":
        return tmp_path / "deep" / "runbook.db"
    address: str = request.getfixturevalue("cluster").empty()
    return address


def test_a_ledger_from_nothing_has_the_tables_of_the_code(nowhere):
    store = Store(nowhere)
    with pytest.raises(StoreError):
        store.check()
    store.migrate()
    assert store.exists
    assert store.differences() == []
    assert store.version() == schema.HEAD
    store.check()
    store.migrate()  # and a second time is nothing
    store.close()


def test_a_newer_ledger_is_refused_and_left_alone(store):
    with store.write() as books:
        books.ledger._c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for refused in (store.migrate, store.check):
        with pytest.raises(StoreNewer, match=f"version 9999, this runbook knows {schema.HEAD}") as caught:
            refused()
        assert caught.value.permanent
        assert "newer runbook" in (caught.value.hint or "")
    assert store.version() == "9999"


def test_another_program_s_database_is_refused_and_left_alone(nowhere):
    if isinstance(nowhere, Path):
        nowhere.parent.mkdir()
    other = Store(nowhere)
    with other._engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE diary (line TEXT)")
    with pytest.raises(StoreError, match=r"another program .*'diary'"):
        other.migrate()
    assert other._tables() == ["diary"]
    other.close()


# -- transactions -------------------------------------------------------------------------------------------------------


def test_a_transaction_that_raises_leaves_nothing(store):
    def half() -> None:
        with store.write() as books:
            books.ledger.plan(agenda([ONCE], [session()]), "abc")
            books.alerts.enqueue(messages("k"), MONDAY)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with store.read() as books:
        assert books.ledger.session(MONDAY) == []
        assert books.alerts.unsent() == 0


def test_a_reader_sees_one_state_and_never_waits_for_a_writer(store):
    planned(store)
    with store.read() as reading:
        assert len(reading.ledger.session(MONDAY)) == 1
        with store.write() as writing:
            writing.ledger.plan(agenda([ONCE], [session(TUESDAY)]), "abc")
        assert reading.ledger.sessions(5) == [MONDAY]
    with store.read() as later:
        assert later.ledger.sessions(5) == [TUESDAY, MONDAY]


def test_a_lock_of_another_process_is_waited_for_with_patience_and_is_busy_without(store, place):
    """Another process holds it; who is hasty is told so and loses nothing, who waits goes through when it lets go."""
    hasty, done = Store(place, busy_seconds=0.2), threading.Event()
    with child(HOLDS_THE_LOCK, place) as other:
        with pytest.raises(StoreBusy, match="stayed locked") as caught:
            planned(hasty)
        assert "nothing was lost" in (caught.value.hint or "")

        def write() -> None:
            planned(store)
            done.set()

        writing = threading.Thread(target=write)
        writing.start()
        assert not done.wait(0.2)
        with store.read() as books:
            assert books.ledger.sessions(1) == []
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert done.wait(10.0)
        writing.join()
    assert state(hasty) is State.PLANNED
    hasty.close()


KILLED_WHILE_IT_WRITES = (
    OPENS
    + """
    import os, signal
    from datetime import datetime
    from runbook.job import Key
    from runbook.outbox import Kind, enqueue
    from runbook.ports import Message
    now = datetime.fromisoformat(sys.argv[2])
    with store.write() as books:
        assert books.ledger.claim(Key(now.date(), "verify", "open-60m"), "scheduler", now, 1)
        books.alerts.enqueue(enqueue("k", ["phone"], Kind.NOTICE, 0, Message("t", "b"), now=now, expires_at=now), None)
        print("ready", flush=True)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
"""
)


def test_a_kill_in_mid_transaction_leaves_nothing_half_written(store, place):
    planned(store)
    with child(KILLED_WHILE_IT_WRITES, place, NOW.isoformat()) as other:
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.wait(10.0) == -signal.SIGKILL
    with store.read() as books:
        entry = books.ledger.entry(KEY)
        assert entry is not None
        assert (entry.state, entry.tries, books.alerts.unsent()) == (State.PLANNED, (), 0)
    claimed(store)


CLAIMS_ALL = (
    OPENS
    + """
    import random
    from datetime import datetime
    from runbook.job import Key
    now, me = datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])
    slots = [f"{n:04d}" for n in range(1, 51)]
    random.Random(me).shuffle(slots)
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for slot in slots:
        with store.write() as books:
            if books.ledger.claim(Key(now.date(), "check", slot), f"p{me}", now, me):
                won.append(slot)
    print(*won, flush=True)
"""
)


def by_four_processes(place: Path) -> list[list[str]]:
    with (
        child(CLAIMS_ALL, place, NOW.isoformat(), 1) as a,
        child(CLAIMS_ALL, place, NOW.isoformat(), 2) as b,
        child(CLAIMS_ALL, place, NOW.isoformat(), 3) as c,
        child(CLAIMS_ALL, place, NOW.isoformat(), 4) as d,
    ):
        for one in (a, b, c, d):
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        return [one.stdout.readline().split() for one in (a, b, c, d) if one.stdout is not None]


def by_four_connections(address: str) -> list[list[str]]:
    """To the server a thread with a connection of its own is what a process is."""
    begin = threading.Barrier(4)

    def claim_all(me: int) -> list[str]:
        store, slots = Store(address), [f"{n:04d}" for n in range(1, 51)]
        random.Random(me).shuffle(slots)
        begin.wait(10.0)
        won = []
        for slot in slots:
            with store.write() as books:
                if books.ledger.claim(Key(MONDAY, "check", slot), f"p{me}", NOW, me):
                    won.append(slot)
        store.close()
        return won

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(claim_all, range(1, 5)))


def test_each_of_fifty_rows_is_claimed_by_exactly_one_of_four(store, place):
    rows = planned(store, OFTEN)
    assert len(rows) == 50
    won = by_four_processes(place) if isinstance(place, Path) else by_four_connections(place)
    assert sorted(slot for slots in won for slot in slots) == [f"{n:04d}" for n in range(1, 51)]
    with store.read() as books:
        assert {(len(e.tries), e.state) for e in books.ledger.session(MONDAY)} == {(1, State.RUNNING)}


# -- plan ---------------------------------------------------------------------------------------------------------------


def test_planning_twice_changes_nothing_but_the_hash_of_what_is_still_planned(store):
    planned(store, ONCE, OFTEN)
    with store.read() as books:
        before = books.ledger.session(MONDAY)
    with store.write() as books:
        assert books.ledger.claim(before[0].key, "scheduler", NOW, 1)
        running = books.ledger.entry(before[0].key)
        assert books.ledger.plan(agenda([ONCE, OFTEN], [session()]), "other", NOW) == []
        assert books.ledger.plan([], "third") == []
    with store.read() as books:
        after = books.ledger.session(MONDAY)
    assert after == [running, *(replace(e, config_hash="other") for e in before[1:])], "what runs was begun by the old"
    assert len(before) == 51
    assert {e.config_hash for e in before} == {"abc"}


def test_a_planned_row_moves_with_its_session_and_an_ended_one_stays(store):
    planned(store, ONCE, OFTEN)
    claimed(store, Key(MONDAY, "check", "0001"))
    evening = agenda([ONCE, OFTEN], [session(opens="18:00", closes="19:00")])
    with store.write() as books:
        moved = books.ledger.plan(evening, "def")
    assert len(moved) == 50
    assert (moved[0].key, moved[0].was, moved[0].now) == (KEY, at("08:15"), at("17:00"))
    with store.read() as books:
        entry, running = books.ledger.entry(KEY), books.ledger.entry(Key(MONDAY, "check", "0001"))
        assert entry is not None
        assert running is not None
        assert (entry.occurrence.planned, entry.occurrence.due, entry.occurrence.latest_start) == (
            at("17:00"), at("17:00"), at("18:45"),
        )  # fmt: skip
        assert running.occurrence.planned == at("09:15")


def test_a_check_that_is_being_repeated_keeps_its_next_try_unless_its_whole_time_moves(store):
    planned(store)
    attempt = claimed(store)
    until_ok = replace(ONCE, repeat_until_ok=timedelta(minutes=1))
    with store.write() as books:
        books.ledger.settle(settle(until_ok, attempt, at("08:16"), Found(Verdict.BAD, "no login")))
    longer = replace(ONCE, latest_start=Anchor.parse("close-5m"))
    with store.write() as books:
        assert books.ledger.plan(agenda([longer], [session()]), "abc") == []
    with store.read() as books:
        (entry,) = books.ledger.due(at("08:17"))
        assert (entry.occurrence.due, entry.occurrence.latest_start) == (at("08:17"), at("15:35"))
    with store.write() as books:
        books.ledger.plan(agenda([ONCE], [session(opens="18:00", closes="19:00")]), "abc")
    with store.read() as books:
        assert books.ledger.due(at("16:59")) == []
        assert books.ledger.next_due(at("08:17")) == at("17:00")


def test_what_is_no_longer_wanted_is_cancelled_and_planned_again_when_it_is(store):
    rows = planned(store, ONCE, OFTEN)
    with store.write() as books:
        books.ledger.end([Key(MONDAY, "check", "0001")], State.MISSED, "gone")
        assert books.ledger.cancel([], [TUESDAY], "closed") == []
        assert len(books.ledger.cancel([KEY], [MONDAY], "closed")) == 49
    assert state(store) is State.PLANNED
    with store.write() as books:
        books.ledger.plan(rows, "def", at("10:00"))  # open after all, but by now 44 of those checks are over
    with store.read() as books:
        states = [e.state for e in books.ledger.session(MONDAY) if e.key.job == "check"]
        again = books.ledger.entry(Key(MONDAY, "check", "0050"))
    assert (states.count(State.CANCELLED), states.count(State.PLANNED), states.count(State.MISSED)) == (44, 5, 1)
    assert again is not None
    assert (again.reason, again.config_hash, again.occurrence.due) == ("", "def", at("10:04"))


# -- claim and settle ---------------------------------------------------------------------------------------------------


def test_a_row_is_claimed_once_and_settled_once(store):
    planned(store)
    attempt = claimed(store)
    assert (attempt.n, attempt.actor, attempt.started, attempt.occurrence.key) == (1, "scheduler", NOW, KEY)
    with store.write() as books:
        assert books.ledger.claim(KEY, "x", NOW, 1) is None
        assert books.ledger.claim(KEY, "x", NOW, 1, again=True) is None
        assert books.ledger.claim(Key(MONDAY, "nobody", "open"), "x", NOW, 1) is None
        done = settle(ONCE, attempt, at("08:16"), Found(Verdict.OK, "in", {"ltp": 1.5}, "hint"))
        assert books.ledger.settle(done)
        late = overran(ONCE, attempt, at("08:17"))
        assert not books.ledger.settle(late)
    with store.read() as books:
        entry = books.ledger.entry(KEY)
    assert entry is not None
    assert (entry.state, entry.verdict, entry.reason) == (State.SUCCEEDED, Verdict.OK, "in")
    assert entry.last is not None
    assert (entry.last.ended, entry.last.facts, entry.last.hint) == (at("08:16"), {"ltp": 1.5}, "hint")
    with store.write() as books:
        assert books.ledger.claim(KEY, "x", NOW, 1) is None


def test_what_is_to_be_tried_again_is_planned_again_with_what_was_found(store):
    planned(store)
    attempt = claimed(store)
    with store.write() as books:
        books.ledger.settle(replace(settle(ONCE, attempt, at("08:16"), ValueError("x")), again_at=at("08:17")))
    with store.read() as books:
        assert books.ledger.due(at("08:16:59")) == []
        (entry,) = books.ledger.due(at("08:17"))
        assert books.ledger.states(MONDAY)[0].tries == ()
    assert (entry.state, entry.verdict, entry.reason) == (State.PLANNED, Verdict.UNKNOWN, "ValueError: x")
    assert entry.last is not None
    assert entry.last.outcome is State.FAILED  # so that its end can be told
    assert claimed(store, now=at("08:17")).n == 2


def test_a_next_try_set_by_a_clock_that_was_fast_is_due_when_the_clock_is_put_back(store):
    planned(store)
    attempt = claimed(store, now=at("10:15"))
    with store.write() as books:
        books.ledger.settle(replace(settle(ONCE, attempt, at("10:16"), ValueError("x")), again_at=at("10:17")))
        books.ledger.set_back(at("10:16:30"))
        assert books.ledger.due(at("10:16:30")) == []  # by the same clock it waits
        books.ledger.set_back(at("08:00"))
        assert books.ledger.due(at("08:14")) == []  # not before it was planned either
        books.ledger.set_back(at("08:20"))
        assert [entry.key for entry in books.ledger.due(at("08:20"))] == [KEY]
    second = claimed(store, now=at("08:20"))
    with store.write() as books:
        books.ledger.settle(replace(settle(ONCE, second, at("08:21"), ValueError("x")), again_at=at("08:22")))
        books.ledger.set_back(at("08:21:10"))
        assert books.ledger.due(at("08:21:30")) == []  # and from then on by the right one


def test_a_person_may_take_an_ended_row_again_and_each_attempt_is_kept(store):
    planned(store)
    with store.write() as books:
        books.ledger.settle(settle(ONCE, claimed_in(books), at("08:16"), Found(Verdict.BAD, "no")))
    second = claimed(store, now=at("09:00"), again=True)
    with store.write() as books:
        books.ledger.settle(settle(ONCE, second, at("09:01"), Found(Verdict.OK, "yes")))
    with store.read() as books:
        entry = books.ledger.entry(KEY)
    assert entry is not None
    assert [(t.n, t.reason, t.verdict) for t in entry.tries] == [(1, "no", Verdict.BAD), (2, "yes", Verdict.OK)]


def test_rows_claimed_as_one_each_count_their_own_tries(store):
    planned(store, ONCE, OFTEN)
    keys = [Key(MONDAY, "check", "0002"), KEY, Key(MONDAY, "nobody", "open"), Key(MONDAY, "check", "0001")]
    for n in (1, 2):
        with store.write() as books:
            books.ledger.settle(settle(ONCE, claimed_in(books, again=n > 1), at("08:16"), Found(Verdict.OK, "in")))
    with store.write() as books:
        made = books.ledger.claim_all(keys, "scheduler", NOW, 1, again=True)
    assert [(a.occurrence.key, a.n) for a in made] == [(keys[0], 1), (KEY, 3), (keys[3], 1)]


# -- one look -----------------------------------------------------------------------------------------------------------


def test_a_look_sees_one_instant_until_it_writes_itself(store):
    planned(store)
    with store.look() as look:
        with look.read() as books:
            assert [e.key for e in books.ledger.due(NOW)] == [KEY]
        claimed(store)  # by somebody else
        with look.read() as books:
            entry = books.ledger.entry(KEY)  # asked for the first time, and of the same instant all the same
            assert entry is not None
            assert (entry.state, [e.key for e in books.ledger.due(NOW)]) == (State.PLANNED, [KEY])
        with look.read(anew=True) as books:
            assert books.ledger.due(NOW) == []
        with look.write() as books:
            books.ledger.settle(settle(ONCE, Attempt(entry.occurrence, 1, "x", NOW), NOW, Found(Verdict.OK, "in")))
        with look.read() as books:
            ended = books.ledger.entry(KEY)
    assert ended is not None
    assert ended.state is State.SUCCEEDED


def test_a_look_asks_what_is_asked_again_only_once(store, monkeypatch):
    planned(store)
    asked: list[tuple[Any, ...]] = []
    with store.look() as look, look.read() as books:
        execute = books.ledger._c.execute

        def counted(*statement: Any) -> Any:
            asked.append(statement)
            return execute(*statement)

        monkeypatch.setattr(books.ledger, "_c", SimpleNamespace(execute=counted))
        first, second = books.ledger.due(NOW), books.ledger.due(NOW)
        other = books.ledger.due(at("08:00"))
    assert (first, other, len(asked)) == (second, [], 2)


def test_after_a_fault_a_look_begins_anew(store):
    planned(store)
    with store.look() as look:
        with pytest.raises(StoreError), look.read() as books:
            books.ledger._c.execute(text("SELECT nothing FROM nowhere"))
        with look.read() as books:
            assert [e.key for e in books.ledger.due(NOW)] == [KEY]


def claimed_in(books, *, again: bool = False) -> Attempt:
    attempt = books.ledger.claim(KEY, "scheduler", NOW, 1, again=again)
    assert attempt is not None
    return attempt


def test_only_what_is_planned_can_be_ended_and_only_what_is_not_running_opened_again(store):
    planned(store)
    attempt = claimed(store)
    with store.write() as books:
        assert books.ledger.end([KEY], State.MISSED, "x") == 0
        books.ledger.reopen(KEY, NOW, "x")
    assert state(store) is State.RUNNING
    with store.write() as books:
        books.ledger.settle(settle(ONCE, attempt, at("08:16"), None))
        books.ledger.reopen(KEY, at("10:00"), "its process is gone")
    with store.read() as books:
        (entry,) = books.ledger.due(at("10:00"))
    assert entry.reason == "its process is gone"
    with store.write() as books:
        assert books.ledger.end([KEY], State.MISSED, "x") == 1
    assert state(store) is State.MISSED


def test_what_an_older_epoch_left_running_is_found_with_its_open_attempt(store):
    planned(store, ONCE, OFTEN)
    claimed(store, epoch=1)
    claimed(store, Key(MONDAY, "check", "0001"), epoch=2)
    with store.write() as books:
        assert len(books.ledger.running()) == 2
        ((entry, attempt),) = books.ledger.running(before_epoch=2)
        assert (entry.key, attempt.n, attempt.started) == (KEY, 1, NOW)
        assert books.ledger.settle(abandoned(attempt, at("09:00")))
    assert state(store) is State.ABANDONED


def test_the_next_due_row_is_the_earliest_that_is_still_to_come(store):
    planned(store, ONCE, OFTEN)
    with store.read() as books:
        assert books.ledger.next_due(at("08:00")) == at("08:15")
        assert books.ledger.next_due(at("08:15")) == at("09:15")
        assert books.ledger.next_due(at("16:00")) is None
        assert [e.key.slot for e in books.ledger.due(at("09:16"))] == ["open-60m", "0001", "0002"]


def test_the_attempts_of_repeats_can_be_left_out(store):
    planned(store, ONCE, OFTEN)
    claimed(store)
    claimed(store, Key(MONDAY, "check", "0001"))
    with store.read() as books:
        whole, light = books.ledger.session(MONDAY), books.ledger.session(MONDAY, repeats=False)
        assert [e.key for e in whole] == [e.key for e in light]
        assert (sum(len(e.tries) for e in whole), sum(len(e.tries) for e in light)) == (2, 1)


def test_rows_of_earlier_sessions_that_are_open_are_found(store):
    planned(store)
    planned(store, day=TUESDAY)
    with store.read() as books:
        assert [e.key.session for e in books.ledger.open_before(TUESDAY)] == [MONDAY]
        assert books.ledger.sessions(1) == [TUESDAY]


def test_an_attempt_without_its_row_cannot_be_written(store):
    with pytest.raises(StoreError), store.write() as books:
        books.ledger._c.execute(
            schema.attempt.insert().values(session=MONDAY, job="x", slot="y", n=1, actor="a", started_at=NOW, epoch=1)
        )


def test_an_instant_without_a_zone_is_refused_and_one_with_any_comes_back_in_utc(store):
    with pytest.raises(Exception, match="has no zone"), store.write() as books:
        books.desk.take("h", 1, "host", datetime(2026, 11, 23, 8, 15), LEASE)
    with store.write() as books:
        books.desk.take("h", 1, "host", NOW.astimezone(INDIA), LEASE)
        held = books.desk.lease()
    assert held is not None
    assert held.since == NOW
    assert held.since.utcoffset() == timedelta(0)


# -- the epoch ----------------------------------------------------------------------------------------------------------


def taken(store: Store, holder: str = "one") -> int:
    with store.write() as books:
        return books.desk.take(holder, 1, "here", NOW, LEASE, dead=True)


def test_a_claim_of_an_older_epoch_takes_nothing(store):
    planned(store)
    old, new = taken(store), taken(store, "two")
    with store.write() as books:
        assert books.ledger.claim(KEY, "scheduler", NOW, old) is None
        assert books.ledger.claim(KEY, "cli:me", NOW, old, again=True) is None
    assert state(store) is State.PLANNED
    assert claimed(store, epoch=new).n == 1


def test_what_an_older_epoch_ran_is_not_settled_by_it(store):
    planned(store)
    old = taken(store)
    attempt = claimed(store, epoch=old)
    done = settle(ONCE, attempt, at("08:16"), Found(Verdict.OK, "in"))
    new = taken(store, "two")
    with store.write() as books:
        assert not books.ledger.settle(done, old)
        entry = books.ledger.entry(KEY)
        assert entry is not None
        assert entry.last is not None
        assert (entry.state, entry.last.ended) == (State.RUNNING, None)
        assert books.ledger.settle(abandoned(attempt, at("08:17")), new)
    assert state(store) is State.ABANDONED


def test_a_message_is_sent_by_one_and_not_by_an_older_epoch(store):
    old, new = taken(store), taken(store, "two")
    (row,) = messages("k", channels=("phone",))
    sending = claim(row, NOW, new)
    with store.write() as books:
        books.alerts.enqueue([row], MONDAY)
        assert not books.alerts.claim(sending, old)
        assert books.alerts.waiting("phone") == [row]
        assert books.alerts.claim(sending, new)
        assert not books.alerts.claim(sending, new)  # it is being sent
        assert not books.alerts.store(next_step(sending, Delivery.SENT, NOW), old)
        assert [r.state for r in books.alerts.waiting("phone")] == [Sending.SENDING]
        assert books.alerts.store(next_step(sending, Delivery.SENT, NOW), new)
        held = books.alerts._c.execute(schema.outbox.select()).one()
    assert (held.state, held.epoch) == (Sending.SENT, new)


def test_a_writer_whose_epoch_is_over_writes_nothing_of_any_kind(store, place):
    """It was stopped in the middle of its day, and goes on where it was: news of the feed, alerts, its own lease."""
    planned(store)
    store.epoch = taken(store)
    other = Store(place)
    with store.write() as books:
        books.feed.sample(MONDAY, NOW, {"ticks": 1})
    other.epoch = taken(other, "two")

    def write() -> None:
        with store.write() as books:
            books.feed.sample(MONDAY, NOW, {"ticks": 2})
            books.alerts.enqueue(messages("k"), MONDAY)
            books.desk.release("two", 2, NOW)

    with pytest.raises(LeaseLost) as caught:
        write()
    assert "runbook status" in (caught.value.hint or "")
    with store.read() as books:  # to look is free
        assert [s.data for s in books.feed.samples(MONDAY)] == [{"ticks": 1}]
        assert books.alerts.unsent() == 0
    with other.write() as books:
        assert books.ledger.claim(KEY, "scheduler", NOW, other.epoch) is not None
    other.close()


def test_a_take_over_waits_for_the_write_that_is_on_and_fences_the_next(store, place):
    """The look at the epoch and the write are one: nobody can take the lease between the two."""
    planned(store)
    store.epoch = taken(store)
    begun, over = threading.Event(), threading.Event()

    def take() -> None:
        other = Store(place)
        begun.set()
        taken(other, "two")
        over.set()
        other.close()

    with store.write() as books:
        thread = threading.Thread(target=take)
        thread.start()
        assert begun.wait(5.0)
        assert not over.wait(0.2)
        assert books.ledger.claim(KEY, "scheduler", NOW, store.epoch) is not None
    assert over.wait(10.0)
    thread.join()
    assert state(store) is State.RUNNING
    with pytest.raises(LeaseLost), store.write():
        pass


# -- alerts and the outbox ----------------------------------------------------------------------------------------------


def messages(key: str, *, seq: int = 1, channels=("phone", "mail")) -> list[Row]:
    return enqueue(key, channels, Kind.OPENED, seq, Message("t", "b"), now=NOW, expires_at=NOW + timedelta(hours=1))


def an_alert(**changes) -> Alert:
    made = Alert("job.failed", (("job", "x"),), Severity.WARNING, NOW, "what", "done", "todo", AlertState.OPEN)
    return replace(made, **changes)


def change(alert: Alert, kind: ChangeKind = ChangeKind.OPENED) -> AlertChange:
    return AlertChange(kind, NOW, alert, tell=True)


def test_an_alert_has_one_row_while_it_is_unresolved_and_a_number(store):
    with store.write() as books:
        (first,) = books.alerts.apply([change(an_alert())], MONDAY)
        (second,) = books.alerts.apply([change(an_alert(what="worse"), ChangeKind.UPDATED)], MONDAY)
        assert first.alert is not None
        assert second.alert is not None
        assert first.alert.number == second.alert.number == 1
        assert [a.what for a in books.alerts.unresolved()] == ["worse"]
        over = an_alert(state=AlertState.RESOLVED, resolved_at=NOW, number=1)
        books.alerts.apply([change(over, ChangeKind.RESOLVED)], MONDAY)
        assert books.alerts.unresolved() == []
        (third,) = books.alerts.apply([change(an_alert())], TUESDAY)
        assert third.alert is not None
        assert third.alert.number == 2
        assert [a.number for a in books.alerts.of_session(MONDAY)] == [1]
        assert [a.number for a in books.alerts.held(NOW)] == [1, 2]
        assert [a.number for a in books.alerts.held(NOW + timedelta(seconds=1))] == [2]


def test_two_unresolved_alerts_of_one_cause_cannot_be_written(store):
    values = {"fingerprint": "f", "severity": "warning", "opened_at": NOW, "data": {}}
    with store.write() as books:
        books.alerts._c.execute(schema.alert.insert().values(state="resolved", **values))
        books.alerts._c.execute(schema.alert.insert().values(state="resolved", **values))
        books.alerts._c.execute(schema.alert.insert().values(state="open", **values))
    with pytest.raises(StoreError), store.write() as books:
        books.alerts._c.execute(schema.alert.insert().values(state="pending", **values))


def test_a_notice_is_told_and_is_no_alert(store):
    with store.write() as books:
        (back,) = books.alerts.apply([AlertChange(ChangeKind.NOTICE, NOW, Notice("k", "t"), tell=True)], MONDAY)
        assert back.alert is None
        assert books.alerts.held(NOW) == []


def test_a_message_is_put_into_the_outbox_once(store):
    with store.write() as books:
        assert books.alerts.enqueue([], MONDAY) == 0
        assert books.alerts.enqueue(messages("k"), MONDAY) == 2
        assert books.alerts.enqueue(messages("k", channels=("phone", "mail", "third")), MONDAY) == 1
        assert books.alerts.enqueue(messages("k", seq=2), MONDAY) == 2
        assert books.alerts.unsent() == 5
        assert books.alerts.messages(MONDAY) == books.alerts.messages_since(NOW)
        assert books.alerts.messages(TUESDAY) == books.alerts.messages_since(NOW + timedelta(seconds=1)) == []


def test_a_row_of_the_outbox_comes_back_as_it_went(store):
    (row,) = messages("k", channels=("phone",))
    sent = next_step(claim(row, at("08:16")), Delivery.SENT, at("08:17"), "fine")
    with store.write() as books:
        books.alerts.enqueue([row], MONDAY)
        assert books.alerts.waiting("phone") == [row]
        books.alerts.store(sent)
        assert books.alerts.messages(MONDAY) == [sent]
        assert sent.state is Sending.SENT
        assert books.alerts.waiting("phone") == []
        assert books.alerts.attempts_since("phone", NOW) == [at("08:17")]
        assert books.alerts.attempts_since("phone", at("08:18")) == []
        assert books.alerts.attempts_since("mail", NOW) == []


def test_what_waits_comes_with_all_rows_of_its_key(store):
    """The merge of an alarm with its recovery looks at what became of the alarm."""
    (alarm,) = messages("k", channels=("phone",))
    (after,) = messages("k", seq=2, channels=("phone",))
    with store.write() as books:
        books.alerts.enqueue([alarm, after, *messages("other", channels=("mail",))], MONDAY)
        books.alerts.store(next_step(claim(alarm, NOW), Delivery.SENT, NOW))
        assert [(r.seq, r.state) for r in books.alerts.waiting("phone")] == [(1, Sending.SENT), (2, Sending.QUEUED)]


# -- people -------------------------------------------------------------------------------------------------------------


def test_a_question_is_put_once_and_ended_once(store):
    asked = Ask(
        "late@k",
        AskKind.LATE,
        MONDAY,
        "verify",
        "Run it?",
        ("run", "skip"),
        "skip",
        {"why": "late"},
        NOW,
        slot="open-60m",
    )
    with store.write() as books:
        first = books.asks.open(asked, 3)
        assert first is not None
        assert books.asks.open(asked) is None
        assert books.asks.waiting() == [first]
        done = first.answered("run", "cli:ravi", NOW)
        assert books.asks.store(done)
        assert not books.asks.store(first.answered("skip", "telegram:7", NOW))
        assert books.asks.by_key("late@k") == done
        assert books.asks.approved([MONDAY]) == {KEY}
        assert books.asks.waiting() == []


def test_a_pause_holds_until_it_ends(store):
    with store.write() as books:
        held = books.pauses.add(Pause("verify", NOW, None, "the broker is down", "cli:ravi"))
        assert books.pauses.held(NOW) == [held]
        books.pauses.end(held.number, "cli:ravi", at("09:00"))
        assert books.pauses.held(at("09:01")) == []
        assert [p.number for p in books.pauses.between(NOW, at("09:30"))] == [held.number]


# -- lease, requests, calendars, feed -----------------------------------------------------------------------------------


def test_a_lease_is_taken_renewed_lost_and_given_back(store):
    with store.write() as books:
        desk = books.desk
        assert desk.lease() is None
        assert desk.take("one", 11, "here", NOW, LEASE) == 1
        with pytest.raises(AlreadyRunning, match="pid 11 on here, since 2026-11-23 02:45:00 UTC"):
            desk.take("two", 22, "there", NOW + timedelta(seconds=14), LEASE)
        assert desk.renew("one", 1, NOW + timedelta(seconds=10), LEASE, {"feed": "live"})
        with pytest.raises(AlreadyRunning):
            desk.take("two", 22, "there", NOW + timedelta(seconds=24), LEASE)
        assert desk.take("two", 22, "there", NOW + timedelta(seconds=25), LEASE) == 2
        assert not desk.renew("one", 1, NOW + timedelta(seconds=26), LEASE, {})
        desk.release("one", 1, NOW)
        held = desk.lease()
        assert held is not None
        assert (held.holder, held.epoch, held.data, held.expires) == ("two", 2, {}, NOW + timedelta(seconds=40))
        desk.release("two", 2, NOW + timedelta(seconds=30))
        assert desk.take("one", 11, "here", NOW + timedelta(seconds=30), LEASE) == 3


def test_a_holder_that_is_known_to_be_dead_and_oneself_need_not_be_waited_for(store):
    with store.write() as books:
        books.desk.take("one", 11, "here", NOW, LEASE)
        assert books.desk.take("one", 12, "here", NOW, LEASE) == 2
        assert books.desk.take("two", 22, "there", NOW, LEASE, dead=True) == 3


def test_a_request_is_taken_once_and_answered(store):
    with store.write() as books:
        number = books.desk.ask("run", {"job": "x"}, "cli:me", NOW)
        assert [(r.number, r.kind, r.data, r.by) for r in books.desk.open_requests()] == [
            (number, "run", {"job": "x"}, "cli:me")
        ]
        books.desk.answer(number, "started", NOW)
        assert books.desk.open_requests() == []
        asked = books.desk.request(number)
        assert asked is not None
        assert asked.answer == "started"
        assert books.desk.request(99) is None


def test_a_configuration_is_kept_once_by_its_hash(store):
    with store.write() as books:
        books.desk.keep_config("abc", {"version": 1}, NOW)
        books.desk.keep_config("abc", {"version": 2}, NOW)
        rows = books.desk._c.execute(schema.config_version.select()).all()
    assert [(r.hash, r.merged) for r in rows] == [("abc", {"version": 1})]


def test_a_calendar_comes_back_as_it_went_and_a_new_one_takes_its_place(store):
    made = calendar(closed={TUESDAY: "Guru Nanak Jayanti"})
    with store.write() as books:
        assert books.calendars.load("NFO") is None
        assert books.calendars.provenance("NFO") is None
        books.calendars.keep(made, {"versions": {"x": "1"}}, NOW)
        books.calendars.keep(SessionCalendar("NSE", INDIA, WEDNESDAY, {}), {}, NOW)
        assert books.calendars.load("NFO") == made
        assert books.calendars.provenance("NFO") == (NOW, made.known_until, {"versions": {"x": "1"}})
        smaller = calendar(session())
        books.calendars.keep(smaller, {}, NOW)
        assert books.calendars.load("NFO") == smaller
        empty = books.calendars.load("NSE")
        assert empty is not None
        assert empty.days == {}


def test_the_feed_s_rows_stay_in_order_and_a_minute_has_one_sample(store):
    moved = FeedChange(NOW, "live", "fallback", "no tick for 120 s", "look", {"age": 120})
    with store.write() as books:
        books.feed.change(MONDAY, moved)
        books.feed.change(MONDAY, replace(moved, was="fallback", now="probation"))
        books.feed.sample(MONDAY, NOW, {"ticks": 1})
        books.feed.sample(MONDAY, NOW, {"ticks": 2})
        assert [c.now for c in books.feed.changes(MONDAY)] == ["fallback", "probation"]
        assert books.feed.changes(MONDAY)[0] == moved
        assert [(s.at, s.data) for s in books.feed.samples(MONDAY)] == [(NOW, {"ticks": 2})]
        assert (books.feed.changes(TUESDAY), books.feed.samples(TUESDAY)) == ([], [])


def test_a_run_s_own_words_survive_the_ledger(store):
    """Quotes, newlines, other scripts and a NUL-free everything else: nothing is built into SQL by hand."""
    planned(store)
    text = "'; DROP TABLE attempt; -- ₹ आज \n\t\"%s"
    with store.write() as books:
        assert books.ledger.settle(
            run.settle(ONCE, claimed_in(books), at("08:16"), Found(Verdict.OK, text, {text: text}))
        )
    with store.read() as books:
        entry = books.ledger.entry(KEY)
    assert entry is not None
    assert entry.last is not None
    assert (entry.reason, entry.last.facts) == (text, {text: text})


def test_words_with_a_nul_and_an_endless_name_of_an_error_are_kept_as_far_as_they_can_be(store):
    """What a step raises is not ours to choose; a row that could not be written would be tried again for ever."""
    planned(store)
    endless = type("E" * 300, (Exception,), {})
    with store.write() as books:
        assert books.ledger.settle(run.settle(ONCE, claimed_in(books), at("08:16"), endless("a\0b")))
        books.alerts.enqueue(
            enqueue("k", ["phone"], Kind.NOTICE, 0, Message("t\0", "b\0"), now=NOW, expires_at=NOW), None
        )
    with store.read() as books:
        entry = books.ledger.entry(KEY)
        (row,) = books.alerts.waiting("phone")
    assert entry is not None
    assert entry.last is not None
    assert entry.reason.endswith("a\\x00b")
    assert entry.last.error_class == "E" * 80
    assert (row.message.title, row.message.body) == ("t\\x00", "b\\x00")


def test_facts_with_a_nul_come_back_as_they_went(store):
    planned(store)
    with store.write() as books:
        assert books.ledger.settle(
            run.settle(ONCE, claimed_in(books), at("08:16"), Found(Verdict.OK, "x", {"a": "\0"}))
        )
    with store.read() as books:
        entry = books.ledger.entry(KEY)
    assert entry is not None
    assert entry.last is not None
    assert entry.last.facts == {"a": "\0"}


# -- old repeats --------------------------------------------------------------------------------------------------------


def as_kept(store: Store, facts: DayFacts) -> DayFacts:
    """The day with the rows that the ledger has of it."""
    day = facts.day.date
    with store.read() as books:
        return replace(facts, entries=tuple(books.ledger.session(day)), rolled=tuple(books.repeats.tallies(day)))


def ragged(facts: DayFacts) -> DayFacts:
    """The day with minutes without samples, a check that ran twice, one that was late, and one that found something."""
    rows = []
    for n, row in enumerate(facts.entries):
        e = row
        if e.key.job == "check_feed" and e.tries and n % 97 == 5:
            e = replace(e, tries=(e.tries[0], replace(e.tries[0], n=2, actor="cli:me")))
        elif e.key.job == "check_feed" and e.tries and n % 89 == 7:
            e = replace(e, verdict=Verdict.ATTENTION, tries=(replace(e.tries[0], verdict=Verdict.ATTENTION),))
        elif e.key.job == "check_feed" and e.tries and n % 83 == 9:
            late = e.occurrence.latest_start + timedelta(seconds=1)
            e = replace(e, tries=(replace(e.tries[0], started=late, ended=late),))
        elif e.key.job == "check_feed" and n % 79 == 11:
            e = replace(e, state=State.MISSED, verdict=None, tries=(), reason="not started by its latest start")
        rows.append(e)
    quiet = [s for s in facts.samples if not report_days.at("11:00") < s.at < report_days.at("11:40")]
    return replace(facts, entries=tuple(rows), samples=tuple(quiet))


@pytest.mark.parametrize("day", ["clean", "incident", "ragged"])
def test_a_report_of_a_rolled_up_day_says_the_same_to_the_letter(store, day):
    facts = report_days.clean_day() if day == "clean" else report_days.incident_day()
    facts = ragged(facts) if day == "ragged" else facts
    calendar, now = report_days.calendar(), report_days.at("23:00")
    report_days.keep(store, facts.entries)
    before = as_kept(store, facts)
    with store.write() as books:
        foreseen = books.repeats.rollable(facts.day.date)
        gone = books.repeats.roll_up(facts.day.date)
        assert books.repeats.roll_up(facts.day.date) == 0  # and a second time there is nothing to take
    after = as_kept(store, facts)
    assert gone == foreseen == len(before.entries) - len(after.entries)
    assert gone > (400 if day == "ragged" else 600)
    was, is_ = (build(f, calendar, now, (), "local_paper", "abc") for f in (before, after))
    assert is_ == was
    assert render_text(is_) == render_text(was)
    assert render_markdown(is_) == render_markdown(was)
    shown = [render_status(StatusFacts(now, calendar, f, None, (), 0)) for f in (before, after)]
    assert shown[0] == shown[1]


def test_what_is_only_counted_is_still_explained_as_that_many(store):
    facts, calendar, now = report_days.incident_day(), report_days.calendar(), report_days.at("23:00")
    (check,) = [job for job in report_days.JOBS if job.name == "check_feed"]
    report_days.keep(store, facts.entries)

    def states() -> dict[str, int]:
        held = as_kept(store, facts)
        told = explain(
            check, facts.day, {check.name: check}, held.entries, "NFO", now, calendar.zone, None, held.rolled
        )
        return dict(told.slots[0].states)

    before = states()
    with store.write() as books:
        assert books.repeats.roll_up(facts.day.date) > 600
    assert states() == before


def test_what_was_not_well_stays_with_its_neighbours(store):
    facts = ragged(report_days.incident_day())
    report_days.keep(store, facts.entries)
    before = as_kept(store, facts).entries
    with store.write() as books:
        books.repeats.roll_up(facts.day.date)
    after = as_kept(store, facts).entries
    held = {e.key for e in after}
    odd = [
        n
        for n, e in enumerate(before)
        if e.state is not State.SUCCEEDED or e.verdict is not Verdict.OK or len(e.tries) != 1
    ]
    assert len(odd) > 10
    assert {before[n].key for n in odd} <= held
    assert [e for e in before if not e.repeating] == [e for e in after if not e.repeating]
    checks = [e for e in before if e.repeating]
    for n, e in enumerate(checks):
        if e.state is State.MISSED:
            assert {checks[n - 1].key, checks[n + 1].key} <= held


def test_only_sessions_that_were_not_rolled_up_yet_are_looked_at(store):
    facts = report_days.clean_day()
    days = [facts.day.date - timedelta(days=n) for n in (2, 1, 0)]
    for day in days:
        report_days.keep(store, facts.entries[:40], day)
    with store.write() as books:
        assert books.repeats.sessions(days[-1]) == days[:2]
        assert books.repeats.roll_up(days[0]) > 0
        assert books.repeats.sessions(days[-1]) == days[1:2]
        assert books.ledger.sessions(5, until=days[1]) == [days[1], days[0]]


# -- PostgreSQL's own ------------------------------------------------------------------------------------------------


SECRET = "not-for-any-eye"


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("mysql://desk/runbook", "a database of mysql"),
        ("postgresql://desk/runbook", "a database of postgresql, which"),
        ("sqlite:///runbook.db", "a database of sqlite"),
        ("a database somewhere", "no database address"),
    ],
)
def test_an_address_of_another_kind_is_refused_with_what_is_accepted(address, found):
    with pytest.raises(StoreError, match=found) as caught:
        Store(address)
    assert "postgresql+psycopg://USER@HOST/DATABASE" in (caught.value.hint or "")


def test_a_server_that_is_not_there_is_told_without_the_password():
    pytest.importorskip("psycopg")
    store = Store(f"postgresql+psycopg://desk:{SECRET}@127.0.0.1:1/ledger", busy_seconds=2.0)
    assert not store.exists
    with pytest.raises(StoreError) as caught, store.write():
        pass
    assert "does PostgreSQL run" in (caught.value.hint or "")
    assert str(caught.value).startswith("ledger on 127.0.0.1: ")
    assert SECRET not in str(caught.value) + (caught.value.hint or "") + store.name


def test_it_has_no_file_to_copy_and_says_what_does(cluster, tmp_path):
    store = Store(cluster.ledger())
    with pytest.raises(StoreError, match="is no file") as caught:
        store.backup(tmp_path / "copy.db")
    assert "pg_dump" in (caught.value.hint or "")
    store.close()


def test_a_reader_cannot_write(cluster):
    store = Store(cluster.ledger())
    with pytest.raises(StoreError, match="read-only"), store.read() as books:
        books.desk.keep_config("abc", {}, at("08:15"))
    store.close()


STOPS_ITSELF = """
import os, signal, sys
from runbook.adapters.store import Store
store = Store(sys.argv[1], busy_seconds=0.4)
with store.write() as books:
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_writer_that_is_stopped_in_mid_transaction_does_not_keep_the_others_out(cluster):
    """The server ends its transaction after twice the patience it was opened with; a lock of a session would stay."""
    address = cluster.ledger()
    stopped = subprocess.Popen([sys.executable, "-c", STOPS_ITSELF, address], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _state(stopped.pid) == "T", "it stops itself while it writes")
        patient = Store(address, busy_seconds=10.0)
        with patient.write() as books:
            assert books.desk.lease() is None
        patient.close()
    finally:
        stopped.send_signal(signal.SIGCONT)
        stopped.kill()
        stopped.wait()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
