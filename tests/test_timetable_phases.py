"""Phases and their parts, trading beside a cash market, hours past midnight, and what of it makes no sense."""

from datetime import date, datetime
from typing import Any

import pytest

from runbook.adapters.files import parse_yaml
from runbook.errors import CalendarFaults
from runbook.session import INDIA, Confidence, DayStatus, PhaseName, SessionCalendar, day_from_row, day_to_row
from runbook.timetable import Layer, merge, parse
from tests.timetable_world import NFO, NSE, SAID, base, calendar, faults, hours, indian, phases, site, special

MONDAY = date(2026, 11, 23)
PRE_OPEN = {"order_entry": ["09:00-09:05", "09:05-09:10"], "matching": "09:10-09:12", "buffer": "09:12-09:15"}


def beside(**more: Any) -> dict[str, Any]:
    """An entry of phases of the derivatives."""
    return {"from": date(2020, 1, 1), **SAID, **more}


def derivatives(*entries: dict[str, Any], **more: Any) -> SessionCalendar:
    return calendar("NFO", base(NSE), base(NFO, phases=list(entries), **more))


ALONE = beside(pre_open="09:00-09:15", cash_auction="15:15-15:35", tail="15:35-15:40")


# --- trading beside a cash market ----------------------------------------------------------------------------------


def test_derivatives_trade_on_through_the_cash_auction_and_a_tail():
    day = derivatives(ALONE).day(MONDAY)
    assert phases(day)[1:] == ["continuous 09:15-15:15", "cash_auction 15:15-15:35", "tail 15:35-15:40"]
    assert hours(day) == "09:15-15:40"


@pytest.mark.parametrize(
    ("clock", "phase", "trading", "alone"),
    [
        ("09:14", PhaseName.PRE_OPEN, False, False),
        ("15:14", PhaseName.CONTINUOUS, True, False),
        ("15:15", PhaseName.CASH_AUCTION, True, True),
        ("15:35", PhaseName.TAIL, True, True),
        ("15:40", PhaseName.SHUT, False, False),
    ],
)
def test_each_phase_says_whether_ticks_are_promised_and_whether_the_index_is_out(clock, phase, trading, alone):
    session = derivatives(ALONE).day(MONDAY).session
    assert session
    found = session.phase_at(datetime.fromisoformat(f"2026-11-23T{clock}:00+05:30"))
    assert (found, found.trading, found.alone) == (phase, trading, alone)


def test_only_three_phases_promise_ticks():
    assert {p.value for p in PhaseName if p.trading} == {"continuous", "cash_auction", "tail"}


def test_a_site_that_closes_earlier_cuts_the_phases_that_ship_and_is_no_fault():
    earlier = {"from": date(2026, 11, 1), "intervals": "09:15-15:37", **SAID}
    table = calendar("NFO", base(NSE), base(NFO, phases=[ALONE]), site({"exchange": "NFO", "hours": [earlier]}))
    assert phases(table.day(MONDAY))[-2:] == ["cash_auction 15:15-15:35", "tail 15:35-15:37"]
    gone = {"from": date(2026, 11, 1), "intervals": "09:15-15:30", **SAID}
    table = calendar("NFO", base(NSE), base(NFO, phases=[ALONE]), site({"exchange": "NFO", "hours": [gone]}))
    assert phases(table.day(MONDAY))[-1] == "cash_auction 15:15-15:30"


def test_a_day_that_closes_early_has_no_auction_and_no_tail():
    early = base({"exchange": "NSE"}, sessions=[special("2026-11-23", closes="15:00")])
    table = calendar("NFO", base(NSE), early, base(NFO, phases=[ALONE]))
    assert phases(table.day(MONDAY)) == ["pre_open 09:00-09:15", "continuous 09:15-15:00"]


def test_a_muhurat_evening_has_no_auction_and_no_tail():
    sheet = base({"exchange": "NSE"}, sessions=[special("2026-11-22", intervals="18:00-19:15")])
    table = calendar("NFO", base(NSE), sheet, base(NFO, phases=[ALONE]))
    assert phases(table.day(date(2026, 11, 22))) == ["continuous 18:00-19:15"]


# --- parts ---------------------------------------------------------------------------------------------------------


def test_a_pre_open_may_be_told_in_its_parts():
    told = phases(derivatives(beside(pre_open=PRE_OPEN)).day(MONDAY))
    assert told[:4] == [
        "pre_open 09:00-09:05 order_entry",
        "pre_open 09:05-09:10 order_entry",
        "pre_open 09:10-09:12 matching",
        "pre_open 09:12-09:15 buffer",
    ]


def test_a_part_nobody_has_a_word_for_is_written_as_unknown_and_has_no_name():
    told = phases(derivatives(beside(pre_open={"order_entry": "09:00-09:08", "unknown": "09:08-09:15"})).day(MONDAY))
    assert told[:2] == ["pre_open 09:00-09:08 order_entry", "pre_open 09:08-09:15"]


