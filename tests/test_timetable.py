"""Files of statements laid over a library that is made up in timetable_world."""

from datetime import UTC, date, datetime

import pytest

from runbook.adapters.files import parse_yaml
from runbook.errors import CalendarFaults
from runbook.session import Confidence, DayStatus
from runbook.timetable import Layer, parse
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

# --- days ----------------------------------------------------------------------------------------------------------


def test_a_weekday_is_a_session_at_the_timetables_hours():
    day = indian().day(date(2026, 11, 23))
    assert (day.status, day.reason, hours(day)) == (DayStatus.OPEN, "regular session", "09:15-15:40")
    assert day.sources == ("library NSE", "circular 1")


def test_times_are_kept_in_utc():
    session = indian().day(date(2026, 11, 23)).session
    assert session
    assert session.open.tzinfo is UTC
    assert session.zone.key == "Asia/Kolkata"


def test_a_weekend_and_a_holiday_say_which_they_are():
    table = indian()
    assert [table.day(date(2026, 11, d)).reason for d in (21, 22, 24)] == ["weekend", "weekend", "Gurunanak Jayanti"]


def test_a_holiday_only_the_library_knows_has_its_name_and_less_confidence():
    day = indian().day(date(2026, 12, 25))
    assert (day.reason, day.confidence, day.sources) == ("Christmas", Confidence.MEDIUM, ("library NSE",))
    unnamed = indian(of=library(closed=("2026-11-26",))).day(date(2026, 11, 26))
    assert unnamed.reason == "holiday (library)"


def test_hours_change_on_their_date_and_a_doubtful_hour_says_so():
    table = indian()
    assert hours(table.day(date(2026, 12, 4))) == "09:15-15:40"
    later = table.day(date(2026, 12, 7))
    assert (hours(later), later.confidence, later.note) == ("09:15-15:45", Confidence.LOW, "one source")


def test_phases_change_on_their_date_and_trading_is_what_they_leave():
    table = indian()
    assert phases(table.day(date(2026, 11, 30))) == ["continuous 09:15-15:40"]
    assert phases(table.day(date(2026, 12, 1))) == ["pre_open 09:00-09:15", "continuous 09:15-15:40"]


def test_a_closing_auction_ends_continuous_trading_inside_the_hours():
    auction = [{"from": date(2020, 1, 1), "closing_auction": "15:15-15:35", **SAID}]
    day = calendar("NSE", base(NSE, phases=auction)).day(date(2026, 11, 23))
    assert phases(day) == ["continuous 09:15-15:15", "closing_auction 15:15-15:35"]
    assert hours(day) == "09:15-15:30"


def test_past_the_horizon_nothing_is_known_but_what_is_stated():
    table = indian(site({"exchange": "NSE", "closed": [closed("2027-01-26", name="Republic Day")]}))
    assert table.day(date(2027, 1, 25)).status is DayStatus.UNKNOWN
    assert table.day(date(2027, 1, 26)).reason == "Republic Day"


def test_before_the_first_hours_the_librarys_count():
    late = [{"from": date(2026, 12, 1), "intervals": "10:00-11:00", **SAID}]
    table = calendar("NSE", base(NSE, hours=late))
    assert hours(table.day(date(2026, 11, 30))) == "09:15-15:15"
    assert hours(table.day(date(2026, 12, 1))) == "10:00-11:00"


def test_special_hours_of_the_library_win_over_the_regular_hours():
    day = indian(of=library(special={"2026-11-23": "early close"})).day(date(2026, 11, 23))
    assert (day.reason, hours(day)) == ("early close", "09:15-15:15")


def test_a_session_on_a_weekend_is_opened():
    day = indian(base({"exchange": "NSE"}, sessions=[special("2026-11-22", intervals="18:00-19:15")])).day(
        date(2026, 11, 22)
    )
    assert (day.status, day.reason, hours(day)) == (DayStatus.OPEN, "Muhurat trading", "18:00-19:15")


def test_a_session_without_hours_has_the_regular_ones_of_its_own_segment():
    sheet = base({"exchange": "NSE"}, sessions=[special("2026-12-13")])
    assert hours(indian(sheet).day(date(2026, 12, 13))) == "09:15-15:45"
    assert indian(sheet).day(date(2026, 12, 13)).confidence is Confidence.LOW
    assert hours(indian(sheet, exchange="NSE").day(date(2026, 12, 13))) == "09:15-15:30"


