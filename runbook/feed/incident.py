"""A change of mode: looked up in the table, booked, numbered, and told with its evidence."""

from __future__ import annotations

from dataclasses import replace

from runbook.feed.actions import Action, Announce, Evidence, Transition
from runbook.feed.advice import advise
from runbook.feed.state import State, account, silence
from runbook.feed.table import TRANSITIONS, Cause, Mode

_NEEDS_A_PERSON = {Mode.SUSPECT, Mode.FALLBACK, Mode.BLIND}


def move(state: State, cause: Cause, now: float, reason: str) -> tuple[State, tuple[Action, ...]]:
    """The state after `cause`, and its announcement; a cause with no way out of this mode is a KeyError: our bug."""
    before, after = state.mode, TRANSITIONS[state.mode, cause]
    state = account(state, now)
    if after is Mode.SUSPECT:
        state = _open(state, now)
    if before is Mode.SUSPECT and after in (Mode.FALLBACK, Mode.BLIND):
        state = replace(state, counts=replace(state.counts, fallbacks=state.counts.fallbacks + 1))
    if after is Mode.BLIND:
        state = replace(state, counts=replace(state.counts, blinds=state.counts.blinds + 1))
    outage = state.outage
    over = after in (Mode.LIVE, Mode.OFF)
    state = replace(state, mode=after, mode_since=now, outage=0 if over else outage, verifying_since=None)
    hint = advise(state) if after in _NEEDS_A_PERSON else ""
    transition = Transition(before, after, cause, now, reason, evidence(state, now), hint, outage)
    return state, (Announce(transition),)


def _open(state: State, now: float) -> State:
    """A new outage. The silence before the first doubt was no price from the WebSocket: it is booked back."""
    quiet = silence(state, now)
    seconds = state.seconds
    if state.mode is Mode.LIVE:
        back = min(quiet, now - state.mode_since)
        seconds = replace(seconds, websocket=seconds.websocket - back, waiting=seconds.waiting + back)
    return replace(
        state,
        run=None,  # what ran before the silence proves nothing after it
        seconds=seconds,
        outage=state.outages + 1,
        outages=state.outages + 1,
        outage_since=now - quiet,
        warned=False,
        checked=replace(state.checked, moved="", moved_at=None, contradicted=()),
        link=replace(state.link, lost=""),
    )


def evidence(state: State, now: float) -> Evidence:
    """What is known at this instant, in plain values; ages in seconds, None where nothing ever came."""
    return {
        "phase": str(state.phase),
        "silence": round(silence(state, now), 1),
        "tick_ages": {str(i): _age(state.ticks[i].at, now) for i in state.watched},
        "quote_ages": {str(i): _age(state.quotes[i].at, now) for i in state.watched},
        "quote_unchanged": {str(i): _age(state.quotes[i].changed_at, now) for i in state.watched},
        "link": str(state.link.state),
        "link_fault": state.link.fault.reason if state.link.fault else None,
        "rest_fault": state.rest.fault.reason if state.rest.fault else None,
        "generation": state.link.generation,
        "reconnects": state.counts.reconnects,
        "resubscribes": state.counts.resubscribes,
        "hold": state.hold,
    }


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else round(now - at, 1)
