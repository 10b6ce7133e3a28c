"""Every day of four years against the truth table, exchanges straight from the library, and the library against itself."""

import csv
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from runbook.adapters.exchange import Answer, Refreshed, read_timetables, refresh
from runbook.adapters.files import shipped_calendar
from runbook.session import INDIA, Confidence, Day, DayStatus, PhaseName, Session, joined
from runbook.trigger import Anchor
from tests.library_golden import GOLDEN, NAMES, ask, complaint, spread, text

FIRST, LAST = date(2023, 1, 2), date(2027, 3, 31)
KNOWN = date(2026, 12, 31)
TRUTH = Path(__file__).parents[1] / "truth" / "indian_days.csv"
INDIAN = ["NSE", "NFO", "BSE", "BFO", "CDS", "MCX"]
CASH = [(date.min, "09:15-15:30")]
DERIVATIVES = [*CASH, (date(2026, 8, 3), "09:15-15:40"), (date(2026, 12, 7), "09:15-15:45")]
REGULAR = {"NSE": CASH, "BSE": CASH, "NFO": DERIVATIVES, "BFO": DERIVATIVES}
REGULAR["CDS"] = [(date(2026, 1, 1), "09:00-17:00")]
REGULAR["MCX"] = [  # the change-over days of New York in 2026 are 03-08 and 11-01, both Sundays
    (date(2026, 1, 1), "09:00-23:55"), (date(2026, 3, 8), "09:00-23:30"), (date(2026, 11, 1), "09:00-23:55"),
]  # fmt: skip


@pytest.fixture(scope="module")
def refreshed() -> Refreshed:
    exchanges = [*INDIAN, "XNSE", "XBOM", "XNYS", "XLON", "24/7", "XHKG"]
    return refresh(shipped_calendar(), None, exchanges, FIRST, LAST, horizon=KNOWN)


def day(refreshed: Refreshed, exchange: str, text: str) -> Day:
    return refreshed.calendars[exchange].day(date.fromisoformat(text))


def session(refreshed: Refreshed, exchange: str, text: str) -> Session:
    found = day(refreshed, exchange, text).session
    assert found, (exchange, text)
    return found


def hours(found: Day) -> list[str]:
    intervals = found.session.intervals if found.session else ()
    return [f"{a.astimezone(INDIA):%H:%M}-{b.astimezone(INDIA):%H:%M}" for a, b in intervals]


def phases(found: Session) -> list[str]:
    whole = [phase for phase, _ in joined(found.phases)]
    return [f"{p.name} {p.start.astimezone(INDIA):%H:%M}-{p.end.astimezone(INDIA):%H:%M}" for p in whole]


def parts(found: Session) -> str:
    return " ".join(
        f"{p.part}={p.start.astimezone(INDIA):%H:%M}-{p.end.astimezone(INDIA):%H:%M}" for p in found.phases if p.part
    )


# --- India ---------------------------------------------------------------------------------------------------------


def truth(exchange: str) -> dict[date, tuple[str, list[str]]]:
    lines = [line for line in TRUTH.read_text().splitlines() if not line.startswith("#")]
    rows = (row for row in csv.DictReader(lines) if exchange in row["exchanges"].split())
    return {date.fromisoformat(r["date"]): (r["status"], r["intervals"].split()) for r in rows}


def expected(exchange: str, at: date, exceptions: dict[date, tuple[str, list[str]]]) -> tuple[str, list[str]]:
    if at in exceptions:
        return exceptions[at]
    begun = [text for since, text in REGULAR[exchange] if since <= at]
    if not begun:
        return "unknown", []
    return ("open", begun[-1:]) if at.weekday() < 5 else ("closed", [])


