"""The day's profit and loss and what is still open: whose figure, computed how, and before which charges."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from runbook.market import Instrument
from runbook.ports import PositionBook
from runbook.recon.leg import Leg, shown
from runbook.recon.pairing import once
from runbook.recon.result import WIDTH

_PAISA = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """What is held: `quantity` is signed, negative when short; `average` is what one unit cost or fetched, in rupees."""

    instrument: Instrument
    quantity: int
    average: Decimal

    def __str__(self) -> str:
        return f"{self.quantity:+d} {self.instrument.symbol} @ {shown(self.average)}"


@dataclass(frozen=True, slots=True)
class DayPnl:
    """A day's P&L in rupees, before charges.

    `realised` is None when the source does not tell it apart; `total` (realised and unrealised) is None when it cannot be
    known: from legs alone nothing tells what the open quantity is worth.
    """

    realised: Decimal | None
    total: Decimal | None
    open_positions: tuple[OpenPosition, ...]
    figure_of: str
    charges: str = "before charges"

    def to_facts(self) -> dict[str, Any]:
        return {
            "realised": None if self.realised is None else str(self.realised),
            "total": None if self.total is None else str(self.total),
            "open_positions": [
                {
                    "symbol": p.instrument.symbol,
                    "exchange": p.instrument.exchange,
                    "quantity": p.quantity,
                    "average": str(p.average),
                }
                for p in self.open_positions
            ],
            "figure_of": self.figure_of,
            "charges": self.charges,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> DayPnl:
        return cls(
            realised=None if facts["realised"] is None else Decimal(facts["realised"]),
            total=None if facts["total"] is None else Decimal(facts["total"]),
            open_positions=tuple(
                OpenPosition(Instrument(p["symbol"], p["exchange"]), p["quantity"], Decimal(p["average"]))
                for p in facts["open_positions"]
            ),
            figure_of=facts["figure_of"],
            charges=facts["charges"],
        )


def pnl_from_legs(legs: Iterable[Leg] | None, figure_of: str = "the bot's own log") -> DayPnl | None:
    """The day's realised P&L of these legs by average cost, and what they leave open; None when there are no legs.

    Only the legs given count: what was carried in from an earlier day is not known here, and its exit reads as an
    opening. Legs keep the order they were given in when one of them has no time, else they are taken by time. A row told
    twice with one order id counts once.
    """
    given = list(legs or ())
    if not given:
        return None
    ordered = once(given)[0] if all(leg.at for leg in given) else given
    by_instrument: dict[Instrument, list[Leg]] = defaultdict(list)
    for leg in ordered:
        by_instrument[leg.instrument].append(leg)
    realised = Decimal(0)
    held = []
    for instrument in sorted(by_instrument):
        gained, quantity, average = _average_cost(by_instrument[instrument])
        realised += gained
        if quantity:
            held.append(OpenPosition(instrument, quantity, average))
    realised = realised.quantize(_PAISA)
    return DayPnl(realised, None if held else realised, tuple(held), figure_of)


def pnl_from_positions(book: PositionBook | None, figure_of: str = "the gateway's position book") -> DayPnl | None:
    """The gateway's own figure; None when the book was not read or has no rows.

    Its rows give realised and unrealised in one sum, so `realised` is known only when nothing is open.
    """
    if book is None or not book.rows:
        return None
    stated = book.pnl_today if book.pnl_today is not None else sum(row.pnl for row in book.rows)
    total = Decimal(repr(float(stated))).quantize(_PAISA)
    held = tuple(
        OpenPosition(row.instrument, row.quantity, Decimal(repr(float(row.average_price))).quantize(Decimal("0.0001")))
        for row in sorted(book.rows, key=lambda row: (row.instrument, row.product))
        if row.quantity
    )
    return DayPnl(None if held else total, total, held, figure_of)


def pnl_lines(pnl: DayPnl | None) -> list[str]:
    """The P&L and what is open for the report, no line over 60 columns; no data is said as no data."""
    if pnl is None:
        return ["P&L: no data (no trades were read)"]
    parts = []
    if pnl.total is not None:
        parts.append(f"{money(pnl.total)} in all")
    if pnl.realised is not None and pnl.realised != pnl.total:
        parts.append(f"{money(pnl.realised)} realised")
    out = textwrap.wrap(f"P&L {', '.join(parts)}, {pnl.charges} ({pnl.figure_of})", WIDTH, subsequent_indent="  ")
    if not pnl.open_positions:
        return [*out, "Open: nothing"]
    return out + textwrap.wrap("Open: " + "; ".join(map(str, pnl.open_positions)), WIDTH, subsequent_indent="  ")


def money(amount: Decimal) -> str:
    """Rupees as an Indian reader writes them, with a sign: "+Rs 1,23,456.50"."""
    whole, _, paise = f"{abs(amount):.2f}".partition(".")
    head, tail = whole[:-3], whole[-3:]
    groups = [tail]
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    sign = "-" if amount < 0 else "+" if amount > 0 else ""
    return f"{sign}Rs {','.join(groups)}.{paise}"


def _average_cost(legs: Iterable[Leg]) -> tuple[Decimal, int, Decimal]:
    """(realised, quantity still held, its average): an exit is measured against the average, a flip opens anew."""
    realised, held, average = Decimal(0), 0, Decimal(0)
    for leg in legs:
        change = leg.quantity * leg.side.sign
        if held == 0 or (held > 0) == (change > 0):
            average = (average * abs(held) + leg.price * leg.quantity) / (abs(held) + leg.quantity)
            held += change
            continue
        closed = min(abs(held), leg.quantity)
        realised += (leg.price - average) * closed * (1 if held > 0 else -1)
        held += change
        if held == 0:
            average = Decimal(0)
        elif (held > 0) == (change > 0):
            average = leg.price
    return realised, held, average.quantize(Decimal("0.0001"))
