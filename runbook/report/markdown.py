"""The report as Markdown: the same lines as on the terminal, tables where it has columns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from runbook.report import phrases as say
from runbook.report.feed import legend
from runbook.report.layout import clock, plain
from runbook.report.parts import Report
from runbook.report.trades import legs_words, open_words, pnl_words

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def render_markdown(report: Report) -> str:
    """The whole report; what a server or a file said is escaped and cannot make a heading, a link or a column."""
    day = f"{report.date} {report.exchange}"
    out = [
        f"# {_safe(report.headline.sentence)}",
        "",
        _safe(", ".join(part for part in say.title_parts(report) if part)),
        "",
    ]
    out += _list("Trades", [legs_words(report.trades), pnl_words(report.trades), open_words(report.trades)])
    out += _list("Session", say.session_lines(report))
    out += [f"## Steps: {_safe(say.steps_sum(report))}", ""]
    if report.steps:
        rows = [say.step_row(step, report) for step in report.steps]
        out += _table(("Step", "Planned", "Ran", "Took", "State", "Evidence"), rows)
    out += _list("Feed", say.feed_lines(report))
    session = report.day.session
    if report.feed.bar and session is not None:
        edges = clock(session.open, report.zone), clock(session.close, report.zone)
        out += ["```", f"{edges[0]} {report.feed.bar} {edges[1]}", legend(report.feed.bar), "```", ""]
    for outage in report.feed.outages or ():
        first, *more = say.outage_lines(outage, report)
        out += [f"- {_safe(first)}", *(f"  - {_safe(line)}" for line in more)]
    out += [""] if report.feed.outages else []
    recon = report.trades.reconciliation
    if recon is None:
        out += _list("Reconciliation", [f"{say.NO_DATA}: {report.trades.missing or 'not reconciled'}"])
    else:
        lines = [line.removeprefix("- ") for line in say.reconciliation_lines(recon)]
        out += _list(f"Reconciliation: {recon.verdict.upper()} ({recon.mode})", lines)
    out += [f"## Alerts: {_safe(say.alerts_sum(report).removeprefix('alerts '))}", ""]
    for alert in report.alerts:
        out.append(f"- {_safe(say.alert_head(alert, report))}")
        told = [say.told_words(t) for t in alert.messages] or ["told to nobody: no message was written"]
        out += [f"  - {_safe(line)}" for line in [*([f"seen: {alert.what}"] if alert.what else []), *told]]
    out += [f"- {_safe(f'{notice.title}; {say.told_words(notice)}')}" for notice in report.notices]
    out += [""] if report.alerts or report.notices else []
    if report.actions:
        out += _list("Actions taken, and their verify", say.action_lines(report))
    if asked := say.asked_lines(report):
        out += _list("Asked of people", asked)
    out += ["## Seen today: the guide's readiness table", ""]
    out += _table(
        ("Component", "Today", "What was seen"), [(r.component, r.seen, r.evidence) for r in report.readiness]
    )
    out += _list("Next session", say.next_lines(report.next, report))
    return "\n".join([*out, f"*runbook, {_safe(day)}*"]) + "\n"


def _safe(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain(text))


def _list(name: str, lines: Iterable[str]) -> list[str]:
    return [f"## {_safe(name)}", "", *(f"- {_safe(line)}" for line in lines), ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(head), line("---" for _ in head), *(line(_safe(cell) for cell in row) for row in rows), ""]
