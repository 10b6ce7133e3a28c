"""How each part of the report is said, in whole lines that no view has wrapped yet. What is not known says so here."""

from __future__ import annotations

from runbook.recon import Reconciliation
from runbook.remedy import words
from runbook.report.asked import ask_words, pause_words
from runbook.report.layout import clock, cut, long_day, plain, plural, short_day
from runbook.report.parts import AlertPart, FeedPart, Hole, Next, Outage, Report, Shares, Step, Stretch, Told
from runbook.report.steps import own
from runbook.session import Confidence
from runbook.spans import share, span, took

NO_DATA = "no data"
_HOLES = 4


def title_parts(report: Report) -> tuple[str, ...]:
    """The day, its hours, the mode, the configuration."""
    hours = f" {session_hours(report)}" if report.day.session else ""
    config = f"config {report.config}" if report.config else ""
    return long_day(report.date), f"{report.exchange}{hours}", f"mode {report.mode}", config


def session_hours(report: Report) -> str:
    """`09:15-15:30 IST`, each interval of a split day."""
    session = report.day.session
    if session is None:
        return "none"
    pairs = ", ".join(f"{clock(a, report.zone)}-{clock(b, report.zone)}" for a, b in session.intervals)
    return f"{pairs} {session.open.astimezone(report.zone):%Z}"


def session_lines(report: Report) -> list[str]:
    """What the calendar says of the day, who says so and how sure it is."""
    day, session = report.day, report.day.session
    if session is None:
        out = [f"none on {long_day(day.date)}: {plain(day.reason)}"]
    else:
        length = sum((b - a).total_seconds() for a, b in session.intervals)
        # A special session's name is its reason; said twice it would read as two things.
        names = dict.fromkeys([plain(session.name), plain(day.reason)])
        if session.name == "regular":
            names.pop("regular")
        out = [f"{session_hours(report)} ({span(length)}), {', '.join(n for n in names if n)}"]
    if report.until and report.stage.value in ("so far", "not begun"):
        out[0] += f"; {report.stage}, ledger until {clock(report.until, report.zone, report.date, seconds=True)}"
    sure = "" if day.confidence is Confidence.HIGH else ": check it yourself"
    out.append(f"source {plain(', '.join(day.sources)) or NO_DATA}; confidence {day.confidence}{sure}")
    note = plain(day.note or (session.note if session else ""))
    return [*out, f"note {note}"] if note else out


# -- steps ------------------------------------------------------------------------------------------------------------


def steps_sum(report: Report) -> str:
    """All rows of the day in one line; the row that writes this report cannot have ended yet and is left out."""
    if not report.steps:
        if report.planned_by_config is None:
            return NO_DATA
        return f"{NO_DATA}: the ledger has no row; by the configuration {report.planned_by_config} would be due"
    steps = [s for s in report.steps if not own(s, report.stage)]
    rows, ran = sum(s.rows for s in steps), sum(s.ran for s in steps)
    due = rows - sum(s.waiting for s in steps)
    parts = [f"{ran or 'none'} of {due} due ran" if due < rows else f"{ran or 'none'} of {rows} ran"]
    if not due:
        parts = ["none is due yet"]
    counts = (
        (sum(s.missed for s in steps), "missed"),
        (sum(s.skipped for s in steps), "skipped"),
        (sum(s.broken for s in steps), "failed"),
        (sum(s.waiting for s in steps), "to come"),
        (sum(s.late_by is not None for s in steps), "late"),
    )
    parts += [f"{count} {name}" for count, name in counts if count]
    return ", ".join(parts)


def step_evidence(step: Step, report: Report) -> str:
    """What there is to say of a step beside its state."""
    said = []
    if step.repeating:
        said.append(f"{step.ran} of {step.rows} ran" if step.ran else f"{step.rows} planned, none ran")
        if step.missed:
            said[0] += f", {step.missed} missed {holes(step.holes, report)}".rstrip()
        for count, name in ((step.skipped, "skipped"), (step.broken, "failed")):
            if count:
                said[0] += f", {count} {name}"
        wrong = step.ran - step.broken - step.ok
        if wrong > 0 and step.state not in ("running", "planned"):
            said.append(f"{wrong} not ok: {step.reason}" if step.reason else f"{wrong} not ok")
        elif step.reason and step.state != "missed":
            said.append(step.reason)
    if step.late_by is not None:
        said.append(f"{span(step.late_by)} late")
    if step.ended_late is not None:
        said.append(f"after its deadline {clock(step.ended_late, report.zone, report.date)}")
    if not step.repeating and step.tries > 1:
        said.append(f"try {step.tries}")
    if step.reason and not step.repeating:
        said.append(step.reason)
    nothing = {"planned": "waits for its time", "running": "writes this" if own(step, report.stage) else "under way"}
    text = "; ".join(said) or nothing.get(step.state, "no reason given")
    return f"{text} -> {step.hint}" if step.hint else text


