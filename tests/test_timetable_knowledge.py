"""Where knowledge begins and ends, who is believed when two disagree, and calendars that no library has."""

from datetime import date
from typing import Any

import pytest

from runbook.session import Confidence, DayStatus
from tests.timetable_world import (
    NFO,
    NSE,
    SAID,
    base,
    calendar,
    closed,
    faults,
    hours,
    indian,
    library,
    phases,
    site,
    special,
)

MCX: dict[str, Any] = {
    "exchange": "MCX",
    "weekdays": "mon-fri",
    "zone": "Asia/Kolkata",
    "known_from": date(2026, 1, 1),
    "known_until": date(2026, 12, 31),
    "hours": [
        {
            "from": date(2026, 1, 1),
            "intervals": "09:00-23:30",
            "winter_intervals": "09:00-23:55",
            "summer_time_of": "America/New_York",
            **SAID,
        }
    ],
}
YEAR: dict[str, Any] = {"first": date(2025, 12, 1), "last": date(2027, 1, 31)}


def mcx(**more: Any):
    return calendar("MCX", base(MCX, **more), **YEAR)


# --- without the library -------------------------------------------------------------------------------------------


def test_a_week_stands_in_for_a_library_that_lacks_the_exchange():
    table = mcx(closed=[closed("2026-10-02", name="Gandhi Jayanti")])
    days = [table.day(date(2026, 10, d)) for d in (1, 2, 3, 5)]
    assert [d.reason for d in days] == ["regular session", "Gandhi Jayanti", "weekend", "regular session"]
    assert days[0].sources == ("its regular weekdays", "circular 1")
    assert (days[1].sources, days[1].note) == (("BASE0.yaml: circular 1",), "")  # a week has no opinion on a holiday


@pytest.mark.parametrize(
    ("day", "close"),
    [
        ("2026-01-15", "23:55"),
        ("2026-03-06", "23:55"),
        ("2026-03-09", "23:30"),
        ("2026-07-01", "23:30"),
        ("2026-10-30", "23:30"),
        ("2026-11-02", "23:55"),
    ],
)
def test_an_evening_ends_by_the_summer_time_of_new_york_on_that_date(day, close):
    assert hours(mcx().day(date.fromisoformat(day))) == f"09:00-{close}"


def test_seasons_are_those_of_the_zone_that_is_named_also_south_of_the_equator():
    sydney = {**MCX["hours"][0], "summer_time_of": "Australia/Sydney"}
    table = mcx(hours=[sydney])
    assert [hours(table.day(date(2026, m, 15))) for m in (1, 7)] == ["09:00-23:30", "09:00-23:55"]
    steady = mcx(hours=[{**MCX["hours"][0], "summer_time_of": "Asia/Kolkata"}])
    assert hours(steady.day(date(2026, 7, 15))) == "09:00-23:55"


def test_an_evening_only_day_opens_late_and_closes_with_the_season():
    table = mcx(sessions=[special("2026-03-03", opens="17:00"), special("2026-03-26", opens="17:00")])
    assert [hours(table.day(date(2026, 3, d))) for d in (3, 26)] == ["17:00-23:55", "17:00-23:30"]


def test_a_morning_only_day_closes_early():
    table = mcx(sessions=[special("2026-01-01", closes="17:00", hours_confidence="low")])
    day = table.day(date(2026, 1, 1))
    assert (hours(day), day.confidence) == ("09:00-17:00", Confidence.LOW)


def test_another_open_or_close_leaves_out_the_phases_at_that_edge():
    sheet = base(
        {"exchange": "NSE"}, sessions=[special("2026-11-23", opens="11:00"), special("2026-11-25", closes="13:00")]
    )
    table = indian(sheet, exchange="NSE")
    assert phases(table.day(date(2026, 11, 23))) == ["continuous 11:00-15:30", "post_close 15:40-16:00"]
    assert phases(table.day(date(2026, 11, 25))) == ["pre_open 09:00-09:15", "continuous 09:15-13:00"]


def test_the_auction_before_a_late_open_is_only_for_segments_that_have_one():
    late = special("2026-11-23", opens="11:00", pre_open="10:45-11:00")
    sheet = base({"exchange": "NSE"}, sessions=[late])
    assert phases(indian(sheet, exchange="NSE").day(date(2026, 11, 23)))[0] == "pre_open 10:45-11:00"
    assert phases(indian(sheet).day(date(2026, 11, 23))) == ["continuous 11:00-15:40"]


def test_another_edge_on_a_split_day_drops_the_part_before_or_after_it():
    split = [{"from": date(2020, 1, 1), "intervals": ["09:15-10:00", "11:30-12:30"], **SAID}]
    sessions = [
        special("2026-11-23", opens="10:30"),
        special("2026-11-25", closes="11:00"),
        special("2026-11-26", opens="13:00"),
    ]
    table = calendar("NSE", base(NSE, hours=split, sessions=sessions))
    assert [hours(table.day(date(2026, 11, d))) for d in (23, 25)] == ["10:30-12:30", "09:15-11:00"]
    assert table.day(date(2026, 11, 26)).status is DayStatus.UNKNOWN


