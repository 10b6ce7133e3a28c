"""The teller empties the outbox: one that hangs delays no other, what failed is tried again over a restart too."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runbook.adapters.store import Store
from runbook.alert import Alert, AlertChange, AlertState, ChangeKind, Notice, Severity
from runbook.clock import RehearsalClock, host_monotonic
from runbook.outbox import REPEAT_MARK, Kind, Row, State, claim, enqueue
from runbook.ports import Delivery, Message
from runbook.session import INDIA
from runbook.teller import Teller, Voice, rows_for
from tests.fakes import MONDAY, FakeNotifier, at, ledger_file, until

NOW = at("10:00")
PHONE = ("phone",)


class Desk:
    """A store, a clock and a teller that can be started anew on the same file."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(ledger_file(folder), busy_seconds=0.05)
        self.clock = RehearsalClock(NOW)
        self.notifier = FakeNotifier()
        self.tellers: list[Teller] = []
        self.done: list[Row] = []

    def start(self, *channels: str, notifier: FakeNotifier | None = None) -> Teller:
        self.notifier = notifier or FakeNotifier()
        teller = Teller(self.store, self.notifier, channels or PHONE, self.clock, self.done.append)
        self.tellers.append(teller)
        teller.start()
        return teller

    def put(
        self, *titles: str, channels: tuple[str, ...] = PHONE, hours: float = 8.0, kind: Kind = Kind.OPENED
    ) -> list[Row]:
        rows = []
        with self.store.write() as books:
            for title in titles:
                now = self.clock.now()
                ends = now + timedelta(hours=hours)
                rows += enqueue(title, channels, kind, 1, Message(title, "b"), now=now, expires_at=ends)
            books.alerts.enqueue(rows, MONDAY)
        for teller in self.tellers:
            teller.nudge()
        return rows

    def rows(self) -> dict[tuple[str, str], Row]:
        with self.store.read() as books:
            return {(r.key, r.channel): r for r in books.alerts.messages(MONDAY)}

    def reaches(self, key: str, state: State, channel: str = "phone") -> Row:
        until(lambda: self.rows()[key, channel].state is state, f"{key} on {channel} is not {state}")
        return self.rows()[key, channel]

    def pass_by(self, seconds: float) -> None:
        self.clock.jump_to(self.clock.now() + timedelta(seconds=seconds))
        for teller in self.tellers:
            teller.nudge()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    for teller in made.tellers:
        teller.stop()
    made.store.close()


def test_what_is_put_into_the_outbox_is_sent_and_its_result_kept(desk):
    desk.start("phone", "mail")
    desk.put("alarm", channels=("phone", "mail"))
    for channel in ("phone", "mail"):
        row = desk.reaches("alarm", State.SENT, channel)
        assert row.attempts == 1
    until(lambda: len(desk.done) == 2, "nobody is told of it")
    assert sorted(channel for channel, _ in desk.notifier.sent) == ["mail", "phone"]


def test_what_was_there_before_the_start_is_sent_too(desk):
    desk.put("alarm")
    desk.start()
    desk.reaches("alarm", State.SENT)


def test_a_channel_that_hangs_delays_no_other_and_not_the_end(desk):
    class Stubborn(FakeNotifier):
        def close(self) -> None:
            """Not even closing it ends its sends."""

    notifier = Stubborn()
    notifier.hung = {"one", "two", "three"}
    teller = desk.start("one", "two", "three", "phone", notifier=notifier)
    desk.put("first", channels=("one", "two", "three", "phone"))
    desk.reaches("first", State.SENT)
    desk.reaches("first", State.SENDING, "one")
    desk.pass_by(2)
    desk.put("second", channels=("one", "phone"))
    desk.reaches("second", State.SENT)
    assert desk.rows()["second", "one"].state is State.QUEUED
    began = host_monotonic()
    teller.stop()
    assert host_monotonic() - began < 2.0  # three that hang cost no more than one
    FakeNotifier.close(notifier)


