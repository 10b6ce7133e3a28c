"""The listener: a person says something to the bot, and it is done once, by whom is allowed, on the state they saw."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from runbook import phone
from runbook.adapters.store import Books, Store
from runbook.adapters.telegram import Bot
from runbook.alert import Alert, AlertChange, AlertState, ChangeKind, Notice, Severity
from runbook.clock import RehearsalClock, SystemClock
from runbook.errors import UsageError
from runbook.listener import Deeds, Listener, Question, Views, keyboard
from runbook.phone import Door
from tests.fakes import MONDAY, ledger_file, until
from tests.telegram_world import BOT_NAME, GROUP, ME, STRANGER, TOKEN, TelegramWorld


class People:
    """What people can do, kept in the ledger as the real functions do: in the transaction that they are given."""

    def __init__(self) -> None:
        self.questions = {12: Question(12, phone.mark("ev"), ("done", "not_done"))}
        self.refuse: str | None = None

    def deeds(self) -> Deeds:
        return Deeds(
            self.ack,
            self.silence,
            self.unsilence,
            self.answer,
            self.recheck,
            lambda _books, number: self.questions.get(number),
        )

    def _note(self, books: Books, kind: str, actor: str, now: datetime, **data: object) -> str:
        books.desk.ask(kind, data, actor, now)
        if self.refuse:
            raise UsageError(self.refuse, hint="say something else")
        return f"{kind} {' '.join(map(str, data.values()))}".strip()

    def ack(self, books: Books, number: int, note: str, actor: str, now: datetime) -> str:
        return self._note(books, "ack", actor, now, number=number, note=note)

    def silence(self, books: Books, pattern: str, until_: datetime, reason: str, actor: str, now: datetime) -> str:
        minutes = round((until_ - now).total_seconds() / 60)
        return self._note(books, "silence", actor, now, pattern=pattern, minutes=minutes)

    def unsilence(self, books: Books, number: int, actor: str, now: datetime) -> str:
        return self._note(books, "unsilence", actor, now, number=number)

    def answer(self, books: Books, number: int, choice: str, note: str, actor: str, now: datetime) -> str:
        del self.questions[number]
        return self._note(books, "answer", actor, now, number=number, choice=choice, note=note)

    def recheck(self, books: Books, actor: str, now: datetime) -> str:
        return self._note(books, "recheck", actor, now)


class Desk:
    """A ledger, the people's bot, and a listener that can be started anew on both."""

    def __init__(self, folder: Path, world: TelegramWorld) -> None:
        self.world = world
        self.people = People()
        self.store = Store(ledger_file(folder), busy_seconds=0.05)
        self.clock: SystemClock | RehearsalClock = SystemClock()
        self.told: list[Notice] = []
        self.listeners: list[Listener] = []

    def start(self, *, token: str = TOKEN, chat: int = ME) -> Listener:
        views = Views(lambda _: "OK at ten", lambda _: "nothing planned", lambda _: "a quiet day")
        bot = Bot(token, api=self.world.api)
        door = Door(chat, frozenset({ME}))
        made = Listener(
            bot, bot.number, door, self.store, self.clock, self.people.deeds(), views, self.told.append, seconds=5
        )
        self.listeners.append(made)
        made.start()
        return made

    def ready(self) -> Listener:
        """Start, and wait until what was said before is behind it."""
        polled = self.world.polled
        listener = self.start()
        until(lambda: self.world.polled >= polled + 2, "it does not listen")
        return listener

    def stop(self) -> None:
        for listener in self.listeners:
            listener.stop()
        self.listeners.clear()

    def opens(self, rule: str = "feed.fallback", severity: Severity = Severity.WARNING) -> Alert:
        """An alert is open; its number comes back with it."""
        alert = Alert(
            rule, (("feed", "NIFTY"),), severity, self.clock.now(), "no ticks", "", "", AlertState.OPEN, peak=rule
        )
        with self.store.write() as books:
            (change,) = books.alerts.apply([AlertChange(ChangeKind.OPENED, self.clock.now(), alert, tell=True)], MONDAY)
        assert change.alert is not None
        return change.alert

    def changes(self, alert: Alert, **how: object) -> None:
        from dataclasses import replace

        with self.store.write() as books:
            books.alerts.apply([AlertChange(ChangeKind.UPDATED, self.clock.now(), replace(alert, **how))], MONDAY)  # type: ignore[arg-type]

    def shows(self, *about: str) -> None:
        """A message about these keys is in the chat, with the buttons the ledger gives now."""
        with self.store.read() as books:
            keys = keyboard(books, about, self.people.deeds().question)
        sender = Bot(TOKEN, api=self.world.api)
        sender.send(ME, "alarm", keys)
        sender.close()

    def done(self) -> list[tuple[str, dict[str, object], str]]:
        """What people did, as the ledger has it."""
        with self.store.read() as books:
            return [(r.kind, dict(r.data), r.by) for r in books.desk.open_requests()]

    def answered(self, text: str) -> None:
        until(
            lambda: any(text in said for said in self.world.texts()), f"nobody answered {text!r}: {self.world.texts()}"
        )


