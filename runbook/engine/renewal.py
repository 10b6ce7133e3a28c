"""The calendar's renewal: resolved anew when a file, the day or the week says so, beside the turn, since it takes seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook.alert import CalendarDoubt, Severity
from runbook.almanac import Why
from runbook.engine.alerting import Alerting
from runbook.engine.parts import CalendarNews, Parts
from runbook.errors import RunbookError

if TYPE_CHECKING:
    from runbook.adapters.store import Books

log = logging.getLogger(__name__)


class Renewal:
    """At most one at a time; what became of it is posted, and recorded in its turn."""

    def __init__(self, parts: Parts, alerting: Alerting, post: Callable[[CalendarNews], None]) -> None:
        self._p = parts
        self._alerting = alerting
        self._post = post
        self._on = False

    def begin(self, now: datetime) -> None:
        """Renew it if it is time to; never blocks."""
        why = None if self._on else self._p.calendar_due(now)
        if why is not None:
            self._on = True
            self._p.spawn(lambda: self._renew(now, why), "calendar")

    def _renew(self, now: datetime, why: Why) -> None:
        try:
            self._p.calendar_renew(now, why)
            news = CalendarNews(why)
        except RunbookError as exc:
            news = CalendarNews(why, str(exc), exc.hint or "")
        except Exception as exc:
            log.exception("renewing the calendar failed")
            news = CalendarNews(why, f"{type(exc).__name__}: {exc}")
        self._post(news)

    def record(self, books: Books, news: CalendarNews, now: datetime, today: date) -> None:
        """What it came to, for the alerts."""
        level = logging.ERROR if news.fault else logging.INFO
        log.log(level, "calendar, since %s: %s", news.why, news.fault or "resolved")
        over, hint = not news.fault, news.hint
        doubt = CalendarDoubt("stale", today, reason=news.fault, severity=Severity.WARNING, hint=hint, over=over)
        self._alerting.decide(books, [doubt], now, today)

    def recorded(self) -> None:
        """What `record` wrote is committed: the next may begin."""
        self._on = False
