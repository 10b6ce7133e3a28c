"""When a person is told, and when not: hold-downs, one incident per outage, flaps, the noise budget, and the words."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from runbook.alert import (
    FLAP_WINDOW,
    LONGEST_WAIT,
    RULES,
    STABLE,
    Alert,
    AlertChange,
    AlertState,
    Cause,
    ChangeKind,
    FeedMoved,
    FeedWord,
    JobSettled,
    LoginDue,
    ModeLeak,
    NotFlat,
    ReadyReached,
    Severity,
    SymbolStale,
    Tick,
    decide,
    delayed_line,
    message_for,
)
from runbook.outbox import Kind

IST = ZoneInfo("Asia/Kolkata")
T0 = datetime(2026, 11, 23, 4, 32, tzinfo=UTC)  # 10:02 in India


@dataclass
class Desk:
    """An engine in miniature: stores what decide changes, and keeps what is told."""

    mode: str = "local_paper"
    alerts: dict[str, Alert] = field(default_factory=dict)
    told: list[AlertChange] = field(default_factory=list)
    changes: list[AlertChange] = field(default_factory=list)
    now: float = 0.0
    word: FeedWord = FeedWord.LIVE

    def at(self, seconds: float) -> datetime:
        return T0 + timedelta(seconds=seconds)

    def tick_to(self, seconds: float) -> None:
        """Let time pass: a tick at each whole second in which one can change anything, and a last one at the end."""
        while due := [a.settles_at for a in self.open if a.settles_at is not None and a.settles_at <= self.at(seconds)]:
            self.now = max(self.now, (min(due) - T0).total_seconds())
            self.cause(Tick())
        if seconds > self.now:
            self.now = seconds
            self.cause(Tick())

    def cause(self, cause: Cause) -> list[AlertChange]:
        now = self.at(self.now)
        recent = [
            Alert.load(a.dump())  # each decision starts from the ledger, as after a restart
            for a in self.alerts.values()
            if a.resolved_at is None or now - a.resolved_at <= FLAP_WINDOW
        ]
        changes = decide(recent, cause, now)
        for change in changes:
            self.changes.append(change)
            if change.alert:
                self.alerts[change.key] = change.alert
            if change.tell:
                self.told.append(change)
        return changes

    def feed(self, seconds: float, word: str, reason: str = "no tick for 9 s, REST moves", **more) -> list[AlertChange]:
        self.tick_to(seconds)
        before, self.word = self.word, FeedWord(word)
        return self.cause(FeedMoved(before, self.word, self.at(seconds), reason, mode=self.mode, feed="NIFTY", **more))

    def job(self, seconds: float, outcome: str, name: str = "check_feed", **more) -> list[AlertChange]:
        self.tick_to(seconds)
        return self.cause(JobSettled(name, "0001", outcome, reason=f"{outcome} because", **more))

    @property
    def kinds(self) -> list[str]:
        return [str(change.kind) for change in self.told]

    @property
    def open(self) -> list[Alert]:
        return [a for a in self.alerts.values() if a.state is not AlertState.RESOLVED]


def test_a_symbol_that_is_silent_at_the_close_is_open_no_longer_than_the_feed():
    desk = Desk()
    desk.cause(SymbolStale("SBIN", desk.at(0), "no tick of SBIN for 40 s", over=False))
    desk.tick_to(60)
    assert [a.rule for a in desk.open] == ["feed.symbol"]
    desk.feed(600, "off", "the session has ended")
    assert desk.open == []
    assert desk.kinds == ["opened"], "and nobody is told that it ticks again"


def test_the_feed_on_rest_is_told_after_15_s_and_not_before():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.tick_to(14)
    assert desk.told == []
    desk.tick_to(15)
    assert desk.kinds == ["opened"]
    alert = desk.told[0].alert
    assert alert is not None
    assert (alert.rule, alert.severity, alert.opened_at) == ("feed.fallback", Severity.WARNING, T0)


def test_the_hold_down_does_not_depend_on_how_often_time_is_looked_at():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.now = 100.0  # not one tick in between
    desk.feed(100, "live", "held 30 s")
    assert desk.kinds == ["opened", "resolved"]


@pytest.mark.parametrize(
    ("mode", "severity"), [("local_paper", "warning"), ("analyzer", "warning"), ("live", "critical")]
)
def test_rest_is_a_warning_on_paper_and_critical_live(mode, severity):
    desk = Desk(mode)
    desk.feed(0, "fallback")
    desk.tick_to(20)
    assert desk.open[0].severity == severity


def test_a_three_minute_outage_is_two_messages_and_the_second_waits_for_the_end_of_probation():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(150, "probation", "ticks again")
    desk.tick_to(179)
    assert desk.kinds == ["opened"]
    desk.feed(180, "live", "the stream held 30 s")
    desk.tick_to(2000)
    assert desk.kinds == ["opened", "resolved"]
    assert desk.open == []
    assert [(c.row_kind, c.seq) for c in desk.told] == [(Kind.OPENED, 1), (Kind.RESOLVED, 2)]


def test_a_blip_shorter_than_15_s_is_kept_in_the_ledger_and_told_to_nobody():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(10, "probation")
    desk.feed(40, "live")
    desk.tick_to(2000)
    assert desk.told == []
    assert [a.state for a in desk.alerts.values()] == [AlertState.RESOLVED]


def test_a_probation_that_fails_is_the_same_outage_and_its_15_s_count_from_the_beginning():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(10, "probation")
    desk.feed(20, "fallback")
    assert desk.kinds == ["opened"]
    for n in range(10):  # and ten more failed probations are no news
        desk.feed(40 + 40 * n, "probation")
        desk.feed(60 + 40 * n, "fallback")
    assert desk.kinds == ["opened"]
    assert len(desk.alerts) == 1


def test_blind_is_critical_at_once_on_paper_too():
    desk = Desk()
    desk.feed(0, "blind", "REST refuses too")
    assert [(c.kind, c.alert.severity) for c in desk.told if c.alert] == [(ChangeKind.OPENED, Severity.CRITICAL)]


def test_blind_after_rest_escalates_the_same_alert_and_rest_after_blind_eases_it():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(60, "blind", "REST refuses too")
    desk.feed(90, "fallback", "REST answers")
    desk.feed(200, "live")
    assert desk.kinds == ["opened", "escalated", "eased", "resolved"]
    assert len(desk.alerts) == 1
    assert [c.alert.severity for c in desk.told if c.alert][:3] == ["warning", "critical", "warning"]
    assert len({(c.key, c.row_kind, c.seq) for c in desk.told}) == 4, "each message has an outbox identity of its own"


def test_a_hold_down_that_a_fast_clock_began_is_over_when_the_clock_is_put_back():
    desk = Desk()
    desk.feed(7200, "fallback")
    (held,) = desk.open
    assert held.state is AlertState.PENDING
    assert decide([held], Tick(), desk.at(7210)) == []
    (change,) = decide([held], Tick(), desk.at(60))
    assert (change.kind, change.tell) == (ChangeKind.OPENED, True)


def test_no_hold_down_is_longer_than_the_longest_wait_that_is_believed():
    assert max(STABLE, *(rule.hold for rule in RULES.values())) <= LONGEST_WAIT


def test_blind_within_the_hold_down_is_told_at_once():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(5, "blind")
    assert desk.kinds == ["opened"]
    assert desk.open[0].rule == "feed.blind"
    desk.tick_to(60)
    assert desk.kinds == ["opened"]


def test_blind_that_comes_again_is_told_as_blind_and_no_ease_follows():
    desk = Desk()
    desk.feed(0, "blind")
    desk.feed(60, "fallback")
    for n in range(5):
        desk.feed(120 + 120 * n, "blind")
        desk.feed(180 + 120 * n, "fallback")
    assert desk.kinds == ["opened", "eased", "escalated"], "the last word told is the worse one"
    desk.feed(900, "live")
    desk.tick_to(1300)
    assert desk.kinds[-1] == "resolved", "who was told BLIND is told that it is over"


def test_the_end_of_the_session_closes_the_incident_without_a_message():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.tick_to(60)
    desk.feed(70, "off", "the session has ended")
    assert desk.kinds == ["opened"]
    assert desk.open == []


def test_a_second_outage_within_15_min_is_told_as_flapping_and_then_there_is_silence():
    desk = Desk()
    for start in (0, 300, 600, 900):
        desk.feed(start, "fallback")
        desk.feed(start + 60, "live")
    assert desk.kinds == ["opened", "resolved", "flapping"]
    desk.tick_to(960 + 299)
    assert len(desk.open) == 1
    desk.tick_to(960 + 301)
    assert desk.open == [], "five stable minutes close it"
    assert len(desk.told) == 3


def test_a_second_outage_after_15_min_is_an_outage_of_its_own():
    desk = Desk()
    for start in (0, 1000):
        desk.feed(start, "fallback")
        desk.feed(start + 60, "live")
    assert desk.kinds == ["opened", "resolved"] * 2


def test_a_long_outage_and_one_soon_after_it_are_two_outages_and_no_flap():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(1200, "live")
    desk.feed(1300, "fallback")
    desk.tick_to(1320)
    assert desk.kinds == ["opened", "resolved", "opened"], "two transitions in 15 min are no flap, three are"


@pytest.mark.parametrize("period", [20, 33, 40, 60, 75, 120, 200, 360, 420, 600, 840, 899])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_thirty_minutes_of_flapping_are_at_most_three_messages_its_end_included(period, share):
    desk = Desk()
    start = 0.0
    while start < 1800:
        desk.feed(int(start), "fallback")
        desk.feed(int(start + period * share), "live")
        start += period
    desk.tick_to(start + 1000)
    assert 1 <= len(desk.told) <= 3
    assert desk.open == []


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_feed_does_the_last_word_told_is_never_better_than_the_truth(seed):
    rng = random.Random(seed)
    desk = Desk(rng.choice(["live", "local_paper"]))
    moves = {
        "live": ["fallback", "blind"],
        "fallback": ["probation", "blind"],
        "probation": ["live", "fallback", "blind"],
        "blind": ["fallback", "probation"],
    }
    rank = {"live": 0, "probation": 0, "fallback": 1, "blind": 2}
    now, mode, since, said = 0, "live", 0, 0
    for _ in range(60):
        now += rng.choice([1, 5, 14, 16, 40, 200, 700])
        told = len(desk.told)
        desk.tick_to(now)
        for change in desk.told[told:]:
            said = 0 if change.kind is ChangeKind.RESOLVED else RULES[change.subject.rule].rank  # type: ignore[union-attr]
        assert said >= rank[mode] or (mode == "fallback" and now - since <= 15), (seed, now, mode, said)
        mode = rng.choice(moves[mode])
        since = now
        desk.feed(now, mode)
        if desk.told:
            last = desk.told[-1]
            said = 0 if last.kind is ChangeKind.RESOLVED else RULES[last.subject.rule].rank  # type: ignore[union-attr]
        assert len(desk.open) <= 1
    keys = [(c.key, c.row_kind, c.seq) for c in desk.told]
    assert len(keys) == len(set(keys))


def test_a_repeating_job_that_fails_raises_one_alert_per_run_of_failures():
    desk = Desk()
    for n in range(20):
        desk.job(30 * n, "failed", repeating=True)
    assert desk.kinds == ["opened"]
    desk.job(600, "succeeded", repeating=True)
    assert desk.kinds == ["opened", "resolved"]
    desk.job(630, "succeeded", repeating=True)
    assert len(desk.changes) == len([c for c in desk.changes if c.kind is ChangeKind.UPDATED]) + 2


def test_a_repeating_job_that_fails_every_second_time_is_three_messages_not_hundreds():
    desk = Desk()
    for n in range(100):
        desk.job(30 * n, "failed" if n % 2 else "succeeded", repeating=True)
    assert len(desk.told) == 3


def test_one_missed_check_is_no_news_two_minutes_of_them_are():
    desk = Desk()
    desk.job(0, "missed", repeating=True)
    desk.job(30, "succeeded", repeating=True)
    desk.tick_to(1000)
    assert desk.told == []
    for n in range(5):
        desk.job(2000 + 30 * n, "missed", repeating=True)
    assert desk.kinds == ["opened"]
    assert desk.open[0].rule == "job.missed"


@pytest.mark.parametrize(
    ("outcome", "rule"),
    [("failed", "job.failed"), ("abandoned", "job.failed"), ("missed", "job.missed"), ("timed_out", "job.overran")],
)
def test_a_job_that_did_not_do_its_work_is_told_at_once_with_the_jobs_own_severity(outcome, rule):
    desk = Desk()
    desk.job(0, outcome, "reconcile_paper", severity=Severity.CRITICAL, hint="look at the trade log")
    alert = desk.open[0]
    assert (alert.rule, alert.severity, alert.todo) == (rule, "critical", "look at the trade log")
    assert desk.kinds == ["opened"]


def test_a_skipped_job_is_no_alert_and_two_jobs_are_two_alerts():
    desk = Desk()
    desk.job(0, "skipped", "report_day")
    assert desk.told == []
    desk.job(1, "failed", "report_day")
    desk.job(2, "failed", "reconcile_paper")
    assert len(desk.open) == 2
    desk.job(3, "succeeded", "report_day")
    assert [a.labels for a in desk.open] == [(("job", "reconcile_paper"),)]


def test_check_feed_that_ran_alerts_nobody_whatever_it_found():
    desk = Desk()
    desk.job(0, "succeeded", verdict="degraded", repeating=True)
    assert desk.told == []


def test_the_broker_is_checked_quietly_until_the_deadline_and_is_critical_then():
    desk = Desk()
    for n in range(50):
        desk.job(60 * n, "failed", "verify_broker", until_ok=True)
    assert desk.told == []
    desk.job(3000, "failed", "verify_broker", until_ok=True, deadline_passed=True, hint="log in")
    desk.job(3060, "failed", "verify_broker", until_ok=True, deadline_passed=True)
    assert desk.kinds == ["opened"]
    assert (desk.open[0].rule, desk.open[0].severity) == ("broker.not_verified", "critical")
    desk.job(3120, "succeeded", "verify_broker", verdict="not verified", until_ok=True, deadline_passed=True)
    assert desk.open, "a check that ran and found no broker has not passed"
    desk.job(3180, "succeeded", "verify_broker", until_ok=True, deadline_passed=True)
    assert desk.kinds == ["opened", "resolved"]


def test_one_login_reminder_and_none_when_the_alarm_is_out_already():
    desk = Desk()
    desk.cause(LoginDue(date(2026, 11, 23), "the broker's token has expired", "log in on the dashboard"))
    assert [(c.row_kind, c.key) for c in desk.told] == [(Kind.NOTICE, "login@2026-11-23")]
    desk.job(60, "failed", "verify_broker", until_ok=True, deadline_passed=True)
    assert desk.cause(LoginDue(date(2026, 11, 23), "still")) == []


def test_not_flat_is_told_once_and_ends_when_flat():
    desk = Desk()
    desk.cause(NotFlat(("NIFTY24NOV26FUT -75",)))
    desk.cause(NotFlat(("NIFTY24NOV26FUT -75", "SBIN 10")))
    assert desk.kinds == ["opened"]
    assert desk.open[0].what == "NIFTY24NOV26FUT -75; SBIN 10", "new evidence updates the alert"
    desk.cause(NotFlat(()))
    assert desk.kinds == ["opened", "resolved"]


def test_a_mode_leak_is_critical_at_once():
    desk = Desk()
    desk.cause(ModeLeak(("260001 NIFTY24NOV26FUT BUY 75",)))
    assert desk.open[0].severity == "critical"
    assert desk.kinds == ["opened"]


def test_a_normal_day_is_ready_and_the_report_and_a_holiday_is_nothing():
    desk = Desk()
    desk.job(0, "succeeded", "verify_broker", until_ok=True)
    desk.cause(ReadyReached(date(2026, 11, 23), "[READY] NFO opens 09:15", ("broker angel verified",)))
    desk.feed(10, "live", "first ticks")
    for n in range(700):
        desk.job(60 + 30 * n, "succeeded", repeating=True)
    desk.feed(21100, "off", "the session has ended")
    assert desk.kinds == ["notice"], "the second message of the day is the report itself"
    holiday = Desk()
    holiday.tick_to(3600)
    assert holiday.changes == []


def test_a_fingerprint_knows_neither_values_nor_times():
    first, second = Desk(), Desk()
    first.feed(0, "fallback", "no tick for 9 s")
    second.feed(77, "blind", "no tick for 12 s; REST refuses")
    assert {a.fingerprint for a in (*first.open, *second.open)} == {"feed{feed=NIFTY}"}
    assert first.open[0].key != second.open[0].key


# --- the words


def say(change: AlertChange, number: int = 41, positions: str | None = "NIFTY24NOV26FUT -75") -> list[str]:
    assert change.alert is not None
    numbered = AlertChange(change.kind, change.at, Alert(**{**_fields(change.alert), "number": number}), change.tell)
    message = message_for(numbered, IST, "http://desk:5000/dashboard", positions)
    return [message.title, *message.body.split("\n")]


def _fields(alert: Alert) -> dict:
    return {name: getattr(alert, name) for name in Alert.__slots__}


def test_an_alarm_says_what_since_when_what_was_done_and_what_to_do():
    desk = Desk("live")
    desk.feed(
        0, "fallback", "no tick for 9 s", evidence="REST moved twice", hint="log in to the broker on the dashboard"
    )
    desk.tick_to(15)
    assert say(desk.told[0]) == [
        "[CRIT] feed on REST since 10:02 (NIFTY) #41",
        "seen: no tick for 9 s (REST moved twice)",
        "done: prices go on over REST; the stream is tried again",
        "do: log in to the broker on the dashboard",
        "open positions: NIFTY24NOV26FUT -75",
        "ack 41",
        "http://desk:5000/dashboard",
    ]
    assert "open positions: unknown" in say(desk.told[0], positions=None)
    assert "open positions: none" in say(desk.told[0], positions="")


def test_a_recovery_says_what_it_was_and_for_how_long():
    desk = Desk()
    desk.feed(0, "fallback")
    desk.feed(60, "blind")
    desk.feed(180, "live", "the stream held 30 s")
    assert say(desk.told[-1])[:3] == [
        "[OK] feed back on the stream at 10:05 (NIFTY) #41",
        "was: feed BLIND, no price from anywhere 10:02-10:05",
        "now: the stream held 30 s",
    ]
    alert = desk.told[-1].alert
    assert alert is not None
    assert delayed_line(alert, IST) == "10:02-10:05 feed BLIND, no price from anywhere, recovered (delayed notice)"


def test_a_flap_says_that_it_will_be_silent_from_now_on():
    desk = Desk()
    for start in (0, 300):
        desk.feed(start, "fallback")
        desk.feed(start + 60, "live")
    lines = say(desk.told[-1])
    assert lines[0] == "[WARN] feed on REST, flapping since 10:07 (NIFTY) #41"
    assert "no message per change" in " ".join(line.strip() for line in lines)


def test_an_alarm_of_another_day_names_the_day():
    desk = Desk()
    desk.job(0, "failed", "report_day")
    desk.now = 86400.0
    desk.job(86400, "succeeded", "report_day")
    assert delayed_line(desk.told[-1].alert, IST).startswith("23 Nov 10:02-10:02")  # type: ignore[arg-type]
    assert say(desk.told[0])[0] == "[WARN] report_day failed since 10:02 #41"
    assert "open positions" not in " ".join(say(desk.told[0])), "a job's message is not about positions"


def test_lines_keep_to_60_columns_and_a_link_is_never_broken():
    desk = Desk()
    desk.feed(0, "fallback", "no tick of any subscribed name " * 8)
    desk.tick_to(15)
    link = "http://desk.example.org:5000/" + "x" * 80
    lines = message_for(desk.told[0], IST, link, None).body.split("\n")
    assert link in lines
    assert all(len(line) <= 60 for line in lines if line != link)


def test_a_notice_reads_as_it_was_given():
    change = decide([], ReadyReached(date(2026, 11, 23), "[READY] NFO opens 09:15", ("broker verified", "")), T0)[0]
    message = message_for(change, IST)
    assert (message.title, message.body) == ("[READY] NFO opens 09:15", "broker verified")


def test_every_rule_has_words_for_all_that_a_message_says():
    for rule in RULES.values():
        assert all((rule.title, rule.back, rule.done, rule.todo, rule.recovery))