@pytest.fixture
def world() -> Iterator[TelegramWorld]:
    with TelegramWorld() as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path, world: TelegramWorld) -> Iterator[Desk]:
    made = Desk(tmp_path, world)
    yield made
    made.stop()
    made.store.close()


ACTOR = f"telegram:{ME}"


# -- what is asked ------------------------------------------------------------------------------------------------------


def test_what_is_asked_is_answered_under_the_question(desk, world):
    desk.ready()
    asked = world.says("/status")
    desk.answered("OK at ten")
    world.says("/plan")
    desk.answered("nothing planned")
    world.says("/report")
    desk.answered("a quiet day")
    world.says("/help")
    desk.answered("/ack N [note]: ")
    assert next(s for s in world.sent if s.plain == "OK at ten").reply_to == asked
    assert desk.done() == []


def test_what_means_nothing_is_answered_with_what_would(desk, world):
    desk.ready()
    world.says("/ack <all>")
    desk.answered("'<all>' is not the alert's number; accepted: /ack N [note], for example /ack 41 logging in")


# -- what is done -------------------------------------------------------------------------------------------------------


def test_what_is_done_is_done_by_the_person_who_said_it(desk, world):
    desk.ready()
    world.says("/ack 41 logging in")
    desk.answered("ack 41 logging in")
    world.says("/silence 45m feed.symbol")
    desk.answered("silence feed.symbol 45")
    world.says("/unsilence 3")
    desk.answered("unsilence 3")
    world.says("/answer 12 done called them")
    desk.answered("answer 12 done called them")
    world.says("/recheck")
    desk.answered("recheck")
    assert desk.done() == [
        ("ack", {"number": 41, "note": "logging in"}, ACTOR),
        ("silence", {"pattern": "feed.symbol", "minutes": 45}, ACTOR),
        ("unsilence", {"number": 3}, ACTOR),
        ("answer", {"number": 12, "choice": "done", "note": "called them"}, ACTOR),
        ("recheck", {}, ACTOR),
    ]


def test_a_silence_without_a_name_is_for_what_is_open_now_and_for_nothing_else(desk, world):
    desk.ready()
    world.says("/silence 30m")
    desk.answered("no alert is open, so there is nothing to silence; accepted: /silence TIME [what]")
    alert = desk.opens()
    world.says("/silence 30m")
    desk.answered(f"silence {alert.fingerprint} 30")
    assert [data["pattern"] for _, data, _ in desk.done()] == [alert.fingerprint]


def test_what_is_refused_is_undone_and_the_refusal_says_what_to_do(desk, world):
    desk.people.refuse = "there is no alert 7"
    desk.ready()
    world.says("/ack 7")
    desk.answered("there is no alert 7\n-> say something else")
    assert desk.done() == [], "the transaction went with it"


# -- buttons ------------------------------------------------------------------------------------------------------------


def test_the_button_under_an_alert_acknowledges_it_and_goes(desk, world):
    alert = desk.opens()
    desk.shows(alert.key)
    desk.ready()
    world.presses(f"Ack #{alert.number}")
    desk.answered(f"ack {alert.number}")
    until(lambda: world.sent[0].buttons == ["Silence 30m", "Recheck"], f"the buttons are {world.sent[0].buttons}")
    assert world.toasts == [f"ack {alert.number}"]
    assert desk.done() == [("ack", {"number": alert.number, "note": ""}, ACTOR)]
    world.presses("Silence 30m")
    desk.answered(f"silence {alert.fingerprint} 30")
    world.presses("Recheck")
    desk.answered("recheck")
    assert world.sent[0].buttons == ["Silence 30m", "Recheck"], "these may be pressed again"