def test_a_morning_and_an_evening_are_one_stretch_with_two_names():
    parts = {"from": date(2020, 1, 1), "intervals": {"morning": "09:00-17:00", "evening": "17:00-23:30"}, **SAID}
    late, early = special("2026-11-25", opens="17:00"), special("2026-11-26", closes="17:00")
    table = calendar("NSE", base(NSE, hours=[parts], phases=[], sessions=[late, early]))
    whole = ["continuous 09:00-17:00 morning", "continuous 17:00-23:30 evening"]
    assert (hours(table.day(MONDAY)), phases(table.day(MONDAY))) == ("09:00-23:30", whole)
    assert phases(table.day(date(2026, 11, 25))) == whole[1:]
    assert phases(table.day(date(2026, 11, 26))) == whole[:1]


def test_parts_and_the_close_of_what_expires_come_back_from_a_row_as_they_went():
    expiring = [{**NFO["hours"][0], "expiring_close": "15:30"}]
    day = derivatives(beside(pre_open=PRE_OPEN), hours=expiring).day(MONDAY)
    assert day.session
    assert day.session.expiring_close == datetime(2026, 11, 23, 15, 30, tzinfo=INDIA)
    assert day_from_row(day_to_row(day), "NFO", day.session.zone) == day


def test_a_row_from_before_parts_were_told_is_read_all_the_same():
    day = derivatives(ALONE).day(MONDAY)
    row = day_to_row(day)
    del row["expiring_close"]
    row["phases"] = [phase[:3] for phase in row["phases"]]
    assert day_from_row(row, "NFO", INDIA).session == day.session


# --- contracts that expire on the day ------------------------------------------------------------------------------


def test_the_close_of_what_expires_is_told_and_moves_no_close():
    doubtful = {**NFO["hours"][0], "expiring_close": "15:30", "confidence": "low"}
    session = derivatives(hours=[doubtful]).day(MONDAY).session
    assert session
    assert session.expiring_close == datetime(2026, 11, 23, 15, 30, tzinfo=INDIA)
    assert (session.close, session.confidence) == (datetime(2026, 11, 23, 15, 40, tzinfo=INDIA), Confidence.LOW)


@pytest.mark.parametrize("more", [{"closes": "15:00"}, {"intervals": "18:00-19:00"}])
def test_a_day_that_is_over_before_then_says_nothing_of_it(more):
    held = [{**NFO["hours"][0], "expiring_close": "15:30"}]
    session = derivatives(hours=held, sessions=[special("2026-11-23", **more)]).day(MONDAY).session
    assert session
    assert session.expiring_close is None


# --- past midnight -------------------------------------------------------------------------------------------------


def test_hours_past_midnight_end_on_the_next_date_and_belong_to_the_day_they_began():
    table = indian(base({"exchange": "NSE"}, sessions=[special("2026-11-22", intervals="18:00-24:15")]))
    session = table.day(date(2026, 11, 22)).session
    assert session
    assert session.close == datetime(2026, 11, 23, 0, 15, tzinfo=INDIA)
    at = datetime(2026, 11, 23, 0, 14, tzinfo=INDIA)
    assert (table.session_at(at), session.phase_at(at)) == (session, PhaseName.CONTINUOUS)


def test_a_clock_that_is_put_forward_in_the_night_moves_no_hour_that_is_written():
    night = {
        "exchange": "XNYS", "weekdays": "mon-sun", "zone": "America/New_York", "known_until": date(2026, 12, 31),
        "hours": [{"from": date(2020, 1, 1), "intervals": "18:00-30:00", **SAID}],
    }  # fmt: skip
    table = calendar("XNYS", base(night), first=date(2026, 3, 6), last=date(2026, 3, 8))
    lengths = [(s.close - s.open).total_seconds() / 3600 for s in table.sessions(date(2026, 3, 6), date(2026, 3, 8))]
    assert lengths == [12, 11, 12]


@pytest.mark.parametrize(
    ("window", "example"),
    [("18:00-00:15", "18:00-24:15"), ("9:00-1:30", "09:00-25:30"), ("23:00-06:00", "23:00-30:00")],
)
def test_a_window_over_midnight_is_refused_with_how_to_write_it(window, example):
    (fault,) = faults(base(NSE, sessions=[special("2026-11-22", intervals=window)]))
    assert (fault.found, fault.example) == (f"{window!r} ends before it starts", example)


@pytest.mark.parametrize(
    "window", ["24:00-25:00", "18:00-30:01", "18:00-24:60", "23:59-06:01x", ["24:00-24:30", "25:00-26:00"]]
)
def test_no_session_begins_on_the_day_after_its_own_nor_ends_after_six(window):
    (fault,) = faults(base(NSE, sessions=[special("2026-11-22", intervals=window)]))
    assert fault.path == "sessions[0].intervals"
    assert fault.example


def test_a_close_past_midnight_may_be_stated_alone_and_an_open_may_not():
    late = special("2026-11-23", closes="24:15")
    assert calendar("NSE", base(NSE, sessions=[late])).day(MONDAY).status is DayStatus.OPEN
    (fault,) = faults(base(NSE, sessions=[special("2026-11-23", opens="24:15")]))
    assert fault.accepted == "a time of the session's own date, before 24:00"


