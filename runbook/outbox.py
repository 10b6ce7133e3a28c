"""The outbox: what has to be told, on which channel, how often it was tried and what became of it.

A row is written in the transaction of its cause and lives on its own from then on. One cycle of the shell, per channel:
`expire` and `merge` the rows, `pick` one, store `claim(row, now)`, send `text_of(row)`, store `next_step(row, delivery, now, why)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from runbook.ports import Delivery, Message

BACKOFF = tuple(timedelta(seconds=s) for s in (5, 15, 60, 300, 900))  # the last one repeats
SPACING = timedelta(seconds=1)  # Telegram: at most one message a second to one chat
WINDOW, PER_WINDOW = timedelta(seconds=60), 20  # and 20 a minute to one group
SLOW_DOWN = "error=429"  # as the door's reasons say it; Apprise hides Retry-After
SLOW_DOWN_WAIT = timedelta(seconds=30)  # what Telegram asks for at least
LAST_TRY = timedelta(minutes=15)  # how late the try that is due at the expiry may come
REPEAT_MARK = "(may be a repeat)"


class State(StrEnum):
    """Where a row is. SENT, UNKNOWN, DEAD and MERGED are final."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    UNKNOWN = "unknown"  # it may have arrived, and so may its marked repeat
    DEAD = "dead"  # it did not arrive, and is not tried again
    MERGED = "merged"  # never arrived, its news did in a later message


class Kind(StrEnum):
    """What a row says of its alert."""

    OPENED = "opened"  # and whatever changed while it is open: worse, eased, flapping
    RESOLVED = "resolved"
    NOTICE = "notice"
    REMINDER = "reminder"


@dataclass(frozen=True, slots=True)
class Row:
    """One message on one channel; (key, channel, kind, seq) is unique. All datetimes are aware.

    `key` is an alert's or a notice's key. `delayed` is, on a RESOLVED row, the one line that stands for the whole incident
    when its alarm never arrived. `repeat` says that an earlier attempt may have arrived.
    """

    key: str
    channel: str
    kind: Kind
    seq: int
    message: Message
    created_at: datetime
    expires_at: datetime
    due_at: datetime
    state: State = State.QUEUED
    attempts: int = 0
    repeat: bool = False
    changed_at: datetime | None = None  # the last attempt, or the end
    reason: str = ""
    delayed: str = ""

    @property
    def final(self) -> bool:
        return self.state not in (State.QUEUED, State.SENDING)


def enqueue(
    key: str,
    channels: Iterable[str],
    kind: Kind,
    seq: int,
    message: Message,
    *,
    now: datetime,
    expires_at: datetime,
    delayed: str = "",
) -> list[Row]:
    """One row per channel, due at once."""
    return [Row(key, c, kind, seq, message, now, expires_at, now, delayed=delayed) for c in channels]


def claim(row: Row, now: datetime) -> Row:
    """The row as it must stand in the store before it is handed to the notifier: a crash from here on is UNKNOWN."""
    return replace(row, state=State.SENDING, attempts=row.attempts + 1, changed_at=now)


def next_step(row: Row, delivery: Delivery, now: datetime, reason: str = "") -> Row:
    """What becomes of a claimed row after an attempt that ended as `delivery`, for the `reason` the door gave."""
    ended = replace(row, changed_at=now, reason=reason)
    if delivery is Delivery.SENT:
        return replace(ended, state=State.SENT)
    if delivery is Delivery.MISCONFIGURED:
        return replace(ended, state=State.DEAD)  # no retry mends a URL
    if delivery is Delivery.UNKNOWN:
        if row.repeat or now >= row.expires_at:
            return replace(ended, state=State.UNKNOWN)
        return _again(replace(ended, repeat=True), now)
    if now >= row.expires_at:
        return replace(ended, state=State.UNKNOWN if row.repeat else State.DEAD)
    return _again(ended, now)


def recover(row: Row, now: datetime) -> Row:
    """A row as a restart finds it: what was being sent when the process ended may have arrived."""
    return next_step(row, Delivery.UNKNOWN, now, "runbook stopped while sending") if row.state is State.SENDING else row


