"""A session played to the feed machine on a virtual clock: ticks as they arrived, and a caller that performs actions.

Nothing here waits or opens anything. Since the machine's state is a frozen value, a replay can be forked at any second and
go on with the feed cut off: so one session answers for many losses.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count

from runbook.feed import actions as act
from runbook.feed import events as ev
from runbook.feed.machine import evaluate, start, step
from runbook.feed.policy import Policy
from runbook.feed.state import State, initial, source
from runbook.feed.table import Cause, Mode
from runbook.feed.tape import Tape
from runbook.market import Instrument, Quote, Source

ANSWER = 0.2  # seconds for a REST answer, or for a connection to be made and subscribed
FRESH = 2.0  # a price that was received longer ago is no fresh one
_OPEN = 3600.0  # the open on the machine's clock, which does not count from zero either
_DOWN = (Mode.FALLBACK, Mode.BLIND)


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of mode, at seconds since the open."""

    at: float
    before: Mode
    after: Mode
    cause: Cause
    reason: str


class Replay:
    """One session under one policy; times are seconds since the open."""

    def __init__(self, tape: Tape, policy: Policy) -> None:
        self._tape = tape
        self._policy = policy
        self._next = 0  # the next tick of the tape
        self._end = len(tape.ticks)
        self._dead: Instrument | None = None
        self._dead_from = 0.0
        self._socket: int | None = None
        self._hears = False
        self._inbox: list[tuple[float, int, ev.Event]] = []
        self._order = count()
        self._poll_every: float | None = None
        self._poll_at = 0.0
        self.now = tape.begin
        self._moment = self.now  # of what is being told: within the second that begins at `now`
        self.state: State = initial(tape.instruments, policy)
        self.turns: list[Turn] = []
        self.blind = 0.0  # seconds of the session in which no fresh price could be had from the trusted source
        self.switches = 0  # changes between the socket and REST as the source of prices
        self._source: Source | None = None
        self.rest_at: list[float] = []  # when answers to polls came
        self._take(start(self.state, _OPEN + self.now))

    @property
    def mode(self) -> Mode:
        return self.state.mode

    @property
    def down(self) -> bool:
        """True when the socket has been left: prices come from REST, or from nowhere."""
        return self.state.mode in _DOWN

    def fork(self, cut: float, dead: Instrument | None = None) -> Replay:
        """The same session, going on without any tick after `cut`, or without those of one instrument."""
        other = copy.copy(self)
        other.cut_off(cut, dead)
        return other

    def cut_off(self, cut: float, dead: Instrument | None) -> None:
        """Lose all that comes after `cut`, or one instrument; what this replay shared with the one it was copied from, ends."""
        self._inbox, self.turns, self.rest_at = list(self._inbox), list(self.turns), list(self.rest_at)
        if dead is None:
            self._end = bisect_right(self._tape.ticks, cut, key=lambda tick: tick[0])
        else:
            self._dead, self._dead_from = dead, cut

    def run(self, until: float) -> Replay:
        """Play on up to the second `until`."""
        while self.now < until:
            self.second()
        return self

    def second(self) -> None:
        """Play one second: what arrives in it, in order, and then the judgement."""
        while self._poll_every is not None and self._poll_at < self.now + 1:
            self._poll()
        self._arrivals(self.now + 1)
        self.now += 1
        self._moment = self.now
        phase, quiet = self._tape.phase_at(self.now), self._tape.quiet(self.now)
        self._take(evaluate(self.state, _OPEN + self.now, phase, self._policy, quiet=quiet))
        where = source(self.state)
        if where is not None:
            self.switches += self._source is not None and where is not self._source
            self._source = where
        if self.state.expects and not self._fresh(where):
            self.blind += 1

    # -- what arrives

    def _arrivals(self, until: float) -> None:
        ticks, at = self._tape.ticks, self._next
        while at < self._end and ticks[at][0] <= until:
            when, tick = ticks[at]
            at += 1
            while self._inbox and self._inbox[0][0] <= when:
                self._deliver()
            lost = tick.instrument == self._dead and when > self._dead_from
            if self._hears and self._socket is not None and not lost:
                self._tell(ev.TickReceived(self._socket, tick, _OPEN + when), when)
        self._next = at
        while self._inbox and self._inbox[0][0] <= until:
            self._deliver()

    def _deliver(self) -> None:
        at, _, event = heappop(self._inbox)
        match event:
            case ev.Subscribed(generation):
                if generation != self._socket:
                    return
                self._hears = True
            case ev.Polled():
                if self._poll_every is None:
                    return
                self.rest_at.append(at)
            case _:
                pass
        self._tell(event, at)

    def _tell(self, event: ev.Event, at: float) -> None:
        self._moment = at
        self._take(step(self.state, event, _OPEN + at, self._policy))

    def _later(self, event: ev.Event, asked: float | None = None) -> None:
        heappush(self._inbox, ((self._moment if asked is None else asked) + ANSWER, next(self._order), event))

    def _quotes(self, instruments: Sequence[Instrument], at: float) -> tuple[Quote, ...]:
        return tuple(self._tape.quote(instrument, at) for instrument in instruments)

    def _poll(self) -> None:
        assert self._poll_every is not None
        asked, answered = self._poll_at, self._poll_at + ANSWER
        self._poll_at += self._poll_every
        self._later(ev.Polled(self._quotes(self._tape.instruments, answered), _OPEN + answered), asked)

    def _fresh(self, where: Source | None) -> bool:
        now = _OPEN + self.now
        if where is Source.REST_POLLING:
            return bool(self.rest_at) and self.now - self.rest_at[-1] <= max(FRESH, 2 * self.state.rest.interval)
        last = self.state.last_tick_at
        return where is Source.WEBSOCKET and last is not None and now - last <= FRESH

    # -- the caller

    def _take(self, answer: tuple[State, tuple[act.Action, ...]]) -> None:
        self.state, actions = answer
        for action in actions:
            self._perform(action)

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.Connect(generation, _):
                self._socket, self._hears = generation, False
                self._later(ev.Connected(generation, "replay"))
                self._later(ev.Subscribed(generation, self._tape.instruments))
            case act.Resubscribe():
                if self._socket is not None:
                    self._later(ev.Subscribed(self._socket, self._tape.instruments))
            case act.CloseStream():
                self._socket, self._hears = None, False
            case act.VerifyBroker():
                self._later(ev.BrokerChecked(ok=True, reason="replay", at=_OPEN + self._moment + ANSWER))
            case act.ProbeCanaries(instruments):
                at = self._moment + ANSWER
                self._later(ev.Probed(self._quotes(instruments, at), _OPEN + at))
            case act.AskCandle():
                at = self._moment + ANSWER
                self._later(ev.CandleSeen(_OPEN + at, self._tape.candle_age(at)))
            case act.StartPolling(interval):
                self._poll_every, self._poll_at = interval, self._moment
            case act.SetPollInterval(interval):
                self._poll_every, self._poll_at = interval, min(self._poll_at, self._moment + interval)
            case act.StopPolling():
                self._poll_every = None
            case act.Announce(moved):
                turn = Turn(moved.at - _OPEN, moved.before, moved.after, moved.cause, moved.reason)
                self.turns.append(turn)
            case act.Note() | act.Paused() | act.Follow() | act.SymbolTurned():
                pass