def test_messages_of_one_channel_are_a_second_apart(desk):
    desk.start()
    desk.put("first", kind=Kind.NOTICE)
    desk.put("second", kind=Kind.NOTICE)
    desk.reaches("first", State.SENT)
    assert desk.rows()["second", "phone"].state is State.QUEUED
    desk.pass_by(1.0)
    desk.reaches("second", State.SENT)


def test_a_failed_send_is_tried_again_later_and_over_a_restart(desk, caplog):
    teller = desk.start(notifier=FakeNotifier({"phone": [(Delivery.FAILED, "DNS"), (Delivery.FAILED, "DNS again")]}))
    with caplog.at_level(logging.WARNING, "runbook.teller"):
        desk.put("alarm")
        until(lambda: desk.rows()["alarm", "phone"].reason == "DNS", "it is not tried")
        desk.pass_by(6)
        until(lambda: desk.rows()["alarm", "phone"].reason == "DNS again", "it is not tried again")
    assert "channel phone: alarm not delivered (DNS); tried again" in caplog.text
    waiting = desk.rows()["alarm", "phone"]
    assert (waiting.state, waiting.attempts) == (State.QUEUED, 2)
    teller.stop()
    desk.tellers.clear()
    desk.pass_by(16)
    desk.start()
    row = desk.reaches("alarm", State.SENT)
    assert row.attempts == 3
    assert desk.notifier.titles() == ["alarm"]  # no repeat: neither of the two arrived


def test_what_was_being_sent_when_the_process_died_goes_out_once_more_and_says_so(desk):
    (row,) = desk.put("alarm")
    with desk.store.write() as books:
        books.alerts.store(claim(row, NOW))
    desk.start()
    until(lambda: desk.rows()["alarm", "phone"].state is State.QUEUED, "it is not recovered")
    desk.pass_by(6)
    desk.reaches("alarm", State.SENT)
    assert desk.notifier.titles() == [f"alarm {REPEAT_MARK}"]


def test_a_misconfigured_channel_is_dead_at_once_and_loud(desk, caplog):
    with caplog.at_level(logging.ERROR, "runbook.teller"):
        desk.start(notifier=FakeNotifier({"phone": [(Delivery.MISCONFIGURED, "no such scheme")]}))
        desk.put("alarm")
        row = desk.reaches("alarm", State.DEAD)
        until(lambda: desk.done, "it is not told")
    assert (row.attempts, row.reason) == (1, "no such scheme")
    assert "channel phone: alarm was not delivered and will not be: no such scheme" in caplog.text


def test_yesterday_s_alarm_is_not_told_today(desk):
    desk.put("alarm", hours=1.0)
    desk.pass_by(86_400)
    desk.start()
    desk.reaches("alarm", State.DEAD)
    assert desk.notifier.sent == []


