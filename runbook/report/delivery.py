"""The alerts of a session with what was told of each, channel by channel; what was not told is said too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from runbook.alert import Alert, AlertState
from runbook.outbox import Row, State, describe
from runbook.report.layout import plain
from runbook.report.parts import AlertPart, Delivered, Tally, Told

NO_MESSAGE = "no message"


def alert_parts(alerts: Sequence[Alert], messages: Sequence[Row], zone: ZoneInfo) -> tuple[AlertPart, ...]:
    """The alerts in order of time; a channel that others were told on and this one was not stands there as that."""
    channels = sorted({row.channel for row in messages})
    return tuple(
        AlertPart(
            number=alert.number,
            severity=str(alert.severity),
            title=plain(alert_title(alert)),
            what=plain(alert.what),
            opened=alert.opened_at,
            resolved=alert.resolved_at,
            reason=plain(alert.reason),
            state=str(alert.state),
            messages=_told([row for row in messages if row.key == alert.key], channels, zone),
            acked=alert.acked_at,
            acked_by=plain(alert.acked_by),
            note=plain(alert.note),
            muted=plain(alert.muted),
        )
        for alert in sorted(alerts, key=lambda a: (a.opened_at, a.number or 0, a.key))
    )


def notices(alerts: Sequence[Alert], messages: Sequence[Row], zone: ZoneInfo) -> tuple[Told, ...]:
    """The messages that belong to no alert: READY, the login reminder, the report."""
    keys = {alert.key for alert in alerts}
    return _told([row for row in messages if row.key not in keys], (), zone)


def tallies(messages: Iterable[Row]) -> tuple[Tally, ...]:
    """What became of all messages of each channel."""
    rows = list(messages)
    out = []
    for channel in sorted({row.channel for row in rows}):
        states = [row.state for row in rows if row.channel == channel]
        out.append(
            Tally(
                plain(channel),
                sent=states.count(State.SENT),
                unknown=states.count(State.UNKNOWN),
                failed=states.count(State.DEAD),
                waiting=states.count(State.QUEUED) + states.count(State.SENDING),
                merged=states.count(State.MERGED),
            )
        )
    return tuple(out)


def _told(rows: Iterable[Row], channels: Sequence[str], zone: ZoneInfo) -> tuple[Told, ...]:
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in sorted(rows, key=lambda r: (r.created_at, r.key, r.seq, r.kind, r.channel)):
        groups.setdefault((row.key, row.seq, row.kind), []).append(row)
    out = []
    for held in groups.values():
        sent = [Delivered(plain(r.channel), str(r.state), plain(describe(r, zone))) for r in held]
        absent = [c for c in channels if c not in {r.channel for r in held}]
        sent += [Delivered(plain(c), NO_MESSAGE, f"{plain(c)} {NO_MESSAGE}") for c in absent]
        first = held[0]
        out.append(Told(str(first.kind), plain(first.message.title), first.created_at, tuple(sent)))
    return tuple(out)


def alert_title(alert: Alert) -> str:
    try:
        title = alert.title
    except KeyError:  # a rule of another version
        title = alert.rule
    named = dict(alert.labels).get("feed")
    return title + (f" ({named})" if named else "") + (", flapping" if alert.flapping else "")


def open_alerts(alerts: Iterable[AlertPart]) -> tuple[AlertPart, ...]:
    """Those still open; one that is only pending has been told to nobody and may end so."""
    return tuple(a for a in alerts if a.state == AlertState.OPEN)