def test_a_split_session_has_two_intervals_and_a_break():
    sheet = base({"exchange": "NSE"}, sessions=[special("2026-11-21", intervals=["09:15-10:00", "11:30-12:30"])])
    day = indian(sheet).day(date(2026, 11, 21))
    assert hours(day) == "09:15-10:00, 11:30-12:30"
    assert phases(day) == ["continuous 09:15-10:00", "break 10:00-11:30", "continuous 11:30-12:30"]


def test_a_segment_without_a_pre_open_gets_none_from_the_one_it_is_like():
    muhurat = {"intervals": "18:00-19:15", "pre_open": "17:45-18:00"}
    sheet = base({"exchange": "NSE"}, sessions=[special("2026-11-22", **muhurat), special("2026-12-05", **muhurat)])
    assert phases(indian(sheet, exchange="NSE").day(date(2026, 11, 22)))[0] == "pre_open 17:45-18:00"
    assert phases(indian(sheet).day(date(2026, 11, 22))) == ["continuous 18:00-19:15"]
    assert phases(indian(sheet).day(date(2026, 12, 5)))[0] == "pre_open 17:45-18:00"


def test_a_session_on_a_holiday_without_any_hours_is_unknown_not_open():
    bare = {k: v for k, v in NSE.items() if k not in ("hours", "phases")}
    day = calendar("NSE", base(bare, sessions=[special("2026-12-25")])).day(date(2026, 12, 25))
    assert day.status is DayStatus.UNKNOWN


def test_an_exchange_without_a_file_is_the_librarys_until_the_horizon():
    table = calendar("XNSE", of=library())
    assert (table.zone.key, table.known_until) == ("Asia/Kolkata", date(2026, 12, 31))
    assert hours(table.day(date(2026, 12, 7))) == "09:15-15:15"
    assert table.day(date(2027, 1, 4)).status is DayStatus.UNKNOWN


# --- layers --------------------------------------------------------------------------------------------------------


def test_the_site_wins_over_the_base_for_the_date_it_speaks_of():
    table = indian(
        site({"exchange": "NSE", "sessions": [special("2026-11-24", name="holiday withdrawn")]}), exchange="NSE"
    )
    assert (table.day(date(2026, 11, 24)).status, table.day(date(2026, 11, 24)).reason) == (
        DayStatus.OPEN,
        "holiday withdrawn",
    )
    assert table.day(date(2026, 11, 23)).sources == ("library NSE", "circular 1")


def test_a_closure_of_the_site_says_that_the_library_disagrees():
    day = indian(site({"exchange": "NSE", "closed": [closed("2026-11-30")]})).day(date(2026, 11, 30))
    assert (day.status, day.note) == (DayStatus.CLOSED, "library NSE has a session")
    assert day.sources == ("SITE2.yaml: circular 1",)


def test_a_closure_of_the_exchange_it_is_like_closes_it_too():
    assert (
        indian(site({"exchange": "NSE", "closed": [closed("2026-11-30")]})).day(date(2026, 11, 30)).reason == "Election"
    )


def test_its_own_entry_wins_over_the_one_it_is_like_and_not_the_other_way():
    own = base(NFO, sessions=[special("2026-11-24", intervals="10:00-11:00")])
    assert calendar("NFO", base(NSE), own).day(date(2026, 11, 24)).status is DayStatus.OPEN
    assert calendar("NSE", base(NSE), own).day(date(2026, 11, 24)).status is DayStatus.CLOSED


def test_the_sites_word_on_the_exchange_it_is_like_wins_over_the_bases_on_itself():
    own = base(NFO, sessions=[special("2026-11-28", intervals="10:00-11:00")])
    table = calendar("NFO", base(NSE), own, site({"exchange": "NSE", "closed": [closed("2026-11-28")]}))
    assert table.day(date(2026, 11, 28)).status is DayStatus.CLOSED


def test_the_sites_hours_replace_the_bases_of_the_same_date_only():
    change = {"from": date(2026, 12, 7), "intervals": "09:15-15:40", **SAID}
    table = indian(site({"exchange": "NFO", "hours": [change]}))
    assert hours(table.day(date(2026, 12, 7))) == "09:15-15:40"
    assert table.day(date(2026, 12, 7)).confidence is Confidence.HIGH
    assert hours(table.day(date(2026, 12, 4))) == "09:15-15:40"


