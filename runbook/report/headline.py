"""The verdict of a day in one sentence: what matters most first, and nothing green that was not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

from runbook.alert.lifecycle import BROKER_JOB
from runbook.ask import Ask, AskState
from runbook.recon import Severity
from runbook.recon import Verdict as Books
from runbook.remedy import Action, words
from runbook.report.delivery import open_alerts
from runbook.report.layout import clock, cut, plural, short_day
from runbook.report.parts import (
    AlertPart,
    Concern,
    FeedPart,
    Headline,
    Outage,
    Stage,
    Step,
    Tally,
    Trades,
    Word,
)
from runbook.report.steps import own
from runbook.report.trades import held
from runbook.session import Day
from runbook.spans import share, span

SAID = 5  # concerns in the sentence; all of them are in the sections
_BLUR = 90.0  # seconds of the session that may go unaccounted for: totals are written once a minute
_REASON = 60
_JUDGED_ELSEWHERE = ("check_feed", "reconcile_paper", BROKER_JOB)  # what they found is said by feed, books and broker


def headline(
    day: Day,
    stage: Stage,
    zone: ZoneInfo,
    trades: Trades,
    steps: Sequence[Step],
    feed: FeedPart,
    alerts: Sequence[AlertPart],
    tallies: Sequence[Tally],
    exchange: str,
    until: str,
    asks: Sequence[Ask] = (),
    actions: Sequence[Action] = (),
) -> Headline:
    """The sentence and what it was made of; `until` is the newest word of the ledger as a clock time, "" when none."""
    if stage is Stage.CLOSED:
        sentence = f"Closed: {exchange} has no session on {short_day(day.date)} ({day.reason})."
        return Headline(Word.CLOSED, sentence)
    if stage is Stage.UNKNOWN:
        sentence = f"Unknown: the calendar does not know {short_day(day.date)}: {day.reason}."
        return Headline(Word.UNKNOWN, sentence)
    empty = not (steps or alerts or tallies or feed.known)
    if empty and stage is not Stage.AHEAD:
        nothing = Concern(0, Word.UNKNOWN, "the ledger holds nothing of this session: was runbook running")
        return Headline(Word.UNKNOWN, f"Unknown: {nothing.text}?", (nothing,))
    found = sorted(
        [
            *_books(trades, stage),
            *_feed(feed, zone, stage),
            *_broker(steps, stage),
            *_steps(steps, zone, stage),
            *_alerts(alerts),
            *_actions(actions),
            *_messages(tallies),
            *_asked(asks, zone),
        ],
        key=lambda c: (c.word is Word.UNKNOWN, c.rank),
    )
    if not found:
        return Headline(*_good(day, stage, zone, trades, steps, feed, until))
    word = found[0].word
    when = {Stage.RUNNING: f" so far (until {until})" if until else " so far", Stage.AHEAD: " before the open"}
    more = f"; and {len(found) - SAID} more" if len(found) > SAID else ""
    said = "; ".join(c.text for c in found[:SAID])
    return Headline(word, f"{word.capitalize()}{when.get(stage, '')}: {said}{more}.", tuple(found))


def _good(
    day: Day,
    stage: Stage,
    zone: ZoneInfo,
    trades: Trades,
    steps: Sequence[Step],
    feed: FeedPart,
    until: str,
) -> tuple[Word, str]:
    counted = [s for s in steps if not own(s, stage)]
    ran, rows = sum(s.ran for s in counted), sum(s.rows for s in counted)
    if stage is Stage.AHEAD:
        opens = f"opens {clock(day.session.open, zone)}" if day.session else "no session"
        broker = _verified(steps)
        state = "broker verified" if broker and broker.state == "ok" else "the broker is still to be verified"
        return Word.AHEAD, f"Not begun: {opens}; {state}; nothing is wrong so far."
    shares = feed.shares
    on = f"feed on WebSocket {share(shares.websocket, shares.promised)} of the time" if shares else "no feed yet"
    if stage is Stage.RUNNING:
        done = sum(s.rows - s.waiting for s in steps)
        return Word.CLEAN, f"Clean so far (until {until}): {on}; {ran} of {done} due steps ran."
    ended = f"{ran} of {rows} steps ran" if ran < rows else f"all {rows} steps ran"
    if trades.reconciliation is None or trades.reconciliation.verdict is Books.EMPTY:
        return Word.QUIET, f"Quiet day: nothing was traded, so nothing was proved; {on}; {ended}."
    return Word.CLEAN, f"Clean day: {on}; {trades.reconciliation.summary()}; {ended}."


def _books(trades: Trades, stage: Stage) -> Iterator[Concern]:
    recon = trades.reconciliation
    if recon is None:
        if stage is Stage.OVER:
            yield Concern(5, Word.UNKNOWN, trades.missing or "not reconciled")
    else:
        if recon.leaks:
            yield Concern(0, Word.ATTENTION, f"MODE LEAK, {plural(len(recon.leaks), 'row')} where none may be")
        wrong = [b for b in recon.breaks if b.severity is not Severity.INFO and b not in recon.leaks]
        if wrong:
            yield Concern(5, Word.ATTENTION, f"reconciliation has {plural(len(wrong), 'break')}")
        if recon.verdict is Books.INCOMPLETE:
            yield Concern(5, Word.UNKNOWN, "reconciliation is incomplete, a book could not be read")
        elif recon.verdict is Books.UNVERIFIABLE:
            yield Concern(5, Word.UNKNOWN, "no fill could be held against recorded prices")
    if stage is Stage.OVER and trades.pnl is not None and trades.pnl.open_positions:
        many = trades.pnl.open_positions
        more = f" and {len(many) - 1} more" if len(many) > 1 else ""
        yield Concern(1, Word.ATTENTION, f"not flat: {held(many[0])}{more}")


def _feed(feed: FeedPart, zone: ZoneInfo, stage: Stage) -> Iterator[Concern]:
    shares, falls = feed.shares, feed.fallbacks
    gone = [o for o in falls if o.end is None]
    if gone and stage is Stage.RUNNING:
        newest = gone[-1].stretches[-1]
        where = "BLIND, no price from anywhere," if newest.mode == "BLIND" else f"on {newest.mode}"
        rank = 2 if newest.mode == "BLIND" else 4
        yield Concern(rank, Word.ATTENTION, f"feed {where} since {clock(newest.start, zone)}")
    else:
        blind, rest = _sum(falls, "blind"), _sum(falls, "rest")
        blind = shares.blind if shares else blind
        rest = shares.rest if shares else rest
        if blind:
            yield Concern(2, Word.ATTENTION, f"feed BLIND for {span(blind)}, no price from anywhere")
        if rest or falls:
            yield Concern(4, Word.ATTENTION, f"feed on REST {span(rest)} in {plural(len(falls), 'fallback')}")
    silent = [o for o in feed.outages or () if o.fell is None]
    if silent:
        yield Concern(9, Word.ATTENTION, f"{plural(len(silent), 'silence')} of the feed that healed")
    elif shares and not falls and shares.waiting > _BLUR:
        yield Concern(9, Word.ATTENTION, f"feed silent for {span(shares.waiting)}")
    if shares is None:
        if stage in (Stage.OVER, Stage.RUNNING):
            yield Concern(4, Word.UNKNOWN, "no data of the feed")
    elif (lost := shares.unwatched + shares.missing) > _BLUR:
        yield Concern(4, Word.UNKNOWN, f"feed not watched for {span(lost)}")


def _sum(outages: Sequence[Outage], what: str) -> float:
    return sum(s.seconds or 0.0 for o in outages for s in (o.blind if what == "blind" else o.rest))


def _verified(steps: Sequence[Step]) -> Step | None:
    """The newest word on the broker."""
    return next((s for s in reversed(steps) if s.job == BROKER_JOB and s.ran), None)


def _broker(steps: Sequence[Step], stage: Stage) -> Iterator[Concern]:
    newest = _verified(steps)
    if newest is None:
        if stage in (Stage.RUNNING, Stage.OVER):
            yield Concern(3, Word.UNKNOWN, "the broker was never verified")
    elif newest.state == "unknown":
        yield Concern(3, Word.UNKNOWN, f"broker check says nothing: {cut(newest.reason, _REASON)}")
    elif newest.state in ("bad", "attention") or newest.newest == "planned":
        yield Concern(3, Word.ATTENTION, f"broker not verified: {cut(newest.reason, _REASON)}")


def _steps(steps: Sequence[Step], zone: ZoneInfo, stage: Stage) -> Iterator[Concern]:
    for step in steps:
        if step.repeating and (step.missed or step.broken):
            at = ", ".join(f"{clock(h.start, zone)}-{clock(h.end, zone)}" for h in step.holes[:2])
            parts = (
                [f"missed {step.missed} of {step.rows} ({at}{' ...' if len(step.holes) > 2 else ''})"]
                if step.missed
                else []
            )
            parts += [f"{step.broken} of {step.rows} failed"] if step.broken else []
            yield Concern(7, Word.ATTENTION, f"{step.job} {', '.join(parts)}")
        elif step.broken or step.missed:
            # A row that only broke off, or never came, has said so already in its reason.
            yield Concern(6, Word.ATTENTION, f"{step.job} {step.state}: {cut(step.reason or 'no reason', _REASON)}")
        elif step.state in ("bad", "attention") and step.job not in _JUDGED_ELSEWHERE:
            yield Concern(10, Word.ATTENTION, f"{step.job} says {step.state}: {cut(step.reason, _REASON)}")
        elif step.state == "unknown" and step.job not in _JUDGED_ELSEWHERE:
            yield Concern(10, Word.UNKNOWN, f"{step.job} is unknown: {cut(step.reason or 'no verdict', _REASON)}")
        elif step.state == "skipped" and step.skipped == step.rows:
            yield Concern(10, Word.UNKNOWN, f"{step.job} skipped: {cut(step.reason or 'no reason', _REASON)}")
        if step.ended_late is not None:
            yield Concern(11, Word.ATTENTION, f"{step.job} ok only after its deadline {clock(step.ended_late, zone)}")
        elif step.late_by is not None:
            yield Concern(11, Word.ATTENTION, f"{step.job} ran {span(step.late_by)} late")
        if stage is Stage.OVER and step.waiting and step.repeating:
            yield Concern(8, Word.UNKNOWN, f"{plural(step.waiting, 'row')} of {step.job} never ended")
        elif stage is Stage.OVER and step.waiting and step.job in (BROKER_JOB, "start_feed"):
            yield Concern(8, Word.UNKNOWN, f"{step.job} {step.slot} never ended")


def _alerts(alerts: Sequence[AlertPart]) -> Iterator[Concern]:
    if still := open_alerts(alerts):
        yield Concern(7, Word.ATTENTION, f"{plural(len(still), 'alert')} still open")


def _actions(actions: Sequence[Action]) -> Iterator[Concern]:
    for one in actions:
        if not one.good and not one.open:
            yield Concern(7, Word.ATTENTION, f"{one.name} did not help: {cut(words(one), _REASON)}")
    if helped := sum(one.good for one in actions):
        yield Concern(9, Word.ATTENTION, f"{plural(helped, 'command')} had to be run, and helped")


def _asked(asks: Sequence[Ask], zone: ZoneInfo) -> Iterator[Concern]:
    """What waits for a person, and where nobody answered; what one answered is in its section."""
    for ask in asks:
        if ask.open:
            yield Concern(6, Word.ATTENTION, f"#{ask.number} {ask.name} waits for an answer")
        elif ask.state is AskState.DEFAULTED:
            at = f" at {clock(ask.at, zone)}" if ask.at else ""
            yield Concern(6, Word.ATTENTION, f"#{ask.number} {ask.name} unanswered{at}, so {ask.answer}")


def _messages(tallies: Sequence[Tally]) -> Iterator[Concern]:
    for tally in tallies:
        if tally.failed:
            yield Concern(8, Word.ATTENTION, f"{plural(tally.failed, 'message')} did not arrive on {tally.channel}")
        if tally.unknown:
            yield Concern(
                8, Word.UNKNOWN, f"{plural(tally.unknown, 'message')} may not have arrived on {tally.channel}"
            )
