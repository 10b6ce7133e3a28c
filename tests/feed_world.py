"""A world for the feed in plain floats: a market, an OpenAlgo with two doors, and a caller that performs actions."""

from __future__ import annotations

from dataclasses import dataclass

from runbook.feed import actions as act
from runbook.feed import events as ev
from runbook.feed.lines import Printed, line
from runbook.feed.machine import evaluate, start, step
from runbook.feed.policy import Policy
from runbook.feed.state import State, initial
from runbook.feed.table import Mode
from runbook.market import Instrument, Quote, Tick
from runbook.session import PhaseName

NIFTY = Instrument("NIFTY", "NSE_INDEX")
FUTURE = Instrument("NIFTY24NOV26FUT", "NFO")
OPTION = Instrument("NIFTY24NOV2626000CE", "NFO")
SBIN = Instrument("SBIN", "NSE")
LIVE = PhaseName.CONTINUOUS


def quote(instrument: Instrument, ltp: float, volume: int = 0) -> Quote:
    return Quote(instrument, ltp, ltp - 0.05, ltp + 0.05, 0.0, 0.0, 0.0, 0.0, volume, 0)


# The guide's two limits, and an absence so short that tests of other things need not wait for its end.
GUIDE = Policy(detect="timers", resubscribe_patience=15.0, stay_away=2.0, pause_after=10.0)


