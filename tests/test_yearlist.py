"""A year's list as exchanges publish it, and as people mistype it."""

from datetime import date, timedelta

import pytest

from runbook.adapters.files import parse_yaml
from runbook.session import INDIA, Day, DayStatus, SessionCalendar
from runbook.yearlist import ROWS, Listed, horizon, parse_day, preview, read_csv, read_document, unlisted

REPUBLIC = date(2027, 1, 26)


@pytest.mark.parametrize(
    "text", ["2027-01-26", "26-Jan-2027", "26-Jan-27", "26-JAN-2027", "26-January-2027", " 26 Jan 2027 "]
)
def test_a_date_is_read_in_the_forms_that_mean_one_day(text):
    assert parse_day(text) == REPUBLIC


@pytest.mark.parametrize(
    "text", ["26/01/2027", "01-02-2027", "2027-1-26", "26-Foo-2027", "31-Feb-2027", "", "26-Jan", 20270126, None]
)
def test_a_date_that_could_be_two_days_or_none_is_refused(text):
    assert parse_day(text) is None


def rows(text: str) -> list[Listed]:
    found, faults = read_csv(text, "x.csv")
    assert not faults, faults
    return found


def faults(text: str) -> list[tuple[int | None, str]]:
    return [(fault.line, fault.path) for fault in read_csv(text, "x.csv")[1]]


@pytest.mark.parametrize("text", [
    "date,name\n2027-01-26,Republic Day\n", "2027-01-26,Republic Day\n", "\ufeffDate;Description\n26-Jan-2027;Republic Day",
    "Sr. No.\tDate\tDay\tDescription\n1\t26-Jan-2027\tTuesday\tRepublic Day\n", "# a remark\n\n2027-01-26, Republic Day,,,\n",
    "name,date\nRepublic Day,26-Jan-27\n",
])  # fmt: skip
def test_a_list_is_read_with_or_without_headings_in_any_usual_form(text):
    (row,) = rows(text)
    assert (row.day, row.name, row.section, dict(row.given)) == (REPUBLIC, "Republic Day", "closed", {})


def test_a_session_with_its_hours_is_told_from_a_closure():
    assert [(r.section, dict(r.given)) for r in rows("2027-10-30,Muhurat,special,18:00,19:00\n2027-10-31,Extra,open\n")] == [
        ("sessions", {"intervals": "18:00-19:00"}), ("sessions", {}),
    ]  # fmt: skip


@pytest.mark.parametrize(("line", "path"), [
    ("26/01/2027,x", "date"), ("2027-01-26,", "name"), ("2027-01-26,x,perhaps", "kind"), ("2027-01-26,x,session,18:00", "open"),
    ("2027-01-26,x,session,18:00,7pm", "open"), ("2027-01-26,x,closed,18:00,19:00", "kind"), ("2027-01-26,x,y,z,1,2,3", ""),
])  # fmt: skip
def test_a_bad_row_is_named_with_its_line(line, path):
    assert faults(f"2027-03-03,good\n{line}\n") == [(2, path)]


def test_a_weekday_that_does_not_fit_the_date_is_a_slip_in_one_of_them():
    assert faults("date,day,name\n2027-01-26,Monday,x\n2027-01-27,Wed,y\n") == [(2, "day")]


def test_a_date_twice_names_both_lines():
    (fault,) = read_csv("2027-01-26,a\n2027-01-27,b\n2027-01-26,c\n", "x.csv")[1]
    assert (fault.line, "line 1" in fault.found) == (3, True)


def test_unknown_columns_and_an_empty_list_are_faults():
    assert faults("date,name,colour\n2027-01-26,x,red\n") == [(1, "")]
    assert faults("") == [(None, "")]


def document(text: str) -> tuple[list[Listed], list[tuple[int | None, str]]]:
    found, wrong = read_document(parse_yaml(text, "x.yaml", rows=ROWS))
    return found, [(fault.line, fault.path) for fault in wrong]


