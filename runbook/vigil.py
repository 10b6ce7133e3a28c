"""The vigil: two threads beside the feed. One writes the pulse each second, one looks at the bot every ten.

They are apart because a bot's heartbeat may hang for seconds, and the pulse must not.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runbook import bot
from runbook.alert import BotMoved
from runbook.bot import Judged, Look, Memory
from runbook.clock import Clock, host_now
from runbook.day import FeedChange
from runbook.engine import BotNews, FeedNews, FeedTotals
from runbook.feed import judging
from runbook.feed.policy import Policy
from runbook.feed.table import Mode
from runbook.feed.verdict import Health, Hop, Rung
from runbook.monitor import Monitor
from runbook.pulse import Rates, Word, compose
from runbook.session import SessionCalendar

log = logging.getLogger(__name__)

PULSE = 1.0  # seconds of the host between two pulses
LOOK = 10.0  # seconds of the clock between two looks at the bot


@dataclass(frozen=True, slots=True)
class VigilParts:
    """What the vigil is made of; `app` puts it together. `look` is None where nothing of the bot is declared."""

    clock: Clock
    monitor: Monitor
    policy: Policy
    write: Callable[[Mapping[str, Any]], None]
    look: Callable[[], Look] | None
    calendar: Callable[[], SessionCalendar]
    post: Callable[[BotNews], None]
    mode: str
    calls_max: int
    pid: int
    log: str | None


class Vigil:
    """`start` and `stop` mirror each other; neither a full disk nor a bot that hangs ends it."""

    def __init__(self, parts: VigilParts) -> None:
        self._p = parts
        self._stop = threading.Event()
        self._memory = Memory()
        self._told: str | None = None
        self._rates = Rates()
        self._rate: Mapping[str, float] = {}
        self._last: FeedChange | None = None
        self._complained = False
        self.judged: Judged | None = None  # the last judgement, for screens
        self._threads = [threading.Thread(target=self._pulse, name="pulse", daemon=True)]
        if parts.look is not None:
            self._threads.append(threading.Thread(target=self._watch, name="bot", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=1.0)

    def hear(self, news: FeedNews | FeedTotals) -> None:
        """Remember the last change of mode, for the pulse."""
        if isinstance(news, FeedNews):
            self._last = news.change

    def _pulse(self) -> None:
        while not self._stop.is_set():
            try:
                self.beat()
                self._complained = False
            except Exception as exc:
                if not self._complained:  # once: a full disk would fill the log, too
                    log.exception("the pulse could not be written: %s", type(exc).__name__)
                self._complained = True
            self._stop.wait(PULSE)

    def beat(self) -> None:
        """Write one pulse."""
        p = self._p
        seen = p.monitor.view()
        self._rate = self._rates.take(
            seen.at, {i.symbol: c.ticks for i, c in seen.state.ticks.items()} if seen.state else {}
        )
        verdict = None
        if seen.running and seen.state is not None:
            said = self.judged
            about = Rung(Hop.BOT, said.health, said.reason, said.action) if said else None
            verdict = judging.judge(seen.state, seen.at, p.policy, about)
        word = Word(
            host_now(), p.clock.now(), seen.at, p.pid, p.mode, seen.running, seen.state, seen.session, self._rate,
            self._last, p.calls_max, self.judged, verdict, p.log,
        )  # fmt: skip
        p.write(compose(word))

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                log.exception("looking at the bot failed; tried again in %.0f s", LOOK)
            self._p.clock.wait(self._stop, LOOK)

    def look(self) -> None:
        """One look at the bot: judge it, and tell what has changed."""
        assert self._p.look is not None
        seen = self._p.look()
        self._memory = bot.observe(self._memory, seen)
        judged = bot.judge(self._memory, self._feed(), due=self._due(), now=seen.at)
        self.judged = judged
        # UNKNOWN is no word: it neither raises an alert nor ends one.
        words = {Health.BROKEN: "deaf", Health.OK: "reads", Health.NOT_DUE: "off"}
        word = words.get(judged.health)
        if word is None or word == self._told:
            return
        self._told = word
        level = logging.WARNING if word == "deaf" else logging.INFO
        log.log(level, "bot: %s", judged.reason)
        now = self._p.clock.now()
        if word == "deaf":
            cause = BotMoved("deaf", now, judged.reason, judged.action, self._p.mode)
        elif word == "reads":
            cause = BotMoved("reads", now, judged.reason, mode=self._p.mode)
        else:
            cause = BotMoved("off", now, judged.reason, mode=self._p.mode)
        self._p.post(BotNews(self._p.calendar().today(now), cause))

    def _feed(self) -> bot.Feed:
        """Our own feed as the bot's silence is held against it: only ticks on the socket count."""
        seen = self._p.monitor.view()
        if not seen.running or seen.state is None or seen.mode is not Mode.LIVE:
            return bot.Feed(flows=False)
        return bot.Feed(flows=True, since=seen.state.mode_since, rate=sum(self._rate.values()))

    def _due(self) -> bool:
        """Whether ticks are promised: by the feed, which knows what an auction quiets, else by the calendar."""
        seen = self._p.monitor.view()
        if seen.running and seen.state is not None:
            return seen.state.expects
        now = self._p.clock.now()
        session = self._p.calendar().session_at(now)
        return session is not None and session.phase_at(now).trading
