"""The outbox: what has to be told, on which channel, how often it was tried and what became of it.

A row is written in the transaction of its cause and lives on its own from then on. One cycle of the shell, per channel:
`expire` and `merge` the rows, `pick` one and what goes `together` with it, store `claim(row, now)` of each, send their `text_of`,
store `next_step(row, delivery, now, why)` of each.
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
TOGETHER = timedelta(seconds=5)  # alerts that come within it are one message on a channel
_OFFLINE = ("no connection in time", "name is not found")  # as the door's reasons say it
_LINES = 3  # of each of them in it
_REPORT = 20  # or of a piece of news, which may be the report of a day
_MARKS = ("[CRIT]", "[WARN]")


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
    ESCALATION = "escalation"  # the same alert to the next channels, since nobody reacted on those before


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
    epoch: int = 0  # of the process that claimed it last

    @property
    def final(self) -> bool:
        return self.state not in (State.QUEUED, State.SENDING)

    @property
    def held(self) -> bool:
        """It was written to be told later, and its time has not been tried yet."""
        return self.state is State.QUEUED and self.attempts == 0 and self.due_at > self.created_at


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
    due_at: datetime | None = None,
) -> list[Row]:
    """One row per channel, due at once unless `due_at` says when."""
    return [Row(key, c, kind, seq, message, now, expires_at, due_at or now, delayed=delayed) for c in channels]


def claim(row: Row, now: datetime, epoch: int = 0) -> Row:
    """The row as it must stand in the store before it is handed to the notifier: a crash from here on is UNKNOWN."""
    return replace(row, state=State.SENDING, attempts=row.attempts + 1, changed_at=now, epoch=epoch)


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
    """A row as a restart finds it: what was being sent when the process ended may have arrived, and is sent again, marked.

    However often that happens: it is no word of the channel's, and told twice is better than told never.
    """
    if row.state is not State.SENDING:
        return row
    again = replace(row, repeat=True, changed_at=now, reason="runbook stopped while sending")
    return replace(again, state=State.UNKNOWN) if now >= row.expires_at else _again(again, now)


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
    changed: list[Row] = _overtaken(rows, now)
    rows = [r for r in rows if r.state is not State.QUEUED or not any(_same(r, c) for c in changed)] + changed
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


def _overtaken(rows: Sequence[Row], now: datetime) -> list[Row]:
    """Words about an alert that were not sent before a later one came: the newest says it all."""
    words = [r for r in rows if r.kind in (Kind.OPENED, Kind.REMINDER, Kind.ESCALATION)]
    newest = {r.key: r.seq for r in sorted(words, key=lambda r: r.seq) if r.state is State.QUEUED}
    return [
        replace(r, state=State.UNKNOWN if r.repeat else State.MERGED, changed_at=now, reason="said by a later message")
        for r in words
        if r.state is State.QUEUED and r.seq < newest[r.key]
    ]


def _same(one: Row, other: Row) -> bool:
    return (one.key, one.channel, one.kind, one.seq) == (other.key, other.channel, other.kind, other.seq)


def together(row: Row, rows: Sequence[Row], now: datetime) -> list[Row]:
    """`row` and what goes out with it as one message: what was held until now, alerts of the same few seconds; in order.

    What was tried before goes with what it was tried with: it failed as one message, and is repeated as one.
    """

    def joins(other: Row) -> bool:
        if other.state is not State.QUEUED or (other.repeat, other.attempts) != (row.repeat, row.attempts):
            return False
        if row.attempts:
            return other.changed_at == row.changed_at
        if other.due_at > now:
            return False
        if row.held and other.held:
            return True
        near = abs(other.created_at - row.created_at) <= TOGETHER
        return near and Kind.NOTICE not in (row.kind, other.kind)

    first: dict[str, Row] = {}  # one message of an alert in it: its end never stands beside its beginning
    for other in sorted(rows, key=lambda r: (r.created_at, r.key, r.seq)):
        if _same(other, row) or joins(other):
            first.setdefault(other.key, other)
    return list(first.values())


def text_of_all(rows: Sequence[Row]) -> Message:
    """The one message that `rows` are sent as: the worst gives the title, each has its lines."""
    if len(rows) == 1:
        return text_of(rows[0])
    titles = [row.message.title for row in rows]
    mark = next((m for m in _MARKS if any(t.startswith(m) for t in titles)), "")
    if rows[-1].created_at - rows[0].created_at > TOGETHER:
        title = f"{mark} {len(rows)} messages that waited for the session".strip()
    else:
        worst = next((t for t in titles if t.startswith(mark)), titles[0])
        title = f"{worst}, and {len(rows) - 1} more"
    if any(row.repeat for row in rows):
        title += f" {REPEAT_MARK}"
    lines: list[str] = []
    for row in rows:
        room = _REPORT if row.kind is Kind.NOTICE else _LINES
        lines += [f"* {row.message.title}", *(f"  {line}" for line in row.message.body.splitlines()[:room])]
    return Message(title, "\n".join(lines), tuple(row.key for row in rows))


def pick(rows: Sequence[Row], now: datetime) -> Row | None:
    """The row of one channel that is to be sent now, oldest first; never the end of an alert before its beginning.

    What failed earlier is asked first, once, when something newer is due: if the channel is back, all arrives in order.
    """
    if any(r.state is State.SENDING for r in rows):
        return None  # one at a time: a second one could overtake it
    waiting = sorted((r for r in rows if r.state is State.QUEUED), key=lambda r: (r.created_at, r.key, r.seq))
    if any(
        SLOW_DOWN in r.reason and r.changed_at and r.changed_at <= now < r.changed_at + SLOW_DOWN_WAIT for r in waiting
    ):
        return None  # it was said of the channel, not of the message
    first: dict[str, Row] = {}
    for row in waiting:
        first.setdefault(row.key, row)
    due = next((row for row in first.values() if row.due_at <= now or _set_back(row, now)), None)
    if due is None:
        return None
    older = (r for r in first.values() if r.attempts and not r.repeat and r.created_at < due.created_at)
    return next((r for r in older if r.changed_at and r.changed_at < due.due_at), due)


def _set_back(row: Row, now: datetime) -> bool:
    """Whether the clock was put back since the row's wait was decided: then it waits for nothing that is real."""
    return max(row.created_at, row.changed_at or row.created_at) > now


