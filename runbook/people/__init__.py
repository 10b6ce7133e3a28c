"""What people say to runbook, on the command line or on the phone: one function each, one sentence as its answer.

Each takes an open transaction, so that what is said is in the ledger or is not; none needs a live daemon.
"""

from runbook.people.alerts import ack, silence, unsilence

__all__ = ["ack", "silence", "unsilence"]
