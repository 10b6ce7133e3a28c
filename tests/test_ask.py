"""An ask is answered once, by one of its choices, in its time and while it is still about the same thing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runbook.ask import Ask, AskKind, AskState, hash_of, key_of
from runbook.errors import UsageError
from runbook.session import INDIA
from tests.fakes import MONDAY, TUESDAY, at

EVIDENCE = {"finding": "broker_refused"}


def ask(**changes) -> Ask:
    made = Ask(
        key_of(AskKind.FINDING, "broker_login", MONDAY, EVIDENCE), AskKind.FINDING, MONDAY, "broker_login",
        "Is somebody logged in?", ("done", "not_done"), "not_done", EVIDENCE, at("08:45"), at("15:40"),
        how=("log in", "see that it shows Connected"), link="http://desk:5000", contact="the broker", verify="verify_broker",
        number=12,
    )  # fmt: skip
    return replace(made, **changes)


def test_an_answer_says_what_who_when_and_when_somebody_looks_again():
    done = ask().answered("Done", "cli:asha", at("08:50"), "2FA was slow", EVIDENCE)
    assert (done.state, done.answer, done.by, done.at) == (AskState.ANSWERED, "done", "cli:asha", at("08:50"))
    assert done.ending == "done, said cli:asha (2FA was slow)"
    assert done.verify_at == at("08:50:15")


def test_the_safe_default_needs_no_second_look():
    assert ask().answered("not_done", "cli:asha", at("08:50")).verify_at is None


def test_an_answer_counts_once():
    done = ask().answered("done", "cli:asha", at("08:50"))
    with pytest.raises(UsageError, match="ask 12 is closed: done, said cli:asha; an answer counts once"):
        done.answered("not_done", "cli:ravi", at("08:51"))


def test_a_word_that_is_no_choice_is_refused_with_the_choices_and_an_example():
    with pytest.raises(
        UsageError,
        match=r"'yes' is no answer to ask 12; accepted: done or not_done, for example `runbook answer 12 done`",
    ):
        ask().answered("yes", "cli:asha", at("08:50"))


def test_what_was_asked_about_another_state_of_things_is_void():
    with pytest.raises(UsageError, match=r"no longer so .finding broker_refused; now finding none"):
        ask().answered("done", "cli:asha", at("08:50"), evidence={"finding": "none"})
    assert ask().answered("done", "cli:asha", at("08:50"), evidence=dict(EVIDENCE)).answer == "done"


def test_as_of_its_deadline_it_is_closed_at_that_instant_whenever_one_looks():
    assert ask().as_of(at("15:39")) == ask()
    late = ask().as_of(at("17:00"))
    assert (late.state, late.answer, late.at) == (AskState.DEFAULTED, "not_done", at("15:40"))
    done = ask().answered("done", "cli:asha", at("08:50"))
    assert done.as_of(at("17:00")) == done


def test_at_the_deadline_the_safe_default_holds_and_not_before():
    assert ask().expired(at("15:40") - timedelta(milliseconds=1)) is None
    late = ask().expired(at("15:40"))
    assert late is not None
    assert (late.state, late.answer, late.by, late.ending) == (
        AskState.DEFAULTED, "not_done", "", "unanswered, so not_done: the safe default",
    )  # fmt: skip
    assert late.expired(at("15:41")) is None
    with pytest.raises(UsageError, match="the time to answer ask 12 is over; not_done holds"):
        ask().answered("done", "cli:asha", at("15:40"))


def test_an_ask_without_a_deadline_waits():
    assert ask(deadline=None).expired(at("15:40") + timedelta(days=9)) is None


def test_the_evidence_has_one_hash_whatever_the_order_of_its_keys():
    assert hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1}) != hash_of({"a": 1, "b": [3]})
    assert len(ask().hash) == 64


def test_the_lines_hold_all_that_a_person_needs():
    assert ask(seen="broker: token expired").lines(INDIA) == (
        "Is somebody logged in?", "seen: broker: token expired", "1. log in", "2. see that it shows Connected",
        "http://desk:5000", "help: the broker", "answer: runbook answer 12 done | not_done", "unanswered at 15:40: not_done",
    )  # fmt: skip


def test_a_deadline_on_another_day_has_its_date():
    assert ask(deadline=at("02:40", TUESDAY)).lines(INDIA)[-1] == "unanswered at 24 Nov 02:40: not_done"
