"""The turns a feed takes: what else happens with each change of mode, polling and the hold of the next probation."""

from __future__ import annotations

from dataclasses import replace

from runbook.feed import polling
from runbook.feed.actions import Action, Note, SymbolTurned
from runbook.feed.incident import move
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, State, account, silence
from runbook.feed.table import Cause, Mode

Answer = tuple[State, tuple[Action, ...]]


def leave(state: State, now: float, policy: Policy, cause: Cause, why: str, fault: Fault | None = None) -> Answer:
    """SUSPECT to REST, or to nothing; a feed that fails soon after its return must hold longer next time.

    `fault` is why REST cannot be trusted; None: it gave a price.
    """
    again = state.returned_at is not None and state.outage_since - state.returned_at < policy.flap_window
    hold = min(policy.probation_max, 2 * state.hold) if again else policy.probation
    state = replace(state, hold=hold, failed_at=now, returned_at=None, probing=None)
    state, polls = polling.begin(state, now, policy, fault)
    silent = f"no ticks for {now - state.outage_since:.0f} s"
    if fault is None:
        reason = f"{silent}; prices come from REST every {state.rest.interval:g} s"
        if cause is Cause.MOVED:
            reason = (
                f"{silent}, while prices move over REST ({why}); they come from there every {state.rest.interval:g} s"
            )
    else:
        reason = f"{silent}, and REST gives no price either: {why}"
    state, moved = move(state, cause, now, reason)
    return state, (*polls, *moved)


def rest_moved(state: State, now: float, policy: Policy, why: str) -> Answer:
    """MARKET_SILENT to REST: the market moves again, and the socket does not."""
    state, polls = polling.begin(replace(state, failed_at=now, returned_at=None, probing=None), now, policy, None)
    reason = f"the market moves again over REST ({why}) and the socket brings nothing; prices come from REST"
    state, moved = move(state, Cause.MOVED, now, reason)
    return state, (*polls, *moved)


def rest_still(state: State, now: float, policy: Policy) -> Answer:
    """SUSPECT to MARKET_SILENT: the socket and REST both answer, and nothing moves on either."""
    state, polls = polling.begin(replace(state, probing=None), now, policy, Fault("its prices stand still"))
    state = replace(state, rest=replace(state.rest, frozen=True))
    reason = f"no ticks for {now - state.outage_since:.0f} s, and nothing moves over REST either: nothing is traded"
    state, moved = move(state, Cause.STILL, now, reason)
    return state, (*polls, *moved)


def try_out(state: State, now: float, policy: Policy) -> Answer:
    """Ticks are back: put them on probation. Five quiet minutes since the last failure are forgiven."""
    if state.failed_at is not None and now - state.failed_at > policy.flap_window:
        state = replace(state, hold=policy.probation)
    reason = (
        f"ticks are back on connection {state.link.generation}; REST stays until they have held for {state.hold:g} s"
    )
    return move(replace(state, held_from=now), Cause.RETURNED, now, reason)


def break_(state: State, now: float, policy: Policy, why: str) -> Answer:
    """PROBATION back to where it came from."""
    hold = min(policy.probation_max, 2 * state.hold)
    state = replace(state, hold=hold, failed_at=now, run=None)
    cause = Cause.BROKEN if state.rest.trusted else Cause.BROKEN_BLIND
    return move(state, cause, now, f"{why}; the next return must hold for {hold:g} s")


def to_live(state: State, cause: Cause, now: float, reason: str) -> Answer:
    """The socket has its trust."""
    if cause is Cause.HELD:
        state = replace(state, returned_at=now)
    state, stopped = polling.end(replace(state, probing=None))
    state, moved = move(state, cause, now, f"{reason}; prices come from the WebSocket")
    return state, (*stopped, *moved)


def off(state: State, now: float, cause: Cause, reason: str) -> Answer:
    """Nothing is promised any more, or runbook stops."""
    over = tuple(
        SymbolTurned(i, now, over=True, reason=f"{reason}; {i.symbol} had not come back", ended=True)
        for i, gone in state.late.items()
        if gone.confirmed
    )
    state = replace(state, probing=None, late={})
    if state.mode is Mode.OFF:
        return state, over
    state = replace(account(state, now), longest_gap=max(state.longest_gap, silence(state, now)))
    state, stopped = polling.end(state)
    state, moved = move(state, cause, now, reason)
    return state, (*over, *stopped, *moved)


def noted(answer: Answer, said: str) -> Answer:
    """The answer, with a line for the log before it."""
    state, actions = answer
    return state, (Note(said), *actions)
