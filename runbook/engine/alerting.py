"""Decide and tell: a cause becomes alert changes and outbox rows, in the transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook.alert import FLAP_WINDOW, AlertChange, Cause, ChangeKind, Notice, decide
from runbook.session import Session
from runbook.teller import Voice, rows_for

if TYPE_CHECKING:
    from runbook.adapters.store import Books


class Alerting:
    """The voice of the engine. `session_of` gives the session of a day; `positions` what is open, None if not known."""

    def __init__(
        self, voice: Voice, session_of: Callable[[date], Session | None], positions: Callable[[], str | None]
    ) -> None:
        self._voice = voice
        self._session_of = session_of
        self._positions = positions

    def decide(
        self, books: Books, causes: Sequence[Cause], now: datetime, day: date, to: Sequence[str] | None = None
    ) -> None:
        """Take each cause in turn; what it changes is stored, and told where it is to be told."""
        for cause in causes:
            changes = decide(books.alerts.held(now - FLAP_WINDOW), cause, now)
            if changes:
                self._tell(books, books.alerts.apply(changes, day), now, day, to)

    def notice(self, books: Books, notice: Notice, now: datetime, day: date, to: Sequence[str] | None = None) -> None:
        """Tell a piece of news once; its key makes it so."""
        self._tell(books, [AlertChange(ChangeKind.NOTICE, now, notice, tell=True)], now, day, to)

    def _tell(
        self, books: Books, changes: Sequence[AlertChange], now: datetime, day: date, to: Sequence[str] | None
    ) -> None:
        session = self._session_of(day)
        rows = rows_for(changes, self._voice, now, session.close if session else None, self._positions(), to)
        books.alerts.enqueue(rows, day)
