"""The proxy's mind: who is connected, who may ask, what is subscribed, and the frame each request is answered with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from websockets.asyncio.server import ServerConnection

from runbook.market import Instrument
from runbook.simulator import frames
from runbook.simulator.frames import MODES, Frame, error
from runbook.simulator.openalgo import BROKER, USER, OpenAlgo
from runbook.simulator.upstream import Adapter, Upstream

_NO_ADAPTER = error("BROKER_ERROR", "Broker adapter not found")
_NO_SYMBOLS = error("INVALID_PARAMETERS", "At least one symbol must be specified")
_QUOTE = 2
_DEPTH = 3
_DEPTH_LEVEL = 5


@dataclass(eq=False, slots=True)
class Client:
    """One socket: who it says it is, and what it asked for."""

    connection: ServerConnection
    authenticated: bool = False
    orders: bool = False
    modes: dict[Instrument, set[int]] = field(default_factory=dict)


Handler = Callable[["Proxy", "Client", Mapping[str, object]], Frame]


class Proxy:
    """The clients of one OpenAlgo and the broker adapter they share; it opens no socket itself."""

    def __init__(self, server: OpenAlgo, upstream: Upstream) -> None:
        self._server = server
        self._upstream = upstream
        self.clients: set[Client] = set()
        self.adapter: Adapter | None = None

    def evict(self) -> None:
        """The adapter goes, and with it every subscription; the sockets are told nothing."""
        self.adapter = None
        for client in self.clients:
            client.modes.clear()

    def leave(self, client: Client) -> None:
        for instrument, modes in client.modes.items():
            for mode in modes:
                self._forget(instrument, mode)
        self.clients.discard(client)
        if not any(c.authenticated for c in self.clients):
            self.adapter = None  # the last one out ends the broker connection

    # -- requests ----------------------------------------------------------------------------------------------------

    def reply(self, client: Client, message: str | bytes) -> Frame:
        try:
            request = json.loads(message)
        except (ValueError, RecursionError):
            return error("INVALID_JSON", "Invalid JSON message")
        if not isinstance(request, dict):
            return error("SERVER_ERROR", f"'{type(request).__name__}' object has no attribute 'get'")
        action = request.get("action") or request.get("type")
        self._server.note("WS", str(action))
        handler = self._ACTIONS.get(str(action))
        if handler is None:
            return error("INVALID_ACTION", f"Invalid action: {action}")
        return handler(self, client, request)

    def _authenticate(self, client: Client, request: Mapping[str, object]) -> Frame:
        key = request.get("api_key") or request.get("apikey")
        if not key:
            return error("AUTHENTICATION_ERROR", "API key is required")
        if not self._server.knows_key(key):
            return error("AUTHENTICATION_ERROR", "Invalid API key")
        client.authenticated = True
        if not self._server.admits(key):
            return error("BROKER_ERROR", "No broker configuration found for user")
        if self.adapter is None:
            self.adapter = Adapter(self._server.now())
            self._upstream.connected(self.adapter)
        return {
            "type": "auth",
            "status": "success",
            "message": "Authentication successful",
            "broker": BROKER,
            "user_id": USER,
            "supported_features": {"ltp": True, "quote": True, "depth": True},
        }

    def _subscribe(self, client: Client, request: Mapping[str, object]) -> Frame:
        if not client.authenticated:
            return _not_authenticated()
        mode = _mode(request.get("mode", _QUOTE))
        if isinstance(mode, dict):
            return mode
        wanted = _symbols(request)
        if not wanted:
            return _NO_SYMBOLS
        if self.adapter is None:
            return _NO_ADAPTER
        depth = request.get("depth", _DEPTH_LEVEL)
        rows = [
            self._subscribe_one(client, self.adapter, Instrument(str(i["symbol"]), str(i["exchange"])), mode, depth)
            for i in wanted
            if i.get("symbol") and i.get("exchange")
        ]
        whole = all(row["status"] == "success" for row in rows)
        return _with_id(
            request,
            {
                "type": "subscribe",
                "status": "success" if whole else "partial",
                "subscriptions": rows,
                "message": "Subscription processing complete",
                "broker": BROKER,
            },
        )

    def _subscribe_one(
        self, client: Client, adapter: Adapter, instrument: Instrument, mode: int, depth: object
    ) -> Frame:
        row: Frame = {"symbol": instrument.symbol, "exchange": instrument.exchange}
        contract = self._server.contract(instrument)
        if contract is None:
            why = f"Symbol {instrument.symbol} not found for exchange {instrument.exchange}"
            return row | {"status": "error", "message": why, "broker": BROKER}
        key = (instrument, mode)
        if key not in adapter.tracked:
            if mode == _DEPTH and depth != _DEPTH_LEVEL:
                why = f"Invalid depth level {depth}. Must be {_DEPTH_LEVEL}"
                return row | {"status": "error", "message": why, "broker": BROKER}
            self._upstream.subscribe(adapter, contract, self._server.now())
        held = client.modes.setdefault(instrument, set())
        if mode not in held:
            held.add(mode)
            adapter.tracked[key] = adapter.tracked.get(key, 0) + 1
        return row | {"status": "success", "mode": MODES[mode], "depth": depth, "broker": BROKER}

    def _unsubscribe(self, client: Client, request: Mapping[str, object]) -> Frame:
        if not client.authenticated:
            return _not_authenticated()
        wanted = _symbols(request)
        if not wanted:
            return error("INVALID_PARAMETERS", "Either symbols or unsubscribe_all is required")
        pairs = [
            (Instrument(str(i["symbol"]), str(i["exchange"])), _mode(i.get("mode", _QUOTE)))
            for i in wanted
            if i.get("symbol") and i.get("exchange")
        ]
        return self._unsubscribed(client, request, pairs)

    def _unsubscribe_all(self, client: Client, request: Mapping[str, object]) -> Frame:
        if not client.authenticated:
            return _not_authenticated()
        pairs: list[tuple[Instrument, int | Frame]] = [(i, m) for i, modes in client.modes.items() for m in modes]
        return self._unsubscribed(client, request, pairs)

    def _unsubscribed(
        self, client: Client, request: Mapping[str, object], pairs: list[tuple[Instrument, int | Frame]]
    ) -> Frame:
        if self.adapter is None:
            return _NO_ADAPTER
        done: list[Frame] = []
        for instrument, mode in pairs:
            held = client.modes.get(instrument, set())
            if isinstance(mode, int) and mode in held:
                held.discard(mode)
                if not held:
                    del client.modes[instrument]
                self._forget(instrument, mode)
            # one that never was is reported as done, too
            name = {"symbol": instrument.symbol, "exchange": instrument.exchange}
            done.append({**name, "status": "success", "broker": BROKER})
        return _with_id(
            request,
            {
                "type": "unsubscribe",
                "status": "success",
                "message": "Unsubscription processing complete",
                "successful": done,
                "failed": [],
                "broker": BROKER,
            },
        )

    def _forget(self, instrument: Instrument, mode: int) -> None:
        if self.adapter is None:
            return
        left = self.adapter.tracked.get((instrument, mode), 0) - 1
        if left > 0:
            self.adapter.tracked[instrument, mode] = left
            return
        self.adapter.tracked.pop((instrument, mode), None)
        if not any(i == instrument for i, _ in self.adapter.tracked):
            self.adapter.wanted.pop(instrument, None)

    def _pong(self, client: Client, request: Mapping[str, object]) -> Frame:  # noqa: ARG002 - one signature for all
        pong: Frame = {"type": "pong", "status": "success", "server_timestamp": frames.millis(self._server.now())}
        if "timestamp" in request:
            pong["client_timestamp"] = request["timestamp"]
        if "_pingId" in request:
            pong["_pingId"] = request["_pingId"]
        return pong

    def _broker_info(self, client: Client, request: Mapping[str, object]) -> Frame:  # noqa: ARG002
        if not client.authenticated:
            return _not_authenticated()
        state = "connected" if self.adapter is not None else "disconnected"
        return {
            "type": "broker_info",
            "status": "success",
            "broker": BROKER,
            "adapter_status": state,
            "user_id": USER,
        }

    def _brokers(self, client: Client, request: Mapping[str, object]) -> Frame:  # noqa: ARG002
        brokers = list(frames.BROKERS)
        return {"type": "supported_brokers", "status": "success", "brokers": brokers, "count": len(brokers)}

    def _orders_on(self, client: Client, request: Mapping[str, object]) -> Frame:
        return self._orders(client, request, on=True)

    def _orders_off(self, client: Client, request: Mapping[str, object]) -> Frame:
        return self._orders(client, request, on=False)

    @staticmethod
    def _orders(client: Client, request: Mapping[str, object], *, on: bool) -> Frame:
        if not client.authenticated:
            return _not_authenticated()
        client.orders = on
        action, says = ("subscribe", "Subscribed to") if on else ("unsubscribe", "Unsubscribed from")
        return _with_id(request, {"type": f"{action}_orders", "status": "success", "message": f"{says} order updates"})

    _ACTIONS: ClassVar[Mapping[str, Handler]] = {
        "authenticate": _authenticate,
        "auth": _authenticate,
        "subscribe": _subscribe,
        "unsubscribe": _unsubscribe,
        "unsubscribe_all": _unsubscribe_all,
        "ping": _pong,
        "get_broker_info": _broker_info,
        "get_supported_brokers": _brokers,
        "subscribe_orders": _orders_on,
        "unsubscribe_orders": _orders_off,
    }


def _not_authenticated() -> Frame:
    return error("NOT_AUTHENTICATED", "You must authenticate first")


def _with_id(request: Mapping[str, object], frame: Frame) -> Frame:
    return {**frame, "request_id": request["request_id"]} if "request_id" in request else frame


def _symbols(request: Mapping[str, object]) -> list[Mapping[str, object]]:
    """The list of items, or the short form with one symbol beside the action."""
    listed = request.get("symbols")
    if isinstance(listed, list):
        return [item for item in listed if isinstance(item, dict)]
    return [request] if request.get("symbol") and request.get("exchange") else []


def _mode(value: object) -> int | Frame:
    """The mode as a number, or the error that names it."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value in MODES:
            return value
        return error("INVALID_MODE", f"Invalid mode {value}; expected 1 (LTP), 2 (Quote), or 3 (Depth)")
    for number, label in MODES.items():
        if isinstance(value, str) and value.lower() == label.lower():
            return number
    return error("INVALID_MODE", f"Invalid mode {value!r}; expected 'LTP', 'Quote', or 'Depth' (case-insensitive)")
