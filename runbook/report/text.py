"""The report for a terminal: complete plain text, no line over 100 columns."""

from __future__ import annotations

from runbook.report import phrases as say
from runbook.report.feed import legend
from runbook.report.layout import WIDTH, clock, line, table, wrap
from runbook.report.parts import Report, Stage
from runbook.report.trades import legs_words, open_words, pnl_words

_INDENT = "  "


def render_text(report: Report) -> str:
    """The whole report. Its first line is the verdict, since the first line is what is read."""
    out = [*wrap(report.headline.sentence, WIDTH), *line(*say.title_parts(report))]
    if report.stage is Stage.CLOSED and report.empty:
        return "\n".join([*out, "", *_section("SESSION", say.session_lines(report)), *_next(report)])
    trades = [legs_words(report.trades), pnl_words(report.trades), open_words(report.trades)]
    out += ["", *_section("TRADES", trades)]
    out += _section("SESSION", say.session_lines(report))
    out += _steps(report)
    out += _feed(report)
    out += _reconciliation(report)
    out += _alerts(report)
    if report.actions:
        out += _section("ACTIONS", say.action_lines(report), "what was run against alerts, and what its verify came to")
    if asked := say.asked_lines(report):
        out += _section("ASKED OF PEOPLE", asked)
    out += [*_head("SEEN TODAY", "the guide's readiness table"), *_readiness(report), ""]
    out += _next(report)
    return "\n".join(out)


def _head(name: str, remark: str = "") -> list[str]:
    return wrap(remark, WIDTH, f"{name}  ", _INDENT) if remark else [name]


def _section(name: str, lines: list[str], remark: str = "") -> list[str]:
    body = [part for given in lines for part in wrap(given, WIDTH, _INDENT, _INDENT * 2)]
    return [*_head(name, remark), *body, ""]


def _steps(report: Report) -> list[str]:
    head = _head("STEPS", say.steps_sum(report))
    if not report.steps:
        return [*head, ""]
    rows = [say.step_row(step, report) for step in report.steps]
    return [*head, *table(("STEP", "PLANNED", "RAN", "TOOK", "STATE", "EVIDENCE"), rows), ""]


def _feed(report: Report) -> list[str]:
    out = _section("FEED", say.feed_lines(report))[:-1]
    session = report.day.session
    if report.feed.bar and session is not None:
        edges = clock(session.open, report.zone), clock(session.close, report.zone)
        out += [
            f"{_INDENT}{edges[0]} {report.feed.bar} {edges[1]}",
            *wrap(legend(report.feed.bar), WIDTH, f"{_INDENT}      "),
        ]
    for outage in report.feed.outages or ():
        first, *more = say.outage_lines(outage, report)
        out += wrap(first, WIDTH, f"{_INDENT}- ")
        out += [part for given in more for part in wrap(given, WIDTH, f"{_INDENT}  ", f"{_INDENT}    ")]
    return [*out, ""]


def _reconciliation(report: Report) -> list[str]:
    recon = report.trades.reconciliation
    if recon is None:
        return _section("RECONCILIATION", [f"{say.NO_DATA}: {report.trades.missing or 'not reconciled'}"])
    return _section("RECONCILIATION", say.reconciliation_lines(recon), f"{recon.verdict.upper()} ({recon.mode})")


def _alerts(report: Report) -> list[str]:
    out = _head("ALERTS", say.alerts_sum(report).removeprefix("alerts "))
    for alert in report.alerts:
        out += wrap(say.alert_head(alert, report), WIDTH, f"{_INDENT}- ")
        if alert.what:
            out += wrap(f"seen: {alert.what}", WIDTH, f"{_INDENT}  ", f"{_INDENT}    ")
        for told in alert.messages:
            out += wrap(say.told_words(told), WIDTH, f"{_INDENT}  ", f"{_INDENT}    ")
        if not alert.messages:
            out.append(f"{_INDENT}  told to nobody: no message was written")
    for notice in report.notices:
        out += wrap(f"{notice.title}; {say.told_words(notice)}", WIDTH, f"{_INDENT}- ")
    return [*out, ""]


def _readiness(report: Report) -> list[str]:
    return table(("COMPONENT", "TODAY", "WHAT WAS SEEN"), [(r.component, r.seen, r.evidence) for r in report.readiness])


def _next(report: Report) -> list[str]:
    return _section("NEXT SESSION", say.next_lines(report.next, report))[:-1]
