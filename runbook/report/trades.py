"""The day's trades, P&L and reconciliation, out of what the steps left; rows of an older version are survived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from runbook.recon import DayPnl, OpenPosition, Reconciliation
from runbook.recon.leg import shown
from runbook.recon.pnl import money
from runbook.report.layout import cut, plain
from runbook.report.parts import Trades
from runbook.run import Entry, State, Try

JOB = "reconcile_paper"
NOT_YET = "not reconciled yet"
_UNREADABLE = (KeyError, TypeError, ValueError, ArithmeticError, AttributeError)


def trades(entries: Sequence[Entry]) -> Trades:
    """The newest reconciliation of the session; where there is none, why."""
    newest = newest_facts(entries, "reconciliation")
    if newest is None:
        return Trades(None, None, None, _why(entries))
    missing = ""
    recon = pnl = None
    try:
        recon = Reconciliation.from_facts(newest["reconciliation"])
    except _UNREADABLE:
        missing = "the reconciliation was written by another version and cannot be read"
    try:
        pnl = DayPnl.from_facts(newest["pnl"]) if newest.get("pnl") else None
    except _UNREADABLE:
        missing = missing or "the P&L was written by another version and cannot be read"
    legs = newest.get("legs")
    return Trades(legs if isinstance(legs, int) and not isinstance(legs, bool) else None, pnl, recon, missing)


def newest_facts(entries: Sequence[Entry], key: str) -> Mapping[str, Any] | None:
    """The facts of the newest try that left something under `key`, whatever its step is called."""
    tries: list[Try] = [t for entry in entries for t in entry.tries if t.facts and t.facts.get(key)]
    return max(tries, key=lambda t: t.started).facts if tries else None


def _why(entries: Sequence[Entry]) -> str:
    entry = next((e for e in reversed(entries) if e.key.job == JOB), None)
    if entry is None:
        return "not reconciled: the ledger has no such step"
    if entry.state is State.SUCCEEDED:
        return "not reconciled: the step left no result"
    if not entry.state.final:
        return NOT_YET
    return f"not reconciled: {entry.state.replace('_', ' ')}, {cut(plain(entry.reason or 'no reason'), 80)}"


def held(position: OpenPosition) -> str:
    """`-75 NIFTY30DEC2526000CE @ 120.00`."""
    return plain(f"{position.quantity:+d} {position.instrument.symbol} @ {shown(position.average)}")


def amount(pnl: DayPnl) -> tuple[Decimal, str] | None:
    """The one figure to show, and what it is; None when the source gave none."""
    if pnl.total is not None:
        return pnl.total, "in all"
    return None if pnl.realised is None else (pnl.realised, "realised")


def pnl_words(trades: Trades) -> str:
    """The P&L with whose figure it is; what is not known is said as that."""
    if trades.pnl is None:
        if trades.legs == 0:
            return "P&L: none, the bot's log has no trade"
        return "P&L: no data" + (f" ({trades.missing})" if trades.missing else "")
    pnl, figures = trades.pnl, []
    if pnl.total is not None:
        figures.append(f"{money(pnl.total)} in all")
    if pnl.realised is not None and pnl.realised != pnl.total:
        figures.append(f"{money(pnl.realised)} realised")
    return plain(f"P&L {', '.join(figures) or 'no data'}, {pnl.charges} ({pnl.figure_of})")


def open_words(trades: Trades) -> str:
    """What is still open."""
    if trades.pnl is None:
        return "Open: no data" if trades.legs != 0 else "Open: nothing by the bot's log"
    return "Open: " + ("; ".join(held(p) for p in trades.pnl.open_positions) or "nothing")


def legs_words(trades: Trades) -> str:
    """How many executions the bot's log has."""
    if trades.legs is None and trades.missing == NOT_YET:
        return "Trades: no data yet, the bot's log is read after the close"
    if trades.legs is None:
        return "Trades: no data, the bot's log was not read"
    return "Trades: none in the bot's log" if trades.legs == 0 else f"Trades: {trades.legs} in the bot's log"
