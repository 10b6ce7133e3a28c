"""Synthetic ticks: seeded days of a made-up market, on which detectors are compared. The daemon never imports this.

The rates and shapes are assumptions, not exchange data: a session of 375 minutes, busy at both ends and dull at lunch,
streams of seven kinds, deliveries that stall for seconds and heal alone. Figures that rest on them say so; a site's own
recorded ticks (`runbook feed calibrate`) are the better evidence. Times are seconds since the open.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from random import Random

from runbook.feed.tape import Tape
from runbook.market import Instrument, Quote, Tick

SESSION = 375 * 60.0  # 09:15 to 15:30
LULL = (180 * 60.0, 255 * 60.0)  # 12:15 to 13:30
_STEP = 60.0
_EPOCH = 1_795_000_000_000  # some morning, in milliseconds


class Shape(StrEnum):
    """How the gaps between two ticks are distributed."""

    REGULAR = "regular"  # conflated by the sender: one a beat, with jitter; a beat without a change is left out
    POISSON = "poisson"
    BURSTY = "bursty"  # hyper-exponential gaps with the given coefficient of variation
    BUSY_QUIET = "busy/quiet"  # a Poisson stream that changes between two rates at random


@dataclass(frozen=True, slots=True)
class Stream:
    """What one instrument sends: `rate` is ticks a second on average of the session, `cv` that of bursty gaps."""

    shape: Shape
    rate: float
    cv: float = 1.0


@dataclass(frozen=True, slots=True)
class Stall:
    """From `start` to `end` the market lives and nothing is delivered; what would have come is lost."""

    start: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.start


INDEX = Stream(Shape.REGULAR, 1.0)
FUTURE = Stream(Shape.BURSTY, 2.0, cv=2.0)
STOCK = Stream(Shape.POISSON, 0.5)
OPTION = Stream(Shape.BURSTY, 0.2, cv=2.0)
KINDS: Mapping[str, Stream] = {
    "index 1/s": INDEX,
    "Poisson 1/s": Stream(Shape.POISSON, 1.0),
    "Poisson 3/s": Stream(Shape.POISSON, 3.0),
    "bursty 2/s": FUTURE,
    "busy/quiet 2/s": Stream(Shape.BUSY_QUIET, 2.0),
    "option 0.2/s": OPTION,
    "illiquid 1/30 s": Stream(Shape.POISSON, 1 / 30),
}
_STOCKS = ("RELIANCE", "HDFCBANK", "ICICIBANK", "INFY", "TCS", "SBIN", "ITC", "LT")
_STRIKES = (25900, 25950, 26000, 26050, 26100)
WATCH_LIST: tuple[tuple[Instrument, Stream], ...] = (
    (Instrument("NIFTY", "NSE_INDEX"), INDEX),
    (Instrument("NIFTY24NOV26FUT", "NFO"), FUTURE),
    *((Instrument(name, "NSE"), STOCK) for name in _STOCKS),
    *((Instrument(f"NIFTY24NOV26{k}{side}", "NFO"), OPTION) for k in _STRIKES for side in ("CE", "PE")),
)

# busy/quiet: rates relative to the mean, and how long each lasts on average at that mean's pace
_QUIET, _QUIET_FOR = 0.15, 20.0
_BUSY, _BUSY_FOR = 1.364, 46.7
_CALM = 3.0  # average gaps between two trades in which the best bid moves once
_BEAT_SKIPPED = 0.03
_BEAT_JITTER = 0.15


@dataclass(frozen=True, slots=True)
class Day:
    """One made-up session: what traded, and what of it was delivered.

    `market` holds the times of each instrument in the order of the watch list; `ticks` is (time, place in that list) of
    what arrived, in order.
    """

    seed: int
    instruments: tuple[Instrument, ...]
    stalls: tuple[Stall, ...]
    market: tuple[Sequence[float], ...]
    ticks: Sequence[tuple[float, int]]


def day(seed: int, watched: Sequence[tuple[Instrument, Stream]] = WATCH_LIST) -> Day:
    """The session of a seed; the stalls are common to all instruments, since they share one feed."""
    halts = stalls(seed)
    market = tuple(times(stream, f"{seed}/{place}") for place, (_, stream) in enumerate(watched))
    ticks = sorted((at, place) for place, traded in enumerate(market) for at in delivered(traded, halts))
    return Day(seed, tuple(instrument for instrument, _ in watched), halts, market, ticks)


def tape(made: Day, lost: Sequence[Stall] = ()) -> Tape:
    """The day as a replay takes it; `lost` are further stretches in which nothing arrives.

    The price is a made-up zigzag by a tick of 0.05 with each trade, volume counts them, and between trades the best bid moves
    once in three average gaps, since orders rest less than trades do. So what REST answers has moved exactly when the market
    has, whatever was delivered. An index has a price only.
    """
    calm = [_CALM * SESSION / max(1, len(traded)) for traded in made.market]
    known = {instrument: place for place, instrument in enumerate(made.instruments)}
    ticks = []
    for at, place in made.ticks:
        if lost and any(stall.start <= at < stall.end for stall in lost):
            continue
        instrument = made.instruments[place]
        ltp = _price(instrument, bisect_right(made.market[place], at))
        ticks.append((at, Tick(instrument, ltp, _EPOCH + int(at * 1000))))

    def quote(instrument: Instrument, at: float) -> Quote:
        place = known[instrument]
        traded = bisect_right(made.market[place], at)
        ltp = _price(instrument, traded)
        if instrument.is_index:
            return Quote(instrument, ltp, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
        bid = ltp - 0.05 * (1 + int(at / calm[place]) % 7)
        return Quote(instrument, ltp, bid, ltp + 0.05, 0.0, 0.0, 0.0, 0.0, traded, 0)

    return Tape(f"seed {made.seed}", made.instruments, ticks, SESSION, quote)


def times(stream: Stream, seed: int | str) -> list[float]:
    """When one instrument ticks in a session, in order."""
    dice = Random(f"ticks/{seed}")
    if stream.shape is Shape.REGULAR:
        return _beats(stream, dice)
    found: list[float] = []
    place, level, started = 0, _LEVELS[0], 0.0
    for due in _due(stream, dice):  # at the pace of the mean; the day's shape stretches and shortens it
        while due >= _REACHED[place]:
            started = _REACHED[place]
            place += 1
            if place == len(_LEVELS):
                return found
            level = _LEVELS[place]
        found.append(place * _STEP + (due - started) / level)
    return found


def stalls(seed: int | str) -> tuple[Stall, ...]:
    """The stalls of a session: six an hour of 1 to 4 s, one in two sessions of 6 to 15 s."""
    dice = Random(f"stalls/{seed}")
    found = [
        Stall(start, min(SESSION, start + dice.uniform(shortest, longest)))
        for every, shortest, longest in ((600.0, 1.0, 4.0), (2 * SESSION, 6.0, 15.0))
        for start in _arrivals(dice, every)
    ]
    return tuple(sorted(found, key=lambda stall: stall.start))


def delivered(traded: Sequence[float], halts: Sequence[Stall]) -> list[float]:
    """What of `traded` arrives when nothing is delivered during `halts`."""
    kept: list[float] = []
    done = 0
    for stall in halts:
        kept += traded[done : max(done, bisect_left(traded, stall.start))]
        done = max(done, bisect_left(traded, stall.end))
    kept += traded[done:]
    return kept


def intensity(at: float) -> float:
    """How busy the market is at `at`, relative to the session's average."""
    return _LEVELS[min(len(_LEVELS) - 1, int(at / _STEP))]


