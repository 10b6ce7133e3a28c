"""A paper bot for rehearsals: it trades on command, keeps the CSV log a real bot would, and lies in it when told to."""

from __future__ import annotations

import csv
import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from runbook.clock import Clock
from runbook.errors import RunbookError, UsageError
from runbook.market import Instrument
from runbook.simulator.prints import stamp
from runbook.simulator.simulator import Simulator

Plant = Literal["missing_at_gateway", "missing_in_log", "price", "quantity"]
COLUMNS = ("order_id", "symbol", "exchange", "action", "qty", "fill_price", "timestamp", "strategy")
STRATEGY = "rehearsal-bot"
_BUDGET = 10.0  # real seconds for one call
_WRONG_BY = 1.01  # a planted price is one per cent off


class BotRefused(RunbookError):
    """OpenAlgo refused the bot's order."""


@dataclass(frozen=True, slots=True)
class BotTrade:
    """One row of the bot's log; `planted` names the lie in it, `logged` is False for the row that was left out."""

    order_id: str
    symbol: str
    exchange: str
    action: str
    qty: int
    fill_price: float
    timestamp: str
    strategy: str
    planted: Plant | None = None
    logged: bool = True


class RehearsalBot:
    """Places market orders over HTTP, or with `local=True` fills them itself at the simulator's price.

    `plant` is a queue: each trade takes the next lie, until none is left. The log is appended to; IST, like the guide's.
    """

    def __init__(
        self,
        sim: Simulator,
        log_path: Path,
        clock: Clock,
        *,
        local: bool = False,
        plant: Sequence[Plant] = (),
        strategy: str = STRATEGY,
    ) -> None:
        strange = [p for p in plant if p not in get_args(Plant)]
        if strange:
            raise UsageError(f"the bot cannot plant {strange[0]!r}; it can plant {', '.join(get_args(Plant))}")
        self._sim = sim
        self._log = log_path
        self._clock = clock
        self._local = local
        self._plant = list(plant)
        self._strategy = strategy
        self.trades: list[BotTrade] = []

    def trade(self, symbol: str, exchange: str, action: str, qty: int, product: str = "MIS") -> BotTrade:
        """Trade at the market and log it; BotRefused when OpenAlgo says no."""
        planted = self._plant.pop(0) if self._plant else None
        number = len(self.trades) + 1
        if self._local:
            order_id, price = f"PAPER_{number}", self._price(symbol, exchange)
        elif planted == "missing_at_gateway":
            order_id, price = f"{self._clock.now():%y%m%d}{99_000_000 + number}", self._price(symbol, exchange)
        else:
            order_id, price = self._order(symbol, exchange, action, qty, product)
        done = BotTrade(
            order_id,
            symbol,
            exchange,
            action,
            qty * 2 if planted == "quantity" else qty,
            round(price * _WRONG_BY, 2) if planted == "price" else price,
            stamp(self._clock.now()),
            self._strategy,
            planted,
            logged=planted != "missing_in_log",
        )
        self.trades.append(done)
        if done.logged:
            self._write(done)
        return done

    def _price(self, symbol: str, exchange: str) -> float:
        return self._sim.price(Instrument(symbol, exchange))

    def _order(self, symbol: str, exchange: str, action: str, qty: int, product: str) -> tuple[str, float]:
        ticket = {
            "strategy": self._strategy,
            "symbol": symbol,
            "exchange": exchange,
            "action": action,
            "quantity": qty,
            "pricetype": "MARKET",
            "product": product,
        }
        order_id = str(self._post("placeorder", ticket).get("orderid"))
        row = self._post("orderstatus", {"strategy": self._strategy, "orderid": order_id}).get("data")
        if not isinstance(row, dict) or row.get("order_status") != "complete":
            raise BotRefused(f"order {order_id} is {row.get('order_status') if isinstance(row, dict) else row!r}")
        return order_id, float(row["average_price"])

    def _post(self, path: str, fields: dict[str, object]) -> dict[str, object]:
        where = urlsplit(self._sim.rest_url)
        line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_BUDGET)
        try:
            body = json.dumps({"apikey": self._sim.api_key, **fields})
            line.request("POST", f"/api/v1/{path}", body, {"Content-Type": "application/json"})
            answer = line.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise BotRefused(f"{path}: no answer from OpenAlgo ({error!r})") from error
        finally:
            line.close()
        try:
            said = json.loads(text)
        except ValueError as error:
            raise BotRefused(f"{path}: HTTP {answer.status}, not JSON: {text[:80]!r}") from error
        if not isinstance(said, dict) or said.get("status") != "success":
            raise BotRefused(f"{path}: HTTP {answer.status}: {said.get('message') if isinstance(said, dict) else said}")
        return said

    def _write(self, done: BotTrade) -> None:
        fresh = not self._log.exists() or self._log.stat().st_size == 0
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", newline="", encoding="utf-8") as file:
            log = csv.writer(file)
            if fresh:
                log.writerow(COLUMNS)
            log.writerow([getattr(done, column) for column in COLUMNS])
