"""The door to Apprise, held against real receivers on loopback. No target is mocked and no plug-in is changed."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook.adapters.notify import ChildNotifier, check_url
from runbook.adapters.notify_child import CUT, fit, redact
from runbook.ports import Delivery, Message
from tests.adapters.targets import (
    AUTHORITY,
    CHAT,
    TOKEN,
    Mailbox,
    Receiver,
    Tarpit,
    Telegram,
    free_port,
    running,
)
from tests.fakes import until

TYPED = Message(
    "[WARN] feed on REST (M&M <NSE> NIFTY_26*FUT) #41",
    "seen: M&M <b>no tick</b> &amp; NIFTY_24_NOV*CE\n  indented `x` [y](z)\n\nhttp://desk/x?a=1&b=2_3",
)
PLENTY = 20.0  # seconds: an upper bound for a send that is expected to work, never waited for


@pytest.fixture(autouse=True)
def _no_proxy_of_the_host(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def receiver():
    server = Receiver()
    with running(server.server):
        yield server


@pytest.fixture(scope="module")
def mailbox():
    box = Mailbox()
    box.controller.start()
    yield box
    box.controller.stop()


@pytest.fixture
def telegram(monkeypatch, tmp_path):
    stand_in = Telegram()
    AUTHORITY.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{stand_in.port}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    with running(stand_in.server):
        yield stand_in


@pytest.fixture
def tarpit():
    made = []

    def make(**kwargs):
        made.append(Tarpit(**kwargs))
        return made[-1]

    yield make
    for pit in made:
        pit.close()


@pytest.fixture
def notifier():
    made = []

    def make(channels, **kwargs):
        made.append(ChildNotifier(channels, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close()


def child_of(notifier, channel):
    return notifier._channels[channel]._child


def test_a_webhook_receives_what_was_typed_and_the_same_child_serves_the_next_message(receiver, notifier):
    desk = notifier({"hook": f"json://127.0.0.1:{receiver.port}/path"})
    assert desk.send("hook", TYPED, PLENTY) == (Delivery.SENT, "")
    first = child_of(desk, "hook")
    assert (
        desk.send("hook", Message("10:02-10:04 feed on REST, recovered (delayed notice)", ""), PLENTY)[0]
        is Delivery.SENT
    )
    assert child_of(desk, "hook") is first
    assert (receiver.got[0]["title"], receiver.got[0]["message"]) == (TYPED.title, TYPED.body)
    assert "delayed notice" in receiver.got[1]["message"], "a message of one line still has a text"

    receiver.status = 503
    delivery, reason = desk.send("hook", TYPED, PLENTY)
    assert delivery is Delivery.FAILED
    assert "error=503" in reason
    assert len(receiver.got) == 3, "the outbox owns retries"


def test_apprise_does_not_retry_although_the_url_asks_for_it(receiver, notifier):
    receiver.status = 500
    desk = notifier({"hook": f"json://127.0.0.1:{receiver.port}/?retry=3&wait=0.1"})
    assert desk.send("hook", TYPED, PLENTY)[0] is Delivery.FAILED
    assert len(receiver.got) == 1


def test_telegram_shows_what_was_typed_line_by_line(telegram, notifier):
    desk = notifier({"phone": f"tgram://{TOKEN}/{CHAT}"})
    assert desk.send("phone", TYPED, PLENTY) == (Delivery.SENT, "")
    text = telegram.got[0]["text"]
    title, body = text.split("\n", 1)
    assert html.unescape(re.sub(r"</?b>", "", title)).strip() == TYPED.title
    shown = [line.strip("\r") for line in html.unescape(body).split("\n")]
    assert shown == [line or "\u00a0" for line in TYPED.body.split("\n")]

    long = Message("[CRIT] " + "&" * 300, "\n".join(f"{i:04d} <M&M> _x_ *y*" for i in range(400)))
    assert desk.send("phone", long, PLENTY) == (Delivery.SENT, "")
    text = telegram.got[1]["text"]
    assert len(text) <= 3500
    assert text.endswith("… (cut)")
    assert telegram.methods == ["sendMessage"] * 2, (
        "and getUpdates is never called: another program owns the bot's poller"
    )

    telegram.flooded = True
    delivery, reason = desk.send("phone", TYPED, PLENTY)
    assert delivery is Delivery.FAILED
    assert "error=429" in reason


def test_telegram_says_why_it_refuses_and_neither_token_nor_chat_is_in_a_reason_or_a_log(
    telegram, notifier, caplog, capfd
):
    caplog.set_level(1)
    wrong = "987654321:AAHx-another_secret_another_secret_00"
    desk = notifier({"token": f"tgram://{wrong}/{CHAT}", "chat": f"tgram://{TOKEN}/4711004711"})
    delivery, reason = desk.send("token", TYPED, PLENTY)
    assert (delivery, "Unauthorized" in reason, "error=401" in reason) == (Delivery.MISCONFIGURED, True, True)
    delivery, other = desk.send("chat", TYPED, PLENTY)
    assert (delivery, "chat not found" in other) == (Delivery.MISCONFIGURED, True)
    desk.close()
    seen = reason + other + caplog.text + "".join(capfd.readouterr())
    for secret in (wrong, wrong.split(":")[1], TOKEN, str(CHAT), "4711004711"):
        assert secret not in seen


def test_mail_arrives_as_typed_in_both_its_parts(mailbox, notifier):
    url = f"mailto://desk:pass-word-9@127.0.0.1:{mailbox.port}?from=runbook@example.org&to=trader@example.org"
    desk = notifier({"mail": url})
    assert desk.send("mail", TYPED, PLENTY) == (Delivery.SENT, "")
    mail = mailbox.got[-1]
    assert mail["subject"] == TYPED.title
    assert mail["to"] == "trader@example.org"
    rich, plain = mail.get_body(("html",)).get_content(), mail.get_body(("plain",)).get_content()
    quoted = re.search(r"<pre>(.*)</pre>", rich, re.DOTALL)
    assert quoted
    assert html.unescape(quoted[1]).replace("\r\n", "\n") == TYPED.body
    assert [line.strip() for line in plain.split("\n") if line.strip()] == [
        line.strip() for line in TYPED.body.split("\n") if line.strip()
    ]

    began = time.monotonic()
    assert desk.send("mail", TYPED, PLENTY)[0] is Delivery.SENT
    assert time.monotonic() - began < 4, "Apprise's own 5.5 s between two mails is off: spacing is the outbox's"

    mailbox.refuse.add("trader@example.org")
    delivery, reason = desk.send("mail", TYPED, PLENTY)
    mailbox.refuse.clear()
    assert delivery is Delivery.FAILED
    assert "trader@example.org" not in reason


def test_a_refused_login_and_a_refused_port_are_failures_without_the_password(mailbox, notifier):
    tail = "?from=runbook@example.org&to=trader@example.org"
    desk = notifier({
        "login": f"mailto://desk:wrong-pass-7@127.0.0.1:{mailbox.port}{tail}",
        "port": f"mailto://desk:wrong-pass-7@127.0.0.1:{free_port()}{tail}",
    })  # fmt: skip
    for channel, why in (("login", "the login was refused"), ("port", "connection refused")):
        delivery, reason = desk.send(channel, TYPED, PLENTY)
        assert delivery is Delivery.FAILED
        assert why in reason
        assert "wrong-pass-7" not in reason


def test_a_mail_that_was_handed_over_without_an_answer_may_have_arrived(tarpit, notifier):
    pit = tarpit(smtp=True)
    desk = notifier({"mail": f"mailto://127.0.0.1:{pit.port}?from=r@example.org&to=t@example.org&cto=1"})
    assert desk.send("mail", TYPED, PLENTY)[0] is Delivery.UNKNOWN
    assert pit.reached.is_set()


def test_no_answer_is_unknown_no_connection_is_a_failure(tarpit, notifier):
    pit = tarpit()
    desk = notifier({
        "hangs": f"json://127.0.0.1:{pit.port}/?rto=1",
        "refuses": f"json://user:hush-hush@127.0.0.1:{free_port()}/?rto=1",
    })  # fmt: skip
    delivery, reason = desk.send("hangs", TYPED, PLENTY)
    assert (delivery, "no answer in time" in reason) == (Delivery.UNKNOWN, True)
    delivery, reason = desk.send("refuses", TYPED, PLENTY)
    assert (delivery, "connection refused" in reason) == (Delivery.FAILED, True)
    assert "hush-hush" not in reason


def test_a_dripping_target_is_cut_off_at_the_time_out_and_nothing_of_it_lives_on(tarpit, notifier):
    pit = tarpit(drip=0.1)
    desk = notifier({"hook": f"json://127.0.0.1:{pit.port}/"})
    answer = []
    began = time.monotonic()
    thread = threading.Thread(target=lambda: answer.append(desk.send("hook", TYPED, 3.0)))
    thread.start()
    until(pit.reached.is_set, "nothing reaches the hanging target")
    pid = child_of(desk, "hook")._process.pid
    argv = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    assert str(pit.port).encode() not in argv, "a URL never stands in the process list"
    thread.join()
    assert time.monotonic() - began < 3.5
    assert answer[0][0] is Delivery.UNKNOWN
    with pytest.raises(ProcessLookupError):
        os.killpg(pid, 0)


def test_a_channel_that_hangs_does_not_delay_another(tarpit, receiver, notifier):
    pit = tarpit()
    desk = notifier({"dead": f"json://127.0.0.1:{pit.port}/?rto=15", "well": f"json://127.0.0.1:{receiver.port}/"})
    assert desk.send("well", TYPED, PLENTY)[0] is Delivery.SENT
    with ThreadPoolExecutor(1) as pool:
        dead = pool.submit(desk.send, "dead", TYPED, PLENTY)
        until(pit.reached.is_set, "nothing reaches the hanging target")
        began = time.monotonic()
        assert desk.send("well", TYPED, PLENTY)[0] is Delivery.SENT
        assert time.monotonic() - began < 1
        assert not dead.done()
        busy = desk.send("dead", TYPED, 0.05)
        assert (busy[0], "busy" in busy[1]) == (Delivery.FAILED, True)
        desk.close()
        assert dead.result(timeout=5) == (Delivery.UNKNOWN, "the sending process ended in mid-send")
    assert desk.send("well", TYPED, 1) == (Delivery.FAILED, "runbook is stopping")


def test_a_child_killed_in_mid_send_leaves_the_delivery_unknown_and_the_next_message_gets_a_new_one(tarpit, notifier):
    pit = tarpit()
    desk = notifier({"hook": f"json://127.0.0.1:{pit.port}/?rto=1"})
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(desk.send, "hook", TYPED, PLENTY)
        until(pit.reached.is_set, "nothing reaches the hanging target")
        first = child_of(desk, "hook")
        first._process.kill()
        assert sending.result(timeout=5)[0] is Delivery.UNKNOWN
    assert desk.send("hook", TYPED, PLENTY)[0] is Delivery.UNKNOWN
    assert child_of(desk, "hook") is not first


def test_a_child_that_cannot_even_start_has_sent_nothing(tmp_path, notifier):
    broken = tmp_path / "child.py"
    broken.write_text("raise SystemExit(1)")
    desk = notifier({"hook": "json://127.0.0.1:1/"}, child=broken)
    assert desk.send("hook", TYPED, PLENTY) == (Delivery.FAILED, "the sending process ended before it took the message")
    stuck = tmp_path / "stuck.py"
    stuck.write_text("import time; time.sleep(60)")
    desk = notifier({"hook": "json://127.0.0.1:1/"}, child=stuck)
    delivery, reason = desk.send("hook", TYPED, 0.5)
    assert (delivery, "nothing was sent" in reason) == (Delivery.FAILED, True)


def test_a_child_that_goes_idle_just_as_a_message_comes_loses_nothing(tmp_path, notifier):
    leaving = tmp_path / "child.py"  # serves one message, then hangs up while it still looks alive
    leaving.write_text(
        "import os, sys, time\n"
        "sys.stdin.readline(), sys.stdin.readline()\n"
        'print(\'{"taken": true}\\n{"status": "sent", "reason": ""}\', flush=True)\n'
        "os.close(1), time.sleep(60)\n"
    )
    desk = notifier({"hook": "json://127.0.0.1:1/"}, child=leaving)
    assert desk.send("hook", TYPED, PLENTY)[0] is Delivery.SENT
    first = child_of(desk, "hook")
    assert desk.send("hook", TYPED, PLENTY)[0] is Delivery.SENT
    assert child_of(desk, "hook") is not first


def test_an_idle_child_ends_and_the_next_message_starts_another(receiver, notifier):
    desk = notifier({"hook": f"json://127.0.0.1:{receiver.port}/"}, idle=0.1)
    assert desk.send("hook", TYPED, PLENTY)[0] is Delivery.SENT
    first = child_of(desk, "hook")
    until(lambda: not first.alive, "the child lives on")
    assert desk.send("hook", TYPED, PLENTY)[0] is Delivery.SENT
    assert len(receiver.got) == 2


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("foo://s3cret-s3cret/x", "Apprise knows no service foo://"),
        ("s3cret-s3cret", "no URL"),
        ("tgram://s3cret-s3cret/1", "tgram://BOT_TOKEN/CHAT_ID"),
        (f"tgram://{TOKEN}", "names nobody to send to"),
        ("mailto://desk:s3cret-s3cret@127.0.0.1:25", "mailto:// URL"),
    ],
)
def test_a_url_that_apprise_cannot_use_is_named_without_being_printed(url, why, notifier):
    said = check_url(url)
    assert said is not None
    assert why in said
    assert "s3cret" not in said
    assert TOKEN not in said
    assert notifier({"hook": "foo://s3cret"}).send("other", TYPED, 1)[0] is Delivery.MISCONFIGURED


def test_a_good_url_passes_the_check_and_a_bad_one_is_misconfigured_when_it_is_used(receiver, notifier):
    assert check_url(f"json://127.0.0.1:{receiver.port}/") is None
    assert receiver.got == [], "a check sends nothing"
    assert notifier({"hook": "foo://s3cret"}).send("hook", TYPED, PLENTY)[0] is Delivery.MISCONFIGURED


def test_the_daemon_never_loads_apprise():
    code = "import sys, runbook.adapters.notify; sys.exit('apprise' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0


@pytest.mark.parametrize("room", range(20, 90))
def test_a_cut_never_splits_an_entity_and_never_exceeds_the_room(room):
    text = "M&M <NSE> & more " * 10
    cut = html.escape(fit(text, room), quote=False)
    assert len(cut) <= room
    assert cut.endswith(CUT)
    assert text.startswith(html.unescape(cut.removesuffix(CUT)))


def test_redaction_takes_out_every_part_of_a_url_that_may_be_secret():
    url = "jsons://desk:p%40ss-word@hook.example.org:8443/deep/Tok3n9?+X-Key=abc123&to=me@example.org"
    said = redact(f"failed: {url} p@ss-word deep Tok3n9 abc123 me@example.org {TOKEN} at\nhook.example.org", url)
    assert "hook.example.org" in said
    for secret in ("p@ss-word", "p%40ss", "Tok3n9", "abc123", "me@", TOKEN, "\n"):
        assert secret not in said
