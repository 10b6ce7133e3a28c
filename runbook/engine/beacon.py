"""The beacon: a keeper that tells the outside, from the engine's own turn, that the turn still comes.

It stands last in the turn. Who gets there has renewed its lease within seconds, has read the clock, and has found nothing that
hangs: that alone may feed a watchdog. A thread of its own would prove only itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

from runbook import heartbeat
from runbook.alert import AlertState
from runbook.engine.courier import MILESTONES, PING, Courier
from runbook.job import JobSpec
from runbook.session import SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look


class Beacon:
    """Feeds systemd's watchdog each turn, the outside's each minute, and writes down the day's milestones."""

    def __init__(
        self,
        alive: Callable[[str], None],
        calendar: Callable[[], SessionCalendar],
        jobs: Sequence[JobSpec],
        courier: Courier | None = None,
        *,
        pings: Collection[str] = (),
    ) -> None:
        self._alive = alive
        self._calendar = calendar
        self._jobs = jobs
        self._courier = courier
        self._pings = PING in pings
        self._milestones = MILESTONES in pings
        self._pinged: datetime | None = None
        self._status = ""
        self._said: tuple[date, frozenset[heartbeat.Word]] | None = None  # as the ledger has it

    def next(self, books: Books, now: datetime) -> datetime | None:  # noqa: ARG002 - a Keeper's form
        """The next minute's ping, or the next milestone that time alone brings."""
        marks = [now if self._pinged is None else max(now, self._pinged + heartbeat.EVERY)]
        if self._milestones and (coming := heartbeat.foreseen(self._calendar(), self._jobs, now)):
            marks.append(coming)
        return min(marks)

    def due(self, store: Look, now: datetime) -> None:
        """Say that this turn came about; never blocks."""
        calendar = self._calendar()
        if self._milestones:
            self._mark(store, calendar, now)
        if heartbeat.due(self._pinged, now):
            self._minute(store, calendar, now)
            self._pinged = now
        self._alive(self._status)

    def _minute(self, store: Look, calendar: SessionCalendar, now: datetime) -> None:
        with store.read() as books:
            alerts = sum(a.state is AlertState.OPEN for a in books.alerts.unresolved())
            unsent, coming = books.alerts.unsent(), books.ledger.next_due(now)
        said = heartbeat.stand(calendar, now, coming=coming, alerts=alerts, undelivered=unsent)
        self._status = f"{calendar.exchange} {said['state']}; {alerts} open alerts, {unsent} messages undelivered"
        if self._courier is not None and self._pings:
            self._courier.ping(json.dumps(said))

    def _mark(self, store: Look, calendar: SessionCalendar, now: datetime) -> None:
        assert self._courier is not None
        today = calendar.today(now)
        with store.read() as books:
            if self._said is None or self._said[0] != today:
                self._said = today, books.milestones.words(today)
            read = partial(books.ledger.states, today)
            word = heartbeat.milestone(calendar, read, self._jobs, self._said[1], now)
        if word is None:
            return
        with store.write() as books:
            books.milestones.owe(word, now)
        self._said = today, self._said[1] | {word.word}
        self._courier.owed()
