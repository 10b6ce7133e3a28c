"""The figures the feed is judged by. Why each is what it is: docs/feed.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Detect = Literal["probe", "timers"]


@dataclass(frozen=True, slots=True)
class Policy:
    """All limits of the feed; seconds of `Clock.monotonic` unless the name says otherwise."""

    detect: Detect = "probe"  # timers: the two limits of the guide alone

    # silence on the socket (the guide's two limits, which need no probe)
    warn_after: float = 60.0
    fallback_after: float = 120.0
    closed_after: float = 15.0  # a socket that is known to be gone needs no 120 s to be believed

    # silence that makes us ask REST
    suspect_after: float = 5.0  # on a list of `busy` ticks a second and more
    busy: float = 3.0
    suspect_phi: float = 5.0  # on a quieter one: silence that is by chance only once in 10^phi gaps
    first_tick_within: float = 15.0
    rate_memory: float = 300.0  # how far back the rates look
    rate_ticks: int = 20  # fewer say nothing about a rate
    probe_again: float = 3.0
    probe_rounds_per_hour: int = 20
    check_rest_every: float = 300.0  # a look at REST while all is well, so that its failure is known beforehand
    disagree: float = 0.0005  # of the price; two sources may differ by so much, or by three ticks
    disagree_steps: float = 0.15

    # one instrument that is silent among others that are not
    late_phi: float = 18.0
    late_longest: float = 1.5  # ... and so many times the longest gap of late: ticks come in bursts, not by a clock
    late_longest_max: float = 42.0
    longest_memory: float = 1800.0
    late_floor: float = 5.0
    late_min_rate: float = 0.5  # ticks a second; below it silence is everyday

    # nothing moves anywhere
    market_poll_every: float = 15.0
    candle_every: float = 60.0
    candle_in_doubt: float = 20.0  # while nothing moves anywhere: it tells a halt from a REST that is frozen
    candle_stale: float = 180.0  # seconds since the newest 1-minute candle began

    # REST
    poll_every: float = 1.5
    slow_poll_every: float = 5.0
    slow_after: float = 300.0
    bot_served: bool = False  # a bot lives on these prices: never slow down by age
    verify_within: float = 15.0  # an answer to VerifyBroker later than this is no answer
    poll_failures_blind: int = 3
    poll_failing_blind: float = 5.0  # ... or two failures this far apart, when polls are slow
    poll_overdue: float = 15.0  # nothing heard from the poller at all
    poll_backoff_max: float = 30.0
    index_frozen_after: float = 15.0
    future_frozen_after: float = 10.0
    frozen_polls: int = 2  # a stretched poll must see it stand still twice before it says so
    moves_to_trust: int = 2
    rest_max_per_hour: int = 2000

    # the way back
    probation: float = 30.0
    probation_max: float = 600.0
    flap_window: float = 300.0
    probation_ticks: int = 5
    probation_gap: float = 5.0
    probation_gap_no_canary: float = 60.0  # options alone may be quiet for a minute and healthy

    # healing the socket
    resubscribe_patience: float = 5.0
    # OpenAlgo drops a dead broker link only when its last client has gone: away so long that the bot's own reconnect,
    # which most make within a minute, finds nobody else there and gets a fresh one
    stay_away: float = 75.0
    look_again: float = 20.0  # for ticks on the connection after an absence: a fresh broker link brings them within ten
    connect_within: float = 20.0
    reconnect_min: float = 1.0
    reconnect_max: float = 60.0
    knock_max: float = 7.5  # between two looks at a port that refuses: two fall into `closed_after`
    rungs: int = 6
    rungs_window: float = 600.0
    seed: int = 0  # of the jitter; two desks on one server should not share it

    # runbook itself
    pause_after: float = 3.0  # no evaluation for this long: runbook was stopped, not the feed

    def __post_init__(self) -> None:
        if not 0 < self.warn_after < self.fallback_after:
            raise ValueError(
                f"fallback_after ({self.fallback_after:g} s) must be longer than warn_after ({self.warn_after:g} s)"
            )