def text_of(row: Row) -> Message:
    """The message as it goes out now, with the key of what it is about; a repeat says so."""
    title = f"{row.message.title} {REPEAT_MARK}" if row.repeat else row.message.title
    return replace(row.message, title=title, about=(row.key,))


def earliest(history: Sequence[datetime], now: datetime) -> datetime:
    """When a channel may be used again, given its earlier attempts in order: >= 1 s apart, <= 20 in any minute."""
    at = now
    history = [used for used in history if used <= now]  # what lies ahead was written by a clock since put right
    if history:
        at = max(at, history[-1] + SPACING)
    if len(history) >= PER_WINDOW:
        at = max(at, history[-PER_WINDOW] + WINDOW)
    return at


def expire(rows: Sequence[Row], now: datetime) -> list[Row]:
    """The rows whose time passed while nobody was sending; only those. Yesterday's alarm is the report's, not the phone's."""
    return [
        replace(
            row,
            state=State.UNKNOWN if row.repeat else State.DEAD,
            changed_at=now,
            reason=f"expired unsent{': ' * bool(row.reason)}{row.reason}",
        )
        for row in rows
        if row.state is State.QUEUED and now > row.expires_at + LAST_TRY
    ]


def merge(rows: Sequence[Row], now: datetime) -> list[Row]:
    """What changes among the rows of one channel because a cause ended before it was told. `rows` holds all rows of a key.

    Nobody heard the alarm: one line replaces the pair. The alarm is known to have arrived, or may have: what is still
    queued of it is dropped and the recovery goes out as it is. While an alarm is being sent nothing is decided.
    """
    changed: list[Row] = []
    for end in rows:
        if end.kind is not Kind.RESOLVED or end.state is not State.QUEUED:
            continue
        before = [r for r in rows if r.key == end.key and r.seq < end.seq and r.kind is not Kind.NOTICE]
        if any(r.state is State.SENDING for r in before):
            continue
        for row in before:
            if row.state is State.QUEUED:
                state = State.UNKNOWN if row.repeat else State.MERGED
                changed.append(replace(row, state=state, changed_at=now, reason="over before it could be told"))
        heard = any(r.repeat or r.state in (State.SENT, State.UNKNOWN) for r in before)
        if before and not heard and end.delayed and end.message != Message(end.delayed, ""):
            changed.append(replace(end, message=Message(end.delayed, "")))
    return changed


def pick(rows: Sequence[Row], now: datetime) -> Row | None:
    """The row of one channel that is to be sent now, oldest first; never the end of an alert before its beginning."""
    if any(r.state is State.SENDING for r in rows):
        return None  # one at a time: a second one could overtake it
    waiting = sorted((r for r in rows if r.state is State.QUEUED), key=lambda r: (r.created_at, r.key, r.seq))
    blocked: set[str] = set()
    for row in waiting:
        set_back = max(row.created_at, row.changed_at or row.created_at) > now  # the clock, since the wait was decided
        if (row.due_at <= now or set_back) and row.key not in blocked:
            return row
        blocked.add(row.key)
    return None


def describe(row: Row, zone: ZoneInfo) -> str:
    """What became of a row, for the report: `phone sent 10:02:15 (1 try)`."""
    tries = f"{row.attempts} {'try' if row.attempts == 1 else 'tries'}"
    why = f": {row.reason}" if row.reason and row.state is not State.SENT else ""
    if row.state is State.QUEUED:
        when = row.due_at.astimezone(zone).strftime("%H:%M:%S")
        return f"{row.channel} not yet told, next try {when} ({tries}){why}"
    when = f" {row.changed_at.astimezone(zone):%H:%M:%S}" if row.changed_at else ""
    return f"{row.channel} {row.state}{when} ({tries}){why}"


def _again(row: Row, now: datetime) -> Row:
    wait = BACKOFF[min(max(row.attempts, 1), len(BACKOFF)) - 1]
    if SLOW_DOWN in row.reason:
        wait = max(wait, SLOW_DOWN_WAIT)
    # The last try falls on the expiry itself, so that a long wait does not swallow it.
    return replace(row, state=State.QUEUED, due_at=max(now, min(now + wait, row.expires_at)))
