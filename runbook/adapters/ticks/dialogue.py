"""What is said on OpenAlgo's stream, without a socket: a frame goes in, an event comes out, and what to send next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from runbook.errors import BadTick, BrokerSessionGone, SymbolUnknown, WrongKey
from runbook.feed.events import Connected, ConnectFailed, Garbage, StreamEvent, Subscribed, TickReceived
from runbook.market import Instrument, Tick, last_trade_millis, price
from runbook.redact import words

Frame = Mapping[str, Any]

LTP = (
    1  # the cheapest mode, and every broker has it; a richer tick that another client asked for reaches us all the same
)
# frames that are true and say nothing of the market
_QUIET = frozenset(
    {"order_update", "pong", "ping", "unsubscribe", "broker_info", "subscribe_orders", "unsubscribe_orders"}
)
_BROKER_HINT = "OpenAlgo's own connection to the broker failed: see its log; a fresh broker login often cures it"


class Dialogue:
    """One connection's conversation. `awaited` is the request whose answer is due; `outbox` is to be sent, in order."""

    def __init__(self, generation: int, instruments: Sequence[Instrument], api_key: str) -> None:
        self._generation = generation
        self._names = {(i.symbol, i.exchange): i for i in instruments}
        self._key = api_key
        self._secret = api_key.encode()
        self._connected = False
        self.awaited: str | None = None
        self.outbox: list[str] = []

    def authenticate(self) -> None:
        """Say who we are; a success is followed by the subscription of everything."""
        self._ask("authenticate", {"api_key": self._key})

    def hear(self, payload: bytes, at: float) -> StreamEvent | None:
        """What a text frame means; `at` is when it came. After ConnectFailed the conversation is over."""
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
            return self._tick(frame, at)
        if kind is None and frame.get("status") == "error":
            return self._error(frame)
        if kind == "auth":
            return self._authenticated(frame)
        if kind == "subscribe":
            return self._acknowledged(frame)
        if isinstance(kind, str) and kind in _QUIET:
            return None
        return self.garbage(f"a frame of type {kind!r:.40}")

    def garbage(self, what: str) -> Garbage:
        return Garbage(self._generation, what)

    def failed(self, reason: str, *, refused: bool = False, hint: str | None = None) -> ConnectFailed:
        return ConnectFailed(self._generation, words(reason, self._key), refused, hint)

    def _ask(self, action: str, fields: Mapping[str, object]) -> None:
        self.awaited = action
        self.outbox.append(json.dumps({"action": action, **fields}))

    def _tick(self, frame: Frame, at: float) -> StreamEvent:
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
        return TickReceived(self._generation, Tick(instrument, ltp, ltt, None if volume is None else int(volume)), at)

    def _authenticated(self, frame: Frame) -> StreamEvent | None:
        if self.awaited != "authenticate":
            return None
        if frame.get("status") != "success":
            return self._refusal(frame)
        self._ask("subscribe", {"symbols": [{"symbol": s, "exchange": e} for s, e in self._names], "mode": LTP})
        if self._connected:  # a second authentication, for a resubscription
            return None
        self._connected = True
        return Connected(self._generation, str(frame.get("broker") or ""))

    def _acknowledged(self, frame: Frame) -> StreamEvent | None:
        if self.awaited != "subscribe":
            return None
        if frame.get("status") not in {"success", "partial"}:
            return self._refusal(frame)
        self.awaited = None
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
        fate_of = [(i, fates.get(i, "the acknowledgement does not name it")) for i in self._names.values()]
        return Subscribed(
            self._generation,
            accepted=tuple(i for i, why in fate_of if why is None),
            refused=tuple((i, why) for i, why in fate_of if why is not None),
        )

    def _error(self, frame: Frame) -> StreamEvent:
        """An error frame carries no type: it answers what was asked last, or nothing we asked."""
        if self.awaited is None:
            return self.garbage(f"an error nobody asked for: {self._spoken(frame)}")
        return self._refusal(frame)

    def _refusal(self, frame: Frame) -> ConnectFailed:
        said = self._spoken(frame)
        low = said.lower()
        if "no broker configuration" in low or "broker adapter not found" in low:
            return self.failed(f"{self.awaited}: the broker session is gone ({said})", hint=BrokerSessionGone.hint)
        if "invalid api key" in low or "api key is required" in low:
            return self.failed(f"{self.awaited}: the API key is wrong ({said})", hint=WrongKey.hint)
        hint = _BROKER_HINT if "broker" in low else SymbolUnknown.hint if "symbol" in low else None
        return self.failed(f"{self.awaited}: {said}", hint=hint)

    def _spoken(self, frame: Frame) -> str:
        code = words(frame.get("code") or "", self._key)
        message = words(frame.get("message") or "no message", self._key)
        return f"{code}: {message}" if code else message


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).decode
