"""What a person says, wherever it was said: the command line and the phone call the same functions.

Each takes the books of an open transaction, its arguments, `actor` ("cli:NAME", "telegram:USERID") and `now`, and gives one
sentence for that person, or raises UsageError with a hint. None needs the daemon: the ledger is the truth, and the engine
looks into it at each turn.

alerts    acknowledgement, silences
asks      answers to what was asked; look again
holding   pause, resume, skip
when      "until when" as people write it
evidence  what an open ask rests on now
"""

from runbook.people.alerts import ack, silence, unsilence
from runbook.people.asks import answer, recheck
from runbook.people.holding import pause, resume, skip
from runbook.people.when import parse_until

__all__ = ["ack", "answer", "parse_until", "pause", "recheck", "resume", "silence", "skip", "unsilence"]
