"""Decide and tell: a cause becomes alert changes and outbox rows, in the transaction that the caller holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook.alert import FLAP_WINDOW, Alert, AlertChange, Cause, ChangeKind, Notice, decide
from runbook.alert.muting import mute
from runbook.alert.quiet import Hours
from runbook.session import Session, SessionCalendar
from runbook.teller import Voice, rows_for

if TYPE_CHECKING:
    from runbook.adapters.store import Books


class Alerting:
    """The voice of the engine. `session_of` gives the session of a day; `positions` what is open, None if not known."""

    def __init__(
        self,
        voice: Voice,
        session_of: Callable[[date], Session | None],
        positions: Callable[[], str | None],
        calendar: Callable[[], SessionCalendar],
    ) -> None:
        self.voice = voice
        self._session_of = session_of
        self._positions = positions
        self._calendar = calendar
        self._spoke = False

    def spoke(self) -> bool:
        """Whether anything was put into the outbox since this was last asked."""
        spoke, self._spoke = self._spoke, False
        return spoke

    @property
    def hours(self) -> Hours:
        return Hours(self._calendar(), self.voice.policy.around)

    def decide(
        self,
        books: Books,
        causes: Sequence[Cause],
        now: datetime,
        day: date,
        to: Sequence[str] | None = None,
        *,
        asked: bool = False,
    ) -> None:
        """Take each cause in turn; what it changes is stored, and told where it is to be told.

        `asked`: a person waits for the answer, so that no hour is quiet.
        """
        for cause in causes:
            held = books.alerts.held(now - FLAP_WINDOW)
            if changes := decide(held, cause, now):
                self.tell(books, [_meant_for(c, to) for c in changes], held, now, day, to, asked=asked)

    def notice(
        self,
        books: Books,
        notice: Notice,
        now: datetime,
        day: date,
        to: Sequence[str] | None = None,
        *,
        asked: bool = False,
    ) -> None:
        """Tell a piece of news once; its key makes it so."""
        self.tell(books, [AlertChange(ChangeKind.NOTICE, now, notice, tell=True)], (), now, day, to, asked=asked)

    def tell(
        self,
        books: Books,
        changes: Sequence[AlertChange],
        held: Sequence[Alert],
        now: datetime,
        day: date,
        to: Sequence[str] | None = None,
        *,
        asked: bool = False,
    ) -> None:
        """Store `changes` of the alerts `held`, and put into the outbox what of them is to be told."""
        silences, known = books.silences.holding(now), {a.key: a for a in held}
        told: list[AlertChange] = []
        for change in changes:  # one after the other, since one may be kept back because of the one before it
            (done,) = books.alerts.apply(mute([change], list(known.values()), silences, now), day)
            known |= {done.key: done.alert} if done.alert else {}
            told.append(done)
        changes = told
        if not any(c.tell for c in changes):
            return
        session = self._session_of(day)
        over = [c.key for c in changes if c.tell and c.kind is ChangeKind.RESOLVED]
        heard = {key: set[str]() for key in over} | {
            key: {row.channel for row in rows} for key, rows in books.alerts.by_key(over).items()
        }
        quiet = self.voice.policy.quiet and not asked and not self.hours.loud(now)
        rows = rows_for(
            changes, self.voice, now, session.close if session else None, self._positions(), to,
            heard=heard, wakes=self.hours.wakes(now) if quiet else None,
        )  # fmt: skip
        if books.alerts.enqueue(rows, day):
            self._spoke = True


def _meant_for(change: AlertChange, to: Sequence[str] | None) -> AlertChange:
    """The change with the channels of its alert in it: what is said later of it goes to the same people."""
    alert = change.alert
    if to is None or alert is None or alert.to is not None:
        return change
    return replace(change, subject=replace(alert, to=tuple(to)))
