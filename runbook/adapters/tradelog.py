"""The bot's own trade log, read and never written: CSV or JSON lines with recognised or declared columns.

A row becomes a leg, or a fault that names file and line, or is counted among the other rows (another day, an event that
is no fill, an order that was refused). Nothing is guessed: a number with a doubtful comma or a symbol without its
exchange is said, not repaired.
"""

from __future__ import annotations

import codecs
import csv
import glob
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from runbook.fault import Unfit
from runbook.market import Instrument
from runbook.recon.leg import Leg, LegSource, RowFault, Side, TimeQuality, TradeLog, rupees
from runbook.symbols import EXCHANGES, parse_symbol

# What a field is called in logs, the first that is found wins; `fields:` in config.yaml says it for all others.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "id": ("order_id", "orderid", "id", "order_no", "order_number"),
    "symbol": ("symbol", "tradingsymbol", "trading_symbol", "instrument"),
    "side": ("action", "side", "transaction_type", "buy_sell"),
    "quantity": ("qty", "quantity", "filled_quantity", "filled_qty"),
    "price": ("fill_price", "average_price", "avg_price", "price", "trade_price"),
    "time": ("timestamp", "time", "datetime", "fill_time", "trade_time", "date_time", "ts"),
    "exchange": ("exchange", "exch", "segment"),
    "strategy": ("strategy", "strategy_name"),
    "status": ("status", "order_status"),
    "date": ("date", "trade_date", "session"),
}
_NEEDED = ("symbol", "side", "quantity", "price", "time")
_NO_FILL = frozenset(
    {"rejected", "cancelled", "canceled", "pending", "trigger pending", "trigger_pending", "failed", "error"}
)
_GROUPED = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d*)?", re.ASCII)  # 1,234.50 and 1,23,456.50, never 145,10
# The shape of these is that of an NFO name, but they trade on MCX, CDS or BCD: their exchange has to be said.
_NOT_ON_NFO = (
    "USDINR", "EURINR", "GBPINR", "JPYINR", "EURUSD", "GBPUSD", "USDJPY", "CRUDEOIL", "NATURALGAS", "NATGAS", "GOLD",
    "SILVER", "COPPER", "ZINC", "LEAD", "ALUMINI", "NICKEL", "MENTHAOIL", "COTTON", "KAPAS", "BRENT",
)  # fmt: skip
_STAMPS = (
    "%d-%m-%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d-%b-%Y %H:%M:%S", "%d-%m-%Y %H:%M:%S.%f", "%d/%m/%Y %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S", "%Y-%m-%d %H:%M:%S,%f", "%d %b %Y %H:%M:%S",
)  # fmt: skip
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?", re.ASCII)


def read_trades(
    patterns: str | Sequence[str],
    day: date,
    *,
    format: str = "csv",  # noqa: A002 - the word of config.yaml
    fields: Mapping[str, str] | None = None,
    zone: ZoneInfo | None = None,
    trust: Mapping[str, str] | None = None,
    root: Path | None = None,
) -> TradeLog:
    """Read the legs of `day` from every file that `patterns` (globs, `~`, relative to `root`) name; never raises for them.

    `fields` maps id, symbol, side, quantity, price, time, exchange, strategy, status, date to the columns of the log.
    `zone` is where naive stamps belong (Asia/Kolkata) and in which `day` is counted. `trust` says what a stamp is worth
    (`{"time": "logged_late"}`); else it is told from its digits.
    """
    reading = _Reading(day, format, dict(fields or {}), zone or ZoneInfo("Asia/Kolkata"), dict(trust or {}))
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    paths = log_files(wanted, root)
    if not paths:
        accepted = "the path or glob of the bot's trade log (`bot.trades`)"
        return TradeLog(None, (RowFault(", ".join(wanted), "no file matches", accepted),))
    for path in paths:
        reading.read(path)
    files = tuple(str(path) for path in paths)
    legs = tuple(reading.legs) if reading.readable or reading.legs else None
    return TradeLog(legs, tuple(reading.faults), files, reading.other_rows)


def log_files(patterns: Sequence[str], root: Path | None) -> list[Path]:
    """The files that patterns name, in order."""
    found: set[Path] = set()
    for pattern in patterns:
        whole = Path(pattern).expanduser()
        whole = whole if whole.is_absolute() or root is None else root / whole
        found.update(path for name in glob.glob(str(whole), recursive=True) if (path := Path(name)).is_file())  # noqa: PTH207 - Path.glob refuses absolute patterns
    return sorted(found)


class _DoubtError(Exception):
    """A value that cannot be read: what was found, and what is accepted."""

    def __init__(self, found: str, accepted: str) -> None:
        super().__init__(found)
        self.found = found
        self.accepted = accepted


