"""The engine: it turns the agenda into runs, runs into rows, rows into alerts and messages.

parts      what it is made of, and what it is told
planner    calendar and jobs -> the agenda in the ledger; what may start now
attempts   what begins and what has ended, in the ledger, with what follows from it
takeover   what a starting engine finds of the one before it
alerting   causes -> alert changes -> outbox rows, in one transaction
asking     opens questions to people, and closes them
watch      what the passing of time alone brings: hold-downs, deadlines, the morning's login
minding    reminders, the next channels, the end of a silence
channels   a channel that is dead, and one that is back
remedies   an alert that may bring a command about; approvals: a person has to say so
hung       steps left behind in threads that cannot be ended
beacon     last in the turn: systemd and the outside are told that it came about
courier    carries pings and milestones outside, in a thread of its own
renewal    the calendar, resolved anew beside the turn
crew       threads for what takes long, kept for the next
loop       the turn: record, renew, plan, claim, run, settle
"""

from runbook.engine.beacon import Beacon
from runbook.engine.courier import Courier
from runbook.engine.loop import EARLY, Engine
from runbook.engine.parts import Alarm, BotNews, CalendarNews, CauseNews, FeedNews, FeedTotals, Parts

__all__ = [
    "EARLY",
    "Alarm",
    "Beacon",
    "BotNews",
    "CalendarNews",
    "CauseNews",
    "Courier",
    "Engine",
    "FeedNews",
    "FeedTotals",
    "Parts",
]
