"""How an attempt ends: outcome and verdict are two things, and nothing that a step does is lost or breaks the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from runbook.errors import BrokerTokenDead, JobFailed, Skip, WrongKey
from runbook.job import Found, JobSpec, Key, Occurrence, Retries, Verdict
from runbook.run import Attempt, State, abandoned, overran, settle
from runbook.trigger import Anchor, At
from tests.fakes import MONDAY, at

JOB = JobSpec("check", "jobs.a:b", At((Anchor.parse("open-60m"),)), 20.0)
UNTIL_OK = replace(JOB, repeat_until_ok=timedelta(minutes=1))
OCCURRENCE = Occurrence(Key(MONDAY, "check", "open-60m"), at("08:15"), at("08:15"), at("15:25"), at("09:10"))
ATTEMPT = Attempt(OCCURRENCE, 1, "scheduler", at("08:15"))
ENDED = at("08:16")


def test_what_was_found_goes_into_the_row_as_it_is():
    found = Found(Verdict.ATTENTION, "prices over REST", {"age": 3}, hint="wait", tell=("title", ("line",)))
    done = settle(JOB, ATTEMPT, ENDED, found)
    assert (done.outcome, done.verdict, done.reason) == (State.SUCCEEDED, Verdict.ATTENTION, "prices over REST")
    assert (done.facts, done.hint, done.tell, done.error_class) == ({"age": 3}, "wait", ("title", ("line",)), None)
    assert (done.key, done.n, done.started, done.ended, done.again_at) == (OCCURRENCE.key, 1, at("08:15"), ENDED, None)


def test_nothing_given_back_is_done():
    done = settle(JOB, ATTEMPT, ENDED, None)
    assert (done.outcome, done.verdict, done.reason) == (State.SUCCEEDED, Verdict.OK, "done")


@pytest.mark.parametrize(
    ("raised", "reason", "hint", "error_class"),
    [
        (JobFailed("no log", hint="look"), "no log", "look", "JobFailed"),
        (JobFailed(), "A step could not do its work.", None, "JobFailed"),
        (BrokerTokenDead("503"), "503", BrokerTokenDead.hint, "BrokerTokenDead"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero", None, "ZeroDivisionError"),
        (ValueError(), "ValueError: no message", None, "ValueError"),
        (ValueError("first\nsecond"), "ValueError: first", None, "ValueError"),
        (SystemExit(3), "SystemExit: 3", None, "SystemExit"),
        (KeyboardInterrupt(), "KeyboardInterrupt: no message", None, "KeyboardInterrupt"),
    ],
)
def test_whatever_is_raised_is_a_failed_run_with_its_words(raised, reason, hint, error_class):
    done = settle(JOB, ATTEMPT, ENDED, raised)
    assert (done.outcome, done.verdict) == (State.FAILED, Verdict.UNKNOWN)
    assert (done.reason, done.hint, done.error_class) == (reason, hint, error_class)


def test_a_skip_is_neither_a_failure_nor_a_verdict():
    done = settle(UNTIL_OK, ATTEMPT, ENDED, Skip("no trades today", hint="none needed"))
    assert (done.outcome, done.verdict, done.reason, done.again_at) == (State.SKIPPED, None, "no trades today", None)
    assert done.hint == "none needed"


@pytest.mark.parametrize("junk", [42, "ok", {"verdict": "ok"}, Verdict.OK, object()])
def test_junk_is_a_failed_run_that_names_its_type(junk):
    done = settle(JOB, ATTEMPT, ENDED, junk)
    assert (done.outcome, done.error_class) == (State.FAILED, "TypeError")
    assert done.reason == f"the step returned {type(junk).__name__}; accepted: Found(...) or None"


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE


def found(
    verdict: Any = Verdict.OK, summary: Any = "s", facts: Any = None, hint: Any = None, tell: Any = None
) -> Found:
    return Found(verdict, summary, {} if facts is None else facts, hint, tell)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (found(facts={"a": object()}), "not JSON serializable"),
        (found(facts={"a": {1, 2}}), "not JSON serializable"),
        (found(facts={(1, 2): 3}), "keys must be"),
        (found(facts=CIRCLE), "Circular"),
        (found(facts={"deep": nested(100_000)}), "recursion"),
        (found(facts={"ltp": float("nan")}), "JSON compliant"),
        (found(facts=[1, 2]), "a list, no mapping"),
        (found(facts="text"), "a str, no mapping"),
        (found(verdict="ok"), "the verdict is 'ok'"),
        (found(verdict="splendid"), "accepted: Verdict.OK"),
        (found(summary=None), "NoneType where a text belongs"),
        (found(summary=b"bytes"), "bytes where a text belongs"),
        (found(hint=3), "int where a text belongs"),
        (found(tell="title"), "tell is no (title, lines)"),
        (found(tell=("title", "lines")), "tell is no (title, lines)"),
        (found(tell=("title", (None,))), "NoneType where a text belongs"),
        (found(summary="\ud800"), "surrogates"),
    ],
)
def test_what_the_ledger_could_not_give_back_is_a_failed_run_that_says_why(broken, why):
    done = settle(JOB, ATTEMPT, ENDED, broken)
    assert (done.outcome, done.verdict, done.error_class) == (State.FAILED, Verdict.UNKNOWN, "JobFailed")
    assert why in done.reason
    assert (done.facts, done.tell, done.causes) == ({}, None, ())


class Mean(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Hollow(JobFailed):
    def __init__(self) -> None:
        self.args = ()


def test_an_exception_whose_text_cannot_be_read_is_still_a_row():
    assert settle(JOB, ATTEMPT, ENDED, Mean()).reason == "Mean: no message (RuntimeError while it was read)"
    assert "IndexError" in settle(JOB, ATTEMPT, ENDED, Hollow()).reason


def test_what_no_database_takes_as_text_is_written_as_escapes():
    assert settle(JOB, ATTEMPT, ENDED, OSError("file \udcff")).reason == "OSError: file \\udcff"


# -- repeated until it passes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [Found(Verdict.BAD, "no login"), JobFailed("down"), ValueError("x"), 42])
def test_a_check_that_has_not_passed_is_tried_again_a_minute_after_it_ended(result):
    assert settle(UNTIL_OK, ATTEMPT, ENDED, result).again_at == at("08:17")


def test_a_check_that_passed_is_not_tried_again():
    assert settle(UNTIL_OK, ATTEMPT, ENDED, Found(Verdict.OK, "in")).again_at is None


def test_a_check_is_not_tried_again_past_its_latest_start():
    assert settle(UNTIL_OK, ATTEMPT, at("15:24"), Found(Verdict.BAD, "no")).again_at == at("15:25")
    assert settle(UNTIL_OK, ATTEMPT, at("15:24:01"), Found(Verdict.BAD, "no")).again_at is None


def test_an_overrun_is_a_verdict_with_a_fix_and_a_check_goes_on_after_it():
    done = overran(JOB, ATTEMPT, ENDED)
    assert (done.outcome, done.verdict, done.error_class, done.again_at) == (
        State.TIMED_OUT,
        Verdict.UNKNOWN,
        "Overrun",
        None,
    )
    assert "still running after 20 s" in done.reason
    assert done.hint == "raise `timeout:` of check if it needs longer"
    assert overran(UNTIL_OK, ATTEMPT, ENDED).again_at == at("08:17")
    assert overran(UNTIL_OK, ATTEMPT, at("15:25")).again_at is None


def test_an_abandoned_run_says_that_nobody_knows_how_far_it_came():
    done = abandoned(ATTEMPT, ENDED)
    assert (done.outcome, done.verdict, done.started, done.ended) == (
        State.ABANDONED,
        Verdict.UNKNOWN,
        at("08:15"),
        ENDED,
    )
    assert "not known" in done.reason


def test_what_waits_or_runs_is_the_only_state_that_is_not_the_end():
    assert {state for state in State if not state.final} == {State.PLANNED, State.WAITING_HUMAN, State.RUNNING}


def test_facts_may_be_any_mapping():
    class Own(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return {"a": 1}[key]

        def __iter__(self):
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert dict(settle(JOB, ATTEMPT, ENDED, Found(Verdict.OK, "x", Own())).facts) == {"a": 1}


RETRIES = replace(JOB, retries=Retries(3, timedelta(minutes=4)))


def test_a_failed_attempt_comes_again_after_a_wait_that_doubles_up_to_a_quarter_of_an_hour():
    waits = []
    for n in (1, 2, 3, 4):
        done = settle(RETRIES, replace(ATTEMPT, n=n), ENDED, JobFailed("no"))
        waits.append(done.again_at and done.again_at - ENDED)
    assert waits == [timedelta(minutes=4), timedelta(minutes=8), timedelta(minutes=15), None]
    assert RETRIES.retries is not None
    assert RETRIES.retries.waits == timedelta(minutes=27)


def test_what_cannot_become_better_is_not_tried_again():
    assert settle(RETRIES, ATTEMPT, ENDED, WrongKey("no")).again_at is None
    assert settle(RETRIES, ATTEMPT, ENDED, BrokerTokenDead("503")).again_at is not None


def test_only_a_failure_is_tried_again_not_a_finding():
    assert settle(RETRIES, ATTEMPT, ENDED, Found(Verdict.BAD, "a break")).again_at is None
    assert settle(RETRIES, ATTEMPT, ENDED, Skip("holiday")).again_at is None
    assert overran(RETRIES, ATTEMPT, ENDED).again_at == ENDED + timedelta(minutes=4)


def test_retries_end_at_their_own_end_or_at_the_latest_start():
    early = replace(ATTEMPT, occurrence=replace(OCCURRENCE, latest_start=at("08:19")))
    assert settle(RETRIES, early, ENDED, JobFailed("no")).again_at is None
    assert settle(RETRIES, ATTEMPT, ENDED, JobFailed("no"), at("08:20")).again_at == at("08:20")
    assert settle(RETRIES, ATTEMPT, ENDED, JobFailed("no"), at("08:19:59")).again_at is None
    assert overran(RETRIES, ATTEMPT, ENDED, at("08:19:59")).again_at is None


def test_a_clock_that_was_put_back_brings_no_try_before_the_rows_own_time():
    before = OCCURRENCE.planned - timedelta(hours=1)
    assert settle(RETRIES, ATTEMPT, before, JobFailed("no")).again_at == OCCURRENCE.planned
    assert settle(UNTIL_OK, ATTEMPT, before, Found(Verdict.BAD, "no")).again_at == OCCURRENCE.planned
