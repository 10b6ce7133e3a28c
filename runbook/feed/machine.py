"""The feed machine: `step` takes an event, `evaluate` takes the passing of time; both only decide.

h11's connection is the model: a table of states, pure functions over it, and a caller that does the input and output.
"""

from __future__ import annotations

from dataclasses import replace

from runbook.feed import healing, polling, ticking
from runbook.feed.actions import Action, CloseStream, Note, Paused, VerifyBroker
from runbook.feed.events import (
    BrokerChecked,
    Closed,
    Connected,
    ConnectFailed,
    Event,
    Garbage,
    Polled,
    PollFailed,
    Subscribed,
    TickReceived,
)
from runbook.feed.incident import move
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, Link, LinkState, Run, State, account, canaries, gap_limit, silence
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
    link = replace(state.link, down_since=now, subscribed_at=None, fault=None, reopen=False)
    state = replace(state, link=link)
    state, connect = healing.open_link(state, now, reason)
    return state, (*actions, connect)


def stop(state: State, now: float, reason: str = "stopped") -> Answer:
    """End: close the connection, stop polling, claim no recovery."""
    state, actions = _off(state, now, Cause.STOPPED, reason)
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
        case TickReceived():  # first: there may be a thousand a second
            return _on_tick(state, event, now, policy)
        case Polled():
            return _on_rest(*polling.on_polled(state, event, now, policy), now)
        case PollFailed():
            return _on_rest(*polling.on_failed(state, event, now, policy), now)
        case BrokerChecked():
            return _on_checked(state, event, now, policy)
        case _ if not ticking.current(state, event.generation):
            return _late(state)
        case Connected():
            return healing.on_connected(state, now, policy), ()
        case Subscribed():
            return healing.on_subscribed(state, event, now)
        case Garbage():
            return replace(state, counts=replace(state.counts, garbage=state.counts.garbage + 1)), ()
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
    state = replace(account(state, now), evaluated_at=now, phase=phase, canaries=canaries(state.watched, quiet))
    due = expects_ticks and phase.trading and not quiet.issuperset(state.watched)
    actions: tuple[Action, ...] = ()
    if due and not state.expects:
        state = replace(state, expects=True, judged_from=max(state.judged_from, now))
    if not due:
        state, actions = _rest_of_the_day(state, now, phase)
    elif state.started:
        state, actions = _judge(state, now, policy)
    return state, (*woke, *actions)


def _judge(state: State, now: float, policy: Policy) -> Answer:
    """The timer of the mode we are in, then the REST side, then the socket."""
    actions: tuple[Action, ...] = ()
    if state.mode is Mode.OFF:
        state, actions = move(replace(state, run=None), Cause.TICKS_DUE, now, "the first tick is awaited")
    for judge in (_doubt, _confirm, _prove, _overdue, polling.pace, healing.heal):
        state, more = judge(state, now, policy)
        actions = (*actions, *more)
    return state, actions


def _doubt(state: State, now: float, policy: Policy) -> Answer:
    """ARMED, LIVE: silent too long, or the socket is gone and does not come back."""
    if state.mode not in (Mode.ARMED, Mode.LIVE):
        return state, ()
    gone = _gone_for(state, now)
    if gone >= policy.closed_after:
        why = state.link.fault.reason if state.link.fault else "no answer"
        reason = f"the socket has been gone for {gone:.0f} s and cannot be reopened: {why}"
        return _noted(move(state, Cause.CLOSED, now, reason), reason)
    # A stray tick is not the start of a feed: until the first move, silence counts from when ticks were due.
    silent = now - state.judged_from if state.mode is Mode.ARMED else silence(state, now)
    if silent < policy.warn_after:
        return state, ()
    said = f"No ticks for {silent:.0f}s"
    return _noted(move(state, Cause.SILENT, now, f"no ticks for {silent:.0f} s"), said)


