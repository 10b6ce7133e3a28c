"""The phone, put together: buttons under what is sent, and a listener for each bot that has users."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook import outbox, phone, pocket
from runbook.alert import Notice
from runbook.app import site
from runbook.clock import Clock
from runbook.config import Config
from runbook.listener import Deeds, Listener, Question, Views, keyboard
from runbook.phone import Door, Keyboard
from runbook.ports import Message
from runbook.session import SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Store
    from runbook.adapters.telegram import Bot

log = logging.getLogger(__name__)

_KEEP_TRYING = timedelta(hours=24)


def bot_of(token: str) -> Bot:
    """A bot at Telegram's address; the configuration knows no other."""
    from runbook.adapters.telegram import Bot

    return Bot(token)


def deeds() -> Deeds:
    """What people can do by phone: the functions that the command line calls, too."""
    from runbook import people

    return Deeds(people.ack, people.silence, people.unsilence, people.answer, people.recheck, _question)


def _question(books: Books, number: int) -> Question | None:
    asked = books.asks.ask(number)
    if asked is None or not asked.open:
        return None
    return Question(number, phone.mark(asked.key, asked.hash), asked.choices)


def bots(config: Config) -> Mapping[str, str]:
    """The telegram channels: name to token."""
    return {
        name: config.secrets.channels[name]
        for name, channel in config.settings.notify.items()
        if channel.telegram is not None and name in config.secrets.channels
    }


def buttons(store: Store, deeds: Deeds) -> Callable[[Sequence[str]], Keyboard]:
    """What can be offered under a message about these keys, as the ledger has them now."""

    def offer(about: Sequence[str]) -> Keyboard:
        with store.read() as books:
            return keyboard(books, about, deeds.question)

    return offer


class Phones:
    """The listeners of a configuration; `start` and `stop` mirror each other."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def start(self) -> None:
        for listener in self._listeners:
            listener.start()

    def stop(self) -> None:
        """Stop all at once: what hangs in one costs the others nothing."""
        for listener in self._listeners:
            listener.close()
        for listener in self._listeners:
            listener.stop()


def phones(
    config: Config,
    store: Store,
    clock: Clock,
    deeds: Deeds,
    calendar: Callable[[], SessionCalendar],
    told: Callable[[], None],
) -> Phones:
    """A listener for each telegram channel with users; not started. `told` is called when something was put into the outbox."""
    made = []
    for name, token in bots(config).items():
        spec = config.settings.notify[name].telegram
        if spec is None or not spec.users or spec.chat is None:
            continue
        bot = bot_of(token)
        made.append(
            Listener(
                bot, bot.number, Door(spec.chat, frozenset(spec.users)), store, clock, deeds,
                _views(config, store, calendar), _teller(config, store, clock, told),
            )
        )  # fmt: skip
    return Phones(made)


def _teller(config: Config, store: Store, clock: Clock, told: Callable[[], None]) -> Callable[[Notice], None]:
    """Tell of the phone's own trouble on every channel; its key makes it once."""

    def tell(notice: Notice) -> None:
        now = clock.now()
        message = Message(notice.title, "\n".join(line for line in notice.lines if line))
        channels = tuple(config.secrets.channels)
        rows = outbox.enqueue(
            notice.key, channels, outbox.Kind.NOTICE, 0, message, now=now, expires_at=now + _KEEP_TRYING
        )
        with store.write() as books:
            books.alerts.enqueue(rows, None)
        told()

    return tell


def _views(config: Config, store: Store, calendar: Callable[[], SessionCalendar]) -> Views:
    from runbook.plan import plan_days
    from runbook.report import build

    def status(now: datetime) -> str:
        return "\n".join(pocket.status_lines(site.status_facts(config, store, calendar(), now)))

    def plan(now: datetime) -> str:
        known = calendar()
        today = known.today(now)
        with store.read() as books:
            pauses = books.pauses.held(now)
        rows = plan_days(known, config.jobs, today, today, pauses)
        coming = next((d for d in known.span(today + timedelta(days=1), today + timedelta(days=14)) if d.session), None)
        if coming is not None:
            rows += plan_days(known, (), coming.date, coming.date)
        return "\n".join(pocket.plan_lines(rows, known.zone))

    def report(now: datetime) -> str:
        known = calendar()
        newest = known.session_at(now)
        facts = site.day_facts(store, known, newest.date if newest else known.today(now))
        made = build(facts, known, now, config.jobs, config.settings.mode, config.hash)
        return "\n".join(pocket.report_lines(made))

    return Views(status, plan, report)
