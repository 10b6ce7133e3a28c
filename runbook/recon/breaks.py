"""The breaks: what can be wrong between two books, how bad each is, and an id that survives a shuffled file."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from runbook.recon.leg import Leg


class Severity(StrEnum):
    """BLOCK stands in the way of going live, WARN wants a look, INFO is said and no more."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 is the worst: the order of every list of breaks."""
        return (Severity.BLOCK, Severity.WARN, Severity.INFO).index(self)


class BreakCode(StrEnum):
    """What is wrong, in the desk's words (design/reconciliation.md 3.2); the rest of that table is still to be built."""

    MISSING_AT_GATEWAY = "missing_at_gateway"
    MISSING_AT_BOT = "missing_at_bot"
    DUPLICATE = "duplicate"
    SIDE = "side"
    QTY = "qty"
    PRICE = "price"
    SYMBOL_MAP = "symbol_map"
    MODE_LEAK = "mode_leak"
    OUT_OF_RANGE = "out_of_range"
    NO_TICKS = "no_ticks"
    OUT_OF_SESSION = "out_of_session"
    SQUAREOFF = "squareoff"
    SOURCE_UNAVAILABLE = "source_unavailable"

    @property
    def severity(self) -> Severity:
        match self:
            case BreakCode.PRICE | BreakCode.SYMBOL_MAP | BreakCode.SQUAREOFF:
                return Severity.WARN
            case BreakCode.NO_TICKS:
                return Severity.INFO
        return Severity.BLOCK

    def counted(self, number: int) -> str:
        """So many of them as a clause: "2 missing at the gateway"."""
        plural = "" if number == 1 else "s"
        return {
            BreakCode.MISSING_AT_GATEWAY: f"{number} missing at the gateway",
            BreakCode.MISSING_AT_BOT: f"{number} missing at the bot",
            BreakCode.DUPLICATE: f"{number} duplicate{plural}",
            BreakCode.SIDE: f"{number} side break{plural}",
            BreakCode.QTY: f"{number} quantity break{plural}",
            BreakCode.PRICE: f"{number} price break{plural}",
            BreakCode.SYMBOL_MAP: f"{number} symbol{plural} not resolved",
            BreakCode.MODE_LEAK: f"{number} mode leak{plural}",
            BreakCode.OUT_OF_RANGE: f"{number} outside the recorded prices",
            BreakCode.NO_TICKS: f"{number} without recorded prices",
            BreakCode.OUT_OF_SESSION: f"{number} outside the session",
            BreakCode.SQUAREOFF: f"{number} squared off by the gateway",
            BreakCode.SOURCE_UNAVAILABLE: f"{number} source{plural} not readable",
        }[self]


@dataclass(frozen=True, slots=True)
class Break:
    """One difference with both sides of it; the side that has nothing is None.

    `about` names what has no leg: a book, an order, a position. `explanation` says in one sentence what is seen.
    """

    id: str
    code: BreakCode
    severity: Severity
    about: str
    explanation: str
    bot: Leg | None = None
    gateway: Leg | None = None

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Worst first, then by code and name: the same list whatever the order of the rows."""
        return (self.severity.rank, self.code, self.about, self.id)

    def to_facts(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "code": self.code.value,
            "severity": self.severity.value,
            "about": self.about,
            "explanation": self.explanation,
            "bot": self.bot.to_facts() if self.bot else None,
            "gateway": self.gateway.to_facts() if self.gateway else None,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Break:
        return cls(
            id=facts["id"],
            code=BreakCode(facts["code"]),
            severity=Severity(facts["severity"]),
            about=facts["about"],
            explanation=facts["explanation"],
            bot=Leg.from_facts(facts["bot"]) if facts["bot"] else None,
            gateway=Leg.from_facts(facts["gateway"]) if facts["gateway"] else None,
        )


def leg_break(
    session: date,
    code: BreakCode,
    explanation: str,
    *,
    bot: Leg | None = None,
    gateway: Leg | None = None,
    severity: Severity | None = None,
) -> Break:
    """A break of legs; its id holds the session, the code, the symbol, the side and the order id, or time, qty and price."""
    leg = bot or gateway
    if leg is None:
        raise ValueError("a break of legs has at least one leg")
    # With both sides there, their ids agree or neither can be trusted: the bot's own is the one the trader can search for.
    mark = leg.order_id or _values(leg)
    text = f"{session}|{code}|{leg.instrument.symbol}|{leg.side}|{mark}"
    name = str(leg.instrument) if leg.resolved else leg.instrument.symbol
    return Break(_digest(text), code, severity or code.severity, name, explanation, bot, gateway)


def source_break(
    session: date, code: BreakCode, about: str, explanation: str, *, mark: str = "", gateway: Leg | None = None
) -> Break:
    """A break of something that is no leg: a book, the mode switch, an order or a position; `mark` tells two apart."""
    return Break(_digest(f"{session}|{code}|{about}|{mark}"), code, code.severity, about, explanation, gateway=gateway)


def numbered(breaks: Iterable[Break]) -> tuple[Break, ...]:
    """The breaks in their order, each with an id of its own: the second of two that cannot be told apart is counted."""
    seen: Counter[str] = Counter()
    out = []
    for found in sorted(breaks, key=lambda b: b.order):
        seen[found.id] += 1
        repeat = seen[found.id]
        out.append(found if repeat == 1 else replace(found, id=_digest(f"{found.id}|{repeat}")))
    return tuple(sorted(out, key=lambda b: b.order))


def _values(leg: Leg) -> str:
    stamp = f"{leg.at.timestamp():.0f}" if leg.at else "-"
    return f"{stamp}|{leg.quantity}|{leg.price.quantize(Decimal('0.0001'))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
