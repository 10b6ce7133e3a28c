"""The feed loop: queue -> feed.step -> perform. One thread decides; sockets and polls have threads of their own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from runbook.alert import FeedMoved, FeedWord, SymbolStale
from runbook.budget import Budget
from runbook.clock import Clock
from runbook.day import FeedChange
from runbook.engine import FeedNews, FeedTotals
from runbook.errors import RunbookError
from runbook.feed import actions as act
from runbook.feed import events, judging, lines, machine, polling, price
from runbook.feed.policy import Policy
from runbook.feed.state import State, initial, source
from runbook.feed.table import Mode
from runbook.feed.verdict import Hop, Verdict
from runbook.market import Instrument, Quote, Source, Tick
from runbook.ports import Gateway, TickStream
from runbook.session import ASSUMED, PhaseName, Session

log = logging.getLogger(__name__)

EVALUATE = 1.0  # seconds
MOST_WATCHED = 50  # one multiquotes call reads as many
_MARKET_SHOWS = 20  # ticks of one instrument: more than subscriptions bring as snapshots
POLL_BUDGET = 8.0  # real seconds for one multiquotes call
LINGER = timedelta(minutes=2)  # after the close, before the socket is given back
_ILL = (Mode.FALLBACK, Mode.BLIND, Mode.MARKET_SILENT)
_WORDS = {
    Mode.FALLBACK: FeedWord.FALLBACK,
    Mode.PROBATION: FeedWord.PROBATION,
    Mode.BLIND: FeedWord.BLIND,
    Mode.MARKET_SILENT: FeedWord.SILENT,
    Mode.OFF: FeedWord.OFF,
}


class Keeper(Protocol):
    """Where ticks are kept; see adapters/recorder."""

    dropped: int
    written: int
    fault: str | None

    def record(self, source: Source, value: Tick | Quote, received_at: datetime) -> bool: ...
    def close(self, timeout: float = 5.0) -> bool: ...


class NoKeeper:
    """A Keeper that keeps nothing: for who asked for no files."""

    dropped = 0
    written = 0
    fault: str | None = None

    def record(self, source: Source, value: Tick | Quote, received_at: datetime) -> bool:  # noqa: ARG002
        return True

    def close(self, timeout: float = 5.0) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True, slots=True)
class FeedParts:
    """What the monitor is made of; `app` puts it together. `quiet` names what promises no ticks at an instant."""

    clock: Clock
    stream: TickStream
    gateway: Gateway
    policy: Policy
    recorder: Callable[[Session], Keeper]
    post: Callable[[FeedNews | FeedTotals], None]
    mode: str
    say: Callable[[str], None] = log.info
    quiet: Callable[[datetime, Sequence[Instrument]], frozenset[Instrument]] = lambda _now, _all: frozenset()
    over: Callable[[Session], object] = lambda _session: None  # called once when a session has ended by itself
    publish: Callable[[Sequence[price.Price]], None] = lambda _prices: None  # what may be handed on; must not block
    publish_status: Callable[[price.FeedStatus], None] = lambda _status: None


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


@dataclass(frozen=True, slots=True)
class Watching:
    """How the feed stands, for steps and screens."""

    running: bool
    state: State | None
    at: float
    session: Session | None

    @property
    def mode(self) -> Mode:
        return self.state.mode if self.state else Mode.OFF

    @property
    def source(self) -> Source | None:
        return source(self.state) if self.state else None


class Monitor:
    """Watches the feed of one session at a time. `start` and `stop` mirror each other and may come from any thread."""

    def __init__(self, parts: FeedParts) -> None:
        self._p = parts
        self._lock = threading.Lock()
        self._watch: _Watch | None = None
        self._generation = 0

    def start(self, session: Session, instruments: Sequence[Instrument]) -> bool:
        """Watch `instruments` through `session`; False when they are watched already, whatever is followed beside them."""
        with self._lock:
            held = self._watch
            if held is not None and held.alive:
                if held.session.date == session.date and set(held.state.watched) >= set(instruments):
                    return False
                held.stop()
                self._generation = held.state.link.generation
            self._watch = _Watch(self._p, session, instruments, self._generation)
            self._watch.start()
            return True

    def reconnect(self, reason: str) -> None:
        """Open the feed's connection anew: the other side has changed (a login), and an old socket would stay mute."""
        held = self._watch
        if held is not None and held.alive:
            held.reconnect(reason)

    def follow(self, instruments: Sequence[Instrument], why: str) -> None:
        """Watch these as well until the session ends; without a running watch nothing happens."""
        held = self._watch
        if held is not None and held.alive and instruments:
            held.follow(instruments, why)

    def spent(self) -> None:
        """Somebody else has made one of the REST calls that the budget is for."""
        held = self._watch
        if held is not None and held.alive:
            held.spent()

    def stop(self) -> None:
        with self._lock:
            if self._watch is not None:
                self._watch.stop()
                self._generation = self._watch.state.link.generation

    def view(self) -> Watching:
        held = self._watch
        now = self._p.clock.monotonic()
        if held is None:
            return Watching(running=False, state=None, at=now, session=None)
        return Watching(running=held.alive, state=held.state, at=now, session=held.session)


