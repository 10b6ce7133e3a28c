"""The door to Telegram's bot API, held against a bot API on loopback: real sockets, nothing patched."""

from __future__ import annotations

import html
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook.adapters.notify import ByChannel
from runbook.adapters.telegram import ROOM, Bot, TelegramNotifier, fit, shaped
from runbook.clock import host_monotonic
from runbook.errors import PhoneFlooded, PhoneRefused, PhoneRejected, PhoneShared, PhoneUnreachable
from runbook.phone import Button, alert_buttons, mark
from runbook.ports import Delivery, Message
from tests.adapters.targets import free_port
from tests.fakes import FakeNotifier, until
from tests.telegram_world import BOT_NAME, GROUP, ME, STRANGER, TOKEN, TelegramWorld

TYPED = Message(
    "[WARN] feed on REST (M&M <NSE> NIFTY_26*FUT) #41",
    "seen: M&M <b>no tick</b> &amp; NIFTY_24_NOV*CE\n  indented `x` [y](z)\n\nhttp://desk/x?a=1&b=2_3",
)
KEYS = alert_buttons([(41, mark("x"))])
PLENTY = 20.0
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_proxy_of_the_host(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def world():
    with TelegramWorld() as made:
        yield made


@pytest.fixture
def bot(world):
    made = Bot(TOKEN, api=world.api)
    yield made
    made.close()


def notifier(world, chat=ME, keyboard=lambda _about: (), token=TOKEN):
    return TelegramNotifier(Bot(token, api=world.api), chat, keyboard)


# -- sending ------------------------------------------------------------------------------------------------------------


def test_a_message_arrives_as_it_was_typed_with_its_title_bold_and_buttons_under_it(world):
    asked = []

    def keys(about):
        asked.append(about)
        return KEYS

    desk = notifier(world, keyboard=keys)
    assert desk.send("phone", Message(TYPED.title, TYPED.body, ("feed{}@x",)), PLENTY) == (Delivery.SENT, "")
    (sent,) = world.sent
    assert sent.text.startswith(f"<b>{html.escape(TYPED.title, quote=False)}</b>\n")
    assert sent.plain == f"{TYPED.title}\n{TYPED.body}"
    assert sent.buttons == ["Ack #41", "Silence 30m", "Recheck"]
    assert asked == [("feed{}@x",)]
    fields = world.calls[-1][1]
    assert fields["link_preview_options"] == {"is_disabled": True}, "the dashboard is nobody's preview"
    assert world.polled == 0


def test_what_is_about_nothing_has_no_buttons(world):
    assert notifier(world, keyboard=lambda _: KEYS).send("phone", TYPED, PLENTY)[0] is Delivery.SENT
    assert world.sent[0].buttons == []


def test_a_long_message_is_cut_and_says_so(world):
    long = Message("[CRIT] " + "&" * 300, "\n".join(f"{i:04d} <M&M> \U0001f4c9 _x_" for i in range(600)))
    assert notifier(world).send("phone", long, PLENTY) == (Delivery.SENT, "")
    assert world.sent[0].text.endswith("… (cut)")
    assert len(world.sent[0].text) <= ROOM


@pytest.mark.parametrize("room", range(20, 60))
def test_a_cut_splits_no_entity_and_keeps_within_the_room(room):
    text = "M&M <NSE> \U0001f4c9 & more " * 10
    cut = html.escape(fit(text, room), quote=False)
    assert len(cut.encode("utf-16-le")) // 2 <= room
    assert text.startswith(html.unescape(cut).removesuffix("\n… (cut)"))


def test_a_message_without_a_body_is_its_title():
    assert shaped(Message("a < b", "  ")) == "<b>a &lt; b</b>"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("123456789:AAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "Unauthorized (error=401)"),
        ("0:no-token", "Not Found (error=404)"),
    ],
)
def test_a_wrong_token_is_misconfigured_and_not_shown(world, token, said):
    delivery, reason = notifier(world, token=token).send("phone", TYPED, PLENTY)
    assert (delivery, reason) == (Delivery.MISCONFIGURED, f"sendMessage: {said}")


def test_a_chat_that_is_not_there_or_has_blocked_the_bot_is_a_failure_that_names_it(world):
    assert notifier(world, chat=42).send("phone", TYPED, PLENTY) == (
        Delivery.FAILED,
        "sendMessage: Bad Request: chat not found (error=400)",
    )
    world.blocked.add(ME)
    delivery, reason = notifier(world, keyboard=lambda _: KEYS).send("phone", Message("a", "b", ("k",)), PLENTY)
    assert (delivery, "blocked by the user (error=403)" in reason) == (Delivery.FAILED, True)


