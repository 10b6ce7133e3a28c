"""What a new table says of the past against what was stored, where the library is the only one to blame."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from runbook.session import SessionCalendar
from runbook.timetable import changed_past
from tests.timetable_world import NSE, base, calendar, closed, indian, library, special

TODAY = date(2026, 12, 30)
DAY = date(2026, 12, 1)


def table(*lost: str) -> SessionCalendar:
    return indian(exchange="NSE", of=library(closed=("2026-11-24", "2026-12-25", *lost)))


def test_the_same_table_has_nothing_to_tell():
    assert changed_past(table(), table(), TODAY) == ()


def test_a_session_the_library_lost_or_found_is_told_with_both_answers():
    lost = table("2026-12-01")
    assert changed_past(table(), lost, TODAY) == ("2026-12-01: open 09:15-15:30 -> closed (holiday (library))",)
    assert changed_past(lost, table(), TODAY) == ("2026-12-01: closed (holiday (library)) -> open 09:15-15:30",)


@pytest.mark.parametrize(("edge", "hours"), [(0, "10:15-15:15"), (1, "09:15-16:15")])
def test_an_open_or_a_close_the_library_moved_is_told(edge, hours):
    before = library()
    ((start, end),) = before.days[DAY].intervals
    moved = [start, end]
    moved[edge] += timedelta(hours=1)
    days = {**before.days, DAY: replace(before.days[DAY], intervals=((moved[0], moved[1]),))}
    old, new = (calendar("XNSE", of=made) for made in (before, replace(before, days=days)))
    assert changed_past(old, new, TODAY) == (f"2026-12-01: open 09:15-15:15 -> open {hours}",)


def test_only_the_past_counts_and_today_is_not_past():
    assert changed_past(table(), table("2026-12-01"), DAY) == ()
    assert len(changed_past(table(), table("2026-12-01"), DAY + timedelta(days=1))) == 1


@pytest.mark.parametrize(
    "entry", [{"closed": [closed("2026-12-01")]}, {"sessions": [special("2026-12-01", intervals="18:00-19:00")]}]
)
def test_a_day_a_file_speaks_of_was_changed_on_purpose(entry):
    stated = indian(base({"exchange": "NSE"}, **entry), exchange="NSE")
    assert changed_past(table(), stated, TODAY) == ()
    assert changed_past(stated, table(), TODAY) == ()


def test_new_hours_of_a_file_are_no_change_of_the_library():
    entry = {**NSE["hours"][0], "intervals": "09:15-15:31", "source": "circular 2"}
    assert changed_past(table(), calendar("NSE", base(NSE, hours=[entry])), TODAY) == ()


def test_to_learn_what_was_unknown_is_no_contradiction_but_to_forget_is_told():
    more = calendar("NSE", base(NSE, known_until=date(2027, 1, 31)))
    assert changed_past(table(), more, date(2027, 2, 1)) == ()
    (first, *others) = changed_past(more, table(), date(2027, 2, 1))
    assert first == "2027-01-01: open 09:15-15:30 -> unknown (the calendar of NSE is known until 2026-12-31)"
    assert len(others) == 30


def test_a_day_that_has_come_to_contradict_the_list_of_holidays_is_told():
    listed = base(NSE, lists_all_holidays=True)
    old, new = (
        calendar("NSE", listed, of=library(closed=("2026-11-24", *lost)), last=TODAY) for lost in ((), ("2026-12-01",))
    )
    (told,) = changed_past(old, new, TODAY)
    assert told.startswith("2026-12-01: open 09:15-15:30 -> unknown (library NSE has a holiday")