def holes(found: tuple[Hole, ...], report: Report) -> str:
    """`10:02-10:03, 11:40-11:41`."""
    said = [
        f"{clock(h.start, report.zone, report.date)}-{clock(h.end, report.zone, report.date)}" for h in found[:_HOLES]
    ]
    return ", ".join(said) + (f" and {len(found) - _HOLES} more" if len(found) > _HOLES else "")


def step_row(step: Step, report: Report) -> list[str]:
    """STEP, PLANNED, RAN, TOOK, STATE, EVIDENCE."""
    planned = clock(step.first, report.zone, report.date)
    if step.rows > 1:
        planned += f"-{clock(step.last, report.zone, report.date)}"
    if step.repeating:
        ran = plural(step.ran, "time") if step.ran else "-"
    else:
        ran = clock(step.started, report.zone, report.date, seconds=True) if step.started else "-"
    lasted = "-" if step.took is None else took(step.took)
    return [step.job, planned, ran, lasted, step.state, step_evidence(step, report)]


# -- feed -------------------------------------------------------------------------------------------------------------


def shares_words(shares: Shares) -> str:
    """`WebSocket 98.9%, REST 0.8% (3m04s), blind none, ...`."""

    def one(name: str, seconds: float) -> str:
        return f"{name} {share(seconds, shares.promised)} ({span(seconds)})" if seconds > 0 else f"{name} none"

    parts = [
        f"WebSocket {share(shares.websocket, shares.promised)}" if shares.websocket > 0 else "WebSocket none",
        one("REST", shares.rest),
        one("blind", shares.blind),
        one("waiting", shares.waiting),
        *([one("market still", shares.still)] if shares.still else []),
        one("unwatched", shares.unwatched),
    ]
    if shares.missing:
        parts.append(f"{NO_DATA} {share(shares.missing, shares.promised)} ({span(shares.missing)})")
    return ", ".join(parts)


def feed_lines(report: Report) -> list[str]:
    """Shares, gaps, ticks; the outages are lines of their own."""
    feed = report.feed
    if feed.shares is None:
        out = [f"{NO_DATA}: nothing was written down of the feed" if not feed.known else f"shares {NO_DATA}"]
        if not feed.known:
            return [*out, *ticks_lines(feed)]
    else:
        out = [f"{shares_words(feed.shares)} of {span(feed.shares.promised)}"]
    gaps = NO_DATA if feed.outages is None else str(len(feed.outages)) if feed.outages else "none known"
    longest = f"longest without a tick {span(feed.longest_gap)}" if feed.longest_gap else f"longest {NO_DATA}"
    falls = plural(len(feed.fallbacks), "fallback") if feed.fallbacks else "no fallback"
    out.append(f"gaps {gaps}, {longest}; {falls}")
    if feed.restarts:
        out.append(
            f"runbook started {plural(feed.restarts, 'time')} again in mid-session; the figures are its runs added up"
        )
    return [*out, *ticks_lines(feed)]


def ticks_lines(feed: FeedPart) -> list[str]:
    """Ticks per symbol; a symbol that was to be watched and has no count is no data."""
    if not feed.ticks:
        return [f"ticks {NO_DATA}"]
    said = ", ".join(f"{name} {NO_DATA if n is None else f'{n:,}' if n else 'none'}" for name, n in feed.ticks)
    lost = f"; {feed.not_recorded:,} could not be recorded" if feed.not_recorded else ""
    return [f"ticks {said}{lost}"]


def outage_lines(outage: Outage, report: Report) -> list[str]:
    """From when to when, by what, why, and what to do."""
    head = outage_head(outage, report)
    out = [head, f"cause {outage.cause or 'not known'}"]
    return [*out, f"do {outage.hint}"] if outage.hint else out


def outage_head(outage: Outage, report: Report, *, seconds: bool = True) -> str:
    """`10:02:15-10:05:19 REST 3m04s; no tick since 10:00:15`."""
    shown = [s for s in outage.stretches if s.mode != "silent"] or list(outage.stretches)
    said = ", ".join(_stretch(s, report, seconds=seconds) for s in shown[:4])
    if len(shown) > 4:
        said += f" and {len(shown) - 4} more changes"
    if outage.silent_from is not None:
        at = clock(outage.silent_from, report.zone, report.date, seconds=seconds)
        said += f"; no tick since {at}"
    if outage.end is None:
        return f"{said}; {'it goes on' if report.stage == 'so far' else 'its end is not known'}"
    return said if outage.back else f"{said}; not over when the watch ended"


def _stretch(stretch: Stretch, report: Report, *, seconds: bool) -> str:
    start = clock(stretch.start, report.zone, report.date, seconds=seconds)
    if stretch.end is None or stretch.seconds is None:
        return f"{stretch.mode} from {start}"
    end = clock(stretch.end, report.zone, report.date, seconds=seconds)
    return f"{stretch.mode} {start}-{end} ({span(stretch.seconds)})"


# -- reconciliation -----------------------------------------------------------------------------------------------------


