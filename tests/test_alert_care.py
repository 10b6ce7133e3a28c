"""What happens to an alert after it was told: reminders, acknowledgement, the next channel, silences, causes above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from runbook import people
from runbook.alert import (
    RULES,
    Alert,
    AlertPolicy,
    AlertState,
    BotMoved,
    CalendarDoubt,
    ChannelMoved,
    FeedMoved,
    FeedWord,
    Notice,
    Pattern,
    Severity,
    SymbolStale,
    UplinkMoved,
)
from runbook.alert.inhibition import PARENTS, ancestors, inhibitor
from runbook.errors import UsageError
from runbook.fault import Unfit
from runbook.outbox import Kind, State, claim, next_step
from runbook.ports import Delivery
from runbook.session import INDIA
from runbook.teller import Voice
from tests.alert_desk import AlertDesk
from tests.fakes import MONDAY, TUESDAY, WEDNESDAY, at, calendar, session

ME = "cli:me"
Make = Callable[..., AlertDesk]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[AlertDesk] = []

    def desk(*args, **more) -> AlertDesk:
        made.append(AlertDesk(tmp_path, *args, **more))
        return made[-1]

    yield desk
    for one in made:
        one.store.close()


def say(desk: AlertDesk, function: Callable[..., str], *args, **more) -> str:
    with desk.store.write() as books:
        return function(books, *args, ME, desk.now, **more)


def sent(desk: AlertDesk, channel: str, delivery: Delivery = Delivery.SENT) -> None:
    """What waits on `channel` is tried now."""
    with desk.store.write() as books:
        for row in books.alerts.waiting(channel):
            if row.state is State.QUEUED and row.due_at <= desk.now:
                books.alerts.store(next_step(claim(row, desk.now), delivery, desk.now, "no answer"))


# -- reminders and acknowledgement --------------------------------------------------------------------------------------


def test_a_blind_feed_is_said_again_every_two_minutes_until_somebody_has_seen_it(make: Make):
    desk = make()
    desk.feed("blind")
    desk.pass_to("10:05")
    assert [line[:17] for line in desk.told()] == ["10:00:00 opened [", "10:02:00 reminder", "10:04:00 reminder"]
    assert say(desk, people.ack, 1, "on  it") == (
        "#1 feed BLIND, no price from anywhere: acknowledged after 5m00s; it stays open until it is over"
    )
    desk.pass_to("10:30")
    assert len(desk.told()) == 3
    alert = desk.alert("feed.blind")
    assert (alert.acked, alert.acked_by, alert.note, alert.state) == (True, ME, "on it", AlertState.OPEN)


def test_a_feed_on_rest_is_said_again_three_times_with_the_steps_one_to_a_line(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.pass_to("11:00")
    assert [line[:17] for line in desk.told()] == [
        "10:00:15 opened [", "10:05:15 reminder", "10:10:15 reminder", "10:15:15 reminder",
    ]  # fmt: skip
    row = next(r for r in desk.rows if r.kind is Kind.REMINDER)
    assert row.message.title == "[WARN] feed on REST, for 5m15s now, since 10:00 (NIFTY) #1"
    assert row.message.body.splitlines()[0] == "reminder 1 of 3"
    assert "ack 1" in row.message.body.splitlines()


def test_numbered_steps_stand_one_below_the_other_in_a_reminder(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.wait(seconds=20)
    hint = "1. log in to the broker; 2. see that streaming is on; 3. restart the unit"  # as the feed's own advice reads
    desk.cause(FeedMoved(FeedWord.FALLBACK, FeedWord.FALLBACK, desk.now, "mute", hint=hint, feed="NIFTY"))
    desk.pass_to("10:06")
    lines = next(r for r in desk.rows if r.kind is Kind.REMINDER).message.body.splitlines()
    at_ = lines.index("do:")
    assert lines[at_ + 1 : at_ + 4] == ["1. log in to the broker", "2. see that streaming is on", "3. restart the unit"]


def test_nobody_is_reminded_while_the_ticks_are_on_probation(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.pass_to("10:04")
    desk.feed("probation")
    desk.pass_to("10:09")
    assert len(desk.told()) == 1
    desk.feed("fallback")
    desk.turn()
    assert [line[9:17] for line in desk.told()] == ["opened [", "reminder"], "it is back on REST, and five minutes old"


def test_a_flap_is_not_reminded_of(make: Make):
    desk = make()
    for clock in ("10:00", "10:01", "10:02", "10:03"):
        desk.pass_to(clock)
        desk.feed("fallback" if desk.word == "live" else "live")
    desk.feed("fallback")
    assert desk.alert("feed.fallback").flapping
    told = len(desk.told())
    desk.pass_to("10:40")
    assert len(desk.told()) == told


def test_a_broker_that_is_lost_in_mid_session_is_not_said_again_all_night(make: Make):
    desk = make(at("15:20"))
    desk.broker()
    desk.pass_to("15:39")
    told = len(desk.told())
    assert told == 10  # the alarm, and each second minute until the close at 15:40
    desk.pass_to("23:00")
    assert len(desk.told()) == told


def test_nothing_is_said_again_at_night_and_what_is_still_there_in_the_morning_is(make: Make):
    desk = make(at("15:20"))
    desk.feed("blind", unreachable=True)
    desk.pass_to("16:44")
    told = len(desk.told())
    assert told == 1 + 42  # the alarm, and each second minute from 15:22 to 16:44
    desk.pass_to("08:14", TUESDAY)
    assert len(desk.told()) == told
    desk.pass_to("08:20", TUESDAY)
    assert len(desk.told()) > told


def test_a_broker_that_is_not_verified_is_said_again_until_the_open_and_not_after_it(make: Make):
    desk = make(at("09:10"))
    desk.broker()
    desk.pass_to("09:40")
    assert [line[:17] for line in desk.told()] == ["09:10:00 opened [", "09:12:00 reminder", "09:14:00 reminder"]


def test_an_alert_that_was_seen_and_gets_worse_must_be_seen_again(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.wait(seconds=20)
    say(desk, people.ack, 1, "")
    desk.feed("blind")
    assert not desk.alert("feed.blind").acked
    desk.pass_to("10:04")
    assert [line[9:17] for line in desk.told()] == ["opened [", "opened [", "reminder"]


def test_an_alert_that_was_seen_yesterday_and_is_still_there_is_told_once_before_the_next_open(make: Make):
    desk = make()
    desk.job("recon", severity=Severity.WARNING)
    say(desk, people.ack, 1, "")
    desk.pass_to("08:00", TUESDAY)
    assert len(desk.told()) == 1
    desk.pass_to("12:00", TUESDAY)
    assert desk.told()[1:] == ["08:15:00 reminder [WARN] recon failed, for 22h15m now,"]
    alert = desk.alert("job.failed")
    assert (alert.acked, alert.acked_by) == (False, ME), "who had seen it stays in the ledger"


def test_an_acknowledgement_names_what_is_wrong_with_it(make: Make):
    desk = make()
    with pytest.raises(UsageError, match="there is no alert #7") as caught:
        say(desk, people.ack, 7, "")
    assert caught.value.hint == "open now: none"
    desk.feed("fallback")
    with pytest.raises(UsageError, match="there is no alert #1"):
        say(desk, people.ack, 1, "")  # held down, told to nobody
    desk.wait(seconds=20)
    desk.wait(minutes=1)
    say(desk, people.ack, 1, "")
    desk.wait(minutes=1)
    assert say(desk, people.ack, 1, "") == "#1 feed on REST was acknowledged 1m00s ago by cli:me"
    desk.feed("live", "held 30 s")
    with pytest.raises(UsageError, match="is over: held 30 s"):
        say(desk, people.ack, 1, "")


# -- who is called next ---------------------------------------------------------------------------------------------------

TABLE = AlertPolicy((("phone",), ("mail",), ("pager",)))
THREE = ("phone", "mail", "pager")


def test_without_a_table_every_channel_is_told_at_once_and_nothing_climbs(make: Make):
    desk = make(channels=THREE)
    desk.feed("blind")
    assert [len(desk.told(c)) for c in THREE] == [1, 1, 1]
    desk.pass_to("10:20")
    assert {row.kind for row in desk.rows} == {Kind.OPENED, Kind.REMINDER}


def test_what_is_critical_climbs_every_five_minutes_until_somebody_has_seen_it(make: Make):
    desk = make(channels=THREE, policy=TABLE)
    desk.job("recon", severity=Severity.CRITICAL)
    sent(desk, "phone")
    assert [len(desk.told(c)) for c in THREE] == [1, 0, 0]
    desk.pass_to("10:04:59")
    assert desk.told("mail") == []
    desk.pass_to("10:05:30")
    assert desk.told("mail") == ["10:05:00 escalation [CRIT] recon failed, for 5m00s now,"]
    assert "not acknowledged within 5m00s" in desk.rows[-1].message.body
    sent(desk, "mail")
    say(desk, people.ack, 1, "")
    desk.pass_to("11:00")
    assert desk.told("pager") == []


def test_what_does_not_arrive_within_a_minute_goes_to_the_next_channel_whatever_its_severity(make: Make):
    desk = make(channels=THREE, policy=TABLE)
    desk.job("recon", severity=Severity.WARNING)
    sent(desk, "phone", Delivery.FAILED)
    desk.pass_to("10:01:30")
    assert desk.told("mail") == ["10:01:00 escalation [WARN] recon failed, for 1m00s now,"]
    sent(desk, "mail")
    desk.pass_to("11:00")
    assert desk.told("pager") == [], "a warning that has arrived calls nobody else"


def test_a_send_that_nobody_knows_of_has_not_arrived(make: Make):
    desk = make(channels=THREE, policy=TABLE)
    desk.feed("blind")
    sent(desk, "phone", Delivery.UNKNOWN)
    desk.pass_to("10:01:10")
    assert len(desk.told("mail")) == 1


def test_the_end_is_told_only_where_the_alarm_went(make: Make):
    desk = make(channels=THREE, policy=TABLE)
    desk.job("recon", severity=Severity.CRITICAL)
    desk.pass_to("10:01:10")
    assert (len(desk.told("mail")), len(desk.told("pager"))) == (1, 0)
    desk.job("recon", "succeeded")
    assert [desk.told(c)[-1:] and desk.told(c)[-1][9:17] for c in THREE] == ["resolved", "resolved", []]


def test_a_channel_that_is_new_does_not_hear_the_end_of_what_it_was_never_told(make: Make):
    desk = make()
    desk.job("recon")
    desk.alerting.voice = Voice(("phone", "mail"), INDIA)
    desk.job("recon", "succeeded")
    assert (len(desk.told("phone")), desk.told("mail")) == (2, [])


def test_a_channel_that_no_level_names_is_told_at_once_and_a_jobs_own_channels_come_first():
    ladder = AlertPolicy((("phone",), ("mail",))).ladder(("phone", "mail", "desk"), None)
    assert ladder == (("phone", "desk"), ("mail",))
    assert AlertPolicy((("phone",), ("mail",))).ladder(("phone", "mail"), ("mail",)) == (("mail",), ("phone",))
    assert AlertPolicy().ladder(("phone", "mail"), ("mail",)) == (("mail",),)
    assert AlertPolicy((("phone",), ("mail",))).ladder(("phone", "mail"), ()) == ()


def test_news_goes_to_every_channel_whatever_the_table_says(make: Make):
    desk = make(channels=THREE, policy=TABLE)
    with desk.store.write() as books:
        desk.alerting.notice(books, Notice("ready@1", "READY"), desk.now, MONDAY)
    assert [len(desk.told(c)) for c in THREE] == [1, 1, 1]


# -- what follows from what -----------------------------------------------------------------------------------------------


def test_the_tree_is_the_fixed_one_and_names_only_incidents_of_the_table():
    assert ancestors("feed_symbol") == ("feed", "broker", "gateway", "uplink")
    incidents = {rule.incident for rule in RULES.values()}
    assert {*PARENTS, *PARENTS.values()} <= incidents


def test_a_symbol_that_is_stale_while_the_feed_is_dead_is_stored_and_told_to_nobody(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.wait(seconds=20)
    desk.cause(SymbolStale("SBIN", desk.now, "no tick for 40 s"))
    desk.wait(seconds=30)
    assert len(desk.told()) == 1
    assert desk.alert("feed.symbol").muted == "inhibited: it follows from feed on REST #1"
    desk.cause(SymbolStale("SBIN", desk.now, "ticks again", over=True))
    assert len(desk.told()) == 1, "nobody heard of it, so nobody need hear that it is over"
    assert desk.alerts()[-1].seq == 0


def test_what_is_still_there_half_a_minute_after_its_cause_is_told_then(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.wait(seconds=20)
    desk.cause(SymbolStale("SBIN", desk.now, "no tick for 40 s"))
    desk.wait(seconds=40)
    desk.feed("live", "held 30 s")
    desk.wait(seconds=29)
    assert [line[9:17] for line in desk.told()] == ["opened [", "resolved"]
    desk.wait(seconds=10)
    assert [line[9:] for line in desk.told()[2:]] == ["opened [WARN] no ticks of SBIN, the others tick"]
    assert desk.alert("feed.symbol").muted == ""


def test_a_blind_feed_follows_from_a_broker_session_that_is_gone_but_not_from_a_wrong_mode(make: Make):
    desk = make(at("09:10"))
    desk.broker(reason="key: OpenAlgo refused it")
    desk.pass_to("09:16")
    told = len(desk.told())
    desk.feed("blind")
    assert len(desk.told()) == told
    desk.broker(verdict="ok", reason="verified")
    desk.feed("live", "ticks")
    desk.wait(minutes=20)
    desk.broker(reason="mode: OpenAlgo stands on live, declared is analyze")
    told = len(desk.told())
    desk.feed("blind")
    assert len(desk.told()) == told + 1


def test_an_openalgo_that_does_not_answer_is_one_alarm_and_the_blind_feed_follows_from_it(make: Make):
    desk = make()
    desk.feed("blind", "connection refused", unreachable=True)
    assert [line[9:] for line in desk.told()] == ["opened [CRIT] OpenAlgo does not answer"]
    assert desk.alert("feed.blind").muted.startswith("inhibited: it follows from OpenAlgo does not answer #1")
    desk.wait(seconds=60)
    desk.feed("fallback", "REST answers")
    assert [line[9:] for line in desk.told()[1:]] == ["resolved [OK] OpenAlgo answers again at 10:01 #1"]
    desk.wait(seconds=40)
    assert [line[9:] for line in desk.told()[2:]] == ["opened [WARN] feed on REST"], "it is still there"
    desk.feed("live", "held")
    assert [line[9:17] for line in desk.told()[3:]] == ["resolved"]


def test_a_gateway_that_answers_again_without_prices_leaves_a_blind_feed_to_be_told(make: Make):
    desk = make()
    desk.feed("blind", "connection refused", unreachable=True)
    desk.wait(seconds=60)
    desk.feed("blind", "403: nobody has logged in")
    desk.wait(seconds=35)
    assert [line[9:].split(" at ")[0] for line in desk.told()] == [
        "opened [CRIT] OpenAlgo does not answer",
        "resolved [OK] OpenAlgo answers again",
        "opened [CRIT] feed BLIND, no price from anywhere",
    ]
    assert desk.alert("feed.blind").what == "403: nobody has logged in"


def test_a_feed_that_recovers_with_its_gateway_is_not_told_at_all(make: Make):
    desk = make()
    desk.feed("blind", "connection refused", unreachable=True)
    desk.wait(seconds=60)
    desk.feed("probation", "ticks")
    desk.wait(seconds=35)
    desk.feed("live", "held 30 s")
    desk.wait(minutes=5)
    assert [line[9:17] for line in desk.told()] == ["opened [", "resolved"]
    desk.feed("blind", "connection refused", unreachable=True)
    told = len(desk.told())
    desk.feed("off", "the session ended")
    assert len(desk.told()) == told
    assert not [a for a in desk.alerts() if a.state == "open"]


def test_no_cause_hides_what_is_worse_than_itself_or_what_it_cannot_explain(make: Make):
    desk = make(policy=AlertPolicy(remote=False))
    desk.cause(UplinkMoved("local", desk.now, "phone: the host's name is not found"))
    desk.feed("blind")
    assert len(desk.told()) == 2, "a gateway on this host needs no network"
    desk.cause(ChannelMoved("mail", desk.now, "no connection in time"))
    assert len(desk.told()) == 2, "but a channel does"


def test_a_remote_gateway_is_judged_when_we_are_online_again(make: Make):
    desk = make(policy=AlertPolicy(remote=True))
    desk.cause(UplinkMoved("remote", desk.now, "phone: no connection in time"))
    desk.feed("blind", "no connection in time", unreachable=True)
    desk.wait(minutes=2)
    assert len(desk.told()) == 1, "neither the gateway nor the feed"
    desk.cause(UplinkMoved("remote", desk.now, "phone was reached again", over=True))
    desk.feed("fallback")
    desk.wait(minutes=1)
    assert [line[9:] for line in desk.told()[2:]] == ["opened [WARN] feed on REST"]


def test_a_warning_never_hides_what_is_critical():
    def alert(rule: str, severity: Severity) -> Alert:
        return Alert(rule, (), severity, at("10:00"), "", "", "", AlertState.OPEN)

    above = [alert("feed.fallback", Severity.WARNING)]
    assert inhibitor(alert("feed.symbol", Severity.WARNING), above, at("10:01")) is above[0]
    assert inhibitor(alert("feed.symbol", Severity.CRITICAL), above, at("10:01")) is None


# -- silences -------------------------------------------------------------------------------------------------------------


def until(desk: AlertDesk, **span: float):
    return desk.now + timedelta(**span)


def test_what_is_silenced_lives_on_is_not_told_and_is_told_when_the_silence_ends(make: Make):
    desk = make()
    said = say(desk, people.silence, "feed.symbol", until(desk, minutes=30), "SBIN is suspended")
    assert said == "silence 1: feed.symbol for 30m00s; `runbook unsilence 1` ends it"
    desk.cause(SymbolStale("SBIN", desk.now, "no tick for 40 s"))
    desk.pass_to("10:29")
    assert desk.told() == []
    assert desk.alert("feed.symbol").muted == "silenced by cli:me: SBIN is suspended"
    desk.pass_to("10:31")
    assert desk.told() == ["10:30:03 opened [WARN] no ticks of SBIN, the others tick"]


def test_a_silence_that_is_ended_lets_what_is_still_wrong_out_at_once(make: Make):
    desk = make()
    say(desk, people.silence, "job{job=recon}", until(desk, minutes=30), "I know")
    desk.job("recon")
    desk.job("report")
    assert [line[9:] for line in desk.told()] == ["opened [WARN] report failed"]
    assert say(desk, people.unsilence, 1).startswith("silence 1 of job{job=recon} is over")
    desk.turn()
    assert [line[9:] for line in desk.told()[1:]] == ["opened [WARN] recon failed"]
    with pytest.raises(UsageError, match="over already is silence 1"):
        say(desk, people.unsilence, 1)
    with pytest.raises(UsageError, match="there is no silence 9"):
        say(desk, people.unsilence, 9)


def test_what_is_over_before_its_silence_ends_is_told_to_nobody(make: Make):
    desk = make()
    say(desk, people.silence, "job", until(desk, minutes=30), "I know")
    desk.job("recon")
    desk.job("recon", "succeeded")
    desk.pass_to("11:00")
    assert desk.told() == []


def test_a_silence_stops_the_reminders_and_calls_of_what_was_told_before_it(make: Make):
    desk = make(channels=THREE, policy=TABLE)
    desk.feed("blind")
    sent(desk, "phone")
    said = say(desk, people.silence, "feed", until(desk, minutes=60), "maintenance")
    assert "1 open now is shown and not told" in said
    desk.pass_to("10:50")
    assert [len(desk.told(c)) for c in THREE] == [1, 0, 0]


def test_what_may_be_critical_is_silenced_for_two_hours_at_most_unless_one_means_it(make: Make):
    desk = make()
    with pytest.raises(UsageError, match="may be critical") as caught:
        say(desk, people.silence, "feed", until(desk, hours=3), "why not")
    assert "--critical" in (caught.value.hint or "")
    assert say(desk, people.silence, "feed", until(desk, hours=3), "I mean it", critical=True)
    assert say(desk, people.silence, "feed.symbol", until(desk, hours=3), "never critical")


@pytest.mark.parametrize(
    ("pattern", "span", "reason", "said"),
    [
        ("fed.symbol", 1, "x", "no rule 'fed.symbol'.*feed.symbol"),
        ("job{job}", 1, "x", "labels that cannot be read"),
        ("job{job=x", 1, "x", "labels that cannot be read"),
        ("feed.symbol", 0, "x", "more than nothing"),
        ("feed.symbol", 24 * 31, "x", "30 days at most"),
        ("feed.symbol", 1, "  ", "needs a reason"),
    ],
)
def test_a_silence_that_cannot_be_says_what_is_accepted(pattern, span, reason, said, make: Make):
    desk = make()
    with pytest.raises(UsageError, match=said) as caught:
        say(desk, people.silence, pattern, until(desk, hours=span), reason)
    assert caught.value.hint


def test_a_pattern_is_a_rule_all_rules_under_a_name_or_a_fingerprint():
    symbol = Alert("feed.symbol", (("symbol", "SBIN"),), Severity.WARNING, at("10:00"), "", "", "")
    for text in ("feed", "feed.symbol", "feed_symbol", "feed_symbol{symbol=SBIN}", "feed.symbol{symbol=SBIN}"):
        assert Pattern.parse(text).matches(symbol), text
        assert str(Pattern.parse(text)) == text
    for text in ("feed.blind", "job", "feed_symbol{symbol=TCS}", "feed_symbol{day=SBIN}"):
        assert not Pattern.parse(text).matches(symbol), text
    with pytest.raises(Unfit):
        Pattern.parse("")


# -- quiet hours, and the noise budget -------------------------------------------------------------------------------------


def test_outside_the_hours_of_the_session_only_what_is_critical_rings(make: Make):
    desk = make(at("20:00"))
    desk.job("recon")
    desk.job("other", severity=Severity.CRITICAL)
    assert desk.told() == [
        "08:15:00 opened [WARN] recon failed", "20:00:00 opened [CRIT] other failed",
    ]  # fmt: skip
    held = next(r for r in desk.rows if r.held)
    assert (held.due_at, held.expires_at) == (at("08:15", TUESDAY), at("10:15", TUESDAY))


@pytest.mark.parametrize(
    ("clock", "loud"),
    [("08:14", False), ("08:15", True), ("15:40", True), ("16:40", True), ("16:44", True), ("16:46", False)],
)
def test_the_waking_hours_are_an_hour_around_the_session(clock, loud, make: Make):
    assert make().alerting.hours.loud(at(clock)) is loud


def test_a_night_session_wakes_and_rests_with_its_own_hours(make: Make):
    evening = calendar(session(MONDAY, "18:00", "19:00"), session(TUESDAY))
    hours = make(days=evening).alerting.hours
    assert [hours.loud(at(clock)) for clock in ("10:00", "17:00", "20:00", "21:00")] == [False, True, True, False]
    assert hours.wakes(at("10:00")) == at("17:00")


def test_a_weekday_that_nobody_knows_is_not_quiet_and_where_nothing_comes_nothing_waits(make: Make):
    hours = make().alerting.hours
    assert hours.loud(at("10:00", date(2027, 1, 5))), "it may be a trading day"
    assert hours.loud(at("10:00", date(2029, 1, 5))), "no session is known to come"


def test_the_quiet_hours_can_be_switched_off_and_a_person_who_asks_is_answered_at_once(make: Make):
    desk = make(at("20:00"), policy=AlertPolicy(quiet=False))
    desk.job("recon")
    assert desk.told() == ["20:00:00 opened [WARN] recon failed"]
    desk.alerting.voice = Voice(("phone",), INDIA)
    with desk.store.write() as books:
        desk.alerting.notice(books, Notice("x", "the report"), desk.now, MONDAY, asked=True)
    assert desk.rows[-1].due_at == desk.now


def test_a_warning_of_the_night_calls_no_other_channel(make: Make):
    desk = make(at("20:00"), channels=THREE, policy=TABLE)
    desk.job("recon")
    desk.pass_to("08:15:30", TUESDAY)
    assert desk.told("mail") == []


def test_a_holiday_and_a_weekend_ring_nobody(make: Make):
    desk = make(at("16:50"), days=calendar(session(MONDAY), session(WEDNESDAY), closed={TUESDAY: "Guru Nanak Jayanti"}))
    desk.cause(CalendarDoubt("contradicted", TUESDAY, TUESDAY, "OpenAlgo says open"))
    desk.cause(BotMoved("off", desk.now, "nothing is due"))
    desk.pass_to("23:59", TUESDAY)
    assert [row for row in desk.rows if row.due_at <= desk.now] == []
    assert {row.due_at for row in desk.rows} == {at("08:15", WEDNESDAY)}


def test_a_three_minute_outage_is_two_messages_and_half_an_hour_of_flapping_three(make: Make):
    desk = make()
    desk.feed("fallback")
    desk.wait(minutes=2, seconds=30)
    desk.feed("probation")
    desk.wait(seconds=30)
    desk.feed("live")
    desk.pass_to("10:30")
    assert len(desk.told()) == 2
    for _ in range(45):
        desk.feed("fallback")
        desk.wait(seconds=20)
        desk.feed("live")
        desk.wait(seconds=20)
    desk.wait(minutes=20)
    assert len(desk.told()) - 2 <= 3


def test_what_was_held_down_and_is_over_before_anybody_looked_again_is_told_with_its_end(make):
    d = make(channels=("phone", "mail"))
    d.feed("fallback")
    assert d.rows == []
    d.now += timedelta(minutes=3)  # its hold-down ran out, and nobody turned: a host that slept
    d.feed("live", "ticks have held")
    found = sorted((row.channel, row.kind, row.seq) for row in d.rows)
    assert found == [
        ("mail", Kind.OPENED, 1), ("mail", Kind.RESOLVED, 2), ("phone", Kind.OPENED, 1), ("phone", Kind.RESOLVED, 2),
    ]  # fmt: skip
