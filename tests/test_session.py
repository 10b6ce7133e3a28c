"""Sessions, phases, the edges of knowledge, and rows that come back as they went."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from runbook.session import (
    INDIA,
    Confidence,
    Day,
    DayStatus,
    Phase,
    PhaseName,
    Session,
    SessionCalendar,
    day_from_row,
    day_to_row,
)

FRIDAY = date(2025, 12, 26)


def instant(text: str, day: date = FRIDAY) -> datetime:
    return datetime.fromisoformat(f"{day}T{text}:00+05:30").astimezone(UTC)


def window(text: str, day: date = FRIDAY) -> tuple[datetime, datetime]:
    start, end = text.split("-")
    return instant(start, day), instant(end, day)


def open_day(day: date, *windows: str, phases: tuple[Phase, ...] = ()) -> Day:
    session = Session("NFO", day, tuple(window(w, day) for w in windows), phases)
    return Day(day, DayStatus.OPEN, "regular session", session=session)


def calendar(*days: Day) -> SessionCalendar:
    return SessionCalendar("NFO", INDIA, date(2025, 12, 31), {day.date: day for day in days})


SPLIT = open_day(FRIDAY, "09:15-10:00", "11:30-12:30").session


@pytest.mark.parametrize(
    ("clock", "phase"),
    [
        ("09:14", PhaseName.SHUT),
        ("09:15", PhaseName.CONTINUOUS),
        ("09:59", PhaseName.CONTINUOUS),
        ("10:00", PhaseName.BREAK),
        ("11:30", PhaseName.CONTINUOUS),
        ("12:30", PhaseName.SHUT),
    ],
)
def test_a_split_day_has_a_break_and_ends_are_exclusive(clock, phase):
    assert SPLIT is not None
    assert SPLIT.phase_at(instant(clock)) is phase


def test_a_given_phase_wins_over_the_interval_it_lies_in():
    auction = Phase(PhaseName.CLOSING_AUCTION, *window("15:15-15:35"))
    session = open_day(FRIDAY, "09:15-15:30", phases=(auction,)).session
    assert session is not None
    phases = [session.phase_at(instant(clock)) for clock in ("15:14", "15:15", "15:34", "15:35")]
    assert phases == [PhaseName.CONTINUOUS, PhaseName.CLOSING_AUCTION, PhaseName.CLOSING_AUCTION, PhaseName.SHUT]


def test_past_its_horizon_a_calendar_does_not_know():
    answer = calendar(open_day(FRIDAY, "09:15-15:30")).day(date(2027, 1, 26))
    assert answer.status is DayStatus.UNKNOWN
    assert answer.reason == "the calendar of NFO is known until 2025-12-31"


def test_a_day_without_a_row_is_unknown_also_before_the_horizon():
    assert calendar().day(FRIDAY).status is DayStatus.UNKNOWN
    assert calendar().day(date(2025, 12, 31)).reason == "no row for this day in the calendar of NFO"


def test_a_day_that_is_stated_past_the_horizon_is_known():
    stated = Day(date(2027, 1, 26), DayStatus.CLOSED, "Republic Day")
    assert calendar(stated).day(date(2027, 1, 26)) is stated


def test_a_span_has_every_day():
    assert [d.date.day for d in calendar().span(date(2025, 12, 30), date(2026, 1, 2))] == [30, 31, 1, 2]


def test_the_sessions_around_an_instant_are_found():
    monday = FRIDAY + timedelta(days=3)
    table = calendar(open_day(monday, "09:15-15:30"), open_day(FRIDAY, "09:15-15:30"))
    found = table.session_at(instant("09:15"))
    assert found is not None
    assert found.date == FRIDAY
    assert table.session_at(instant("09:14")) is None
    coming = table.next_session(instant("09:15"))
    assert coming is not None
    assert coming.date == monday
    assert table.next_session(instant("09:15", monday)) is None
    assert [s.date for s in table.sessions(FRIDAY, FRIDAY)] == [FRIDAY]


def test_today_is_the_date_at_the_exchange():
    assert calendar().today(datetime(2025, 12, 26, 18, 30, tzinfo=UTC)) == date(2025, 12, 27)


@pytest.mark.parametrize(
    "day",
    [
        Day(FRIDAY, DayStatus.CLOSED, "Christmas", ("base/nse.yaml: x", "library NSE"), Confidence.MEDIUM, note="n"),
        Day(FRIDAY, DayStatus.UNKNOWN, "no hours"),
        Day(
            FRIDAY,
            DayStatus.OPEN,
            "Muhurat trading",
            ("a", "b"),
            Confidence.LOW,
            Session(
                "NFO", FRIDAY, (window("09:15-10:00"), window("11:30-12:30")),
                (Phase(PhaseName.PRE_OPEN, *window("09:00-09:15")),), "Muhurat trading", "a; b", Confidence.LOW, "n",
            ),
            "n",
        ),
    ],
)  # fmt: skip
def test_a_day_comes_back_from_its_row_as_it_went(day):
    row = json.loads(json.dumps(day_to_row(day)))
    assert day_from_row(row, "NFO", INDIA) == day


def test_a_row_tells_times_with_their_offset():
    assert day_to_row(open_day(FRIDAY, "09:15-15:30"))["intervals"] == [
        ["2025-12-26T03:45:00+00:00", "2025-12-26T10:00:00+00:00"]
    ]


def test_an_instant_may_be_told_in_any_zone_but_needs_one():
    table = calendar(open_day(FRIDAY, "09:15-15:30"))
    local = instant("09:15").astimezone(INDIA)
    found = table.session_at(local)
    assert found is not None
    assert found.phase_at(local) is PhaseName.CONTINUOUS
    assert table.next_session(local) is None
    for question in (table.session_at, table.next_session, found.phase_at):
        with pytest.raises(TypeError, match="no zone"):
            question(datetime(2025, 12, 26, 9, 15))


def test_an_unknown_day_is_never_told_with_confidence():
    assert {calendar().day(day).confidence for day in (FRIDAY, date(2027, 1, 26))} == {Confidence.LOW}
