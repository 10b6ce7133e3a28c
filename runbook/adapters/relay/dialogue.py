"""What is said between the relay and one client, without a socket: a request goes in, the frames of the answer come out."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from runbook.adapters.relay.frames import (
    BROKERS,
    DEPTH,
    MODES,
    QUOTE,
    UNKNOWN,
    USER,
    Frame,
    dumps,
    error,
    feed_status,
    market_data,
    millis,
    named,
)
from runbook.feed.price import FeedStatus, Wall, of_instrument
from runbook.feed.state import State
from runbook.market import Instrument
from runbook.symbols import EXCHANGES

Request = Mapping[str, object]
Wanted = Callable[[tuple[Instrument, ...]], object]

MOST_SYMBOLS = 200
_DEPTH_LEVEL = 5
_LONGEST_NAME = 64
_NO_SYMBOLS = error("INVALID_PARAMETERS", "At least one symbol must be specified")
_NO_DEPTH = "Depth is not relayed: runbook carries last prices; subscribe to Depth at OpenAlgo itself"
_NO_ORDERS = "Order updates are not relayed: runbook carries prices; subscribe to them at OpenAlgo itself"


@dataclass(slots=True)
class House:
    """What all clients of one relay share. `wanted` asks the feed for instruments it does not watch; None: it cannot."""

    key: bytes = field(repr=False)
    state: Callable[[], State | None]
    wall: Wall
    now: Callable[[], datetime]
    status: FeedStatus
    wanted: Wanted | None = None
    most: int = MOST_SYMBOLS
    clients: list[Dialogue] = field(default_factory=list)

    @property
    def broker(self) -> str:
        return self.status.broker or UNKNOWN

    def followed(self) -> set[Instrument]:
        """What any client asked for."""
        return {i for client in self.clients for i in client.modes}

    def ask_again(self) -> None:
        """Ask the feed for what clients want and it does not watch: it may have begun another session."""
        self.ask(sorted(self.followed()))

    def ask(self, instruments: Sequence[Instrument]) -> None:
        state = self.state()
        missing = tuple(i for i in instruments if state is None or i not in state.ticks)
        if missing and self.wanted is not None:
            self.wanted(missing)

    def refusal(self, instrument: Instrument) -> str | None:
        """OpenAlgo's refusal in its own words, or None while there is none."""
        state = self.state()
        if instrument.exchange in EXCHANGES and (state is None or instrument not in state.link.refused):
            return None
        return f"Symbol {instrument.symbol} not found for exchange {instrument.exchange}"

    def why_not(self, instrument: Instrument, mode: int, followed: set[Instrument]) -> str | None:
        """Why a client that asks for `instrument` cannot have it, or None."""
        if (refused := self.refusal(instrument)) is not None:
            return refused
        if mode == DEPTH:
            return _NO_DEPTH
        state = self.state()
        watched = () if state is None else state.ticks
        if instrument in watched:
            return None
        if instrument not in followed and len(followed.union(watched)) >= self.most:
            return f"runbook watches at most {self.most} symbols, its own and all clients' together: it has as many"
        if self.wanted is None and state is not None:
            return f"runbook does not watch {instrument}: add it to `symbols:` in its config.yaml"
        return None


