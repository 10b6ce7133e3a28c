"""The desk's own statements about an exchange, over the library's sessions: what a day is, and who says so.

fields   how times, dates and zones are written
sheet    one file of calendar/ as frozen types
schema   the same format for editors
merge    all files -> a Timetable per exchange
days     Timetable + the library's sessions -> SessionCalendar
changes  stored calendar, new calendar -> what changed in the past
"""

from runbook.timetable.changes import changed_past
from runbook.timetable.days import Library, LibraryDay, build
from runbook.timetable.fields import DayTime, Window, day_time
from runbook.timetable.merge import Said, Timetable, merge
from runbook.timetable.schema import schema, schema_text
from runbook.timetable.sheet import CalendarFile, Closed, Hours, Layer, Phases, Sheet, Special, parse

__all__ = [
    "CalendarFile",
    "Closed",
    "DayTime",
    "Hours",
    "Layer",
    "Library",
    "LibraryDay",
    "Phases",
    "Said",
    "Sheet",
    "Special",
    "Timetable",
    "Window",
    "build",
    "changed_past",
    "day_time",
    "merge",
    "parse",
    "schema",
    "schema_text",
]
