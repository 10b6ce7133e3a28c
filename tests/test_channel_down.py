"""An hour without the phone: what of it arrives afterwards, in which order, how often; and what the others hear meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook import outbox
from runbook.adapters.notify import ChildNotifier
from runbook.alert import SymbolStale
from runbook.clock import RehearsalClock
from runbook.engine.channels import Channels
from runbook.engine.parts import Parts
from runbook.outbox import REPEAT_MARK, State
from runbook.ports import Delivery, Message, Notifier
from runbook.teller import Teller
from tests.adapters.targets import Mailbox, Receiver, Tarpit, free_port, running
from tests.alert_desk import AlertDesk
from tests.fakes import FakeNotifier, at, until


class Hostile(FakeNotifier):
    """Refuses while `down`; the first message with `odd` in its title times out there although it arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.odd = ""
        self.tries = 0

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        if channel != "phone" or not self.down:
            return super().send(channel, message, timeout)
        self.tries += 1
        if self.odd and self.odd in message.title:
            self.odd = ""
            self.sent.append((channel, message))
            return Delivery.UNKNOWN, "no answer in time"
        return Delivery.FAILED, "no connection in time"


class Desk(AlertDesk):
    """An AlertDesk whose outbox is emptied by a real teller, on one clock."""

    def __init__(self, folder: Path, notifier: Notifier, channels: tuple[str, ...] = ("phone",), **more) -> None:
        super().__init__(folder, channels=channels, **more)
        self.clock = RehearsalClock(self.now)
        self.notifier = notifier
        self.teller = Teller(self.store, notifier, channels, self.clock)
        self.channels = Channels(self.alerting, _parts(self))
        self.store.epoch = 3
        self.teller.start()

    def turn(self) -> None:
        super().turn()
        self.clock.jump_to(self.now)
        self.empty()
        with self.store.look() as look:
            self.channels.due(look, self.clock.now())
        self.empty()

    def empty(self) -> None:
        """Until nothing that is due waits, but for a channel that hangs."""

        def idle() -> bool:
            self.teller.nudge()
            with self.store.read() as books:
                rows = [r for c in self.alerting.voice.channels for r in books.alerts.waiting(c) if not r.final]
            if (
                any(r.state is State.QUEUED and r.due_at <= self.clock.now() for r in rows)
                and not self.teller.busy_with
            ):
                self.clock.jump_to(self.clock.now() + outbox.SPACING)  # the second between two messages
            return not [r for r in rows if r.due_at <= self.clock.now() or r.state is State.SENDING]

        until(idle, "the outbox is not emptied", 20)

    def minutes(self, count: int) -> None:
        for _ in range(count):
            self.wait(minutes=1)

    def close(self) -> None:
        self.teller.stop()
        self.store.close()


def _parts(desk: Desk) -> Parts:
    """What the channels' keeper asks of an engine's parts."""
    from types import SimpleNamespace
    from typing import cast

    return cast("Parts", SimpleNamespace(voice=desk.alerting.voice, teller=desk.teller, mode="local_paper"))


@pytest.fixture
def made() -> Iterator[list[Desk]]:
    desks: list[Desk] = []
    yield desks
    for desk in desks:
        desk.close()


def test_after_an_hour_without_the_phone_every_open_state_arrives_in_order_and_what_is_over_as_one_line(tmp_path, made):
    phone = Hostile()
    desk = Desk(tmp_path, phone, ("phone", "mail"))
    made.append(desk)
    phone.down = True
    desk.minutes(2)
    desk.feed("fallback")
    desk.minutes(3)
    desk.feed("live", "held 30 s")  # a pair that is over
    desk.minutes(5)
    desk.job("recon")
    desk.minutes(2)
    phone.odd = "report failed"
    desk.job("report")  # this one arrives, but nobody knows
    desk.minutes(8)
    desk.cause(SymbolStale("SBIN", desk.now, "no tick for 40 s"))
    desk.minutes(10)
    desk.job("report", "succeeded")
    for _ in range(6):
        desk.wait(minutes=5)
    assert phone.tries > 8
    assert len(phone.titles()) == 1
    phone.down = False
    for _ in range(4):
        desk.wait(minutes=5)

    heard = [title.split(" since")[0].split(" at ")[0].split(" #")[0] for title in phone.titles()]
    assert heard == [
        "[WARN] report failed",
        "10:02-10:05 feed on REST, recovered (delayed notice)",
        "[WARN] recon failed",
        "[WARN] no ticks of SBIN, the others tick",
        "[OK] report works again",
    ]
    unmarked = [title for title in phone.titles() if REPEAT_MARK not in title]
    assert len(unmarked) == len(set(unmarked)), "only a marked repeat may double"
    with desk.store.read() as books:
        assert not books.alerts.unsent()
    told = [title.split(" since")[0] for title in phone.titles("mail")]
    assert "[WARN] channel phone delivers nothing" in told, "the dead channel is told over the other"
    assert any("channel phone sends again" in title for title in told)
    assert not any("channel phone" in title for title in phone.titles())


