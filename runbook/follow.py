"""What the bot trades, as its orders and its log name it: strikes that are chosen during the day are watched, too.

Only symbols are taken; nothing else of an order or of a line is kept. What is not certain is not followed: a symbol must
have the whole form of a derivative at OpenAlgo, must not have expired, and its exchange must be said or be known from the
underlying. A line that names many symbols is a list, and no trade.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from runbook.market import Instrument
from runbook.symbols import BSE_INDICES, NSE_INDICES, NearestFuture, Symbol

if TYPE_CHECKING:
    from runbook.ports import Order

MOST = 50  # instruments followed in a session: one multiquotes call reads as many
_LIST = 8  # symbols in one line that make it a list
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_HOMES = {"NSE_INDEX": "NFO", "NSE": "NFO", "BSE_INDEX": "BFO", "BSE": "BFO"}
_DERIVATIVES = ("NFO", "BFO", "CDS", "BCD", "MCX", "NCDEX", "NCO")
_SYMBOL = re.compile(
    rf"(?<![A-Za-z0-9&_.])(?:(?P<exchange>{'|'.join(_DERIVATIVES)}):)?"
    r"(?P<symbol>(?P<name>[A-Z][A-Z0-9&-]{0,23}?)"
    rf"(?P<day>\d\d)(?P<month>{'|'.join(_MONTHS)})(?P<year>\d\d)"
    r"(?:FUT|\d{1,7}(?:\.\d{1,4})?(?:CE|PE)))(?![A-Za-z0-9_])",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Following:
    """What is followed in a session, in the order in which it was found; `refused` counts what found no more room."""

    known: tuple[Instrument, ...] = ()
    most: int = MOST
    refused: frozenset[Instrument] = frozenset()


def take(following: Following, found: Iterable[Instrument]) -> tuple[Following, tuple[Instrument, ...]]:
    """Follow what was found; gives what is new. Nothing is ever let go within a session: a position outlives its order."""
    new = [i for i in dict.fromkeys(found) if i not in following.known]
    room = max(0, following.most - len(following.known))
    kept = tuple(new[:room])
    refused = following.refused | frozenset(new[room:])
    return replace(following, known=(*following.known, *kept), refused=refused), kept


def homes(symbols: Iterable[Symbol]) -> Mapping[str, str]:
    """Where derivatives of each underlying trade: the indices, and whatever the site watches."""
    known = dict.fromkeys(NSE_INDICES, "NFO") | dict.fromkeys(BSE_INDICES, "BFO")
    for symbol in symbols:
        if isinstance(symbol, NearestFuture):
            known[symbol.name] = symbol.exchange
        elif match := _SYMBOL.fullmatch(symbol.symbol):
            known[match["name"]] = symbol.exchange
        elif symbol.exchange in _HOMES:
            known[symbol.symbol] = _HOMES[symbol.exchange]
    return known


def in_lines(lines: Iterable[str], known: Mapping[str, str], today: date) -> tuple[Instrument, ...]:
    """The derivatives that lines of a log name, in order; `known` is what `homes` gave."""
    found: dict[Instrument, None] = {}
    for line in lines:
        named = dict.fromkeys(_in_line(line, known, today))
        if len(named) <= _LIST:
            found |= named
    return tuple(found)


def in_orders(orders: Sequence[Order]) -> tuple[Instrument, ...]:
    """What the order book holds orders in; one that was rejected traded nothing."""
    return tuple(dict.fromkeys(o.instrument for o in orders if o.status != "rejected"))


def placed(instruments: Iterable[Instrument], known: Mapping[str, str], today: date) -> tuple[Instrument, ...]:
    """Instruments of a trade log with their exchange; without one they are looked at like a line of the log."""
    found: dict[Instrument, None] = {}
    for instrument in instruments:
        if instrument.exchange:
            found[instrument] = None
        else:
            found |= dict.fromkeys(in_lines([instrument.symbol], known, today))
    return tuple(found)


def _in_line(line: str, known: Mapping[str, str], today: date) -> Iterator[Instrument]:
    for match in _SYMBOL.finditer(line):
        exchange = match["exchange"] or known.get(match["name"])
        if exchange is not None and _lives(match, today):
            yield Instrument(match["symbol"], exchange)


def _lives(match: re.Match[str], today: date) -> bool:
    try:
        expiry = date(2000 + int(match["year"]), 1 + _MONTHS.index(match["month"]), int(match["day"]))
    except ValueError:  # the 31st of November
        return False
    return expiry >= today
