"""Alerts: what is wrong, since when, and when a person is told.

`decide(alerts, cause, now)` returns what a cause changes; the shell stores each change and tells those with `tell`.

state        what an alert is              lifecycle   pending -> open -> resolved, flaps
rules        the table of what can be wrong            causes      what moves an alert
inhibition   what follows from what        silence     what a person asked not to hear
muting       both, between deciding and telling        quiet       the hours in which only the critical rings
reminding    until somebody acknowledges   escalation  who is called next       message     the words

One principle bounds the noise: the last word told is never better than the truth, and a person is told again only when that
word has become wrong. So a flap is announced once and then keeps silent until it is stable or gets worse.
"""

from runbook.alert.causes import (
    BotMoved,
    CalendarDoubt,
    Cause,
    ChannelMoved,
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
    UplinkMoved,
)
from runbook.alert.escalation import AlertPolicy
from runbook.alert.lifecycle import FLAP_WINDOW, STABLE, decide
from runbook.alert.message import delayed_line, message_for
from runbook.alert.rules import RULES, AlertRule, Severity
from runbook.alert.silence import Pattern, Silence
from runbook.alert.state import LONGEST_WAIT, Alert, AlertChange, AlertState, ChangeKind, Entry, Notice, fingerprint

__all__ = [
    "FLAP_WINDOW",
    "LONGEST_WAIT",
    "RULES",
    "STABLE",
    "Alert",
    "AlertChange",
    "AlertPolicy",
    "AlertRule",
    "AlertState",
    "BotMoved",
    "CalendarDoubt",
    "Cause",
    "ChangeKind",
    "ChannelMoved",
    "ConfigDoubt",
    "Entry",
    "FeedMoved",
    "FeedWord",
    "JobSettled",
    "LoginDue",
    "ModeLeak",
    "NotFlat",
    "Notice",
    "Pattern",
    "ReadyReached",
    "Severity",
    "Silence",
    "SymbolStale",
    "Tick",
    "UplinkMoved",
    "decide",
    "delayed_line",
    "fingerprint",
    "message_for",
]
