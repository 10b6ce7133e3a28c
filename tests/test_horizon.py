"""Where the calendar's knowledge ends, how that is told, and what runs on a day nobody knows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from runbook.agenda import End, Start, judge, occurrences
from runbook.alert import AlertState, CalendarDoubt, Severity, decide
from runbook.horizon import doubts
from runbook.job import JobSpec
from runbook.run import Entry, State
from runbook.session import ASSUMED, INDIA, Day, DayStatus, PhaseName, SessionCalendar
from runbook.trigger import Anchor, At
from tests.fakes import at, session

LAST = date(2026, 12, 31)  # a Thursday: the last day of the list
NEW_YEAR = date(2027, 1, 1)


def known(*, until: date = LAST, closed: tuple[date, ...] = ()) -> SessionCalendar:
    """Sessions on every weekday of December 2026 up to `until`."""
    days: dict[date, Day] = {}
    day = date(2026, 12, 1)
    while day <= until:
        if day.weekday() >= 5:
            days[day] = Day(day, DayStatus.CLOSED, "weekend")
        elif day in closed:
            days[day] = Day(day, DayStatus.CLOSED, "holiday")
        else:
            days[day] = Day(day, DayStatus.OPEN, "regular", session=session(day))
        day += timedelta(days=1)
    return SessionCalendar("NFO", INDIA, until, days)


def raised(calendar: SessionCalendar, today: date) -> list[CalendarDoubt]:
    return [doubt for doubt in doubts(calendar, today) if not doubt.over]


def test_more_than_a_week_before_the_horizon_nothing_is_said():
    assert raised(known(), date(2026, 12, 24)) == []


def test_the_first_unknown_day_is_told_a_week_ahead_as_a_warning():
    (doubt,) = raised(known(), date(2026, 12, 25))
    assert (doubt.kind, doubt.day, doubt.severity) == ("unknown", NEW_YEAR, Severity.WARNING)
    assert "Friday 01 January 2027" in doubt.reason
    assert "known until 2026-12-31" in doubt.reason


def test_one_alert_stands_for_all_the_days_after_it():
    (doubt,) = raised(known(), date(2026, 12, 30))
    assert "and 3 more within a week" in doubt.reason


def test_on_the_last_session_before_it_the_doubt_is_critical():
    assert raised(known(), LAST)[0].severity is Severity.CRITICAL
    shut = known(closed=(LAST,))
    assert raised(shut, date(2026, 12, 30))[0].severity is Severity.CRITICAL


def test_an_unknown_weekend_is_nobodys_news():
    (doubt,) = raised(known(until=date(2026, 12, 18)), date(2026, 12, 18))
    assert doubt.day == date(2026, 12, 21)


def test_a_day_that_was_settled_ends_its_alert():
    calendar = known()
    (opened,) = decide((), raised(calendar, LAST)[0], at("07:15", LAST))
    alert = opened.alert
    assert alert is not None
    assert opened.tell
    settled = known(until=date(2027, 1, 31))
    changes = [c for doubt in doubts(settled, LAST) for c in decide((alert,), doubt, at("08:00", LAST))]
    assert [c.alert.state for c in changes if c.alert] == [AlertState.RESOLVED]


def test_the_doubt_is_told_again_each_day_once_and_louder_on_the_eve():
    calendar = known()
    (first,) = decide((), raised(calendar, date(2026, 12, 29))[0], at("07:15", date(2026, 12, 29)))
    alert = first.alert
    assert alert is not None
    same = decide((alert,), raised(calendar, date(2026, 12, 29))[0], at("09:15", date(2026, 12, 29)))
    assert not any(change.tell for change in same)
    next_day = decide((alert,), raised(calendar, date(2026, 12, 30))[0], at("07:15", date(2026, 12, 30)))
    (told,) = [change for change in next_day if change.tell]
    assert told.key == "calendar@2027-01-01@2026-12-30"
    eve = decide((alert,), raised(calendar, LAST)[0], at("07:15", LAST))
    assert [c.alert.severity for c in eve if c.tell and c.alert] == [Severity.CRITICAL]


def test_an_unknown_weekday_has_an_assumed_session_at_the_ordinary_hours():
    assumed = known().assumed(NEW_YEAR)
    assert assumed is not None
    assert (assumed.name, assumed.open, assumed.close) == (ASSUMED, at("09:15", NEW_YEAR), at("15:40", NEW_YEAR))
    assert "known until 2026-12-31" in assumed.note
    assert assumed.phase_at(at("10:00", NEW_YEAR)) is PhaseName.CONTINUOUS


def test_neither_a_known_day_nor_a_weekend_nor_the_far_future_is_assumed():
    calendar = known(closed=(date(2026, 12, 25),))
    assert calendar.assumed(LAST) is None
    assert calendar.assumed(date(2026, 12, 25)) is None
    assert calendar.assumed(date(2027, 1, 2)) is None  # a Saturday
    assert calendar.assumed(date(2028, 1, 3)) is None  # too far to carry any hours over
    assert calendar.session_of(LAST) is not None
    assert calendar.day(NEW_YEAR).status is DayStatus.UNKNOWN


def test_weeks_after_the_list_ended_what_reads_still_looks():
    assumed = known().assumed(date(2027, 1, 26))
    assert assumed is not None
    assert (assumed.name, assumed.open) == (ASSUMED, at("09:15", date(2027, 1, 26)))


def test_an_assumed_evening_ends_on_the_next_date_too():
    day = replace(session(LAST), intervals=((at("18:00", LAST), at("00:15", NEW_YEAR)),), phases=())
    held = SessionCalendar("MCX", INDIA, LAST, {LAST: Day(LAST, DayStatus.OPEN, "regular", session=day)})
    assumed = held.assumed(NEW_YEAR)
    assert assumed is not None
    assert assumed.intervals == ((at("18:00", NEW_YEAR), at("00:15", date(2027, 1, 2))),)


def entry(job: JobSpec) -> Entry:
    assumed = known().assumed(NEW_YEAR)
    assert assumed is not None
    (planned,) = occurrences(job, assumed)
    return Entry(planned, repeating=False, state=State.PLANNED, verdict=None, reason="", config_hash="x")


def test_on_an_unknown_day_what_reads_runs_and_what_acts_is_held_with_the_reason():
    looks = JobSpec("looks", "jobs.looks:step", At((Anchor.parse("open"),)), 10.0)
    acts = JobSpec("acts", "jobs.acts:step", At((Anchor.parse("open"),)), 10.0, acts=True)
    rows = [entry(looks), entry(acts)]
    siblings = {(NEW_YEAR, e.key.job): [e] for e in rows}
    jobs = {job.name: job for job in (looks, acts)}
    unknown = {NEW_YEAR: "the calendar of NFO is known until 2026-12-31"}
    one, other = judge(rows, jobs, siblings, at("09:16", NEW_YEAR), INDIA, unknown=unknown)
    assert isinstance(one, Start)
    assert isinstance(other, End)
    assert (other.state, other.reason) == (State.SKIPPED, "held: the calendar of NFO is known until 2026-12-31")