@dataclass
class World:
    """Ticks come at half seconds, evaluations at whole ones, polls when due. The switches are plain attributes."""

    watched: tuple[Instrument, ...] = (NIFTY,)
    policy: Policy = GUIDE
    now: float = 0.0
    phase: PhaseName = LIVE
    # the other side
    port: str = "up"  # up | refused | hanging
    stream: str = "ticks"  # ticks | mute | snapshot (one old tick per subscription)
    login: int = 1  # which login of the broker is valid; 0: none. A socket hears only the login it authenticated under
    rest: str = "ok"  # ok | down | frozen | dead (nothing comes back)
    ltt: bool = True
    market: str = "moves"  # moves | still (a halt: neither side moves)
    dead: frozenset[Instrument] = frozenset()  # what the stream alone has lost
    resting: frozenset[Instrument] = frozenset()  # what nobody trades: it stands still over REST
    rare: frozenset[Instrument] = frozenset()  # what ticks every eighth second only
    halted: float | None = None  # since when there are no new candles
    candle: float | None = 20.0  # seconds since the newest one began; None: the broker gives none
    quiet: frozenset[Instrument] = frozenset()
    refusal: str = "connection refused"  # what REST says when it is down

    def __post_init__(self) -> None:
        self.state: State = initial(self.watched, self.policy)
        self.log: list[tuple[float, act.Action]] = []
        self.printed: list[tuple[float, str]] = []
        self.moves: list[tuple[float, Mode, Mode]] = []
        self._marks = {i: Printed() for i in self.watched[:1]}
        self._socket: int | None = None
        self._heard_login = 0
        self._inbox: list[tuple[float, ev.Event]] = []
        self._poll_every: float | None = None
        self._poll_at = 0.0
        self._frozen = 26000.0

    # -- time

    def begin(self) -> World:
        self._take(start(self.state, self.now))
        return self

    def run(self, seconds: float) -> World:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self._deliver()
            if self.now % 1 == 0.5:
                self._tick()
            else:
                self._take(evaluate(self.state, self.now, self.phase, self.policy, quiet=self.quiet))
                self._print()
            self._poll()
        return self

    def sleep(self, seconds: float) -> World:
        """runbook is stopped: the world goes on, nobody looks."""
        self.now += seconds
        return self

    # -- what the tests ask

    @property
    def mode(self) -> Mode:
        return self.state.mode

    def of(self, kind: type) -> list:
        return [a for _, a in self.log if isinstance(a, kind)]

    def times(self, kind: type) -> list[float]:
        return [t for t, a in self.log if isinstance(a, kind)]

    def notes(self) -> list[str]:
        return [a.text for a in self.of(act.Note)]

    def route(self) -> list[Mode]:
        return [after for _, _, after in self.moves]

    def last(self) -> act.Transition:
        return self.of(act.Announce)[-1].transition

    def lines(self) -> list[str]:
        return [text for _, text in self.printed]

    # -- the other side

    def price(self, instrument: Instrument) -> float:
        beat = int(self.now * 2)
        return 26000.0 + (beat * 7919 % 401) * 0.05 + (100.0 if instrument.is_future else 0.0)

    def drop(self, reason: str = "going away", code: int | None = 1001) -> None:
        """The other side closes the socket."""
        if self._socket is not None:
            self.tell(ev.Closed(self._socket, reason, code))
            self._socket = None

    def tell(self, event: ev.Event) -> None:
        self._take(step(self.state, event, self.now, self.policy))

    def tick(self, ltp: float, ltt: int | None = None, instrument: Instrument = NIFTY, generation: int = 0) -> None:
        at = generation or self.state.link.generation
        self.tell(ev.TickReceived(at, Tick(instrument, ltp, ltt), self.now))

    def _tick(self) -> None:
        if self._socket is None or not self.login or self._heard_login != self.login or self.stream != "ticks":
            return
        for instrument in self.watched if self.market == "moves" else ():
            if instrument in self.dead or (instrument in self.rare and int(self.now) % 8):
                continue
            ltt = int(self.now * 1000) if self.ltt else None
            self.tick(self.price(instrument), ltt, instrument, self._socket)

    def _subscribe(self, generation: int, *, authenticate: bool = True) -> None:
        if not authenticate and self._heard_login != self.login:
            self._inbox.append((self.now + 0.5, ev.SubscriptionLost(generation, "Broker adapter not found")))
            return
        if not self.login:
            self._inbox.append((self.now + 0.5, ev.Subscribed(generation, (), ((NIFTY, "Broker adapter not found"),))))
            return
        self._heard_login = self.login
        self._inbox.append((self.now + 0.5, ev.Subscribed(generation, self.watched)))
        if self.stream == "snapshot":
            for instrument in self.watched:
                tick = Tick(instrument, 26039.7, 1 if self.ltt else None)
                self._inbox.append((self.now + 0.5, ev.TickReceived(generation, tick, self.now + 0.5)))

    def _poll(self) -> None:
        if self._poll_every is None or self.now < self._poll_at or self.rest == "dead":
            return
        self._poll_at = self.now + self._poll_every
        if self.rest == "down":
            self.tell(ev.PollFailed(self.refusal, self.now))
            return
        still = self.rest == "frozen" or self.market == "still"
        quotes = tuple(quote(i, self._frozen if still else self.price(i)) for i in self.watched)
        self.tell(ev.Polled(quotes, self.now))

    def _probed(self, instruments: tuple[Instrument, ...]) -> ev.Probed:
        if self.rest == "down":
            return ev.Probed((), self.now + 0.5, reason=self.refusal)
        frozen = self.rest == "frozen" or self.market == "still"
        at = self.now + 0.5
        still = {i: frozen or i in self.resting for i in instruments}
        return ev.Probed(tuple(quote(i, self._frozen if still[i] else self.price(i)) for i in instruments), at)

    def _deliver(self) -> None:
        due = [e for t, e in self._inbox if t <= self.now]
        self._inbox = [(t, e) for t, e in self._inbox if t > self.now]
        for event in due:
            self.tell(event)

    # -- the caller

    def _take(self, answer: tuple[State, tuple[act.Action, ...]]) -> None:
        self.state, actions = answer
        for action in actions:
            self.log.append((self.now, action))
            self._perform(action)

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Connect(generation, _):
                if self.port == "up":
                    self._socket, self._heard_login = generation, 0
                    self._inbox.append((self.now + 0.5, ev.Connected(generation, "angel")))
                    self._subscribe(generation)
                elif self.port == "refused":
                    failed = ev.ConnectFailed(generation, "connection refused", refused=True)
                    self._inbox.append((self.now + 0.5, failed))
            case act.Resubscribe(_, authenticate):
                if self._socket is not None:
                    self._subscribe(self._socket, authenticate=authenticate)
            case act.CloseStream():
                self._socket = None
            case act.VerifyBroker():
                if self.rest != "dead":
                    answer = ev.BrokerChecked(self.rest != "down", f"quote {self.rest}", self.now + 0.5)
                    self._inbox.append((self.now + 0.5, answer))
            case act.ProbeCanaries(instruments):
                if self.rest != "dead":
                    self._inbox.append((self.now + 0.5, self._probed(instruments)))
            case act.AskCandle():
                age = self.candle if self.halted is None else self.now - self.halted + 30
                self._inbox.append((self.now + 0.5, ev.CandleSeen(self.now + 0.5, age)))
            case act.StartPolling(interval):
                self._poll_every, self._poll_at = interval, self.now
            case act.SetPollInterval(interval):
                self._poll_every, self._poll_at = interval, min(self._poll_at, self.now + interval)
            case act.StopPolling():
                self._poll_every = None
            case act.Announce(moved):
                self.moves.append((self.now, moved.before, moved.after))
            case act.Note() | act.Paused() | act.Follow() | act.SymbolTurned():
                pass

    def _print(self) -> None:
        for instrument, mark in self._marks.items():
            self._marks[instrument], text = line(mark, self.state, self.now, instrument)
            if text is not None:
                self.printed.append((self.now, text))
