"""From OpenAlgo's JSON to our types: numbers may be strings, stamps come in two shapes, and what is missing is said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.errors import BadAnswer
from runbook.market import Instrument, Quote
from runbook.ports import Candle, Fill, GatewayMode, HolidayRow, Listing, OpenHours, Order, Position

Json = Mapping[str, Any]

IST = ZoneInfo("Asia/Kolkata")  # every stamp without a zone that OpenAlgo or an Indian broker prints
_MONTHS = {
    m: i for i, m in enumerate(("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 1)
}


def data_of(body: Json, at: str, kind: type) -> Any:
    """`data` of an answer, of the type it must have; raises BadAnswer otherwise."""
    data = body.get("data")
    if not isinstance(data, kind):
        what = "no data" if data is None else f"data of type {type(data).__name__}"
        raise BadAnswer(f"{at}: success with {what}, not {kind.__name__}")
    return data


def mode_of(body: Json, at: str) -> GatewayMode:
    """Analyzer answers are tagged, live ones are not."""
    tag = body.get("mode", GatewayMode.LIVE.value)
    try:
        return GatewayMode(tag)
    except ValueError:
        raise BadAnswer(f"{at}: the answer is tagged mode {tag!r:.40}, neither live nor analyze") from None


def number(value: object) -> float:
    """A finite number, from a number or a string of one; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def quote(instrument: Instrument, data: object, at: str) -> Quote:
    """A quote as it was given, usable or not: `Quote.fault` tells. Without an ltp at all it is no quote."""
    if not isinstance(data, dict) or "ltp" not in data:
        raise BadAnswer(f"{at}: the quote of {instrument} has no ltp")

    def amount(key: str) -> float:
        found = number(data.get(key))
        return 0.0 if math.isnan(found) else found

    return Quote(
        instrument,
        ltp=number(data["ltp"]),
        bid=amount("bid"),
        ask=amount("ask"),
        high=amount("high"),
        low=amount("low"),
        open=amount("open"),
        prev_close=amount("prev_close"),
        volume=int(amount("volume")),
        oi=int(amount("oi")),
    )


def order(row: object, at: str) -> Order:
    r = _Row(row, at, "order")
    return Order(
        order_id=r.text("orderid"),
        instrument=r.instrument(),
        action=r.text("action").upper(),
        quantity=r.units("quantity"),
        status=r.text("order_status").lower(),
        product=r.optional("product") or "",
        time=r.optional("timestamp") or "",
        strategy=r.optional("strategy"),
    )


def fill(row: object, at: str) -> Fill:
    r = _Row(row, at, "trade")
    time = r.optional("timestamp") or ""
    return Fill(
        order_id=r.text("orderid"),
        instrument=r.instrument(),
        action=r.text("action").upper(),
        quantity=r.units("quantity"),
        price=r.amount("average_price", "price"),
        product=r.optional("product") or "",
        time=time,
        at=instant(time),
        strategy=r.optional("strategy"),
        trade_id=r.optional("tradeid"),
    )


def position(row: object, at: str) -> Position:
    r = _Row(row, at, "position")
    return Position(
        instrument=r.instrument(),
        product=r.optional("product") or "",
        quantity=r.units("quantity"),
        average_price=r.amount("average_price"),
        ltp=r.amount("ltp"),
        pnl=r.amount("pnl"),
    )


def listing(row: object, at: str) -> Listing:
    r = _Row(row, at, "search result")
    lots = number(r.given("lotsize", default=1))
    return Listing(
        instrument=r.instrument(),
        name=r.optional("name") or "",
        kind=r.optional("instrumenttype") or "",
        expiry=expiry(r.optional("expiry"), at),
        lot_size=1 if math.isnan(lots) or lots < 1 else int(lots),
        tick_size=r.amount("tick_size", default=0.0),
    )


def newest_candle(rows: Sequence[object], at: str) -> Candle | None:
    """The last candle by its own time, or None of an empty history."""
    newest: Candle | None = None
    for row in rows:
        r = _Row(row, at, "candle")
        seconds = r.amount("timestamp")
        if seconds > 1e11:  # epoch milliseconds
            seconds /= 1000
        try:
            start = datetime.fromtimestamp(seconds, UTC)
        except (ValueError, OverflowError, OSError):
            raise BadAnswer(f"{at}: a candle has timestamp {seconds!r}") from None
        if newest is None or start > newest.start:
            newest = Candle(start, r.amount("close"))
    return newest


