"""Symbols as people write them in `symbols:`, and what they come to at OpenAlgo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from runbook.errors import GatewayError, JobFailed, RunbookError
from runbook.fault import Unfit
from runbook.market import Instrument

if TYPE_CHECKING:
    from runbook.budget import Budget
    from runbook.ports import Gateway, Listing

NSE_INDICES = ("NIFTY", "BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTYNXT50", "INDIAVIX")
BSE_INDICES = ("SENSEX", "BANKEX", "SENSEX50")
EXCHANGES = (
    "NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NCDEX", "NCO",
    "NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX", "CRYPTO",
)  # fmt: skip

_DERIVATIVE = re.compile(r"[A-Z0-9&-]+?\d{2}[A-Z]{3}\d{2}(?:FUT|[\d.]+(?:CE|PE))", re.ASCII)
_NAME = re.compile(r"[A-Z0-9][A-Z0-9&._-]*", re.ASCII)
_EXAMPLE = 'NIFTY, "NIFTY:fut", "NSE:SBIN" or "NFO:NIFTY24NOV26FUT"'


@dataclass(frozen=True, slots=True)
class NearestFuture:
    """The nearest future of `name` that has not expired, on `exchange`; resolved through `search` each morning."""

    name: str
    exchange: str

    def __str__(self) -> str:
        return f"{self.name}:fut"


Symbol = Instrument | NearestFuture


def parse_symbol(text: object) -> Symbol:
    """`NIFTY` (an index), `NIFTY:fut`, `NSE:SBIN`, `NFO:NIFTY24NOV26FUT`; raises Unfit for what is not certain."""
    if not isinstance(text, str) or not text.strip():
        raise Unfit(f"{text!r} is no symbol", accepted="the symbol as OpenAlgo writes it", example=_EXAMPLE)
    left, colon, right = text.strip().partition(":")
    if right.lower() == "fut":
        name = _plain(left.upper(), text)
        return NearestFuture(name, "BFO" if name in BSE_INDICES else "NFO")
    if right:
        if left.upper() not in EXCHANGES:
            accepted = f"EXCHANGE:SYMBOL with one of {', '.join(EXCHANGES)}"
            raise Unfit(f"{text!r}: unknown exchange {left!r}", accepted=accepted, example=_EXAMPLE)
        return Instrument(_plain(right, text), left.upper())
    name = _plain(left if not colon else text, text)
    if name in NSE_INDICES:
        return Instrument(name, "NSE_INDEX")
    if name in BSE_INDICES:
        return Instrument(name, "BSE_INDEX")
    if _DERIVATIVE.fullmatch(name):
        return Instrument(name, "BFO" if name.startswith(BSE_INDICES) else "NFO")
    raise Unfit(f"{text!r}: which exchange?", accepted="an index by name, else EXCHANGE:SYMBOL", example=_EXAMPLE)


def _plain(name: str, text: str) -> str:
    if not _NAME.fullmatch(name):
        raise Unfit(f"{text!r} is no symbol: OpenAlgo's are in capitals", accepted="capitals, digits", example=_EXAMPLE)
    return name


def nearest_future(listings: Iterable[Listing], wanted: NearestFuture, day: date) -> Listing | None:
    """The future of `wanted.name` that expires first on or after `day`, or None where the list has none."""
    futures = (
        row
        for row in listings
        if row.name == wanted.name and row.instrument.exchange == wanted.exchange and row.kind.startswith("FUT")
        if row.expiry is not None and row.expiry >= day
    )
    return min(futures, key=lambda row: (row.expiry or date.max, row.instrument.symbol), default=None)


def resolve(
    gateway: Gateway, symbols: Sequence[Symbol], day: date, budget: Budget, *, patient: bool = True
) -> tuple[tuple[Instrument, ...], tuple[str, ...]]:
    """The instruments of `day`, and why any could not be found; raises JobFailed when none could.

    Not patient: what needs a search is left out as long as something else is there.
    """
    found: list[Instrument] = []
    faults: list[str] = []
    for symbol in symbols:
        if isinstance(symbol, Instrument):
            found.append(symbol)
        elif patient or not found:
            try:
                found.append(_future(gateway, symbol, day, budget))
            except RunbookError as exc:
                faults.append(f"{symbol}: {exc}")
    if not found and faults:
        hint = "is the master contract downloaded? it is, after the day's first login to the broker"
        raise JobFailed(f"no symbol could be resolved: {'; '.join(faults)}", hint=hint)
    return tuple(dict.fromkeys(found)), tuple(faults)


def _future(gateway: Gateway, wanted: NearestFuture, day: date, budget: Budget) -> Instrument:
    listing = nearest_future(gateway.search(wanted.name, wanted.exchange, budget), wanted, day)
    if listing is None:
        hint = "has the master contract been downloaded today?"
        raise GatewayError(f"search knows no future of {wanted.name} that has not expired by {day}", hint=hint)
    return listing.instrument
