"""Whole days on real sockets, each with one thing going wrong, through the real engine, client, feed, ledger and Apprise.

The first half holds of every day whatever happens in it; the second half is about each day by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from runbook import agenda
from runbook.adapters.openalgo.transport import ENDPOINTS
from runbook.adapters.recorder import RecordedTicks
from runbook.job import Verdict
from runbook.market import Instrument, Source
from runbook.outbox import State as Told
from runbook.rehearsal import stage
from runbook.run import State
from tests.scenarios.days import CHANNEL_PASSWORD, CHANNEL_PATH, DAYS, LOCKED_FOR
from tests.scenarios.played import Played

BAD_DAYS = [
    "clean", "deaf_bot", "late_login", "blind", "frozen", "down_at_start", "wrong_key", "revoked", "garbage", "neighbours",
    "snapshot_only", "flapping", "locked", "holiday",
]  # fmt: skip
every_day = pytest.mark.parametrize("day", BAD_DAYS, indirect=True)


def on(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("day", [name], indirect=True)


def of(day: Played, job: str) -> list:
    return [entry for entry in day.facts.entries if entry.key.job == job]


def opens() -> datetime:
    return stage.session().open


def recorded(day: Played) -> RecordedTicks:
    ticks = RecordedTicks.open(day.folder / "ticks", stage.DAY)
    assert ticks is not None
    return ticks


# -- what holds of every day --------------------------------------------------------------------------------------------


@every_day
def test_the_day_meets_the_expectations_of_its_scenario(day: Played):
    assert day.code == 0, "\n".join(line for line in day.shown if "FAILED" in line) or day.said[-3000:]


@every_day
def test_each_planned_occurrence_has_one_final_row_with_a_reason(day: Played):
    wanted = DAYS[day.name]
    session = [] if wanted.holiday else [stage.session(minutes=wanted.minutes)]
    jobs = [job for job in day.config.jobs if job.name != "calendar_check"]  # no list of holidays has an invented day
    planned = {o.key for o, _ in agenda.agenda(jobs, session)}
    assert Counter(entry.key for entry in day.facts.entries) == Counter(planned)
    assert not [str(e.key) for e in day.facts.entries if not e.state.final]
    assert not [str(e.key) for e in day.facts.entries if not e.reason.strip() or e.reason == "running"]


@every_day
def test_no_attempt_is_left_open_and_none_overlaps_another_of_its_job(day: Played):
    for job in {e.key.job for e in day.facts.entries}:
        tries = sorted((t for e in of(day, job) for t in e.tries), key=lambda t: t.started)
        assert all(t.ended is not None and t.outcome is not None for t in tries), job
        overlapping = [(a.started, b.started) for a, b in pairwise(tries) if a.ended and b.started < a.ended]
        assert not overlapping, f"{job} ran twice at once"


@every_day
def test_no_message_is_unfinished_unless_its_target_was_dead(day: Played):
    waiting = {row.channel for row in day.facts.messages if not row.final}
    assert waiting <= DAYS[day.name].dead
    assert all(row.reason or row.state is Told.SENT for row in day.facts.messages if row.final)


@every_day
def test_the_phone_rang_once_for_each_message_that_the_ledger_calls_sent(day: Played):
    sent = Counter(row.message.title for row in day.facts.messages if row.channel == "phone" and row.state is Told.SENT)
    assert Counter(day.titles) == sent


@every_day
def test_openalgo_was_only_ever_asked_and_orders_came_from_the_bot_alone(day: Played):
    reads = {(e.method, e.path) for e in ENDPOINTS.values()} | {("WS", "authenticate"), ("WS", "subscribe")}
    asked = Counter((method, path) for _, method, path in day.calls)
    trades = len(DAYS[day.name].scenario.orders)
    bots = {("POST", "/api/v1/placeorder"): trades, ("POST", "/api/v1/orderstatus"): trades}
    strange = {call: n for call, n in asked.items() if call not in reads and n != bots.get(call, 0)}
    assert not strange


@every_day
def test_neither_the_key_nor_a_channels_secret_stands_in_any_file_at_debug(day: Played):
    secrets = (day.seen["key"], CHANNEL_PASSWORD, CHANNEL_PATH)
    files = day.files()
    assert day.name == "holiday" or any(
        " DEBUG " in p.read_text(errors="replace") for p in files if p.name == "runbook.log"
    )
    assert {"runbook.db", "runbook.log"} <= {p.name for p in files}
    assert not [(p.name, s[:12]) for p in files for s in secrets if s.encode() in p.read_bytes()]


@every_day
def test_it_stops_within_five_seconds(day: Played):
    assert 0 < day.seen["stopping"] <= 5


# -- mornings -----------------------------------------------------------------------------------------------------------


@on("clean")
def test_a_clean_day_sends_exactly_two_messages(day: Played):
    assert len(day.titles) == 2
    assert day.titles[0].startswith("READY for Mon 23 Nov")
    assert day.titles[1].startswith("Mon 23 Nov")
    assert day.modes == ["ARMED", "LIVE", "OFF"]


@on("holiday")
def test_on_a_holiday_nothing_is_planned_nothing_asked_and_nothing_sent(day: Played):
    assert not day.facts.entries
    assert not day.titles
    assert not day.calls
    assert not day.facts.messages


@on("late_login")
def test_a_late_login_is_looked_for_each_minute_and_told_step_by_step(day: Played):
    wanted = ["[WARN] half an hour", "[CRIT] broker not verified", "[OK] broker verified", "READY", "Mon 23 Nov"]
    assert [title.startswith(start) for title, start in zip(day.titles, wanted, strict=True)] == [True] * 5
    tries = [t.started for e in of(day, "verify_broker") for t in e.tries]
    gaps = [b - a for a, b in pairwise(sorted(tries))]
    assert len(tries) > 50
    assert max(gaps) < timedelta(minutes=2), "the login must be seen within a minute or so"


@on("down_at_start")
def test_an_openalgo_that_comes_up_late_is_ready_without_an_alarm(day: Played):
    first, *_, last = [t for e in of(day, "verify_broker") for t in e.tries]
    assert first.verdict is Verdict.BAD
    assert "connection refused" in first.reason
    assert last.verdict is Verdict.OK
    told = [title for title in day.titles if "[CRIT]" in title or "[WARN]" in title]
    assert told == ["[WARN] half an hour to the open, broker not verified"], "a reminder, and no alarm"
    assert day.modes == ["ARMED", "LIVE", "OFF"]
    assert "NIFTY24NOV26FUT" in of(day, "start_feed")[-1].last.reason, "the future is looked up once search answers"


@on("wrong_key")
def test_a_wrong_key_is_not_knocked_with(day: Played):
    """OpenAlgo bans an address after 100 wrong keys a day: 96 tries a day are the most there may be."""
    keyed = [at for at, method, path in day.calls if method == "POST"]
    assert keyed, "the key was tried at all"
    tries = [
        at for at, gap in zip(keyed[1:], (b - a for a, b in pairwise(keyed)), strict=True) if gap > timedelta(seconds=5)
    ]
    assert all(b - a >= timedelta(minutes=14) for a, b in pairwise([keyed[0], *tries])), tries
    assert len(keyed) <= 3 * (len(tries) + 1), "one call, and the search that tells why"
    streams = [at for at, method, path in day.calls if (method, path) == ("WS", "authenticate")]
    for i, at in enumerate(streams):
        assert sum(at <= other < at + timedelta(minutes=10) for other in streams[i:]) <= 6


@on("wrong_key")
def test_a_wrong_key_is_named_with_its_cure(day: Played):
    body = next(body for title, body in day.seen["received"] if "broker not verified" in title)
    assert "key" in body
    verdicts = {e.verdict for e in of(day, "verify_broker")}
    assert verdicts == {Verdict.BAD}


@on("wrong_key")
def test_a_feed_that_is_blind_for_want_of_a_key_is_stored_as_what_follows_from_it(day: Played):
    (blind,) = [alert for alert in day.facts.alerts if alert.rule == "feed.blind"]
    assert blind.muted.startswith("inhibited: it follows from broker not verified")
    assert not [title for title in day.titles if "BLIND" in title]


# -- the feed -----------------------------------------------------------------------------------------------------------


@on("blind")
def test_html_where_json_is_due_makes_the_feed_blind_and_it_comes_back(day: Played):
    assert day.modes == ["ARMED", "LIVE", "SUSPECT", "FALLBACK", "BLIND", "FALLBACK", "PROBATION", "LIVE", "OFF"]
    why = next(change.reason for change in day.facts.changes if change.now == "BLIND")
    assert "502" in why or "HTML" in why


@on("blind")
def test_while_blind_no_price_is_shown_and_none_recorded(day: Played):
    shown = [line for line in day.shown if "[BLIND]" in line]
    assert shown
    assert all("no price" in line for line in shown)
    begun, ended = (
        next(c.at for c in day.facts.changes if c.was == was and c.now == now)
        for was, now in (("FALLBACK", "BLIND"), ("BLIND", "FALLBACK"))
    )
    middle = begun + (ended - begun) / 2
    with recorded(day) as ticks:
        assert ticks.around(Instrument("NIFTY", "NSE_INDEX"), middle, (ended - begun) / 4) is None


@on("frozen")
def test_rest_prices_that_stand_still_are_not_believed(day: Played):
    assert day.modes == ["ARMED", "LIVE", "SUSPECT", "FALLBACK", "BLIND", "FALLBACK", "PROBATION", "LIVE", "OFF"]
    assert "stand still" in next(change.reason for change in day.facts.changes if change.now == "BLIND")


@on("snapshot_only")
def test_one_snapshot_per_subscription_is_never_a_recovery(day: Played):
    assert day.modes == ["ARMED", "LIVE", "SUSPECT", "FALLBACK", "OFF"]
    subscribed = [at for at, method, path in day.calls if (method, path) == ("WS", "subscribe")]
    fallback = next(change.at for change in day.facts.changes if change.now == "FALLBACK")
    assert [at for at in subscribed if at > fallback], "snapshots were provoked, and yet nothing was believed"
    assert not [title for title in day.titles if "[OK]" in title]


@on("revoked")
def test_a_broker_session_that_ends_in_mid_session_is_told_and_a_login_heals_it(day: Played):
    assert day.modes[:4] == ["ARMED", "LIVE", "SUSPECT", "BLIND"]
    assert day.modes[-3:] == ["PROBATION", "LIVE", "OFF"]
    blind = next(body for title, body in day.seen["received"] if "BLIND" in title)
    assert "log in" in " ".join(blind.split())
    login = opens() + timedelta(seconds=80)
    live = next(c.at for c in day.facts.changes if c.now == "LIVE" and c.at > login)
    assert live - login < timedelta(seconds=75), "30 s of them are the probation"


@on("garbage")
def test_garbage_frames_are_counted_and_no_price_comes_of_them(day: Played):
    assert day.facts.samples[-1].data["counts"]["garbage"] > 20
    with recorded(day) as ticks:
        for name, (low, high) in day.seen["ranges"].items():
            exchange, _, symbol = name.partition(":")
            kept = ticks.day(Instrument(symbol, exchange))
            assert kept is not None, name
            assert low * 0.99 <= kept.low <= kept.high <= high * 1.01, name
        assert {str(i) for i in ticks.instruments()} == set(day.seen["ranges"]), (
            "the stranger in the frames is not kept"
        )
        assert ticks.by_source()[Source.WEBSOCKET] > 20


@on("garbage")
def test_the_feed_goes_on_when_the_frames_are_sound_again(day: Played):
    assert day.modes[-2:] == ["LIVE", "OFF"]


@on("flapping")
def test_twelve_minutes_of_flapping_are_three_messages_at_most(day: Played):
    moves = sum(now == "FALLBACK" for now in day.modes)
    assert moves >= 5, f"it did flap: {day.modes}"
    assert 1 <= len([title for title in day.titles if "feed" in title]) <= 3


# -- neighbours ---------------------------------------------------------------------------------------------------------


@on("neighbours")
def test_a_job_that_raises_is_a_row_with_its_error_and_one_alert(day: Played):
    (entry,) = of(day, "raises")
    assert (entry.state, entry.last.error_class) == (State.FAILED, "RuntimeError")
    assert "broken on purpose" in entry.reason
    assert len([title for title in day.titles if "raises failed" in title]) == 1


@on("neighbours")
def test_a_job_that_never_returns_is_given_up_at_its_timeout(day: Played):
    (entry,) = of(day, "hangs")
    assert entry.state is State.TIMED_OUT
    assert entry.verdict is Verdict.UNKNOWN
    took = (entry.last.ended - entry.last.started).total_seconds()
    assert 60 <= took <= 120, "2 s of the host are 60 s of a day at x30"
    assert len([title for title in day.titles if "hangs ran out of time" in title]) == 1


@on("neighbours")
def test_no_other_job_is_late_because_of_it_nor_because_of_a_deaf_channel(day: Played):
    others = [e for e in day.facts.entries if e.key.job != "hangs"]
    assert not [str(e.key) for e in others if e.state is State.MISSED]
    late = {
        str(e.key): e.tries[0].started - e.occurrence.planned for e in others if e.key.job in ("check_feed", "raises")
    }
    assert max(late.values()) < timedelta(seconds=30), "one second of the host"


@on("neighbours")
def test_a_channel_that_hangs_costs_the_other_nothing(day: Played):
    phone, deaf = ([row for row in day.facts.messages if row.channel == name] for name in ("phone", "deaf"))
    assert {row.state for row in phone} == {Told.SENT}
    assert all(row.changed_at for row in phone)
    told_of_it = [row for row in phone if "channel deaf delivers nothing" in row.message.title]
    assert len(told_of_it) == 1, "that the one is dead is told over the other"
    assert len(phone) - 1 == len(deaf) >= 4
    assert not [row for row in deaf if row.state is Told.SENT]
    waited = [row.changed_at - row.created_at for row in phone if row.changed_at]
    assert max(waited) < timedelta(seconds=150), "5 s of the host"


@on("neighbours")
def test_a_job_with_two_anchors_has_a_word_at_each(day: Played):
    """They share a job and a day; a message known by these two alone would be told once."""
    assert [title for title in day.titles if "word of" in title] == ["word of open+25s", "word of open+50s"]


@on("neighbours")
def test_an_unknown_symbol_is_named_and_the_others_are_watched(day: Played):
    assert day.modes == ["ARMED", "LIVE", "OFF"]
    assert re.search(r"refused a subscription: .*NOSUCH", (day.folder / "runbook.log").read_text(encoding="utf-8"))


# -- the database -------------------------------------------------------------------------------------------------------


@on("locked")
def test_a_database_held_by_another_for_ten_seconds_loses_nothing_and_doubles_nothing(day: Played):
    assert day.modes == ["ARMED", "LIVE", "SUSPECT", "FALLBACK", "PROBATION", "LIVE", "OFF"]
    assert [c.at for c in day.facts.changes] == sorted(c.at for c in day.facts.changes)
    assert len([title for title in day.titles if "feed on REST" in title]) == 1
    minutes = [sample.at for sample in day.facts.samples]
    assert len(minutes) == len(set(minutes)) >= DAYS["locked"].minutes
    written = [t.ended for e in of(day, "check_feed") for t in e.tries]
    assert written, "checks ran before and after"


@on("locked")
def test_what_was_due_while_the_database_was_held_says_why_it_did_not_run(day: Played):
    held = (opens() + timedelta(seconds=20), opens() + timedelta(seconds=20 + LOCKED_FOR * DAYS["locked"].speed))
    missed = [e for e in day.facts.entries if e.state is State.MISSED]
    assert missed, "the lock was felt"
    assert all(held[0] <= e.occurrence.latest_start and e.occurrence.planned <= held[1] for e in missed)
    assert all("not started by its latest start" in e.reason for e in missed)
    with recorded(day) as ticks:
        assert ticks.around(Instrument("NIFTY", "NSE_INDEX"), held[0] + timedelta(seconds=60), timedelta(seconds=30))


# -- the bot ------------------------------------------------------------------------------------------------------------


@on("deaf_bot")
def test_a_deaf_bot_is_told_after_ninety_seconds_and_so_is_its_return(day: Played):
    bot = [alert for alert in day.facts.alerts if alert.rule == "bot.deaf"]
    assert [alert.state.value for alert in bot] == ["resolved"]
    (alert,) = bot
    # its file last grew 25 s after the open; it is looked at each ten seconds
    assert timedelta(seconds=113) <= alert.opened_at - opens() <= timedelta(seconds=140)
    assert "your bot does not read: gateway delivers " in alert.what
    assert "its tick file has not grown for 1m3" in alert.what or "for 1m4" in alert.what
    assert alert.resolved_at is not None
    assert alert.resolved_at - opens() < timedelta(seconds=215)
    told = [title for title in day.titles if "bot" in title]
    assert [title.split(" since")[0].split(" at ")[0] for title in told] == [
        "[WARN] your bot does not read", "[OK] your bot reads again",
    ]  # fmt: skip


@on("deaf_bot")
def test_the_feed_is_not_blamed_for_a_deaf_bot(day: Played):
    assert not [alert for alert in day.facts.alerts if alert.rule.startswith("feed")]