def reconciliation_lines(recon: Reconciliation) -> list[str]:
    """The sentence, each break, the notes, what was held to be near enough: the words of Reconciliation.lines, unwrapped."""
    out = [recon.summary()]
    out += [f"- {b.severity}: {b.code.replace('_', ' ')}, {b.about}: {b.explanation}" for b in recon.breaks]
    out += [f"note: {note}" for note in recon.notes]
    return [*out, f"tolerances: {recon.tolerances}"]


# -- alerts -----------------------------------------------------------------------------------------------------------


def alert_head(alert: AlertPart, report: Report) -> str:
    """`10:02-10:05 warning #41 feed on REST (NIFTY): resolved, ticks held for 30 s`."""
    start = clock(alert.opened, report.zone, report.date)
    when = f"{start}-{clock(alert.resolved, report.zone, report.date)}" if alert.resolved else f"{start}-"
    number = f" #{alert.number}" if alert.number is not None else ""
    end = f"{alert.state}, {alert.reason}" if alert.reason else "STILL OPEN" if alert.state == "open" else alert.state
    lasted = f" after {span(alert.until_resolved)}" if alert.until_resolved is not None else ""
    return f"{when} {alert.severity}{number} {alert.title}: {end}{lasted if alert.acked else ''}{_seen_by(alert)}"


def _seen_by(alert: AlertPart) -> str:
    """`; acknowledged after 3m12s by cli:me: on it`, and why it was told to nobody."""
    said = f"; {alert.muted}" if alert.muted else ""
    if alert.until_acked is None:
        return said
    note = f": {alert.note}" if alert.note else ""
    return f"; acknowledged after {span(alert.until_acked)} by {alert.acked_by}{note}{said}"


def action_lines(report: Report) -> list[str]:
    """`10:03 restart_openalgo, because of #41, by telegram:7: done, verify ok: verify_broker was ok 12 s after it (...)`."""
    return [
        f"{clock(one.started, report.zone, report.date)} {one.name}, {one.why}, by {one.by}: {words(one)} ({' '.join(one.argv)})"
        for one in report.actions
    ]


def told_words(told: Told) -> str:
    """`opened: phone sent 10:02:30 (1 try); email unknown 10:04:02 (2 tries)`."""
    return f"{told.kind}: {'; '.join(d.text for d in told.channels)}"


def alerts_sum(report: Report) -> str:
    """How many alerts, and what became of the messages on each channel."""
    count = plural(len(report.alerts), "alert") if report.alerts else "no alert"
    if not report.alerts and not report.steps:
        count = f"alerts {NO_DATA}"
    return f"{count}; messages {'; '.join(tally_words(report))}"


def tally_words(report: Report) -> list[str]:
    """`phone 3 of 3 sent`, with whatever else became of them."""
    if not report.tallies:
        return ["none written"]
    out = []
    for tally in report.tallies:
        parts = [f"{tally.channel} {tally.sent or 'none'} of {tally.all} sent"]
        counts = (
            (tally.failed, "failed"),
            (tally.unknown, "unknown"),
            (tally.waiting, "not yet"),
            (tally.merged, "merged"),
        )
        parts += [f"{count} {name}" for count, name in counts if count]
        out.append(", ".join(parts))
    return out


# -- people -----------------------------------------------------------------------------------------------------------


def asked_lines(report: Report) -> list[str]:
    """Each question with its choices and how it ended, each pause; none where nobody was asked and nothing held back."""
    out = []
    for ask in report.asks:
        choices = " or ".join(ask.choices)
        out.append(f"#{ask.number} {ask.name}: {plain(ask.question)} ({choices}); {ask_words(ask, report.zone)}")
    for pause in report.pauses:
        ended = (
            f"; resumed by {pause.ended_by} at {clock(pause.ended, report.zone, report.date)}" if pause.ended else ""
        )
        since = clock(pause.since, report.zone, report.date)
        out.append(f"{since} {pause_words(pause, report.zone, pause.since)}{ended}")
    return out


# -- what comes ---------------------------------------------------------------------------------------------------------


def next_lines(coming: Next, report: Report) -> list[str]:
    """When it opens and when to log in; what is not known, in words."""
    if coming.open is None or coming.day is None or coming.close is None or coming.login is None:
        day = f"{long_day(coming.day)} is not known" if coming.day else "not known"
        out = [f"{day}: {coming.reason}", "log in no data: when the calendar knows the day, `runbook plan` says when"]
        return [*out, *coming.remarks]
    special = "" if coming.name in ("", "regular") else f", {plain(coming.name)}"
    hours = f"{clock(coming.open, report.zone)}-{clock(coming.close, report.zone)}"
    login = f"{short_day(coming.login.astimezone(report.zone).date())} {clock(coming.login, report.zone)}"
    out = [
        f"{long_day(coming.day)}, {hours} {coming.open.astimezone(report.zone):%Z}{special}",
        f"log in to the broker by {login}",
    ]
    if coming.reason:
        out.append(f"note {cut(coming.reason, 400)}")
    return [*out, *coming.remarks]
