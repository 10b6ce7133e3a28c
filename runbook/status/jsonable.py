"""The status as plain values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runbook.remedy import as_json
from runbook.report.asked import ask_json, pause_json
from runbook.report.delivery import alert_parts
from runbook.report.layout import plain
from runbook.status.facts import StatusFacts
from runbook.status.reasons import ATTENTION, GREEN, NO_DAEMON, exit_code, reasons
from runbook.status.text import exchange_words


def status_json(facts: StatusFacts) -> dict[str, Any]:
    """The status as plain values; null is not known.

    now; exit; state: ok | attention | no daemon; reasons; exchange: {name, status, text, open, close}; mode;
    daemon: {alive, pid, host, since, heartbeat, heartbeat_age, epoch, said: what it says of itself} or null;
    session: the date of the steps; steps: [{job, slot, repeating, planned, planned_last, rows, ran, ok, missed, skipped,
    failed, waiting, state, newest, started, took, reason, hint}]; alerts: [{number, rule, severity, title, state, since,
    acked, acked_by, acked_at, muted}];
    actions: [{number, name, cause, argv, by, did, exit_code, verify, reason, output, started, ended}];
    asks, pauses: as in report.asked; unsent; next: {date, open, close, login, name, reason, remarks}; calendar: {known_until, days}; notes.
    """
    zone, session = facts.calendar.zone, facts.session

    def iso(at: datetime | None) -> str | None:
        return at.astimezone(zone).isoformat() if at else None

    coming = facts.coming
    lease = facts.lease
    parts = alert_parts(facts.alerts, (), zone)
    rules = {(a.opened_at, a.number): a.rule for a in facts.alerts}
    seen = {(a.opened_at, a.number): a.acked for a in facts.alerts}
    return {
        "now": iso(facts.now),
        "exit": exit_code(facts),
        "state": {GREEN: "ok", ATTENTION: "attention", NO_DAEMON: "no daemon"}[exit_code(facts)],
        "reasons": reasons(facts),
        "exchange": {
            "name": facts.calendar.exchange,
            "status": facts.calendar.day(facts.today).status.value,
            "text": exchange_words(facts),
            "open": iso(session.open) if session else None,
            "close": iso(session.close) if session else None,
        },
        "mode": plain(facts.mode) or None,
        "daemon": {
            "alive": facts.alive,
            "pid": lease.pid,
            "host": lease.host,
            "since": iso(lease.since),
            "heartbeat": iso(lease.renewed),
            "heartbeat_age": (facts.now - lease.renewed).total_seconds(),
            "epoch": lease.epoch,
            "said": dict(lease.data),
        }
        if lease
        else None,
        "session": facts.day.day.date.isoformat() if facts.day else None,
        "steps": [
            {
                "job": s.job,
                "slot": s.slot,
                "repeating": s.repeating,
                "planned": iso(s.first),
                "planned_last": iso(s.last),
                "rows": s.rows,
                "ran": s.ran,
                "ok": s.ok,
                "missed": s.missed,
                "skipped": s.skipped,
                "failed": s.broken,
                "waiting": s.waiting,
                "state": s.state,
                "newest": s.newest,
                "started": iso(s.started),
                "took": s.took,
                "reason": s.reason,
                "hint": s.hint,
            }
            for s in facts.steps
        ],
        "alerts": [
            {
                "number": p.number,
                "rule": rules[p.opened, p.number],
                "severity": p.severity,
                "title": p.title,
                "state": p.state,
                "since": iso(p.opened),
                "acked": bool(seen[p.opened, p.number]),
                "acked_by": p.acked_by or None,
                "acked_at": iso(p.acked),
                "muted": p.muted or None,
            }
            for p in parts
        ],
        "actions": [
            as_json(one) | {"started": iso(one.started), "ended": iso(one.ended)}
            for one in (facts.day.actions if facts.day else ())
        ],
        "asks": [ask_json(ask, zone) for ask in facts.asks],
        "pauses": [pause_json(pause, zone) for pause in facts.pauses],
        "unsent": facts.unsent,
        "next": {
            "date": coming.day.isoformat() if coming.day else None,
            "open": iso(coming.open),
            "close": iso(coming.close),
            "login": iso(coming.login),
            "name": coming.name or None,
            "reason": coming.reason or None,
            "remarks": list(coming.remarks),
        },
        "calendar": {
            "known_until": facts.calendar.known_until.isoformat(),
            "days": (facts.calendar.known_until - facts.today).days,
        },
        "notes": [plain(note) for note in facts.notes],
    }