def test_a_button_of_a_milder_state_does_nothing_and_says_why(desk, world):
    alert = desk.opens()
    desk.shows(alert.key)
    desk.changes(alert, rule="feed.blind", peak="feed.blind", severity=Severity.CRITICAL)
    desk.ready()
    world.presses(f"Ack #{alert.number}")
    desk.answered("that button was about something else")
    until(lambda: world.sent[0].buttons == ["Recheck"], f"the buttons are {world.sent[0].buttons}")
    assert desk.done() == []


def test_a_button_of_an_alert_that_is_over_does_nothing(desk, world):
    alert = desk.opens()
    desk.shows(alert.key)
    desk.changes(alert, state=AlertState.RESOLVED, resolved_at=desk.clock.now())
    desk.ready()
    world.presses("Silence 30m")
    desk.answered(f"alert #{alert.number} is over: nothing was done")
    assert desk.done() == []


def test_an_ask_has_a_button_for_each_choice_and_is_answered_once(desk, world):
    desk.shows("ask@12")
    assert world.sent[0].buttons == ["done", "not done"]
    desk.ready()
    world.presses("not done")
    desk.answered("answer 12 not_done")
    until(lambda: not world.sent[0].buttons, "the choices stay")
    assert desk.done() == [("answer", {"number": 12, "choice": "not_done", "note": ""}, ACTOR)]


def test_a_choice_of_a_question_whose_evidence_has_changed_is_no_answer(desk, world):
    desk.shows("ask@12")
    desk.people.questions[12] = Question(12, phone.mark("other evidence"), ("done", "not_done"))
    desk.ready()
    world.presses("done")
    desk.answered("that button was about something else: question 12")
    assert desk.done() == []


def test_a_message_about_several_alerts_has_a_button_for_each(desk, world):
    one, two = desk.opens(), desk.opens("broker.not_verified", Severity.CRITICAL)
    desk.shows(one.key, two.key)
    assert world.sent[0].buttons == [f"Ack #{one.number}", f"Ack #{two.number}", "Recheck"]
    desk.ready()
    world.presses(f"Ack #{two.number}")
    until(
        lambda: world.sent[0].buttons == [f"Ack #{one.number}", "Recheck"], f"the buttons are {world.sent[0].buttons}"
    )


def test_a_button_that_somebody_made_up_does_nothing(desk, world):
    desk.shows("ask@12")
    desk.ready()
    world.presses_data("buy:NIFTY:50", world.sent[0])
    desk.answered("that button is not of this runbook")
    assert desk.done() == []


# -- who and when -------------------------------------------------------------------------------------------------------


def test_a_stranger_is_not_answered_and_noted_once_without_his_words(desk, world, caplog):
    with caplog.at_level(logging.DEBUG):
        desk.ready()
        for _ in range(3):
            world.says("/ack 41 let me in", STRANGER)
        world.says("/ack 42 me too", STRANGER, GROUP)
        world.says("/status")
        desk.answered("OK at ten")
    assert desk.done() == []
    assert [s for s in world.sent if s.chat != ME] == []
    assert caplog.text.count(f"user {STRANGER} is not in `users`") == 1
    assert "let me in" not in caplog.text


def test_who_is_listed_is_heard_in_the_desks_group_and_nowhere_else_among_others(desk, world):
    world.chats[-55] = "group"
    desk.start(chat=GROUP)
    until(lambda: world.polled >= 2, "it does not listen")
    world.says("/status", chat=-55)
    world.says(f"/status@{BOT_NAME}", chat=GROUP)
    until(lambda: world.texts(GROUP), "no answer in the group")
    world.says("/status")
    desk.answered("OK at ten")
    assert world.texts(-55) == []


def test_what_was_said_while_nobody_listened_is_not_done_and_a_pile_of_it_gets_one_answer(desk, world):
    desk.shows("ask@12")
    for n in range(4):
        world.says(f"/ack {n}", ago=3600 * 20)
    world.presses("done")
    desk.ready()
    desk.answered("too old, said 20 h ago: say it again")
    desk.answered("pressed while runbook was away: press it again")
    world.says("/status")
    desk.answered("OK at ten")
    assert [text for text in world.texts() if "too old" in text] == ["too old, said 20 h ago: say it again"]
    assert desk.done() == []
    world.presses("done")
    desk.answered("answer 12 done")


