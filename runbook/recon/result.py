"""What goes into a reconciliation, and what comes out: the books read, and the result as one frozen value."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from runbook.ports import Fill, GatewayMode, Order, PositionBook
from runbook.recon.breaks import Break, BreakCode, Severity

WIDTH = 60  # columns of a line on a phone


class DeclaredMode(StrEnum):
    """What the bot is declared to do (`mode:` in config.yaml), and so where its trades should be found."""

    LOCAL_PAPER = "local_paper"
    ANALYZER = "analyzer"
    LIVE = "live"

    @property
    def expected(self) -> GatewayMode:
        """Where OpenAlgo's switch should stand. A bot that fills paper itself leaves the gateway live, and empty."""
        return GatewayMode.ANALYZE if self is DeclaredMode.ANALYZER else GatewayMode.LIVE


class Verdict(StrEnum):
    """What was found. EMPTY is not CLEAN: nothing was traded, so nothing was proved."""

    CLEAN = "clean"
    BREAKS = "breaks"
    EMPTY = "empty"
    UNVERIFIABLE = "unverifiable"  # no price of any leg could be held against recorded ticks
    INCOMPLETE = "incomplete"  # a source could not be read


@dataclass(frozen=True, slots=True)
class Books:
    """The gateway's books just as the port answered; None where one could not be read, which is never an empty book.

    `mode` is the switch asked for by itself. `faults` say why a book is None: ("trade book", "BrokerTokenDead: ...").
    """

    mode: GatewayMode | None
    orders: tuple[GatewayMode, tuple[Order, ...]] | None
    trades: tuple[GatewayMode, tuple[Fill, ...]] | None
    positions: PositionBook | None
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def tags(self) -> tuple[tuple[str, GatewayMode], ...]:
        """Each mode that was seen, and where: the switch may be thrown between two answers."""
        found = (
            ("mode switch", self.mode),
            ("order book", self.orders[0] if self.orders else None),
            ("trade book", self.trades[0] if self.trades else None),
            ("position book", self.positions.mode if self.positions else None),
        )
        return tuple((where, mode) for where, mode in found if mode is not None)

    @property
    def unread(self) -> tuple[tuple[str, str], ...]:
        """The books that could not be read, each with its reason."""
        why = dict(self.faults)
        books = (("order book", self.orders), ("trade book", self.trades), ("position book", self.positions))
        return tuple((name, why.get(name, "it was not read")) for name, book in books if book is None)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The result of one session. Counts are None where they are unknown: a book that was not read has no number of rows.

    `matched` counts the bot's legs that found their counterpart, with or without a differing field; it is None under
    local paper, where nothing is matched. `judged` legs were to be held against the recorded ticks; `covered` of them
    could be, `by_day` of those only against the whole day's range since their stamps are late.
    """

    session: date
    mode: DeclaredMode
    gateway_mode: GatewayMode | None
    verdict: Verdict
    bot_legs: int | None
    gateway_legs: int | None
    matched: int | None
    judged: int
    covered: int
    by_day: int
    breaks: tuple[Break, ...]
    notes: tuple[str, ...]
    tolerances: str

    def count(self, severity: Severity) -> int:
        return sum(1 for b in self.breaks if b.severity is severity)

    @property
    def leaks(self) -> tuple[Break, ...]:
        """What is to be paged at once: rows in a book where the declared mode allows none."""
        return tuple(b for b in self.breaks if b.code is BreakCode.MODE_LEAK)

    def summary(self) -> str:
        """One sentence: "3 of 4 legs matched; 1 missing at the gateway; ticks cover 4 of 4"."""
        parts = [self._legs()]
        counts = Counter(b.code for b in self.breaks)
        worst_first = sorted(counts, key=lambda code: (code.severity.rank, list(BreakCode).index(code)))
        # Legs without ticks are what the coverage at the end says.
        parts += [code.counted(counts[code]) for code in worst_first if code is not BreakCode.NO_TICKS]
        if self.judged:
            grade = f" ({self.by_day} by the day's range only)" if self.by_day else ""
            parts.append(f"ticks cover {self.covered} of {self.judged}{grade}")
        return "; ".join(parts)

    def lines(self, most: int = 5) -> list[str]:
        """The result for the report, no line over 60 columns; at most `most` breaks are told in full, the worst first."""
        out = _wrap(f"Reconciliation ({self.mode}): {self.verdict.upper()}") + _wrap(self.summary(), "  ")
        told = [b for b in self.breaks if b.code is not BreakCode.NO_TICKS]  # the coverage has said those
        for found in told[:most]:
            name = found.code.replace("_", " ")
            out += _wrap(f"- {found.severity}: {name}, {found.about}: {found.explanation}", hanging="  ")
        if len(told) > most:
            out.append(f"- and {len(told) - most} more")
        for note in self.notes:
            out += _wrap(f"note: {note}", "  ", hanging="    ")
        return out + _wrap(f"tolerances: {self.tolerances}", "  ", hanging="    ")

    def to_facts(self) -> dict[str, Any]:
        """The result as JSON; `from_facts` gives the same value back."""
        return {
            "session": self.session.isoformat(),
            "mode": self.mode.value,
            "gateway_mode": self.gateway_mode.value if self.gateway_mode else None,
            "verdict": self.verdict.value,
            "bot_legs": self.bot_legs,
            "gateway_legs": self.gateway_legs,
            "matched": self.matched,
            "judged": self.judged,
            "covered": self.covered,
            "by_day": self.by_day,
            "breaks": [found.to_facts() for found in self.breaks],
            "notes": list(self.notes),
            "tolerances": self.tolerances,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Reconciliation:
        return cls(
            session=date.fromisoformat(facts["session"]),
            mode=DeclaredMode(facts["mode"]),
            gateway_mode=GatewayMode(facts["gateway_mode"]) if facts["gateway_mode"] else None,
            verdict=Verdict(facts["verdict"]),
            bot_legs=facts["bot_legs"],
            gateway_legs=facts["gateway_legs"],
            matched=facts["matched"],
            judged=facts["judged"],
            covered=facts["covered"],
            by_day=facts["by_day"],
            breaks=tuple(Break.from_facts(found) for found in facts["breaks"]),
            notes=tuple(facts["notes"]),
            tolerances=facts["tolerances"],
        )

    def _legs(self) -> str:
        if self.verdict is Verdict.EMPTY:
            return "no trades on either side"
        if self.bot_legs is None:
            theirs = f", the gateway has {self.gateway_legs}" if self.gateway_legs else ""
            return f"the bot's legs are unknown{theirs}"
        legs = _plural(self.bot_legs, "leg")
        if self.mode is DeclaredMode.LOCAL_PAPER:
            return f"{legs} filled by the bot itself"
        return f"{legs}, not matched" if self.matched is None else f"{self.matched} of {legs} matched"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _wrap(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
    )
