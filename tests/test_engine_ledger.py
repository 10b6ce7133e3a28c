"""A ledger that refuses or is busy: together or not at all, in order, and nothing is lost."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from runbook.adapters.store import Store
from runbook.engine import FeedNews, FeedTotals
from runbook.errors import StoreBusy
from runbook.job import Context, Key
from runbook.run import State
from tests.engine_world import BAD, OK, World, change, fail, job, make, verify
from tests.fakes import (
    MONDAY,
    at,
    calendar,
    session,
    until,
)

__all__ = ["make"]  # the fixture


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
