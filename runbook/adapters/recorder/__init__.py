"""Recorded ticks: one small SQLite file for each session, written by a thread of its own and read by reconciliation."""

from runbook.adapters.recorder.form import STEPS, packed_file, session_file
from runbook.adapters.recorder.reading import Recorded, RecordedTicks
from runbook.adapters.recorder.shelf import Tidied, recorded_days, tidy, tidy_aside, unpack
from runbook.adapters.recorder.writing import Recorder

__all__ = [
    "STEPS",
    "Recorded",
    "RecordedTicks",
    "Recorder",
    "Tidied",
    "packed_file",
    "recorded_days",
    "session_file",
    "tidy",
    "tidy_aside",
    "unpack",
]
