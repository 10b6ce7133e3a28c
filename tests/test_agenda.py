"""Which rows a session holds, and what becomes of each one that is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from runbook.agenda import Decision, End, Start, Wait, agenda, judge, occurrences
from runbook.job import IfLate, JobSpec, Key, Verdict
from runbook.run import Entry, State, Try
from runbook.session import INDIA, Session
from runbook.trigger import Anchor, At, Every
from tests.fakes import MONDAY, TUESDAY, at, session

DAY = session()


def anchors(*texts: str) -> At:
    return At(tuple(Anchor.parse(text) for text in texts))


def job(name: str, *texts: str, latest: str | None = None) -> JobSpec:
    return JobSpec(name, "jobs.a:b", anchors(*texts), 20.0, Anchor.parse(latest) if latest else None)


VERIFY = replace(job("verify", "open-60m", "open-10m", latest="close-15m"), repeat_until_ok=timedelta(minutes=1))
CHECK = JobSpec(
    "check", "jobs.a:b", Every(timedelta(seconds=30), Anchor.parse("open-10m"), Anchor.parse("close")), 10.0
)
RECON = job("recon", "close+10m", latest="close+11h")
REPORT = replace(job("report", "close+30m"), after=("recon",), catch_up_sessions=5)


def rows(spec: JobSpec, on: Session = DAY) -> list[Entry]:
    return [Entry(o, spec.repeating, State.PLANNED, None, "", "abc") for o in occurrences(spec, on)]


def ended(entry: Entry, state: State, verdict: Verdict | None = Verdict.OK) -> Entry:
    return replace(entry, state=state, verdict=verdict)


def decide(
    entry: Entry,
    jobs: Sequence[JobSpec],
    others: Sequence[Entry],
    now: datetime,
    down: tuple[datetime, datetime] | None = None,
) -> Decision:
    siblings: dict[tuple[date, str], list[Entry]] = {}
    for one in (entry, *others):
        siblings.setdefault((one.key.session, one.key.job), []).append(one)
    (made,) = judge([entry], {j.name: j for j in jobs}, siblings, now, INDIA, down)
    return made


# -- the rows of a session ----------------------------------------------------------------------------------------------


def test_each_anchor_is_a_row_named_by_its_text():
    first, second = occurrences(VERIFY, DAY)
    assert (first.key, first.planned, first.due) == (Key(MONDAY, "verify", "open-60m"), at("08:15"), at("08:15"))
    assert (second.key.slot, second.planned) == ("open-10m", at("09:05"))
    assert {o.latest_start for o in (first, second)} == {at("15:25")}
    assert first.deadline is None
    assert occurrences(replace(VERIFY, deadline=Anchor.parse("open-5m")), DAY)[0].deadline == at("09:10")


def test_a_repeat_s_latest_start_is_its_next_firing_and_the_last_one_s_the_close():
    made = occurrences(CHECK, DAY)
    assert len(made) == 2 * (10 + 6 * 60 + 25)
    assert (made[0].planned, made[0].latest_start, made[0].key.slot) == (at("09:05"), at("09:05:30"), "0001")
    assert (made[-1].planned, made[-1].latest_start) == (at("15:39:30"), at("15:40"))


def test_a_job_without_a_latest_start_may_run_into_the_night_and_a_catch_up_for_days():
    (plain,) = occurrences(job("a", "close+30m"), DAY)
    (late,) = occurrences(REPORT, DAY)
    assert plain.latest_start == at("03:40", TUESDAY)
    assert late.latest_start == at("15:40") + timedelta(days=12)


def test_a_latest_start_that_lies_before_its_row_on_a_short_day_is_moved_to_it():
    evening = session(opens="18:00", closes="19:00")
    (made,) = occurrences(job("a", "open+90m", latest="close-15m"), evening)
    assert made.planned == made.latest_start == at("19:30")


def test_the_agenda_knows_which_rows_repeat():
    assert agenda([], [DAY]) == []
    both = agenda([VERIFY, CHECK], [DAY, session(TUESDAY)])
    assert sum(repeating for _, repeating in both) == 2 * 790
    assert [(o.key.session, o.key.slot) for o, repeating in both if not repeating] == [
        (day, slot) for day in (MONDAY, TUESDAY) for slot in ("open-60m", "open-10m")
    ]


# -- what may start -----------------------------------------------------------------------------------------------------


def test_what_is_due_starts():
    (row,) = rows(RECON)
    assert decide(row, [RECON], [], at("15:50")) == Start(row.key)


def test_a_job_that_is_gone_is_cancelled():
    (row,) = rows(RECON)
    assert decide(row, [], [], at("15:50")) == End(row.key, State.CANCELLED, "recon is no longer in the configuration")


def test_past_its_latest_start_a_row_is_missed_and_says_whose_fault_it_was():
    (row,) = rows(RECON)
    now = at("02:41", TUESDAY)
    assert decide(row, [RECON], [], row.occurrence.latest_start) == Start(row.key)
    assert decide(row, [RECON], [], now) == End(row.key, State.MISSED, "not started by its latest start, 02:40")
    down = (at("15:00"), at("16:00"))
    missed = decide(row, [RECON], [], now, down)
    assert missed == End(row.key, State.MISSED, "runbook was not running; latest start was 02:40")
    later = decide(row, [RECON], [], now, (at("16:00"), at("17:00")))
    assert later == End(row.key, State.MISSED, "not started by its latest start, 02:40")


def test_a_latest_start_of_another_day_is_written_with_its_date():
    (row,) = rows(RECON)
    made = decide(row, [RECON], [], at("09:00", date(2026, 11, 25)))
    assert isinstance(made, End)
    assert made.reason.endswith("2026-11-24 02:40")


def test_what_was_tried_is_never_called_missed():
    """Its last try says what it came to: a check that found something worked, one that raised to the end failed."""
    first, second = rows(VERIFY)
    for outcome in (State.SUCCEEDED, State.FAILED, State.TIMED_OUT):
        last = Try(3, "scheduler", at("15:24"), at("15:24"), outcome, Verdict.BAD, "no login", None, {}, None)
        seen = replace(second, verdict=Verdict.BAD, reason="no login", tries=(last,))
        made = decide(seen, [VERIFY], [replace(first, state=State.SUCCEEDED)], at("15:26"))
        assert made == End(second.key, outcome, "no login; not tried after 15:25")
    untold = decide(replace(second, verdict=Verdict.BAD, reason="r"), [VERIFY], [], at("15:26"))
    assert untold == End(second.key, State.SUCCEEDED, "r; not tried after 15:25")


def test_a_later_anchor_takes_a_repeated_check_over():
    first, second = rows(VERIFY)
    assert decide(first, [VERIFY], [second], at("09:04:59")) == Start(first.key)
    untried = decide(first, [VERIFY], [second], at("09:05"))
    assert untried == End(first.key, State.SKIPPED, "the check goes on as open-10m")
    tried = decide(replace(first, verdict=Verdict.BAD, reason="no login"), [VERIFY], [second], at("09:05"))
    assert tried == End(first.key, State.SUCCEEDED, "no login; the check goes on as open-10m")
    assert decide(second, [VERIFY], [first], at("09:05")) == Start(second.key)


def test_of_three_anchors_the_newest_that_has_come_is_named():
    three = replace(VERIFY, trigger=anchors("open-60m", "open-5m", "open-30m"))
    a, b, c = rows(three)
    made = decide(a, [three], [b, c], at("09:11"))
    assert isinstance(made, End)
    assert made.reason.endswith("as open-5m")


def test_a_job_waits_for_itself():
    first, second = rows(CHECK)[:2]
    running = replace(first, state=State.RUNNING)
    assert decide(second, [CHECK], [running], at("09:05:30")) == Wait(second.key, "check still runs")
    assert decide(second, [CHECK], [ended(first, State.TIMED_OUT)], at("09:05:30")) == Start(second.key)


@pytest.mark.parametrize("state", [State.PLANNED, State.RUNNING])
def test_what_comes_after_another_waits_for_its_end_and_for_no_more(state):
    (recon,), (report,) = rows(RECON), rows(REPORT)
    held = replace(recon, state=state)
    assert decide(report, [RECON, REPORT], [held], at("16:10")) == Wait(report.key, "waits for recon")
    for how in (State.SUCCEEDED, State.FAILED, State.MISSED, State.SKIPPED):
        assert decide(report, [RECON, REPORT], [ended(recon, how)], at("16:10")) == Start(report.key)
    assert decide(report, [REPORT], [], at("16:10")) == Start(report.key)
    (same,) = rows(replace(REPORT, trigger=RECON.trigger))  # planned for the same instant
    assert decide(same, [RECON, REPORT], [held], at("15:50")) == Wait(same.key, "waits for recon")


def test_what_is_planned_later_is_not_waited_for_but_what_is_earlier_is():
    twice = job("recon", "close+10m", "close+2h")
    early, late = rows(twice)
    (report,) = rows(REPORT)
    both = [early, late]
    assert decide(report, [twice, REPORT], [ended(early, State.SUCCEEDED), late], at("16:10")) == Start(report.key)
    for order in (both, both[::-1]):
        assert decide(report, [twice, REPORT], order, at("16:10")) == Wait(report.key, "waits for recon")


def test_what_needs_another_is_skipped_when_that_failed_or_is_not_there():
    needing = replace(job("mine", "open+5m"), needs=("verify",))
    (row,) = rows(needing)
    first, second = rows(VERIFY)
    good = [ended(first, State.SUCCEEDED), ended(second, State.SUCCEEDED)]
    assert decide(row, [needing, VERIFY], good, at("09:20")) == Start(row.key)
    failed = [good[0], ended(second, State.FAILED)]
    assert decide(row, [needing, VERIFY], failed, at("09:20")) == End(
        row.key, State.SKIPPED, "dependency (verify failed)"
    )
    waits = [good[0], second]
    assert decide(row, [needing, VERIFY], waits, at("09:20")) == Wait(row.key, "waits for verify")
    gone = decide(row, [needing], [], at("09:20"))
    assert gone == End(row.key, State.SKIPPED, "dependency (verify has no row in this session)")


def test_a_job_that_must_not_be_late_is_skipped_a_minute_after_its_time():
    strict = replace(job("gate", "open-30m"), if_late=IfLate.SKIP)
    (row,) = rows(strict)
    assert decide(row, [strict], [], at("08:46")) == Start(row.key)
    made = decide(row, [strict], [], at("08:46:01"))
    assert made == End(row.key, State.SKIPPED, "late: it was due at 08:45, and `if_late: skip`")


def test_other_sessions_are_other_siblings():
    (today,), (yesterday,) = rows(REPORT, session(TUESDAY)), rows(RECON)
    assert decide(today, [RECON, REPORT], [yesterday], at("16:10", TUESDAY)) == Start(today.key)
