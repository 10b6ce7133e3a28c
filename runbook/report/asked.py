"""What people were asked and held back in a session: in lines for a screen, and as JSON."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.ask import Ask
from runbook.pause import Pause
from runbook.report.layout import WIDTH, clock, plain, wrap


def ask_lines(ask: Ask, zone: ZoneInfo) -> list[str]:
    """One ask for a terminal: while it is open all that a person needs to answer it, afterwards how it ended."""
    until = f", until {clock(ask.deadline, zone, _day(ask.asked, zone))}" if ask.open and ask.deadline else ""
    state = f"open since {clock(ask.asked, zone)}{until}" if ask.open else ask_words(ask, zone)
    head = wrap(f"{ask.name} of {ask.session}: {state}", WIDTH, f"#{ask.number}  ")
    rest = ask.lines(zone) if ask.open else [ask.question]
    return head + [line for text in rest for line in wrap(text, WIDTH, "    ", "      ")]


def ask_words(ask: Ask, zone: ZoneInfo) -> str:
    """`asked 08:45, done, said cli:asha (note) at 08:50; verify_broker found ok: ...`."""
    asked = f"asked {clock(ask.asked, zone)}"
    if ask.open:
        by = f" until {clock(ask.deadline, zone, _day(ask.asked, zone))}, then {ask.default}" if ask.deadline else ""
        return f"{asked}, OPEN{by}"
    at = f" at {clock(ask.at, zone, _day(ask.asked, zone))}" if ask.at else ""
    looked = f"; looked at again: {plain(ask.verified)}" if ask.verified else ""
    return f"{asked}, {plain(ask.ending)}{at}{looked}"


def pause_words(pause: Pause, zone: ZoneInfo, now: datetime) -> str:
    """`verify_broker paused by cli:asha until 10:30: reason`."""
    what = "every step" if pause.job == "all" else pause.job
    return f"{what} {plain(pause.words(zone, now))}"


def ask_json(ask: Ask, zone: ZoneInfo) -> dict[str, Any]:
    """number, kind, session, name, slot, state, question, choices, default, seen, how, link, contact, evidence, evidence_hash,
    asked, deadline, answer, by, at, note, verify, verified.
    """
    return {
        "number": ask.number,
        "kind": str(ask.kind),
        "session": ask.session.isoformat(),
        "name": ask.name,
        "slot": ask.slot,
        "state": str(ask.state),
        "question": ask.question,
        "choices": list(ask.choices),
        "default": ask.default,
        "seen": ask.seen or None,
        "how": list(ask.how),
        "link": ask.link or None,
        "contact": ask.contact or None,
        "evidence": dict(ask.evidence),
        "evidence_hash": ask.hash,
        "asked": _iso(ask.asked, zone),
        "deadline": _iso(ask.deadline, zone),
        "answer": ask.answer,
        "by": ask.by or None,
        "at": _iso(ask.at, zone),
        "note": ask.note or None,
        "verify": ask.verify,
        "verified": ask.verified or None,
    }


def pause_json(pause: Pause, zone: ZoneInfo) -> dict[str, Any]:
    """job, since, until, reason, by, ended, ended_by."""
    return {
        "job": pause.job,
        "since": _iso(pause.since, zone),
        "until": _iso(pause.until, zone),
        "reason": pause.reason,
        "by": pause.by,
        "ended": _iso(pause.ended, zone),
        "ended_by": pause.ended_by or None,
    }


def _iso(at: datetime | None, zone: ZoneInfo) -> str | None:
    return at.astimezone(zone).isoformat() if at else None


def _day(at: datetime, zone: ZoneInfo) -> date:
    return at.astimezone(zone).date()