def revive(rows: Sequence[Row], now: datetime) -> list[Row]:
    """What changes among the rows of a channel that has just delivered something: nothing waits for its next try any more."""
    return [replace(r, due_at=now) for r in rows if r.state is State.QUEUED and r.attempts and r.due_at > now]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A channel has delivered nothing since `since`, for the `reason` of its last try; `permanent`: trying has no point."""

    since: datetime
    reason: str
    permanent: bool

    @property
    def offline(self) -> bool:
        """Whether this is what a host without a network sees."""
        return any(words in self.reason for words in _OFFLINE)


def trouble(rows: Sequence[Row]) -> Trouble | None:
    """What is wrong with a channel, from the rows that were tried on it; None when its last try arrived, or none was made."""
    tried = [r for r in rows if r.attempts and r.changed_at is not None and r.state is not State.SENDING]
    sent = max((r.changed_at for r in tried if r.state is State.SENT and r.changed_at), default=None)
    failed = [r for r in tried if r.state is not State.SENT and r.changed_at and (sent is None or r.changed_at > sent)]
    # A merged row changed when its news went into another, which says nothing of the channel; but it had been tried before.
    evidence = [r for r in failed if r.state is not State.MERGED]
    if not evidence:
        return None
    last = max(evidence, key=lambda r: r.changed_at or r.created_at)
    since = min(r.created_at for r in failed)
    dead = last.state is State.DEAD and last.changed_at is not None and last.changed_at < last.expires_at
    return Trouble(max(since, sent) if sent else since, last.reason, dead)


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