class _Watch:
    """One session's watch: the queue, the machine's state, and the threads that do what it asks."""

    def __init__(self, parts: FeedParts, session: Session, instruments: Sequence[Instrument], generation: int) -> None:
        self._p = parts
        self.session = session
        self.state = initial(instruments, parts.policy, generation)
        self._inbox: queue.SimpleQueue[events.Event | _Reconnect | _Follow | _Spent] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._keeper = parts.recorder(session)
        self._poller: _Poller | None = None
        self._printed = {i: lines.Printed() for i in self.state.watched}
        self._sampled: datetime | None = None
        self._hop: Hop | None = None  # the broken one that was told last
        self._published: tuple[Mode, Source | None, tuple[Instrument, ...]] | None = None
        self._reason = "the feed is being started"  # of the latest change of mode
        self._broker: str | None = None
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
        clock = self._p.clock
        try:
            self._apply(machine.start(self.state, clock.monotonic()))
            due = clock.monotonic()
            while not self._stop.is_set():
                if clock.monotonic() >= due:
                    self._evaluate()
                    due = max(due + EVALUATE, clock.monotonic())
                    if clock.now() > self.session.close + LINGER:
                        break
                try:
                    event = self._inbox.get(timeout=min(0.25, max(0.001, clock.real(due - clock.monotonic()))))
                except queue.Empty:
                    continue
                self._take(event)
        except Exception:
            log.exception("the feed monitor failed; `start_feed` starts it again")
        finally:
            self._end()

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
        self._name_the_hop()
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
                self._broker = broker or None
            case _:
                pass
        before = self.state
        self._apply(machine.step(before, event, clock.monotonic(), self._p.policy))
        self._publish(before, event)
        if isinstance(event, events.Garbage) and self.state.counts.garbage in (1, 10, 100, 1000):
            log.warning("frame %d that is no tick: %s", self.state.counts.garbage, event.what)

    def _publish(self, before: State, event: events.Event) -> None:
        """Hand on the prices of the side that is trusted now, after the event."""
        match event:
            case events.Ticks(generation, ticks, at):
                prices = price.of_ticks(before, self.state, generation, ticks, at, self._wall)
            case events.TickReceived(generation, tick, at):
                prices = price.of_ticks(before, self.state, generation, (tick,), at, self._wall)
            case events.Polled(_, at):
                prices = price.of_poll(self.state, at, self._wall)
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
        stands = self.state.mode, source(self.state), self.state.link.refused
        if stands != self._published:
            self._published = stands
            mode, where, refused = stands
            now = self._p.clock.now()
            self._p.publish_status(price.FeedStatus(mode, where, now, self._reason, self._broker, refused))

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Connect(generation, reason):
                log.info("connection %d: %s", generation, reason)
                self._p.stream.connect(generation, self.state.watched, self._inbox.put)
            case act.Resubscribe(reason, authenticate):
                log.info("%s again: %s", "authenticate and subscribe" if authenticate else "subscribe", reason)
                self._p.stream.resubscribe(authenticate=authenticate)
            case act.Follow(instruments):
                self._p.stream.follow(instruments)
            case act.CloseStream():
                self._p.stream.drop()  # a half-dead link takes seconds to close; the loop must not
            case act.VerifyBroker():
                threading.Thread(target=self._verify, name="feed-verify", daemon=True).start()
            case act.ProbeCanaries(instruments):
                threading.Thread(target=self._probe, args=(instruments,), name="feed-probe", daemon=True).start()
            case act.AskCandle(instrument):
                threading.Thread(target=self._candle, args=(instrument,), name="feed-candle", daemon=True).start()
            case act.StartPolling(interval):
                self._poller = _Poller(self._p, self.state.watched, interval, self._inbox.put)
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
                self._symbol(action)
            case act.Announce(transition):
                self._announce(transition)

    def _verify(self) -> None:
        first = next((i for i in self.state.watched if i.is_index), self.state.watched[0])
        clock = self._p.clock
        try:
            quote = self._p.gateway.quote(first, Budget(POLL_BUDGET, self._stop))
            ok, reason = quote.fault is None, quote.fault or f"{first.symbol} {quote.ltp:g} over REST"
        except RunbookError as exc:
            ok, reason = False, f"{exc}" + (f"; {exc.hint}" if exc.hint else "")
        self._inbox.put(events.BrokerChecked(ok, reason, clock.monotonic()))

    def _probe(self, instruments: tuple[Instrument, ...]) -> None:
        clock = self._p.clock
        try:
            quotes, faults = self._p.gateway.quotes(instruments, Budget(POLL_BUDGET, self._stop))
            answer = events.Probed(quotes, clock.monotonic(), faults)
        except RunbookError as exc:
            answer = events.Probed((), clock.monotonic(), reason=str(exc), hint=exc.hint)
        self._inbox.put(answer)

    def _candle(self, instrument: Instrument) -> None:
        clock = self._p.clock
        try:
            candle = self._p.gateway.last_candle(instrument, self.session.date, Budget(POLL_BUDGET, self._stop))
            age = None if candle is None else (clock.now() - candle.start).total_seconds()
            answer = events.CandleSeen(clock.monotonic(), age)
        except RunbookError as exc:
            answer = events.CandleSeen(clock.monotonic(), None, str(exc))
        self._inbox.put(answer)

    def _announce(self, t: act.Transition) -> None:
        at = self._wall(t.at)
        self._reason = t.reason
        level = logging.INFO if t.after in (Mode.LIVE, Mode.ARMED, Mode.OFF) else logging.WARNING
        log.log(level, "feed %s -> %s: %s", t.before, t.after, t.reason)
        before, after = _WORDS.get(t.before, FeedWord.LIVE), _WORDS.get(t.after, FeedWord.LIVE)
        verdict = judging.judge(self.state, self._p.clock.monotonic(), self._p.policy)
        broken = verdict.first_broken if t.after in _ILL else None
        self._hop = broken.hop if broken else None
        hint = (broken.action if broken else "") or t.hint
        cause = None
        if before is not after and not (t.before is Mode.OFF and t.after is Mode.ARMED):
            names = ", ".join(i.symbol for i in self.state.watched if i.is_index) or self.state.watched[0].symbol
            where = f"first broken hop: {broken.hop} {broken.hop.called}" if broken else ""
            cause = FeedMoved(before, after, at, t.reason, where, hint, self._p.mode, names)
        change = FeedChange(at, t.before, t.after, t.reason, hint or None, dict(t.evidence) | _hops(verdict))
        self._p.post(FeedNews(self.session.date, change, cause))

    def _name_the_hop(self) -> None:
        """What was learned since the change of mode: the first broken hop is another one than was told."""
        if self.state.mode not in _ILL:
            return
        verdict = judging.judge(self.state, self._p.clock.monotonic(), self._p.policy)
        broken = verdict.first_broken
        if broken is None or broken.hop is self._hop:
            return
        self._hop = broken.hop
        log.warning("first broken hop: %s %s: %s", broken.hop, broken.hop.called, broken.evidence)
        reason = f"first broken hop: {broken.hop} {broken.hop.called}: {broken.evidence}"
        mode, now = self.state.mode, self._p.clock.now()
        self._p.post(
            FeedNews(self.session.date, FeedChange(now, mode, mode, reason, broken.action, _hops(verdict)), None)
        )

    def _symbol(self, turned: act.SymbolTurned) -> None:
        at = self._wall(turned.at)
        log.log(logging.INFO if turned.over else logging.WARNING, "%s", turned.reason)
        cause = SymbolStale(
            turned.instrument.symbol, at, turned.reason, turned.hint, over=turned.over, mode=self._p.mode
        )
        change = FeedChange(at, self.state.mode, self.state.mode, turned.reason, turned.hint or None, {})
        self._p.post(FeedNews(self.session.date, change, cause))


