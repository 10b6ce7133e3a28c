"""What a broker check and the feed's own rows say that a person has to put right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from runbook.day import FeedChange
from runbook.finding import Finding, findings
from runbook.job import Key, Occurrence, Verdict
from runbook.run import Entry, State, Try
from tests.fakes import MONDAY, at

LOGIN, RESTART = "log in to the broker on the OpenAlgo dashboard", "restart the openalgo unit"


def check(*tries: Try) -> Entry:
    due = at("08:15")
    row = Occurrence(Key(MONDAY, "verify_broker", "open-60m"), due, due, at("15:25"))
    return Entry(row, False, State.PLANNED, None, "", "abc", tries)


def tried(clock: str, rung: str = "", fix: str = "", verdict: Verdict = Verdict.BAD) -> Try:
    rungs = [{"name": "server", "verdict": "ok", "evidence": "answers", "fix": ""}]
    rungs += [{"name": rung, "verdict": "bad", "evidence": "gone", "fix": fix}] if rung else []
    start = at(clock)
    return Try(
        1, "scheduler", start, start + timedelta(seconds=1), State.SUCCEEDED, verdict, "", None, {"rungs": rungs}, None
    )


def broke_off(clock: str) -> Try:
    return replace(tried(clock), outcome=State.FAILED, verdict=Verdict.UNKNOWN, facts={})


OK = tried("08:15", verdict=Verdict.OK)


def moved(clock: str, was: str, now: str, hop: str = "", hint: str = "") -> FeedChange:
    hops = {"H0": ["ok", "fine"]} | ({hop: ["broken", "silent"]} if hop else {})
    return FeedChange(at(clock), was, now, "why", hint, {"hops": hops})


def found(*changes: FeedChange, tries: tuple[Try, ...] = (OK,), ever_live: bool = True) -> dict[Finding, str]:
    return {s.finding: s.where for s in findings([check(*tries)], changes, ever_live=ever_live)}


@pytest.mark.parametrize(
    ("rung", "fix", "finding"),
    [
        ("server", "is the unit running?", Finding.GATEWAY_DOWN),
        ("key", LOGIN, Finding.BROKER_REFUSED),
        ("broker", LOGIN, Finding.BROKER_REFUSED),
        ("funds", LOGIN, Finding.BROKER_REFUSED),
        ("stream", RESTART, Finding.GATEWAY_DOWN),
        ("tick", "broker feed mute: log in again", Finding.FEED_MUTE),
    ],
)
def test_the_first_bad_rung_says_what_a_person_is_needed_for(rung, fix, finding):
    assert found(tries=(tried("08:15", rung, fix),)) == {finding: f"rung {rung}"}


@pytest.mark.parametrize(
    ("rung", "fix"),
    [("key", "copy the API key again"), ("mode", "switch OpenAlgo to live"), ("broker", "see its status page")],
)
def test_what_no_shipped_question_is_about_raises_none(rung, fix):
    assert found(tries=(tried("08:15", rung, fix),)) == {}


def test_the_newest_check_has_the_word_and_one_that_broke_off_has_none():
    dead = tried("08:15", "broker", LOGIN)
    assert found(tries=(dead, tried("08:16", verdict=Verdict.OK))) == {}
    assert found(tries=(dead, broke_off("08:16"))) == {Finding.BROKER_REFUSED: "rung broker"}
    assert found(tries=()) == {}


@pytest.mark.parametrize(
    ("hop", "hint", "finding"),
    [
        ("H1", RESTART, Finding.GATEWAY_DOWN), ("H2", LOGIN, Finding.BROKER_REFUSED), ("H2", "nothing", None),
        ("H3", "", Finding.FEED_MUTE), ("H4", LOGIN, Finding.BROKER_REFUSED), ("H5", "", None), ("", "", None),
    ],
)  # fmt: skip
def test_the_first_broken_hop_of_an_ill_feed_says_it_too(hop, hint, finding):
    seen = found(moved("10:00", "SUSPECT", "FALLBACK", hop, hint))
    assert list(seen) == ([finding] if finding else [])


def test_ticks_that_never_came_are_a_question_of_the_plan_only_when_the_broker_is_verified():
    mute = moved("09:17", "SUSPECT", "FALLBACK", "H3")
    assert set(found(mute, ever_live=False)) == {Finding.FEED_MUTE, Finding.TICKS_NEVER_CAME}
    assert set(found(mute, ever_live=False, tries=())) == {Finding.FEED_MUTE}
    assert set(found(mute, ever_live=True)) == {Finding.FEED_MUTE}


def since(*changes: FeedChange):
    (seen,) = findings([check(OK)], changes, ever_live=True)
    return seen.since


def test_a_stretch_counts_from_its_beginning_however_its_words_change():
    fell = moved("10:00", "SUSPECT", "FALLBACK", "H3")
    assert since(fell, moved("10:01", "FALLBACK", "FALLBACK", "H3"), moved("10:02", "FALLBACK", "BLIND", "H3")) == at(
        "10:00"
    )
    again = moved("10:09", "PROBATION", "FALLBACK", "H3")
    assert since(fell, moved("10:08", "FALLBACK", "PROBATION"), again) == at("10:09"), "probation begins it anew"


def test_on_probation_it_is_neither_over_nor_going_on():
    fell = moved("10:00", "SUSPECT", "FALLBACK", "H3")
    assert since(fell, moved("10:08", "FALLBACK", "PROBATION")) is None
    assert since(fell, moved("10:08", "FALLBACK", "OFF")) is None
    assert found(fell, moved("10:08", "FALLBACK", "PROBATION"), moved("10:09", "PROBATION", "LIVE")) == {}
