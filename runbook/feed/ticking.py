"""The socket side: which tick is fresh, which shows a moving market, and how long a run of them has held."""

from __future__ import annotations

from dataclasses import replace

from runbook.feed.events import TickReceived
from runbook.feed.policy import Policy
from runbook.feed.state import LinkState, Run, State, TickClock, gap_limit
from runbook.market import Tick


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


def take(state: State, event: TickReceived, now: float, policy: Policy) -> State:
    """Take in one tick of the current connection; only a fresh one moves a clock."""
    tick, at = event.tick, min(event.at, now)
    clock = state.ticks.get(tick.instrument)
    if clock is None:
        return replace(state, counts=replace(state.counts, strays=state.counts.strays + 1))
    if not tick.ltp > 0:
        return replace(state, counts=replace(state.counts, garbage=state.counts.garbage + 1))
    last = clock.tick
    if is_replay(last, tick):
        return replace(state, ticks={**state.ticks, tick.instrument: replace(clock, replays=clock.replays + 1)})
    at = max(at, clock.at or at)
    run = state.run
    if run is None or run.generation != event.generation or broken(state, at, policy):
        run = Run(event.generation, at, at)
    elif last is not None and clock.at is not None and clock.at >= run.since and is_move(last, tick):
        run = Run(run.generation, run.since, max(at, run.last), run.moves + 1, at)
    else:
        run = Run(run.generation, run.since, max(at, run.last), run.moves, run.moved_at)
    changed = at if last is None or last.ltp != tick.ltp else clock.changed_at
    clock = TickClock(tick, at, changed, event.generation, clock.ticks + 1, clock.replays)
    longest = state.longest_gap
    if state.expects:
        longest = max(longest, at - max(state.judged_from, state.last_tick_at or state.judged_from))
    return replace(
        state,
        ticks={**state.ticks, tick.instrument: clock},
        last_tick_at=max(at, state.last_tick_at or at),
        run=run,
        longest_gap=longest,
    )