# --- what makes no sense -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"cash_auction": "15:15-15:35", "tail": "15:30-15:40"}, "tail 15:30-15:40 begins before cash_auction 15:15-15:35 has ended"),
        ({"tail": "15:15-15:20", "cash_auction": "15:20-15:40"}, "tail 15:15-15:20 begins before cash_auction 15:20-15:40 has ended"),
        ({"closing_auction": "15:15-15:35", "post_close": "15:30-16:00"}, "post_close 15:30-16:00 begins before closing_auction 15:15-15:35 has ended"),
        ({"pre_open": "16:00-16:10", "post_close": "15:40-16:00"}, "post_close 15:40-16:00 begins before pre_open 16:00-16:10 has ended"),
        ({"pre_open": "09:10-09:20"}, "pre_open 09:10-09:20 does not go with the hours 09:15-15:40"),
        ({"pre_open": "15:45-15:50"}, "pre_open 15:45-15:50 does not go with the hours 09:15-15:40"),
        ({"tail": "15:35-15:45"}, "tail 15:35-15:45 does not go with the hours 09:15-15:40"),
        ({"cash_auction": "09:00-09:30"}, "cash_auction 09:00-09:30 does not go with the hours 09:15-15:40"),
        ({"closing_auction": "15:45-15:50"}, "closing_auction 15:45-15:50 does not go with the hours 09:15-15:40"),
        ({"post_close": "15:30-16:00"}, "post_close 15:30-16:00 does not go with the hours 09:15-15:40"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["phases", "sessions"])
def test_phases_that_overlap_or_stand_where_none_can_are_refused(more, found, place):
    if place == "phases":
        own = base(NFO, phases=[beside(**more)], hours=NFO["hours"][:1])
    else:
        own = base(NFO, sessions=[special("2026-11-23", intervals="09:15-15:40", **more)])
    (fault,) = faults(base(NSE), own)
    assert (fault.found, fault.path) == (found, f"{place}[0]")
    assert fault.accepted
    assert fault.example


def test_hours_that_change_while_phases_hold_are_looked_at_too():
    later = {"from": date(2026, 12, 7), "intervals": "09:15-15:20", **SAID}
    (fault,) = faults(base(NSE), base(NFO, hours=[NFO["hours"][0], later], phases=[ALONE]))
    assert fault.found == "cash_auction 15:15-15:35 does not go with the hours 09:15-15:20"
    ended = beside(**{"from": date(2026, 12, 7)}, pre_open="09:00-09:15")
    calendar("NFO", base(NSE), base(NFO, hours=[NFO["hours"][0], later], phases=[ALONE, ended]))


def test_a_fault_of_phases_has_its_file_and_line():
    text = """exchange: NFO
like: NSE
hours:
  - {from: 2020-01-01, intervals: 09:15-15:40, source: y, checked: 2026-11-22, confidence: high}
phases:
  - {from: 2020-01-01, pre_open: 09:00-09:15, source: y, checked: 2026-11-22, confidence: high}
  - from: 2026-08-03
    pre_open: {order_entri: 09:00-09:08, matching: 09:08-09:15}
    source: y
    checked: 2026-11-22
    confidence: high
"""
    with pytest.raises(CalendarFaults) as caught:
        parse([parse_yaml(text, "calendar/nfo.yaml")], Layer.SITE)
    (fault,) = caught.value.faults
    assert (fault.where, fault.line, fault.path) == ("calendar/nfo.yaml", 8, "phases[1].pre_open")
    assert fault.found == "'order_entri' is the name of no part"
    assert fault.accepted.startswith("did you mean order_entry?")
    sheets = parse(
        [parse_yaml(text.replace("order_entri", "order_entry").replace("09:15}", "09:30}"), "n.yaml")], Layer.SITE
    )
    with pytest.raises(CalendarFaults) as caught:
        merge(sheets)
    assert [(f.where, f.line) for f in caught.value.faults if f.path == "phases[1]"] == [("n.yaml", 7)]


@pytest.mark.parametrize("value", [{}, {"order_entry": []}, {"matching": "09:08-09:12", "order_entry": "09:00-09:08"},
                                   {"order_entry": 930}, ["09:00-09:08", "09:08-09:15"], {"order_entry": "09:00-09:10", "matching": "09:08-09:12"}])  # fmt: skip
def test_parts_that_are_none_or_out_of_order_are_refused(value):
    (fault,) = faults(base(NSE, phases=[beside(pre_open=value)]))
    assert fault.path.startswith("phases[0].pre_open")
    assert fault.example


@pytest.mark.parametrize("clock", ["09:15", "09:00", "15:41", "16:00"])
def test_a_close_of_what_expires_outside_the_hours_is_refused(clock):
    (fault,) = faults(base(NSE), base(NFO, hours=[{**NFO["hours"][0], "expiring_close": clock}]))
    assert fault.found == f"expiring_close {clock} lies outside 09:15-15:40"
