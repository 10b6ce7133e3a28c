"""Reconciliation of a session: the bot's log, the gateway's books and the recorded ticks. It reports, never repairs.

A leg is one execution (leg.py); the passes pair the legs of both sides (pairing.py); the ticks judge their prices
(ranges.py); what differs is a break (breaks.py); match.py joins them into one result (result.py). The roll-forward of
positions, sums over several fills without an order id, and the life of a break over days have their place beside these.
"""

from runbook.recon.breaks import Break, BreakCode, Severity
from runbook.recon.leg import Leg, LegSource, RowFault, Side, TimeQuality, TradeLog
from runbook.recon.match import reconcile
from runbook.recon.pnl import DayPnl, OpenPosition, pnl_from_legs, pnl_from_positions
from runbook.recon.ranges import PriceRange, PriceRanges, Tolerances
from runbook.recon.result import Books, DeclaredMode, Reconciliation, Verdict

__all__ = [
    "Books",
    "Break",
    "BreakCode",
    "DayPnl",
    "DeclaredMode",
    "Leg",
    "LegSource",
    "OpenPosition",
    "PriceRange",
    "PriceRanges",
    "Reconciliation",
    "RowFault",
    "Severity",
    "Side",
    "TimeQuality",
    "Tolerances",
    "TradeLog",
    "Verdict",
    "pnl_from_legs",
    "pnl_from_positions",
    "reconcile",
]
