"""Pauses: a step, or all of them, held back for maintenance, by whom, until when and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

ALL = "all"


@dataclass(frozen=True, slots=True)
class Pause:
    """One word of a person. `job` may be ALL; `until` None: until it is resumed; `ended` when somebody did."""

    job: str
    since: datetime
    until: datetime | None
    reason: str
    by: str
    ended: datetime | None = None
    ended_by: str = ""
    number: int | None = field(default=None, compare=False)

    def holds(self, at: datetime) -> bool:
        """True while the pause is in force."""
        return self.since <= at and (self.ended is None or at < self.ended) and (self.until is None or at < self.until)

    def meets(self, first: datetime, last: datetime) -> bool:
        """True when the pause is in force at some time from `first` to `last`."""
        over = (end for end in (self.ended, self.until) if end is not None)
        return self.since <= last and all(first < end for end in over)

    def covers(self, job: str) -> bool:
        return self.job in (job, ALL)

    def words(self, zone: ZoneInfo, now: datetime) -> str:
        """`paused by cli:asha until 10:30: the broker's maintenance`."""
        return f"paused by {self.by} {self.span(zone, now)}: {self.reason}"

    def span(self, zone: ZoneInfo, now: datetime) -> str:
        """`until 10:30`, with the date where it is not today's; `until it is resumed`."""
        if self.until is None:
            return "until it is resumed"
        local = self.until.astimezone(zone)
        return (
            f"until {local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"until {local:%Y-%m-%d %H:%M}"
        )


def pause_of(pauses: Iterable[Pause], job: str, at: datetime) -> Pause | None:
    """The pause that holds `job` back at `at`; that of the job itself before that of all."""
    held = [p for p in pauses if p.covers(job) and p.holds(at)]
    return min(held, key=lambda p: p.job == ALL, default=None)
