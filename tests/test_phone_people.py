"""The phone and the command line do the same: the real functions, the real ledger, pressed and typed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from runbook.adapters.store import Store
from runbook.adapters.telegram import Bot
from runbook.alert import Alert, AlertChange, AlertState, ChangeKind, Severity
from runbook.app import phone as composed
from runbook.ask import Ask, AskKind, AskState
from runbook.clock import SystemClock
from runbook.listener import Listener, Views
from runbook.phone import Door
from tests.fakes import MONDAY, ledger_file, until
from tests.telegram_world import ME, TOKEN, TelegramWorld

NOW = SystemClock().now()


@pytest.fixture
def world() -> Iterator[TelegramWorld]:
    with TelegramWorld() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(ledger_file(tmp_path))
    yield made
    made.close()


@pytest.fixture
def listening(world: TelegramWorld, store: Store) -> Iterator[Bot]:
    """Somebody listens; gives a bot to send with."""
    bot = Bot(TOKEN, api=world.api)
    made = Listener(
        bot, bot.number, Door(ME, frozenset({ME})), store, SystemClock(), composed.deeds(),
        Views(lambda _: "", lambda _: "", lambda _: ""), lambda _notice: None, seconds=5,
    )  # fmt: skip
    made.start()
    until(lambda: world.polled >= 2, "nobody listens")
    yield bot
    made.stop()


def shows(bot: Bot, store: Store, *about: str) -> None:
    bot.send(ME, "look", composed.buttons(store, composed.deeds())(about))


def opened(store: Store) -> Alert:
    alert = Alert(
        "feed.fallback",
        (("feed", "NIFTY"),),
        Severity.WARNING,
        NOW,
        "no ticks",
        "",
        "",
        AlertState.OPEN,
        peak="feed.fallback",
    )
    with store.write() as books:
        (change,) = books.alerts.apply([AlertChange(ChangeKind.OPENED, NOW, alert, tell=True)], MONDAY)
    assert change.alert is not None
    return change.alert


def asked(store: Store) -> Ask:
    ask = Ask(
        "approval:x", AskKind.APPROVAL, MONDAY, "restart", "Restart OpenAlgo?", ("yes", "no"), "no", {"cause": "down"},
        NOW, NOW + timedelta(hours=1),
    )  # fmt: skip
    with store.write() as books:
        made = books.asks.open(ask)
    assert made is not None
    return made


def test_the_button_acknowledges_the_alert_and_its_silence_names_it(listening, world, store):
    alert = opened(store)
    shows(listening, store, alert.key)
    world.presses(f"Ack #{alert.number}")
    until(lambda: any("acknowledged after" in text for text in world.texts()), f"{world.texts()}")
    world.presses("Silence 30m")
    until(lambda: any("silence 1: feed{feed=NIFTY} for 30m" in text for text in world.texts()), f"{world.texts()}")
    with store.read() as books:
        (held,) = books.alerts.unresolved()
        (silence,) = books.silences.holding(SystemClock().now())
    assert (held.acked_by, silence.by) == (f"telegram:{ME}", f"telegram:{ME}")
    world.says("/unsilence 1")
    until(lambda: any("is over; what is still wrong is told now" in text for text in world.texts()), f"{world.texts()}")


def test_what_is_acknowledged_already_is_offered_no_more(listening, world, store):
    alert = opened(store)
    world.says(f"/ack {alert.number} logging in")
    until(lambda: any("acknowledged after" in text for text in world.texts()), f"{world.texts()}")
    shows(listening, store, alert.key)
    assert world.sent[-1].buttons == ["Silence 30m", "Recheck"]


def test_a_question_is_answered_by_its_button_and_once(listening, world, store):
    ask = asked(store)
    shows(listening, store, f"ask@{ask.number}")
    assert world.sent[-1].buttons == ["yes", "no"]
    world.presses("yes")
    until(lambda: any(f"ask {ask.number}, restart: yes" in text for text in world.texts()), f"{world.texts()}")
    with store.read() as books:
        done = books.asks.ask(ask.number or 0)
    assert done is not None
    assert (done.state, done.answer, done.by) == (AskState.ANSWERED, "yes", f"telegram:{ME}")
    until(lambda: not next(s for s in world.sent if s.text == "look").buttons, "the choices stay")
    world.says(f"/answer {ask.number} no")
    until(lambda: any("an answer counts once" in text for text in world.texts()), f"{world.texts()}")


def test_what_needs_the_daemon_says_so_where_none_lives(listening, world):
    world.says("/recheck")
    until(lambda: any("no daemon runs that could look again" in text for text in world.texts()), f"{world.texts()}")


def test_what_the_real_functions_refuse_is_said_as_they_say_it(listening, world):
    world.says("/ack 77")
    until(lambda: any("there is no alert #77\n-> open now: none" in text for text in world.texts()), f"{world.texts()}")
    world.says("/silence 9h feed")
    until(lambda: any("silenced for 2h at most" in text for text in world.texts()), f"{world.texts()}")
    world.says("/silence 1h fede")
    until(lambda: any("no rule 'fede'" in text for text in world.texts()), f"{world.texts()}")
