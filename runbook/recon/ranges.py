"""The third witness: what the recorded ticks say of the price of a leg."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol

from runbook.market import Instrument
from runbook.recon.leg import Leg, TimeQuality, shown


class PriceRange(NamedTuple):
    """The lowest and highest recorded price of a stretch, and how many records it holds.

    `sampled`: they are answers to polls, between which prices went unseen.
    """

    low: Decimal
    high: Decimal
    records: int
    sampled: bool = False


class PriceRanges(Protocol):
    """The recorded prices of one session; None where nothing was recorded, which is not a range of nothing."""

    def around(self, instrument: Instrument, at: datetime, window: timedelta) -> PriceRange | None: ...
    def day(self, instrument: Instrument) -> PriceRange | None: ...


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far two figures may be apart and still agree; printed with every result, since a tolerance can hide a break.

    Quantities never differ. `tick_sizes` are those of the master contract where they were looked up. `feed_gap` is how
    long the feed is usually silent. Two recorded prices make a range: one alone says nothing of what else was traded.
    """

    tick_size: Decimal = Decimal("0.05")
    price_share: Decimal = Decimal("0.0001")
    time: timedelta = timedelta(seconds=2)
    late_time: timedelta = timedelta(minutes=5)  # for stamps taken when the row was logged
    feed_gap: timedelta = timedelta(seconds=1)
    enough: int = 2
    sampled_share: Decimal = Decimal("0.001")  # instead of `price_share`, of a range that was polled and not pushed
    tick_sizes: tuple[tuple[Instrument, Decimal], ...] = ()
    _ticks: dict[Instrument, Decimal] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ticks", dict(self.tick_sizes))

    def price(self, instrument: Instrument, price: Decimal, *, sampled: bool = False) -> Decimal:
        """One tick, or 0.01 % of the price where that is more; 0.1 % against a range that was only sampled."""
        tick = self._ticks.get(instrument, Decimal("0.0025") if instrument.exchange in _CURRENCY else self.tick_size)
        return max(tick, price * (self.sampled_share if sampled else self.price_share))

    def apart(self, one: Leg, other: Leg) -> timedelta | None:
        """How far two stamps may be apart: the worse one decides; None means that one of them says nothing."""
        qualities = (one.time_quality, other.time_quality)
        if one.at is None or other.at is None or TimeQuality.UNKNOWN in qualities:
            return None
        return self.late_time if TimeQuality.LOGGED_LATE in qualities else self.time

    def window(self, leg: Leg) -> timedelta:
        """How far around its stamp a leg's price is looked for."""
        resolution = timedelta(seconds=1) if leg.time_quality is TimeQuality.SECOND else timedelta(0)
        return max(self.time, resolution + self.feed_gap)

    def __str__(self) -> str:
        share = f"{float(self.price_share) * 100:g} %"
        tick = "1 tick" if self.tick_sizes else f"1 tick ({shown(self.tick_size)})"
        return f"quantity 0; price max({tick}, {share}), analyzer order ids 0; time {self.time.total_seconds():g} s"


_CURRENCY = frozenset({"CDS", "BCD"})


class Finding(StrEnum):
    """What the ticks say."""

    IN_RANGE = "in_range"
    OUT_OF_RANGE = "out_of_range"
    NO_TICKS = "no_ticks"


@dataclass(frozen=True, slots=True)
class Judgement:
    """One leg against the recorded prices, with the sentence that says why."""

    finding: Finding
    why: str
    by_day: bool = False  # held against the whole day's range, since the stamp is not the time of the trade

    @property
    def covered(self) -> bool:
        return self.finding is not Finding.NO_TICKS


def judge(leg: Leg, ranges: PriceRanges | None, tolerances: Tolerances) -> Judgement:
    """Hold a leg's price against the recorded ticks around it, or of the whole day when its stamp is not its time."""
    if ranges is None:
        return Judgement(Finding.NO_TICKS, "no prices were recorded in this session")
    if leg.at is not None and leg.time_quality.places:
        window = tolerances.window(leg)
        found = ranges.around(leg.instrument, leg.at, window)
        where = f"within {window.total_seconds():g} s"
        by_day = False
    else:
        found, where, by_day = ranges.day(leg.instrument), "in the whole day", True
    if found is None or found.records < tolerances.enough:
        held = found.records if found else 0
        return Judgement(Finding.NO_TICKS, f"{held} prices were recorded {where}", by_day)
    allowed = tolerances.price(leg.instrument, leg.price, sampled=found.sampled)
    span = (
        f"{shown(found.low)} to {shown(found.high)} {where} ({found.records} {'polls' if found.sampled else 'records'})"
    )
    if found.low - allowed <= leg.price <= found.high + allowed:
        return Judgement(Finding.IN_RANGE, f"recorded {span}", by_day)
    return Judgement(Finding.OUT_OF_RANGE, f"{shown(leg.price)} was never near: recorded {span}", by_day)
