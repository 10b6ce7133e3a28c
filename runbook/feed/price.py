"""What leaves the feed: a price with its source and its times, and how the feed stands. Only the trusted side speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from runbook.feed.grade import grade
from runbook.feed.policy import Policy
from runbook.feed.state import State, source
from runbook.feed.table import Mode
from runbook.feed.ticking import current, is_replay
from runbook.market import Instrument, Source, Tick

_USUAL = Policy()
Wall = Callable[[float], datetime]  # from seconds of `Clock.monotonic` to an aware instant


@dataclass(frozen=True, slots=True)
class Price:
    """One price in rupees as it may be handed to a bot.

    `received_at` is when runbook got it, `last_changed_at` when it last differed: over REST the only age that says
    something. `ltt` is the broker's last-trade time in epoch milliseconds, which REST never has. `grade` is the evidence
    behind a REST price, None where it was not judged.
    """

    instrument: Instrument
    ltp: float
    source: Source
    received_at: datetime
    last_changed_at: datetime
    grade: str | None = None
    ltt: int | None = None
    volume: int | None = None


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How the feed stands since `since`, and why. `source` is None while no price can be trusted; `broker` when unknown.

    `refused` is what OpenAlgo did not subscribe for us: no tick of it will come.
    """

    mode: Mode
    source: Source | None
    since: datetime
    reason: str
    broker: str | None = None
    refused: tuple[Instrument, ...] = ()


def of_ticks(
    before: State, after: State, generation: int, ticks: Iterable[Tick], at: float, wall: Wall
) -> tuple[Price, ...]:
    """The prices in `ticks`, received at `at`; none unless the WebSocket is trusted after them.

    `before` is the state that had not seen them. The same trade told again is no price: a dead link sends it, too.
    """
    if source(after) is not Source.WEBSOCKET or not current(before, generation):
        return ()
    received = wall(at)
    known: dict[Instrument, tuple[Tick, datetime]] = {}
    prices = []
    for tick in ticks:
        clock = before.ticks.get(tick.instrument)
        if clock is None or not tick.ltp > 0:
            continue
        held = known.get(tick.instrument)
        last = clock.tick if held is None else held[0]
        if is_replay(last, tick):
            continue
        if last is None or last.ltp != tick.ltp:
            changed = received
        elif held is not None:
            changed = held[1]
        else:
            changed = received if clock.changed_at is None else wall(clock.changed_at)
        known[tick.instrument] = tick, changed
        prices.append(
            Price(tick.instrument, tick.ltp, Source.WEBSOCKET, received, changed, ltt=tick.ltt, volume=tick.volume)
        )
    return tuple(prices)


def of_poll(state: State, at: float, wall: Wall, policy: Policy = _USUAL) -> tuple[Price, ...]:
    """The prices of the poll that was received at `at` and is in `state`; none unless REST is trusted."""
    if source(state) is not Source.REST_POLLING:
        return ()
    found = (of_instrument(state, i, wall, policy) for i in state.watched if state.quotes[i].at == at)
    return tuple(price for price in found if price is not None)


def of_instrument(state: State, instrument: Instrument, wall: Wall, policy: Policy = _USUAL) -> Price | None:
    """The newest price of the trusted side, or None; its age is the caller's to judge.

    Never a tick of an earlier connection, nor a quote of before this polling or of before a poll that failed.
    """
    where = source(state)
    if where is Source.WEBSOCKET:
        ticked = state.ticks.get(instrument)
        if ticked is None or ticked.tick is None or ticked.at is None or ticked.generation != state.link.generation:
            return None
        received, tick = wall(ticked.at), ticked.tick
        changed = received if ticked.changed_at is None else wall(ticked.changed_at)
        return Price(instrument, tick.ltp, where, received, changed, ltt=tick.ltt, volume=tick.volume)
    if where is Source.REST_POLLING:
        quoted = state.quotes.get(instrument)
        if quoted is None or quoted.quote is None or quoted.at is None or quoted.fault is not None:
            return None
        if quoted.at < state.rest.since:
            return None
        received, quote = wall(quoted.at), quoted.quote
        changed = received if quoted.changed_at is None else wall(quoted.changed_at)
        found = str(grade(state, instrument, quoted.at, policy))
        return Price(instrument, quote.ltp, where, received, changed, grade=found, volume=quote.volume)
    return None
