"""The hourly budget of REST calls that the desk shares with the bot: a token bucket, as a value."""

from __future__ import annotations

from dataclasses import dataclass, replace

_HOUR = 3600.0
_BURST = 0.2  # share of the hour that may be spent ahead of pace
_REFILLED = 0.1  # share of the burst that must be back before the poll is quick again: no flicker


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left to spend. A full bucket is the burst; what flows in is the rest of the hour.

    So no stretch of one hour ever sees more than `per_hour` calls, and the poll is slowed, never stopped: a budget
    that is simply counted down leaves the desk blind for its last minutes.
    """

    per_hour: int
    tokens: float
    at: float | None = None
    stretched: bool = False

    @property
    def burst(self) -> float:
        return max(1.0, self.per_hour * _BURST)

    @property
    def spacing(self) -> float:
        """Seconds between two calls that can be kept up for ever."""
        return _HOUR / max(1e-9, self.per_hour - self.burst)


def full(per_hour: int) -> Quota:
    """A budget of which nothing has been spent yet; at least 2 calls an hour."""
    quota = Quota(max(2, per_hour), 0.0)
    return replace(quota, tokens=quota.burst)


def spend(quota: Quota, now: float) -> Quota:
    """The budget after one call at `now`; it may be overdrawn, and then takes longer to recover."""
    filled = refill(quota, now)
    tokens = filled.tokens - 1
    stretched = tokens < 1 or (filled.stretched and tokens < filled.burst * _REFILLED)
    return replace(filled, tokens=tokens, stretched=stretched)


def refill(quota: Quota, now: float) -> Quota:
    """The budget as it stands at `now`."""
    gained = 0.0 if quota.at is None else max(0.0, now - quota.at) / quota.spacing
    return replace(quota, tokens=min(quota.burst, quota.tokens + gained), at=now)


def interval(quota: Quota, wanted: float) -> float:
    """The seconds to the next poll: `wanted`, or longer once the budget is spent."""
    return max(wanted, quota.spacing) if quota.stretched else wanted
