"""What is said on OpenAlgo's stream, without a socket: a frame goes in, an event comes out, and what to send next."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from runbook.errors import BadTick, BrokerSessionGone, SymbolUnknown, WrongKey
from runbook.feed.events import (
    Connected,
    ConnectFailed,
    Garbage,
    OrderSeen,
    StreamEvent,
    Subscribed,
    SubscriptionLost,
)
from runbook.market import Instrument, Tick, last_trade_millis, price
from runbook.redact import words

Frame = Mapping[str, Any]

LTP = 1  # the cheapest mode, which every broker has; a richer tick that another client asked for reaches us too
# frames that are true and say nothing of the market
_QUIET = frozenset({"order_update", "pong", "ping", "unsubscribe", "broker_info", "unsubscribe_orders"})
_NAME = 64  # characters: no symbol is longer

# A tick as OpenAlgo writes it, each byte accounted for: what matches is JSON, with each key once and every figure one that
# JSON has, so reading it this way or that gives the same tick. Whatever differs in anything is left to the JSON reader.
_TEXT = rb"[\x20\x21\x23-\x5b\x5d-\x7e]*+"
_FIGURE = rb"(?:0|[1-9]\d{0,10}+)(?:\.\d{1,10}+)?+"
_PLAIN = re.compile(
    rb'\{"type": "market_data", "symbol": "(' + _TEXT + rb'", "exchange": "' + _TEXT + rb')", "mode": [1-3], '
    rb'"data": \{"ltp": ('
    + _FIGURE
    + rb')(?:, "ltt": (1[5-9]\d{11}|[2-9]\d{12}))?+(?:, "volume": (0|[1-9]\d{0,13}+))?+'
    rb'(?:, "symbol": "' + _TEXT + rb'", "exchange": "' + _TEXT + rb'", "mode": [1-3], "timestamp": [1-9]\d{0,14}+)?+'
    rb'(?:, "(?!ltp"|ltt"|volume")[a-z_]++": (?:-?+(?:0|[1-9]\d{0,14}+)(?:\.\d{1,10}+)?+|"' + _TEXT + rb'"))*+\}'
    rb'(?:, "broker": "' + _TEXT + rb'")?+\}'
).fullmatch
_BROKER_HINT = "OpenAlgo's own connection to the broker failed: see its log; a fresh broker login often cures it"
_log = logging.getLogger(__name__)


class Dialogue:
    """One connection's conversation. `awaited` is the request whose answer is due; `outbox` is to be sent, in order.

    With `orders` it also asks to be told of orders; a server that cannot do that is left in peace.
    """

    def __init__(
        self, generation: int, instruments: Sequence[Instrument], api_key: str, *, orders: bool = False
    ) -> None:
        self._generation = generation
        self._names: dict[tuple[str, str], Instrument] = {}
        self._plain: dict[bytes, Instrument] = {}  # the same by what stands between the quotes of a plain tick
        self._know(instruments)
        self._asked: tuple[Instrument, ...] = ()  # whom the subscription is for that was sent last
        self._further = False  # that one is for newcomers only: the others do not depend on its answer
        self._once_more = False  # that one repeats what was acknowledged before, on a connection that is to live on
        self._orders = orders
        self._key = api_key
        self._secret = api_key.encode()
        self._connected = False
        self.awaited: str | None = None
        self.outbox: list[str] = []

    def authenticate(self) -> None:
        """Say who we are; a success is followed by the subscription of everything."""
        self._ask("authenticate", {"api_key": self._key})

    def subscribe_again(self) -> None:
        """Subscribe everything once more without authenticating: a refusal says that the adapter behind us is gone."""
        self._subscribe(tuple(self._names.values()), further=False, again=True)

    @property
    def takes_more(self) -> bool:
        """True when `follow` may be called: nothing is awaited, or a subscription of everything is still to be sent."""
        return self.awaited in {None, "authenticate"}

    def follow(self, instruments: Sequence[Instrument]) -> None:
        """Subscribe those that are new; where everything is about to be subscribed, they go with it."""
        new = tuple(i for i in dict.fromkeys(instruments) if (i.symbol, i.exchange) not in self._names)
        self._know(new)
        if new and self.awaited is None:
            self._subscribe(new, further=True)

    def _know(self, instruments: Sequence[Instrument]) -> None:
        self._names |= {(i.symbol, i.exchange): i for i in instruments}
        self._plain |= {f'{i.symbol}", "exchange": "{i.exchange}'.encode(): i for i in instruments}

    def unanswered(self, seconds: float) -> StreamEvent | None:
        """What it means that nobody answered for `seconds`."""
        why = f"no answer within {seconds:g} s"
        if self.awaited == "subscribe_orders":
            self._without_orders(why)
            return None
        return self._not_further(why) if self._further else self.failed(f"{self.awaited}: {why}")

    def hear(self, payload: bytes) -> Tick | StreamEvent | None:
        """What a text frame means. After ConnectFailed the conversation is over."""
        plain = _PLAIN(payload)
        if plain is not None:
            name, ltp, ltt, volume = plain.groups()
            instrument, value = self._plain.get(name), float(ltp)
            if instrument is not None and value > 0:
                return Tick(
                    instrument, value, None if ltt is None else int(ltt), None if volume is None else int(volume)
                )
        return self.read(payload)

    def read(self, payload: bytes) -> Tick | StreamEvent | None:
        """The same without the short cut."""
        if self._secret and self._secret in payload:  # nobody should send it back; if one does, it ends here
            payload = payload.replace(self._secret, b"***")
        try:
            frame = _decode(payload.decode())
        except (ValueError, RecursionError):
            return self.garbage(f"a frame that is not JSON: {payload[:60]!r}")
        if not isinstance(frame, dict):
            return self.garbage(f"a frame that is {type(frame).__name__}, not an object")
        kind = frame.get("type")
        if kind == "market_data":
            return self._tick(frame)
        if kind is None and frame.get("status") == "error":
            return self._error(frame)
        if kind == "auth":
            return self._authenticated(frame)
        if kind == "subscribe":
            return self._acknowledged(frame)
        if kind == "order_update" and self._orders:
            return self._order(frame)
        if kind == "subscribe_orders":
            self._told_of_orders(frame)
            return None
        if isinstance(kind, str) and kind in _QUIET:
            return None
        return self.garbage(f"a frame of type {kind!r:.40}")

    def garbage(self, what: str) -> Garbage:
        return Garbage(self._generation, what)

    def failed(self, reason: str, *, refused: bool = False, hint: str | None = None) -> ConnectFailed:
        return ConnectFailed(self._generation, words(reason, self._key), refused, hint, self.awaited or "")

    def _ask(self, action: str, fields: Mapping[str, object]) -> None:
        self.awaited = action
        self.outbox.append(json.dumps({"action": action, **fields}))

    def _tick(self, frame: Frame) -> Tick | Garbage:
        symbol, exchange, data = frame.get("symbol"), frame.get("exchange"), frame.get("data")
        named = isinstance(symbol, str) and isinstance(exchange, str)
        instrument = self._names.get((str(symbol), str(exchange))) if named else None
        if instrument is None:
            return self.garbage(f"a tick of {exchange!r:.20} {symbol!r:.40}, which was not subscribed")
        if not isinstance(data, dict):
            return self.garbage(f"a tick of {instrument} without data")
        try:
            ltp = price(data.get("ltp"))
        except BadTick as e:
            return self.garbage(f"a tick of {instrument}: {e!s:.120}")
        volume = data.get("volume")
        if isinstance(volume, bool) or not isinstance(volume, int | float) or not 0 <= volume < 1e15:
            volume = None
        ltt = last_trade_millis(data.get("ltt"))
        return Tick(instrument, ltp, ltt, None if volume is None else int(volume))

    def _authenticated(self, frame: Frame) -> StreamEvent | None:
        if self.awaited != "authenticate":
            return None
        if frame.get("status") != "success":
            return self._refusal(frame)
        self._subscribe(tuple(self._names.values()), further=False)
        if self._connected:  # a second authentication, for a resubscription
            return None
        self._connected = True
        return Connected(self._generation, str(frame.get("broker") or ""))

    def _subscribe(self, instruments: tuple[Instrument, ...], *, further: bool, again: bool = False) -> None:
        self._asked, self._further, self._once_more = instruments, further, again
        names = [{"symbol": i.symbol, "exchange": i.exchange} for i in instruments]
        self._ask("subscribe", {"symbols": names, "mode": LTP})

    def _acknowledged(self, frame: Frame) -> StreamEvent | None:
        if self.awaited != "subscribe":
            return None
        if frame.get("status") not in {"success", "partial"}:
            return self._refusal(frame)
        self.awaited = None
        if self._orders and not self._further:
            self._ask("subscribe_orders", {})
        self._further = False
        listed = frame.get("subscriptions")
        fates: dict[Instrument, str | None] = {}
        for item in listed if isinstance(listed, list) else []:
            name = (
                self._names.get((str(item.get("symbol")), str(item.get("exchange"))))
                if isinstance(item, dict)
                else None
            )
            if name is not None:
                taken = item.get("status") == "success"
                fates[name] = None if taken else words(item.get("message") or "refused without a reason", self._key)
        fate_of = [(i, fates.get(i, "the acknowledgement does not name it")) for i in self._asked]
        return Subscribed(
            self._generation,
            accepted=tuple(i for i, why in fate_of if why is None),
            refused=tuple((i, why) for i, why in fate_of if why is not None),
        )

    def _order(self, frame: Frame) -> StreamEvent:
        symbol, exchange = frame.get("symbol"), frame.get("exchange")
        for name in (symbol, exchange):
            if not isinstance(name, str) or not 0 < len(name) <= _NAME:
                return self.garbage(f"an order of {exchange!r:.20} {symbol!r:.40}")
        return OrderSeen(self._generation, Instrument(str(symbol), str(exchange)))

    def _told_of_orders(self, frame: Frame) -> None:
        if self.awaited != "subscribe_orders":
            return
        if frame.get("status") != "success":
            self._without_orders(self._spoken(frame))
        self.awaited = None

    def _without_orders(self, why: str) -> None:
        """OpenAlgo 1.0 does not know orders: the ticks are worth having without them, and it is not asked again."""
        self.awaited = None
        self._orders = False
        _log.info("OpenAlgo does not tell of orders on its stream: %s", why)

    def _not_further(self, why: str) -> Subscribed:
        """Newcomers were not taken; nothing follows from that for the others."""
        self.awaited = None
        self._further = False
        return Subscribed(self._generation, (), tuple((i, why) for i in self._asked))

    def _error(self, frame: Frame) -> StreamEvent | None:
        """An error frame carries no type: it answers what was asked last, or nothing we asked."""
        if self.awaited is None:
            return self.garbage(f"an error nobody asked for: {self._spoken(frame)}")
        if self.awaited == "subscribe_orders":
            self._without_orders(self._spoken(frame))
            return None
        return self._refusal(frame)

    def _refusal(self, frame: Frame) -> StreamEvent:
        said = self._spoken(frame)
        low = said.lower()
        if self._once_more and self.awaited == "subscribe":
            self.awaited = None
            gone = "no broker configuration" in low or "adapter not found" in low
            return SubscriptionLost(self._generation, said, BrokerSessionGone.hint if gone else None)
        if "no broker configuration" in low or "broker adapter not found" in low:
            return self.failed(f"{self.awaited}: the broker session is gone ({said})", hint=BrokerSessionGone.hint)
        if "invalid api key" in low or "api key is required" in low:
            return self.failed(f"{self.awaited}: the API key is wrong ({said})", hint=WrongKey.hint)
        if self._further:
            return self._not_further(said)
        hint = _BROKER_HINT if "broker" in low else SymbolUnknown.hint if "symbol" in low else None
        return self.failed(f"{self.awaited}: {said}", hint=hint)

    def _spoken(self, frame: Frame) -> str:
        code = words(frame.get("code") or "", self._key)
        message = words(frame.get("message") or "no message", self._key)
        return f"{code}: {message}" if code else message


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode
