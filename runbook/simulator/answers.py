"""What each REST endpoint answers: market data, the server's own state, the tables. The books are in `ledger.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from runbook.market import Instrument
from runbook.simulator import timetable
from runbook.simulator.contracts import Contract
from runbook.simulator.faults import Fault
from runbook.simulator.forms import Body, Form, as_number, as_truth
from runbook.simulator.market import IST, Day
from runbook.simulator.openalgo import BROKER, OpenAlgo

_INTERVALS = {"1m": 60, "3m": 180, "5m": 300, "10m": 600, "15m": 900, "30m": 1800, "1h": 3600, "D": 86_400}
_MOST_DAYS = 5
_LEVELS = 5
NOT_ALLOWED = "Invalid openalgo apikey"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON payload."""

    payload: Mapping[str, object]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One POST endpoint: its handler, and how it treats keys and faulty forms."""

    answer: Callable[[OpenAlgo, Body], Answer]
    form: Form
    key: str = "session"  # or "key": a right key is enough; or "none": the endpoint looks at it itself, or nobody does
    repr_errors: bool = False
    calls_per_second: int = 50


def good(data: object, **beside: object) -> Answer:
    return Answer({"data": data, "status": "success", **beside})


def bad(message: object, status: int, **beside: object) -> Answer:
    return Answer({"message": message, "status": "error", **beside}, status)


def instrument_of(body: Body) -> Instrument:
    return Instrument(str(body["symbol"]), str(body["exchange"]))


def unknown(instrument: Instrument) -> str:
    return (
        f"Symbol '{instrument.symbol}' not found for exchange '{instrument.exchange}'. "
        "Please verify the symbol name and ensure master contracts are downloaded."
    )


def ping(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001 - one signature for all endpoints
    return good({"broker": BROKER, "message": "pong"})


def analyzer(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001 - as for ping
    return good(_mode(server))


def toggle(server: OpenAlgo, body: Body) -> Answer:
    server.set_analyze(bool(as_truth(body["mode"])))
    mode = _mode(server)
    return good({**mode, "message": f"Analyzer mode switched to {mode['mode']}"})


def _mode(server: OpenAlgo) -> dict[str, object]:
    return {
        "analyze_mode": server.analyze,
        "mode": "analyze" if server.analyze else "live",
        "total_logs": server.analyzer_logs,
    }


# -- prices ----------------------------------------------------------------------------------------------------------


def broker_says_no(server: OpenAlgo, what: str) -> Answer | None:
    """The failure of a broker call for market data, or None when the broker answers."""
    why = None
    if Fault.TOKEN_DEAD in server.faults:
        refused = server.faults.word(Fault.TOKEN_DEAD, "answer") == "http_403"
        why = (
            "Authentication failed. Please check your API key and auth token."
            if refused
            else "Error from Angel API: Invalid Token"
        )
    elif Fault.BROKER_502 in server.faults:
        why = "Failed to parse API response (status 502)"
    elif Fault.BROKER_LIMITED in server.faults:
        why = "Angel API rate limit exceeded. Please retry shortly."
    return bad(f"Error fetching {what}: {why}", 500) if why else None


def quotes(server: OpenAlgo, body: Body) -> Answer:
    instrument = instrument_of(body)
    if server.contract(instrument) is None:
        return bad(unknown(instrument), 400)
    if no := broker_says_no(server, "quotes"):
        return no
    return good({} if Fault.EMPTY_SUCCESS in server.faults else _quote(server, instrument))


def multiquotes(server: OpenAlgo, body: Body) -> Answer:
    asked = body["symbols"]
    wanted = [instrument_of(item) for item in asked] if isinstance(asked, list) else []
    strangers = [i for i in wanted if server.contract(i) is None]
    rows: list[dict[str, object]] = [
        {"error": unknown(i), "exchange": i.exchange, "symbol": i.symbol} for i in strangers
    ]
    if len(strangers) == len(wanted):
        return bad(unknown(strangers[0]), 400, invalid_symbols=rows)
    if no := broker_says_no(server, "multiquotes"):
        return no
    if Fault.EMPTY_SUCCESS in server.faults:
        return Answer({"results": [], "status": "success"})
    rows += [
        {"data": _quote(server, i), "exchange": i.exchange, "symbol": i.symbol} for i in wanted if i not in strangers
    ]
    return Answer({"results": rows, "status": "success"})


def _quote(server: OpenAlgo, instrument: Instrument) -> dict[str, object]:
    day = server.day(instrument)
    return {
        "ask": day.ask,
        "bid": day.bid,
        "high": day.high,
        "low": day.low,
        "ltp": 0.0 if Fault.ZERO in server.faults else day.ltp,
        "oi": day.oi,
        "open": day.open,
        "prev_close": day.prev_close,
        "volume": day.volume,
    }


def depth(server: OpenAlgo, body: Body) -> Answer:
    if not server.admits(body["apikey"]):
        return bad("Broker-specific module not found", 404)  # the real one trips over its own look-up here
    instrument = instrument_of(body)
    contract = server.contract(instrument)
    if contract is None:
        return bad(unknown(instrument), 400)
    if no := broker_says_no(server, "market depth"):
        return no
    if Fault.EMPTY_SUCCESS in server.faults:
        return good({})
    return good(_depth(contract, server.day(instrument), zero=Fault.ZERO in server.faults))


def _depth(contract: Contract, day: Day, *, zero: bool) -> dict[str, object]:
    nothing = zero or contract.is_index
    lot = max(contract.lot, 75)
    sides = {"asks": (day.ask, 1), "bids": (day.bid, -1)}
    ladder: dict[str, object] = {
        side: [
            {"price": 0, "quantity": 0}
            if nothing
            else {"price": round(best + way * step * contract.tick, 2), "quantity": lot * (step + 1)}
            for step in range(_LEVELS)
        ]
        for side, (best, way) in sides.items()
    }
    return {
        **ladder,
        "high": day.high,
        "low": day.low,
        "ltp": 0 if zero else day.ltp,
        "ltq": 0 if nothing else lot,
        "oi": 0 if zero else day.oi,
        "open": day.open,
        "prev_close": day.prev_close,
        "totalbuyqty": 0 if nothing else lot * 120,
        "totalsellqty": 0 if nothing else lot * 117,
        "volume": 0 if zero else day.volume,
    }


def history(server: OpenAlgo, body: Body) -> Answer:
    """Candles of the asked days; [] when the broker is in trouble, and where no session was."""
    instrument = instrument_of(body)
    contract = server.contract(instrument)
    if contract is None:
        return bad(unknown(instrument), 400)
    step = _INTERVALS.get(str(body["interval"]))
    if step is None:
        return bad(f"Unsupported interval '{body['interval']}'. Supported intervals are: {', '.join(_INTERVALS)}", 400)
    if server.faults.any(Fault.TOKEN_DEAD, Fault.BROKER_502, Fault.BROKER_LIMITED, Fault.EMPTY_SUCCESS):
        return good([])
    first, last = (date.fromisoformat(str(body[k])) for k in ("start_date", "end_date"))
    first = max(first, last - timedelta(days=_MOST_DAYS - 1))
    begin = datetime.combine(first, time(), IST)
    end = min(datetime.combine(last + timedelta(days=1), time(), IST), server.rest_instant() + timedelta(seconds=1))
    return good(
        [
            {
                "close": c.close,
                "high": c.high,
                "low": c.low,
                "oi": 0,
                "open": c.open,
                "timestamp": c.start,
                "volume": c.volume,
            }
            for c in (server.market.candles(instrument, begin, end, step) if end > begin else ())
        ]
    )


def intervals(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001 - as for ping
    return good(
        {
            "days": ["D"],
            "hours": ["1h"],
            "minutes": ["1m", "3m", "5m", "10m", "15m", "30m"],
            "months": [],
            "seconds": [],
            "weeks": [],
        }
    )


# -- tables ----------------------------------------------------------------------------------------------------------


def symbol(server: OpenAlgo, body: Body) -> Answer:
    instrument = instrument_of(body)
    contract = server.contract(instrument)
    if contract is None:
        return bad(f"Symbol {instrument.symbol} not found in exchange {instrument.exchange}", 404)
    number = next(n for n, c in enumerate(server.market.master, 1) if c is contract)
    return good({**contract.row(), "id": number})


def search(server: OpenAlgo, body: Body) -> Answer:
    """Needs a right key only: it goes on answering when nobody is logged in to the broker."""
    exchange = body.get("exchange")
    gone = Fault.SYMBOLS_GONE in server.faults
    found = [] if gone else server.market.master.search(str(body["query"]), str(exchange) if exchange else None)
    if not found:
        return good([], message="No matching symbols found")
    return good([c.row() for c in found], message=f"Found {len(found)} matching symbols")


def holidays(server: OpenAlgo, body: Body) -> Answer:
    year = int(as_number(body.get("year"), server.now().astimezone(IST).year))
    return good(timetable.holidays(year), timezone=timetable.ZONE, year=year)


def timings(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001 - as for ping
    try:
        day = date.fromisoformat(str(body["date"]))
    except ValueError:
        return bad("Invalid date format. Use YYYY-MM-DD", 400)
    return good(timetable.timings(day))


def telegram(server: OpenAlgo, body: Body) -> Answer:
    if not server.knows_key(body["apikey"]):
        return bad("Invalid or missing API key", 401)
    return bad("Telegram bot is stopped. Start the bot to send notifications.", 409)
