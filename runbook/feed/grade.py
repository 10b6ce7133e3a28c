"""How well a REST price is founded. OpenAlgo gives none a time: what is known comes from how it moves, and from the candles."""

from __future__ import annotations

from enum import StrEnum

from runbook.feed.policy import Policy
from runbook.feed.state import QuoteClock, State
from runbook.market import Instrument


class Grade(StrEnum):
    """The evidence behind a REST price, strongest first."""

    A = "A"  # a 1-minute candle of the last minutes bears REST out, and this price moved with the market
    B = "B"  # this price moved within the time in which a living one moves
    C = "C"  # the canaries move, this one stands still: it may not have been traded
    D = "D"  # nothing shows that it is of now


def grade(state: State, instrument: Instrument, now: float, policy: Policy) -> Grade:
    """The grade of the newest quote of `instrument`, at `now` in seconds of Clock.monotonic."""
    clock = state.quotes[instrument]
    if not state.rest.trusted or clock.quote is None or clock.fault is not None:
        return Grade.D
    if not _moves(clock, instrument, state, now, policy):
        moving = any(_moves(state.quotes[i], i, state, now, policy) for i in state.canaries)
        return Grade.C if moving else Grade.D
    candle = state.candle
    fresh = candle is not None and candle.age is not None and candle.age + now - candle.at <= policy.candle_stale
    return Grade.A if fresh else Grade.B


def _moves(clock: QuoteClock, instrument: Instrument, state: State, now: float, policy: Policy) -> bool:
    """True when the quote differed from the one before it within the time in which that kind stands still at most."""
    if clock.changed_at is None or clock.still < 0:
        return False
    limit = policy.index_frozen_after if instrument.is_index else policy.future_frozen_after
    return now - clock.changed_at <= max(limit, policy.frozen_polls * state.rest.interval)