@dataclass(slots=True)
class _Reading:
    """One reading of a log: what it is to be read as, and what came of it."""

    day: date
    format: str
    fields: Mapping[str, str]
    zone: ZoneInfo
    trust: Mapping[str, str]
    legs: list[Leg] = field(default_factory=list)
    faults: list[RowFault] = field(default_factory=list)
    other_rows: int = 0
    readable: int = 0  # files of which at least the columns were understood

    def read(self, path: Path) -> None:
        """Read one file; what goes wrong is a fault of this file and no other."""
        readers: dict[str, Callable[[str, str], Iterator[tuple[int, Mapping[str, Any]]]]]
        readers = {"csv": self._csv, "jsonl": self._jsonl}
        try:
            if self.format not in readers:
                raise _DoubtError(f"format {self.format!r}", "csv or jsonl")
            text = _text(path.read_bytes())
            if not text.strip():
                self.readable += 1  # an empty file is a log without trades, not a missing one
                return
            for line, row in readers[self.format](path.name, text):
                self._row(f"{path.name}:{line}", row)
            self.readable += 1
        except OSError as error:
            self._fault(path.name, error.strerror or type(error).__name__, "a file that runbook may read")
        except (_DoubtError, csv.Error) as error:
            found, accepted = (error.found, error.accepted) if isinstance(error, _DoubtError) else (str(error), "CSV")
            self._fault(path.name, found, accepted)

    def _fault(self, where: str, found: str, accepted: str) -> None:
        self.faults.append(RowFault(where, found, accepted))

    def _csv(self, name: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Rows of a CSV file as canonical fields. Its first row names the columns; a restarted bot may repeat it."""
        head = next(line for line in text.splitlines() if line.strip())
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t|", key=head.count))
        torn = not text.endswith(("\n", "\r"))
        header: list[str] = []
        columns: dict[str, str] = {}
        total = text.count("\n") + torn
        before = 0
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            plain = [_plain(cell) for cell in cells]
            if not header:
                header, columns = plain, self._columns(plain)
                missing = [name for name in _NEEDED if name not in columns]
                if missing:
                    wanted = "; ".join(f"{name}: {', '.join(ALIASES[name][:4])}" for name in missing)
                    found = f"no column for {', '.join(missing)} among {', '.join(header)}"
                    raise _DoubtError(found, f"{wanted}; or say it in `fields:`")
                continue
            if plain == header:
                continue
            if torn and reader.line_num >= total and self._unfinished(cells, header, columns):
                self._fault(f"{name}:{line}", "the last line is not finished", "a line end; it is read again next time")
                continue
            if len(cells) != len(header):
                where = f"{name}:{line}" if line == reader.line_num else f"{name}:{line}-{reader.line_num}"
                found = f"{len(cells)} values in place of {len(header)}"
                self._fault(where, found, "one value for each column, quoted where it holds the delimiter")
                continue
            cell_of = dict(zip(header, cells, strict=True))
            yield line, {field: cell_of[column] for field, column in columns.items()}

    @staticmethod
    def _unfinished(cells: Sequence[str], header: Sequence[str], columns: Mapping[str, str]) -> bool:
        """True when a line without its end may lack part of a value that matters: 14 may be the start of 145.10."""
        return len(cells) < len(header) or header[-1] in {columns[name] for name in _NEEDED}

    def _jsonl(self, name: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Rows of JSON lines as canonical fields; each line has columns of its own."""
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{name}:{number}"
            try:
                row = json.loads(line, parse_float=Decimal, parse_constant=str)
            except (ValueError, RecursionError):
                if number == len(lines):
                    self._fault(where, "the last line is not finished", "a line end; it is read again next time")
                else:
                    self._fault(where, f"no JSON: {_short(line)}", "one JSON object a line")
                continue
            if not isinstance(row, dict):
                self._fault(where, f"no object: {_short(line)}", "one JSON object a line")
                continue
            plain = {_plain(key): value for key, value in row.items()}
            yield number, {field: plain[column] for field, column in self._columns(list(plain)).items()}

    def _columns(self, names: Sequence[str]) -> dict[str, str]:
        """The column of each field: the declared one, else the first known name."""
        columns = {}
        for name, known in ALIASES.items():
            declared = self.fields.get(name)
            wanted = known if declared is None else (_plain(declared),)  # "" says: there is no such column
            found = next((alias for alias in wanted if alias in names), None)
            if found is not None:
                columns[name] = found
        return columns

    def _row(self, where: str, row: Mapping[str, Any]) -> None:
        given = {name: _cell(value) for name, value in row.items()}
        if not any(given.get(name) for name in ("side", "quantity", "price")):
            self.other_rows += 1  # an event of another kind
            return
        if given.get("status", "").lower() in _NO_FILL:
            self.other_rows += 1
            return
        try:
            at, quality = self._time(given)
            if at.astimezone(self.zone).date() != self.day:
                self.other_rows += 1
                return
            if given.get("status", "").lower() == "open":
                found = "status 'open': an order not filled, or a position still held"
                raise _DoubtError(found, '`fields: {status: ""}` where the column speaks of positions')
            leg = Leg(
                source=LegSource.BOT,
                instrument=_instrument(given),
                side=_side(given),
                quantity=_quantity(given),
                price=_price(given),
                at=at,
                time_quality=quality,
                order_id=_order_id(given),
                strategy=given.get("strategy") or None,
                row=where,
            )
        except _DoubtError as doubt:
            self._fault(where, doubt.found, doubt.accepted)
            return
        self.legs.append(leg)

    def _time(self, given: Mapping[str, str]) -> tuple[datetime, TimeQuality]:
        text = _needed(given, "time")
        if _CLOCK.fullmatch(text) and given.get("date"):
            text = f"{given['date']} {text}"
        at = _instant(text)
        if at is None:
            found = f"time {_short(text)}" + (" without its date" if _CLOCK.fullmatch(text) else "")
            raise _DoubtError(
                found, "2026-11-23 10:15:02, 2026-11-23T10:15:02+05:30, 23-11-2026 10:15:02 or epoch seconds"
            )
        if at.tzinfo is None:
            at = at.replace(tzinfo=self.zone)
        if "time" in self.trust:
            return at, TimeQuality(self.trust["time"])
        if at.microsecond:
            return at, TimeQuality.EXACT
        # A stamp of whole minutes says when only to the minute: the day's range can judge it, a window of seconds not.
        seconds = text.count(":") != 1
        return at, TimeQuality.SECOND if seconds else TimeQuality.UNKNOWN


def _text(raw: bytes) -> str:
    """The text of a file: UTF-8 with or without its mark, UTF-16 with one; bytes that are neither become U+FFFD."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    return raw.decode("utf-8-sig", errors="replace")


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())


def _cell(value: object) -> str:
    """A cell as text; JSON's numbers keep their digits, its null is an empty cell."""
    return "" if value is None else str(value).strip()


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 40 else flat[:37] + "...")