@pytest.mark.parametrize("exchange", INDIAN)
def test_every_day_of_four_years_is_as_the_exchange_had_it(refreshed, exchange):
    exceptions = truth(exchange)
    assert len(exceptions) > 20
    answers = [(d.date, d.status.value, hours(d)) for d in refreshed.calendars[exchange].span(FIRST, KNOWN)]
    assert len(answers) == 1460
    assert [a for a in answers if a[1:] != expected(exchange, a[0], exceptions)] == []


@pytest.mark.parametrize(
    ("exchange", "counts"),
    [*((name, [246, 249, 249, 247, 0]) for name in REGULAR if name not in ("CDS", "MCX")), ("CDS", [1, 1, 2, 242, 0])],
)
def test_each_year_has_its_number_of_sessions(refreshed, exchange, counts):
    calendar = refreshed.calendars[exchange]
    assert [len(list(calendar.sessions(date(y, 1, 1), date(y, 12, 31)))) for y in range(2023, 2028)] == counts


def test_the_currency_list_of_2026_has_its_nineteen_holidays_and_the_election(refreshed):
    closed = [d for d in refreshed.calendars["CDS"].span(date(2026, 1, 1), KNOWN) if d.status is DayStatus.CLOSED]
    assert len([d for d in closed if d.date.weekday() < 5]) == 19 + 1


@pytest.mark.parametrize("exchange", ["NFO", "BFO"])
def test_every_closed_weekday_has_a_name_and_the_library_agrees(refreshed, exchange):
    closed = [d for d in refreshed.calendars[exchange].span(FIRST, KNOWN) if d.status is DayStatus.CLOSED]
    weekdays = [d for d in closed if d.date.weekday() < 5]
    assert [d.date for d in weekdays if d.reason.startswith("holiday") or len(d.sources) < 2] == []
    assert not [w for w in refreshed.warnings if w.startswith(tuple(INDIAN))]


@pytest.mark.parametrize("exchange", [*INDIAN, "XNSE", "XBOM"])
def test_republic_day_2027_is_unknown_and_never_open(refreshed, exchange):
    found = [day(refreshed, exchange, text) for text in ("2027-01-01", "2027-01-26", "2027-03-31", "2031-01-06")]
    assert {d.status for d in found} == {DayStatus.UNKNOWN}
    assert found[0].reason == f"the calendar of {exchange} is known until 2026-12-31"


@pytest.mark.parametrize("exchange", ["CDS", "MCX"])
def test_what_was_before_the_first_list_is_unknown_and_says_since_when_it_is_not(refreshed, exchange):
    assert day(refreshed, exchange, "2025-06-02").status is DayStatus.UNKNOWN
    assert day(refreshed, exchange, "2025-06-02").reason == f"the calendar of {exchange} is known from 2026-01-01"


@pytest.mark.parametrize(
    ("exchange", "text"),
    [("NFO", "2026-11-08"), ("NFO", "2026-12-07"), ("NFO", "2024-05-18"), ("BFO", "2026-12-07"), ("NSE", "2026-12-07"),
     ("MCX", "2026-01-01"), ("CDS", "2026-11-08")],
)  # fmt: skip
def test_a_doubtful_hour_is_an_open_day_that_says_so(refreshed, exchange, text):
    found = day(refreshed, exchange, text)
    assert (found.status, bool(found.note)) == (DayStatus.OPEN, True)
    assert found.confidence is (Confidence.MEDIUM if text == "2024-05-18" else Confidence.LOW)


def test_a_holiday_that_only_a_new_library_had_would_be_unknown_and_so_would_the_years_before_2023():
    tables = read_timetables(shipped_calendar(), None)
    assert all(tables[name].complete and tables[name].known_from == date(2023, 1, 1) for name in INDIAN[:4])
    assert {tables[name].library for name in ("BSE", "BFO", "XBOM")} == {"BSE"}


def test_no_day_of_mcx_is_sure_beyond_what_others_wrote_of_it(refreshed):
    weekdays = [d for d in refreshed.calendars["MCX"].span(date(2026, 1, 1), KNOWN) if d.date.weekday() < 5]
    assert Confidence.HIGH not in {d.confidence for d in weekdays}


