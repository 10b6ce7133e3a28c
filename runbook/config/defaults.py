"""The shipped jobs: what `jobs:` holds before the operator says a word. The figures are for index options in India."""

from __future__ import annotations

from typing import Any

JOBS: tuple[dict[str, Any], ...] = (
    {
        "name": "calendar_check",
        "run": "jobs.calendar_check:check",
        "at": ["open-120m"],
        "latest_start": "close",
        "deadline": "open-60m",
        "timeout": "60s",
    },
    {
        # The trader logs in to the broker by hand each morning: look quietly each minute until he has. Again just before
        # the open, since a token can be alive at 07:30 and dead at 09:00.
        "name": "verify_broker",
        "run": "jobs.verify_broker:verify",
        "at": ["open-60m", "open-10m"],
        "repeat_until_ok": "1m",
        "latest_start": "close-15m",
        "deadline": "open-5m",  # not open-10m: the second look begins there, and must have its minutes
        "timeout": "20s",
        "alert": {"severity": "critical"},
    },
    {
        "name": "start_feed",
        "run": "jobs.start_feed:start",
        "at": ["open-15m"],
        "repeat_until_ok": "1m",
        "latest_start": "close-15m",
        "deadline": "open-2m",
        "timeout": "20s",
        "resident": True,
        "alert": {"severity": "critical"},
    },
    {
        "name": "check_feed",
        "run": "jobs.check_feed:check",
        "every": "30s",
        "from": "open-10m",
        "until": "close",
        "timeout": "10s",
    },
    {
        # Books show the current session only, and the gateway's day ends at 03:00: past that it cannot be made up for.
        "name": "reconcile_paper",
        "run": "jobs.reconcile_paper:reconcile",
        "at": ["close+10m"],
        "latest_start": "close+11h",
        "deadline": "close+25m",
        "timeout": "60s",
    },
    {
        "name": "report_day",
        "run": "jobs.report_day:report",
        "at": ["close+30m"],
        "after": ["reconcile_paper"],
        "deadline": "close+60m",
        "timeout": "60s",
        "catch_up_sessions": 5,
    },
    {
        # Last of the day, so that the report is in the copy.
        "name": "backup_db",
        "run": "jobs.backup_db:backup",
        "at": ["close+45m"],
        "after": ["report_day"],
        "deadline": "close+90m",
        "timeout": "120s",
    },
)
