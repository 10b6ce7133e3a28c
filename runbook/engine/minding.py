"""The minder: what the passing of time brings to open alerts: reminders, the next channels, the end of a silence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from runbook.alert import FLAP_WINDOW, Alert, AlertChange, AlertState
from runbook.alert.escalation import climb, climb_at
from runbook.alert.muting import release, release_at
from runbook.alert.reminding import remind, reminder_at, unack
from runbook.engine.alerting import Alerting

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look

_Step = Callable[["Books", Sequence[Alert], datetime], list[AlertChange]]


class Minder:
    """Asks the ledger alone, so that it makes no difference which process a person spoke to, or when this one began."""

    def __init__(self, alerting: Alerting) -> None:
        self._alerting = alerting
        self._steps: tuple[_Step, ...] = (
            lambda _books, alerts, now: unack(alerts, now, self._alerting.hours),
            lambda books, alerts, now: release(alerts, books.silences.holding(now), now),
            lambda _books, alerts, now: remind(alerts, now, self._alerting.hours),
            self._climb,
        )

    def next(self, books: Books, now: datetime) -> datetime | None:
        """When the next reminder, call or release is due."""
        if not (alerts := self._open(books, now)):
            return None
        voice, hours = self._alerting.voice, self._alerting.hours
        rows = books.alerts.by_key(_keys(alerts))
        coming = [reminder_at(a, hours) for a in alerts]
        coming += [climb_at(alerts, rows, voice.policy, voice.channels, now)]
        coming += [release_at(alerts, books.silences.holding(now), now)]
        coming += [hours.wakes(now)] if any(a.acked for a in alerts) else []
        return min((at for at in coming if at is not None and at > now), default=None)

    def due(self, store: Look, now: datetime) -> None:
        """Do what is due; each step sees what the one before it changed."""
        with store.read() as books:
            alerts = self._open(books, now)
            if not alerts or not any(step(books, alerts, now) for step in self._steps):
                return
        day = self._alerting.hours.calendar.today(now)
        with store.write() as books:
            for step in self._steps:
                alerts = books.alerts.held(now - FLAP_WINDOW)
                if changes := step(books, alerts, now):
                    self._alerting.tell(books, changes, alerts, now, day)

    @staticmethod
    def _open(books: Books, now: datetime) -> Sequence[Alert]:
        """What is to be minded, with what is just over beside it; nothing when nothing is open, as on most days."""
        if not any(a.state is AlertState.OPEN for a in books.alerts.unresolved()):
            return ()
        return books.alerts.held(now - FLAP_WINDOW)

    def _climb(self, books: Books, alerts: Sequence[Alert], now: datetime) -> list[AlertChange]:
        voice = self._alerting.voice
        return climb(alerts, books.alerts.by_key(_keys(alerts)), voice.policy, voice.channels, now)


def _keys(alerts: Sequence[Alert]) -> tuple[str, ...]:
    return tuple(a.key for a in alerts if a.state is AlertState.OPEN)