def test_buttons_that_telegram_refuses_never_cost_the_alert(world):
    wide = ((Button("too wide", "x" * 65),),)
    desk = notifier(world, keyboard=lambda _: wide)
    assert desk.send("phone", Message("alarm", "b", ("k",)), PLENTY) == (Delivery.SENT, "")
    assert (world.sent[0].plain, world.sent[0].buttons) == ("alarm\nb", [])


def test_a_group_that_became_another_chat_is_followed_and_the_log_says_what_to_write(world, caplog):
    world.moved[-55] = GROUP
    desk = notifier(world, chat=-55)
    assert desk.send("phone", TYPED, PLENTY)[0] is Delivery.SENT
    assert desk.send("phone", TYPED, PLENTY)[0] is Delivery.SENT
    assert [s.chat for s in world.sent] == [GROUP, GROUP]
    assert caplog.text.count(f"chat: {GROUP}") == 1


def test_a_short_flood_is_waited_for_and_a_long_one_is_respected_without_asking_again(world):
    desk = notifier(world)
    world.flood("sendMessage", 1)
    began = host_monotonic()
    assert desk.send("phone", TYPED, PLENTY)[0] is Delivery.SENT
    assert host_monotonic() - began >= 1.0, "not before Telegram allows it"
    world.flood("sendMessage", 40)
    delivery, reason = desk.send("phone", TYPED, PLENTY)
    assert (delivery, "error=429" in reason, "of silence" in reason) == (Delivery.FAILED, True, True)
    calls = len(world.calls)
    assert desk.send("phone", TYPED, PLENTY)[0] is Delivery.FAILED
    assert len(world.calls) == calls, "Telegram was not asked while it wants silence"


def test_no_answer_is_unknown_no_connection_and_no_telegram_are_failures(world):
    nobody = TelegramNotifier(Bot(TOKEN, api=f"http://127.0.0.1:{free_port()}"), ME)
    assert nobody.send("phone", TYPED, PLENTY) == (Delivery.FAILED, "sendMessage: connection refused")
    world.garbage["sendMessage"] = [(502, "<html>Bad Gateway</html>"), (200, "<html>Sign in to the WiFi</html>")]
    for status in (502, 200):
        delivery, reason = notifier(world).send("phone", TYPED, PLENTY)
        assert (delivery, f"HTTP {status}, and no answer of Telegram's" in reason) == (Delivery.FAILED, True)
    world.refuse("sendMessage", 500, "Internal Server Error")
    assert notifier(world).send("phone", TYPED, PLENTY)[0] is Delivery.FAILED
    world.hangs.add("sendMessage")
    began = host_monotonic()
    delivery, reason = notifier(world).send("phone", TYPED, 0.6)
    assert host_monotonic() - began < 2.0
    assert (delivery, "no answer in time" in reason) == (Delivery.UNKNOWN, True)


def test_closing_ends_a_send_that_hangs(world):
    world.hangs.add("sendMessage")
    desk = notifier(world)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(desk.send, "phone", TYPED, PLENTY)
        until(world.reached.is_set, "nothing reaches the server")
        desk.close()
        assert sending.result(timeout=3)[0] is Delivery.UNKNOWN
    assert desk.send("phone", TYPED, PLENTY) == (Delivery.FAILED, "runbook is stopping")


def test_each_channel_goes_to_its_own_notifier_and_the_rest_to_the_other(world):
    rest = FakeNotifier()
    both = ByChannel({"phone": notifier(world)}, rest)
    assert both.send("phone", TYPED, PLENTY)[0] is Delivery.SENT
    assert both.send("mail", TYPED, PLENTY)[0] is Delivery.SENT
    assert ([s.chat for s in world.sent], rest.titles("mail")) == ([ME], [TYPED.title])
    both.close()
    assert both.send("phone", TYPED, PLENTY)[0] is Delivery.FAILED


# -- listening ----------------------------------------------------------------------------------------------------------


def test_what_people_write_and_press_is_heard_in_order_with_who_where_and_when(world, bot):
    bot.send(ME, "alarm", KEYS)
    number = world.says("/status")
    world.presses("Ack #41")
    world.says("/plan", chat=GROUP)
    batch = bot.listen(None, 0)
    text, press, group = batch.heard
    assert (text.user, text.chat, text.text, text.message, text.private) == (ME, ME, "/status", number, True)
    assert text.at is not None
    assert (press.press != "", press.data, press.keyboard) == (True, KEYS[0][0].data, KEYS)
    assert press.at is None, "a press comes without its time"
    assert (group.chat, group.private) == (GROUP, False)
    assert batch.after == group.update + 1
    assert bot.listen(batch.after, 0).heard == ()
    assert world.waiting == 0, "confirmed"


