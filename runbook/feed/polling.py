"""The REST side: what a poll says of the prices, and if it can be trusted. It never touches a clock of the socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runbook.feed import quota
from runbook.feed.actions import Action, Note, SetPollInterval, StartPolling, StopPolling
from runbook.feed.events import Polled, PollFailed
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, QuoteClock, Rest, State
from runbook.feed.table import Cause, Mode
from runbook.market import Instrument, Quote


def begin(state: State, now: float, policy: Policy, fault: Fault | None) -> tuple[State, tuple[Action, ...]]:
    """Start to poll; trusted from the start unless there is a `fault`."""
    rest = Rest(polling=True, since=now, trusted=fault is None, heard_at=now, fault=fault)
    # what stood still in an earlier outage says nothing of this one: the first poll is only what the next is held against
    quotes = {i: replace(c, still=-1) for i, c in state.quotes.items()}
    state = replace(state, rest=rest, quotes=quotes)
    interval = _interval(state, now, policy)
    return replace(state, rest=replace(rest, interval=interval)), (StartPolling(interval),)


def end(state: State) -> tuple[State, tuple[Action, ...]]:
    """Stop to poll, if it runs."""
    if not state.rest.polling:
        return state, ()
    return replace(state, rest=replace(state.rest, polling=False, trusted=False)), (StopPolling(),)


def pace(state: State, now: float, policy: Policy) -> tuple[State, tuple[Action, ...]]:
    """The interval that fits the age of the outage, the failures in a row and the hourly budget."""
    wanted = _interval(state, now, policy)
    if not state.rest.polling or wanted == state.rest.interval:
        return state, ()
    actions: tuple[Action, ...] = (SetPollInterval(wanted),)
    if state.quota.stretched and wanted == state.quota.spacing:
        budget = state.quota.per_hour
        actions = (
            Note(f"the budget of {budget} REST calls an hour is used up: polling every {wanted:.2g} s"),
            *actions,
        )
    return replace(state, rest=replace(state.rest, interval=wanted)), actions


def _interval(state: State, now: float, policy: Policy) -> float:
    rest = state.rest
    slow = now - rest.since >= policy.slow_after and not policy.bot_served
    wanted = policy.slow_poll_every if slow else policy.poll_every
    if state.mode is Mode.MARKET_SILENT and not rest.moves:
        wanted = policy.market_poll_every
    over = rest.failures - policy.poll_failures_blind
    if over > 0:
        # a server in trouble, or one that refuses our key, is not helped by two questions every three seconds
        wanted = max(wanted, min(policy.poll_backoff_max, policy.poll_every * 2.0 ** min(over, 16)))
    return quota.interval(state.quota, wanted)


def spend(state: State, now: float) -> State:
    """Book one REST call."""
    return replace(state, quota=quota.spend(state.quota, now))


def take(
    state: State, answered: Sequence[Quote], faults: Sequence[tuple[Instrument, str]], at: float, *, only: bool = False
) -> tuple[State, bool]:
    """Move the clocks of REST by one answer; True when it held a usable quote. `only`: what it does not name was not asked."""
    given = {q.instrument: q for q in answered}
    faulty = dict(faults)
    quotes = dict(state.quotes)
    good = False
    for instrument in state.watched:
        quote, clock = given.get(instrument), state.quotes[instrument]
        if only and quote is None and instrument not in faulty:
            continue
        why = faulty.get(instrument, "not in the answer") if quote is None else quote.fault
        if quote is None or why is not None:
            quotes[instrument] = replace(clock, still=clock.still + 1, fault=why)
            continue
        good = True
        same = clock.quote is not None and clock.quote.fingerprint == quote.fingerprint
        quotes[instrument] = QuoteClock(
            quote, at, clock.changed_at if same else at, clock.still + 1 if same else 0, fault=None
        )
    return replace(state, quotes=quotes), good


def on_polled(state: State, event: Polled, now: float, policy: Policy) -> tuple[State, Cause | None]:
    """Take in one answer; the cause is given when trust in REST was lost or came back."""
    at = min(event.at, now)
    state = replace(spend(state, now), counts=replace(state.counts, polls=state.counts.polls + 1))
    before = state.quotes
    state, good = take(state, event.quotes, event.faults, at)
    if not state.rest.polling:
        return state, None
    if not good:
        why = next((c.fault for c in state.quotes.values() if c.fault), "an empty answer")
        return _failed(state, at, policy, Fault(f"no usable quote: {why}"))
    moved = any(_differs(before[i].quote, state.quotes[i]) for i in state.canaries)
    return _good(state, at, policy, moved=moved or not state.canaries)


def _differs(before: Quote | None, clock: QuoteClock) -> bool:
    """True when this answer brought another quote than the one we had."""
    if before is None or clock.quote is None or clock.fault is not None:
        return False
    return clock.quote.fingerprint != before.fingerprint


def on_failed(state: State, event: PollFailed, now: float, policy: Policy) -> tuple[State, Cause | None]:
    """REST gave nothing; the cause is given when that made it lose our trust."""
    state = replace(spend(state, now), counts=replace(state.counts, poll_failures=state.counts.poll_failures + 1))
    if not state.rest.polling:
        return state, None
    return _failed(state, min(event.at, now), policy, Fault(event.reason, event.hint))


def overdue(state: State, now: float, policy: Policy) -> tuple[State, Cause | None]:
    """The poller has said nothing, good or bad, for longer than a poll can take."""
    rest = state.rest
    if not rest.polling or now - rest.heard_at <= max(policy.poll_overdue, 3 * rest.interval) or not rest.trusted:
        return state, None
    fault = Fault(f"REST has not answered for {now - rest.heard_at:.0f} s")
    return replace(state, rest=replace(rest, trusted=False, frozen=False, moves=0, fault=fault)), Cause.REST_FAILED


def _failed(state: State, at: float, policy: Policy, fault: Fault) -> tuple[State, Cause | None]:
    rest = state.rest
    since = rest.failing_since if rest.failures else at
    failures = rest.failures + 1
    lost = failures >= policy.poll_failures_blind or (failures > 1 and at - since >= policy.poll_failing_blind)
    cause = Cause.REST_FAILED if lost and rest.trusted else None
    rest = replace(rest, failures=failures, failing_since=since, heard_at=at, moves=0, fault=fault)
    if lost:
        rest = replace(rest, trusted=False, frozen=False)
    return replace(state, rest=rest), cause


def _good(state: State, at: float, policy: Policy, *, moved: bool) -> tuple[State, Cause | None]:
    rest = replace(state.rest, failures=0, heard_at=at)
    if _frozen(state, at, policy):
        fault = Fault("REST answers, but its prices stand still")
        cause = Cause.REST_FROZEN if rest.trusted else None
        return replace(state, rest=replace(rest, trusted=False, frozen=True, moves=0, fault=fault)), cause
    if rest.trusted:
        return replace(state, rest=replace(rest, fault=None)), None
    moves = rest.moves + moved
    if moves < policy.moves_to_trust or rest.outdated:
        return replace(state, rest=replace(rest, moves=moves)), None
    return replace(state, rest=replace(rest, trusted=True, frozen=False, moves=0, fault=None)), Cause.REST_BACK


def _frozen(state: State, at: float, policy: Policy) -> bool:
    """True when no canary has moved for its limit: one that moves proves life, an option or an equity proves nothing.

    Measured from poll to poll, not to the clock's now: with a stretched interval a price cannot move between two looks.
    A canary without a usable quote has not moved either.
    """
    floor = max(state.rest.since, state.judged_from)
    for instrument in state.canaries:
        clock = state.quotes[instrument]
        limit = policy.index_frozen_after if instrument.is_index else policy.future_frozen_after
        stood = at - max(floor, floor if clock.changed_at is None else clock.changed_at)
        if stood <= limit or clock.still < policy.frozen_polls:
            return False
    return bool(state.canaries)
