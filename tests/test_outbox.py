"""The life of an outbox row: tried until it arrives or expires, repeated at most once when nobody knows, never too fast."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from runbook.outbox import (
    PER_WINDOW,
    Kind,
    Row,
    State,
    Trouble,
    claim,
    describe,
    earliest,
    enqueue,
    expire,
    merge,
    next_step,
    pick,
    recover,
    revive,
    text_of,
    text_of_all,
    together,
    trouble,
)
from runbook.ports import Delivery, Message

IST = ZoneInfo("Asia/Kolkata")
T0 = datetime(2026, 11, 23, 4, 32, tzinfo=UTC)  # 10:02 in India
LATE = T0 + timedelta(hours=8)
ALARM = Message("[WARN] feed on REST since 10:02", "seen: no tick for 15 s")
BACK = Message("[OK] feed back on the stream at 10:04", "was: feed on REST 10:02-10:04")
ONE_LINE = "10:02-10:04 feed on REST, recovered (delayed notice)"


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def alarm(**changes) -> Row:
    row = enqueue("feed@1", ["phone"], Kind.OPENED, 1, ALARM, now=T0, expires_at=LATE)[0]
    return Row(**{name: changes.get(name, getattr(row, name)) for name in Row.__slots__})


def recovery(at: float = 120, **changes) -> Row:
    now = after(at)
    row = enqueue("feed@1", ["phone"], Kind.RESOLVED, 2, BACK, now=now, expires_at=LATE, delayed=ONE_LINE)[0]
    return Row(**{name: changes.get(name, getattr(row, name)) for name in Row.__slots__})


def attempt(row: Row, delivery: Delivery, now: datetime, reason: str = "") -> Row:
    return next_step(claim(row, now), delivery, now, reason)


def settled(rows: list[Row], changed: list[Row]) -> list[Row]:
    by_seq = {r.seq: r for r in changed}
    return [by_seq.get(r.seq, r) for r in rows]


def test_a_message_becomes_one_row_per_channel_due_at_once():
    rows = enqueue("k", ["phone", "mail"], Kind.NOTICE, 0, ALARM, now=T0, expires_at=LATE)
    assert [(r.channel, r.state, r.due_at, r.attempts) for r in rows] == [
        ("phone", State.QUEUED, T0, 0),
        ("mail", State.QUEUED, T0, 0),
    ]


def test_a_sent_row_is_final():
    row = attempt(alarm(), Delivery.SENT, after(1))
    assert (row.state, row.final, row.attempts) == (State.SENT, True, 1)


def test_a_failed_row_waits_5_s_15_s_1_min_5_min_and_then_15_min_each_time():
    row, now, waits = alarm(), T0, []
    for _ in range(7):
        row = attempt(row, Delivery.FAILED, now)
        waits.append((row.due_at - now).total_seconds())
        now = row.due_at
    assert waits == [5, 15, 60, 300, 900, 900, 900]
    assert text_of(row) == ALARM, "what surely did not arrive is no repeat"


def test_the_last_try_falls_on_the_expiry_and_then_the_row_is_dead():
    row = attempt(alarm(expires_at=after(3)), Delivery.FAILED, after(1))
    assert (row.state, row.due_at) == (State.QUEUED, after(3))
    assert attempt(row, Delivery.FAILED, after(3)).state is State.DEAD


def test_too_many_requests_means_at_least_30_s():
    assert attempt(alarm(), Delivery.FAILED, T0, "Too Many Requests, error=429").due_at == after(30)
    assert attempt(alarm(attempts=4), Delivery.FAILED, T0, "error=429").due_at == after(900), (
        "and never less than its own wait"
    )


def test_an_unknown_delivery_is_repeated_once_and_says_so():
    row = attempt(alarm(), Delivery.UNKNOWN, T0, "no answer")
    assert (row.state, row.repeat) == (State.QUEUED, True)
    assert text_of(row).title == ALARM.title + " (may be a repeat)"
    assert text_of(row).body == ALARM.body
    again = attempt(row, Delivery.UNKNOWN, row.due_at)
    assert (again.state, again.attempts, again.final) == (State.UNKNOWN, 2, True)


def test_a_repeat_that_surely_failed_is_tried_on_and_at_the_end_stays_unknown():
    row = attempt(attempt(alarm(), Delivery.UNKNOWN, T0), Delivery.FAILED, after(5))
    assert (row.state, row.repeat) == (State.QUEUED, True)
    assert attempt(row, Delivery.FAILED, LATE).state is State.UNKNOWN, (
        "the first one may have arrived: that is not dead"
    )


def test_a_wrong_url_is_dead_at_once():
    row = attempt(alarm(), Delivery.MISCONFIGURED, T0, "Apprise knows no service foo://")
    assert (row.state, row.reason) == (State.DEAD, "Apprise knows no service foo://")


def test_a_restart_finds_what_was_being_sent_as_unknown_and_leaves_the_rest_alone():
    row = recover(claim(alarm(), T0), after(60))
    assert (row.state, row.repeat, row.attempts) == (State.QUEUED, True, 1)
    queued = alarm()
    assert recover(queued, after(60)) is queued
    twice = recover(claim(row, after(65)), after(120))
    assert (twice.state, twice.repeat) == (State.QUEUED, True), "two deaths in mid-send must not cost the alarm"
    assert recover(claim(twice, LATE), LATE).state is State.UNKNOWN
    assert attempt(twice, Delivery.UNKNOWN, after(130)).state is State.UNKNOWN, (
        "the channel's own silence is repeated once"
    )


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], 0),
        ([-5], 0),
        ([-0.4], 0.6),
        ([-59 + i for i in range(PER_WINDOW)], 1),
        ([-61 + i for i in range(PER_WINDOW)], 0),
    ],
)
def test_a_channel_rests_one_second_and_takes_twenty_a_minute(sent, expected):
    assert earliest([after(s) for s in sent], T0) == after(expected)


def test_a_hundred_messages_keep_the_limits():
    history: list[datetime] = []
    now = T0
    for _ in range(100):
        now = earliest(history, now)
        history.append(now)
    assert all(b - a >= timedelta(seconds=1) for a, b in pairwise(history))
    assert all(history[i + 20] - history[i] >= timedelta(seconds=60) for i in range(80))


def test_a_clock_that_is_put_back_holds_no_message_up():
    """It was two hours fast; what it decided by then lies two hours ahead."""
    fast = timedelta(hours=2)
    history = [after(-90), T0 + fast]
    assert earliest(history, T0) == T0
    assert earliest([after(0), T0 + fast], after(0.4)) == after(1)  # the pause that is really due is kept
    put = alarm(created_at=T0 + fast, due_at=T0 + fast)
    assert pick([put], T0) == put
    tried = attempt(alarm(), Delivery.FAILED, T0 + fast)
    assert pick([tried], T0) == tried
    waits = attempt(alarm(), Delivery.FAILED, T0)
    assert pick([waits], after(1)) is None


def test_an_alarm_over_before_it_was_told_becomes_one_line():
    rows = [attempt(alarm(), Delivery.FAILED, T0), recovery()]
    rows = settled(rows, merge(rows, after(120)))
    assert [r.state for r in rows] == [State.MERGED, State.QUEUED]
    assert rows[1].message == Message(ONE_LINE, "")
    assert merge(rows, after(121)) == [], "once is enough"
    assert pick(rows, after(121)) == rows[1]


def test_a_recovery_goes_out_as_it_is_where_the_alarm_arrived_or_may_have():
    for delivery in (Delivery.SENT, Delivery.UNKNOWN):
        rows = [attempt(alarm(), delivery, T0), recovery()]
        rows = settled(rows, merge(rows, after(120)))
        assert rows[1].message == BACK
        assert rows[0].state is (State.SENT if delivery is Delivery.SENT else State.UNKNOWN)


def test_what_is_queued_between_a_told_alarm_and_its_recovery_is_dropped():
    worse = alarm(seq=2, message=Message("[CRIT] feed BLIND", ""))
    rows = [attempt(alarm(), Delivery.SENT, T0), worse, recovery(seq=3)]
    rows = settled(rows, merge(rows, after(120)))
    assert [(r.state, r.message) for r in rows[1:]] == [(State.MERGED, worse.message), (State.QUEUED, BACK)]


def test_nothing_is_merged_while_the_alarm_is_on_its_way():
    rows = [claim(alarm(), T0), recovery()]
    assert merge(rows, after(120)) == []
    assert pick(rows, after(120)) is None


def test_the_end_of_an_alert_is_never_sent_before_its_beginning_but_another_alert_may_be():
    waiting = attempt(alarm(), Delivery.FAILED, after(119))  # due at 124 s
    other = enqueue("job@2", ["phone"], Kind.OPENED, 1, ALARM, now=after(121), expires_at=LATE)[0]
    assert pick([recovery(), waiting], after(122)) is None
    assert pick([recovery(), waiting, other], after(122)) == waiting, "the oldest first: the channel may be back"
    again = attempt(waiting, Delivery.FAILED, after(122))
    assert pick([recovery(), again, other], after(123)) == other, "it is not, and the newer one has its try"


def test_what_expired_while_nobody_was_sending_is_not_sent_the_next_morning():
    row, tried = alarm(), attempt(alarm(), Delivery.UNKNOWN, T0, "no answer")
    assert expire([row, tried], LATE + timedelta(minutes=1)) == [], "the last try is due at the expiry itself"
    gone = expire([row, tried, attempt(alarm(), Delivery.SENT, T0)], LATE + timedelta(hours=10))
    assert [(r.state, r.reason) for r in gone] == [
        (State.DEAD, "expired unsent"),
        (State.UNKNOWN, "expired unsent: no answer"),
    ]


def test_a_dead_alarm_still_lets_its_one_line_out():
    rows = [attempt(alarm(expires_at=T0), Delivery.FAILED, T0), recovery()]
    assert rows[0].state is State.DEAD
    assert merge(rows, after(120))[0].message == Message(ONE_LINE, "")


# -- several at once ------------------------------------------------------------------------------------------------------


def other(key: str, title: str = "[WARN] no ticks of SBIN", at: float = 0, due: float | None = None, **changes) -> Row:
    when = after(at)
    row = enqueue(
        key, ["phone"], changes.pop("kind", Kind.OPENED), 1, Message(title, f"seen: {key}\nmore"), now=when,
        expires_at=LATE, due_at=None if due is None else after(due),
    )[0]  # fmt: skip
    return Row(**{name: changes.get(name, getattr(row, name)) for name in Row.__slots__})


def test_alerts_of_the_same_seconds_are_one_message_titled_by_the_worst():
    rows = [other(f"s{n}", f"[WARN] no ticks of S{n}", at=n) for n in range(4)]
    rows.append(other("feed", "[CRIT] feed BLIND", at=4))
    rows.append(other("late", at=6))
    group = together(rows[0], rows, after(10))
    assert [r.key for r in group] == ["s0", "s1", "s2", "s3", "feed"]
    message = text_of_all(group)
    assert message.title == "[CRIT] feed BLIND, and 4 more"
    assert [line for line in message.body.splitlines() if line.startswith("*")] == [
        f"* {r.message.title}" for r in group
    ]


def test_news_stands_alone_and_so_does_what_is_not_due():
    report = other("report", "Mon 23 Nov CLEAN", kind=Kind.NOTICE)
    rows = [report, other("a"), other("b", due=60)]
    assert together(report, rows, after(1)) == [report]
    assert together(rows[1], rows, after(1)) == [rows[1]]


def test_what_waited_for_the_session_arrives_as_one_message_news_and_alerts_in_order():
    night = [
        other("a", at=-40000, due=0),
        other("plan", "[INFO] the plan has changed", at=-30000, due=0, kind=Kind.NOTICE),
    ]
    group = together(night[1], [*night, other("now")], after(1))
    assert [r.key for r in group] == ["a", "plan"]
    assert text_of_all(group).title == "[WARN] 2 messages that waited for the session"


def test_what_failed_as_one_message_is_tried_again_as_one_and_with_nothing_else():
    rows = [other("a"), other("b", at=1)]
    failed = [attempt(row, Delivery.FAILED, after(2)) for row in rows]
    later = other("c", at=3)
    group = together(failed[0], [*failed, later], after(8))
    assert [r.key for r in group] == ["a", "b"]
    unknown = [attempt(row, Delivery.UNKNOWN, after(8)) for row in group]
    assert text_of_all(unknown).title.endswith("and 1 more (may be a repeat)")


def test_an_older_word_that_was_not_sent_is_overtaken_by_the_newest():
    rows = [
        attempt(alarm(), Delivery.FAILED, T0), alarm(seq=2, kind=Kind.REMINDER),
        alarm(seq=3, message=Message("[CRIT] feed BLIND", "")),
    ]  # fmt: skip
    done = settled(rows, merge(rows, after(120)))
    assert [r.state for r in done] == [State.MERGED, State.MERGED, State.QUEUED]
    assert pick(done, after(120)) == done[2], "and is tried at once, whatever the one before it waits for"
    maybe = settled(rows, merge([attempt(alarm(), Delivery.UNKNOWN, T0), *rows[1:]], after(120)))
    assert maybe[0].state is State.UNKNOWN, "it may have arrived"


def test_once_something_arrives_nothing_waits_for_its_next_try_any_more():
    rows = [attempt(alarm(), Delivery.FAILED, T0), other("new", due=60)]
    assert [(r.key, r.due_at) for r in revive(rows, after(1))] == [("feed@1", after(1))]


def test_after_a_flood_no_message_goes_for_half_a_minute_whichever_it_is():
    flooded = attempt(alarm(), Delivery.FAILED, T0, "Too Many Requests, error=429")
    fresh = other("new", at=1)
    assert pick([flooded, fresh], after(29)) is None
    assert pick([flooded, fresh], after(30)) == flooded


def test_who_claimed_a_row_stands_on_it():
    assert claim(alarm(), T0, 7).epoch == 7


# -- the channel itself ---------------------------------------------------------------------------------------------------


def test_a_channel_is_in_trouble_from_its_first_failure_until_something_arrives():
    good = attempt(other("a"), Delivery.SENT, after(1))
    first = attempt(other("b", at=10), Delivery.FAILED, after(12), "connection refused")
    hung = attempt(other("c", at=20), Delivery.UNKNOWN, after(45), "no answer in time")
    assert trouble([]) is None
    assert trouble([good, other("never tried")]) is None
    assert trouble([good, first, hung]) == Trouble(after(10), "no answer in time", permanent=False)
    assert trouble([first, hung, attempt(other("d", at=50), Delivery.SENT, after(51))]) is None


def test_what_was_overtaken_after_it_failed_tells_since_when_but_is_no_evidence():
    failed = attempt(other("a", at=10), Delivery.FAILED, after(12), "connection refused")
    gone = replace(failed, state=State.MERGED, changed_at=after(130))
    assert trouble([gone]) is None
    newer = attempt(other("a", at=130), Delivery.FAILED, after(131), "connection refused")
    found = trouble([gone, newer])
    assert found is not None
    assert found.since == after(10)


def test_a_wrong_url_is_trouble_for_good_and_an_expired_message_is_not():
    wrong = attempt(other("a"), Delivery.MISCONFIGURED, after(1), "error=401")
    expired = attempt(other("b", expires_at=after(5)), Delivery.FAILED, after(6), "no connection in time")
    found = [trouble([row]) for row in (wrong, expired)]
    assert [t and (t.permanent, t.offline) for t in found] == [(True, False), (False, True)]


def test_the_report_reads_what_became_of_each_row():
    assert describe(attempt(alarm(), Delivery.SENT, after(15)), IST) == "phone sent 10:02:15 (1 try)"
    waiting = attempt(alarm(), Delivery.FAILED, after(15), "connection refused")
    assert describe(waiting, IST) == "phone not yet told, next try 10:02:20 (1 try): connection refused"
    unknown = attempt(attempt(alarm(), Delivery.UNKNOWN, T0), Delivery.UNKNOWN, after(5), "no answer in time")
    assert describe(unknown, IST) == "phone unknown 10:02:05 (2 tries): no answer in time"
