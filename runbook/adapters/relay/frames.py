"""What the relay sends, as JSON: OpenAlgo's frames with the source of each price in them, and the feed's own standing."""

from __future__ import annotations

import json
from datetime import datetime

from runbook.feed.price import FeedStatus, Price
from runbook.market import Instrument, Source

Frame = dict[str, object]

LTP, QUOTE, DEPTH = 1, 2, 3
MODES = {LTP: "LTP", QUOTE: "Quote", DEPTH: "Depth"}
USER = "runbook"
UNKNOWN = "unknown"  # the broker's name until OpenAlgo has said it
# What an OpenAlgo 2.0 lists: its plug-ins.
BROKERS = (
    "fivepaisa", "fivepaisaxts", "aliceblue", "angel", "arrow", "compositedge", "dhan", "dhan_sandbox", "definedge",
    "deltaexchange", "firstock", "flattrade", "fyers", "groww", "hdfcsecurities", "hdfcsky", "ibulls", "iifl",
    "iiflcapital", "indmoney", "jainamxts", "kotak", "motilal", "mstock", "nubra", "paytm", "pocketful", "rmoney",
    "samco", "shoonya", "tradejini", "tradesmart", "upstox", "wisdom", "zebu", "zerodha",
)  # fmt: skip

dumps = json.JSONEncoder(allow_nan=False).encode


def millis(when: datetime) -> int:
    return int(when.timestamp() * 1000)


def error(code: str, message: str) -> Frame:
    return {"status": "error", "code": code, "message": message}


def named(instrument: Instrument) -> Frame:
    return {"symbol": instrument.symbol, "exchange": instrument.exchange}


def market_data(price: Price, mode: int, broker: str) -> str:
    """A tick for a client of `mode`. What is not known is left out: many brokers' frames lack as much.

    `timestamp` is the receipt, as it is at OpenAlgo; a price over REST has no `ltt`, and says when it last changed.
    """
    instrument = price.instrument
    received = millis(price.received_at)
    data: Frame = {"ltp": price.ltp}
    if price.ltt is not None:
        data["ltt"] = price.ltt
    if mode != LTP and price.volume is not None:
        data["volume"] = price.volume
    data |= {
        "symbol": instrument.symbol, "exchange": instrument.exchange, "mode": mode, "timestamp": received,
        "source": price.source,
    }  # fmt: skip
    if price.source is Source.REST_POLLING:
        data |= {"received_at": received, "last_changed_at": millis(price.last_changed_at)}
        if price.grade is not None:
            data["grade"] = price.grade
    return dumps(
        {
            "type": "market_data", "symbol": instrument.symbol, "exchange": instrument.exchange, "mode": mode,
            "data": data, "broker": broker,
        }
    )  # fmt: skip


def feed_status(status: FeedStatus) -> str:
    """How the feed stands: the one frame OpenAlgo does not have, of a type its SDK passes over."""
    return dumps(
        {
            "type": "feed_status", "mode": status.mode, "source": status.source, "since": millis(status.since),
            "reason": status.reason, **({"refused": [str(i) for i in status.refused]} if status.refused else {}),
        }
    )  # fmt: skip
