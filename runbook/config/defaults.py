"""What `jobs:` and `asks:` hold before the operator says a word. The figures are for index options in India."""

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

# The manual steps of the guide. None is asked by the clock: on a day without a fault nobody hears of them. The first in this
# order whose finding holds is asked, and no second one beside it.
ASKS: tuple[dict[str, Any], ...] = (
    {
        "name": "restart_openalgo",
        "when": ["gateway_down"],
        "question": "Does OpenAlgo run again? It does not answer, or its stream server does not.",
        "how": [
            "on OpenAlgo's host: systemctl status UNIT -n 50, and journalctl -u UNIT -n 100 for why it stopped",
            "sudo systemctl restart UNIT: it holds the stream server, there is no second unit for that",
            "still down: see who listens on its ports (ss -ltnp), and whether the disk is full (df -h)",
            "log in to the broker again on the dashboard, if it asks for it",
        ],
        "contact": "OpenAlgo: support@openalgo.io, or the help page of the dashboard",
        "default": "not_done",
        "verify": "verify_broker",
    },
    {
        # Asked once for a site: a session in which ticks came has answered it as well.
        "name": "plan_includes_streaming",
        "when": ["ticks_never_came"],
        "question": "Does the broker's plan include streaming? The broker is verified, yet no session ever had ticks.",
        "how": [
            "in the broker's account, under its API or market data plan: is WebSocket streaming in it, and not used up?",
            "on OpenAlgo's dashboard: is the broker shown as Connected?",
            "when it is in the plan: log in to the broker again, so that the link is made anew",
        ],
        "contact": "the broker's support for API and WebSocket",
        "default": "not_done",
        "verify": "verify_broker",
        "once": True,
    },
    {
        "name": "broker_login",
        "when": ["broker_refused", "feed_mute"],
        "question": "Is somebody logged in to the broker, 2FA included?",
        "how": [
            "on OpenAlgo's dashboard: log in to the broker (user, PIN, the code of the authenticator)",
            "see that it shows Connected; around a login the list of symbols is loaded anew, which takes a minute",
            "refused: see on the broker's own page if 2FA waits for approval, and if the API key is still valid",
        ],
        "contact": "the broker's support for API and login",
        "default": "not_done",
        "verify": "verify_broker",
    },
)
