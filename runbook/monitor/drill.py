"""A drill: what would be told if the feed fell silent now, from the first doubt to the acknowledged alert.

A second machine is given the feed as it stands, and no tick from then on. It asks REST as the real one would, and its alert is
a real alert, marked as a drill. The feed itself goes on beside it: no tick, no price and no socket is touched, no second of it is
booked as an outage, and a real silence during a drill is told as one, by the machine that sees it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import replace

from runbook.alert import FeedMoved, FeedWord
from runbook.engine import CauseNews, FeedNews, FeedTotals
from runbook.errors import DrillRefused
from runbook.feed import actions as act
from runbook.feed import events, machine
from runbook.feed.table import Mode
from runbook.monitor.asking import Asker, Poller
from runbook.monitor.herald import Herald
from runbook.monitor.parts import EVALUATE, FeedParts, Watching

log = logging.getLogger(__name__)

MARK = "[DRILL] "


class Drill:
    """One drill of at most `seconds` of the clock. `start` and `stop` mirror each other; it ends by itself.

    `view` is how the real feed stands, `acknowledged` whether its alert was; `spent` is told of each call of REST, which counts
    towards the same quota.
    """

    def __init__(
        self,
        parts: FeedParts,
        view: Callable[[], Watching],
        seconds: float,
        acknowledged: Callable[[], bool],
        spent: Callable[[], None],
    ) -> None:
        seen = view()
        if not seen.running or seen.state is None or seen.session is None:
            raise DrillRefused("the feed is not being watched", hint="a drill needs a session and a feed that is LIVE")
        if seen.mode is not Mode.LIVE or not seen.state.expects:
            raise DrillRefused(
                f"the feed is {seen.mode}", hint="a drill begins when ticks flow: what is wrong comes first"
            )
        self._real = parts.post
        self._p = replace(parts, post=self._post)
        self._view = view
        self._seconds = seconds
        self._acknowledged = acknowledged
        self._spent = spent
        self.state = seen.state
        self._session = seen.session
        self._began = parts.clock.monotonic()
        self._inbox: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._asker = Asker(self._p, seen.session.date, self._stop, self._answered)
        self._herald = Herald(self._p, seen.session.date, mark=MARK)
        self._poller: Poller | None = None
        self._word: FeedMoved | None = None  # the last that was told
        self.result: str | None = None
        self._thread = threading.Thread(target=self._run, name="drill", daemon=True)

    @property
    def on(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        log.warning("%sthe feed is taken to be silent from now on, by a second machine; the feed itself goes on", MARK)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        clock = self._p.clock
        due = clock.monotonic()
        why: str | None = None
        try:
            while why is None:
                if clock.monotonic() >= due:
                    self._evaluate()
                    due = max(due + EVALUATE, clock.monotonic())
                    why = self._over()
                try:
                    event = self._inbox.get(timeout=min(0.25, max(0.001, clock.real(due - clock.monotonic()))))
                except queue.Empty:
                    continue
                self._apply(machine.step(self.state, event, clock.monotonic(), self._p.policy))
        except Exception:
            log.exception("%sfailed", MARK)
            why = "runbook's own fault; see the log"
        self._end(why)

    def _evaluate(self) -> None:
        now = self._p.clock.now()
        quiet = self._p.quiet(now, self.state.watched)
        phase = self._session.phase_at(now)
        self._apply(machine.evaluate(self.state, self._p.clock.monotonic(), phase, self._p.policy, quiet=quiet))

    def _over(self) -> str | None:
        """Why it is over, or None. What is real comes first."""
        seen = self._view()
        took = self._p.clock.monotonic() - self._began
        if self._stop.is_set():
            return "broken off: runbook stops"
        if not seen.running or seen.state is None or not seen.state.expects:
            return "broken off: no ticks are promised any more"
        if seen.mode not in (Mode.LIVE, Mode.SUSPECT):
            return f"broken off: the feed itself is {seen.mode}"
        if self._acknowledged():
            return f"acknowledged {took:.0f} s after the silence began"
        if took >= self._seconds:
            return f"nobody acknowledged it within {self._seconds:.0f} s"
        return None

    def _end(self, why: str) -> None:
        self._stop.set()
        if self._poller is not None:
            self._poller.stop()
        if self._word is not None:
            word, now = self._word, self._p.clock.now()
            back = replace(
                word, from_mode=word.to_mode, to_mode=FeedWord.LIVE, at=now, reason=f"end of the drill: {why}"
            )
            self._real(CauseNews(self._session.date, back))
        self.result = why
        log.warning("%sover: %s", MARK, why)

    # -- what the second machine wants ------------------------------------------------------------------------------

    def _answered(self, event: events.Event) -> None:
        self._spent()
        self._inbox.put(event)

    def _post(self, news: FeedNews | FeedTotals | CauseNews) -> None:
        """Of what the herald has to say only the cause goes on: the session's rows are of the feed itself."""
        if isinstance(news, FeedNews) and isinstance(news.cause, FeedMoved):
            self._word = replace(news.cause, drill=True)
            self._real(CauseNews(news.session, self._word))

    def _apply(self, answer: machine.Answer) -> None:
        self.state, wanted = answer
        for action in wanted:
            self._perform(action)

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Connect(generation):
                # as a broker's link that stays mute answers: the socket opens, OpenAlgo acknowledges, and nothing comes
                self._inbox.put(events.Connected(generation, self._herald.broker or ""))
                self._inbox.put(events.Subscribed(generation, self.state.watched))
            case act.Resubscribe():
                self._inbox.put(events.Subscribed(self.state.link.generation, self.state.watched))
            case act.VerifyBroker():
                self._asker.verify(self.state.watched)
            case act.ProbeCanaries(instruments):
                self._asker.probe(instruments)
            case act.AskCandle(instrument):
                self._asker.candle(instrument)
            case act.StartPolling(interval):
                self._poller = Poller(self._p, self.state.watched, interval, self._answered)
                self._poller.start()
            case act.SetPollInterval(interval):
                if self._poller is not None:
                    self._poller.interval(interval)
            case act.StopPolling():
                if self._poller is not None:
                    self._poller.stop()
                    self._poller = None
            case act.Announce(transition):
                self._herald.announce(self.state, transition)
            case act.Note(text):
                log.info("%s%s", MARK, text)
            case _:  # the socket, single instruments, pauses: nothing that a drill is about
                pass