class _Poller:
    """Reads all quotes over REST at an interval; every answer and every failure goes to the queue."""

    def __init__(
        self, parts: FeedParts, instruments: Sequence[Instrument], interval: float, put: Callable[[events.Event], None]
    ) -> None:
        self._p = parts
        self._instruments = instruments
        self._interval = interval
        self._put = put
        self._nudge = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-poll", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def also(self, instruments: Sequence[Instrument]) -> None:
        """Read these from the next poll on."""
        self._instruments = instruments

    def interval(self, seconds: float) -> None:
        shorter = seconds < self._interval
        self._interval = seconds
        if shorter:
            self._nudge.set()

    def stop(self) -> None:
        self._stop.set()
        self._nudge.set()

    def _run(self) -> None:
        clock = self._p.clock
        while not self._stop.is_set():
            begun = clock.monotonic()
            try:
                quotes, faults = self._p.gateway.quotes(self._instruments, Budget(POLL_BUDGET, self._stop))
                event: events.Event = events.Polled(quotes, clock.monotonic(), faults)
            except RunbookError as exc:
                event = events.PollFailed(str(exc), clock.monotonic(), exc.hint)
            if self._stop.is_set():
                return
            self._put(event)
            self._nudge.clear()
            clock.wait(self._nudge, max(0.0, begun + self._interval - clock.monotonic()))


def totals(state: State) -> dict[str, Any]:
    """The session's totals as JSON: seconds by source, counts, the longest gap, ticks by symbol."""
    return {
        "mode": str(state.mode),
        "seconds": {name: round(value, 1) for name, value in asdict(state.seconds).items()},
        "counts": asdict(state.counts),
        "longest_gap": round(state.longest_gap, 1),
        "ticks": {i.symbol: clock.ticks for i, clock in state.ticks.items()},
    }


def _hops(verdict: Verdict) -> dict[str, Any]:
    """The ladder as evidence: each hop's health and what was seen."""
    return {"hops": {str(r.hop): [str(r.health), r.evidence] for r in verdict.rungs}}


def scaled(policy: Policy, rate: float) -> Policy:
    """The policy of a rehearsal at `rate`: limits that wait for a real socket keep their real length."""
    return replace(
        policy,
        verify_within=policy.verify_within * rate,
        connect_within=policy.connect_within * rate,
        poll_overdue=policy.poll_overdue * rate,
        pause_after=max(policy.pause_after, rate),
    )


def watched(instruments: Iterable[Instrument]) -> str:
    return ", ".join(i.symbol for i in instruments)