def test_the_phases_of_the_segments_change_on_their_dates(refreshed):
    pre_open, regular = "pre_open 09:00-09:15", "continuous 09:15-15:30"
    for exchange in ("NFO", "BFO"):
        assert phases(session(refreshed, exchange, "2025-12-05")) == [regular]
        assert phases(session(refreshed, exchange, "2025-12-08")) == [pre_open, regular]
    for exchange in ("NSE", "BSE"):
        auction = [pre_open, "continuous 09:15-15:15", "closing_auction 15:15-15:35", "post_close 15:50-16:00"]
        assert phases(session(refreshed, exchange, "2026-07-31")) == [pre_open, regular, "post_close 15:40-16:00"]
        assert phases(session(refreshed, exchange, "2026-08-03")) == auction
        assert phases(session(refreshed, exchange, "2026-12-07"))[1:3] == [regular, "closing_auction 15:30-15:40"]
        assert phases(session(refreshed, exchange, "2026-02-01"))[0] == pre_open  # a Sunday at the regular hours
    assert phases(session(refreshed, "NFO", "2023-11-12")) == ["continuous 18:15-19:15"]
    assert phases(session(refreshed, "CDS", "2026-11-23")) == ["continuous 09:00-17:00"]


# What a regular day is made of, from the first day of each era on; apart from calendar/*.yaml.
DERIVATIVES_BY_ERA = {
    "2023-01-02": "continuous 09:15-15:30",
    "2025-12-08": "pre_open 09:00-09:15, continuous 09:15-15:30",
    "2026-08-03": "pre_open 09:00-09:15, continuous 09:15-15:15, cash_auction 15:15-15:35, tail 15:35-15:40",
    "2026-12-07": "pre_open 09:00-09:15, continuous 09:15-15:30, cash_auction 15:30-15:40, tail 15:40-15:45",
}
CASH_BY_ERA = {
    "2023-01-02": "pre_open 09:00-09:15, continuous 09:15-15:30, post_close 15:40-16:00",
    "2026-08-03": "pre_open 09:00-09:15, continuous 09:15-15:15, closing_auction 15:15-15:35, post_close 15:50-16:00",
    "2026-12-07": "pre_open 09:00-09:15, continuous 09:15-15:30, closing_auction 15:30-15:40, post_close 15:50-16:00",
}
EARLIER = "order_entry=09:00-09:08 matching=09:08-09:12 buffer=09:12-09:15"
SINCE_SEPTEMBER = "order_entry=09:00-09:05 order_entry=09:05-09:10 matching=09:10-09:12 buffer=09:12-09:15"


def at_hand(eras: dict[str, str], on: date) -> str:
    return next(text for since, text in reversed(eras.items()) if since <= str(on))


@pytest.mark.parametrize(
    ("exchange", "eras"),
    [("NFO", DERIVATIVES_BY_ERA), ("BFO", DERIVATIVES_BY_ERA), ("NSE", CASH_BY_ERA), ("BSE", CASH_BY_ERA)],
)
def test_every_regular_day_of_four_years_has_the_phases_of_its_era(refreshed, exchange, eras):
    pre_opens = {"2023-01-02": EARLIER, "2026-09-07": SINCE_SEPTEMBER}
    if exchange in ("NFO", "BFO"):
        pre_opens = {"2023-01-02": "", "2025-12-08": EARLIER, "2026-09-07": SINCE_SEPTEMBER}
    regular = [s for s in refreshed.calendars[exchange].sessions(FIRST, KNOWN) if s.name == "regular"]
    assert len(regular) == 246 + 249 + 249 + 247 - 9
    wrong = [
        (s.date, phases(s), parts(s))
        for s in regular
        if (", ".join(phases(s)), parts(s)) != (at_hand(eras, s.date), at_hand(pre_opens, s.date))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("cash", "derivatives"), [("NSE", "NFO"), ("BSE", "BFO")],
)  # fmt: skip
def test_on_every_day_the_cash_auction_of_the_derivatives_is_that_of_the_cash_market(refreshed, cash, derivatives):
    def spans(exchange: str, name: PhaseName) -> dict[date, list[tuple[datetime, datetime]]]:
        held = refreshed.calendars[exchange].sessions(FIRST, KNOWN)
        return {s.date: [(p.start, p.end) for p in s.phases if p.name is name] for s in held}

    auctions = spans(cash, PhaseName.CLOSING_AUCTION)
    assert spans(derivatives, PhaseName.CASH_AUCTION) == auctions
    tails = spans(derivatives, PhaseName.TAIL)
    assert {day for day, told in tails.items() if told} == {day for day, told in auctions.items() if told}
    assert all(tail[0][0] == auctions[day][0][1] for day, tail in tails.items() if tail)


