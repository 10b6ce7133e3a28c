"""What the relay sends, as JSON: OpenAlgo's frames with the source of each price in them, and the feed's own standing."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from math import inf

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


@lru_cache(maxsize=4096)
def _around(instrument: Instrument, mode: int, broker: str, source: Source) -> tuple[str, str, str, str]:
    """What does not change between two frames of one instrument: before the price, before the receipt, after it, at the end."""
    name = dumps({**named(instrument), "mode": mode})[1:-1]
    head = f'{{"type": "market_data", {name}, "data": {{"ltp": '
    return head, f', {name}, "timestamp": ', f', "source": {dumps(source)}', f'}}, "broker": {dumps(broker)}}}'


def market_data(price: Price, mode: int, broker: str) -> str:
    """A tick for a client of `mode`. What is not known is left out: many brokers' frames lack as much.

    `timestamp` is the receipt, as it is at OpenAlgo; a price over REST has no `ltt`, and says when it last changed.
    Put together from parts, since this is the one thing done for every tick: a third of the time that json takes.
    """
    if not 0 < price.ltp < inf:
        raise ValueError(f"{price.ltp!r:.40} is no price of {price.instrument}")
    head, middle, source, tail = _around(price.instrument, mode, broker, price.source)
    received = millis(price.received_at)
    ltt = "" if price.ltt is None else f', "ltt": {price.ltt:d}'
    volume = "" if mode == LTP or price.volume is None else f', "volume": {price.volume:d}'
    more = ""
    if price.source is Source.REST_POLLING:
        more = f', "received_at": {received}, "last_changed_at": {millis(price.last_changed_at)}'
        if price.grade is not None:
            more += f', "grade": {dumps(price.grade)}'
    return f"{head}{float(price.ltp)!r}{ltt}{volume}{middle}{received}{source}{more}{tail}"


def feed_status(status: FeedStatus) -> str:
    """How the feed stands: the one frame OpenAlgo does not have, of a type its SDK passes over."""
    return dumps(
        {
            "type": "feed_status", "mode": status.mode, "source": status.source, "since": millis(status.since),
            "reason": status.reason, **({"refused": [str(i) for i in status.refused]} if status.refused else {}),
        }
    )  # fmt: skip
