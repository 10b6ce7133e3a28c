"""The engine on a real ledger: plan, claim, run, settle, decide, tell."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Any

import pytest

from runbook.alert import FeedWord, ReadyReached
from runbook.clock import host_monotonic
from runbook.engine import FeedNews
from runbook.errors import JobFailed, Skip
from runbook.job import Context, Found, Key, OnAbandoned, Verdict
from runbook.run import State
from tests.engine_world import BAD, OK, change, fail, job, make, moved, verify
from tests.fakes import (
    MONDAY,
    TUESDAY,
    at,
    calendar,
    session,
    until,
)

__all__ = ["make"]  # the fixture

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


def circle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made


JUNK: tuple[Any, Any, Any] = ("splendid", None, [1])  # what a step may give where a verdict, a text, a mapping belong


def leave(_ctx: Context) -> object:
    raise SystemExit(2)


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