def test_yaml_is_read_as_a_bare_list_or_in_the_form_of_the_calendar():
    bare, _ = document("- {date: 2027-01-26, name: a}\n- {date: 27-Jan-27, name: b, intervals: 18:00-19:00}\n")
    formed, _ = document(
        "closed:\n  - {date: 2027-01-26, name: a}\nsessions:\n  - {date: 2027-01-27, name: b, intervals: 18:00-19:00}\n"
    )
    assert [(r.day, r.name, r.section, dict(r.given)) for r in bare] == [
        (r.day, r.name, r.section, dict(r.given)) for r in formed
    ]


def test_every_fault_of_a_yaml_list_has_its_line():
    assert sorted(document("- {name: a}\n- {date: 2027-01-26}\n- 7\n")[1]) == [(1, "date"), (2, "name"), (3, "rows[2]")]
    assert document("colour: red\n")[1][0] == (1, "colour")


# --- the horizon -------------------------------------------------------------------------------------------------------


def listed(*days: date) -> list[Listed]:
    return [Listed(i, day, "x", "closed") for i, day in enumerate(days, 1)]


WHOLE = listed(*(date(2027, m, 5) for m in (1, 2, 3, 4, 6, 8, 9, 10, 11)))


def test_a_list_from_winter_to_winter_covers_its_year():
    assert horizon(WHOLE, date(2026, 12, 31))[0] == date(2027, 12, 31)


@pytest.mark.parametrize(("given", "known", "covers", "why"), [
    (listed(REPUBLIC), date(2026, 12, 31), "guess", "does not look like all"), (WHOLE, date(2026, 12, 31), "part", "does not look"),
    (WHOLE, date(2025, 12, 31), "guess", "2026-01-01 to 2026-12-31 is not known yet"), (WHOLE, date(2027, 12, 31), "guess", "already"),
    ([*WHOLE, *listed(date(2028, 1, 26))], date(2026, 12, 31), "year", "no single year"),
])  # fmt: skip
def test_the_horizon_moves_only_where_nothing_unknown_would_be_covered_up(given, known, covers, why):
    until, reason = horizon(given, known, covers)
    assert until is None
    assert why in reason


def test_who_says_that_a_short_list_is_the_year_is_believed():
    assert horizon(listed(REPUBLIC), date(2026, 12, 31), "year")[0] == date(2027, 12, 31)


# --- the preview -------------------------------------------------------------------------------------------------------


def table(statuses: dict[int, DayStatus]) -> SessionCalendar:
    days = {
        REPUBLIC + timedelta(n): Day(REPUBLIC + timedelta(n), status, str(status)) for n, status in statuses.items()
    }
    return SessionCalendar("NFO", INDIA, date(2027, 12, 31), days)


def test_each_listed_day_is_told_by_what_becomes_of_it_and_other_days_only_when_they_move():
    o, c, u = DayStatus.OPEN, DayStatus.CLOSED, DayStatus.UNKNOWN
    before = table({0: u, 1: o, 2: c, 3: c, 4: u, 5: o, 6: c})
    after = table({0: c, 1: c, 2: o, 3: c, 4: o, 5: o, 6: o})
    rows = listed(*(REPUBLIC + timedelta(n) for n in (0, 1, 2, 3, 6)))
    changes = preview(
        rows, before, after, {REPUBLIC + timedelta(6): "a file says closed"}, REPUBLIC, REPUBLIC + timedelta(6)
    )
    assert [((c.after.date - REPUBLIC).days, c.word, c.listed is not None) for c in changes] == [
        (0, "newly closed", True), (1, "newly closed", True), (2, "newly open", True), (3, "unchanged", True),
        (4, "newly open", False), (6, "contradicts", True),
    ]  # fmt: skip


def test_a_closure_that_the_years_list_forgets_is_told():
    calendar = table({0: DayStatus.CLOSED, 1: DayStatus.CLOSED})
    assert [day.date for day in unlisted(listed(REPUBLIC), calendar)] == [REPUBLIC + timedelta(1)]