def test_every_minute_of_the_derivatives_hours_promises_ticks_and_none_outside_does(refreshed):
    for found in refreshed.calendars["NFO"].sessions(date(2026, 7, 1), KNOWN):
        trading = sum((p.end - p.start for p in found.phases if p.name.trading), timedelta())
        assert trading == sum((b - a for a, b in found.intervals), timedelta()), found.date


@pytest.mark.parametrize(
    ("exchange", "text", "told"),
    [
        ("NSE", "2023-11-12", "pre_open 18:00-18:15, continuous 18:15-19:15"),
        ("NSE", "2024-11-01", "pre_open 17:45-18:00, continuous 18:00-19:00"),
        ("NSE", "2025-10-21", "pre_open 13:30-13:45, continuous 13:45-14:45"),
        ("NFO", "2025-10-21", "continuous 13:45-14:45"),
        ("NFO", "2026-11-08", "continuous 18:00-19:15"),
        ("NSE", "2026-02-01", "pre_open 09:00-09:15, continuous 09:15-15:30, post_close 15:40-16:00"),
        ("NFO", "2026-02-01", "pre_open 09:00-09:15, continuous 09:15-15:30"),
        ("NFO", "2024-03-02", "continuous 09:15-10:00, break 10:00-11:30, continuous 11:30-12:30"),
        ("CDS", "2026-11-23", "continuous 09:00-17:00"),
    ],
)
def test_special_sessions_have_the_phases_their_papers_name(refreshed, exchange, text, told):
    assert ", ".join(phases(session(refreshed, exchange, text))) == told


def test_of_a_muhurat_evening_only_the_order_entry_is_known_by_name(refreshed):
    told = session(refreshed, "NSE", "2023-11-12").phases
    assert [p.part for p in told if p.name is PhaseName.PRE_OPEN] == ["order_entry", ""]
    assert parts(session(refreshed, "NSE", "2026-02-01")) == EARLIER


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-01-01", "morning=09:00-17:00"),
        ("2026-02-01", "morning=09:00-17:00"),
        ("2026-03-03", "evening=17:00-23:55"),
        ("2026-03-06", "morning=09:00-17:00 evening=17:00-23:55"),
        ("2026-03-09", "morning=09:00-17:00 evening=17:00-23:30"),
        ("2026-03-26", "evening=17:00-23:30"),
        ("2026-10-30", "morning=09:00-17:00 evening=17:00-23:30"),
        ("2026-11-02", "morning=09:00-17:00 evening=17:00-23:55"),
    ],
)
def test_mcx_has_a_morning_and_an_evening_which_follow_each_other_without_a_break(refreshed, text, told):
    found = session(refreshed, "MCX", text)
    assert parts(found) == told
    assert len(found.intervals) == 1
    assert found.phase_at(found.close - timedelta(minutes=1)) is PhaseName.CONTINUOUS