def instant(stamp: str) -> datetime | None:
    """The instant a book's stamp means, in IST; None when its date cannot be told (a live trade prints only the time)."""
    text = stamp.strip()
    date_part, _, clock = text.replace("T", " ", 1).partition(" ")
    pieces = date_part.split("-")
    if len(pieces) != 3 or not clock:
        return None
    if len(pieces[0]) != 4:  # 22-Nov-2026
        month = _MONTHS.get(pieces[1].upper()[:3], pieces[1])
        date_part = f"{pieces[2]}-{month:0>2}-{pieces[0]:0>2}"
    try:
        found = datetime.fromisoformat(f"{date_part} {clock}")
    except ValueError:
        return None
    return found.replace(tzinfo=IST) if found.tzinfo is None else found


def expiry(text: str | None, at: str) -> date | None:
    """`24-NOV-26` as a date; None for what does not expire. An expiry that cannot be read is an error, never None."""
    if not text:
        return None
    pieces = text.strip().upper().split("-")
    try:
        if len(pieces) == 3 and len(pieces[0]) == 4:
            return date.fromisoformat("-".join(pieces))
        day, month, year = pieces
        return date(int(year) + (2000 if len(year) == 2 else 0), _MONTHS[month[:3]], int(day))
    except (ValueError, KeyError):
        raise BadAnswer(f"{at}: the expiry {text!r:.40} is no date") from None


def open_hours(row: object, at: str) -> OpenHours:
    """Who trades when; stamps are milliseconds since 1970, as the server's zone made them."""
    r = _Row(row, at, "market window")
    return OpenHours(r.text("exchange"), r.instant("start_time"), r.instant("end_time"))


def holiday(row: object, at: str) -> HolidayRow:
    r = _Row(row, at, "holiday")
    closed, opens = r.given("closed_exchanges", default=[]), r.given("open_exchanges", default=[])
    try:
        day = date.fromisoformat(r.text("date"))
    except ValueError:
        raise BadAnswer(f"{at}: a holiday has date {r.text('date')!r:.40}") from None
    if not isinstance(closed, list) or not isinstance(opens, list):
        raise BadAnswer(f"{at}: the holiday {day} has no lists of exchanges")
    kind, name = r.text("holiday_type"), r.optional("description") or "no name"
    return HolidayRow(day, name, kind, tuple(map(str, closed)), tuple(open_hours(item, at) for item in opens))


class _Row:
    """One row of a book; every accessor names the book and the field it did not find."""

    def __init__(self, row: object, at: str, kind: str) -> None:
        if not isinstance(row, dict):
            raise BadAnswer(f"{at}: a {kind} is {type(row).__name__}, not an object")
        self._row, self._at, self._kind = row, at, kind

    def given(self, *keys: str, default: object = None) -> object:
        return next((self._row[k] for k in keys if self._row.get(k) is not None), default)

    def optional(self, key: str) -> str | None:
        value = self._row.get(key)
        return str(value).strip() or None if value is not None else None

    def text(self, key: str) -> str:
        found = self.optional(key)
        if found is None:
            raise BadAnswer(f"{self._at}: a {self._kind} has no {key}")
        return found

    def amount(self, *keys: str, default: float = math.nan) -> float:
        value = self.given(*keys, default=default)
        found = number(value)
        if math.isnan(found):
            raise BadAnswer(f"{self._at}: a {self._kind} has {keys[0]} {value!r:.40}")
        return found

    def units(self, key: str) -> int:
        found = self.amount(key)
        if found != int(found):
            raise BadAnswer(f"{self._at}: a {self._kind} has {key} {found!r}, not a whole number")
        return int(found)

    def instant(self, key: str) -> datetime:
        try:
            return datetime.fromtimestamp(self.amount(key) / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            raise BadAnswer(f"{self._at}: a {self._kind} has {key} {self.given(key)!r:.40}") from None

    def instrument(self) -> Instrument:
        return Instrument(self.text("symbol"), self.text("exchange"))
