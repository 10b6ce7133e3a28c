"""The desk's own statements about an exchange, over the library's sessions: what a day is, and who says so.

sheet   one file of calendar/ as frozen types
merge   all files -> a Timetable per exchange
days    Timetable + the library's sessions -> SessionCalendar
"""

from runbook.timetable.days import Library, LibraryDay, build, resolve
from runbook.timetable.merge import Said, Timetable, merge
from runbook.timetable.sheet import CalendarFile, Closed, Hours, Layer, Phases, Sheet, Special, parse

__all__ = [
    "CalendarFile",
    "Closed",
    "Hours",
    "Layer",
    "Library",
    "LibraryDay",
    "Phases",
    "Said",
    "Sheet",
    "Special",
    "Timetable",
    "build",
    "merge",
    "parse",
    "resolve",
]