def test_a_person_who_is_too_fast_is_told_once(desk, world):
    desk.ready()
    for _ in range(phone.MOST + 6):
        world.says("/status")
    desk.answered("too fast")
    until(lambda: not world.waiting, "not all is heard")
    assert sum("too fast" in text for text in world.texts()) == 1
    assert sum("OK at ten" in text for text in world.texts()) == phone.MOST


# -- at most once -------------------------------------------------------------------------------------------------------


def test_what_was_done_is_not_done_again_by_the_next_process_although_telegram_sends_it_again(desk, world):
    """As after a kill between the commit and the next poll, which would have confirmed it."""
    desk.ready()
    world.says("/ack 41")
    desk.answered("ack 41")
    desk.stop()
    assert len(desk.done()) == 1
    world.sends_again()
    desk.ready()
    world.says("/status")
    desk.answered("OK at ten")
    assert len(desk.done()) == 1


def test_a_busy_ledger_delays_a_command_and_loses_none(desk, world):
    desk.ready()
    with desk.store.write():  # somebody holds the file
        world.says("/ack 41")
        calls = world.polled
        until(lambda: world.polled > calls, "it does not try again")
        assert world.waiting == 1
    desk.answered("ack 41")
    assert len(desk.done()) == 1


def test_update_numbers_that_start_anew_after_a_silent_week_are_heard(desk, world):
    with desk.store.write() as books:
        books.desk.hear(987654321, 900_000_000, desk.clock.now() - timedelta(days=8))
    world.renumber(500)
    world.says("/ack 41")
    desk.ready()
    desk.answered("ack 41")


def test_an_answer_that_does_not_go_out_undoes_nothing(desk, world):
    desk.ready()
    world.blocked.add(ME)
    world.says("/ack 41")
    until(lambda: len(desk.done()) == 1, "it is not done")
    until(lambda: not world.waiting, "it does not go on")
    world.blocked.clear()
    world.says("/status")
    desk.answered("OK at ten")


# -- Telegram's own troubles --------------------------------------------------------------------------------------------


def test_a_refused_token_ends_the_listening_and_is_told_once(desk, world):
    listener = desk.start(token="123456789:AAxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
    until(lambda: not listener.listening, "it goes on asking")
    (notice,) = desk.told
    assert notice.title == "[WARN] the phone's commands are off"
    assert "Unauthorized" in notice.lines[0]
    assert "@BotFather" in notice.lines[1]
    assert len(world.calls) == 1


class Hurried(RehearsalClock):
    """A clock on which every wait is over at once; it keeps how long each would have been."""

    def __init__(self) -> None:
        super().__init__(SystemClock().now())
        self.waited: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waited.append(seconds)
        self.jump_to(self.now() + timedelta(seconds=seconds))
        return event.is_set()


@pytest.fixture
def hurried(tmp_path: Path, world: TelegramWorld) -> Iterator[Desk]:
    made = Desk(tmp_path, world)
    made.clock = Hurried()
    yield made
    made.stop()
    made.store.close()


def test_one_conflict_may_be_the_echo_of_our_own_last_process(hurried, world):
    world.refuse("getUpdates", 409, "Conflict: terminated by other getUpdates request")
    hurried.ready()
    assert (hurried.clock.waited, hurried.told) == ([10.0], [])


def test_a_bot_that_is_polled_by_somebody_else_is_left_to_him_and_that_is_told_once(hurried, world):
    """Each of our polls ends one of his, so they become seldom."""
    world.refuse("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=4)
    hurried.start()
    until(lambda: world.polled >= 6, "it never asks again")
    assert hurried.clock.waited == [10.0, 600.0, 600.0, 600.0]
    (notice,) = hurried.told
    assert notice.title == "[WARN] the phone's commands are not heard"
    assert "a bot of its own" in notice.lines[1]


def test_a_flood_and_a_network_that_fails_are_waited_out(hurried, world):
    world.flood("getUpdates", 120)
    world.refuse("getUpdates", 502, "Bad Gateway", times=6)
    hurried.start()
    until(lambda: world.polled >= 9, "it gave up")
    assert hurried.clock.waited == [120.0, 1.0, 2.0, 5.0, 15.0, 60.0, 60.0]
    assert hurried.told == []
