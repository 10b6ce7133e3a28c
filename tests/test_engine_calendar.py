"""The calendar under the engine: days that move, days that nobody knows, and a whole day to its end."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import date, datetime, timedelta

from runbook import people
from runbook.adapters.store import Store
from runbook.alert import FeedWord
from runbook.almanac import Why
from runbook.engine import FeedNews, FeedTotals
from runbook.errors import CalendarError
from runbook.job import IfLate
from runbook.ports import Delivery
from runbook.run import State
from runbook.trigger import Anchor
from tests.engine_world import BAD, OK, change, fail, job, make, moved, often, verify
from tests.fakes import (
    MONDAY,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    calendar,
    session,
    until,
)

__all__ = ["make"]  # the fixture


def test_rows_are_planned_for_the_running_session_and_the_two_to_come(make):
    w = make(job("mine", "open"), now="10:00").start()
    with w.store.read() as books:
        assert books.ledger.sessions(9) == [WEDNESDAY, TUESDAY, MONDAY]
    w.go("00:06", day=TUESDAY)
    w.go("00:04", day=WEDNESDAY)
    with w.store.read() as books:
        assert books.ledger.sessions(1) == [WEDNESDAY]
    w.go("00:06", day=WEDNESDAY)
    with w.store.read() as books:
        assert books.ledger.sessions(1) == [date(2026, 11, 26)]


def test_a_calendar_that_changes_moves_what_is_planned_and_cancels_a_closed_day(make, caplog):
    w = make(verify(), job("report", "close+30m")).start()
    w.go("08:15")
    with caplog.at_level(logging.INFO, "runbook.engine"):
        evening = session(opens="18:00", closes="19:00")
        w.calendar = calendar(evening, session(WEDNESDAY), closed={TUESDAY: "Guru Nanak Jayanti"})
        w.settle()
    with w.store.read() as books:
        (told,) = [row for row in books.alerts.messages(MONDAY) if row.key.startswith("plan@")]
    assert told.message.title == "[INFO] the plan has changed"
    for line in (
        "report of 2026-11-23: Mon 23 Nov 16:10 -> Mon 23 Nov 19:30",
        "verify_broker of 2026-11-24 cancelled (closed: Guru Nanak Jayanti), 2 times",
    ):
        assert line in caplog.text
        assert line.split()[0] in told.message.body
    assert w.entry("verify_broker", "open-60m").occurrence.planned == at("08:15")  # it has run
    assert w.entry("verify_broker", "open-10m").occurrence.due == at("17:50")
    assert set(w.states(TUESDAY).values()) == {State.CANCELLED}
    assert "the calendar or the jobs changed" in w.entry("report", "close+30m", TUESDAY).reason
    w.calendar = calendar()
    w.settle()
    assert set(w.states(TUESDAY).values()) == {State.PLANNED}  # a wrong "closed" is as bad as a wrong "open"


def test_a_job_that_was_taken_out_is_cancelled_and_one_put_in_is_planned(make):
    w = make(job("old", "open")).start()
    w.stop()
    v = w.again("08:30", jobs=(job("new", "open"),)).start()
    assert v.states() == {"old open": State.CANCELLED, "new open": State.PLANNED}


def test_every_row_of_a_finished_session_is_final_and_says_why(make):
    day = (
        verify(), job("start_feed", "open-15m", latest="close-15m", resident=True), often("check"),
        job("strict", "open+1h", if_late=IfLate.SKIP), job("needy", "open", needs=("failing",)),
        job("failing", "open-5m"), job("recon", "close+10m"), job("report", "close+30m", after=("recon",)),
        job("dozing", "open+2h", latest="open+2h"),
    )  # fmt: skip
    w = make(*day)
    w.steps.does |= {"failing": fail, "verify_broker": lambda _: BAD}
    w.start()
    clock = at("08:00")
    while clock < at("15:20"):
        clock += timedelta(minutes=19, seconds=30)
        w.clock.jump_to(clock)
        w.settle()
    w.go("15:26", "15:41", "15:50", "16:10")
    states = w.states()
    assert {s.final for s in states.values()} == {True}, {k: s for k, s in states.items() if not s.final}
    with w.store.read() as books:
        assert all(e.reason for e in books.ledger.session(MONDAY))
        assert books.ledger.open_before(TUESDAY) == []
    assert states["needy open"] is State.SKIPPED
    assert states["dozing open+2h"] is State.MISSED
    assert states["report close+30m"] is State.SUCCEEDED
    assert w.entry("verify_broker", "open-10m").reason == "no login; not tried after 15:25"
    assert any("dozing missed its time" in t for t in w.told())


def test_the_feed_s_news_is_a_row_and_an_alarm_that_opens_after_its_hold(make):
    w = make(job("mine", "open")).start()
    w.engine.post(FeedNews(MONDAY, change("live", "fallback"), moved(FeedWord.LIVE, FeedWord.FALLBACK)))
    w.settle()
    assert w.told() == []
    assert w.alarm.armed[-1] == at("08:00:15")  # woken when the hold runs out, not by the next pulse
    w.go("08:00:20")
    assert ["feed on REST" in title for title in w.told()] == [True]
    w.engine.post(FeedNews(MONDAY, change("probation", "live"), moved(FeedWord.PROBATION, FeedWord.LIVE, "08:05")))
    w.engine.post(FeedTotals(MONDAY, at("08:05"), {"ticks": 1}))
    w.settle()
    assert len(w.told()) == 2
    with w.store.read() as books:
        assert [c.now for c in books.feed.changes(MONDAY)] == ["fallback", "live"]
        assert len(books.feed.samples(MONDAY)) == 1


def test_what_nobody_has_seen_is_said_again_in_time_and_an_acknowledgement_of_another_process_ends_it(make):
    w = make(job("mine", "open"), now="10:00").start()
    w.engine.post(FeedNews(MONDAY, change("live", "blind", "10:00"), moved(FeedWord.LIVE, FeedWord.BLIND, "10:00")))
    w.settle()
    assert w.alarm.armed[-1] == at("10:02"), "woken for the reminder, not by the next pulse"
    w.go("10:02")
    assert [title.split(" since")[0] for title in w.told()] == [
        "[CRIT] feed BLIND, no price from anywhere", "[CRIT] feed BLIND, no price from anywhere, for 2m00s now,",
    ]  # fmt: skip
    other = Store(w.store.path)
    with other.write() as books:
        people.ack(books, 1, "on it", "cli:me", w.clock.now())
    other.close()
    w.go("10:04", "10:06")
    assert len(w.told()) == 2


def test_a_channel_that_delivers_nothing_is_told_over_the_other_by_the_engines_own_turn(make):
    w = make(job("mine", "open"), now="09:10", channels=("phone", "mail"))
    w.notifier.answers["phone"] = [(Delivery.MISCONFIGURED, "Unauthorized, error=401")]
    w.steps.does["mine"] = fail
    w.start()
    w.go("09:15")
    until(lambda: "401" in str([r.reason for r in w.rows()]), "it is not tried")
    w.settle()
    (row,) = [row for row in w.rows() if "channel phone" in row.message.title]
    assert (row.channel, "error=401" in row.message.body) == ("mail", True)
    assert {row.epoch for row in w.rows() if row.attempts} == {1}


def test_the_last_words_of_the_feed_are_written_although_we_stop(make):
    w = make(job("mine", "open")).start()
    w.on_run = lambda _run: 1 / 0
    w.clock.jump_to(at("09:15"))
    w.engine.wake()
    assert w.engine.finished.wait(5.0)  # it turns no more: what comes now is taken by the stop
    w.engine.post(FeedTotals(MONDAY, at("08:05"), {"ticks": 1}))
    w.engine.stop()
    with w.store.read() as books:
        assert len(books.feed.samples(MONDAY)) == 1


# -- the calendar is resolved anew, and days nobody knows --------------------------------------------------------------------


def test_a_calendar_that_cannot_be_renewed_is_told_once_and_its_return_too(make):
    w = make(job("mine", "open"), now="08:20").start()
    faults: list[Exception | None] = [CalendarError("the child was killed", hint="look at it"), None]
    done: list[Why] = []

    def renew(_now: datetime, why: Why) -> None:
        done.append(why)
        if (fault := faults[len(done) - 1]) is not None:
            raise fault

    asked: list[Why] = []

    def due(_now: datetime) -> Why | None:
        return asked[-1] if len(done) < len(asked) else None

    w.engine._renewal._p = replace(w.engine._p, calendar_due=due, calendar_renew=renew)
    for why in (Why.LIBRARY, Why.FILES):
        asked.append(why)
        w.settle()
        until(lambda: len(done) == len(asked), "the calendar is not renewed")
        w.settle()
    assert done == [Why.LIBRARY, Why.FILES]
    assert [title.split(" #")[0].split(" since")[0] for title in w.told()] == [
        "[WARN] the calendar could not be renewed",
        "[OK] the calendar is fresh again at 08:20",
    ]
    assert "the child was killed" in w.message("[WARN] the calendar").message.body


def test_on_a_day_the_calendar_does_not_know_what_reads_runs_and_what_acts_is_held(make):
    friday = date(2026, 11, 27)
    known = replace(calendar(), known_until=THURSDAY)
    w = make(job("looks", "open"), replace(job("acts", "open"), acts=True), day=friday, calendar=known).start()
    w.go("09:15", day=friday)
    assert w.states(friday) == {"looks open": State.SUCCEEDED, "acts open": State.SKIPPED}
    assert "known until 2026-11-26" in w.entry("acts", "open", friday).reason
    (ctx,) = w.steps.called
    assert ctx.session.name == "assumed"


def test_a_step_that_has_not_ended_by_its_deadline_is_told_once_and_its_end_too(make):
    w = make(
        replace(job("first", "close+10m"), timeout=600.0),
        replace(job("report", "close+30m"), after=("first",), deadline=Anchor.parse("close+60m")),
    )
    release = threading.Event()
    w.steps.does["first"] = lambda _ctx: (release.wait(20), OK)[1]
    w.start()
    for clock in ("15:50", "16:10", "16:40:01", "16:45"):
        w.clock.jump_to(at(clock))
        w.turn()
    assert [title.split(" since")[0] for title in w.told()] == ["[WARN] report missed its time"]
    assert "deadline, Mon 23 Nov 16:40" in w.message("report missed").message.body
    release.set()
    until(lambda: w.states()["report close+30m"] is State.SUCCEEDED, "the report is not written")
    w.settle()
    assert "report works again" in w.told()[-1]