@pytest.mark.parametrize(
    ("until", "known"), [(date(2027, 1, 31), date(2027, 1, 31)), (date(2026, 11, 30), date(2026, 12, 31))]
)
def test_the_later_horizon_counts_and_is_passed_on(until, known):
    assert indian(site({"exchange": "NSE", "known_until": until})).known_until == known


def test_an_empty_section_is_nothing_as_in_a_new_site():
    assert indian(site({"exchange": "NFO", "closed": None, "sessions": None})).day(date(2026, 11, 23)).session


# --- faults --------------------------------------------------------------------------------------------------------


def test_all_faults_of_a_file_are_told_with_their_lines():
    text = """exchange: NFO
like: NSE
hourz: []
closed:
  - date: 2026-13-01
    name: x
    source: y
    checked: 2026-11-22
    confidence: sure
  - date: 20261130
    source: y
    checked: 2026-11-22
    confidence: high
sessions:
  - date: 2026-11-08
    name: Muhurat
    intervals: [18:00-17:00]
    source: y
    checked: 2026-11-22
    confidence: low
"""
    with pytest.raises(CalendarFaults) as caught:
        parse([parse_yaml(text, "calendar/nfo.yaml")], Layer.SITE)
    told = [(f.line, f.path, f.found) for f in caught.value.faults]
    assert told == [
        (3, "hourz", "unknown key 'hourz'"),
        (5, "closed[0].date", "found '2026-13-01'"),
        (9, "closed[0].confidence", "found 'sure'"),
        (10, "closed[1].date", "found 20261130"),
        (10, "closed[1].name", "the key is missing"),
        (17, "sessions[0].intervals", "'18:00-17:00' ends before it starts"),
    ]
    assert all(f.where == "calendar/nfo.yaml" and f.accepted for f in caught.value.faults)


@pytest.mark.parametrize(
    "intervals",
    [
        930,
        "0930-1530",
        "9-15",
        "25:00-26:00",
        [],
        ["09:15-10:00", "09:30-11:00"],
        ["11:30-12:30", "09:15-10:00"],
        None,
        "09:15",
    ],
)
def test_windows_that_cannot_be_are_refused_with_an_example(intervals):
    entry = {"from": date(2026, 1, 1), "intervals": intervals, **SAID}
    (fault,) = faults(base(NSE, hours=[entry]))
    assert fault.path.startswith("hours[0].intervals")
    assert "09:15" in fault.example


@pytest.mark.parametrize("value", [datetime(2026, 1, 1, 9, 0), 1767225600, "soon", True])
def test_what_is_no_date_is_refused(value):
    (fault,) = faults(base(NSE, known_until=value))
    assert fault.accepted == "a date"


@pytest.mark.parametrize("zone", ["Asia/Calcuta", "../etc/passwd", "", 5.5])
def test_an_unknown_zone_is_refused(zone):
    (fault,) = faults(base(NSE, zone=zone))
    assert fault.path == "zone"


def test_an_entry_needs_its_source():
    (fault,) = faults(
        base(
            NSE, closed=[{"date": date(2026, 11, 30), "name": "x", "checked": date(2026, 11, 1), "confidence": "high"}]
        )
    )
    assert (fault.path, fault.found) == ("closed[0].source", "the key is missing")


def test_two_statements_about_a_day_in_one_layer_are_a_fault():
    (fault,) = faults(base(NSE, sessions=[special("2026-11-24")]))
    assert fault.found == "2026-11-24 is already stated in BASE0.yaml:1"
    (fault,) = faults(base(NSE), base({"exchange": "NSE"}, hours=NSE["hours"]))
    assert (fault.where, fault.path) == ("BASE1.yaml", "hours[0]")


def test_the_same_day_in_both_layers_is_no_fault():
    assert (
        indian(site({"exchange": "NSE", "closed": NSE["closed"]})).day(date(2026, 11, 24)).sources[0].startswith("SITE")
    )


def test_a_like_that_is_nowhere_is_told_with_the_nearest():
    (fault,) = faults(base(NSE), base(NFO, like="NES"))
    assert (fault.where, fault.found, fault.accepted) == (
        "BASE1.yaml",
        "there is no calendar NES",
        "did you mean NSE? NSE",
    )


def test_two_that_are_like_each_other_are_told():
    assert {f.path for f in faults(base(NSE, like="NFO", library=None), base(NFO))} == {"like"}
