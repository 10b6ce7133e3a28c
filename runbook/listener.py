"""The listener: hears what people say on one bot, and does it. A thread of its own, so that nothing else ever waits for it.

What a command does and how far was listened is one transaction: over any restart a command is done at most once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook import phone
from runbook.alert import Alert, AlertState, Notice
from runbook.clock import Clock
from runbook.errors import PhoneError, PhoneFlooded, PhoneRefused, PhoneShared, RunbookError, StoreError, UsageError
from runbook.fault import Unfit
from runbook.phone import (
    Ack,
    Answer,
    Command,
    Door,
    Heard,
    Help,
    Keyboard,
    Pace,
    Plan,
    Recheck,
    ReportNow,
    Silence,
    Status,
    Unsilence,
)
from runbook.ports import Telephone

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Store

log = logging.getLogger(__name__)

LISTEN = 25.0  # seconds of one long poll
_FORGET = timedelta(days=2)  # Telegram keeps updates for a day, and numbers them anew after a week of silence
_BACKOFF = (1.0, 2.0, 5.0, 15.0, 60.0)  # seconds; the last one repeats
_SHARED_AGAIN = 10.0  # a 409 may be the echo of our own last process: asked once more before it is told
_SHARED_WAIT = 600.0  # then seldom: each of our polls ends one of whoever owns the bot
_FULL = 100  # updates in one answer: there may be older ones behind them
_JOIN = 2.0


@dataclass(frozen=True, slots=True)
class Question:
    """An open ask as the phone needs it."""

    number: int
    mark: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deeds:
    """What can be done by phone: the functions that the command line calls, too. Each gives a sentence or raises UsageError."""

    ack: Callable[[Books, int, str, str, datetime], str]
    silence: Callable[[Books, str, datetime, str, str, datetime], str]
    unsilence: Callable[[Books, int, str, datetime], str]
    answer: Callable[[Books, int, str, str, str, datetime], str]
    recheck: Callable[[Books, str, datetime], str]
    question: Callable[[Books, int], Question | None]  # the open ask of that number


@dataclass(frozen=True, slots=True)
class Views:
    """What can be asked by phone, as plain text."""

    status: Callable[[datetime], str]
    plan: Callable[[datetime], str]
    report: Callable[[datetime], str]


@dataclass(slots=True)
class _Talk:
    """What the listener remembers while it runs."""

    after: int | None = None  # where the next listening begins
    moved: datetime | None = None  # when that was set
    since: datetime | None = None  # all that was said before then has been heard
    name: str = ""
    pace: dict[int, Pace] = field(default_factory=dict)
    turned_away: set[str] = field(default_factory=set)
    told_old: dict[int, datetime] = field(default_factory=dict)


class _Gone(UsageError):
    """What a button stood under is no longer so."""


class Listener:
    """Listens on `bot` (whose user id is `number`) for the people of `door`. `tell` puts a notice into the outbox."""

    def __init__(
        self,
        bot: Telephone,
        number: int,
        door: Door,
        store: Store,
        clock: Clock,
        deeds: Deeds,
        views: Views,
        tell: Callable[[Notice], None],
        *,
        seconds: float = LISTEN,
    ) -> None:
        self._bot = bot
        self._number = number
        self._door = door
        self._store = store
        self._clock = clock
        self._deeds = deeds
        self._views = views
        self._tell = tell
        self._seconds = seconds
        self._talk = _Talk()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Begin to stop: nothing more is heard."""
        self._stop.set()
        self._bot.close()

    def stop(self) -> None:
        """Stop within a second, whatever is being waited for."""
        self.close()
        if self._thread.is_alive():
            self._thread.join(timeout=_JOIN)

    @property
    def listening(self) -> bool:
        """False once it has given up: the token is no bot's."""
        return self._thread.is_alive()

    # -- listening --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failures = shared = 0
        while not self._stop.is_set():
            wait = 0.0
            try:
                self._listen()
                failures = shared = 0
            except PhoneRefused as exc:
                if not self._stop.is_set():
                    log.error("%s: nobody is listened to any more (%s)", exc, exc.hint)
                    self._notice("refused", "[WARN] the phone's commands are off", str(exc), exc.hint or "")
                return
            except PhoneShared as exc:
                shared += 1
                wait = _SHARED_AGAIN if shared == 1 else _SHARED_WAIT
                if shared == 2:
                    log.error("%s (%s)", exc, exc.hint)
                    self._notice("shared", "[WARN] the phone's commands are not heard", str(exc), exc.hint or "")
            except PhoneFlooded as exc:
                wait = exc.seconds
                log.warning("%s; listening again in %.0f s", exc, wait)
            except (PhoneError, StoreError) as exc:
                wait = _BACKOFF[min(failures, len(_BACKOFF) - 1)]
                failures += 1
                if not self._stop.is_set() and failures in (1, len(_BACKOFF)):
                    log.warning("%s; listening goes on%s", exc, f" ({exc.hint})" if exc.hint else "")
            except Exception:
                log.exception("listening failed; it goes on")  # a fault of ours must not make the phone mute for ever
                wait = _BACKOFF[-1]
            if wait:
                self._clock.wait(self._stop, wait)

    def _listen(self) -> None:
        """Hear what was said since, and do it, in order. What a busy ledger refuses is heard again."""
        talk = self._talk
        if not talk.name:
            talk.name = self._bot.name() or "?"
            self._door = replace(self._door, name=talk.name)
            with self._store.read() as books:
                kept = books.desk.heard_until(self._number)
            if kept is not None:
                talk.after, talk.moved = kept
        now = self._clock.now()
        if talk.moved is not None and now - talk.moved > _FORGET:
            talk.after = talk.moved = None
        # The first look does not wait: what it finds was said while nobody listened.
        batch = self._bot.listen(talk.after, self._seconds if talk.since is not None else 0.0)
        since = talk.since if talk.since is not None and now - talk.since <= phone.FRESH else None
        for heard in batch.heard:
            # A press comes without its time. It was not before the last look, and if that is long ago, nobody knows.
            self._take(replace(heard, at=since) if heard.press else heard)
            talk.after, talk.moved = heard.update + 1, self._clock.now()
        if batch.after is not None:
            talk.after, talk.moved = batch.after, self._clock.now()
        if batch.after is None:
            talk.since = self._clock.now()  # there is nothing more: what comes now was said just now
        elif talk.since is not None:
            talk.since = now if len(batch.heard) < _FULL else None

    def _take(self, heard: Heard) -> None:
        talk, now = self._talk, self._clock.now()
        if why := phone.turned_away(heard, self._door):
            if why not in talk.turned_away and len(talk.turned_away) < 1000:
                talk.turned_away.add(why)
                log.warning("the phone: %s; not listened to", why)
            return
        pace = talk.pace[heard.user] = talk.pace.get(heard.user, Pace()).after(now)
        if pace.over:
            if pace.over == 1:
                self._reply(heard, f"too fast: at most {phone.MOST} commands a minute; wait a little")
            return
        gone, done = False, False
        try:
            if heard.press:
                command: Command | None = phone.pressed(heard.data)
            else:
                command = phone.parse(heard.text, name=self._door.name, private=heard.private)
            if command is None:
                return
            if old := phone.stale(heard.at, now):
                self._old(heard, old, now)
                return
            said, done = self._obey(heard, command, now), True
        except Unfit as exc:
            said = str(exc)
        except UsageError as exc:
            said = f"{exc}\n-> {exc.hint}" if exc.hint else str(exc)
            gone = isinstance(exc, _Gone)
        except StoreError:
            raise  # heard again, done then
        except RunbookError as exc:
            said = f"not done: {exc}"
        self._reply(heard, said)
        if heard.press and (done or gone):
            self._tidy(heard, gone=gone)

    def _old(self, heard: Heard, why: str, now: datetime) -> None:
        """One answer for a pile of old commands, not one for each; a press always wants its own."""
        last = self._talk.told_old.get(heard.user)
        if heard.press or last is None or now - last > phone.WINDOW:
            self._talk.told_old[heard.user] = now
            self._reply(heard, why)

    # -- doing ------------------------------------------------------------------------------------------------------

    def _obey(self, heard: Heard, command: Command, now: datetime) -> str:
        match command:
            case Help():
                return phone.usage()
            case Status():
                return self._views.status(now)
            case Plan():
                return self._views.plan(now)
            case ReportNow():
                return self._views.report(now)
        actor = f"telegram:{heard.user}"
        with self._store.write() as books:
            said = self._do(books, command, actor, now)
            books.desk.hear(self._number, heard.update + 1, now)
        log.info("%s by %s: %s", type(command).__name__.lower(), actor, said)
        return said

    def _do(
        self, books: Books, command: Ack | Silence | Unsilence | Answer | Recheck, actor: str, now: datetime
    ) -> str:
        match command:
            case Ack():
                if command.mark:
                    self._alert(books, command.number, command.mark)
                return self._deeds.ack(books, command.number, command.note, actor, now)
            case Answer():
                return self._answer(books, command, actor, now)
            case Unsilence():
                return self._deeds.unsilence(books, command.number, actor, now)
            case Recheck():
                return self._deeds.recheck(books, actor, now)
        until, reason = now + command.length, "said by phone"
        if command.number is not None:
            patterns = [self._alert(books, command.number, command.mark).fingerprint]
        elif command.pattern:
            patterns = [command.pattern]
        else:
            patterns = [alert.fingerprint for alert in _open(books)]
            if not patterns:
                form, _, example = phone.USAGE["silence"]
                raise Unfit(
                    "no alert is open, so there is nothing to silence",
                    accepted=f"{form}, what being a rule",
                    example=example,
                )
        return "\n".join(self._deeds.silence(books, p, until, reason, actor, now) for p in dict.fromkeys(patterns))

    def _alert(self, books: Books, number: int, mark: str) -> Alert:
        """The open alert a button stands under; raises UsageError when it is over, or another by now."""
        found = next((a for a in _open(books) if a.number == number), None)
        if found is None:
            raise _Gone(f"alert #{number} is over: nothing was done", hint="/status shows what is open")
        if alert_mark(found) != mark:
            raise _Gone(
                f"that button was about something else: #{number} is now {found.title}. Nothing was done",
                hint=f"read its newest message, or say /ack {number}",
            )
        return found

    def _answer(self, books: Books, command: Answer, actor: str, now: datetime) -> str:
        asked = self._deeds.question(books, command.number)
        choice = command.choice
        if command.mark:
            if asked is None or asked.mark != command.mark:
                raise _Gone(
                    f"that button was about something else: question {command.number} is not open as it was asked then. Nothing was done"
                )
            choice = phone.chosen(command, asked.choices)
        elif asked is not None:
            choice = phone.chosen(command, asked.choices)
        return self._deeds.answer(books, command.number, choice, command.note, actor, now)

    # -- answering --------------------------------------------------------------------------------------------------

    def _reply(self, heard: Heard, text: str) -> None:
        """Answer; that nobody hears it undoes nothing, and is only logged."""
        try:
            if heard.press:
                self._bot.answer(heard.press, text)
        except PhoneError as exc:
            log.debug("a press could not be answered: %s", exc)
        try:
            self._bot.say(heard.chat, text, reply_to=heard.message)
        except PhoneError as exc:
            log.warning("the answer to user %d did not go out: %s", heard.user, exc)

    def _tidy(self, heard: Heard, *, gone: bool) -> None:
        """Take the button away that has done its work: whoever looks next sees that it is done."""
        left = heard.keyboard
        if gone or heard.data.startswith(("ack:", "answer:")):
            left = phone.over(heard.keyboard, heard.data, all_of_it=gone)
        if left == heard.keyboard:
            return
        try:
            self._bot.buttons(heard.chat, heard.message, left)
        except PhoneError as exc:
            log.debug("buttons stay: %s", exc)

    def _notice(self, key: str, title: str, *lines: str) -> None:
        day = self._clock.now().date()
        try:
            self._tell(Notice(f"phone.{key}@{self._number}/{day}", title, lines))
        except StoreError as exc:
            log.error("%s: %s", title, exc)


def keyboard(books: Books, about: Sequence[str], question: Callable[[Books, int], Question | None]) -> Keyboard:
    """The buttons under a message about these keys: its open alerts, or its open ask; none for what is over."""
    alerts = [a for a in _open(books) if a.key in about and a.number is not None]
    if alerts:
        rows = phone.alert_buttons([(a.number or 0, alert_mark(a)) for a in alerts])
        for taken in (a for a in alerts if a.acked):
            rows = phone.over(rows, f"ack:{taken.number}", all_of_it=False)
        return rows
    for key in about:
        name, _, number = key.partition("@")
        if name == "ask" and number.isdecimal() and (asked := question(books, int(number))) is not None:
            return phone.ask_buttons(asked.number, asked.mark, asked.choices)
    return ()


def alert_mark(alert: Alert) -> str:
    """What a button under an alert stands for: the incident, and how bad it was judged."""
    return phone.mark(alert.key, alert.rule, alert.severity)


def _open(books: Books) -> list[Alert]:
    return [a for a in books.alerts.unresolved() if a.state is AlertState.OPEN]