def _confirm(state: State, now: float, policy: Policy) -> Answer:
    """SUSPECT: time to ask the broker, and to leave the socket. Ticks that flow again end it as they come."""
    if state.mode is not Mode.SUSPECT:
        return state, ()
    if state.verifying_since is not None:
        if now - state.verifying_since < policy.verify_within:
            return state, ()
        return _leave(state, now, policy, ok=False, why=f"no answer within {policy.verify_within:g} s")
    silent = now - state.outage_since
    if silent < policy.fallback_after and _gone_for(state, now) < policy.closed_after:
        return state, ()
    state = replace(polling.spend(state, now), verifying_since=now)
    return state, (Note(f"No ticks for {silent:.0f}s; asking the broker over REST"), VerifyBroker())


def _prove(state: State, now: float, policy: Policy) -> Answer:
    """PROBATION: a gap breaks it; having held, with a price that still moves, it ends well."""
    if state.mode is not Mode.PROBATION:
        return state, ()
    run = state.run
    if run is None or ticking.broken(state, now, policy):
        return _break(state, now, policy, f"the ticks stopped again for {silence(state, now):.0f} s")
    still = now - (run.since if run.moved_at is None else run.moved_at)
    if now - state.held_from < state.hold or still > max(policy.index_frozen_after, gap_limit(state, policy)):
        return state, ()
    return _to_live(state, Cause.HELD, now, f"ticks have held for {now - state.held_from:.0f} s")


def _overdue(state: State, now: float, policy: Policy) -> Answer:
    return _on_rest(*polling.overdue(state, now, policy), now)


def _on_tick(state: State, event: TickReceived, now: float, policy: Policy) -> Answer:
    if not ticking.current(state, event.generation):
        return _late(state)
    at, actions = min(event.at, now), tuple[Action, ...]()
    if state.mode is Mode.PROBATION and ticking.broken(state, at, policy):
        state, actions = _break(state, now, policy, "the ticks stopped again")
    state = ticking.take(state, event, now, policy)
    run = state.run
    if run is None or not run.moves:
        return state, actions
    if run.moves >= policy.probation_ticks and state.link.attempts:
        state = healing.proven(state)
    if state.mode is Mode.ARMED:
        waited = now - state.judged_from
        state, more = _to_live(state, Cause.MOVING, now, f"the price moves, {waited:.1f} s after ticks were due")
    elif state.mode is Mode.SUSPECT and _steady(run, policy):
        state, more = _to_live(state, Cause.MOVING, now, "ticks flow again")
    elif state.mode in (Mode.FALLBACK, Mode.BLIND) and run.moves >= policy.probation_ticks:
        state, more = _try_out(state, now, policy)
    else:
        return state, actions
    return state, (*actions, *more)


def _late(state: State) -> Answer:
    return replace(state, counts=replace(state.counts, late=state.counts.late + 1)), ()


def _on_lost(state: State, event: Closed | ConnectFailed, now: float, policy: Policy) -> Answer:
    state, actions = healing.on_down(state, event, now, policy), tuple[Action, ...]()
    if state.mode is Mode.PROBATION:
        state, actions = _break(state, now, policy, f"the socket was lost: {event.reason}")
    return state, actions


def _on_checked(state: State, event: BrokerChecked, now: float, policy: Policy) -> Answer:
    asked = state.verifying_since
    if asked is None or event.at < asked:
        return state, ()  # an answer to a question of an earlier outage
    return _leave(state, now, policy, ok=event.ok, why=event.reason)


def _on_rest(state: State, cause: Cause | None, now: float) -> Answer:
    """Carry a change of trust in REST over to the mode; in PROBATION it only changes where prices come from."""
    why = state.rest.fault.reason if state.rest.fault else ""
    if cause in (Cause.REST_FAILED, Cause.REST_FROZEN) and state.mode is Mode.FALLBACK:
        return move(state, cause, now, f"no price from either side: {why}")
    if cause is Cause.REST_BACK and state.mode is Mode.BLIND:
        # whoever cured REST (a login, a restart) may have left our old subscription dead: ask again at once
        return move(healing.soon(state, now), cause, now, "REST gives moving prices again")
    return state, ()


