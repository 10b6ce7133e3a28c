"""The feed machine: `step` takes an event, `evaluate` takes the passing of time; both only decide.

h11's connection is the model: a table of states, pure functions over it, and a caller that does the input and output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runbook.feed import doubt, healing, polling, probing, suspicion, ticking, turns
from runbook.feed.actions import Action, CloseStream, Follow, Paused
from runbook.feed.events import (
    BrokerChecked,
    CandleSeen,
    Closed,
    Connected,
    ConnectFailed,
    Event,
    Garbage,
    OrderSeen,
    Polled,
    PollFailed,
    Probed,
    Subscribed,
    SubscriptionLost,
    TickReceived,
    Ticks,
)
from runbook.feed.incident import move
from runbook.feed.policy import Policy
from runbook.feed.state import (
    Cure,
    Link,
    LinkState,
    QuoteClock,
    Run,
    State,
    TickClock,
    account,
    canaries,
    gap_limit,
    silence,
)
from runbook.feed.table import Cause, Mode
from runbook.market import Instrument
from runbook.session import PhaseName

Answer = tuple[State, tuple[Action, ...]]

_ENDED = {PhaseName.CLOSING_AUCTION, PhaseName.POST_CLOSE, PhaseName.SHUT}


def start(state: State, now: float, reason: str = "start of the feed") -> Answer:
    """Begin: open the first connection. On a feed that runs already: drop the connection and open a new one."""
    actions: list[Action] = []
    if state.link.state in (LinkState.OPENING, LinkState.UP):
        actions.append(CloseStream(reason))
    if not state.started:
        state = replace(account(state, now), started=True, judged_from=max(state.judged_from, now))
    link = replace(state.link, down_since=now, subscribed_at=None, fault=None, cure=Cure.SUBSCRIBE)
    state = replace(state, link=link)
    state, connect = healing.open_link(state, now, reason)
    return state, (*actions, connect)


def stop(state: State, now: float, reason: str = "stopped") -> Answer:
    """End: close the connection, stop polling, claim no recovery."""
    state, actions = turns.off(state, now, Cause.STOPPED, reason)
    if state.link.state is not LinkState.NONE:
        actions = (*actions, CloseStream(reason))
    link = Link(generation=state.link.generation, rungs=state.link.rungs)
    return replace(state, started=False, link=link), actions


def step(state: State, event: Event, now: float, policy: Policy) -> Answer:
    """The state after `event`, and what is to be done."""
    state, woke = _wake(state, now, policy)
    state, actions = _step(state, event, now, policy)
    return state, (*woke, *actions)


def _step(state: State, event: Event, now: float, policy: Policy) -> Answer:
    match event:
        case Ticks():  # first: there may be a thousand ticks a second
            return _on_ticks(state, event, now, policy)
        case TickReceived():
            return _on_tick(state, event, now, policy)
        case Polled():
            return _on_rest(*polling.on_polled(state, event, now, policy), now, policy)
        case PollFailed():
            return _on_rest(*polling.on_failed(state, event, now, policy), now, policy)
        case Probed():
            return doubt.on_probed(state, event, now, policy)
        case CandleSeen():
            return doubt.on_candle(state, event, now, policy)
        case BrokerChecked():
            return doubt.on_checked(state, event, now, policy)
        case _ if not ticking.current(state, event.generation):
            return _late(state)
        case Connected():
            return healing.on_connected(state, now, policy), ()
        case Subscribed():
            return healing.on_subscribed(state, event, now)
        case SubscriptionLost():
            return healing.on_subscription_lost(state, event, now)
        case Garbage():
            return _on_garbage(state, now)
        case OrderSeen():  # whoever follows the bot reads it from the queue; it proves nothing of the feed
            return state, ()
    return _on_lost(state, event, now, policy)


def evaluate(
    state: State,
    now: float,
    phase: PhaseName,
    policy: Policy,
    *,
    expects_ticks: bool = True,
    quiet: frozenset[Instrument] = frozenset(),
) -> Answer:
    """Judge the time that has passed; to be called once a second, also when nothing happens.

    `expects_ticks` False silences the judgement in a continuous phase too (a halt that is known); `quiet` names the
    instruments whose own market promises nothing now (cash and index during the closing auction).
    """
    state, woke = _wake(state, now, policy)
    state = replace(
        account(state, now), evaluated_at=now, phase=phase, quiet=quiet, canaries=canaries(state.watched, quiet)
    )
    due = expects_ticks and phase.trading and not quiet.issuperset(state.watched)
    actions: tuple[Action, ...] = ()
    if due and not state.expects:
        state = replace(state, expects=True, judged_from=max(state.judged_from, now))
    if not due:
        state, actions = _rest_of_the_day(state, now, phase)
    elif state.started:
        state, actions = _judge(state, now, policy)
    return state, (*woke, *actions)


def follow(state: State, instruments: Sequence[Instrument]) -> Answer:
    """Watch these as well from now on; those that are watched already change nothing."""
    new = tuple(i for i in dict.fromkeys(instruments) if i not in state.ticks)
    if not new:
        return state, ()
    state = replace(
        state,
        watched=(*state.watched, *new),
        ticks={**state.ticks, **{i: TickClock() for i in new}},
        quotes={**state.quotes, **{i: QuoteClock() for i in new}},
    )
    state = replace(state, canaries=canaries(state.watched, state.quiet))
    return state, (Follow(new),) if state.link.state in (LinkState.OPENING, LinkState.UP) else ()


def _judge(state: State, now: float, policy: Policy) -> Answer:
    """The timer of the mode we are in, then the REST side, then the socket."""
    actions: tuple[Action, ...] = ()
    if state.mode is Mode.OFF:
        state, actions = move(replace(state, run=None), Cause.TICKS_DUE, now, "the first tick is awaited")
    state = suspicion.learn(state, now, policy)
    judges = (doubt.doubt, doubt.confirm, doubt.symbols, doubt.check, doubt.candles)
    for judge in (*judges, _prove, _overdue, polling.pace, healing.heal):
        state, more = judge(state, now, policy)
        actions = (*actions, *more)
    return state, actions


def _prove(state: State, now: float, policy: Policy) -> Answer:
    """PROBATION: a gap breaks it; having held, with a price that still moves, it ends well."""
    if state.mode is not Mode.PROBATION:
        return state, ()
    run = state.run
    if run is None or ticking.broken(state, now, policy):
        return turns.break_(state, now, policy, f"the ticks stopped again for {silence(state, now):.0f} s")
    still = now - (run.since if run.moved_at is None else run.moved_at)
    if now - state.held_from < state.hold or still > max(policy.index_frozen_after, gap_limit(state, policy)):
        return state, ()
    if not _armed_again(state, run, now, policy):
        return state, ()
    return turns.to_live(state, Cause.HELD, now, f"ticks have held for {now - state.held_from:.0f} s")


def _armed_again(state: State, run: Run, now: float, policy: Policy) -> bool:
    """Each canary has ticked in this run, and none contradicts a REST that is trusted; silent ones are waited for twice as long."""
    waited = now - state.held_from >= 2 * state.hold
    lacking = [i for i in state.canaries if (at := state.ticks[i].at) is None or at < run.since]
    if lacking and not waited:
        return False
    if not state.rest.trusted:
        return True
    fresh = {
        i: clock.quote
        for i, clock in state.quotes.items()
        if clock.quote is not None and clock.at is not None and now - clock.at <= 2 * state.rest.interval
    }
    return not probing.contradictions(state, {i: q for i, q in fresh.items() if i in state.canaries}, now, policy)


def _overdue(state: State, now: float, policy: Policy) -> Answer:
    return _on_rest(*polling.overdue(state, now, policy), now, policy)


def _on_tick(state: State, event: TickReceived, now: float, policy: Policy) -> Answer:
    if not ticking.current(state, event.generation):
        return _late(state)
    at, actions = min(event.at, now), tuple[Action, ...]()
    if state.mode is Mode.PROBATION and ticking.broken(state, at, policy):
        state, actions = turns.break_(state, now, policy, "the ticks stopped again")
    state = ticking.take(state, event, now, policy)
    run = state.run
    if run is None or not run.moves:
        return state, actions
    if run.moves >= policy.probation_ticks and state.link.attempts:
        state = healing.proven(state)
    if state.mode is Mode.ARMED:
        waited = now - state.judged_from
        state, more = turns.to_live(state, Cause.MOVING, now, f"the price moves, {waited:.1f} s after ticks were due")
    elif state.mode in (Mode.SUSPECT, Mode.MARKET_SILENT) and _steady(run, policy):
        state, more = turns.to_live(state, Cause.MOVING, now, "ticks flow again")
    elif state.mode in (Mode.FALLBACK, Mode.BLIND) and run.moves >= policy.probation_ticks:
        state, more = turns.try_out(state, now, policy)
    else:
        return state, actions
    return state, (*actions, *more)


def _on_ticks(state: State, event: Ticks, now: float, policy: Policy) -> Answer:
    """The same as tick by tick: all at once where no tick can change more than clocks, which is nearly always."""
    if not ticking.current(state, event.generation):
        return _late(state, len(event.ticks))
    actions = tuple[Action, ...]()
    for n, tick in enumerate(event.ticks):
        if _settled(state, min(event.at, now), policy):
            rest = event if n == 0 else replace(event, ticks=event.ticks[n:])
            return ticking.take(state, rest, now, policy), actions
        state, more = _on_tick(state, TickReceived(event.generation, tick, event.at), now, policy)
        actions = (*actions, *more)
    return state, actions


def _settled(state: State, at: float, policy: Policy) -> bool:
    """True when no tick at `at` can move the mode or end a healing."""
    if state.link.attempts:
        return False
    return state.mode in (Mode.LIVE, Mode.OFF) or (
        state.mode is Mode.PROBATION and not ticking.broken(state, at, policy)
    )


def _late(state: State, number: int = 1) -> Answer:
    return replace(state, counts=replace(state.counts, late=state.counts.late + number)), ()


def _on_lost(state: State, event: Closed | ConnectFailed, now: float, policy: Policy) -> Answer:
    state, actions = healing.on_down(state, event, now, policy), tuple[Action, ...]()
    if state.mode is Mode.PROBATION:
        state, actions = turns.break_(state, now, policy, f"the socket was lost: {event.reason}")
    return state, actions


def _on_garbage(state: State, now: float) -> Answer:
    """Counted from the last tick on: frames that come and cannot be read are a fault of ours, not of the way to us."""
    fresh = state.garbled_at is not None and (state.last_tick_at is None or state.garbled_at > state.last_tick_at)
    counts = replace(state.counts, garbage=state.counts.garbage + 1)
    return replace(state, counts=counts, garbled=state.garbled + 1 if fresh else 1, garbled_at=now), ()


def _on_rest(state: State, cause: Cause | None, now: float, policy: Policy) -> Answer:
    """Carry a change of trust in REST over to the mode; in PROBATION it only changes where prices come from."""
    why = state.rest.fault.reason if state.rest.fault else ""
    if state.mode is Mode.MARKET_SILENT:
        if cause is Cause.REST_BACK:
            return doubt.market_moved(state, now, policy)
        if state.rest.failures >= policy.poll_failures_blind:
            return move(state, Cause.REST_FAILED, now, f"no price from either side: {why}")
    if cause in (Cause.REST_FAILED, Cause.REST_FROZEN) and state.mode is Mode.FALLBACK:
        return move(state, cause, now, f"no price from either side: {why}")
    if cause is Cause.REST_BACK and state.mode is Mode.BLIND:
        # whoever cured REST (a login, a restart) may have left our old subscription dead: ask again at once
        return move(healing.soon(state, now), cause, now, "REST gives moving prices again")
    return state, ()


def _rest_of_the_day(state: State, now: float, phase: PhaseName) -> Answer:
    name = phase.value.replace("_", " ")
    reason = "session ended" if phase in _ENDED else f"no ticks are promised now ({name})"
    if state.outage:
        reason += "; the outage was not over"
    state, actions = turns.off(state, now, Cause.NONE_DUE, reason)
    return replace(state, expects=False), actions


def _wake(state: State, now: float, policy: Policy) -> Answer:
    """Notice that runbook itself was stopped: all clocks of silence start again, and the time is nobody's."""
    if state.evaluated_at is None or now - state.evaluated_at <= policy.pause_after:
        return state, ()
    slept = now - state.evaluated_at
    state = account(state, now, unwatched=True)
    link = replace(state.link, since=now) if state.link.state is LinkState.OPENING else state.link
    state = replace(
        state,
        evaluated_at=now,
        judged_from=now,
        outage_since=max(state.outage_since, now - policy.warn_after),
        verifying_since=None,
        probing=None,
        held_from=now,
        run=None if state.run is None else replace(state.run, last=max(state.run.last, now)),
        link=link,
        rest=replace(state.rest, heard_at=now, failures=0),
        counts=replace(state.counts, pauses=state.counts.pauses + 1),
    )
    return state, (Paused(slept),) if state.started else ()


def _steady(run: Run, policy: Policy) -> bool:
    """Several moving ticks, and by the guide's clock over several seconds: a snapshot, or a burst of them, is not a feed."""
    long = policy.detect == "probe" or run.last - run.since >= policy.probation_gap
    return run.moves >= policy.probation_ticks and long