def test_the_widest_window_of_mcx_on_muhurat_ends_on_the_next_day(refreshed):
    found = session(refreshed, "MCX", "2026-11-08")
    assert found.close == datetime(2026, 11, 9, 0, 15, tzinfo=INDIA)
    assert refreshed.calendars["MCX"].session_at(datetime(2026, 11, 9, 0, 10, tzinfo=INDIA)) == found


def test_contracts_that_expire_stop_earlier_from_december_on_as_one_source_says(refreshed):
    told = {s.date: s for s in refreshed.calendars["NFO"].sessions(date(2026, 11, 1), KNOWN)}
    assert {day >= date(2026, 12, 7) for day, s in told.items() if s.expiring_close} == {True}
    first = told[date(2026, 12, 7)]
    assert first.expiring_close == datetime(2026, 12, 7, 15, 30, tzinfo=INDIA)
    assert (first.confidence, "single source" in first.note) == (Confidence.LOW, True)
    assert not any(s.expiring_close for s in refreshed.calendars["NSE"].sessions(FIRST, KNOWN))


def test_the_auction_of_the_index_is_on_while_its_derivatives_trade(refreshed):
    at = datetime(2026, 11, 23, 15, 20, tzinfo=INDIA)
    told = [session(refreshed, exchange, "2026-11-23").phase_at(at) for exchange in ("NSE", "NFO")]
    assert told == [PhaseName.CLOSING_AUCTION, PhaseName.CASH_AUCTION]
    assert [phase.trading for phase in told] == [False, True]


def test_a_split_day_is_in_a_break_between_its_parts(refreshed):
    at = datetime(2024, 3, 2, 10, 30, tzinfo=INDIA)
    assert session(refreshed, "NFO", "2024-03-02").phase_at(at) is PhaseName.BREAK


# --- straight from the library -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "opens", "closes"),
    [
        ("2026-03-06", "20:00", "02:30"), ("2026-03-09", "19:00", "01:30"),
        ("2026-10-30", "19:00", "01:30"), ("2026-11-02", "20:00", "02:30"), ("2026-11-27", "20:00", "23:30"),
    ],
)  # fmt: skip
def test_new_york_opens_by_its_own_summer_time_and_may_close_tomorrow_in_india(refreshed, text, opens, closes):
    found = session(refreshed, "XNYS", text)
    edges = [edge.astimezone(INDIA) for edge in (found.open, found.close)]
    assert [f"{e:%H:%M}" for e in edges] == [opens, closes]
    assert edges[1].date() - found.date == timedelta(days=closes < "12:00")
    assert refreshed.calendars["XNYS"].zone.key == "America/New_York"


def test_a_session_is_named_by_the_date_at_the_exchange_while_it_is_tomorrow_in_india(refreshed):
    table = refreshed.calendars["XNYS"]
    night = datetime(2026, 11, 24, 1, 0, tzinfo=INDIA)
    found = table.session_at(night)
    assert found
    assert (found.date, table.today(night)) == (date(2026, 11, 23), date(2026, 11, 23))
    assert found.phase_at(night) is PhaseName.CONTINUOUS
    assert Anchor.parse("16:30").at(found) == datetime(2026, 11, 23, 21, 30, tzinfo=UTC)


def test_closures_and_early_closes_have_the_librarys_names(refreshed):
    told = [day(refreshed, "XNYS", f"2026-11-{d}") for d in (26, 27, 28)]
    assert [d.reason for d in told] == ["Thanksgiving", "early close", "weekend"]
    eve = session(refreshed, "XLON", "2026-12-24")
    assert (eve.name, eve.close) == ("early close", datetime(2026, 12, 24, 12, 30, tzinfo=UTC))


def test_london_changes_its_clocks_on_another_sunday_than_new_york(refreshed):
    opens = [session(refreshed, "XLON", text).open.astimezone(INDIA).hour for text in ("2026-03-27", "2026-03-30")]
    assert opens == [13, 12]