def _leave(state: State, now: float, policy: Policy, *, ok: bool, why: str) -> Answer:
    """SUSPECT to REST, or to nothing; a feed that fails soon after its return must hold longer next time."""
    again = state.returned_at is not None and state.outage_since - state.returned_at < policy.flap_window
    hold = min(policy.probation_max, 2 * state.hold) if again else policy.probation
    state = replace(state, hold=hold, failed_at=now, returned_at=None)
    state, polls = polling.begin(state, now, policy, None if ok else Fault(why))
    silent = f"no ticks for {now - state.outage_since:.0f} s"
    if ok:
        told = Note(f"Broker connection verified via REST API: {why}")
        reason = f"{silent}; prices come from REST every {state.rest.interval:g} s"
        state, moved = move(state, Cause.VERIFIED, now, reason)
    else:
        told = Note(f"Broker connection not verified via REST API: {why}")
        state, moved = move(state, Cause.UNVERIFIED, now, f"{silent}, and REST gives no price either: {why}")
    return state, (told, *polls, *moved)


def _try_out(state: State, now: float, policy: Policy) -> Answer:
    """Ticks are back: put them on probation. Five quiet minutes since the last failure are forgiven."""
    if state.failed_at is not None and now - state.failed_at > policy.flap_window:
        state = replace(state, hold=policy.probation)
    reason = (
        f"ticks are back on connection {state.link.generation}; REST stays until they have held for {state.hold:g} s"
    )
    return move(replace(state, held_from=now), Cause.RETURNED, now, reason)


def _break(state: State, now: float, policy: Policy, why: str) -> Answer:
    hold = min(policy.probation_max, 2 * state.hold)
    state = replace(state, hold=hold, failed_at=now, run=None)
    cause = Cause.BROKEN if state.rest.trusted else Cause.BROKEN_BLIND
    return move(state, cause, now, f"{why}; the next return must hold for {hold:g} s")


def _to_live(state: State, cause: Cause, now: float, reason: str) -> Answer:
    if cause is Cause.HELD:
        state = replace(state, returned_at=now)
    state, stopped = polling.end(state)
    state, moved = move(state, cause, now, f"{reason}; prices come from the WebSocket")
    return state, (*stopped, *moved)


def _rest_of_the_day(state: State, now: float, phase: PhaseName) -> Answer:
    name = phase.value.replace("_", " ")
    reason = "session ended" if phase in _ENDED else f"no ticks are promised now ({name})"
    if state.outage:
        reason += "; the outage was not over"
    state, actions = _off(state, now, Cause.NONE_DUE, reason)
    return replace(state, expects=False), actions


def _off(state: State, now: float, cause: Cause, reason: str) -> Answer:
    if state.mode is Mode.OFF:
        return state, ()
    state = replace(account(state, now), longest_gap=max(state.longest_gap, silence(state, now)))
    state, stopped = polling.end(state)
    state, moved = move(state, cause, now, reason)
    return state, (*stopped, *moved)


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
        held_from=now,
        run=None if state.run is None else replace(state.run, last=max(state.run.last, now)),
        link=link,
        rest=replace(state.rest, heard_at=now, failures=0),
        counts=replace(state.counts, pauses=state.counts.pauses + 1),
    )
    return state, (Paused(slept),) if state.started else ()


def _steady(run: Run, policy: Policy) -> bool:
    """Several moving ticks over several seconds: a snapshot, or a burst of them, is not a feed."""
    return run.moves >= policy.probation_ticks and run.last - run.since >= policy.probation_gap


def _gone_for(state: State, now: float) -> float:
    """Seconds since the socket was lost and not open again; zero while it is open."""
    since = state.link.down_since
    return 0.0 if since is None else now - max(since, state.judged_from)


def _noted(answer: Answer, said: str) -> Answer:
    state, actions = answer
    return state, (Note(said), *actions)
