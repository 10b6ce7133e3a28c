"""A day as the ledger knows it: the rows that status, history and report are views of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runbook.alert import Alert
    from runbook.ask import Ask
    from runbook.outbox import Row
    from runbook.pause import Pause
    from runbook.remedy import Action
    from runbook.run import Entry
    from runbook.session import Day


@dataclass(frozen=True, slots=True)
class FeedChange:
    """One change of the feed's mode; `evidence` is what it was decided on."""

    at: datetime
    was: str
    now: str
    reason: str
    hint: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedSample:
    """Totals of the feed's session at one minute."""

    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tally:
    """Firings of a repeat that were all well, one after the other, and of which no more is kept than this.

    `first` and `last` are when the first and the last of the `count` began. What stands before and after them in the
    ledger is kept as it was.
    """

    job: str
    first: datetime
    last: datetime
    count: int

    def began(self) -> tuple[datetime, ...]:
        """When each began, were they evenly spread; a repeat's firings are."""
        if self.count == 1:
            return (self.first,)
        apart = (self.last - self.first) / (self.count - 1)
        return tuple(self.first + n * apart for n in range(self.count))


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds the database. `data` is what the daemon last said of itself."""

    holder: str
    pid: int
    host: str
    epoch: int
    since: datetime
    renewed: datetime
    expires: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """Something the command line asked of the daemon."""

    number: int
    kind: str
    data: Mapping[str, Any]
    by: str
    asked: datetime
    answer: str | None


@dataclass(frozen=True, slots=True)
class DayFacts:
    """Everything the ledger knows of one session."""

    day: Day
    entries: tuple[Entry, ...]
    changes: tuple[FeedChange, ...]
    samples: tuple[FeedSample, ...]
    alerts: tuple[Alert, ...]
    messages: tuple[Row, ...]
    rolled: tuple[Tally, ...] = ()
    asks: tuple[Ask, ...] = ()
    pauses: tuple[Pause, ...] = ()
    actions: tuple[Action, ...] = ()
