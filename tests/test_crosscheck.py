"""The calendar against what a real OpenAlgo answered: which differences contradict, and which say nothing."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook.adapters.openalgo.rows import holiday, open_hours
from runbook.alert import Severity
from runbook.budget import Budget
from runbook.crosscheck import Crosscheck, Form, Opinion, ahead, ask, crosscheck
from runbook.errors import GatewayUnreachable
from runbook.ports import HolidayRow, OpenHours
from runbook.session import INDIA, Confidence, Day, DayStatus, Session, SessionCalendar

LIVE = {r["name"] + str(r["request"].get("year", "")): r["body"] for r in json.loads(
    (Path(__file__).parent / "transcripts" / "rest_live.json").read_text()) if "market" in r["path"]}  # fmt: skip
HOLIDAYS = tuple(holiday(row, "at") for row in LIVE["market/holidays 2026 (truncated)2026"]["data"])
MONDAY, TUESDAY, SUNDAY = date(2026, 11, 23), date(2026, 11, 24), date(2026, 11, 22)
MUHURAT, BUDGET = date(2026, 11, 8), date(2026, 2, 1)


def recorded(name: str) -> tuple[OpenHours, ...]:
    return tuple(open_hours(row, "at") for row in LIVE[f"market/timings{name}"]["data"])


def instant(day: date, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}+05:30").astimezone(UTC)


def trading(day: date, hours: str = "09:15-15:40", name: str = "regular", sure: Confidence = Confidence.HIGH) -> Day:
    start, end = hours.split("-")
    session = Session("NFO", day, ((instant(day, start), instant(day, end)),), name=name)
    return Day(day, DayStatus.OPEN, name, session=session, confidence=sure)


def shut(day: date, why: str = "holiday") -> Day:
    return Day(day, DayStatus.CLOSED, why)


def calendar(*days: Day, exchange: str = "NFO") -> SessionCalendar:
    return SessionCalendar(exchange, INDIA, date(2026, 12, 31), {day.date: day for day in days})


def held_against(day: Day, *, rows: Sequence[HolidayRow] | str = HOLIDAYS, hours: Any = None, exchange: str = "NFO",
                 today: date = SUNDAY) -> Crosscheck:  # fmt: skip
    timings = {} if hours is None else {day.date: hours}
    opinion = Opinion({day.date.year: rows}, timings)
    return crosscheck(calendar(day, exchange=exchange), opinion, day.date, day.date, today)


def usual(day: date, exchange: str = "NFO", hours: str = "09:15-15:40") -> tuple[OpenHours, ...]:
    start, end = hours.split("-")
    return (OpenHours(exchange, instant(day, start), instant(day, end)),)


def forms(found: Crosscheck) -> list[Form]:
    return [f.form for f in found.findings]


# --- agreement ---------------------------------------------------------------------------------------------------------


def test_every_recorded_holiday_of_2026_agrees_with_a_calendar_that_is_right():
    first, last = date(2026, 1, 12), date(2026, 5, 1)
    listed = {row.date for row in HOLIDAYS}
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    made = [
        shut(d, "weekend" if d.weekday() > 4 else "h") if d in listed or d.weekday() > 4 else trading(d) for d in days
    ]
    found = crosscheck(calendar(*made), Opinion({2026: HOLIDAYS}), first, last, first)
    assert (found.findings, found.agreed, found.verdict) == ((), len(days), "agree")


def test_a_holiday_whose_answer_names_only_mcx_is_closed_for_nfo_and_agrees():
    found = held_against(shut(TUESDAY), hours=recorded(" holiday with MCX evening"))
    assert (found.findings, found.verdict) == ((), "agree")


def test_a_weekend_that_answers_crypto_alone_is_closed_and_agrees():
    assert held_against(shut(SUNDAY, "weekend"), hours=recorded(" Sunday")).findings == ()


def test_the_muhurat_window_agrees_when_ours_is_the_same():
    day = trading(MUHURAT, "18:00-19:15", "Muhurat trading")
    found = held_against(day, hours=recorded(" Muhurat Sunday"), rows=(*HOLIDAYS, muhurat()))
    assert (found.findings, found.hours_agreed) == ((), 1)


def test_hours_of_an_ordinary_day_agree_when_the_servers_zone_is_right():
    found = held_against(trading(MONDAY), hours=usual(MONDAY))
    assert (found.findings, found.hours_agreed) == ((), 1)


def muhurat() -> HolidayRow:
    return HolidayRow(MUHURAT, "Muhurat", "SPECIAL_SESSION", (), usual(MUHURAT, hours="18:00-19:15"))


# --- contradictions ----------------------------------------------------------------------------------------------------


def test_budget_sunday_is_a_contradiction_of_open_and_closed():
    day = trading(BUDGET, "09:15-15:30", "Union Budget session")
    found = held_against(day, hours=recorded(" Budget Sunday (exchanges were open)"), today=BUDGET)
    (finding,) = found.findings
    assert (finding.form, finding.severity, found.verdict) == (Form.OPEN_OR_CLOSED, Severity.CRITICAL, "contradiction")
    assert "Union Budget session" in finding.ours
    assert "weekend" in finding.theirs


@pytest.mark.parametrize("exchange", ["NSE", "NFO", "MCX"])
def test_the_row_of_the_exchange_is_read_and_not_the_length_of_the_list(exchange):
    found = held_against(shut(TUESDAY), hours=recorded(" holiday with MCX evening"), exchange=exchange)
    assert forms(found) == ([Form.OPEN_OR_CLOSED] if exchange == "MCX" else [])


def test_a_holiday_that_openalgo_lists_and_we_take_for_a_session_is_told_by_its_name():
    (finding,) = held_against(trading(date(2026, 3, 3)), today=date(2026, 3, 1)).findings
    assert finding.form is Form.OPEN_OR_CLOSED
    assert "closed (Holi)" in finding.theirs
    assert "runbook calendar close 2026-03-03" in finding.todo


def test_a_later_close_of_ours_is_another_form_and_names_both_closes_and_our_doubt():
    day = trading(date(2026, 12, 7), "09:15-15:45", sure=Confidence.LOW)
    (finding,) = held_against(replace(day, note="one source"), hours=usual(day.date)).findings
    assert (finding.form, finding.severity) == (Form.CLOSE, Severity.WARNING)
    assert "15:45" in finding.ours
    assert "15:40" in finding.theirs
    assert "one source" in finding.todo


@pytest.mark.parametrize("ours", ["09:15-15:40", "18:00-19:00"])
def test_a_special_window_of_one_side_alone_is_told_from_different_hours_of_both(ours):
    regular = ours == "09:15-15:40"
    day = trading(MUHURAT, ours, "regular" if regular else "Muhurat trading")
    found = held_against(day, rows=(muhurat(),), hours=recorded(" Muhurat Sunday"))
    assert forms(found) == [Form.SPECIAL if regular else Form.CLOSE]


def test_a_special_session_of_ours_that_openalgo_takes_for_an_ordinary_day_is_a_special_window():
    found = held_against(trading(MONDAY, "18:00-19:00", "Muhurat trading"), hours=usual(MONDAY))
    assert forms(found) == [Form.SPECIAL]
    assert forms(held_against(trading(MONDAY, "18:00-19:00", "Muhurat trading"))) == [Form.SPECIAL]


def test_what_is_past_is_told_quietly_and_is_not_ahead():
    found = held_against(trading(BUDGET, "09:15-15:30", "Budget"), today=SUNDAY)
    assert [f.severity for f in found.findings] == [Severity.INFO]
    assert ahead(found.findings, SUNDAY) == []
    assert len(ahead(held_against(trading(BUDGET, "09:15-15:30", "Budget"), today=BUDGET).findings, BUDGET)) == 1


# --- no second opinion -------------------------------------------------------------------------------------------------


def test_the_recorded_monday_of_a_host_on_utc_is_a_zone_fault_and_no_contradiction():
    found = held_against(trading(MONDAY), hours=recorded(", an ordinary Monday (server TZ=UTC)"))
    (finding,) = found.findings
    assert (finding.form, found.verdict, found.hours_agreed) == (Form.ZONE, "agree", 0)
    assert "2026-11-23 14:45-21:10 IST" in finding.theirs
    assert "TZ=Asia/Kolkata" in finding.todo


def test_a_zone_fault_does_not_hide_that_openalgo_is_open_where_we_are_closed():
    found = held_against(shut(MONDAY), hours=recorded(", an ordinary Monday (server TZ=UTC)"))
    assert set(forms(found)) == {Form.OPEN_OR_CLOSED, Form.ZONE}


def test_a_window_of_the_list_that_lies_in_another_year_is_a_zone_fault():
    row = HolidayRow(date(2025, 11, 1), "Muhurat", "SPECIAL_SESSION", (), usual(date(2024, 11, 1), hours="19:20-20:35"))
    assert forms(held_against(shut(row.date, "weekend"), rows=(row,))) == [Form.ZONE]


def test_a_year_that_nobody_entered_says_nothing_about_any_of_its_days():
    first, last = date(2027, 1, 1), date(2027, 12, 31)
    rows = tuple(holiday(r, "at") for r in LIVE["/api/v1/market/holidays2027"]["data"])
    days = {date(2027, 1, 4): usual(date(2027, 1, 4)), date(2027, 1, 26): usual(date(2027, 1, 26))}
    found = crosscheck(calendar(), Opinion({2027: rows}, days), first, last, SUNDAY)
    assert forms(found) == [Form.EMPTY]
    assert (found.verdict, found.unheard) == ("no second opinion", 365)


def test_an_openalgo_that_does_not_answer_is_told_once_and_contradicts_nothing():
    found = held_against(trading(MONDAY), rows="connection refused", hours="connection refused")
    assert (forms(found), found.verdict) == ([Form.UNREACHABLE], "no second opinion")


def test_an_exchange_that_openalgo_does_not_know_has_no_second_opinion():
    assert forms(held_against(trading(MONDAY), exchange="XNYS")) == [Form.SILENT]


def test_a_close_of_before_august_2026_is_not_held_against_hours_without_dates():
    day = trading(date(2026, 7, 31), "09:15-15:30")
    assert forms(held_against(day, hours=usual(day.date))) == [Form.SILENT]
    later = trading(date(2026, 8, 4), "09:15-15:30")
    assert forms(held_against(later, hours=usual(later.date))) == [Form.CLOSE]


def test_the_summer_close_of_mcx_is_not_held_against_a_table_that_knows_no_summer():
    day = trading(date(2026, 7, 31), "09:00-23:30")
    assert forms(held_against(day, hours=usual(day.date, "MCX", "09:00-23:55"), exchange="MCX")) == [Form.SILENT]


def test_an_empty_answer_falls_back_to_the_list():
    assert held_against(shut(date(2026, 1, 26)), hours=()).findings == ()
    assert held_against(trading(MONDAY), hours=()).findings == ()


def test_a_special_session_that_does_not_cover_the_exchange_says_nothing_of_it():
    row = HolidayRow(MUHURAT, "Muhurat", "SPECIAL_SESSION", (), usual(MUHURAT, "MCX", "18:00-19:15"))
    assert forms(held_against(shut(MUHURAT, "weekend"), rows=(row,))) == [Form.SILENT]


def test_a_day_that_we_do_not_know_is_no_contradiction_but_says_what_openalgo_thinks():
    day = Day(MONDAY, DayStatus.UNKNOWN, "two sources differ")
    (finding,) = held_against(day, hours=usual(MONDAY)).findings
    assert not finding.form.contradicts
    assert finding.theirs == "OpenAlgo says open"


def test_a_settlement_holiday_is_an_ordinary_day():
    row = HolidayRow(MONDAY, "Bank holiday", "SETTLEMENT_HOLIDAY", ("CDS",), ())
    assert held_against(trading(MONDAY), rows=(row,)).findings == ()


# --- asking ------------------------------------------------------------------------------------------------------------


class Source:
    def __init__(self, fails_at: int = 99) -> None:
        self.calls: list[object] = []
        self._fails_at = fails_at

    def holidays(self, year: int, budget: Budget) -> tuple[HolidayRow, ...]:
        return self._called(year, HOLIDAYS)

    def timings(self, day: date, budget: Budget) -> tuple[OpenHours, ...]:
        return self._called(day, usual(day))

    def _called(self, what: object, answer: Any) -> Any:
        self.calls.append(what)
        if len(self.calls) >= self._fails_at:
            raise GatewayUnreachable("connection refused")
        return answer


@pytest.mark.parametrize(("first", "last", "today", "calls"), [
    (SUNDAY, date(2026, 12, 31), SUNDAY, 9), (date(2026, 12, 28), date(2027, 1, 4), date(2026, 12, 28), 10),
    (date(2020, 1, 1), date(2040, 12, 31), SUNDAY, 10), (date(2026, 1, 1), date(2026, 6, 30), SUNDAY, 1),
])  # fmt: skip
def test_never_more_than_ten_calls_whatever_is_asked(first, last, today, calls):
    source = Source()
    opinion = ask(source, first, last, today, Budget(5))
    assert len(source.calls) == calls
    assert all(today <= day <= today + timedelta(days=7) for day in opinion.days)


def test_after_the_first_failure_nothing_more_is_asked():
    source = Source(fails_at=2)
    opinion = ask(source, SUNDAY, date(2026, 12, 31), SUNDAY, Budget(5))
    assert len(source.calls) == 2
    assert set(map(str, opinion.days.values())) == {"connection refused"}


def test_a_year_that_openalgo_refuses_to_be_asked_of_is_not_asked():
    source = Source()
    opinion: Mapping[int, Any] = ask(source, date(1999, 1, 1), date(1999, 12, 31), SUNDAY, Budget(5)).years
    assert (source.calls, opinion) == ([], {1999: ()})