@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "24/7"])
def test_the_library_is_believed_until_the_horizon_and_no_further(refreshed, exchange):
    assert day(refreshed, exchange, "2026-12-31").status is DayStatus.OPEN
    assert day(refreshed, exchange, "2027-01-04").status is DayStatus.UNKNOWN
    assert any(w.startswith(f"{exchange}: ") for w in refreshed.warnings)


def test_a_market_without_a_night_has_a_session_for_each_utc_day(refreshed):
    sunday = session(refreshed, "24/7", "2026-11-22")
    assert (sunday.open, sunday.close) == (datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    table = refreshed.calendars["24/7"]
    assert table.zone.key == "UTC"
    early = table.session_at(datetime(2026, 11, 23, 5, 0, tzinfo=INDIA))
    assert early == sunday  # the day turns at 05:30 in India


def test_a_lunch_break_of_the_library_is_a_break_between_two_intervals(refreshed):
    names = [p.name.value for p in session(refreshed, "XHKG", "2026-11-23").phases]
    assert names == ["continuous", "break", "continuous"]


# --- the library against what it said when somebody last looked ----------------------------------------------------


@pytest.fixture(scope="module")
def answer() -> Answer:
    return ask()


def test_the_library_answers_as_it_did(answer):
    told = complaint(json.loads(GOLDEN.read_text(encoding="utf-8")), answer)
    assert not told, told


def test_a_changed_answer_is_told_with_versions_and_what_to_do(answer):
    golden = json.loads(text(answer))
    assert complaint(golden, answer) == ""
    nse, lost, found = answer.libraries["NSE"], date(2025, 2, 3), date(2026, 12, 25)
    days = {k: v for k, v in nse.days.items() if k != lost} | {found: replace(nse.days[date(2026, 12, 24)], date=found)}
    newer = {**answer.versions, "pandas": "3.1.1"}
    told = complaint(
        golden, replace(answer, libraries={**answer.libraries, "NSE": replace(nse, days=days)}, versions=newer)
    )
    assert "changed 2 answers" in told
    assert "NSE 2025-02-03: 09:15-15:30 -> closed" in told
    assert "NSE 2026-12-25: closed -> " in told
    assert f"pandas: {answer.versions['pandas']} -> 3.1.1" in told
    assert "requirements.lock" in told


def test_a_session_outside_the_week_that_comes_or_goes_is_told(answer):
    golden = json.loads(text(answer))
    tel_aviv, sunday, saturday = answer.libraries["XTAE"], date(2025, 11, 2), date(2026, 11, 7)
    assert 6 not in tel_aviv.week  # the library gives the week of 2026 for all years
    days = {k: v for k, v in tel_aviv.days.items() if k != sunday} | {
        saturday: replace(tel_aviv.days[sunday], date=saturday)
    }
    told = complaint(golden, replace(answer, libraries={**answer.libraries, "XTAE": replace(tel_aviv, days=days)}))
    assert "changed 2 answers" in told
    assert "-> no session" in told
    assert "XTAE 2026-11-07: no session -> " in told


def test_the_golden_file_has_all_that_is_asked():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert tuple(golden["calendars"]) == NAMES
    for name, answers in golden["calendars"].items():
        sessions = [day for day, told in spread(answers).items() if not told.startswith("closed") and day < "2026"]
        # 741 is what pandas before 3.1 makes of Tel Aviv, 778 what 3.1 does
        assert len(sessions) == {"NSE": 739, "BSE": 737, "XNYS": 752, "XLON": 758, "24/7": 1096, "XTAE": 741}[name], (
            name
        )
    assert golden["calendars"]["24/7"]["from"] == {"2023-01-01": "00:00-00:00"}
    assert (
        "Carter" in golden["calendars"]["XNYS"]["from"]["2025-01-09"]
        or golden["calendars"]["XNYS"]["from"]["2025-01-09"] == "closed"
    )
