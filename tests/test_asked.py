"""What was asked and what is held back, on every screen: status, plan, explain, report, READY."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runbook.alert import ReadyReached
from runbook.ask import Ask, AskKind, AskSpec
from runbook.explain import explain, render_explained
from runbook.job import IfLate, JobSpec, OnAbandoned
from runbook.pause import Pause
from runbook.plan import plan_days, render_plan, to_json
from runbook.report import Word, render_markdown, render_text, short
from runbook.report import to_json as report_json
from runbook.report.asked import ask_lines
from runbook.run import State
from runbook.session import INDIA
from runbook.status import ATTENTION, GREEN, exit_code, reasons, render_status, status_json
from runbook.trigger import Anchor, At
from tests import report_days as days
from tests.report_days import FRIDAY, JOBS, at
from tests.test_desk import Desk
from tests.test_desk import make as desks
from tests.test_report import report
from tests.test_status import green

make = desks  # the fixture
OPEN = Ask(
    "k", AskKind.FINDING, FRIDAY, "broker_login", "Is somebody logged in?", ("done", "not_done"), "not_done",
    {"finding": "broker_refused"}, at("09:45"), at("15:30"), how=("log in",), number=12,
)  # fmt: skip
DONE = replace(OPEN.answered("done", "cli:asha", at("09:50"), "2FA was slow"), verified="ok: key accepted", number=13)
LATE = replace(OPEN, number=14).expired(at("15:30"))
PAUSE = Pause("check_feed", at("09:30"), at("10:30"), "maintenance", "cli:asha")
assert LATE is not None


def flat(text: str) -> str:
    return " ".join(text.split())


# -- status -------------------------------------------------------------------------------------------------------------


def test_an_open_ask_keeps_the_status_from_green_and_says_how_to_answer():
    facts = green(asks=(OPEN,))
    assert exit_code(facts) == ATTENTION
    assert reasons(facts) == ["#12 broker_login waits for your answer (`runbook answer 12 done | not_done`)"]
    assert "asked #12 broker_login: Is somebody logged in? asked 09:45, OPEN until 15:30, then not_done" in flat(
        render_status(facts)
    )
    (said,) = status_json(facts)["asks"]
    assert (said["number"], said["state"], said["answer"], said["evidence_hash"]) == (12, "open", None, OPEN.hash)


def test_a_paused_step_is_shown_and_a_critical_one_is_never_green():
    facts = green(pauses=(PAUSE,))
    assert "paused check_feed paused by cli:asha until 10:30: maintenance" in flat(render_status(facts))
    assert exit_code(facts) == GREEN
    assert status_json(facts)["pauses"][0]["by"] == "cli:asha"
    critical = replace(facts, critical=frozenset({"check_feed"}))
    assert reasons(critical) == ["check_feed paused by cli:asha until 10:30: maintenance"]
    every = green(pauses=(replace(PAUSE, job="all", until=None),))
    assert reasons(every) == ["every step paused by cli:asha until it is resumed: maintenance"]


def test_a_row_that_waits_for_a_person_says_so_in_the_table():
    whole = days.clean_day()
    rows = tuple(
        replace(e, state=State.WAITING_HUMAN, verdict=None, reason="a person is asked", tries=())
        if e.key.job == "reconcile_paper" else e
        for e in whole.entries
    )  # fmt: skip
    text = flat(render_status(green(day=replace(whole, entries=rows))))
    assert "reconcile_paper 15:40 asked - waits for a person a person is asked" in text


# -- plan and explain ---------------------------------------------------------------------------------------------------


def test_the_plan_says_which_runs_fall_into_a_pause():
    over = replace(PAUSE, job="report_day", until=at("15:59"))
    rows = plan_days(days.calendar(), JOBS, FRIDAY, FRIDAY, [PAUSE, over])
    (line,) = [line for line in render_plan(rows, INDIA).splitlines() if "paused" in line]
    assert "check_feed" in line, "some of its firings fall into it; report_day comes a minute after"
    assert line.endswith("; paused by cli:asha until 10:30: maintenance")
    rows = plan_days(days.calendar(), JOBS, FRIDAY, FRIDAY, [replace(PAUSE, until=None)])
    assert "check_feed" in next(
        line for line in render_plan(rows, INDIA).splitlines() if "paused by cli:asha until it is resumed" in line
    )
    said = {run["job"]: run["paused"] for run in to_json(rows, INDIA)[0]["runs"]}
    assert said["check_feed"] == "paused by cli:asha until it is resumed: maintenance"
    assert said["report_day"] is None


SPEC = AskSpec("Is the margin enough?", ("go", "stay"), "stay", Anchor.parse("open-5m"))


def explained(job: JobSpec, state: State | None = None, paused: str = "") -> str:
    from runbook.agenda import occurrences
    from runbook.run import Entry

    day = days.calendar().day(FRIDAY)
    assert day.session is not None
    held = (
        [Entry(o, False, state, None, "a person is asked", "x") for o in occurrences(job, day.session)] if state else []
    )
    given = {job.name: paused} if paused else {}
    return flat(
        render_explained(explain(job, day, {job.name: job}, held, "NFO", at("09:00"), INDIA, paused=given), INDIA)
    )


def test_explain_says_what_a_person_is_asked_and_what_holds_without_an_answer():
    gate = JobSpec("gate", "", At((Anchor.parse("open-45m"),)), 60.0, Anchor.parse("open-5m"), asks=SPEC)
    text = explained(gate)
    assert "runs a person, at open-45m" in text
    assert "asks Is the margin enough? (go or stay)" in text
    assert "unanswered at open-5m: stay, which skips it" in text
    assert "it would wait: a person does this" in text
    assert "a person was asked: `runbook asks`" in explained(gate, State.WAITING_HUMAN)


def test_explain_says_when_a_person_is_asked_about_what_came_late_or_was_cut_off_and_that_it_is_paused():
    tidy = JobSpec(
        "tidy", "a:b", At((Anchor.parse("open-45m"),)), 60.0, if_late=IfLate.ASK, on_abandoned=OnAbandoned.ASK
    )
    text = explained(tidy, paused="paused by cli:asha until it is resumed: x")
    assert "late a person is asked when it is found more than a minute after its time" in text
    assert "when its process dies in the middle it waits for a person's word" in text
    assert "it would not run: skipped, paused by cli:asha until it is resumed: x" in text


# -- the report ---------------------------------------------------------------------------------------------------------


def test_the_report_has_each_question_with_its_choices_answer_who_when_and_what_was_found_then():
    facts = replace(days.clean_day(), asks=(DONE,), pauses=(replace(PAUSE, ended=at("10:00"), ended_by="telegram:7"),))
    made = report(facts)
    for text in (flat(render_text(made)), flat(render_markdown(made)).replace("\\", "")):
        assert (
            "#13 broker_login: Is somebody logged in? (done or not_done); asked 09:45, done, said cli:asha (2FA was slow) at 09:50; "
            "looked at again: ok: key accepted"
        ) in text
        assert "09:30 check_feed paused by cli:asha until 10:30: maintenance; resumed by telegram:7 at 10:00" in text
    assert "ASKED OF PEOPLE" in render_text(made)
    assert made.headline.word is Word.CLEAN, "what somebody answered is no fault of the day"
    assert [a["by"] for a in report_json(made)["asks"]] == ["cli:asha"]
    assert report_json(made)["pauses"][0]["ended_by"] == "telegram:7"
    json.dumps(report_json(made))


def test_a_default_that_was_taken_and_an_ask_still_open_speak_against_a_clean_day():
    assert LATE is not None
    made = report(replace(days.clean_day(), asks=(LATE, OPEN)))
    assert made.headline.word is Word.ATTENTION
    assert "#14 broker_login unanswered at 15:30, so not_done" in made.headline.sentence
    assert "#12 broker_login waits for an answer" in made.headline.sentence
    assert any("Asked: #14" in line for line in short(made)[1])


def test_a_day_on_which_nobody_was_asked_has_no_word_of_it():
    assert "ASKED" not in render_text(report(days.clean_day()))


def test_a_listed_ask_is_whole_while_it_is_open_and_says_how_it_ended_afterwards():
    text = flat("\n".join(ask_lines(OPEN, INDIA)))
    assert text.startswith(
        "#12 broker_login of 2025-12-26: open since 09:45, until 15:30 Is somebody logged in? log in"
    )
    assert "answer: runbook answer 12 done | not_done" in text
    assert "done, said cli:asha (2FA was slow) at 09:50" in flat("\n".join(ask_lines(DONE, INDIA)))
    assert "void: verified" in flat("\n".join(ask_lines(OPEN.void("verified", at("09:51")), INDIA)))


# -- READY --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("watching", "title"),
    [(True, "READY but for what is paused"), (False, "READY but for the feed and what is paused")],
)
def test_ready_is_not_said_plainly_while_a_step_is_paused(make: type[Desk], watching: bool, title: str):
    d = make("09:05")
    d.desk._t = replace(d.desk._t, held_back=lambda: ["check_feed paused by cli:asha until 10:30: x"])
    found = (d.watching() if watching else d).desk.verify_broker(d.ctx())
    (cause,) = found.causes
    assert isinstance(cause, ReadyReached)
    assert cause.title.startswith(f"{title} for ")
    assert "check_feed paused by cli:asha until 10:30: x" in cause.lines
