"""What the calendar library answered when somebody last looked, as days that differ from a plain week.

.venv/bin/python tests/library_golden.py     writes tests/truth/library_golden.json anew
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from runbook.adapters.exchange import Answer, Request, fetch
from runbook.timetable import Library

NAMES = ("NSE", "BSE", "XNYS", "XLON", "24/7", "XTAE")  # Tel Aviv: the first where pandas 3.1 went wrong in silence
FIRST, LAST = date(2023, 1, 1), date(2026, 12, 31)
GOLDEN = Path(__file__).parent / "truth" / "library_golden.json"

WHAT_TO_DO = """
  1. Look each day up at the exchange (facts, circulars, its daily files), not in another list.
  2. The new answer is right: state the day in calendar/ if a file there says otherwise, then
     .venv/bin/python tests/library_golden.py, and say so in CHANGELOG.md.
  3. The new answer is wrong: keep the old release in requirements.lock with the reason beside it in pyproject.toml, and
     report it upstream. pandas 3.1 gave Tel Aviv 37 sessions too many in silence: that is what this test is for."""


def ask() -> Answer:
    """One run of the library for all calendars of the golden file."""
    return fetch([Request(name, FIRST, LAST) for name in NAMES])


def hours(library: Library, day: date) -> str:
    """The hours of a session in the exchange's zone, and what the library calls them when they are not its usual ones."""
    found = library.days[day]
    windows = (f"{a.astimezone(library.zone):%H:%M}-{b.astimezone(library.zone):%H:%M}" for a, b in found.intervals)
    return f"{' '.join(windows)} {found.special}".strip()


def answers(library: Library) -> Iterator[tuple[date, str]]:
    """Each day of the exchange's week: its hours, or why it is closed."""
    for day in every_day():
        if day.weekday() in library.week:
            closed = f"closed {library.holidays.get(day, '')}".strip()
            yield day, hours(library, day) if day in library.days else closed


def every_day() -> Iterator[date]:
    return (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))


def compact(library: Library) -> dict[str, Any]:
    """The answers as stretches that begin on a day and hold until the next: a year of plain days is one line."""
    stretches = groupby(answers(library), key=lambda pair: pair[1])
    outside = [day for day in every_day() if day in library.days and day.weekday() not in library.week]
    return {
        "zone": library.zone.key,
        "week": sorted(library.week),
        "from": {str(next(days)[0]): told for told, days in stretches},
        "outside the week": {str(day): hours(library, day) for day in outside},
    }


def spread(golden: dict[str, Any]) -> dict[str, str]:
    """The answer of every day again."""
    told, days = "", dict(golden["outside the week"])
    for day in every_day():
        if day.weekday() in golden["week"]:
            told = golden["from"].get(str(day), told)
            days[str(day)] = told
    return days


def differences(golden: dict[str, Any], answer: Answer) -> list[str]:
    """What the library answers today that it did not answer then, in words."""
    told = []
    for name, then in golden["calendars"].items():
        now = json.loads(json.dumps(compact(answer.libraries[name])))
        told += [f"{name} {key}: {then[key]} -> {now[key]}" for key in ("zone", "week") if then[key] != now[key]]
        before, after = spread(then), spread(now)
        told += [
            f"{name} {day}: {before.get(day, 'no session')} -> {after.get(day, 'no session')}"
            for day in sorted(before.keys() | after.keys())
            if before.get(day) != after.get(day)
        ]
    return told


def complaint(golden: dict[str, Any], answer: Answer) -> str:
    """The differences with the versions on both sides and what to do about them; empty when there are none."""
    told = differences(golden, answer)
    if not told:
        return ""
    versions = [f"  {k}: {golden['versions'].get(k)} -> {v}" for k, v in answer.versions.items()]
    shown = [f"  {line}" for line in told[:40]] + ([f"  and {len(told) - 40} more"] if len(told) > 40 else [])
    return "\n".join([f"the calendar library changed {len(told)} answers:", *shown, "versions:", *versions, WHAT_TO_DO])


def text(answer: Answer) -> str:
    """The golden file: versions, and one line for each stretch so that a change is a short diff."""
    calendars = {name: compact(answer.libraries[name]) for name in NAMES}
    return json.dumps({"versions": dict(answer.versions), "calendars": calendars}, indent=1) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(text(ask()), encoding="utf-8")
