"""The life of an outbox row: tried until it arrives or expires, repeated at most once when nobody knows, never too fast."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from runbook.outbox import (
    PER_WINDOW,
    Kind,
    Row,
    State,
    claim,
    describe,
    earliest,
    enqueue,
    expire,
    merge,
    next_step,
    pick,
    recover,
    text_of,
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
    assert twice.state is State.UNKNOWN, "two crashes in mid-send do not make a third copy"


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
    assert pick([recovery(), waiting, other], after(122)) == other
    assert pick([recovery(), waiting, other], after(124)) == waiting, "the oldest first"


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


def test_the_report_reads_what_became_of_each_row():
    assert describe(attempt(alarm(), Delivery.SENT, after(15)), IST) == "phone sent 10:02:15 (1 try)"
    waiting = attempt(alarm(), Delivery.FAILED, after(15), "connection refused")
    assert describe(waiting, IST) == "phone not yet told, next try 10:02:20 (1 try): connection refused"
    unknown = attempt(attempt(alarm(), Delivery.UNKNOWN, T0), Delivery.UNKNOWN, after(5), "no answer in time")
    assert describe(unknown, IST) == "phone unknown 10:02:05 (2 tries): no answer in time"
