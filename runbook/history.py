"""The last sessions, a line each: a mark, and what it was made of. Each line is cut out of that session's report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from runbook.day import DayFacts
from runbook.job import JobSpec
from runbook.report import Report, Stage, Word, build
from runbook.report.layout import short_day, table
from runbook.report.steps import own
from runbook.session import SessionCalendar
from runbook.spans import share

# One character a day; only what was seen to be clean is a plus.
MARKS = {
    Word.CLEAN: "+", Word.QUIET: "o", Word.ATTENTION: "!", Word.UNKNOWN: "?", Word.CLOSED: "-", Word.AHEAD: ".",
}  # fmt: skip
LEGEND = "+ clean   o quiet, nothing traded   ! attention   ? unknown   . not begun"
_NO_DATA = "no data"


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One session. None is no data: `steps_total` None when the ledger has no row, `fallbacks` when nobody watched."""

    date: date
    verdict: Word
    so_far: bool
    steps_ok: int | None
    steps_total: int | None
    on_websocket: float | None  # seconds
    promised: float | None
    fallbacks: int | None
    reconciliation: str | None
    alerts: int | None
    sentence: str

    @property
    def mark(self) -> str:
        return MARKS[self.verdict]


def history_rows(
    days: Iterable[DayFacts], calendar: SessionCalendar, now: datetime, jobs: Sequence[JobSpec], mode: str
) -> tuple[HistoryRow, ...]:
    """A row for each day, the newest first."""
    reports = [build(facts, calendar, now, jobs, mode, "") for facts in days]
    return tuple(sorted((history_row(report) for report in reports), key=lambda row: row.date, reverse=True))


def history_row(report: Report) -> HistoryRow:
    """The line of one session. Steps count once they are due; the row that writes the report does not."""
    steps = [s for s in report.steps if not own(s, report.stage)]
    shares = report.feed.shares
    recon = report.trades.reconciliation
    return HistoryRow(
        date=report.date,
        verdict=report.headline.word,
        so_far=report.stage is Stage.RUNNING,
        steps_ok=sum(s.ok for s in steps) if steps else None,
        steps_total=sum(s.rows - s.waiting for s in steps) if steps else None,
        on_websocket=shares.websocket if shares else None,
        promised=shares.promised if shares else None,
        fallbacks=len(report.feed.fallbacks) if report.feed.outages is not None else None,
        reconciliation=recon.verdict.value if recon else None,
        alerts=len(report.alerts) if steps or report.alerts else None,
        sentence=report.headline.sentence,
    )


def render_history(rows: Sequence[HistoryRow]) -> str:
    """The rows for a terminal, the newest first, and the marks as one row from the oldest to the newest."""
    if not rows:
        return "no session in the ledger yet"
    head = ("", "SESSION", "VERDICT", "STEPS OK", "WEBSOCKET", "FALLBACKS", "RECONCILED", "ALERTS")
    marks = "".join(row.mark for row in reversed(rows))
    first, last = short_day(rows[-1].date), short_day(rows[0].date)
    return "\n".join([*table(head, [_cells(row) for row in rows]), "", f"  {first} {marks} {last}", f"  {LEGEND}"])


def _cells(row: HistoryRow) -> list[str]:
    steps = _NO_DATA
    if row.steps_total is not None:
        steps = f"{row.steps_ok or 'none'} of {row.steps_total}" if row.steps_total else "none due"
    feed = _NO_DATA
    if row.on_websocket is not None and row.promised is not None:
        feed = share(row.on_websocket, row.promised) if row.on_websocket else "none"
    return [
        row.mark,
        f"{short_day(row.date)} {row.date.year}",
        f"{row.verdict}{' so far' if row.so_far else ''}",
        steps,
        feed,
        _count(row.fallbacks),
        row.reconciliation or _NO_DATA,
        _count(row.alerts),
    ]


def _count(number: int | None) -> str:
    return _NO_DATA if number is None else str(number) if number else "none"


def history_json(rows: Iterable[HistoryRow]) -> list[dict[str, Any]]:
    """The rows as plain values, null where there is no data.

    date, weekday, mark, verdict, so_far, steps: {ok, total}, feed: {websocket, promised} in seconds, fallbacks,
    reconciliation: clean | breaks | empty | unverifiable | incomplete, alerts, sentence.
    """
    return [
        {
            "date": row.date.isoformat(),
            "weekday": f"{row.date:%A}",
            "mark": row.mark,
            "verdict": row.verdict.value,
            "so_far": row.so_far,
            "steps": {"ok": row.steps_ok, "total": row.steps_total},
            "feed": {"websocket": row.on_websocket, "promised": row.promised},
            "fallbacks": row.fallbacks,
            "reconciliation": row.reconciliation,
            "alerts": row.alerts,
            "sentence": row.sentence,
        }
        for row in rows
    ]
