"""The moment before an instant, and the instant: what is claimed when, and when a step begins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from runbook.engine.loop import TURN_EVERY
from runbook.job import Context
from runbook.pause import Pause
from runbook.run import State
from tests.engine_world import OK, World, job, make
from tests.fakes import (
    StillClock,
    at,
    until,
)

__all__ = ["make"]  # the fixture


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


@pytest.mark.parametrize("before", [timedelta(milliseconds=15), timedelta(seconds=1)])
def test_what_is_due_in_a_moment_begins_on_its_instant_although_no_alarm_comes(make, before):
    w = make(job("mine", "open"), now="09:14")
    w.clock.jump_to(at("09:15") - before)
    w.start()
    until(lambda: w.steps.called, "it begins")
    late = w.steps.called[0].now - at("09:15")
    assert timedelta() <= late < timedelta(seconds=TURN_EVERY - 1), "an idle turn would have come later"
