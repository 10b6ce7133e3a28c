"""Asking REST while the socket is silent: delivery that is dead is told from a market that rests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto

from runbook.feed import polling
from runbook.feed.actions import Action, ProbeCanaries
from runbook.feed.events import Probed
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, Probing, Purpose, State
from runbook.market import Instrument, Quote

_HOUR = 3600.0
_EARLY = 0.25  # seconds: evaluations come once a second, and never exactly
_WEIGHT = {Purpose.CHECK: 0, Purpose.SYMBOL: 1, Purpose.SILENCE: 2}


class Finding(Enum):
    """What an answer settled."""

    NOTHING = auto()  # go on asking
    MOVED = auto()  # a price moved over REST since the first answer
    STILL = auto()  # none did, for longer than a living market stands still
    FAILED = auto()  # REST gives no price
    AGREED = auto()  # a check: REST lives, and says the same as the stream


def begin(state: State, now: float, policy: Policy, purpose: Purpose, targets: tuple[Instrument, ...]) -> State:
    """A new round, asked for at the next look; refused while a weightier one runs or the hour's rounds are spent."""
    running = state.probing
    rounds = tuple(t for t in state.rounds if now - t < _HOUR)
    state = replace(state, rounds=rounds)
    busy = running is not None and _WEIGHT[running.purpose] >= _WEIGHT[purpose]
    if busy or not targets or len(rounds) >= policy.probe_rounds_per_hour + (12 if purpose is Purpose.CHECK else 0):
        return state
    counted = rounds if purpose is Purpose.CHECK else (*rounds, now)
    return replace(state, rounds=counted, probing=Probing(purpose, targets, now, now))


def targets(state: State) -> tuple[Instrument, ...]:
    """What a silence of the whole feed is judged by: the canaries, else all that may move now."""
    return state.canaries or tuple(i for i in state.watched if i not in state.quiet)


def ask(state: State, now: float, policy: Policy) -> tuple[State, tuple[Action, ...], Finding]:
    """Put the question that is due; an answer that does not come in time is a failure."""
    running = state.probing
    if running is None:
        return state, (), Finding.NOTHING
    if running.asked_at is not None:
        if now - running.asked_at < policy.verify_within:
            return state, (), Finding.NOTHING
        why = f"no answer within {policy.verify_within:g} s"
        state, finding = _failed(state, running, now, policy, Fault(why))
        return state, (), finding
    if now < running.due - _EARLY:
        return state, (), Finding.NOTHING
    state = polling.spend(replace(state, probing=replace(running, asked_at=now)), now)
    state = replace(state, counts=replace(state.counts, probes=state.counts.probes + 1))
    return state, (ProbeCanaries(running.targets),), Finding.NOTHING


def on_probed(state: State, event: Probed, now: float, policy: Policy) -> tuple[State, Finding]:
    """Take in an answer: its quotes always, its verdict when it answers the question that is open."""
    at = min(event.at, now)
    state, good = polling.take(state, event.quotes, event.faults, at, only=True)
    running = state.probing
    if running is None or running.asked_at is None or event.at < running.asked_at:
        return state, Finding.NOTHING
    usable = {q.instrument: q for q in event.quotes if q.fault is None and q.instrument in running.targets}
    if not good or not usable:
        why = event.reason or next((c.fault for c in state.quotes.values() if c.fault), "an empty answer")
        return _failed(state, running, now, policy, Fault(str(why), event.hint))
    state = replace(state, checked=replace(state.checked, at=at, fault=None, failing_since=None))
    if running.purpose is Purpose.CHECK:
        return _compared(state, running, usable, now, policy)
    moved = _moved(running.first, usable)
    if moved:
        told = "; ".join(moved)
        state = replace(state, checked=replace(state.checked, moved_at=at, moved=told), probing=None)
        return state, Finding.MOVED
    first_at = running.first_at if running.first_at is not None else at
    answers = running.answers + 1
    again = replace(
        running, due=running.asked_at + policy.probe_again if running.asked_at else at, asked_at=None, first_at=first_at,
        first=dict(usable) | dict(running.first), answers=answers, failures=0,
    )  # fmt: skip
    if answers > policy.frozen_polls and at - first_at > _rests(running.targets, policy):
        return replace(state, probing=None), Finding.STILL
    return replace(state, probing=again), Finding.NOTHING


def restart(state: State, now: float, policy: Policy) -> State:
    """Ticks came in between: what was seen before them says nothing of the silence after."""
    running = state.probing
    if running is None or running.purpose is not Purpose.SILENCE or running.first_at is None:
        return state
    fresh = Probing(
        running.purpose, running.targets, running.since, now + policy.probe_again, asked_at=running.asked_at
    )
    return replace(state, probing=fresh)


def _rests(targets: tuple[Instrument, ...], policy: Policy) -> float:
    """How long living prices may stand still over REST."""
    if any(not i.is_index for i in targets):
        return policy.future_frozen_after
    return policy.index_frozen_after


def _failed(state: State, running: Probing, now: float, policy: Policy, fault: Fault) -> tuple[State, Finding]:
    since = state.checked.failing_since if state.checked.failing_since is not None else now
    state = replace(state, checked=replace(state.checked, at=now, fault=fault, failing_since=since))
    failures = running.failures + 1
    if failures >= policy.poll_failures_blind:
        return replace(state, probing=None), Finding.FAILED
    due = max(now, (running.asked_at or now) + policy.probe_again)
    return replace(state, probing=replace(running, asked_at=None, due=due, failures=failures)), Finding.NOTHING


def _moved(first: Mapping[Instrument, Quote], now: Mapping[Instrument, Quote]) -> list[str]:
    return [
        f"{i.symbol} {_told(first[i], quote)}"
        for i, quote in now.items()
        if i in first and first[i].fingerprint != quote.fingerprint
    ]


def _told(before: Quote, after: Quote) -> str:
    if before.ltp != after.ltp:
        return f"{before.ltp:.10g} -> {after.ltp:.10g}"
    if before.volume != after.volume:
        return f"{after.ltp:.10g}, volume {before.volume} -> {after.volume}"
    return f"{after.ltp:.10g}, its bid or ask moved"


def _compared(
    state: State, running: Probing, usable: Mapping[Instrument, Quote], now: float, policy: Policy
) -> tuple[State, Finding]:
    """All is well on the stream: does REST say the same? Told only when it did not three times in a row."""
    odd = contradictions(state, usable, now, policy)
    if not odd:
        done = replace(state.checked, contradicted=())
        return replace(state, checked=done, probing=None), Finding.AGREED
    answers = running.answers + 1
    if answers < policy.poll_failures_blind:
        due = (running.asked_at or now) + policy.probe_again
        return replace(state, probing=replace(running, asked_at=None, due=due, answers=answers)), Finding.NOTHING
    return replace(state, checked=replace(state.checked, contradicted=odd), probing=None), Finding.NOTHING


def contradictions(state: State, quotes: Mapping[Instrument, Quote], now: float, policy: Policy) -> tuple[str, ...]:
    """Where the stream's newest price and REST's differ by more than a market moves between two looks."""
    odd: list[str] = []
    for instrument, quote in quotes.items():
        clock = state.ticks.get(instrument)
        if clock is None or clock.tick is None or clock.at is None or now - clock.at > policy.late_floor:
            continue
        apart = abs(clock.tick.ltp - quote.ltp)
        if apart > max(policy.disagree_steps, policy.disagree * quote.ltp):
            odd.append(f"{instrument.symbol} is {clock.tick.ltp:.10g} on the stream and {quote.ltp:.10g} over REST")
    return tuple(odd)
