"""pending -> open -> resolved, and what of it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from runbook.alert.causes import (
    BotMoved,
    CalendarDoubt,
    Cause,
    ChannelMoved,
    ConfigDoubt,
    FeedMoved,
    FeedWord,
    JobSettled,
    LoginDue,
    ModeLeak,
    NotFlat,
    ReadyReached,
    SymbolStale,
    Tick,
    UplinkMoved,
)
from runbook.alert.rules import RULES, AlertRule, Severity
from runbook.alert.state import (
    DRILL,
    Alert,
    AlertChange,
    AlertState,
    ChangeKind,
    Entry,
    Notice,
    fingerprint,
    resolved,
    spoken,
    worse,
)

FLAP_WINDOW = timedelta(minutes=15)  # in, out and in again within it is a flap: three transitions
STABLE = timedelta(minutes=5)  # how long the cause of a flapping alert must be gone
FLAP_BUDGET = 3  # messages of a flap that does not get worse, whatever came before it included
REPEATING_MISSED_HOLD = timedelta(minutes=2)  # one missed 30 s check is nobody's news, two minutes of them are
BROKER_JOB = "verify_broker"


def decide(alerts: Sequence[Alert], cause: Cause, now: datetime) -> list[AlertChange]:
    """What `cause` changes. `alerts`: all that are not resolved, and those resolved within FLAP_WINDOW.

    Hold-downs that ran out before the cause are opened first, so it does not matter how often Tick comes.
    """
    changes = _settle(alerts, min(now, cause.at) if isinstance(cause, FeedMoved | SymbolStale) else now)
    newest = {a.key: a for a in alerts} | {c.key: c.alert for c in changes if c.alert}
    held = list(newest.values())
    match cause:
        case FeedMoved():
            changes += [*_gateway(held, cause), *_feed(held, cause)]
        case SymbolStale():
            changes += _symbol(held, cause)
        case JobSettled():
            changes += _job(held, cause, now)
        case NotFlat(rows):
            changes += _rows(held, RULES["not_flat"], rows, now)
        case ModeLeak(rows, mode, hint):
            changes += _rows(held, RULES["mode_leak"], rows, now, mode, hint)
        case ReadyReached(session, title, lines):
            changes.append(AlertChange(ChangeKind.NOTICE, now, Notice(f"ready@{session}", title, lines), tell=True))
        case LoginDue(session, reason, hint):
            if not _current(held, fingerprint(RULES["broker.not_verified"], ())):
                lines = (reason, hint or RULES["broker.not_verified"].todo)
                notice = Notice(f"login@{session}", "[WARN] half an hour to the open, broker not verified", lines)
                changes.append(AlertChange(ChangeKind.NOTICE, now, notice, tell=True))
        case CalendarDoubt():
            changes += _calendar(held, cause, now)
        case BotMoved():
            changes += _bot(held, cause)
        case ConfigDoubt():
            changes += _config(held, cause)
        case ChannelMoved(channel):
            changes += _moved(held, RULES["channel.dead"], ("channel", channel), cause)
        case UplinkMoved(reach):
            changes += _moved(held, RULES["uplink.down"], ("reach", reach), cause)
        case Tick():
            pass
    return changes


def _feed(alerts: Sequence[Alert], cause: FeedMoved) -> list[AlertChange]:
    labels = (DRILL,) * cause.drill + (
        (("feed", cause.feed),) if cause.feed else ()
    )  # a drill is an incident of its own
    current = _current(alerts, fingerprint(RULES["feed.fallback"], labels))
    match FeedWord(cause.to_mode):
        case FeedWord.FALLBACK | FeedWord.BLIND | FeedWord.SILENT as word:
            rule = RULES[f"feed.{word}"]
            what = f"{cause.reason} ({cause.evidence})" if cause.evidence else cause.reason
            return _enter(
                alerts, _draft(rule, labels, rule.severity(cause.mode), cause.at, what, cause.hint), rule.hold
            )
        case FeedWord.PROBATION:
            if current is None or (current.state is AlertState.PENDING and current.settles_at is None):
                return []
            settles = None if current.state is AlertState.PENDING else current.settles_at
            return [AlertChange(ChangeKind.UPDATED, cause.at, replace(current, settles_at=settles, mending=True))]
        case FeedWord.LIVE:
            return _leave(current, cause.at, cause.reason)
        case FeedWord.OFF:
            over = [a for a in alerts if a.state is not AlertState.RESOLVED and a.rule == "feed.symbol"]
            over += [current] if current else []
            # The report follows within the hour and says how the day ended; a message now would only be noise.
            return [resolved(alert, cause.at, cause.reason or "the session ended", tell=False) for alert in over]


def _symbol(alerts: Sequence[Alert], cause: SymbolStale) -> list[AlertChange]:
    rule, labels = RULES["feed.symbol"], (("symbol", cause.symbol),)
    if cause.over:
        return _leave(_current(alerts, fingerprint(rule, labels)), cause.at, cause.reason)
    return _enter(
        alerts, _draft(rule, labels, rule.severity(cause.mode), cause.at, cause.reason, cause.hint), rule.hold
    )


def _job(alerts: Sequence[Alert], cause: JobSettled, now: datetime) -> list[AlertChange]:
    broker = cause.job == BROKER_JOB
    labels = () if broker else (("job", cause.job),)
    names = {"failed": "failed", "abandoned": "failed", "missed": "missed", "timed_out": "overran"}
    hold = REPEATING_MISSED_HOLD if cause.repeating and cause.outcome == "missed" else timedelta(0)
    if cause.outcome == "succeeded" and (cause.verdict == "ok" or not cause.until_ok):
        rule = RULES["broker.not_verified" if broker else "job.failed"]
        return _leave(_current(alerts, fingerprint(rule, labels)), now, cause.reason)
    if cause.outcome in ("skipped", "cancelled") or (cause.until_ok and not cause.deadline_passed):
        return []
    rule = RULES["broker.not_verified" if broker else f"job.{names.get(cause.outcome, 'failed')}"]
    what = cause.reason or f"{cause.outcome} at {cause.slot}"
    return _enter(alerts, _draft(rule, labels, rule.severity("", cause.severity), now, what, cause.hint), hold)


def _calendar(alerts: Sequence[Alert], cause: CalendarDoubt, now: datetime) -> list[AlertChange]:
    rule = RULES[f"calendar.{cause.kind}"]
    labels = (("day", str(cause.day)),) if cause.day else ()
    current = _current(alerts, fingerprint(rule, labels))
    if cause.over:
        return _leave(current, now, cause.reason or rule.recovery)
    changes = _enter(alerts, _draft(rule, labels, cause.severity, now, cause.reason, cause.hint), rule.hold)
    if current and cause.kind == "unknown" and not any(c.tell for c in changes):
        # A day that must be settled is told of once more each day; the key makes it once.
        title = f"[WARN] {current.title}"
        notice = Notice(f"calendar@{cause.day}@{cause.today}", title, (cause.reason, f"do: {current.todo}"))
        if current.opened_at.date() < now.date():
            changes.append(AlertChange(ChangeKind.NOTICE, now, notice, tell=True))
    return changes


def _bot(alerts: Sequence[Alert], cause: BotMoved) -> list[AlertChange]:
    rule = RULES["bot.deaf"]
    current = _current(alerts, fingerprint(rule, ()))
    match cause.word:
        case "deaf":
            draft = _draft(rule, (), rule.severity(cause.mode), cause.at, cause.reason, cause.hint)
            return _enter(alerts, draft, rule.hold)
        case "reads":
            return _leave(current, cause.at, cause.reason)
    return [] if current is None else [resolved(current, cause.at, cause.reason, tell=False)]


def _gateway(alerts: Sequence[Alert], cause: FeedMoved) -> list[AlertChange]:
    """Where nothing of OpenAlgo answers that is what is wrong, and the feed follows from it."""
    rule = RULES["gateway.down"]
    if cause.unreachable:
        what = f"{cause.reason} ({cause.evidence})" if cause.evidence else cause.reason
        return _enter(alerts, _draft(rule, (), rule.severity(cause.mode), cause.at, what, cause.hint), rule.hold)
    current = _current(alerts, fingerprint(rule, ()))
    if cause.to_mode is FeedWord.OFF and current is not None:
        return [resolved(current, cause.at, cause.reason or "the session ended", tell=False)]
    return _leave(current, cause.at, cause.reason)


def _moved(
    alerts: Sequence[Alert], rule: AlertRule, label: tuple[str, str], cause: ChannelMoved | UplinkMoved
) -> list[AlertChange]:
    """What is either there or not there."""
    if cause.over:
        return _leave(_current(alerts, fingerprint(rule, (label,))), cause.at, cause.reason)
    # Without a network a gateway elsewhere gives no price either; one on this host does.
    severity = Severity.CRITICAL if label == ("reach", "remote") else Severity.WARNING
    return _enter(alerts, _draft(rule, (label,), severity, cause.at, cause.reason, cause.hint), rule.hold)


def _config(alerts: Sequence[Alert], cause: ConfigDoubt) -> list[AlertChange]:
    rule = RULES["config.refused"]
    if cause.over:
        return _leave(_current(alerts, fingerprint(rule, ())), cause.at, cause.reason or rule.recovery)
    return _enter(alerts, _draft(rule, (), rule.severity(""), cause.at, cause.reason, cause.hint), rule.hold)


def _rows(
    alerts: Sequence[Alert], rule: AlertRule, rows: Sequence[str], now: datetime, mode: str = "", hint: str = ""
) -> list[AlertChange]:
    if not rows:
        return _leave(_current(alerts, fingerprint(rule, ())), now, rule.recovery)
    return _enter(alerts, _draft(rule, (), rule.severity(mode), now, "; ".join(rows), hint), rule.hold)


def _settle(alerts: Sequence[Alert], now: datetime) -> list[AlertChange]:
    """Open the pending alerts whose hold-down is over; close the flapping ones that have become stable."""
    changes = []
    for alert in alerts:
        if alert.state is AlertState.RESOLVED or not alert.settled(now):
            continue
        if alert.state is AlertState.PENDING:
            changes.append(spoken(ChangeKind.OPENED, now, replace(alert, state=AlertState.OPEN, settles_at=None)))
        else:
            # One word stays in reserve: if it comes back after "stable" was told, that must be told too.
            tell = alert.told + 2 <= FLAP_BUDGET or (alert.said != "" and RULES[alert.said].rank > 1)
            changes.append(resolved(alert, now, f"stable for {STABLE.seconds // 60} min", tell=tell))
    return changes


def _enter(alerts: Sequence[Alert], draft: Alert, hold: timedelta) -> list[AlertChange]:
    """The cause of `draft.rule` is there: open an alert, hold it down, worsen or ease the one that is open, or say nothing."""
    now, rule = draft.opened_at, RULES[draft.rule]
    current = _current(alerts, draft.fingerprint)
    last = current or _last(alerts, draft.fingerprint)
    entries = tuple(e for e in last.entries if now - e.at <= FLAP_WINDOW) if last else ()
    gone = current is None or (current.state is AlertState.OPEN and current.settles_at is not None)
    if gone or (current and rule.rank > RULES[current.rule].rank):
        entries += (Entry(rule.name, now),)
    relapse = sum(e.rule == rule.name for e in entries) > 1

    if current is None:
        new = replace(draft, entries=entries)
        if last and last.entries and entries[:-1]:  # still within the window of the one before: its words still count
            new = replace(new, said=last.said, told=last.told)
        if relapse:
            flap = replace(new, state=AlertState.OPEN, flapping=True)
            return [spoken(ChangeKind.FLAPPING, now, flap, worse(rule, new.said))]
        if hold:
            return [AlertChange(ChangeKind.PENDING, now, replace(new, settles_at=now + hold))]
        return [spoken(ChangeKind.OPENED, now, replace(new, state=AlertState.OPEN))]

    before = RULES[current.rule]
    alert = replace(
        current,
        rule=rule.name,
        peak=max(current.peak, rule.name, key=lambda name: RULES[name].rank),
        severity=draft.severity,
        what=draft.what,
        done=draft.done,
        todo=draft.todo,
        entries=entries,
        flapping=current.flapping or relapse,
        mending=False,
    )
    if current.state is AlertState.PENDING:
        opens = min(current.opened_at + hold, current.settles_at or now + hold)
        if opens <= now:
            return [spoken(ChangeKind.OPENED, now, replace(alert, state=AlertState.OPEN, settles_at=None))]
        return [AlertChange(ChangeKind.UPDATED, now, replace(alert, settles_at=opens))]
    alert = replace(alert, settles_at=None)
    if rule.rank > before.rank or draft.severity.rank > current.severity.rank:
        tell = worse(rule, alert.said) or rule.rank == before.rank
        if tell:  # it was acknowledged as less than it is now
            alert = replace(alert, acked=False)
        return [spoken(ChangeKind.ESCALATED, now, alert, tell)]
    if rule.rank < before.rank and not gone:
        return [spoken(ChangeKind.EASED, now, alert, not alert.flapping)]
    return [AlertChange(ChangeKind.UPDATED, now, alert)]


def _leave(current: Alert | None, now: datetime, reason: str) -> list[AlertChange]:
    """The cause is gone: resolve, or begin to wait for stability where it flapped."""
    if current is None or (current.state is AlertState.OPEN and current.settles_at):
        return []
    if current.flapping:
        return [AlertChange(ChangeKind.UPDATED, now, replace(current, settles_at=now + STABLE))]
    return [resolved(current, now, reason, tell=current.state is AlertState.OPEN)]


def _draft(
    rule: AlertRule, labels: tuple[tuple[str, str], ...], severity: Severity, at: datetime, what: str, hint: str
) -> Alert:
    alert = Alert(rule.name, tuple(sorted(labels)), severity, at, what, rule.done, rule.todo, peak=rule.name)
    return replace(alert, done=alert.words(rule.done), todo=hint or alert.words(rule.todo))


def _current(alerts: Sequence[Alert], print_: str) -> Alert | None:
    return next((a for a in alerts if a.state is not AlertState.RESOLVED and a.fingerprint == print_), None)


def _last(alerts: Sequence[Alert], print_: str) -> Alert | None:
    over = [a for a in alerts if a.resolved_at is not None and a.fingerprint == print_]
    return max(over, key=lambda a: a.resolved_at or a.opened_at, default=None)
