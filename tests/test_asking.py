"""Asks in a turning engine: manual steps, late and cut-off rows, and what is found; opened, answered, closed, looked at again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runbook import people
from runbook.ask import Ask, AskKind, AskSpec, AskState, Standing
from runbook.config.defaults import ASKS
from runbook.config.question import StandingQuestion
from runbook.day import FeedChange
from runbook.engine import FeedNews
from runbook.engine.asking import Asking
from runbook.errors import UsageError
from runbook.finding import Finding
from runbook.job import Found, IfLate, JobSpec, OnAbandoned, Verdict
from runbook.run import State
from runbook.trigger import Anchor
from tests.engine_world import World, job, make, verify
from tests.fakes import MONDAY, TUESDAY, at, calendar, session, until

__all__ = ["make"]  # the fixture

SPEC = AskSpec(
    "Is the margin enough?", ("go", "stay"), "stay", Anchor.parse("open-5m"), ("look at the funds",), "http://desk"
)
LOGIN = Standing(
    "broker_login", (Finding.BROKER_REFUSED, Finding.FEED_MUTE),
    AskSpec("Is somebody logged in?", ("done", "not_done"), "not_done", Anchor.parse("close"), verify="verify_broker"),
)  # fmt: skip
DEAD = Found(
    Verdict.BAD, "broker: token expired",
    {"rungs": [{"name": "broker", "verdict": "bad", "evidence": "token expired", "fix": "log in to the broker again"}]}, "log in",
)  # fmt: skip
ALIVE = Found(
    Verdict.OK, "key accepted", {"rungs": [{"name": "broker", "verdict": "ok", "evidence": "26049.9", "fix": ""}]}
)


def gate(**changes: Any) -> JobSpec:
    made = job("gate", "open-30m", latest="open-5m", asks=SPEC)
    return replace(made, **{"run": ""} | changes)


def asks(w: World) -> list[Ask]:
    with w.store.read() as books:
        return books.asks.newest(20)


def only(w: World) -> Ask:
    (one,) = asks(w)
    return one


def answer(w: World, number: int, choice: str, note: str = "", by: str = "cli:asha") -> str:
    with w.store.write() as books:
        said = people.answer(books, number, choice, note, by, w.clock.now())
    w.settle()
    return said


# -- manual steps -------------------------------------------------------------------------------------------------------


def test_a_manual_step_waits_for_a_person_and_is_told_once_with_how_to_answer(make: Callable[..., World]):
    w = make(gate()).start()
    w.go("08:44")
    assert asks(w) == []
    w.go("08:45", "08:50")
    asked = only(w)
    assert (asked.kind, asked.state, asked.slot, asked.deadline) == (
        AskKind.MANUAL,
        AskState.OPEN,
        "open-30m",
        at("09:10"),
    )
    assert w.entry("gate", "open-30m").state is State.WAITING_HUMAN
    assert w.told() == ["[ASK] gate #1"]
    assert "answer: runbook answer 1 go | stay" in w.message("[ASK]").message.body


def test_answered_yes_it_succeeded_and_says_who_and_how_long_it_took(make):
    w = make(gate()).start()
    w.go("08:45", "08:52")
    assert answer(w, 1, "go", "margin 2.1 lakh") == "ask 1, gate: go"
    entry = w.entry("gate", "open-30m")
    assert (entry.state, entry.verdict, entry.reason) == (
        State.SUCCEEDED,
        Verdict.OK,
        "ask 1: go, said cli:asha (margin 2.1 lakh)",
    )
    assert entry.last is not None
    assert entry.last.ended is not None
    began, ended = (one.replace(microsecond=0, second=0) for one in (entry.last.started, entry.last.ended))
    assert (entry.last.actor, began, ended) == ("cli:asha", at("08:45"), at("08:52"))
    assert entry.last.facts == {"ask": 1, "answer": "go", "note": "margin 2.1 lakh"}


@pytest.mark.parametrize("by_hand", [True, False])
def test_the_safe_default_skips_it_and_what_needs_it_does_not_run(make, by_hand: bool):
    w = make(gate(), job("trade", "open-4m", needs=("gate",))).start()
    w.go("08:45")
    if by_hand:
        answer(w, 1, "stay")
    w.go("09:10", "09:11")
    gate_row, trade = w.entry("gate", "open-30m"), w.entry("trade", "open-4m")
    assert gate_row.state is State.SKIPPED
    assert gate_row.reason == "ask 1: " + (
        "stay, said cli:asha" if by_hand else "unanswered, so stay: the safe default"
    )
    assert (trade.state, trade.reason) == (State.SKIPPED, "dependency (gate skipped)")
    assert w.steps.names() == []
    assert len(w.told()) == (1 if by_hand else 2), "a default that was taken is told; one that somebody chose is not"


def test_what_needs_a_manual_step_waits_for_the_answer(make):
    w = make(gate(), job("trade", "open-10m", needs=("gate",))).start()
    w.go("08:45", "09:06")
    assert w.entry("trade", "open-10m").state is State.PLANNED
    answer(w, 1, "go")
    w.settle()
    assert w.entry("trade", "open-10m").state is State.SUCCEEDED


def test_an_ask_survives_a_restart_and_is_not_put_twice(make):
    w = make(gate()).start()
    w.go("08:45")
    w.engine.stop()
    again = w.again("08:50", holder="desk:2").start()
    assert (len(asks(again)), only(again).state) == (1, AskState.OPEN)
    assert [t for t in again.told() if "[ASK]" in t] == ["[ASK] gate #1"]
    answer(again, 1, "go")
    assert again.entry("gate", "open-30m").state is State.SUCCEEDED


def test_an_answer_needs_no_daemon(make):
    w = make(gate()).start()
    w.go("08:45")
    w.engine.stop()
    with w.store.write() as books:
        people.answer(books, 1, "go", "", "telegram:7", at("08:50"))
    with w.store.read() as books:
        (entry,) = books.ledger.of_job(MONDAY, "gate")
    assert (entry.state, entry.tries[-1].actor) == (State.SUCCEEDED, "telegram:7")


def test_an_open_that_moves_away_makes_the_ask_void_and_it_is_put_again_at_the_new_time(make):
    w = make(gate()).start()
    w.go("08:45")
    w.calendar = calendar(session(MONDAY, "10:15", "15:40"), session(TUESDAY))
    w.settle()
    assert (only(w).state, w.entry("gate", "open-30m").state) == (AskState.VOID, State.PLANNED)
    with pytest.raises(UsageError, match="ask 1 is closed: void"):
        answer(w, 1, "go")
    w.go("09:45")
    first, second = asks(w)
    assert (second.state, second.deadline) == (AskState.OPEN, at("10:10"))
    assert first.hash != second.hash


def test_the_person_is_told_at_once_that_what_was_asked_is_no_longer_so(make):
    w = make(gate()).start()
    w.go("08:45")
    w.engine.stop()
    with w.store.write() as books:
        books.ledger.end([w.entry("gate", "open-30m").key], State.SKIPPED, "skipped by cli:ravi")
        with pytest.raises(UsageError, match="ask 1 is void"):
            people.answer(books, 1, "go", "", "cli:asha", at("08:50"))


def test_a_manual_step_that_nobody_was_there_to_ask_is_missed(make):
    w = make(gate(), now="09:11").start()
    assert w.entry("gate", "open-30m").state is State.MISSED
    assert asks(w) == []


# -- late and cut off ---------------------------------------------------------------------------------------------------


def test_what_is_found_late_waits_for_a_word_and_runs_after_a_yes(make):
    w = make(job("tidy", "open", latest="close", if_late=IfLate.ASK), now="11:00").start()
    asked = only(w)
    assert (asked.kind, asked.choices, asked.default, asked.deadline) == (
        AskKind.LATE,
        ("run", "skip"),
        "skip",
        at("15:40"),
    )
    assert asked.question == "tidy (09:15): run it late, or skip it?"
    assert w.steps.names() == []
    answer(w, 1, "run")
    w.settle()
    assert w.steps.names() == ["tidy open"]
    assert w.entry("tidy", "open").state is State.SUCCEEDED


def test_a_yes_to_a_late_row_holds_although_the_daemon_was_down_when_it_was_said(make):
    w = make(job("tidy", "open", latest="close", if_late=IfLate.ASK), now="11:00").start()
    w.engine.stop()
    with w.store.write() as books:
        people.answer(books, 1, "run", "", "cli:asha", at("11:05"))
    again = w.again("11:30", holder="desk:2").start()
    assert again.steps.names() == ["tidy open"]
    assert len(asks(again)) == 1


def test_in_time_nobody_is_asked(make):
    w = make(job("tidy", "open", latest="close", if_late=IfLate.ASK)).start()
    w.go("09:15")
    assert (asks(w), w.steps.names()) == ([], ["tidy open"])


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_no_or_nothing_skips_a_late_row(make, by_hand: bool):
    w = make(job("tidy", "open", latest="12:00", if_late=IfLate.ASK), now="11:00").start()
    if by_hand:
        answer(w, 1, "skip")
    w.go("12:00")
    entry = w.entry("tidy", "open")
    assert entry.state is State.SKIPPED
    assert entry.reason == "ask 1: " + ("skip, said cli:asha" if by_hand else "unanswered, so skip: the safe default")
    assert w.steps.names() == []


def test_what_was_cut_off_is_asked_about_each_time_it_happens(make):
    spec = job("move", "open", latest="close", on_abandoned=OnAbandoned.ASK, timeout=60.0)
    hang = threading.Event()
    w = make(spec, now="09:15")
    w.steps.does["move"] = lambda _ctx: hang.wait(30)
    w.engine.start(holder_is_dead=True)
    until(lambda: w.steps.called, "it does not start")
    w.engine.stop()
    second = w.again("09:20", holder="desk:2")
    second.steps.does["move"] = lambda _ctx: hang.wait(30)
    second.start()
    asked = only(second)
    assert (asked.kind, asked.question) == (AskKind.ABANDONED, "move (09:15): run it once more, or skip it?")
    assert not second.steps.called
    with second.store.write() as books:
        people.answer(books, 1, "run", "", "cli:asha", second.clock.now())
    second.engine.wake()
    until(lambda: second.steps.called, "the yes starts nothing")
    second.engine.stop()
    third = w.again("09:30", holder="desk:3").start()
    assert [a.state for a in asks(third)] == [AskState.ANSWERED, AskState.OPEN]
    answer(third, 2, "skip")
    assert third.entry("move", "open").state is State.SKIPPED
    hang.set()


# -- what is found ------------------------------------------------------------------------------------------------------


def change(w: World, clock: str, was: str, now: str, hop: str = "", says: str = "", hint: str = "") -> None:
    evidence = {"hops": {hop: ["broken", says]}} if hop else {}
    w.clock.jump_to(at(clock))
    w.engine.post(FeedNews(MONDAY, FeedChange(at(clock), was, now, says or "ticks", hint, evidence), None))
    w.settle()


def test_a_dead_token_is_asked_about_half_an_hour_before_the_open_in_the_one_reminder(make):
    w = make(verify(), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:44")
    assert asks(w) == [], "nobody is bothered while there is time"
    w.go("08:45", "08:46")
    asked = only(w)
    assert (asked.kind, asked.seen, asked.deadline) == (AskKind.FINDING, "broker: token expired", at("15:40"))
    assert w.told() == ["[WARN] half an hour to the open, broker not verified"]
    assert "runbook answer 1 done | not_done" in w.message("half an hour").message.body.replace("\n  ", " ")


def test_it_closes_itself_when_the_check_passes(make):
    w = make(verify(), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45")
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("08:46:10", "08:46:30")
    assert (only(w).state, only(w).note) == (AskState.VOID, "verified by verify_broker at 08:46")


def test_a_check_that_broke_off_closes_nothing(make):
    w = make(verify(), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45")
    w.steps.does["verify_broker"] = lambda _: 1 / 0
    w.go("08:46", "08:47")
    assert only(w).open


def test_a_day_on_which_all_is_well_asks_nothing(make):
    w = make(verify(), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("08:15", "08:45", "09:05", "09:30", "15:40")
    assert (asks(w), w.told()) == ([], [])


def test_done_is_verified_again_after_fifteen_seconds(make):
    w = make(verify(repeat_until_ok=None), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45", "08:50")
    assert answer(w, 1, "done") == "ask 1, broker_login: done; verify_broker looks again in 15s"
    w.steps.does["verify_broker"] = lambda _: ALIVE
    before = len(w.steps.called)
    w.go("08:50:14")
    assert len(w.steps.called) == before
    w.go("08:50:15", "08:50:20")
    assert len(w.steps.called) == before + 1
    assert w.steps.called[-1].actor == "ask:1"
    w.settle()
    assert only(w).verified == "ok: key accepted (verify_broker at 08:50)"


def test_done_that_was_not_is_asked_again_and_told_but_not_for_ever(make):
    w = make(verify(repeat_until_ok=None), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45")
    for number, clock in ((1, "08:50"), (2, "08:55"), (3, "09:00")):
        w.go(clock)
        answer(w, number, "done")
        w.go(f"{clock}:15", f"{clock}:20", f"{clock}:30")
        assert asks(w)[number - 1].verified == f"bad: broker: token expired (verify_broker at {clock})"
    assert len(asks(w)) == 3
    assert [t for t in w.told() if "[ASK]" in t] == ["[ASK] broker_login #2", "[ASK] broker_login #3"]
    assert asks(w)[1].seen == "broker: token expired; it was answered done at 08:50"


def test_somebody_who_says_no_is_left_alone_for_the_session(make):
    w = make(verify(), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45")
    answer(w, 1, "not_done")
    w.go("08:46", "08:50", "09:05")
    assert len(asks(w)) == 1


def test_a_no_to_one_finding_is_no_answer_to_another(make):
    w = make(verify(), asks=(LOGIN,)).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45")
    answer(w, 1, "not_done")
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("08:50", "09:05")
    change(w, "09:16", "ARMED", "LIVE")
    change(w, "10:00", "SUSPECT", "FALLBACK", "H3", "no tick for 60 s")
    w.go("10:05:05")
    assert [(a.evidence["finding"], a.state) for a in asks(w)] == [
        ("broker_refused", AskState.ANSWERED), ("feed_mute", AskState.OPEN),
    ]  # fmt: skip


def test_an_approval_is_put_by_whoever_needs_it_and_unanswered_it_is_the_safe_default(make):
    w = make(verify(), now="09:30").start()
    asking = w.engine._keepers[0]
    assert isinstance(asking, Asking)
    wanted = Ask(
        "remedy@restart@1",
        AskKind.APPROVAL,
        MONDAY,
        "restart",
        "Restart?",
        ("restart", "leave"),
        "leave",
        {"alert": 7},
        at("09:30"),
        at("09:40"),
    )
    for _ in range(2):
        with w.store.write() as books:
            asking.put(books, wanted, w.clock.now())
    assert w.told() == ["[ASK] restart #1"]
    w.go("09:40")
    assert (only(w).state, only(w).answer) == (AskState.DEFAULTED, "leave")
    assert w.told()[1:] == ["[WARN] restart: nobody answered, leave holds #1"]


def shipped() -> tuple[Standing, ...]:
    return tuple(StandingQuestion.model_validate(one).standing() for one in ASKS)


def test_a_feed_that_is_ill_for_five_minutes_is_a_person_s_and_not_before(make):
    w = make(verify(), asks=shipped(), now="09:00").start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("09:05")
    change(w, "09:16", "ARMED", "LIVE")
    change(w, "10:00", "SUSPECT", "FALLBACK", "H3", "no tick for 60 s")
    w.go("10:04:59")
    assert asks(w) == []
    w.go("10:05:05")
    assert (only(w).name, only(w).seen) == ("broker_login", "H3: no tick for 60 s")
    assert w.told() == ["[ASK] broker_login #1"]
    change(w, "10:06", "FALLBACK", "PROBATION")
    w.go("10:06:30")
    assert only(w).open, "ticks that have yet to hold close nothing"
    change(w, "10:07", "PROBATION", "LIVE")
    w.go("10:07:10")
    assert (only(w).state, only(w).note) == (AskState.VOID, "the feed is back on the stream")


def test_a_feed_that_flaps_asks_nobody(make):
    w = make(verify(), asks=shipped(), now="09:00").start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("09:05")
    change(w, "09:16", "ARMED", "LIVE")
    for minute in range(0, 30, 4):
        change(w, f"10:{minute:02}", "SUSPECT" if minute == 0 else "PROBATION", "FALLBACK", "H3", "no tick")
        change(w, f"10:{minute + 3:02}", "FALLBACK", "PROBATION")
    assert asks(w) == []


def test_a_stream_server_that_is_gone_asks_for_a_restart(make):
    w = make(verify(), asks=shipped(), now="09:00").start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("09:05")
    change(w, "09:16", "ARMED", "LIVE")
    change(w, "10:00", "SUSPECT", "FALLBACK", "H1", "refused")
    w.go("10:05:05")
    assert only(w).name == "restart_openalgo"
    assert "no second unit" in w.message("restart_openalgo").message.body.replace("\n  ", " ")


def test_ticks_that_never_came_ask_about_the_plan_once_for_all_sessions(make):
    w = make(verify(), asks=shipped(), now="09:00").start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("09:05")
    change(w, "09:17", "SUSPECT", "FALLBACK", "H3", "no tick")
    w.go("09:22:05")
    assert only(w).name == "plan_includes_streaming"
    answer(w, 1, "done")
    w.go("09:22:16", "09:22:30", "09:30", "09:40")
    assert [a.name for a in asks(w)] == ["plan_includes_streaming", "broker_login"], "the plan is no question any more"
    w.go("15:40", "15:41")
    assert [a.state for a in asks(w)] == [AskState.ANSWERED, AskState.DEFAULTED]


@pytest.mark.parametrize("once", [True, False])
def test_a_yes_that_holds_for_ever_is_not_asked_for_again(make, once: bool):
    (plan,) = (one for one in shipped() if one.name == "plan_includes_streaming")
    w = make(verify(), asks=(replace(plan, once=once),), now="09:00").start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("09:05")
    change(w, "09:17", "SUSPECT", "FALLBACK", "H3", "no tick")
    w.go("09:22:05")
    answer(w, 1, "done")
    w.go("09:22:25", "09:22:35", "09:30")
    assert len(asks(w)) == (1 if once else 2)


def test_a_session_with_ticks_has_answered_the_question_about_the_plan(make):
    w = make(verify(), asks=shipped(), now="09:00").start()
    w.steps.does["verify_broker"] = lambda _: ALIVE
    w.go("09:05")
    change(w, "09:16", "ARMED", "LIVE")
    change(w, "09:17", "SUSPECT", "FALLBACK", "H3", "no tick")
    w.go("09:22:05")
    assert only(w).name == "broker_login"


def test_only_one_standing_question_is_open_at_a_time(make):
    w = make(verify(), asks=shipped()).start()
    w.steps.does["verify_broker"] = lambda _: DEAD
    w.go("08:15", "08:45")
    change(w, "09:16", "SUSPECT", "FALLBACK", "H1", "refused")
    w.go("09:30")
    assert [a.name for a in asks(w)] == ["broker_login"]
