"""What the parts of the daemon ask it for: how the feed stands, the report, what is held back, what is wrong."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.app import site
from runbook.config import Config
from runbook.session import Session, SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.store import Store
    from runbook.monitor import Watching
    from runbook.report import Report


def feed(watching: Watching) -> dict[str, Any]:
    """The feed as the lease keeps it for the screens; seconds, and null for what is not known."""
    from runbook.feed.view import view

    said: dict[str, Any] = {"running": watching.running, "mode": str(watching.mode)}
    if watching.state is None:
        return said
    seen = view(watching.state, watching.at)
    return said | {
        "source": str(seen.source) if seen.source else None, "mode_for": round(seen.mode_for, 1),
        "link": str(seen.link), "subscribed": watching.state.link.subscribed_at is not None,
        "fault": seen.link_fault.reason if seen.link_fault else None,
        "symbols": {
            v.instrument.symbol: {"ws": v.ws_ltp, "ws_age": v.ws_age and round(v.ws_age, 1), "rest": v.rest_ltp,
                                  "rest_age": v.rest_age and round(v.rest_age, 1)}
            for v in seen.instruments
        },
    }  # fmt: skip


def report(config: Config, store: Store, calendar: SessionCalendar, session: Session, now: datetime) -> Report:
    """The report of a session from what the ledger knows by `now`."""
    from runbook.report import build

    facts = site.day_facts(store, calendar, session.date)
    return build(facts, calendar, now, config.jobs, config.settings.mode, config.hash)


def keep_report(folder: Path, made: Report) -> str:
    """Write it under `folder`, as text for people and as JSON; gives the name of the first."""
    from runbook.report import render_markdown, to_json

    kept = folder / "reports"
    kept.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".md", render_markdown(made)), (".json", json.dumps(to_json(made), indent=1) + "\n")):
        target = kept / f"{made.date}{suffix}"
        draft = target.with_suffix(suffix + ".new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)  # a reader sees the old report or the new one, never half of one
    return f"reports/{made.date}.md"


def held_back(store: Store, calendar: SessionCalendar, now: datetime) -> list[str]:
    """What a person paused, a line each."""
    from runbook.report.asked import pause_words

    with store.read() as books:
        return [pause_words(pause, calendar.zone, now) for pause in books.pauses.held(now)]


def open_alerts(store: Store) -> list[str]:
    """The titles of what is wrong when READY is to be said."""
    with store.read() as books:
        held = books.alerts.unresolved()
    # READY is said because the broker is verified; that alert ends with the same run.
    return [alert.title for alert in held if alert.rule != "broker.not_verified"]
