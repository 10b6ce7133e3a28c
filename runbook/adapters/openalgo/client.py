"""The Gateway: OpenAlgo asked read-only, every fault named, and a wrong key not repeated until it becomes a ban."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from runbook.adapters.openalgo import rows
from runbook.adapters.openalgo.answers import KeyRefused, judge, parse
from runbook.adapters.openalgo.transport import ENDPOINTS, Answer, Transport
from runbook.budget import Budget, BudgetSpent
from runbook.clock import Clock
from runbook.errors import (
    AccessUnknown,
    BadAnswer,
    Banned,
    BrokerSessionGone,
    BrokerTokenDead,
    GatewayError,
    GatewayRejected,
    WrongKey,
)
from runbook.market import Instrument, Quote
from runbook.ports import Candle, Fill, GatewayMode, HolidayRow, Listing, OpenHours, Order, PositionBook
from runbook.redact import words

MAX_NAMES = 50  # per multiquotes call: what the tightest broker takes
HOLD = 15 * 60.0  # seconds: 96 tries a day stay below OpenAlgo's ban at 100 wrong keys (or wrong paths) in 24 hours

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Hold:
    """Why calls stop here for a while instead of being sent."""

    error: type[GatewayError]
    why: str
    hint: str | None
    until: float


class OpenAlgo:
    """OpenAlgo over REST as `ports.Gateway` and `ports.MarketCalendar`; threads may share one.

    `connect_timeout` and `read_timeout` are real seconds, cut by the Budget of each call.
    """

    def __init__(
        self, url: str, api_key: str, clock: Clock, connect_timeout: float = 3.05, read_timeout: float = 8
    ) -> None:
        self._transport = Transport(url, api_key, connect_timeout, read_timeout)
        self._key = api_key
        self._clock = clock
        self._lock = threading.Lock()
        self._locked_out: _Hold | None = None  # the key is wrong, or this host is banned
        self._absent: dict[str, _Hold] = {}  # paths that answered 404
        self.ahead: float | None = None  # seconds our clock is ahead of the server's, to a second, by its last answer

    def __repr__(self) -> str:
        return f"OpenAlgo({self._transport.shown})"

    def close(self) -> None:
        """Drop the kept connections."""
        self._transport.close()

    def health(self, budget: Budget) -> str:
        answer = self._send("health", {}, budget)
        body = parse(answer)
        status = body.get("status") if body is not None else None
        if answer.status in {200, 503} and isinstance(status, str) and status != "error":
            self._let_in("health")
            return status
        judge(answer, self._key)
        raise BadAnswer(f"{answer.where}: HTTP {answer.status} without a status word")

    def ping(self, budget: Budget) -> str:
        body, at = self._ask("ping", {}, budget)
        broker = rows.data_of(body, at, dict).get("broker")
        if not isinstance(broker, str) or not broker:
            raise BadAnswer(f"{at}: the pong names no broker")
        return broker

    def mode(self, budget: Budget) -> GatewayMode:
        body, at = self._ask("mode", {}, budget)
        data = rows.data_of(body, at, dict)
        flag, word = data.get("analyze_mode"), data.get("mode")
        if not isinstance(flag, bool) or word not in {None, "analyze" if flag else "live"}:
            raise BadAnswer(f"{at}: analyze_mode is {flag!r:.20} and mode is {word!r:.20}")
        return GatewayMode.ANALYZE if flag else GatewayMode.LIVE

    def quote(self, instrument: Instrument, budget: Budget) -> Quote:
        body, at = self._ask("quotes", _names(instrument), budget)
        return rows.quote(instrument, rows.data_of(body, at, dict), at)

    def quotes(
        self, instruments: Sequence[Instrument], budget: Budget
    ) -> tuple[tuple[Quote, ...], tuple[tuple[Instrument, str], ...]]:
        """As the port says; more than 50 names become several calls, and a call that fails costs only its own names."""
        names = list(dict.fromkeys(instruments))
        quotes: list[Quote] = []
        faults: list[tuple[Instrument, str]] = []
        answered = False
        first_error: GatewayError | BudgetSpent | None = None
        for start in range(0, len(names), MAX_NAMES):
            part = names[start : start + MAX_NAMES]
            try:
                found = self._multiquotes(part, budget)
            except (GatewayError, BudgetSpent) as e:
                first_error = first_error or e
                faults += [(name, str(e)) for name in part]
                continue
            answered = True
            for name in part:
                got = found.get(name, "the answer does not name it")
                fault = got if isinstance(got, str) else got.fault
                if isinstance(got, Quote) and fault is None:
                    quotes.append(got)
                else:
                    faults.append((name, fault or "no quote"))
        if first_error is not None and not answered:
            raise first_error
        return tuple(quotes), tuple(faults)

    def funds(self, budget: Budget) -> Mapping[str, float]:
        body, at = self._ask("funds", {}, budget)
        data = rows.data_of(body, at, dict)
        if not data and rows.mode_of(body, at) is GatewayMode.LIVE:
            raise BrokerTokenDead(f"{at}: success with no funds in it, which is how a dead broker token looks")
        funds = {k: v for k, v in ((k, rows.number(v)) for k, v in data.items()) if not math.isnan(v)}
        if not funds:
            raise BadAnswer(f"{at}: no figure in the funds")
        return funds

    def orders(self, budget: Budget) -> tuple[GatewayMode, tuple[Order, ...]]:
        body, at = self._ask("orders", {}, budget)
        book = rows.data_of(body, at, dict).get("orders")
        if not isinstance(book, list):
            raise BadAnswer(f"{at}: the order book has no list of orders")
        return rows.mode_of(body, at), _each(book, rows.order, at)

    def trades(self, budget: Budget) -> tuple[GatewayMode, tuple[Fill, ...]]:
        body, at = self._ask("trades", {}, budget)
        return rows.mode_of(body, at), _each(rows.data_of(body, at, list), rows.fill, at)

    def positions(self, budget: Budget) -> PositionBook:
        body, at = self._ask("positions", {}, budget)
        total = rows.number(body.get("total_pnl_today"))
        return PositionBook(
            rows.mode_of(body, at),
            _each(rows.data_of(body, at, list), rows.position, at),
            None if math.isnan(total) else total,
        )

    def search(self, query: str, exchange: str, budget: Budget) -> tuple[Listing, ...]:
        fields = {"query": query, "exchange": exchange} if exchange else {"query": query}
        body, at = self._ask("search", fields, budget)
        found = []
        for row in rows.data_of(body, at, list):
            try:
                found.append(rows.listing(row, at))
            except BadAnswer as e:  # one odd name among thousands must not hide the future that is looked for
                _log.warning("left out of the search: %s", e)
        return tuple(found)

    def last_candle(self, instrument: Instrument, day: date, budget: Budget) -> Candle | None:
        span = {"interval": "1m", "start_date": day.isoformat(), "end_date": day.isoformat()}
        body, at = self._ask("history", {**_names(instrument), **span}, budget)
        return rows.newest_candle(rows.data_of(body, at, list), at)

    def holidays(self, year: int, budget: Budget) -> tuple[HolidayRow, ...]:
        body, at = self._ask("holidays", {"year": year}, budget)
        return _each(rows.data_of(body, at, list), rows.holiday, at)

    def timings(self, day: date, budget: Budget) -> tuple[OpenHours, ...]:
        body, at = self._ask("timings", {"date": day.isoformat()}, budget)
        return _each(rows.data_of(body, at, list), rows.open_hours, at)

    # --- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, name: str, fields: Mapping[str, object], budget: Budget) -> tuple[Mapping[str, Any], str]:
        """(the JSON of a success, how messages name the call)."""
        answer = self._send(name, fields, budget)
        return self._judged(name, answer, budget), answer.where

    def _send(self, name: str, fields: Mapping[str, object], budget: Budget) -> Answer:
        self._stop_if_held(name)
        answer = self._transport.call(name, fields, budget)
        with contextlib.suppress(ValueError, TypeError):  # a date that is none says nothing
            said = parsedate_to_datetime(answer.date)
            self.ahead = (self._clock.now() - said).total_seconds() - 0.5  # it counts whole seconds, cut off
        return answer

    def _judged(self, name: str, answer: Answer, budget: Budget) -> Mapping[str, Any]:
        try:
            body = judge(answer, self._key)
        except KeyRefused as e:
            error = self._why_refused(name, e, budget)
            if isinstance(error, WrongKey):
                self._lock_out(error)
            raise error from None
        except Banned as e:
            self._lock_out(e)
            raise
        except GatewayRejected as e:
            if answer.status == 404:
                self._hold_path(name, e)
            raise
        self._let_in(name)
        return body

    def _why_refused(self, name: str, refused: KeyRefused, budget: Budget) -> GatewayError:
        """A wrong key and a missing broker session give the same 403; only `search` needs no broker session."""
        if name == "search":
            return WrongKey(str(refused))
        try:
            # an index name and its exchange keep the answer short
            judge(self._transport.call("search", {"query": "NIFTY", "exchange": "NSE_INDEX"}, budget), self._key)
        except KeyRefused:
            return WrongKey(f"{refused}; search refuses the key too")
        except Banned as e:
            self._lock_out(e)
            return e
        except (GatewayError, BudgetSpent) as e:
            return AccessUnknown(f"{refused}; and the search that would tell why failed: {e}")
        return BrokerSessionGone(f"nobody is logged in to the broker: {name} says 403, and search accepts the key")

    def _multiquotes(self, names: list[Instrument], budget: Budget) -> dict[Instrument, Quote | str]:
        """What came for each name: its quote, or the reason there is none."""
        answer = self._send("multiquotes", {"symbols": [_names(n) for n in names]}, budget)
        body = parse(answer)
        results: Any = body.get("invalid_symbols") if body is not None and answer.status == 400 else None
        if isinstance(results, list):  # no name at all is known: an answer for each of them, not a failed call
            self._let_in("multiquotes")
        else:
            results = self._judged("multiquotes", answer, budget).get("results")
        if not isinstance(results, list):
            raise BadAnswer(f"{answer.where}: success without a list of results")
        found: dict[Instrument, Quote | str] = {}
        for result in results:
            if not isinstance(result, dict):
                raise BadAnswer(f"{answer.where}: a result is {type(result).__name__}, not an object")
            name = Instrument(str(result.get("symbol")), str(result.get("exchange")))
            if "data" not in result:
                found[name] = words(result.get("error") or "no quote and no reason", self._key)
                continue
            try:
                found[name] = rows.quote(name, result["data"], answer.where)
            except BadAnswer as e:
                found[name] = str(e)
        return found

    # --- not knocking on a closed door -------------------------------------------------------------------------------

    def _stop_if_held(self, name: str) -> None:
        with self._lock:
            holds = [self._absent.get(name), self._locked_out if ENDPOINTS[name].keyed else None]
        for hold in holds:
            left = hold.until - self._clock.monotonic() if hold is not None else 0.0
            if hold is not None and left > 0:
                raise hold.error(
                    f"{hold.why} (not asked again: the next try is due in {math.ceil(left / 60)} min)", hint=hold.hint
                )

    def _lock_out(self, error: GatewayError) -> None:
        with self._lock:
            self._locked_out = _Hold(type(error), str(error), error.hint, self._clock.monotonic() + HOLD)

    def _hold_path(self, name: str, error: GatewayError) -> None:
        with self._lock:
            self._absent[name] = _Hold(type(error), str(error), error.hint, self._clock.monotonic() + HOLD)

    def _let_in(self, name: str) -> None:
        """A call that worked: the key is right; that no ban is on is also shown by a call without it."""
        with self._lock:
            held = self._locked_out
            if held is not None and (ENDPOINTS[name].keyed or held.error is Banned):
                self._locked_out = None


def _names(instrument: Instrument) -> dict[str, object]:
    return {"symbol": instrument.symbol, "exchange": instrument.exchange}


def _each(book: Iterable[object], make: Callable[[object, str], _T], at: str) -> tuple[_T, ...]:
    return tuple(make(row, at) for row in book)