def _needed(given: Mapping[str, str], name: str) -> str:
    text = given.get(name, "")
    if not text:
        raise _DoubtError(f"no {name}", f"a value for {name} in every fill")
    if "\N{REPLACEMENT CHARACTER}" in text:
        raise _DoubtError(f"{name} {_short(text)} is no UTF-8", "UTF-8")
    return text


def _number(text: str) -> Decimal | None:
    """A decimal number, with thousands separators where they stand right; None for anything else."""
    if "," in text:
        if not _GROUPED.fullmatch(text):
            return None
        text = text.replace(",", "")
    try:
        found = Decimal(text) if text.isascii() and "_" not in text else Decimal("NaN")
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _price(given: Mapping[str, str]) -> Decimal:
    text = _needed(given, "price")
    number = _number(text.removeprefix("\N{INDIAN RUPEE SIGN}").strip())
    try:
        return rupees(number if number is not None else Decimal(0))
    except ValueError as error:
        raise _DoubtError(f"price {_short(text)}", "a number above 0, such as 145.10 or 1,234.50") from error


def _quantity(given: Mapping[str, str]) -> int:
    text = _needed(given, "quantity")
    number = _number(text)
    if number is None or number <= 0 or number != int(number):
        raise _DoubtError(f"quantity {_short(text)}", "a whole number above 0; the side says buy or sell")
    return int(number)


def _side(given: Mapping[str, str]) -> Side:
    text = _needed(given, "side")
    try:
        return Side.of(text)
    except ValueError as error:
        raise _DoubtError(f"side {_short(text)}", "BUY or SELL") from error


def _order_id(given: Mapping[str, str]) -> str | None:
    """The order id as text. A spreadsheet turns 26112287825714 into 2.61123E+13: that is an id no more."""
    text = _needed(given, "id") if given.get("id") else ""
    if re.fullmatch(r"\d(\.\d+)?[eE]\+\d+", text):
        raise _DoubtError(f"order id {_short(text)}, rounded by a spreadsheet", "the id with all its digits, as text")
    return text.removesuffix(".0") or None


def _instrument(given: Mapping[str, str]) -> Instrument:
    """The instrument; its exchange is empty where neither a column nor the symbol's own form tells it for certain."""
    symbol = _needed(given, "symbol").upper()
    exchange = given.get("exchange", "").upper()
    if not exchange and ":" in symbol:
        head, _, tail = symbol.partition(":")
        if head in EXCHANGES:
            return Instrument(tail.strip(), head)
    if exchange:
        if exchange not in EXCHANGES:
            raise _DoubtError(f"exchange {_short(exchange)}", ", ".join(EXCHANGES[:7]))
        return Instrument(symbol.removeprefix(f"{exchange}:"), exchange)
    try:
        parsed = parse_symbol(symbol)
    except Unfit:
        parsed = None
    derivative = isinstance(parsed, Instrument) and not parsed.is_index and not symbol.startswith(_NOT_ON_NFO)
    return parsed if derivative and isinstance(parsed, Instrument) else Instrument(symbol, "")


def _instant(text: str) -> datetime | None:
    """A stamp as a datetime, naive when it names no zone; None when it cannot be told."""
    if re.fullmatch(r"\d{10}(\d{3})?(\.\d+)?", text):
        number = float(text)
        return datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is not None:
        return found if ":" in text or "T" in text else None  # a bare date says nothing of the time
    for form in _STAMPS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - a naive stamp gets the log's zone from its caller
        except ValueError:
            continue
    return None