def test_a_busy_ledger_at_the_start_does_not_silence_a_channel(desk, caplog):
    desk.put("alarm")
    with closing(sqlite3.connect(desk.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        desk.start()
        until(lambda: "stayed locked" in caplog.text, "the lock is not met")
        other.execute("COMMIT")
    desk.pass_by(6)
    desk.reaches("alarm", State.SENT)


def test_a_result_that_could_not_be_written_is_written_later_and_blocks_nothing(desk, caplog):
    """The message is out when the database is locked: it must not go out again, and the next one must follow."""
    other = sqlite3.connect(desk.store.path, isolation_level=None, check_same_thread=False)

    class Locking(FakeNotifier):
        def send(self, channel, message, timeout):
            if not self.sent:
                other.execute("BEGIN IMMEDIATE")
            return super().send(channel, message, timeout)

    desk.start(notifier=Locking())
    desk.put("first")
    until(lambda: "stayed locked" in caplog.text, "the lock is not met")
    assert desk.rows()["first", "phone"].state is State.SENDING
    other.execute("COMMIT")
    other.close()
    desk.put("second")
    desk.pass_by(6)
    desk.reaches("first", State.SENT)
    desk.pass_by(6)
    desk.reaches("second", State.SENT)
    assert desk.notifier.titles() == ["first", "second"]


def test_a_teller_without_channels_does_nothing_and_stops(desk):
    teller = Teller(desk.store, desk.notifier, (), desk.clock)
    teller.start()
    teller.nudge()
    assert teller.busy_with == frozenset()
    teller.stop()


def test_a_channel_is_busy_while_it_sends(desk):
    notifier = FakeNotifier()
    notifier.hung = {"phone"}
    teller = desk.start(notifier=notifier)
    desk.put("alarm")
    assert notifier.hangs.wait(5.0)
    assert teller.busy_with == {"phone"}
    teller.stop()
    until(lambda: not teller.busy_with, "the send does not end")


# -- what is told ---------------------------------------------------------------------------------------------------------

ALERT = Alert(
    "job.failed",
    (("job", "x"),),
    Severity.WARNING,
    NOW,
    "why",
    "done",
    "todo",
    AlertState.OPEN,
    peak="job.failed",
    said="job.failed",
    told=1,
)
VOICE = Voice(("phone", "mail"), INDIA, "http://desk")


def change(kind: ChangeKind, subject: Alert | Notice, *, tell: bool = True) -> AlertChange:
    return AlertChange(kind, NOW, subject, tell)


def test_what_is_not_to_be_told_makes_no_row():
    assert rows_for([change(ChangeKind.UPDATED, ALERT, tell=False)], VOICE, NOW, None, None) == []


def test_a_message_goes_to_every_channel_or_to_those_it_is_meant_for():
    changes = [change(ChangeKind.OPENED, ALERT)]
    assert [r.channel for r in rows_for(changes, VOICE, NOW, None, None)] == ["phone", "mail"]
    assert [r.channel for r in rows_for(changes, VOICE, NOW, None, None, to=("mail",))] == ["mail"]
    assert rows_for(changes, VOICE, NOW, None, None, to=()) == []


def test_an_alarm_is_worth_trying_until_two_hours_after_the_close_and_a_notice_for_a_day():
    close = at("15:40")
    (alarm, _) = rows_for([change(ChangeKind.OPENED, ALERT)], VOICE, NOW, close, None)
    assert (alarm.kind, alarm.expires_at) == (Kind.OPENED, at("17:40"))
    (late, _) = rows_for([change(ChangeKind.OPENED, ALERT)], VOICE, at("18:00"), close, None)
    assert late.expires_at == at("20:00")
    (notice, _) = rows_for([change(ChangeKind.NOTICE, Notice("k", "t", ("l",)))], VOICE, NOW, close, None)
    assert (notice.kind, notice.expires_at) == (Kind.NOTICE, NOW + timedelta(hours=24))


def test_a_recovery_carries_the_line_that_stands_for_the_whole_incident():
    over = replace(ALERT, state=AlertState.RESOLVED, resolved_at=NOW)
    (row, _) = rows_for([change(ChangeKind.RESOLVED, over)], VOICE, NOW, None, None)
    assert "delayed notice" in row.delayed
    (opened, _) = rows_for([change(ChangeKind.OPENED, ALERT)], VOICE, NOW, None, None)
    assert opened.delayed == ""


def test_what_is_told_is_in_the_log_too(caplog):
    with caplog.at_level(logging.INFO, "runbook.teller"):
        rows_for(
            [change(ChangeKind.OPENED, ALERT), change(ChangeKind.NOTICE, Notice("k", "all is well"))],
            VOICE,
            NOW,
            None,
            None,
        )
    levels = [r.levelno for r in caplog.records]
    assert levels == [logging.WARNING, logging.INFO]
    assert caplog.records[1].getMessage() == "all is well"
