"""The plan of the guide's own test days, and of days on which hours move or knowledge ends."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from runbook.plan import plan_days, render_plan, to_json
from runbook.session import INDIA, Confidence, Day, DayStatus, Session, SessionCalendar
from runbook.trigger import Anchor, At, Every, Trigger


@dataclass(frozen=True)
class Job:
    name: str
    trigger: Trigger


def at(*anchors: str) -> At:
    return At(tuple(Anchor.parse(a) for a in anchors))


JOBS = [
    Job("report_day", at("close+30m")),
    Job("verify_broker", at("open-60m", "open-10m")),
    Job("check_feed", Every(timedelta(seconds=30), Anchor.parse("open-10m"), Anchor.parse("close"))),
]


def trading(day: date, *windows: str, reason: str = "regular session", name: str = "regular", note: str = "") -> Day:
    pairs = [w.split("-") for w in windows or ("09:15-15:30",)]
    intervals = tuple(
        (
            datetime.fromisoformat(f"{day}T{a}+05:30").astimezone(UTC),
            datetime.fromisoformat(f"{day}T{b}+05:30").astimezone(UTC),
        )
        for a, b in pairs
    )
    confidence = Confidence.LOW if note else Confidence.HIGH
    session = Session("NFO", day, intervals, name=name, confidence=confidence, note=note)
    return Day(day, DayStatus.OPEN, reason, ("library NSE",), confidence, session, note)


def days() -> SessionCalendar:
    rows = [trading(date(2025, 12, d)) for d in (26, 29, 30)]
    rows += [Day(date(2025, 12, d), DayStatus.CLOSED, "weekend") for d in (27, 28)]
    return SessionCalendar("NFO", INDIA, date(2025, 12, 30), {row.date: row for row in rows})


def text(calendar: SessionCalendar, first: date, last: date, zone: ZoneInfo = INDIA) -> str:
    return render_plan(plan_days(calendar, JOBS, first, last), zone)


def test_the_guides_own_test_days_have_three_sessions_and_a_weekend():
    assert (
        text(days(), date(2025, 12, 26), date(2025, 12, 29))
        == """\
2025-12-26 Friday     NFO 09:15-15:30 IST
  08:15              verify_broker  open 09:15 - 60m = 08:15 IST
  09:05-15:29:30     check_feed     every 30s from open 09:15 - 10m = 09:05 IST until close = 15:30 IST (770 times)
  09:05              verify_broker  open 09:15 - 10m = 09:05 IST
  16:00              report_day     close 15:30 + 30m = 16:00 IST

2025-12-27 Saturday   closed: weekend
2025-12-28 Sunday     closed: weekend
2025-12-29 Monday     NFO 09:15-15:30 IST
  08:15              verify_broker  open 09:15 - 60m = 08:15 IST
  09:05-15:29:30     check_feed     every 30s from open 09:15 - 10m = 09:05 IST until close = 15:30 IST (770 times)
  09:05              verify_broker  open 09:15 - 10m = 09:05 IST
  16:00              report_day     close 15:30 + 30m = 16:00 IST
"""
    )


def test_a_weekday_just_past_the_horizon_is_unknown_and_what_reads_looks_at_the_ordinary_hours():
    (row,) = plan_days(days(), JOBS, date(2026, 1, 1), date(2026, 1, 1))
    assert row.day.session is None
    assert [run.job for run in row.runs] == ["verify_broker", "check_feed", "verify_broker", "report_day"]
    headline = render_plan([row], INDIA).splitlines()[0]
    assert headline.startswith("2026-01-01 Thursday   unknown: the calendar of NFO is known until 2025-12-30")
    assert headline.endswith("what acts is held")


def test_far_past_the_horizon_there_is_nothing_to_plan_by():
    (row,) = plan_days(days(), JOBS, date(2027, 3, 2), date(2027, 3, 2))
    assert row.runs == ()
    assert render_plan([row], INDIA) == "2027-03-02 Tuesday    unknown: the calendar of NFO is known until 2025-12-30\n"


def test_a_special_session_moves_its_runs_and_says_its_name_and_doubts():
    day = trading(
        date(2026, 11, 8), "18:00-19:15", reason="Muhurat trading", name="Muhurat trading", note="hours not confirmed"
    )
    table = SessionCalendar("NFO", INDIA, date(2026, 12, 31), {day.date: day})
    lines = text(table, day.date, day.date).splitlines()
    assert (
        lines[0] == "2026-11-08 Sunday     NFO 18:00-19:15 IST, Muhurat trading (confidence low: hours not confirmed)"
    )
    assert lines[1].split()[:2] == ["17:00", "verify_broker"]
    assert lines[-1].split()[:2] == ["19:45", "report_day"]


def test_a_split_day_shows_both_intervals():
    day = trading(date(2024, 3, 2), "09:15-10:00", "11:30-12:30")
    table = SessionCalendar("NFO", INDIA, date(2026, 12, 31), {day.date: day})
    assert "NFO 09:15-10:00, 11:30-12:30 IST" in text(table, day.date, day.date)


def test_a_time_on_another_date_of_the_readers_zone_says_so():
    shown = text(days(), date(2025, 12, 26), date(2025, 12, 26), ZoneInfo("America/New_York"))
    assert "NFO 22:45-1d-05:00 EST" in shown
    assert "  21:45-1d           verify_broker" in shown


def test_the_rows_as_json_have_times_with_offset_and_grouped_repeats():
    closed, monday = json.loads(
        json.dumps(to_json(plan_days(days(), JOBS, date(2025, 12, 28), date(2025, 12, 29)), INDIA))
    )
    assert (closed["status"], closed["reason"], closed["weekday"], closed["open"], closed["runs"]) == (
        "closed", "weekend", "Sunday", None, [],
    )  # fmt: skip
    assert (monday["open"], monday["close"]) == ("2025-12-29T09:15:00+05:30", "2025-12-29T15:30:00+05:30")
    check = next(run for run in monday["runs"] if run["job"] == "check_feed")
    assert (check["slot"], check["count"], check["last"]) == ("0001..0770", 770, "2025-12-29T15:29:30+05:30")
    verify = [run["slot"] for run in monday["runs"] if run["job"] == "verify_broker"]
    assert verify == ["open-60m", "open-10m"]


def test_a_repeat_that_does_not_fit_in_the_session_is_not_shown():
    never = Job("never", Every(timedelta(minutes=1), Anchor.parse("open+8h"), Anchor.parse("close")))
    (row,) = plan_days(days(), [never], date(2025, 12, 26), date(2025, 12, 26))
    assert row.runs == ()


def test_no_days_are_no_text():
    assert render_plan([], INDIA) == ""
