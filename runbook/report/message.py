"""The message after the close: the report itself, cut to what a phone shows. Not a notice that there is one."""

from __future__ import annotations

from collections.abc import Sequence

from runbook.recon import Severity
from runbook.recon.pnl import money
from runbook.report import phrases as say
from runbook.report.delivery import open_alerts
from runbook.report.layout import PHONE, clock, cut, plain, plural, short_day, wrap
from runbook.report.parts import Report, Seen, Stage
from runbook.report.trades import amount, legs_words, open_words, pnl_words
from runbook.spans import share, span

LINES = 20
_CELLS = {Seen.OK: "ok", Seen.ATTENTION: "ATTN", Seen.NOT_SEEN: "none", Seen.UNKNOWN: "?"}
_CONCERNS = 3  # in the sentence; the parts below say the rest
_REASON = 240
_BRIEF = 10.0  # seconds of silence that are no news: the open is awaited that long
_HINT = 110


def short(report: Report) -> tuple[str, tuple[str, ...]]:
    """(title, lines): at most 20 lines, nothing over 60 columns. Each part has lines of its own; what one leaves the
    others may have, the more important first; and where a part was cut, its last line says by how much.
    """
    parts = [
        (3, wrap(cut(_sentence(report), _REASON), PHONE)),
        (2, _trades(report)),
        (4, _feed(report)),
        (5, _reconciliation(report)),
        (1, _steps(report)),
        (2, _alerts(report)),
        (1, _asked(report)),
        (1, _seen(report)),
        (2, _next(report)),
    ]
    if report.stage is Stage.CLOSED and report.empty:
        parts = [parts[0], parts[-1]]
    left = LINES - sum(min(most, len(lines)) for most, lines in parts)
    out: list[str] = []
    for most, lines in parts:
        room = min(most, len(lines))
        more = min(left, len(lines) - room)
        left -= more
        out += _fit(lines, room + more)
    return cut(_title(report), PHONE), tuple(out)


def _title(report: Report) -> str:
    """The day, how it was, and the money: what a locked phone shows."""
    said = f"{short_day(report.date)} {report.headline.word.upper()}"
    if report.stage is Stage.CLOSED:
        return f"{said}: {plain(report.day.reason)}"
    if report.stage is Stage.AHEAD and report.day.session is not None:
        return f"{said}, opens {clock(report.day.session.open, report.zone)}"
    if report.stage is Stage.RUNNING:
        said += " so far"
    pnl = report.trades.pnl
    figure = amount(pnl) if pnl is not None else None
    if pnl is not None and figure is not None:
        still = f", {len(pnl.open_positions)} OPEN" if pnl.open_positions else ", flat"
        return f"{said}: {money(figure[0])}{still}"
    return said + (": no trade" if report.trades.legs == 0 else ": P&L no data")


def _sentence(report: Report) -> str:
    """The verdict without its word, which the title has."""
    concerns = report.headline.concerns
    if concerns:
        said = "; ".join(c.text for c in concerns[:_CONCERNS])
        text = (
            said
            + (f"; and {len(concerns) - _CONCERNS} more" if len(concerns) > _CONCERNS else "")
            + ("?" if report.headline.sentence.endswith("?") else ".")
        )
    else:
        text = report.headline.sentence.partition(": ")[2] or report.headline.sentence
    return text[:1].upper() + text[1:]


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in wrap(cut(line, _REASON), PHONE, "", "  ")]


def _fit(lines: Sequence[str], room: int) -> list[str]:
    if len(lines) <= room:
        return list(lines)
    if room == 1:
        return [cut(lines[0], PHONE - 4).removesuffix("...") + " ..."]
    return [*lines[: room - 1], f"  ... {plural(len(lines) - room + 1, 'line')} more: runbook report"]