def test_an_endpoint_that_refused_gets_all_of_it_once_it_listens(tmp_path, made):
    """The real sender against a real port: first nobody listens, then a receiver does."""
    port = free_port()
    desk = Desk(tmp_path, ChildNotifier({"hook": f"json://127.0.0.1:{port}/"}), ("hook",))
    made.append(desk)
    desk.job("recon")
    desk.job("report")
    desk.turn()
    with desk.store.read() as books:
        assert {(r.state, "connection refused" in r.reason) for r in books.alerts.waiting("hook")} == {
            (State.QUEUED, True)
        }
    receiver = Receiver(port)
    with running(receiver.server):
        desk.wait(minutes=2)
    (got,) = receiver.got
    assert got["title"].startswith("[WARN] recon failed since 10:00 #1, and 1 more")
    assert "* [WARN] report failed since 10:00 #2" in got["message"]


def test_an_endpoint_that_took_a_message_and_never_answered_gets_it_once_more_and_marked(tmp_path, made):
    pit = Tarpit()
    desk = Desk(tmp_path, ChildNotifier({"hook": f"json://127.0.0.1:{pit.port}/?rto=0.3"}), ("hook",))
    made.append(desk)
    desk.job("recon")
    desk.turn()
    desk.wait(minutes=1)
    pit.close()
    (row,) = desk.rows
    assert (row.state, row.attempts, row.repeat, row.epoch) == (State.UNKNOWN, 2, True, 3)


def test_what_waited_for_the_session_is_one_mail_and_a_refused_login_kills_no_other_channel(tmp_path, made):
    box = Mailbox()
    box.controller.start()
    tail = f"127.0.0.1:{box.port}?from=runbook@example.org&to=trader@example.org"
    notifier = ChildNotifier({"mail": f"mailto://desk:pass-word-9@{tail}", "wrong": f"mailto://desk:no@{tail}"})
    desk = Desk(tmp_path, notifier, ("mail", "wrong"), now=at("07:00"))
    made.append(desk)
    desk.job("recon")
    desk.wait(minutes=10)
    desk.job("report")
    desk.wait(minutes=10)
    assert box.got == []
    desk.pass_to("08:15")
    desk.pass_to("08:22")
    box.controller.stop()
    subjects = [mail["subject"] for mail in box.got]
    assert subjects[0] == "[WARN] 2 messages that waited for the session"
    assert [s.split(" since")[0] for s in subjects[1:]] == ["[WARN] channel wrong delivers nothing"]


def test_a_wrong_telegram_token_is_told_at_once_over_the_other_channel(tmp_path, made):
    phone = FakeNotifier({"phone": [(Delivery.MISCONFIGURED, "Unauthorized, error=401")]})
    desk = Desk(tmp_path, phone, ("phone", "mail"))
    made.append(desk)
    desk.job("recon")
    desk.turn()
    assert [t.split(" since")[0] for t in phone.titles("mail")] == [
        "[WARN] recon failed", "[WARN] channel phone delivers nothing",
    ]  # fmt: skip
    desk.job("report")
    desk.turn()
    assert "channel phone sends again" in phone.titles("mail")[-1]


def test_a_host_without_a_network_says_so_once_it_has_one(tmp_path, made):
    class Cable(FakeNotifier):
        pulled = True

        def send(self, channel, message, timeout):
            return (
                (Delivery.FAILED, "the host's name is not found")
                if self.pulled
                else super().send(channel, message, timeout)
            )

    cable = Cable()
    desk = Desk(tmp_path, cable, ("phone", "mail"))
    made.append(desk)
    desk.job("recon")
    for _ in range(8):
        desk.wait(minutes=1)
    assert desk.alert("uplink.down").what == "phone: the host's name is not found; mail: the host's name is not found"
    assert {a.muted for a in desk.alerts() if a.rule == "channel.dead"} == {
        f"inhibited: it follows from this host reaches nobody outside #{desk.alert('uplink.down').number}"
    }
    cable.pulled = False
    for _ in range(4):
        desk.wait(minutes=5)
    for channel in ("phone", "mail"):
        titles = cable.titles(channel)
        assert [t.split(" since")[0] for t in titles][:1] == ["[WARN] recon failed"]
        assert not any("delivers nothing" in t for t in titles), "no channel was dead, the host was"
        assert any("this host reaches nobody" in t or "online again" in t for t in titles)
    assert [a.rule for a in desk.alerts() if a.state == "open"] == ["job.failed"]
