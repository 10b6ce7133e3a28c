"""Every n-th write made to fail: the file is as its last whole transaction left it, the error is told, and the work goes on."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from runbook.adapters.store import Store
from runbook.agenda import agenda
from runbook.alert import JobSettled
from runbook.day import FeedChange
from runbook.engine.alerting import Alerting
from runbook.errors import StoreBusy, StoreError
from runbook.job import Found, JobSpec, Key, Verdict
from runbook.run import Run, settle
from runbook.session import INDIA
from runbook.teller import Teller, Voice
from runbook.trigger import Anchor, At, Every
from tests.fakes import MONDAY, FakeNotifier, StillClock, at, calendar, ledger_file, session

ONCE = JobSpec("verify", "jobs.a:b", At((Anchor.parse("open-60m"),)), 20.0, Anchor.parse("close-15m"))
OFTEN = JobSpec("check", "jobs.a:b", Every(timedelta(minutes=1), Anchor.parse("open"), Anchor.parse("open+9m")), 5.0)
KEY = Key(MONDAY, "verify", "open-60m")
LONG = "x" * 9_000  # words that need pages of their own
CHANNELS = ("phone", "mail")
LEASE = timedelta(seconds=15)
ERRORS = {
    "database is locked": StoreBusy,
    "database or disk is full": StoreError,
    "disk I/O error": StoreError,
}
Dump = dict[str, list[tuple[Any, ...]]]


class Fault:
    """Counts the statements that write; the one whose number is `fails_at` raises `error` instead of being carried out.

    `pages` is how large SQLite may let the file become.
    """

    def __init__(self, fails_at: int | None = None, error: str = "disk I/O error", *, pages: int | None = None) -> None:
        self.fails_at, self.error, self.pages = fails_at, error, pages
        self.writes = self.commits = 0
        self.writing = False
        self.committed: Callable[[], None] = lambda: None

    def look(self, sql: str) -> None:
        if not sql.startswith(("BEGIN IMMEDIATE", "INSERT", "UPDATE", "DELETE", "COMMIT")):
            return
        self.writing = True
        self.writes += 1
        if self.writes == self.fails_at:
            raise sqlite3.OperationalError(self.error)


class Bench:
    """One ledger, put back to its beginning for each day; its faults come from between SQLAlchemy and SQLite."""

    def __init__(self, folder: Path) -> None:
        self.file = ledger_file(folder)
        self.fresh = self.file.read_bytes()
        self.fault = Fault()
        self.store = Store(self.file, busy_seconds=0.02)
        bench = self

        class Cursor(sqlite3.Cursor):
            def execute(self, sql: str, given: Any = (), /) -> Any:
                bench.fault.look(sql)
                return super().execute(sql, given)

            def executemany(self, sql: str, given: Any, /) -> Any:
                bench.fault.look(sql)
                return super().executemany(sql, given)

        class Connection(sqlite3.Connection):
            def cursor(self, *_: Any) -> Any:
                return super().cursor(Cursor)

            def commit(self) -> None:
                fault = bench.fault
                if not (self.in_transaction and fault.writing):
                    return super().commit()
                fault.look("COMMIT")
                super().commit()
                fault.writing = False
                fault.commits += 1
                fault.committed()
                return None

            def rollback(self) -> None:
                bench.fault.writing = False
                super().rollback()

        @event.listens_for(self.store._engine, "do_connect")
        def _(_dialect: Any, _record: Any, _arguments: Any, named: dict[str, Any]) -> None:
            named["factory"] = Connection

        @event.listens_for(self.store._engine, "connect")
        def _(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")  # no power is cut here; waiting for the disk proves nothing
            if bench.fault.pages is not None:
                connection.execute(f"PRAGMA max_page_count={bench.fault.pages}")

    def day(self, fault: Fault) -> Desk:
        """A day that has not begun, on an empty ledger."""
        self.store.close()
        for rest in self.file.parent.glob(f"{self.file.name}-*"):
            rest.unlink()
        self.file.write_bytes(self.fresh)
        self.fault = fault
        self.store.epoch = None
        return Desk(self.store)

    def mend(self) -> None:
        """From here on nothing fails any more; connections are made anew."""
        self.store.close()
        self.fault = Fault()


class Desk:
    """A small day over the store's real operations. `steps` are done in order; one that failed is done again, as the engine does."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = StillClock(at("08:15"))
        self.notifier = FakeNotifier()
        self.teller = Teller(store, self.notifier, CHANNELS, self.clock)
        self.alerting = Alerting(Voice(CHANNELS, INDIA), lambda _day: session(), lambda: None, calendar)
        self.steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("08:10", self.start), ("08:15", self.claim), ("08:16", self.fails), ("08:16:05", self.tell),
            ("08:16:10", self.tell), ("08:20", self.ask), ("08:21", self.answer), ("08:22", self.succeeds),
            ("08:22:05", self.tell), ("08:30", self.feed), ("08:31", self.renew), ("09:20", self.check),
            ("09:30", self.roll_up),
        )  # fmt: skip
        self.done = 0

    def go(self) -> None:
        """All that is still to do; raises what a step raises, and goes on there the next time."""
        while self.done < len(self.steps):
            clock, step = self.steps[self.done]
            self.clock.at = at(clock)
            step()
            self.done += 1

    def start(self) -> None:
        with self.store.write() as books:
            held = books.desk.lease()
            epoch = held.epoch if held else books.desk.take("one", 1, "here", self.clock.at, LEASE)
            books.ledger.plan(agenda([ONCE, OFTEN], [session()]), "abc")
        self.store.epoch = epoch

    def claim(self) -> None:
        with self.store.write() as books:
            assert books.ledger.claim(KEY, "scheduler", self.clock.at, 1) is not None

    def settle(self, result: object) -> None:
        with self.store.write() as books:
            ((_, attempt),) = books.ledger.running()
            done: Run = settle(ONCE, attempt, self.clock.at, result)
            assert books.ledger.settle(done, 1)
            cause = JobSettled("verify", "open-60m", done.outcome, str(done.verdict), done.reason)
            self.alerting.decide(books, [cause], self.clock.at, MONDAY)

    def fails(self) -> None:
        self.settle(ValueError(f"the broker is gone {LONG}"))

    def succeeds(self) -> None:
        self.settle(Found(Verdict.OK, "the broker is back", {"pad": LONG}))

    def tell(self) -> None:
        for channel in CHANNELS:
            self.teller._once(channel)

    def ask(self) -> None:
        with self.store.write() as books:
            if not books.desk.open_requests():
                books.desk.ask("run", {"job": "verify"}, "cli:me", self.clock.at)

    def answer(self) -> None:
        with self.store.write() as books:
            (asked,) = books.desk.open_requests()
            attempt = books.ledger.claim(KEY, asked.by, self.clock.at, 1, again=True)
            assert attempt is not None
            books.desk.answer(asked.number, f"started as attempt {attempt.n}", self.clock.at)

    def feed(self) -> None:
        with self.store.write() as books:
            books.feed.change(MONDAY, FeedChange(self.clock.at, "LIVE", "SUSPECT", f"no tick {LONG}"))
            books.feed.sample(MONDAY, self.clock.at, {"ticks": 1, "pad": LONG})

    def renew(self) -> None:
        with self.store.write() as books:
            assert books.desk.renew("one", 1, self.clock.at, LEASE, {"feed": "live"})

    def check(self) -> None:
        """Four firings of the check, all well."""
        with self.store.write() as books:
            for n in range(1, 5):
                began = at("09:15") + timedelta(minutes=n - 1)
                attempt = books.ledger.claim(Key(MONDAY, "check", f"{n:04d}"), "scheduler", began, 1)
                assert attempt is not None
                assert books.ledger.settle(settle(OFTEN, attempt, began, Found(Verdict.OK, "ticks")), 1)

    def roll_up(self) -> None:
        with self.store.write() as books:
            books.repeats.roll_up(MONDAY)


