"""What people say, on a real ledger: pauses, skips, a look again, and until when; and what is refused, with what is accepted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from runbook import people
from runbook.adapters.store import Books, Store
from runbook.agenda import agenda
from runbook.ask import Ask, AskKind, AskState
from runbook.errors import UsageError
from runbook.job import JobSpec
from runbook.pause import Pause, pause_of
from runbook.people import parse_until
from runbook.run import State
from runbook.session import INDIA
from tests.engine_world import World, job, make, often, verify
from tests.fakes import MONDAY, TUESDAY, at, ledger_file, session

__all__ = ["make"]  # the fixture

JOBS: tuple[JobSpec, ...] = (verify(), job("report_day", "close+30m"), often("check_feed"))
NOW = at("10:00")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """A ledger in which Monday and Tuesday are planned."""
    store = Store(ledger_file(tmp_path))
    with store.write() as held:
        held.ledger.plan(agenda(JOBS, [session(MONDAY), session(TUESDAY)]), "abc")
        yield held
    store.close()


def refused(said: Callable[[], object]) -> UsageError:
    with pytest.raises(UsageError) as caught:
        said()
    return caught.value


# -- pause and resume ---------------------------------------------------------------------------------------------------


def test_a_pause_is_a_row_with_who_until_when_and_why(books: Books):
    until = datetime(2026, 11, 23, 10, 30, tzinfo=INDIA)
    said = people.pause(books, "check_feed", until, " the broker's   maintenance ", "cli:asha", NOW)
    assert said.startswith("check_feed is paused until 2026-11-23 10:30: the broker's maintenance")
    (held,) = books.pauses.held(NOW)
    assert held == Pause("check_feed", NOW, until, "the broker's maintenance", "cli:asha")
    assert held.words(INDIA, NOW) == "paused by cli:asha until 10:30: the broker's maintenance"
    assert books.pauses.held(until) == [], "at its end it is over by itself"


def test_a_second_pause_takes_the_place_of_the_first_and_a_resume_ends_it(books: Books):
    people.pause(books, "check_feed", None, "one", "cli:asha", NOW)
    people.pause(books, "check_feed", None, "two", "cli:ravi", NOW)
    assert [p.reason for p in books.pauses.held(NOW)] == ["two"]
    assert people.resume(books, "check_feed", "cli:asha", NOW).startswith("resumed: check_feed")
    assert books.pauses.held(NOW) == []
    day = books.pauses.between(at("00:00"), at("23:59"))
    assert [(p.reason, p.ended_by) for p in day] == [("one", "cli:ravi"), ("two", "cli:asha")], "both stay written"


def test_all_covers_each_step_and_is_resumed_as_all(books: Books):
    people.pause(books, "all", None, "the exchange's mock session", "cli:asha", NOW)
    found = pause_of(books.pauses.held(NOW), "verify_broker", NOW)
    assert found is not None
    assert found.job == "all"
    error = refused(lambda: people.resume(books, "verify_broker", "cli:asha", NOW))
    assert str(error) == "verify_broker is not paused by itself; paused: all"
    assert error.hint == "it is held back with all others: `runbook resume all`"
    people.pause(books, "check_feed", None, "too", "cli:asha", NOW)
    assert "resumed: all, check_feed" in people.resume(books, "all", "cli:asha", NOW)


@pytest.mark.parametrize(
    ("step", "until", "reason", "found", "accepted"),
    [
        ("verify_borker", None, "x", "no step 'verify_borker'", "did you mean verify_broker?"),
        ("check_feed", None, " \n", "no reason is given", "runbook pause check_feed --until 30m --reason"),
        ("check_feed", at("09:59"), "x", "is over", "for example 30m"),
    ],
)
def test_a_pause_that_cannot_be_is_refused_with_what_is_accepted(books, step, until, reason, found, accepted):
    error = str(refused(lambda: people.pause(books, step, until, reason, "cli:asha", NOW)))
    assert found in error
    assert accepted in error
    assert books.pauses.held(NOW) == []


def test_what_falls_into_a_pause_ends_as_skipped_with_all_of_it_and_nothing_runs(make: Callable[..., World]):
    w = make(verify(), often("check_feed"), now="08:00").start()
    with w.store.write() as held:
        people.pause(held, "all", at("09:30"), "a mock session", "cli:asha", w.clock.now())
    w.go("08:15", "09:05", "09:15", "09:45")
    states = w.states()
    assert [states[f"verify_broker {slot}"] for slot in ("open-60m", "open-10m")] == [State.SKIPPED] * 2
    assert w.entry("verify_broker", "open-10m").reason == "paused by cli:asha until 09:30: a mock session"
    assert (states["check_feed 0001"], states["check_feed 0002"]) == (State.SKIPPED, State.SUCCEEDED)
    assert w.steps.names() == ["check_feed 0002"]


# -- skip ---------------------------------------------------------------------------------------------------------------


def test_skip_ends_the_next_of_a_step_and_says_by_whom(books: Books):
    assert people.skip(books, "report_day", None, "done by hand", "telegram:7", NOW) == (
        "report_day of 2026-11-23 is skipped (close+30m): done by hand"
    )
    monday, tuesday = (books.ledger.of_job(day, "report_day")[0] for day in (MONDAY, TUESDAY))
    assert (monday.state, monday.reason) == (State.SKIPPED, "skipped by telegram:7: done by hand")
    assert tuesday.state is State.PLANNED
    people.skip(books, "report_day", None, "again", "telegram:7", NOW)
    assert books.ledger.of_job(TUESDAY, "report_day")[0].state is State.SKIPPED


def test_skip_takes_one_row_or_all_that_is_left_of_a_session(books: Books):
    first, second = books.ledger.of_job(MONDAY, "verify_broker")
    people.skip(books, first.key, MONDAY, "logged in by hand", "cli:asha", NOW)
    assert [e.state for e in books.ledger.of_job(MONDAY, "verify_broker")] == [State.SKIPPED, State.PLANNED]
    assert "(1" not in people.skip(books, "verify_broker", MONDAY, "x", "cli:asha", NOW)
    assert books.ledger.entry(second.key).state is State.SKIPPED  # type: ignore[union-attr]
    many = people.skip(books, "check_feed", TUESDAY, "holiday for us", "cli:asha", NOW)
    assert f"({len(books.ledger.of_job(TUESDAY, 'check_feed'))} rows)" in many


def test_what_is_over_cannot_be_skipped(books: Books):
    people.skip(books, "report_day", MONDAY, "x", "cli:asha", NOW)
    error = refused(lambda: people.skip(books, "report_day", MONDAY, "x", "cli:asha", NOW))
    assert str(error) == "nothing of report_day of 2026-11-23 is still to come: skipped"
    assert "no row in the ledger" in str(
        refused(lambda: people.skip(books, "report_day", at("10:00").date() + timedelta(days=30), "x", "cli:a", NOW))
    )
    assert "pause all" in (refused(lambda: people.skip(books, "all", None, "x", "cli:asha", NOW)).hint or "")


def test_a_skipped_step_that_waited_for_a_person_asks_no_longer(books: Books):
    (row,) = books.ledger.of_job(MONDAY, "report_day")
    books.ledger.hold(row.key, "a person is asked")
    asked = books.asks.open(
        Ask(
            "k",
            AskKind.LATE,
            MONDAY,
            "report_day",
            "Run it?",
            ("run", "skip"),
            "skip",
            {},
            NOW,
            at("23:00"),
            "close+30m",
        )
    )
    assert asked is not None
    people.skip(books, "report_day", MONDAY, "x", "cli:asha", NOW)
    closed = books.asks.by_key("k")
    assert closed is not None
    assert (closed.state, closed.note) == (AskState.VOID, "skipped by cli:asha")


# -- answers and a look again -------------------------------------------------------------------------------------------


def test_an_answer_to_nothing_names_what_is_open(books: Books):
    assert str(refused(lambda: people.answer(books, 9, "done", "", "cli:asha", NOW))) == "there is no ask 9; open: none"
    books.asks.open(Ask("k", AskKind.APPROVAL, MONDAY, "restart", "Restart?", ("yes", "no"), "no", {}, NOW))
    assert str(refused(lambda: people.answer(books, 9, "done", "", "cli:asha", NOW))).endswith("open: 1 (restart)")


def test_the_same_question_is_put_once(books: Books):
    asked = Ask(
        "k",
        AskKind.APPROVAL,
        MONDAY,
        "restart",
        "Restart?",
        ("yes", "no"),
        "no",
        {"hop": "H1"},
        NOW,
        at("11:00"),
        how=("a",),
    )
    first = books.asks.open(asked)
    assert first is not None
    assert replace(first, number=None) == asked, "it comes back as it was put"
    assert books.asks.open(asked) is None
    done = first.answered("yes", "cli:asha", NOW)
    assert books.asks.store(done)
    assert not books.asks.store(first.answered("no", "cli:ravi", NOW)), "whoever was first has the word"
    assert books.asks.ask(1) == done


def test_a_look_again_is_a_request_to_the_live_daemon_for_the_row_that_speaks_for_now(books: Books):
    books.desk.take("desk:1", 7, "desk", NOW, timedelta(seconds=15))
    assert "verify_broker was asked for" in people.recheck(books, "cli:asha", NOW)
    (asked,) = books.desk.open_requests()
    assert (asked.kind, asked.by) == ("run", "cli:asha")
    assert (asked.data["session"], asked.data["job"], asked.data["slot"]) == ("2026-11-23", "verify_broker", "open-10m")


@pytest.mark.parametrize(
    ("clock", "row"),
    [
        ("08:00", (MONDAY, "open-60m")),
        ("08:30", (MONDAY, "open-60m")),
        ("15:25", (MONDAY, "open-10m")),
        ("15:26", (TUESDAY, "open-60m")),
    ],
)
def test_after_its_latest_start_the_next_session_speaks(books, clock, row):
    entry = books.ledger.nearest("verify_broker", at(clock))
    assert (entry.key.session, entry.key.slot) == row


def test_without_a_live_daemon_a_look_again_says_what_to_do_instead(books: Books):
    error = refused(lambda: people.recheck(books, "cli:asha", NOW))
    assert str(error) == "no daemon runs that could look again"
    assert "runbook doctor" in (error.hint or "")
    books.desk.take("desk:1", 7, "desk", NOW, timedelta(seconds=15))
    refused(lambda: people.recheck(books, "cli:asha", NOW + timedelta(seconds=15)))


# -- until when ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("30m", "2026-11-23T10:30"), ("1h30m", "2026-11-23T11:30"), ("15:30", "2026-11-23T15:30"), (" 9:5 ", None), ("9:55", None),
        ("2026-11-23", "2026-11-24T00:00"), ("2026-11-27", "2026-11-28T00:00"), ("09:59", None), ("2026-11-22", None),
        ("30", None), ("soon", None), ("", None), ("0s", None), ("9999h", None), ("9999-12-31", None),
    ],
)  # fmt: skip
def test_until_when_is_read_as_people_write_it(text, meant):
    if meant is not None:
        assert parse_until(text, NOW, INDIA) == datetime.fromisoformat(meant).replace(tzinfo=INDIA)
        return
    assert "accepted: HH:MM of today, YYYY-MM-DD" in str(refused(lambda: parse_until(text, NOW, INDIA)))
