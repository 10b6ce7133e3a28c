"""An alert on its way by e-mail: outbox, teller, Apprise in its child, and a real SMTP server, in clear and over TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from runbook.adapters.notify import ChildNotifier
from runbook.adapters.store import Store
from runbook.alert import Alert, AlertChange, AlertState, ChangeKind, Severity
from runbook.clock import RehearsalClock
from runbook.outbox import REPEAT_MARK, Row, State
from runbook.ports import Delivery, Message
from runbook.session import INDIA
from runbook.teller import Teller, Voice, rows_for
from tests.adapters.targets import AUTHORITY, Mailbox, Tarpit
from tests.fakes import MONDAY, at, ledger_file, until

NOW = at("10:02")
TAIL = "?from=runbook@example.org&to=trader@example.org"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    box.controller.start()
    yield box
    box.controller.stop()


class Desk:
    """A ledger with a teller on one channel, `mail`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.store = Store(ledger_file(folder))
        self.clock = RehearsalClock(NOW)
        self.teller = Teller(self.store, ChildNotifier({"mail": url}), ("mail",), self.clock)
        self.teller.start()

    def alarms(self, changes: int = 1) -> None:
        alert = Alert(
            "feed.fallback", (("feed", "NIFTY"),), Severity.WARNING, NOW, "no ticks for 120 s; NIFTY_24*CE <M&M>",
            "prices go on over REST", "log in again", AlertState.OPEN, peak="feed.fallback", told=changes,
        )  # fmt: skip
        with self.store.write() as books:
            applied = books.alerts.apply([AlertChange(ChangeKind.OPENED, NOW, alert, tell=True)], MONDAY)
            books.alerts.enqueue(rows_for(applied, Voice(("mail",), INDIA), NOW, None, None), MONDAY)
        self.teller.nudge()

    def row(self) -> Row:
        with self.store.read() as books:
            return books.alerts.messages(MONDAY)[0]

    def passes(self, seconds: float) -> None:
        self.clock.jump_to(self.clock.now() + timedelta(seconds=seconds))
        self.teller.nudge()

    def close(self) -> None:
        self.teller.stop()
        self.store.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[object]:
    made: list[Desk] = []

    def make(url: str) -> Desk:
        made.append(Desk(tmp_path, url))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_alert_arrives_by_mail_with_its_title_as_the_subject_and_its_body_intact(desk, mailbox):
    one = desk(f"mailto://desk:pass-word-9@127.0.0.1:{mailbox.port}{TAIL}")
    one.alarms()
    until(lambda: one.row().state is State.SENT, "it is not sent", 20)
    (mail,) = mailbox.got
    assert mail["subject"] == "[WARN] feed on REST since 10:02 (NIFTY) #1"
    body = mail.get_body(("plain",)).get_content()
    for line in ("seen: no ticks for 120 s; NIFTY_24*CE <M&M>", "done: prices go on over REST", "do: log in again"):
        assert line in " ".join(body.split())


def test_a_refused_recipient_is_a_failure_that_is_tried_again(desk, mailbox):
    mailbox.refuse.add("trader@example.org")
    one = desk(f"mailto://desk:pass-word-9@127.0.0.1:{mailbox.port}{TAIL}")
    one.alarms()
    until(lambda: one.row().reason, "nothing is tried", 20)
    row = one.row()
    assert (row.state, row.attempts, row.repeat) == (State.QUEUED, 1, False)
    assert "trader@example.org" not in row.reason
    mailbox.refuse.clear()
    one.passes(10)
    until(lambda: one.row().state is State.SENT, "it is not tried again", 20)
    assert REPEAT_MARK not in mailbox.got[0]["subject"], "nobody has it yet"


@pytest.mark.soak  # the door's own half of it is in test_notify.py
def test_a_server_that_takes_a_mail_and_says_nothing_leaves_it_unknown_and_the_repeat_is_marked(desk):
    pit = Tarpit(smtp=True)
    try:
        one = desk(f"mailto://127.0.0.1:{pit.port}{TAIL}&cto=1&rto=1")
        one.alarms()
        until(pit.reached.is_set, "nothing reaches the server", 20)
        until(lambda: one.row().repeat, "it is not seen as unknown", 20)
        pit.reached.clear()
        one.passes(10)
        until(pit.reached.is_set, "the repeat does not come", 20)
        until(lambda: one.row().state is State.UNKNOWN, "it is tried for ever", 20)
        assert one.row().attempts == 2
    finally:
        pit.close()


@pytest.mark.parametrize("mode", [pytest.param("ssl", marks=pytest.mark.soak), "starttls"])
def test_mail_goes_over_tls_to_a_server_whose_certificate_is_trusted_and_to_no_other(mode, tmp_path, monkeypatch):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1", "localhost").configure_cert(tls)
    box = Mailbox(tls=tls, mode=mode)
    box.controller.start()
    url = f"mailtos://desk:pass-word-9@localhost:{box.port}{TAIL}&mode={mode}"
    try:
        wary = ChildNotifier({"mail": url})
        delivery, reason = wary.send("mail", Message("title", "body"), 20)
        wary.close()
        assert (delivery, reason.split("; ")[-1]) == (Delivery.FAILED, "TLS failed")
        AUTHORITY.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        trusting = ChildNotifier({"mail": url})
        assert trusting.send("mail", Message("title", "body"), 20) == (Delivery.SENT, "")
        trusting.close()
        assert [mail["subject"] for mail in box.got] == ["title"]
    finally:
        box.controller.stop()