def test_hours_in_parts_that_touch_have_no_break_between():
    touching = [{"from": date(2020, 1, 1), "intervals": ["09:00-17:00", "17:00-23:30"], **SAID}]
    assert phases(calendar("NSE", base(NSE, hours=touching, phases=[])).day(date(2026, 11, 23))) == [
        "continuous 09:00-17:00",
        "continuous 17:00-23:30",
    ]


def test_an_open_weekday_without_any_hours_is_unknown():
    late = {**MCX["hours"][0], "from": date(2026, 2, 1)}
    day = mcx(hours=[late]).day(date(2026, 1, 30))
    assert (day.status, day.reason) == (DayStatus.UNKNOWN, "MCX is open, but nothing says when")


@pytest.mark.parametrize(
    ("week", "open_days"), [("mon-fri", "12345"), ("sun-thu", "71234"), ("sat", "6"), (" Mon-Sun ", "1234567")]
)
def test_a_week_may_begin_on_any_day(week, open_days):
    table = mcx(weekdays=week)
    found = [d.date.isoweekday() for d in table.span(date(2026, 6, 1), date(2026, 6, 7)) if d.session]
    assert found == sorted(int(c) for c in open_days)


@pytest.mark.parametrize("week", ["monday", "mon-", "-fri", "mon-fri-sat", 5, "", ["mon"], True])
def test_what_is_no_week_is_refused(week):
    (fault,) = faults(base(MCX, weekdays=week))
    assert (fault.path, fault.found, fault.example) == ("weekdays", f"found {week!r}", "mon-fri")


# --- where knowledge begins ----------------------------------------------------------------------------------------


def test_before_it_is_known_a_day_is_unknown_unless_it_is_stated():
    table = mcx(sessions=[special("2025-12-06", intervals="10:00-11:00")], closed=[closed("2025-12-25")])
    assert [table.day(date(2025, 12, d)).status.value for d in (5, 6, 25, 31)] == [
        "unknown",
        "open",
        "closed",
        "unknown",
    ]
    assert table.day(date(2025, 12, 5)).reason == "the calendar of MCX is known from 2026-01-01"
    assert table.day(date(2026, 1, 1)).status is DayStatus.OPEN


def test_of_base_and_site_the_one_that_knows_more_counts():
    table = calendar("MCX", base(MCX), site({"exchange": "MCX", "known_from": date(2025, 12, 8)}), **YEAR)
    assert table.day(date(2025, 12, 8)).reason == "MCX is open, but nothing says when"
    later = calendar("MCX", base(MCX), site({"exchange": "MCX", "known_from": date(2026, 6, 1)}), **YEAR)
    assert later.day(date(2026, 1, 2)).status is DayStatus.OPEN


def test_the_beginning_is_passed_on_to_what_is_like_it():
    table = calendar("NFO", base(NSE, known_from=date(2026, 11, 25)), base(NFO))
    assert [table.day(date(2026, 11, d)).status.value for d in (23, 25)] == ["unknown", "open"]


def test_a_calendar_of_the_library_without_a_horizon_has_the_callers():
    bare = {k: v for k, v in NSE.items() if k != "known_until"}
    table = calendar("NSE", base(bare), horizon=date(2026, 12, 10))
    assert table.known_until == date(2026, 12, 10)
    assert [table.day(date(2026, 12, d)).status.value for d in (10, 11)] == ["open", "unknown"]


def test_what_is_unknown_is_never_told_with_confidence():
    table = mcx()
    days = [date(2025, 12, 5), date(2027, 1, 26), date(2030, 1, 1)]
    assert {table.day(d).confidence for d in days} == {Confidence.LOW}


# --- when sources contradict each other ----------------------------------------------------------------------------


def test_a_weak_closure_on_a_day_the_library_trades_leaves_it_unknown():
    day = indian(site({"exchange": "NSE", "closed": [closed("2026-11-30", confidence="low")]})).day(date(2026, 11, 30))
    assert day.status is DayStatus.UNKNOWN
    assert day.reason == "SITE2.yaml: circular 1 says closed (Election), library NSE open"
    assert day.sources == ("SITE2.yaml: circular 1", "library NSE", "circular 1")


def test_a_weak_session_on_a_weekend_leaves_it_unknown():
    rumour = special("2026-11-28", intervals="10:00-11:00", confidence="low")
    assert indian(site({"exchange": "NSE", "sessions": [rumour]})).day(date(2026, 11, 28)).status is DayStatus.UNKNOWN


def test_a_weak_closure_that_the_library_shares_is_a_closure():
    day = indian(site({"exchange": "NSE", "closed": [closed("2026-12-25", confidence="low")]})).day(date(2026, 12, 25))
    assert (day.status, day.confidence) == (DayStatus.CLOSED, Confidence.LOW)


