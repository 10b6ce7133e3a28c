"""The socket side: which tick is fresh, which shows a moving market, and how long a run of them has held."""

from __future__ import annotations

from dataclasses import replace

from runbook.feed.events import TickReceived, Ticks
from runbook.feed.policy import Policy
from runbook.feed.state import LinkState, Run, State, TickClock, gap_limit
from runbook.market import Instrument, Tick


def is_replay(last: Tick | None, tick: Tick) -> bool:
    """True for the same trade told again, which is what a snapshot on a dead link is.

    Without a trade time nothing can be told apart: then a repeated price is taken as a tick.
    """
    if last is None or tick.ltt is None or tick.ltt != last.ltt or tick.ltp != last.ltp:
        return False
    return tick.volume is None or last.volume is None or tick.volume == last.volume


def is_move(last: Tick, tick: Tick) -> bool:
    """True when the market moved between the two: another price, a later trade, or more volume."""
    if tick.ltp != last.ltp:
        return True
    if tick.ltt is not None and last.ltt is not None and tick.ltt > last.ltt:
        return True
    return tick.volume is not None and last.volume is not None and tick.volume > last.volume


def current(state: State, generation: int) -> bool:
    """True for events of the connection we hold; all others are dead, also after our own closing."""
    return generation == state.link.generation and state.link.state in (LinkState.OPENING, LinkState.UP)


def broken(state: State, at: float, policy: Policy) -> bool:
    """True when the run has ended by `at`."""
    return state.run is None or at - state.run.last > gap_limit(state, policy)


def take(state: State, event: TickReceived | Ticks, now: float, policy: Policy) -> State:
    """Take in ticks of the current connection, one after another; only a fresh one moves a clock.

    The new state is made once for all of them: to copy what is known for each tick is what a thousand a second would cost.
    """
    ticks = (event.tick,) if isinstance(event, TickReceived) else event.ticks
    heard, limit = min(event.at, now), gap_limit(state, policy)
    hands: dict[Instrument, _Hand] = {}
    strays = garbage = 0
    run, last_at, longest = state.run, state.last_tick_at, state.longest_gap
    since, newest, moves, moved_at = (run.since, run.last, run.moves, run.moved_at) if run else (0.0, 0.0, 0, None)
    running, fresh = run is not None and run.generation == event.generation, False
    for tick in ticks:
        hand = hands.get(tick.instrument)
        if hand is None:
            clock = state.ticks.get(tick.instrument)
            if clock is None:
                strays += 1
                continue
            hand = hands[tick.instrument] = _Hand(clock)
        last, before = hand.tick, hand.at
        if not tick.ltp > 0:
            garbage += 1
            continue
        if is_replay(last, tick):
            hand.replays += 1
            continue
        at = heard if before is None or before < heard else before
        if not running or at - newest > limit:
            running, since, newest, moves, moved_at = True, at, at, 0, None
        else:
            if last is not None and before is not None and before >= since and is_move(last, tick):
                moves, moved_at = moves + 1, at
            newest = max(newest, at)
        if last is None or last.ltp != tick.ltp:
            hand.changed_at = at
        hand.tick, hand.at, hand.fresh = tick, at, hand.fresh + 1
        if last_at is None or at > last_at:
            if state.expects:
                longest = max(longest, at - max(state.judged_from, state.judged_from if last_at is None else last_at))
            last_at = at
        fresh = True
    if strays or garbage:
        counts = state.counts
        counts = replace(counts, strays=counts.strays + strays, garbage=counts.garbage + garbage)
        state = replace(state, counts=counts)
    if not hands:
        return state
    clocks = {**state.ticks, **{i: hand.clock(event.generation) for i, hand in hands.items()}}
    if fresh:
        run = Run(event.generation, since, newest, moves, moved_at)
    return state.ticked(clocks, run, last_at, longest)


class _Hand:
    """A TickClock that is being moved; `fresh` counts the ticks that did."""

    __slots__ = ("at", "begun", "changed_at", "fresh", "replays", "tick")

    def __init__(self, clock: TickClock) -> None:
        self.begun = clock
        self.tick, self.at, self.changed_at, self.replays = clock.tick, clock.at, clock.changed_at, clock.replays
        self.fresh = 0

    def clock(self, generation: int) -> TickClock:
        begun = self.begun
        generation = generation if self.fresh else begun.generation
        return TickClock(self.tick, self.at, self.changed_at, generation, begun.ticks + self.fresh, self.replays)