def _trades(report: Report) -> list[str]:
    trades = report.trades
    if trades.legs == 0 and trades.pnl is None:
        return _wrapped([legs_words(trades)])
    # What is open comes first: a phone may show no more than this.
    return _wrapped([pnl_words(trades), f"{open_words(trades)}; {legs_words(trades).lower()}"])


def _feed(report: Report) -> list[str]:
    feed, shares = report.feed, report.feed.shares
    if shares is None:
        out = [f"Feed: {say.NO_DATA}"]
    else:
        said = [f"Feed: WebSocket {share(shares.websocket, shares.promised) if shares.websocket else 'none'}"]
        rest = (
            (shares.rest, "REST"),
            (shares.blind, "BLIND"),
            (shares.waiting, "silent"),
            (shares.still, "market still"),
        )
        said += [f"{name} {span(held)}" for held, name in rest if held >= (_BRIEF if name == "silent" else 0.1)]
        if lost := shares.unwatched + shares.missing:
            said.append(f"not watched {span(lost)}")
        out = [", ".join(said)]
    falls = feed.fallbacks
    for outage in falls[:3]:
        out.append(f"- {say.outage_head(outage, report)}")
    if len(falls) > 3:
        out.append(f"- and {plural(len(falls) - 3, 'fallback')} more")
    if falls and falls[-1].hint:
        out.append(cut(f"- do {falls[-1].hint}", _HINT))
    return _wrapped(out)


def _reconciliation(report: Report) -> list[str]:
    recon = report.trades.reconciliation
    if recon is None:
        return _wrapped([f"Reconciliation: {say.NO_DATA}, {report.trades.missing or 'not reconciled'}"])
    wrong = [b for b in recon.breaks if b.severity is not Severity.INFO]
    if not wrong:
        return _wrapped([f"Reconciliation: {recon.verdict.upper()}; {recon.summary()}"])
    out = [
        f"Reconciliation: {recon.verdict.upper() if recon.verdict != 'breaks' else ''} {plural(len(wrong), 'break')}"
    ]
    out += [f"- {b.code.replace('_', ' ')}, {b.about.rpartition(':')[2]}: {b.explanation}" for b in wrong]
    return _wrapped(out)


def _steps(report: Report) -> list[str]:
    out = [f"Steps: {say.steps_sum(report)}"]
    out += [
        f"- {step.job} {step.state}: {say.step_evidence(step, report)}"
        for step in report.steps
        if step.missed or step.broken or step.late_by is not None or step.ended_late is not None
    ]
    return _wrapped(out)


def _alerts(report: Report) -> list[str]:
    out = [f"Alerts: {say.alerts_sum(report).removeprefix('alerts ')}"]
    still = open_alerts(report.alerts)
    out += [f"- open since {clock(a.opened, report.zone, report.date)}: {a.title}" for a in still]
    return _wrapped(out)


def _asked(report: Report) -> list[str]:
    """What people were asked, a line each; nothing where nobody was."""
    return _wrapped([f"Asked: {line}" for line in say.asked_lines(report)])


def _seen(report: Report) -> list[str]:
    names = {"REST API": "REST", "WebSocket": "WS", "Paper trading": "paper", "Strategy": "strat", "Code": "code"}
    order = ("REST API", "WebSocket", "Paper trading", "Strategy", "Code")
    rows = {row.component: row for row in report.readiness}
    return _wrapped(["Seen: " + ", ".join(f"{names[name]} {_CELLS[rows[name].seen]}" for name in order)])


def _next(report: Report) -> list[str]:
    coming = report.next
    if coming.open is None or coming.login is None or coming.day is None:
        out = [f"Next: {short_day(coming.day) if coming.day else ''} NOT KNOWN: {coming.reason}"]
    else:
        out = [
            f"Next: {short_day(coming.day)} {clock(coming.open, report.zone)}; "
            f"log in by {clock(coming.login, report.zone)}"
            + ("" if coming.name in ("", "regular") else f" ({coming.name})")
        ]
    return _wrapped([*out, *coming.remarks])