class Dialogue:
    """One client's conversation. `modes` holds what it subscribed, `changes` counts how often that changed."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.authenticated = False
        self.modes: dict[Instrument, set[int]] = {}
        self.changes = 0

    def hear(self, message: str | bytes) -> list[str]:
        """The frames a message is answered with: the reply, and after a subscription what the feed has for it."""
        try:
            request = json.loads(message)
            if not isinstance(request, dict):
                return [dumps(error("SERVER_ERROR", f"'{type(request).__name__}' object has no attribute 'get'"))]
            action = request.get("action") or request.get("type")
            answer = self._ACTIONS.get(action) if isinstance(action, str) else None
            if answer is None:
                return [dumps(error("INVALID_ACTION", f"Invalid action: {action!s:.60}"))]
            return answer(self, request)
        except (ValueError, RecursionError):  # in it, or in what of it is to be echoed (1e999 reads as infinity)
            return [dumps(error("INVALID_JSON", "Invalid JSON message"))]

    # -- who are you ---------------------------------------------------------------------------------------------------

    def _authenticate(self, request: Request) -> list[str]:
        key = request.get("api_key") or request.get("apikey")
        if not key:
            return [dumps(error("AUTHENTICATION_ERROR", "API key is required"))]
        if not isinstance(key, str) or not hmac.compare_digest(key.encode(errors="replace"), self._house.key):
            return [dumps(error("AUTHENTICATION_ERROR", "Invalid API key"))]
        self.authenticated = True
        features = {"ltp": True, "quote": False, "depth": False}  # of a quote only the price and the volume
        return [
            dumps(
                {
                    "type": "auth", "status": "success", "message": "Authentication successful",
                    "broker": self._house.broker, "user_id": USER, "supported_features": features,
                }
            )
        ]  # fmt: skip

    # -- subscribe -----------------------------------------------------------------------------------------------------

    def _subscribe(self, request: Request) -> list[str]:
        if not self.authenticated:
            return [_NOT_AUTHENTICATED]
        mode = _mode(request.get("mode", QUOTE))
        if isinstance(mode, dict):
            return [dumps(mode)]
        wanted = _symbols(request)
        if not wanted:
            return [dumps(_NO_SYMBOLS)]
        house = self._house
        named_in_it = [i for item in wanted if (i := _instrument(item)) is not None]
        faults: dict[Instrument, str | None] = {}
        followed = house.followed()
        for instrument in named_in_it:
            faults[instrument] = why = house.why_not(instrument, mode, followed)
            if why is None:
                followed.add(instrument)
        house.ask([i for i, why in faults.items() if why is None])
        rows: list[Frame] = []
        taken: list[Instrument] = []
        for instrument in named_in_it:
            why = faults[instrument] or house.refusal(instrument)  # it may have been asked for just now
            if why is not None:
                rows.append({**named(instrument), "status": "error", "message": why, "broker": house.broker})
                continue
            taken.append(instrument)
            self.modes.setdefault(instrument, set()).add(mode)
            rows.append(
                {
                    **named(instrument), "status": "success", "mode": MODES[mode],
                    "depth": request.get("depth", _DEPTH_LEVEL), "broker": house.broker,
                }
            )  # fmt: skip
        self.changes += bool(taken)
        whole = all(row["status"] == "success" for row in rows)
        frame: Frame = {
            "type": "subscribe", "status": "success" if whole else "partial", "subscriptions": rows,
            "message": "Subscription processing complete", "broker": house.broker,
        }  # fmt: skip
        return [dumps(_with_id(request, frame)), feed_status(house.status), *self._newest(taken)]

    def _newest(self, instruments: Sequence[Instrument]) -> list[str]:
        """What the feed trusts now: a symbol that trades once a minute is not to begin with a minute of nothing."""
        house = self._house
        state = house.state()
        if state is None:
            return []
        found = (of_instrument(state, i, house.wall) for i in instruments)
        return [market_data(p, max(self.modes[p.instrument]), house.broker) for p in found if p is not None]

    # -- unsubscribe ---------------------------------------------------------------------------------------------------

    def _unsubscribe(self, request: Request) -> list[str]:
        if not self.authenticated:
            return [_NOT_AUTHENTICATED]
        wanted = _symbols(request)
        if not wanted:
            return [dumps(error("INVALID_PARAMETERS", "Either symbols or unsubscribe_all is required"))]
        pairs = []
        for item in wanted:
            if (instrument := _instrument(item)) is not None:
                mode = _mode(item.get("mode", QUOTE))
                pairs.append((instrument, mode if isinstance(mode, int) else 0))
        return self._unsubscribed(request, pairs)

    def _unsubscribe_all(self, request: Request) -> list[str]:
        if not self.authenticated:
            return [_NOT_AUTHENTICATED]
        return self._unsubscribed(request, [(i, m) for i, modes in self.modes.items() for m in modes])

    def _unsubscribed(self, request: Request, pairs: Sequence[tuple[Instrument, int]]) -> list[str]:
        done: list[Frame] = []
        for instrument, mode in pairs:
            held = self.modes.get(instrument, set())
            held.discard(mode)
            if not held:
                self.modes.pop(instrument, None)
            # one that never was is reported as done, too
            done.append({**named(instrument), "status": "success", "broker": self._house.broker})
        self.changes += 1
        frame: Frame = {
            "type": "unsubscribe", "status": "success", "message": "Unsubscription processing complete",
            "successful": done, "failed": [], "broker": self._house.broker,
        }  # fmt: skip
        return [dumps(_with_id(request, frame))]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def _pong(self, request: Request) -> list[str]:
        pong: Frame = {"type": "pong", "status": "success", "server_timestamp": millis(self._house.now())}
        if "timestamp" in request:
            pong["client_timestamp"] = request["timestamp"]
        if "_pingId" in request:
            pong["_pingId"] = request["_pingId"]
        return [dumps(pong)]

    def _broker_info(self, _request: Request) -> list[str]:
        """The adapter is connected exactly while the feed has a side whose prices can be trusted."""
        if not self.authenticated:
            return [_NOT_AUTHENTICATED]
        stands = "connected" if self._house.status.source is not None else "disconnected"
        return [
            dumps(
                {
                    "type": "broker_info", "status": "success", "broker": self._house.broker,
                    "adapter_status": stands, "user_id": USER,
                }
            )
        ]  # fmt: skip

    def _brokers(self, _request: Request) -> list[str]:
        return [dumps({"type": "supported_brokers", "status": "success", "brokers": BROKERS, "count": len(BROKERS)})]

    def _orders(self, _request: Request) -> list[str]:
        if not self.authenticated:
            return [_NOT_AUTHENTICATED]
        return [dumps(error("INVALID_ACTION", _NO_ORDERS))]

    _ACTIONS: ClassVar[Mapping[str, Callable[[Dialogue, Request], list[str]]]] = {
        "authenticate": _authenticate,
        "auth": _authenticate,
        "subscribe": _subscribe,
        "unsubscribe": _unsubscribe,
        "unsubscribe_all": _unsubscribe_all,
        "ping": _pong,
        "get_broker_info": _broker_info,
        "get_supported_brokers": _brokers,
        "subscribe_orders": _orders,
        "unsubscribe_orders": _orders,
    }


_NOT_AUTHENTICATED = dumps(error("NOT_AUTHENTICATED", "You must authenticate first"))


def _with_id(request: Request, frame: Frame) -> Frame:
    return {**frame, "request_id": request["request_id"]} if "request_id" in request else frame


def _symbols(request: Request) -> list[Request]:
    """The list of items, or the short form with one symbol beside the action."""
    listed = request.get("symbols")
    if isinstance(listed, list):
        return [item for item in listed if isinstance(item, dict)]
    return [request] if request.get("symbol") and request.get("exchange") else []


def _instrument(item: Request) -> Instrument | None:
    """The instrument an item names; None for one that lacks a name or an exchange, which is passed over in silence."""
    symbol, exchange = item.get("symbol"), item.get("exchange")
    if not symbol or not exchange:
        return None
    return Instrument(str(symbol)[:_LONGEST_NAME], str(exchange)[:_LONGEST_NAME])


def _mode(value: object) -> int | Frame:
    """The mode as a number, or the error that names it."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value in MODES:
            return value
        return error("INVALID_MODE", f"Invalid mode {value}; expected 1 (LTP), 2 (Quote), or 3 (Depth)")
    for number, label in MODES.items():
        if isinstance(value, str) and value.lower() == label.lower():
            return number
    return error("INVALID_MODE", f"Invalid mode {value!r:.60}; expected 'LTP', 'Quote', or 'Depth' (case-insensitive)")
