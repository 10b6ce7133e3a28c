"""How long a silence may be before it is odd: learned from the ticks themselves, per instrument.

A gap of exponential traffic is longer than phi * ln(10) * mean once in 10^phi gaps (an accrual detector, as Cassandra has it).
"""

from __future__ import annotations

import math
from dataclasses import replace

from runbook.feed.policy import Policy
from runbook.feed.state import Late, Rate, State, silence
from runbook.feed.table import Mode
from runbook.market import Instrument

_LN10 = math.log(10)


def learn(state: State, now: float, policy: Policy) -> State:
    """The rates after the ticks since the last look.

    A silence teaches nothing before it ends, never when it was odd, and never while nothing was promised.
    """
    rates = dict(state.rates)
    for instrument, clock in state.ticks.items():
        rate = rates.get(instrument, Rate())
        resting = instrument in state.quiet or state.mode is not Mode.LIVE
        rates[instrument] = (
            replace(rate, count=clock.ticks, at=now) if resting else _learned(rate, clock.ticks, now, policy)
        )
    return replace(state, rates=rates)


def _learned(rate: Rate, count: int, now: float, policy: Policy) -> Rate:
    if rate.at is None:
        return replace(rate, count=count, at=now)
    gap = now - rate.at
    if count <= rate.count or gap <= 0:
        return rate
    limit = late_after(rate, policy)
    if gap > (policy.warn_after if limit is None else max(limit, policy.late_floor)):
        return replace(rate, count=count, at=now)
    keep = math.exp(-gap / policy.rate_memory)
    longest = max(gap, rate.longest * math.exp(-gap / policy.longest_memory))
    return Rate(count, now, rate.ticks * keep + (count - rate.count), rate.time * keep + gap, longest)


def per_second(rate: Rate | None, policy: Policy) -> float | None:
    """Ticks a second, or None while too few were seen."""
    if rate is None or rate.ticks < policy.rate_ticks or rate.time <= 0:
        return None
    return rate.ticks / rate.time


def late_after(rate: Rate | None, policy: Policy) -> float | None:
    """Seconds after which one instrument is late; None for one that is too slow or too new to tell."""
    known = per_second(rate, policy)
    if rate is None or known is None or known < policy.late_min_rate:
        return None
    by_chance = policy.late_phi * _LN10 / known
    bursty = min(policy.late_longest * rate.longest, policy.late_longest_max)
    return max(policy.late_floor, by_chance, bursty)


def patience(state: State, policy: Policy) -> float:
    """Seconds of silence of the whole feed that make it suspect; never above the guide's own warning."""
    known = [per_second(state.rates.get(i), policy) for i in state.watched if i not in state.quiet]
    together = sum(rate for rate in known if rate is not None)
    if together <= 0:
        return min(policy.first_tick_within, policy.warn_after)
    if together >= policy.busy:
        return min(policy.suspect_after, policy.warn_after)
    return min(max(policy.suspect_after, policy.suspect_phi * _LN10 / together), policy.warn_after)


def newly_late(state: State, now: float, policy: Policy) -> dict[Instrument, Late]:
    """Which instruments have become late while the feed as a whole goes on."""
    if silence(state, now) >= policy.suspect_after:
        return {}
    found: dict[Instrument, Late] = {}
    for instrument, rate in state.rates.items():
        limit = late_after(rate, policy)
        if instrument in state.late or instrument in state.quiet or limit is None or rate.at is None:
            continue
        since = max(state.judged_from, rate.at)
        if now - since > limit:
            found[instrument] = Late(since)
    return found


def back(state: State) -> tuple[Instrument, ...]:
    """Which late instruments have ticked again since."""
    return tuple(i for i, late in state.late.items() if (at := state.ticks[i].at) is not None and at > late.since)