def dump(file: Path) -> Dump:
    """Every row of every table; and it can be read whole, and no reference leads nowhere."""
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return {table: sorted(db.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}


def assert_nothing_is_half_written(held: Dump) -> None:
    """What is one thing for people is there as a whole or not at all."""
    running = {row[:3] for row in held["occurrence"] if row[8] == "running"}
    under_way = {row[:3] for row in held["attempt"] if row[6] is None}
    assert running == under_way, "a row that runs has one open attempt, and no other has one"
    failed = [row for row in held["attempt"] if row[7] == "failed"]
    assert len(held["alert"]) == len(failed), "a run that failed has its alert"
    told = {(row[1].partition("@")[0], row[2], row[3]) for row in held["outbox"]}
    for alert in held["alert"]:
        kinds = ("opened", "resolved") if alert[3] == "resolved" else ("opened",)
        assert {(alert[1], c, k) for c in CHANNELS for k in kinds} <= told, "an alert is in the outbox of each channel"
    asked = [row for row in held["request"] if row[6] is not None]
    by_people = [row for row in held["attempt"] if row[4] == "cli:me"]
    assert len(asked) == len(by_people), "a request that was taken has its attempt"
    if held["tally"]:
        assert len([row for row in held["occurrence"] if row[1] == "check"]) == 9 - held["tally"][0][4]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def undisturbed(bench: Bench) -> tuple[int, list[Dump]]:
    """How many writes the day takes, and the file after each of its transactions."""
    fault = Fault()
    desk = bench.day(fault)
    seen = [dump(bench.file)]
    fault.committed = lambda: seen.append(dump(bench.file))
    desk.go()
    assert len(desk.notifier.sent) == 4
    for held in seen:
        assert_nothing_is_half_written(held)
    assert [row[3] for row in seen[-1]["alert"]] == ["resolved"]
    assert [row[4] for row in seen[-1]["tally"]] == [2]
    return fault.writes, seen


def play(bench: Bench, seen: list[Dump], n: int, error: str) -> None:
    fault = Fault(n, error)
    desk = bench.day(fault)
    with pytest.raises(StoreError) as caught:
        desk.go()
    assert type(caught.value) is ERRORS[error], f"write {n}: {caught.value!r}"
    assert dump(bench.file) == seen[fault.commits], f"write {n}: half a transaction is in the file"
    desk.go()
    assert_all_came(bench, desk, seen, f"write {n}")


def assert_all_came(bench: Bench, desk: Desk, seen: list[Dump], what: str) -> None:
    assert dump(bench.file) == seen[-1], f"{what}: what followed is not what would have been"
    assert len(desk.notifier.sent) == 4, f"{what}: a message was sent twice, or never"


def test_a_write_of_a_day_may_fail_and_nothing_is_half_written(bench, undisturbed):
    """Every third write, by turns as a busy file, as a full one and as a broken disk; the soak plays all three for each."""
    writes, seen = undisturbed
    assert writes > 60
    for turn, n in enumerate(range(1, writes + 1, 3)):
        play(bench, seen, n, [*ERRORS][turn % len(ERRORS)])


@pytest.mark.soak
@pytest.mark.parametrize("error", ERRORS)
def test_each_write_of_a_day_may_fail_in_each_way(bench, undisturbed, error):
    writes, seen = undisturbed
    for n in range(1, writes + 1):
        play(bench, seen, n, error)


def test_a_file_that_is_really_full_fails_where_it_is_and_goes_on_once_there_is_room(bench, undisturbed):
    """SQLite itself says so, at whichever statement needs the page that it may not have."""
    _, seen = undisturbed
    failed = []
    used = len(bench.fresh) // 4096
    for room in range(0, 40, 3):
        fault = Fault(pages=used + room)
        desk = bench.day(fault)
        try:
            desk.go()
        except StoreError as exc:
            failed.append((fault.commits, str(exc), exc.hint or ""))
            assert dump(bench.file) == seen[fault.commits]
            bench.mend()
            desk.go()
        assert_all_came(bench, desk, seen, f"{room} pages")
    assert len(set(failed)) > 2, "it is full in several places"
    assert all("full" in text and "has its disk room" in hint for _, text, hint in failed)
    assert len(failed) < 14, "and with room enough it is not"


def test_a_disk_that_takes_no_more_bytes_is_told_and_the_file_is_whole(bench, undisturbed):
    """The kernel itself refuses the write: no file of this process may grow beyond so many bytes."""
    _, seen = undisturbed
    failed = set()
    for size in range(len(bench.fresh) // 2, 20 * len(bench.fresh), len(bench.fresh)):
        fault = Fault()
        desk = bench.day(fault)
        try:
            with no_file_beyond(size):
                desk.go()
        except StoreError as exc:
            failed.add((fault.commits, str(exc)))
            assert dump(bench.file) == seen[fault.commits]
            desk.go()
        assert_all_came(bench, desk, seen, f"{size} bytes")
    assert len(failed) > 2
    assert all("disk I/O error" in text or "full" in text for _, text in failed), failed


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_another_holds_is_busy_at_each_transaction_and_free_again_after_it(bench, undisturbed):
    """A real lock of another connection, taken before each transaction in turn."""
    _, seen = undisturbed
    for n in range(len(seen) - 1):
        fault = Fault()
        desk = bench.day(fault)
        with closing(sqlite3.connect(bench.file, isolation_level=None)) as other:

            def lock(n: int = n, fault: Fault = fault, other: sqlite3.Connection = other) -> None:
                if fault.commits == n:
                    other.execute("BEGIN IMMEDIATE")

            fault.committed = lock
            lock()
            with pytest.raises(StoreBusy):
                desk.go()
            other.execute("ROLLBACK")
            assert dump(bench.file) == seen[n]
            fault.committed = lambda: None
            desk.go()
            assert_all_came(bench, desk, seen, f"transaction {n}")
