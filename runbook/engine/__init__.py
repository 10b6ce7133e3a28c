"""The engine: it turns the agenda into runs, runs into rows, rows into alerts and messages.

parts      what it is made of, and what it is told
planner    calendar and jobs -> the agenda in the ledger; what may start now
takeover   what a starting engine finds of the one before it
alerting   causes -> alert changes -> outbox rows, in one transaction
asking     opens questions to people, and closes them
watch      what the passing of time alone brings
loop       the turn: record, renew, plan, claim, run, settle
"""

from runbook.engine.loop import Engine
from runbook.engine.parts import Alarm, BotNews, CalendarNews, FeedNews, FeedTotals, Parts

__all__ = ["Alarm", "BotNews", "CalendarNews", "Engine", "FeedNews", "FeedTotals", "Parts"]