def _shape(at: float) -> float:
    """A U over the day with a step down at lunch."""
    u = 0.7 + 1.2 * (2 * at / SESSION - 1) ** 2
    return u * (0.85 if LULL[0] <= at < LULL[1] else 1.0)


def _price(instrument: Instrument, traded: int) -> float:
    base = 26_000.0 if instrument.is_index or instrument.is_future else 500.0
    return base + abs(traded % 40 - 20) * 0.05


def _levels() -> list[float]:
    raw = [_shape((minute + 0.5) * _STEP) for minute in range(int(SESSION / _STEP))]
    mean = math.fsum(raw) / len(raw)
    return [level / mean for level in raw]


_LEVELS = _levels()
_REACHED = list(accumulate(level * _STEP for level in _LEVELS))  # what the mean's pace has come to at each minute's end


def _arrivals(dice: Random, every: float) -> Iterator[float]:
    at = dice.expovariate(1 / every)
    while at < SESSION:
        yield at
        at += dice.expovariate(1 / every)


def _beats(stream: Stream, dice: Random) -> list[float]:
    every = 1 / stream.rate
    jitter = every * _BEAT_JITTER
    found, last = [], -1.0
    for beat in range(1, int(SESSION / every)):
        if dice.random() >= _BEAT_SKIPPED:
            last = max(last + 0.001, beat * every + dice.gauss(0.0, jitter))
            found.append(last)
    return [at for at in found if 0 <= at < SESSION]


def _due(stream: Stream, dice: Random) -> Iterator[float]:
    if stream.shape is Shape.BUSY_QUIET:
        return _busy_quiet(stream.rate, dice)
    if stream.shape is Shape.BURSTY:
        return _bursty(stream.rate, stream.cv, dice)
    return _poisson(stream.rate, dice)


def _poisson(rate: float, dice: Random) -> Iterator[float]:
    at, log, chance = 0.0, math.log, dice.random
    while True:
        at -= log(1.0 - chance()) / rate
        yield at


def _bursty(rate: float, cv: float, dice: Random) -> Iterator[float]:
    """Two kinds of exponential gaps, balanced so that each takes half of the time."""
    p = (1 + math.sqrt((cv * cv - 1) / (cv * cv + 1))) / 2
    short, long = 2 * p * rate, 2 * (1 - p) * rate
    at, log, chance = 0.0, math.log, dice.random
    while True:
        at -= log(1.0 - chance()) / (short if chance() < p else long)
        yield at


def _busy_quiet(rate: float, dice: Random) -> Iterator[float]:
    at, busy = 0.0, True
    turns = dice.expovariate(1 / _BUSY_FOR)
    while True:
        due = at + dice.expovariate(rate * (_BUSY if busy else _QUIET))
        if due < turns:
            at = due
            yield at
        else:  # the gap was drawn for a rate that has ended; an exponential one may be drawn anew
            at, busy = turns, not busy
            turns += dice.expovariate(1 / (_BUSY_FOR if busy else _QUIET_FOR))
