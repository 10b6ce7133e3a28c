"""The doctor: asks every hop once, now, and says which one is broken, how that is known, and what a person can do.

`walk` asks (read-only, a handful of calls), `seen` is what came back, `judge` makes a verdict of it, `render` shows it.
"""

from runbook.doctor.judge import Check, Examination, examine
from runbook.doctor.render import as_json, render
from runbook.doctor.seen import Clocks, Daemon, Knock, Line, Reach, RestSeen, Seen, StreamSeen

__all__ = [
    "Check",
    "Clocks",
    "Daemon",
    "Examination",
    "Knock",
    "Line",
    "Reach",
    "RestSeen",
    "Seen",
    "StreamSeen",
    "as_json",
    "examine",
    "render",
]
