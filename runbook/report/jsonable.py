"""The report as JSON. Keys are never renamed, only added; times are ISO 8601 with the exchange's offset, spans seconds."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.remedy import as_json
from runbook.report.asked import ask_json, pause_json
from runbook.report.parts import FeedPart, Outage, Report, Step, Told
from runbook.report.trades import open_words


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain values; null is "no data" wherever it stands.

    date, weekday, exchange, mode, config; stage: closed | unknown | not begun | so far | over; until: newest ledger entry;
    verdict: {word: clean | quiet | attention | unknown | closed | not begun, sentence, concerns: [{word, text}]};
    trades: {legs, pnl, open, missing}, pnl as the step kept it ({realised, total, open_positions, figure_of, charges});
    session: {status, name, reason, open, close, intervals, source, confidence, note};
    steps: one per row, a repeat in one: {job, slot, repeating, planned, planned_last, rows, ran, tries, ok, missed,
    skipped, failed, waiting, state, started, took, late_by, ended_late, reason, hint, holes: [{from, to, count}]};
    feed: {mode, shares: {promised, websocket, rest, blind, waiting, still, unwatched, missing}, gaps, longest_gap, fallbacks,
    outages: [{silent_from, doubted, fell, end, back, cause, hint, stretches}], ticks, counts, restarts, bar, until};
    reconciliation: as the step kept it; alerts: [{number, severity, title, what, opened, resolved, reason, state,
    acked, acked_by, note, muted, until_acked, until_resolved,
    messages: [{kind, title, at, channels: [{channel, state, text}]}]}]; notices: messages that belong to no alert;
    actions: [{number, name, cause, argv, by, did, exit_code, verify, reason, output, started, ended}];
    delivery: [{channel, sent, unknown, failed, waiting, merged}]; asks, pauses: as in report.asked; readiness: [{component, seen, evidence}];
    next: {date, weekday, name, open, close, login, reason, remarks}.
    """
    zone, day, session, coming = report.zone, report.day, report.day.session, report.next
    trades = report.trades
    return {
        "date": report.date.isoformat(),
        "weekday": f"{report.date:%A}",
        "exchange": report.exchange,
        "mode": report.mode,
        "config": report.config,
        "stage": report.stage.value,
        "until": _iso(report.until, zone),
        "verdict": {
            "word": report.headline.word.value,
            "sentence": report.headline.sentence,
            "concerns": [{"word": c.word.value, "text": c.text} for c in report.headline.concerns],
        },
        "trades": {
            "legs": trades.legs,
            "pnl": trades.pnl.to_facts() if trades.pnl else None,
            "open": open_words(trades).removeprefix("Open: "),
            "missing": trades.missing or None,
        },
        "session": {
            "status": day.status.value,
            "name": session.name if session else None,
            "reason": day.reason,
            "open": _iso(session.open, zone) if session else None,
            "close": _iso(session.close, zone) if session else None,
            "intervals": [[_iso(a, zone), _iso(b, zone)] for a, b in session.intervals] if session else [],
            "source": list(day.sources),
            "confidence": day.confidence.value,
            "note": day.note,
        },
        "steps": [_step(step, zone) for step in report.steps],
        "feed": _feed(report.feed, zone),
        "reconciliation": trades.reconciliation.to_facts() if trades.reconciliation else None,
        "alerts": [
            {
                "number": a.number,
                "severity": a.severity,
                "title": a.title,
                "what": a.what,
                "opened": _iso(a.opened, zone),
                "resolved": _iso(a.resolved, zone),
                "reason": a.reason,
                "state": a.state,
                "acked": _iso(a.acked, zone),
                "acked_by": a.acked_by or None,
                "note": a.note or None,
                "muted": a.muted or None,
                "until_acked": a.until_acked,
                "until_resolved": a.until_resolved,
                "messages": [_told(t, zone) for t in a.messages],
            }
            for a in report.alerts
        ],
        "actions": [
            as_json(one) | {"started": _iso(one.started, zone), "ended": _iso(one.ended, zone)}
            for one in report.actions
        ],
        "notices": [_told(t, zone) for t in report.notices],
        "delivery": [asdict(tally) for tally in report.tallies],
        "asks": [ask_json(ask, zone) for ask in report.asks],
        "pauses": [pause_json(pause, zone) for pause in report.pauses],
        "readiness": [
            {"component": r.component, "seen": r.seen.value, "evidence": r.evidence} for r in report.readiness
        ],
        "next": {
            "date": coming.day.isoformat() if coming.day else None,
            "weekday": f"{coming.day:%A}" if coming.day else None,
            "name": coming.name or None,
            "open": _iso(coming.open, zone),
            "close": _iso(coming.close, zone),
            "login": _iso(coming.login, zone),
            "reason": coming.reason or None,
            "remarks": list(coming.remarks),
        },
    }


def _iso(at: datetime | None, zone: ZoneInfo) -> str | None:
    return at.astimezone(zone).isoformat() if at else None


def _step(step: Step, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "job": step.job,
        "slot": step.slot,
        "repeating": step.repeating,
        "planned": _iso(step.first, zone),
        "planned_last": _iso(step.last, zone),
        "rows": step.rows,
        "ran": step.ran,
        "tries": step.tries,
        "ok": step.ok,
        "missed": step.missed,
        "skipped": step.skipped,
        "failed": step.broken,
        "waiting": step.waiting,
        "state": step.state,
        "started": _iso(step.started, zone),
        "took": step.took,
        "late_by": step.late_by,
        "ended_late": _iso(step.ended_late, zone),
        "reason": step.reason,
        "hint": step.hint,
        "holes": [{"from": _iso(h.start, zone), "to": _iso(h.end, zone), "count": h.count} for h in step.holes],
    }


def _feed(feed: FeedPart, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "mode": feed.mode,
        "shares": asdict(feed.shares) if feed.shares else None,
        "gaps": len(feed.outages) if feed.outages is not None else None,
        "longest_gap": feed.longest_gap,
        "fallbacks": len(feed.fallbacks) if feed.outages is not None else None,
        "outages": [_outage(o, zone) for o in feed.outages or ()],
        "ticks": dict(feed.ticks) or None,
        "counts": dict(feed.counts) or None,
        "not_recorded": feed.not_recorded,
        "restarts": feed.restarts,
        "bar": feed.bar,
        "until": _iso(feed.until, zone),
    }


def _outage(outage: Outage, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "silent_from": _iso(outage.silent_from, zone),
        "doubted": _iso(outage.doubted, zone),
        "fell": _iso(outage.fell, zone),
        "end": _iso(outage.end, zone),
        "back": outage.back,
        "cause": outage.cause,
        "hint": outage.hint,
        "stretches": [
            {"mode": s.mode, "from": _iso(s.start, zone), "to": _iso(s.end, zone), "seconds": s.seconds}
            for s in outage.stretches
        ],
    }


def _told(told: Told, zone: ZoneInfo) -> dict[str, Any]:
    channels = [{"channel": d.channel, "state": d.state, "text": d.text} for d in told.channels]
    return {"kind": told.kind, "title": told.title, "at": _iso(told.at, zone), "channels": channels}
