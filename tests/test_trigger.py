"""Anchors and repeats against sessions of known hours."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.fault import Unfit
from runbook.session import INDIA, Session
from runbook.trigger import (
    Anchor,
    At,
    Every,
    describe,
    firings,
    format_duration,
    order_fault,
    parse_duration,
    repeats,
)

NEW_YORK = ZoneInfo("America/New_York")


def session(*windows: tuple[str, str], day: str = "2026-08-04", zone: ZoneInfo = INDIA) -> Session:
    def instant(clock: str) -> datetime:
        return datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), zone).astimezone(UTC)

    intervals = tuple((instant(a), instant(b)) for a, b in windows or [("09:15", "15:40")])
    return Session("NFO", date.fromisoformat(day), intervals, zone=zone)


def at(text: str, *windows: tuple[str, str]) -> str:
    return f"{Anchor.parse(text).at(session(*windows)).astimezone(INDIA):%H:%M:%S}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("2m", 120),
        ("1h30m", 5400),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("1h 30m", 5400),
        ("2M", 120),
        ("1m500ms", 60.5),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "90", 90, 1.5, None, True, "1d", "m", "30m1h", "1m1m", "-5m", "1,5s", "٣s", "9" * 20 + "h"]
)
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(Unfit) as caught:
        parse_duration(text)
    assert caught.value.example == "90s or 1h30m"


def test_a_number_without_a_unit_is_told_so():
    with pytest.raises(Unfit, match="90 has no unit"):
        parse_duration(90)


@given(st.timedeltas(timedelta(0), timedelta(days=3)).map(lambda t: t - t % timedelta(milliseconds=1)))
def test_a_duration_is_written_as_it_is_read(length):
    assert parse_duration(format_duration(length)) == length


def test_nothing_is_0s():
    assert format_duration(timedelta()) == "0s"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("open", "09:15:00"),
        ("open-45m", "08:30:00"),
        ("close+10m", "15:50:00"),
        ("close+1h30m", "17:10:00"),
        ("open-90s", "09:13:30"),
        ("16:30", "16:30:00"),
        ("9:05", "09:05:00"),
        ("16:30:15", "16:30:15"),
        (" Open - 45m ", "08:30:00"),
    ],
)
def test_an_anchor_comes_to_an_instant_of_the_session(text, due):
    assert at(text) == due


def test_an_anchor_moves_with_the_session_and_a_clock_time_does_not():
    muhurat = ("18:00", "19:15")
    assert at("open-45m", muhurat) == "17:15:00"
    assert at("16:30", muhurat) == "16:30:00"


def test_on_a_split_day_open_is_the_first_start_and_close_the_last_end():
    split = [("09:15", "10:00"), ("11:30", "12:30")]
    assert at("open", *split) == "09:15:00"
    assert at("close+10m", *split) == "12:40:00"


def test_an_anchor_is_utc_also_where_the_session_is_not():
    local = Session(
        "NFO",
        date(2026, 8, 4),
        ((datetime(2026, 8, 4, 9, 15, tzinfo=INDIA), datetime(2026, 8, 4, 15, 40, tzinfo=INDIA)),),
    )
    due = Anchor.parse("open-15m").at(local)
    assert due == datetime(2026, 8, 4, 3, 30, tzinfo=UTC)
    assert due.tzinfo is UTC


def test_a_clock_time_is_the_exchanges_and_follows_its_summer_time():
    before, after = ("2026-03-06", "2026-03-09")
    clock = Anchor.parse("08:00")
    assert clock.at(session(("09:30", "16:00"), day=before, zone=NEW_YORK)).hour == 13
    assert clock.at(session(("09:30", "16:00"), day=after, zone=NEW_YORK)).hour == 12


def test_an_offset_over_the_change_of_clocks_is_real_time():
    opened = datetime(2026, 3, 8, 9, 30, tzinfo=NEW_YORK)
    summer = Session("X", date(2026, 3, 8), ((opened, opened + timedelta(hours=6)),), zone=NEW_YORK)
    assert opened.astimezone(UTC) - Anchor.parse("open-9h").at(summer) == timedelta(hours=9)


@pytest.mark.parametrize(
    "text",
    [
        "opn-45m",
        "open-",
        "open-45",
        "open45m",
        "open--45m",
        "25:00",
        "12:60",
        "1630",
        1630,
        None,
        "",
        "open-45h",
        "close+1d",
        "0 9 * * *",
        "open-5m+3m",
    ],
)
def test_what_is_no_anchor_is_refused_with_what_is_accepted(text):
    with pytest.raises(Unfit) as caught:
        Anchor.parse(text)
    assert caught.value.accepted
    assert caught.value.example


def test_the_slot_is_the_anchors_own_text():
    due = firings(At((Anchor.parse("open-60m"), Anchor.parse("open - 10m"), Anchor.parse("9:00"))), session())
    assert [f.slot for f in due] == ["open-60m", "open-10m", "09:00"]


def test_a_repeat_includes_its_start_and_excludes_its_end():
    trigger = Every(timedelta(minutes=1), Anchor.parse("open"), Anchor.parse("open+3m"))
    due = firings(trigger, session())
    assert [(f.slot, f"{f.at.astimezone(INDIA):%H:%M}") for f in due] == [
        ("0001", "09:15"),
        ("0002", "09:16"),
        ("0003", "09:17"),
    ]


def test_a_repeat_that_does_not_fit_evenly_fires_a_last_time_before_the_end():
    trigger = Every(timedelta(minutes=2), Anchor.parse("open"), Anchor.parse("open+3m"))
    assert len(firings(trigger, session())) == 2


def test_the_health_check_of_a_full_day_fires_790_times():
    trigger = Every(timedelta(seconds=30), Anchor.parse("open-10m"), Anchor.parse("close"))
    due = firings(trigger, session())
    assert (len(due), due[-1].slot) == (790, "0790")
    assert repeats(trigger, session()) == (due[0].at, 790)


def test_the_slots_of_a_repeat_stay_when_the_open_moves():
    trigger = Every(timedelta(minutes=10), Anchor.parse("open"), Anchor.parse("close"))
    muhurat = session(("18:00", "19:15"))
    assert [f.slot for f in firings(trigger, muhurat)] == [f.slot for f in firings(trigger, session())][:8]


def test_a_repeat_that_ends_before_it_starts_on_this_day_has_no_firings():
    trigger = Every(timedelta(seconds=30), Anchor.parse("open+2h"), Anchor.parse("close"))
    assert firings(trigger, session(("18:00", "19:15"))) == ()


@pytest.mark.parametrize("every", ["500ms", "0s"])
def test_a_repeat_denser_than_a_second_is_refused(every):
    with pytest.raises(Unfit, match="too often"):
        Every(parse_duration(every), Anchor.parse("open"), Anchor.parse("close"))


def test_an_anchor_given_twice_is_refused():
    with pytest.raises(Unfit, match="open-10m stands twice"):
        At((Anchor.parse("open-10m"), Anchor.parse("open -10m")))


def test_no_anchor_at_all_is_refused():
    with pytest.raises(Unfit):
        At(())


@pytest.mark.parametrize(
    ("earlier", "later", "wrong"),
    [
        ("open-10m", "open", False),
        ("open", "open-10m", True),
        ("close", "close", True),
        ("09:00", "10:00", False),
        ("10:00", "09:00", True),
        ("close+1m", "open-1m", False),  # different edges: only a session can tell
    ],
)
def test_the_order_of_two_anchors_is_judged_where_no_session_is_needed(earlier, later, wrong):
    assert bool(order_fault(Anchor.parse(earlier), Anchor.parse(later))) is wrong


def test_the_order_on_different_edges_is_judged_on_the_sessions_given():
    start, until = Anchor.parse("open+2h"), Anchor.parse("close")
    assert order_fault(start, until, [session()]) is None
    muhurat = session(("18:00", "19:15"), day="2026-11-08")
    fault = order_fault(start, until, [session(), muhurat])
    assert fault == "open+2h is not before close on 2026-11-08: open 18:00 + 2h = 20:00 IST, close = 19:15 IST"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("open-45m", "open 09:15 - 45m = 08:30 IST"),
        ("close+90s", "close 15:40 + 90s = 15:41:30 IST"),
        ("open", "open = 09:15 IST"),
        ("16:30", "16:30 IST"),
        ("close+10h", "close 15:40 + 10h = 01:40 IST on Wednesday 2026-08-05"),
    ],
)
def test_the_arithmetic_is_told_in_words(text, words):
    assert describe(Anchor.parse(text), session()) == words