def test_a_long_poll_ends_as_soon_as_somebody_speaks(world, bot):
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(bot.listen, None, 20)
        until(lambda: world.polled, "nobody polls")
        world.says("/status")
        assert [h.text for h in listening.result(timeout=5).heard] == ["/status"]


def test_what_is_no_text_is_passed_over_and_never_comes_again(world, bot):
    world.posts_something_else()
    batch = bot.listen(None, 0)
    assert batch.heard == ()
    assert batch.after is not None
    world.says("/status")
    assert [h.text for h in bot.listen(batch.after, 0).heard] == ["/status"]


def test_borrowed_words_are_marked(world, bot):
    world.says("/ack 1", forward_origin={"type": "user"})
    world.says("/ack 2", chat=GROUP, sender_chat={"id": GROUP})
    world.says("/ack 3", via_bot={"id": 5})
    assert [h.borrowed for h in bot.listen(None, 0).heard] == [True, True, True]


def test_somebody_else_who_polls_the_same_bot_is_named(world, bot):
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(bot.listen, None, 20)
        until(lambda: world.polled, "nobody polls")
        world.other_poller()
        with pytest.raises(PhoneShared, match="terminated by other getUpdates") as caught:
            listening.result(timeout=5)
    assert "a bot of its own" in (caught.value.hint or "")
    world.webhook = "https://example.org/hook"
    with pytest.raises(PhoneShared, match="webhook is active"):
        bot.listen(None, 0)


def test_closing_ends_a_long_poll_within_a_second(world, bot):
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(bot.listen, None, 25)
        until(lambda: world.polled, "nobody polls")
        began = host_monotonic()
        bot.close()
        with pytest.raises(PhoneUnreachable, match="stopping"):
            listening.result(timeout=5)
        assert host_monotonic() - began < 2.0


def test_the_rest_of_what_telegram_says_has_its_own_errors(world, bot):
    assert bot.name() == BOT_NAME
    assert bot.number == 987654321
    world.flood("getUpdates", 7)
    with pytest.raises(PhoneFlooded) as flood:
        bot.listen(None, 0)
    assert flood.value.seconds == 7
    with pytest.raises(PhoneRejected, match="query is too old"):
        bot.answer("000", "done")
    bot.send(ME, "alarm", KEYS)
    with pytest.raises(PhoneRejected, match="message is not modified"):
        bot.buttons(ME, world.sent[0].number, KEYS)
    bot.buttons(ME, world.sent[0].number, ())
    assert world.sent[0].buttons == []
    world.presses_data("x", world.sent[0])
    (press,) = bot.listen(None, 0).heard
    bot.answer(press.press, "long " * 100)
    assert len(world.toasts[0]) <= 200
    with pytest.raises(PhoneRefused):
        Bot("123456789:AAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", api=world.api).name()


# -- secrets ------------------------------------------------------------------------------------------------------------


_LOUD = """
import logging, sys, traceback
from pathlib import Path
from runbook.adapters.telegram import Bot
from runbook.logs import setup
from runbook.redact import Redactor
token, api, nowhere, file = sys.argv[1:]
setup(logging.DEBUG, Redactor([token]), Path(file))
logging.getLogger("urllib3").setLevel(logging.DEBUG)  # somebody insists
for bot in (Bot(token, api=api), Bot(token, api=nowhere), Bot(token[:-1] + "x", api=api), Bot(token, api=api)):
    try:
        print(bot, bot.name())
    except Exception as exc:
        traceback.print_exception(exc, file=sys.stdout)  # as --debug does, past every filter
        print(repr(exc), exc.__context__, exc.__cause__)
        logging.getLogger("runbook.test").exception("it failed")
"""


def test_the_token_stands_in_no_log_no_error_and_no_traceback_even_where_the_library_logs_its_paths(world, tmp_path):
    world.refuse("getMe", 400, f"Bad Request: /bot{TOKEN}/getMe is odd")
    command = [sys.executable, "-c", _LOUD, TOKEN, world.api, f"http://127.0.0.1:{free_port()}", str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "POST /bot***/getMe" in log, "the library did log its paths"
    for error in ("PhoneRejected", "PhoneUnreachable: getMe: connection refused", "PhoneRefused"):
        assert error in done.stdout
    secret = TOKEN.partition(":")[2][:-1]
    assert secret not in log + done.stdout + done.stderr


def test_a_stranger_and_two_threads_share_one_bot_without_harm(world, bot):
    """The teller sends while the listener waits."""
    with ThreadPoolExecutor(2) as pool:
        listening = pool.submit(bot.listen, None, 20)
        until(lambda: world.polled, "nobody polls")
        for n in range(5):
            bot.say(ME, f"message {n}")
        assert world.texts() == [f"message {n}" for n in range(5)]
        world.says("hello", STRANGER)
        assert listening.result(timeout=5).heard[0].user == STRANGER
