"""Growth: how large the ledger becomes, foretold from what a session makes it write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from runbook.job import JobSpec
from runbook.session import Session
from runbook.trigger import firings

# Bytes of a row in SQLite's pages, its share of the indexes and of half-empty pages included; measured over a month of days.
BYTES: Mapping[str, int] = MappingProxyType(
    {"occurrence": 197, "attempt": 286, "feed_sample": 488, "outbox": 512, "feed_event": 560}
)
_MESSAGES = 2  # READY and the report: what a day without trouble says, on each channel
_CHANGES = 3  # of the feed's mode: armed, live, off
_BEFORE = timedelta(minutes=15)  # the pre-open, of which there are samples too


@dataclass(frozen=True, slots=True)
class Growth:
    """The rows that one session adds to each table."""

    rows: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """What they take in the file, to about a tenth."""
        return sum(count * BYTES[table] for table, count in self.rows.items())


def of_session(jobs: Sequence[JobSpec], session: Session, channels: int) -> Growth:
    """What a session without trouble writes; each failure, outage and repeated try adds its few rows."""
    due = sum(len(firings(job.trigger, session)) for job in jobs)
    minutes = (session.close - session.open + _BEFORE) // timedelta(minutes=1)
    rows = {
        "occurrence": due, "attempt": due, "feed_sample": minutes, "outbox": _MESSAGES * channels, "feed_event": _CHANGES,
    }  # fmt: skip
    return Growth(rows)
