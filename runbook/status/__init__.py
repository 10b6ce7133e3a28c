"""How things stand now: the headline, what is wrong, the daemon, the day's steps, the next session.

facts      what a status is made of            reasons    why it is not green, and the exit code
text       the screen                          jsonable   the same as plain values
"""

from runbook.status.facts import StatusFacts
from runbook.status.jsonable import status_json
from runbook.status.reasons import ATTENTION, GREEN, NO_DAEMON, exit_code, reasons
from runbook.status.text import exchange_words, render_status

__all__ = [
    "ATTENTION",
    "GREEN",
    "NO_DAEMON",
    "StatusFacts",
    "exchange_words",
    "exit_code",
    "reasons",
    "render_status",
    "status_json",
]