def test_a_weak_word_of_the_site_does_not_settle_what_the_base_says():
    rumour = special("2026-11-24", name="withdrawn?", confidence="low")
    day = indian(site({"exchange": "NSE", "sessions": [rumour]}), exchange="NSE").day(date(2026, 11, 24))
    assert day.reason == "SITE2.yaml: circular 1 says open (withdrawn?), BASE0.yaml: circular 1 closed"


def test_a_weak_word_past_the_horizon_is_perhaps():
    guess = closed("2027-01-26", name="Republic Day", confidence="low", note="by rule")
    day = indian(site({"exchange": "NSE", "closed": [guess]})).day(date(2027, 1, 26))
    assert day.status is DayStatus.UNKNOWN
    assert day.reason.startswith("perhaps closed: Republic Day")
    assert day.note == "by rule"


def test_a_weak_word_before_the_first_known_day_is_perhaps():
    day = mcx(closed=[closed("2025-12-25", name="Christmas", confidence="low")]).day(date(2025, 12, 25))
    assert (day.status, day.reason.split(",")[0]) == (DayStatus.UNKNOWN, "perhaps closed: Christmas")


def test_weak_hours_on_a_sure_day_are_an_open_day_that_says_so():
    muhurat = special(
        "2026-11-28", intervals="18:00-19:15", confidence="medium", hours_confidence="low", note="or 18:15"
    )
    day = indian(base({"exchange": "NSE"}, sessions=[muhurat])).day(date(2026, 11, 28))
    assert (day.status, day.confidence, day.note) == (DayStatus.OPEN, Confidence.LOW, "or 18:15")


def test_a_holiday_only_the_library_has_contradicts_a_list_that_has_all():
    day = indian(base({"exchange": "NSE"}, lists_all_holidays=True)).day(date(2026, 12, 25))
    assert day.status is DayStatus.UNKNOWN
    assert day.reason == "library NSE has a holiday (Christmas), the list of all holidays in calendar/ has none"
    settled = indian(base({"exchange": "NSE"}, lists_all_holidays=True, closed=[closed("2026-12-25")]))
    assert settled.day(date(2026, 12, 25)).status is DayStatus.CLOSED
    assert settled.day(date(2026, 12, 26)).reason == "weekend"


def test_an_own_library_is_asked_instead_of_that_of_the_exchange_it_is_like():
    other = library(closed=("2026-11-24", "2026-12-25", "2026-12-30"))
    bse = base({"exchange": "BSE", "like": "NSE", "library": "NSE"})
    day = calendar("BSE", base(NSE), bse, of=other).day(date(2026, 12, 30))
    assert (day.status, day.sources) == (DayStatus.CLOSED, ("library NSE",))


# --- faults --------------------------------------------------------------------------------------------------------


def test_a_file_that_only_names_an_exchange_says_nothing_as_in_a_new_site():
    table = calendar("XNYS", site({"exchange": "XNYS", "closed": None}), of=library())
    assert table.day(date(2026, 11, 23)).status is DayStatus.OPEN


def test_statements_about_an_exchange_from_nowhere_are_told_with_the_nearest():
    (fault,) = faults(base(NSE), base(NFO), site({"exchange": "NFFO", "closed": [closed("2026-11-30")]}))
    assert fault.found == "nothing says where the days of NFFO come from"
    assert fault.accepted.startswith("did you mean NFO?")
    assert fault.example == "library: NFFO"


def test_a_week_needs_a_zone_and_a_horizon():
    bare = {k: v for k, v in MCX.items() if k not in ("zone", "known_until")}
    assert [f.found for f in faults(base(bare))] == [
        "`zone` is missing, and no library gives one",
        "`known_until` is missing",
    ]


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"library": "NSE"}, "both `library` and `weekdays` are given"),
        (
            {"hours": [{**NSE["hours"][0], "winter_intervals": "09:00-10:00"}]},
            "hours that turn with the seasons need both keys",
        ),
        (
            {"hours": [{**NSE["hours"][0], "summer_time_of": "Europe/Berlin"}]},
            "hours that turn with the seasons need both keys",
        ),
        (
            {"sessions": [special("2026-01-02", intervals="10:00-11:00", opens="10:00")]},
            "`intervals` beside `opens` or `closes`",
        ),
        ({"sessions": [special("2026-01-02", opens="17:00", closes="17:00")]}, "it closes before it opens"),
    ],
)
def test_keys_that_exclude_or_need_each_other_are_told(more, found):
    (fault,) = faults(base(MCX, **more))
    assert fault.found == found
    assert fault.accepted
    assert fault.example


@pytest.mark.parametrize("value", [1020, 17.0, "5pm", "24:00", "17", "17:00-18:00", True])
def test_a_number_where_a_time_belongs_is_refused(value):
    (fault,) = faults(base(MCX, sessions=[special("2026-01-02", opens=value)]))
    assert (fault.path, fault.example) == ("sessions[0].opens", '"17:00"')
