"""Alerts: what is wrong, since when, and when a person is told.

`decide(alerts, cause, now)` returns what a cause changes; the shell stores each change and tells those with `tell`.
One principle bounds the noise: the last word told is never better than the truth, and a person is told again only when that
word has become wrong. So a flap is announced once and then keeps silent until it is stable or gets worse.
"""

from runbook.alert.causes import (
    BotMoved,
    CalendarDoubt,
    Cause,
    ConfigDoubt,
    FeedMoved,
    FeedWord,
    JobSettled,
    LoginDue,
    ModeLeak,
    NotFlat,
    ReadyReached,
    SymbolStale,
    Tick,
)
from runbook.alert.lifecycle import (
    FLAP_WINDOW,
    STABLE,
    Alert,
    AlertChange,
    AlertState,
    ChangeKind,
    Entry,
    Notice,
    decide,
    fingerprint,
)
from runbook.alert.message import delayed_line, message_for
from runbook.alert.rules import RULES, AlertRule, Severity

__all__ = [
    "FLAP_WINDOW",
    "RULES",
    "STABLE",
    "Alert",
    "AlertChange",
    "AlertRule",
    "AlertState",
    "BotMoved",
    "CalendarDoubt",
    "Cause",
    "ChangeKind",
    "ConfigDoubt",
    "Entry",
    "FeedMoved",
    "FeedWord",
    "JobSettled",
    "LoginDue",
    "ModeLeak",
    "NotFlat",
    "Notice",
    "ReadyReached",
    "Severity",
    "SymbolStale",
    "Tick",
    "decide",
    "delayed_line",
    "fingerprint",
    "message_for",
]
