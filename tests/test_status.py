"""The status says how things stand in one look, and its exit code agrees with what it prints."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from runbook.alert import Alert, AlertState, Severity
from runbook.day import Lease
from runbook.job import Verdict
from runbook.run import State
from runbook.session import Day, DayStatus, Phase, PhaseName, SessionCalendar
from runbook.status import StatusFacts, exit_code, reasons, render_status, status_json
from tests import report_days as days
from tests.report_days import FRIDAY, at

NOW = at("10:03:45")


def lease(now=NOW, mode="LIVE", source="WEBSOCKET", **data) -> Lease:
    symbols = {
        "NIFTY": {"ws": 26049.9, "ws_age": 0.4, "rest": 26050.1, "rest_age": 3.2},
        "NIFTY30DEC25FUT": {"ws": None, "ws_age": None, "rest": 26101.5, "rest_age": 3.2},
    }
    said = {
        "feed": {"running": True, "mode": mode, "source": source, "symbols": symbols},
        "config": "a91c3f2",
        "channels": ["phone", "email"],
    }
    since = now - timedelta(days=3, hours=2)
    return Lease(
        "desk:812", 812, "desk", 7, since, now - timedelta(seconds=4), now + timedelta(seconds=11), said | data
    )


def today(now=NOW):
    """The clean day, cut at `now`."""
    whole = days.clean_day()
    rows = tuple(
        replace(e, state=State.PLANNED, verdict=None, reason="", tries=()) if e.occurrence.planned > now else e
        for e in whole.entries
    )
    return replace(whole, entries=rows)


def green(**changes) -> StatusFacts:
    facts = StatusFacts(NOW, days.calendar(), today(), lease(), (), 0, (), mode="local_paper")
    return replace(facts, **changes)


def on_rest(**changes) -> StatusFacts:
    facts = days.running_day()
    return green(day=facts, alerts=facts.alerts, lease=lease(mode="FALLBACK", source="REST_POLLING"), **changes)


def test_a_green_status_is_ok_and_exits_0():
    said = render_status(green())
    assert exit_code(green()) == 0
    assert (
        said.splitlines()[0]
        == "Fri 26 Dec 2025 10:03 IST   NFO open since 09:15, closes 15:30 (in 5h26m)   mode local_paper"
    )
    assert said.splitlines()[1].startswith("OK  ")
    assert "daemon pid 812 on desk up 3d2h, heartbeat 4s ago, epoch 7, config a91c3f2, channels phone, email" in said


def test_when_the_outside_heard_last_is_shown_and_five_minutes_of_silence_are_attention():
    heard = {"ping": {"heard": (NOW - timedelta(seconds=31)).isoformat(), "fault": None, "since": None}}
    said = " ".join(render_status(green(lease=lease(watch=heard))).split())
    assert "channels phone, email, ping 31s ago" in said
    for minutes, code in ((4, 0), (6, 1)):
        lost = {"fault": "hc.example: no connection", "since": (NOW - timedelta(minutes=minutes)).isoformat()}
        facts = green(lease=lease(watch={"ping": heard["ping"] | lost}))
        assert exit_code(facts) == code
        assert "hc.example: no connection" in " ".join(render_status(facts).split())
    assert exit_code(green(lease=lease(watch={"ping": {"heard": None, "fault": None, "since": "soon"}}))) == 0


def test_a_feed_on_rest_is_attention_with_its_alert_and_since_when():
    assert exit_code(on_rest()) == 1
    second = render_status(on_rest()).splitlines()[1]
    assert second.startswith("ATTENTION  feed on REST (NIFTY) since 10:02 (1m30s) #41")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "no daemon runs (`runbook serve` starts it)"),
        (
            replace(lease(), renewed=at("09:40"), expires=at("09:40:15")),
            "(pid 812 on desk) was last heard of 23m45s ago",
        ),
    ],
)
def test_without_a_live_daemon_it_exits_3_and_is_never_ok(held, said):
    facts = green(lease=held)
    text = render_status(facts)
    assert exit_code(facts) == 3
    assert text.splitlines()[1].startswith("NO DAEMON  ")
    assert said in text
    assert "26049.9 [" not in text  # what a dead daemon saw last is no price


ATTENTION = {
    "the daemon says nothing of the feed": (green(lease=replace(lease(), data={})), "does not say how the feed stands"),
    "the feed is off": (green(lease=lease(feed={"running": False, "mode": "OFF"})), "feed is not being watched"),
    "the feed is silent": (green(lease=lease(mode="SUSPECT")), "feed is silent"),
    "a mode of another version": (green(lease=lease(mode="ODD")), "feed ODD"),
    "messages wait": (green(unsent=2), "2 messages not delivered yet"),
    "nothing is planned": (green(day=days.empty_day()), "nothing is planned in the ledger for today"),
    "the calendar ends": (green(calendar=days.calendar(known_until=date(2025, 12, 30))), "known only until 2025-12-30"),
    "a step failed": (
        green(day=replace(today(), entries=tuple(replace(e, state=State.FAILED) if e.key.job == "start_feed" else e for e in today().entries))),
        "start_feed failed",
    ),
    "the broker is not verified": (
        green(day=replace(today(), entries=tuple(replace(e, verdict=Verdict.BAD, reason="token dead") if e.key.job == "verify_broker" else e for e in today().entries))),
        "verify_broker: token dead",
    ),
    "a step has no verdict": (
        green(day=replace(today(), entries=tuple(replace(e, verdict=None, reason="odd") if e.key.job == "start_feed" else e for e in today().entries))),
        "start_feed: odd",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTION)
def test_what_is_wrong_or_cannot_be_told_is_attention(name):
    facts, said = ATTENTION[name]
    assert exit_code(facts) == 1
    assert said in " ".join(render_status(facts).split())
    assert any(said in reason for reason in reasons(facts))


def test_an_older_broker_check_that_failed_is_silent_once_a_newer_one_passed():
    rows = tuple(
        replace(e, verdict=Verdict.BAD, reason="token dead")
        if (e.key.job, e.key.slot) == ("verify_broker", "open-60m")
        else e
        for e in today().entries
    )
    assert exit_code(green(day=replace(today(), entries=rows))) == 0


def test_an_index_at_rest_while_it_is_watched_is_no_reason():
    assert exit_code(green(lease=lease(mode="OFF", source=None))) == 0


def test_a_critical_alert_is_said_first():
    blind = Alert(
        "feed.blind", (), Severity.CRITICAL, at("10:03"), "", "", "", AlertState.OPEN, "feed.blind", number=42
    )
    step = Alert(
        "job.failed", (("job", "x"),), Severity.WARNING, at("09:00"), "", "", "", AlertState.OPEN, "job.failed"
    )
    first = reasons(green(alerts=(step, blind), unsent=1))
    assert first[0].startswith("CRITICAL feed BLIND, no price from anywhere since 10:03")
    assert first[1].startswith("x failed since 09:00")


def test_an_alert_that_is_only_pending_is_no_reason():
    held = replace(days.running_day().alerts[0], state=AlertState.PENDING)
    assert exit_code(green(alerts=(held,))) == 0


def test_prices_are_those_of_the_source_that_is_trusted():
    assert "prices NIFTY 26049.9, NIFTY30DEC25FUT no price [WEBSOCKET]" in render_status(green())
    assert "prices NIFTY 26050.1 (3s ago), NIFTY30DEC25FUT 26101.5 (3s ago) [REST_POLLING]" in render_status(on_rest())


def test_a_repeat_is_one_row_and_what_comes_says_when():
    lines = render_status(on_rest()).splitlines()
    (check,) = [line for line in lines if line.lstrip().startswith("check_feed ")]
    assert "10:03:30" in check
    assert "116 of 118 ran, 2 missed 10:02-10:03" in check
    (later,) = [line for line in lines if line.lstrip().startswith("reconcile_paper")]
    assert "in 5h36m" in later


HOLIDAY = at("11:00", date(2025, 12, 25))


def test_a_holiday_is_green_and_named():
    facts = green(now=HOLIDAY, day=days.empty_day(date(2025, 12, 24)), lease=lease(HOLIDAY, "OFF", None))
    said = render_status(facts)
    assert exit_code(facts) == 0
    assert "NFO closed today: Christmas" in said
    assert "next: Fri 26 Dec 09:15 (in 22h15m), log in by 08:15" in said


def test_a_day_the_calendar_does_not_know_is_attention():
    rows = days.calendar().days | {FRIDAY: Day(FRIDAY, DayStatus.UNKNOWN, "sources disagree")}
    facts = green(calendar=SessionCalendar("NFO", days.calendar().zone, days.calendar().known_until, rows), day=None)
    assert exit_code(facts) == 1
    assert "unknown today: sources disagree" in render_status(facts)


@pytest.mark.parametrize(
    ("clock", "words"),
    [("08:30", "opens 09:15 (in 45m00s)"), ("09:15", "open since 09:15"), ("15:29:59", "closes 15:30 (in 1s)"), ("15:30", "closed since 15:30")],
)  # fmt: skip
def test_the_headline_knows_the_hour(clock, words):
    assert words in render_status(green(now=at(clock))).splitlines()[0]


def test_while_derivatives_trade_alone_the_headline_says_that_the_index_has_stopped():
    facts = green(now=at("15:20"))
    assert facts.session is not None
    tail = Phase(PhaseName.TAIL, at("15:15"), at("15:30"))
    day = replace(facts.calendar.day(FRIDAY), session=replace(facts.session, phases=(tail,)))
    held = SessionCalendar("NFO", facts.calendar.zone, facts.calendar.known_until, {FRIDAY: day})
    said = " ".join(render_status(replace(facts, calendar=held)).split())
    assert "closes 15:30 (in 10m00s); of index and shares no tick is promised any more" in said


def test_past_midnight_the_session_of_the_evening_before_is_still_on():
    facts = green()
    assert facts.session is not None
    evening = replace(facts.session, intervals=((at("18:00"), at("18:00") + timedelta(hours=6, minutes=15)),))
    held = SessionCalendar(
        "MCX", facts.calendar.zone, facts.calendar.known_until,
        {FRIDAY: Day(FRIDAY, DayStatus.OPEN, "Muhurat trading", session=evening)},
    )  # fmt: skip
    midnight = at("18:00") + timedelta(hours=6)
    told = [
        " ".join(render_status(replace(facts, calendar=held, now=midnight + timedelta(minutes=n))).split())
        for n in (5, 15)
    ]
    assert "MCX open since" in told[0]
    assert "open since" not in told[1]


def test_before_the_open_the_next_session_is_todays():
    assert "next: Fri 26 Dec 09:15 (in 45m00s), log in by 08:15" in render_status(green(now=at("08:30")))
    assert "next: Mon 29 Dec" in render_status(green())


def test_colour_only_when_asked_and_the_words_are_the_same():
    plain, painted = render_status(on_rest()), render_status(on_rest(), colour=True)
    assert "\x1b" not in plain
    assert painted.replace("\x1b[33m", "").replace("\x1b[0m", "") == plain
    assert painted != plain


def test_no_line_is_wider_than_a_terminal():
    rows = tuple(replace(e, reason="why " * 99) for e in today().entries)
    facts = on_rest(notes=("n" * 300,))
    for held in (facts, replace(facts, day=replace(today(), entries=rows), mode="m" * 150)):
        assert max(map(len, render_status(held).splitlines())) <= 100


def test_a_lease_of_another_version_is_survived():
    for odd in ({}, {"feed": 3, "channels": 4, "config": None}, {"feed": {"symbols": {"NIFTY": "x"}, "mode": None}}):
        facts = green(lease=replace(lease(), data=odd))
        assert exit_code(facts) == 1
        assert render_status(facts)
    assert "channels no data" in render_status(green(lease=replace(lease(), data={})))


def test_the_json_agrees_with_the_exit_code_and_carries_offsets():
    values = json.loads(json.dumps(status_json(on_rest())))
    assert (values["exit"], values["state"]) == (1, "attention")
    assert values["now"] == "2025-12-26T10:03:45+05:30"
    assert values["daemon"]["pid"] == 812
    assert values["alerts"][0]["number"] == 41
    assert values["alerts"][0]["rule"] == "feed.fallback"
    assert values["calendar"] == {"known_until": "2026-01-04", "days": 9}
    gone = status_json(green(lease=None))
    assert (gone["exit"], gone["state"], gone["daemon"]) == (3, "no daemon", None)
