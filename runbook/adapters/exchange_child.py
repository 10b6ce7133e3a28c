"""Asks pandas-market-calendars, in a process of its own: requests as JSON on stdin, answers as JSON on stdout.

Started by path from exchange.py and never imported by runbook: the library costs 57 MiB and 700 ms, and what it costs
ends with this process. Imports nothing of runbook, so that it needs no search path but the interpreter's own.
"""

from __future__ import annotations

import difflib
import json
import sys
from importlib import metadata
from typing import Any

_PACKAGES = ("pandas-market-calendars", "exchange-calendars", "pandas", "tzdata")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def main() -> None:
    """Answer one request and end."""
    requests = json.load(sys.stdin)
    answers, sys.stdout = sys.stdout, sys.stderr  # a library that prints must not spoil the answer
    import pandas_market_calendars as library

    known = library.get_calendar_names()
    calendars = []
    for request in requests:
        try:
            calendars.append(_calendar(library, known, **request))
        except Exception as exc:  # noqa: BLE001 - one calendar that the library cannot compute, and its own words why
            calendars.append({"name": request["name"], "error": f"{type(exc).__name__}: {exc}"})
    versions = {package: metadata.version(package) for package in _PACKAGES}
    json.dump({"versions": versions, "calendars": calendars}, answers)


def _calendar(library: Any, known: list[str], name: str, first: str, last: str) -> dict[str, Any]:
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name.upper(), known, 3, 0.5))
        return {"name": name, "error": "no such calendar" + (f"; near it: {near}" if near else "")}
    calendar = library.get_calendar(name)
    table = calendar.schedule(first, last)
    early, late = set(calendar.early_closes(table).index), set(calendar.late_opens(table).index)
    days = []
    for row in table.itertuples():
        edges = [row.market_open, row.market_close]
        if "break_start" in table.columns and row.break_start < row.break_end:
            edges[1:1] = [row.break_start, row.break_end]
        instants = [edge.tz_convert("UTC").isoformat() for edge in edges]
        days.append(
            (
                row.Index.date().isoformat(),
                [instants[i : i + 2] for i in range(0, len(instants), 2)],
                _special(row.Index in late, row.Index in early),
            )
        )
    week = [i for i, day in enumerate(_WEEKDAYS) if day in str(calendar.weekmask)]
    holidays = _holidays(calendar, first, last)
    return {"name": name, "zone": str(calendar.tz), "week": week, "days": days, "holidays": holidays}


def _holidays(calendar: Any, first: str, last: str) -> list[tuple[str, str]]:
    """The closures the library has a name for; those it keeps as bare dates have none."""
    rules = calendar.regular_holidays
    if rules is None or not rules.rules:
        return []
    return [(day.date().isoformat(), str(name)) for day, name in rules.holidays(first, last, return_name=True).items()]


def _special(late: bool, early: bool) -> str:
    if late and early:
        return "special hours"
    return "late open" if late else "early close" if early else ""


if __name__ == "__main__":
    main()
