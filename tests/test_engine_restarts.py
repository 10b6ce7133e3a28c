"""What a crash, a late start or another holder of the lease leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from runbook.agenda import agenda
from runbook.engine import FeedTotals
from runbook.errors import AlreadyRunning
from runbook.job import JobSpec, OnAbandoned
from runbook.run import State
from runbook.trigger import Anchor
from tests.engine_world import OK, World, job, make, often, verify
from tests.fakes import (
    MONDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    session,
    until,
)

__all__ = ["make"]  # the fixture


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
