"""What a stream frame looks like: ticks in the three modes, order updates, errors, and those no client should trust."""

from __future__ import annotations

import json
import math
from datetime import datetime

from runbook.simulator.book import Order
from runbook.simulator.contracts import Contract
from runbook.simulator.market import Day
from runbook.simulator.openalgo import BROKER, USER

Frame = dict[str, object]
MODES = {1: "LTP", 2: "Quote", 3: "Depth"}
_LEVELS = 5
BROKERS = (
    "fivepaisa", "fivepaisaxts", "aliceblue", "angel", "arrow", "compositedge", "dhan", "dhan_sandbox", "definedge",
    "deltaexchange", "firstock", "flattrade", "fyers", "groww", "hdfcsecurities", "hdfcsky", "ibulls", "iifl",
    "iiflcapital", "indmoney", "jainamxts", "kotak", "motilal", "mstock", "nubra", "paytm", "pocketful", "rmoney",
    "samco", "shoonya", "tradejini", "tradesmart", "upstox", "wisdom", "zebu", "zerodha",
)  # fmt: skip


def millis(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def error(code: str, message: str) -> Frame:
    return {"status": "error", "code": code, "message": message}


def tick(contract: Contract, day: Day, mode: int, traded: datetime, now: datetime) -> Frame:
    """The `data` of a tick in the broker's mode; `ltt` is the trade, `timestamp` only the server's receipt."""
    data: Frame = {"ltp": day.ltp, "ltt": millis(traded)}
    lot = max(75, contract.lot)
    if mode == 2:
        data |= {
            "volume": day.volume,
            "open": day.open,
            "high": day.high,
            "low": day.low,
            "close": day.prev_close,
            "last_trade_quantity": lot,
            "average_price": day.ltp,
            "total_buy_quantity": 9000.0,
            "total_sell_quantity": 8800.0,
        }
    elif mode > 2:
        data |= {
            "volume": day.volume,
            **dict.fromkeys(("open", "high", "low", "close"), 0.0),  # the plug-in's own gap
            "last_quantity": lot,
            "oi": day.oi,
            "upper_circuit": 0.0,
            "lower_circuit": 0.0,
            "depth": {
                "buy": [_level(day.bid - n * contract.tick, lot, n) for n in range(_LEVELS)],
                "sell": [_level(day.ask + n * contract.tick, lot, n) for n in range(_LEVELS)],
            },
        }
    return data | {
        "symbol": contract.instrument.symbol,
        "exchange": contract.instrument.exchange,
        "mode": mode,
        "timestamp": millis(now),
    }


def _level(price: float, lot: int, n: int) -> Frame:
    return {"price": max(0.0, round(price, 2)), "quantity": lot * (n + 1), "orders": n + 1}


def market_data(data: Frame, mode: int) -> Frame:
    """The envelope; `mode` is the receiving client's, `data` may be of a higher one."""
    return {
        "type": "market_data",
        "symbol": data["symbol"],
        "exchange": data["exchange"],
        "mode": mode,
        "data": data,
        "broker": BROKER,
    }


def order_update(order: Order, price: float, *, analyze: bool) -> Frame:
    """What is pushed when an order changes: no time, no strategy, and nothing ever pending."""
    return {
        "type": "order_update",
        "user_id": USER,
        "mode": "analyze" if analyze else "live",
        "broker": "sandbox" if analyze else BROKER,
        "orderid": order.id,
        "symbol": order.instrument.symbol,
        "exchange": order.instrument.exchange,
        "action": order.action,
        "quantity": order.quantity,
        "price": float(price),
        "trigger_price": float(order.trigger),
        "pricetype": order.pricetype,
        "product": order.product,
        "order_status": str(order.status),
        "filled_quantity": order.filled,
        "pending_quantity": 0,
        "average_price": order.average,
        "rejection_reason": order.reason,
    }


def garbage(step: int, frame: Frame) -> str | bytes:
    """The frame spoilt in one of thirteen ways, `step` by `step`."""
    inner = frame["data"]
    data = dict(inner) if isinstance(inner, dict) else {}
    price = float(data.get("ltp", 0.0))
    bare = {k: v for k, v in data.items() if k != "ltp"}
    spoilt: tuple[str | bytes, ...] = (
        "not json {",
        "[1, 2, 3]",
        _dump({**frame, "data": {**data, "ltp": f"{price}"}}),
        _dump({**frame, "data": {**data, "ltp": None}}),
        _dump({**frame, "data": {**data, "ltp": -price}}),
        _dump({**frame, "data": {**data, "ltp": math.nan}}),
        _dump({**frame, "data": {**data, "ltp": 0}}),
        _dump({**frame, "data": bare}),
        _dump({k: v for k, v in frame.items() if k != "data"}),
        _dump({**frame, "symbol": "NOPE", "exchange": "NSE", "data": {**data, "symbol": "NOPE", "exchange": "NSE"}}),
        _dump(frame).encode(),
        "7",
        "",
    )
    return spoilt[step % len(spoilt)]


def _dump(frame: Frame) -> str:
    return json.dumps(frame)
