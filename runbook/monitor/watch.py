"""The feed loop: inbox -> feed.step -> perform. One thread at a time decides: the feed's own, or the one that read ticks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runbook.engine import FeedTotals
from runbook.feed import actions as act
from runbook.feed import events, lines, machine, polling, price
from runbook.feed.state import State, initial
from runbook.market import Instrument, Source
from runbook.monitor.asking import Asker, Poller
from runbook.monitor.herald import Herald, totals
from runbook.monitor.inbox import Inbox
from runbook.monitor.parts import EVALUATE, LINGER, MOST_WATCHED, FeedParts, watched
from runbook.session import ASSUMED, PhaseName, Session

log = logging.getLogger(__name__)

_MARKET_SHOWS = 20  # ticks of one instrument: more than subscriptions bring as snapshots


@dataclass(frozen=True, slots=True)
class _Reconnect:
    reason: str


@dataclass(frozen=True, slots=True)
class _Follow:
    instruments: tuple[Instrument, ...]
    why: str


@dataclass(frozen=True, slots=True)
class _Spent:
    """A REST call was made beside the feed's own."""


class Watch:
    """One session's watch: the inbox, the machine's state, and the threads that do what it asks."""

    def __init__(self, parts: FeedParts, session: Session, instruments: Sequence[Instrument], generation: int) -> None:
        self._p = parts
        self.session = session
        self.state = initial(instruments, parts.policy, generation)
        self._inbox = Inbox[events.Event | _Reconnect | _Follow | _Spent](self._take)
        self._stop = threading.Event()
        self._keeper = parts.recorder(session)
        self._poller: Poller | None = None
        self._printed = {i: lines.Printed() for i in self.state.watched}
        self._sampled: datetime | None = None
        self._asker = Asker(parts, session.date, self._stop, self._inbox.put)
        self._herald = Herald(parts, session.date)
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def reconnect(self, reason: str) -> None:
        self._inbox.put(_Reconnect(reason))

    def spent(self) -> None:
        self._inbox.put(_Spent())

    def follow(self, instruments: Sequence[Instrument], why: str) -> None:
        self._inbox.put(_Follow(tuple(instruments), why))

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=3.0)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        clock, inbox = self._p.clock, self._inbox
        try:
            with inbox.turn():
                self._apply(machine.start(self.state, clock.monotonic()))
            due = clock.monotonic()
            while not self._stop.is_set():
                inbox.take()
                if clock.monotonic() >= due:
                    with inbox.turn():
                        self._evaluate()
                    due = max(due + EVALUATE, clock.monotonic())
                    if clock.now() > self.session.close + LINGER:
                        break
                inbox.wait(min(0.25, max(0.001, clock.real(due - clock.monotonic()))))
        except Exception:
            log.exception("the feed monitor failed; `start_feed` starts it again")
        finally:
            self._end()

    def _hear(self, event: events.StreamEvent) -> None:
        """What the stream emits, on its reader's thread."""
        (self._inbox.bring if isinstance(event, events.Ticks) else self._inbox.put)(event)

    def _evaluate(self) -> None:
        now = self._p.clock.now()
        quiet = self._p.quiet(now, self.state.watched)
        phase = self.session.phase_at(now)
        # On a day the calendar does not know nothing is promised, until the market itself shows that it is open.
        promised = self.session.name != ASSUMED or self._shown()
        self._apply(
            machine.evaluate(
                self.state, self._p.clock.monotonic(), phase, self._p.policy, expects_ticks=promised, quiet=quiet
            )
        )
        self._herald.name_the_hop(self.state)
        for instrument in self.state.watched:
            printed, text = lines.line(self._printed[instrument], self.state, self._p.clock.monotonic(), instrument)
            self._printed[instrument] = printed
            if text is not None:
                self._p.say(text)
        minute = now.replace(second=0, microsecond=0)
        if minute != self._sampled and phase is not PhaseName.SHUT:
            self._sampled = minute
            self._p.post(FeedTotals(self.session.date, minute, self._totals()))

    def _shown(self) -> bool:
        return max((clock.ticks for clock in self.state.ticks.values()), default=0) >= _MARKET_SHOWS

    def _take(self, event: events.Event | _Reconnect | _Follow | _Spent) -> None:
        clock = self._p.clock
        if isinstance(event, _Reconnect):
            self._apply(machine.start(self.state, clock.monotonic(), event.reason))
            return
        if isinstance(event, _Follow):
            self._follow(event)
            return
        if isinstance(event, _Spent):
            self.state = polling.spend(self.state, clock.monotonic())
            return
        match event:
            case events.TickReceived(generation, tick, at) if generation == self.state.link.generation:
                self._keeper.record(Source.WEBSOCKET, tick, self._wall(at))
            case events.Ticks(generation, ticks, at) if generation == self.state.link.generation:
                received = self._wall(at)
                for tick in ticks:
                    self._keeper.record(Source.WEBSOCKET, tick, received)
            case events.Polled(quotes, at):
                for quote in quotes:
                    self._keeper.record(Source.REST_POLLING, quote, self._wall(at))
            case events.OrderSeen(generation, instrument) if generation == self.state.link.generation:
                self._follow(_Follow((instrument,), "an order was seen"))
            case events.Connected(_, broker):
                self._herald.broker = broker or None
            case _:
                pass
        before = self.state
        self._apply(machine.step(before, event, clock.monotonic(), self._p.policy))
        self._publish(before, event)
        if isinstance(event, events.Garbage) and self.state.counts.garbage in (1, 10, 100, 1000):
            log.warning("frame %d that is no tick: %s", self.state.counts.garbage, event.what)

    def _publish(self, before: State, event: events.Event) -> None:
        """Hand on the prices of the side that is trusted now, after the event."""
        if not self._p.listened():
            return
        match event:
            case events.Ticks(generation, ticks, at):
                prices = price.of_ticks(before, self.state, generation, ticks, at, self._wall)
            case events.TickReceived(generation, tick, at):
                prices = price.of_ticks(before, self.state, generation, (tick,), at, self._wall)
            case events.Polled(_, at):
                prices = price.of_poll(self.state, at, self._wall, self._p.policy)
            case _:
                return
        if prices:
            self._p.publish(prices)

    def _follow(self, wanted: _Follow) -> None:
        room = MOST_WATCHED - len(self.state.watched)
        new = [i for i in dict.fromkeys(wanted.instruments) if i not in self.state.ticks]
        if new[room:]:
            log.warning(
                "%d instruments are watched, which is all one REST call can read: not %s",
                MOST_WATCHED,
                watched(new[room:]),
            )
        if new[:room]:
            log.info("watching %s as well: %s", watched(new[:room]), wanted.why)
            self._printed |= {i: lines.Printed() for i in new[:room]}
            self._apply(machine.follow(self.state, new[:room]))
            if self._poller is not None:
                self._poller.also(self.state.watched)

    def _wall(self, at: float) -> datetime:
        return self._p.clock.now() - timedelta(seconds=self._p.clock.monotonic() - at)

    def _end(self) -> None:
        reason = "runbook stops" if self._stop.is_set() else "the session is over"
        with self._inbox.turn():
            self._inbox.close()
            self._apply(machine.stop(self.state, self._p.clock.monotonic(), reason))
        self._p.stream.close()
        minute = self._p.clock.now().replace(second=0, microsecond=0) + timedelta(minutes=1)
        if not self._keeper.close():
            log.error("some ticks could not be written: %s", self._keeper.fault or "the recorder did not end in time")
        self._p.post(FeedTotals(self.session.date, minute, self._totals()))
        if not self._stop.is_set():
            self._p.over(self.session)

    def _totals(self) -> Mapping[str, Any]:
        return totals(self.state) | {"recorded": self._keeper.written, "not_recorded": self._keeper.dropped}

    # -- perform ----------------------------------------------------------------------------------------------------

    def _apply(self, answer: machine.Answer) -> None:
        self.state, wanted = answer
        for action in wanted:
            self._perform(action)
        self._herald.stand(self.state)

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Connect(generation, reason):
                log.info("connection %d: %s", generation, reason)
                self._p.stream.connect(generation, self.state.watched, self._hear)
            case act.Resubscribe(reason, authenticate):
                log.info("%s again: %s", "authenticate and subscribe" if authenticate else "subscribe", reason)
                self._p.stream.resubscribe(authenticate=authenticate)
            case act.Follow(instruments):
                self._p.stream.follow(instruments)
            case act.CloseStream():
                self._p.stream.drop()  # a half-dead link takes seconds to close; the loop must not
            case act.VerifyBroker():
                self._asker.verify(self.state.watched)
            case act.ProbeCanaries(instruments):
                self._asker.probe(instruments)
            case act.AskCandle(instrument):
                self._asker.candle(instrument)
            case act.StartPolling(interval):
                self._poller = Poller(self._p, self.state.watched, interval, self._inbox.put)
                self._poller.start()
            case act.SetPollInterval(interval):
                if self._poller is not None:
                    self._poller.interval(interval)
            case act.StopPolling():
                if self._poller is not None:
                    self._poller.stop()
                    self._poller = None
            case act.Note(text):
                log.warning("%s", text)
            case act.Paused(seconds):
                log.warning("runbook itself did not run for %.0f s; the feed is not blamed for them", seconds)
            case act.SymbolTurned():
                self._herald.symbol(self.state, action)
            case act.Announce(transition):
                self._herald.announce(self.state, transition)
