"""The report as one frozen value: what is known of a session, part by part. Views only lay it out.

None is "no data" wherever it stands, and a view says so in words. All times are aware, all durations seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from runbook.ask import Ask
from runbook.pause import Pause
from runbook.recon import DayPnl, Reconciliation
from runbook.remedy import Action
from runbook.session import Day


class Stage(StrEnum):
    """Where the day stands. CLOSED and UNKNOWN are the calendar's."""

    CLOSED = "closed"
    UNKNOWN = "unknown"
    AHEAD = "not begun"
    RUNNING = "so far"
    OVER = "over"


class Word(StrEnum):
    """The verdict of a day. QUIET is not CLEAN: nothing was traded, so nothing was proved. Only CLEAN is green."""

    CLEAN = "clean"
    QUIET = "quiet"
    ATTENTION = "attention"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    AHEAD = "not begun"


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that speaks against a clean day; the smaller the rank, the sooner it is said."""

    rank: int
    word: Word
    text: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict in one sentence, and all that it was made of."""

    word: Word
    sentence: str
    concerns: tuple[Concern, ...] = ()


@dataclass(frozen=True, slots=True)
class Hole:
    """A stretch of a repeat in which no row ran; `end` is when the next one was due."""

    start: datetime
    end: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """One planned row, or all rows of a repeat. `state` is the word for all of it, `newest` for the newest that ran.

    `started` and `took` are of the newest try; `late_by` is how long after its time the first one began, None when in
    time. `ended_late` is the deadline that passed before it was ok.
    """

    job: str
    slot: str
    repeating: bool
    first: datetime
    last: datetime
    rows: int
    ran: int
    tries: int
    ok: int
    missed: int
    skipped: int
    broken: int  # failed, timed out, abandoned
    waiting: int  # planned or running
    state: str
    newest: str
    started: datetime | None
    took: float | None
    late_by: float | None
    ended_late: datetime | None
    reason: str
    hint: str
    holes: tuple[Hole, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """The feed in one mode; `end` None: it is not known to have ended."""

    mode: str
    start: datetime
    end: datetime | None

    @property
    def seconds(self) -> float | None:
        return None if self.end is None else (self.end - self.start).total_seconds()


@dataclass(frozen=True, slots=True)
class Outage:
    """From the first doubt to ticks that held. `fell` is when it became a fallback, None when the ticks came back first.

    `silent_from` is when the last tick had come. `back` says whether it ended in ticks or with the session.
    """

    silent_from: datetime | None
    doubted: datetime
    fell: datetime | None
    end: datetime | None
    back: bool
    cause: str
    hint: str
    stretches: tuple[Stretch, ...]

    @property
    def rest(self) -> tuple[Stretch, ...]:
        return tuple(s for s in self.stretches if s.mode == "REST")

    @property
    def blind(self) -> tuple[Stretch, ...]:
        return tuple(s for s in self.stretches if s.mode == "BLIND")


@dataclass(frozen=True, slots=True)
class Shares:
    """Where the session's promised seconds went; `missing` are those of which nothing was written down."""

    promised: float
    websocket: float
    rest: float
    blind: float
    waiting: float
    still: float  # nothing moved at the exchange
    unwatched: float
    missing: float


@dataclass(frozen=True, slots=True)
class FeedPart:
    """The feed of the session. `bar` is its timeline in cells; `until` is the newest word of it."""

    mode: str | None
    shares: Shares | None
    outages: tuple[Outage, ...] | None
    longest_gap: float | None
    ticks: tuple[tuple[str, int | None], ...]
    counts: tuple[tuple[str, int], ...]
    restarts: int
    not_recorded: int | None
    bar: str
    until: datetime | None

    @property
    def known(self) -> bool:
        return self.shares is not None or self.outages is not None

    @property
    def fallbacks(self) -> tuple[Outage, ...]:
        return tuple(o for o in self.outages or () if o.fell is not None)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of one message on one channel: `state` is the outbox's word, or `no message`."""

    channel: str
    state: str
    text: str


@dataclass(frozen=True, slots=True)
class Told:
    """One message, channel by channel."""

    kind: str
    title: str
    at: datetime
    channels: tuple[Delivered, ...]


@dataclass(frozen=True, slots=True)
class AlertPart:
    """One alert of the day and what was told of it."""

    number: int | None
    severity: str
    title: str
    what: str
    opened: datetime
    resolved: datetime | None
    reason: str
    state: str
    messages: tuple[Told, ...]
    acked: datetime | None = None
    acked_by: str = ""
    note: str = ""
    muted: str = ""  # why it was told to nobody, at the end or while it lasted

    @property
    def until_acked(self) -> float | None:
        """Seconds from its beginning until somebody had seen it; None while nobody has."""
        return None if self.acked is None else (self.acked - self.opened).total_seconds()

    @property
    def until_resolved(self) -> float | None:
        return None if self.resolved is None else (self.resolved - self.opened).total_seconds()


@dataclass(frozen=True, slots=True)
class Tally:
    """The messages of one channel by what became of them; `merged` ones were said by a later message."""

    channel: str
    sent: int
    unknown: int
    failed: int
    waiting: int
    merged: int

    @property
    def all(self) -> int:
        return self.sent + self.unknown + self.failed + self.waiting + self.merged


@dataclass(frozen=True, slots=True)
class Trades:
    """The day's trading. `missing` says why a figure is not there."""

    legs: int | None
    pnl: DayPnl | None
    reconciliation: Reconciliation | None
    missing: str = ""


class Seen(StrEnum):
    """What was seen of a component today. It never says `ready`: runbook only looks."""

    OK = "seen ok"
    ATTENTION = "attention"
    NOT_SEEN = "not seen"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Readiness:
    """One row of the guide's table."""

    component: str
    seen: Seen
    evidence: str


@dataclass(frozen=True, slots=True)
class Next:
    """The session after this one. `session` None: the calendar does not know, and `reason` says why in words.

    `remarks` are the holidays and unknown days of the coming week.
    """

    day: date | None
    name: str
    open: datetime | None
    close: datetime | None
    login: datetime | None
    reason: str
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything the ledger knows of a session, said once. `until` is the newest thing written down of it."""

    exchange: str
    zone: ZoneInfo
    day: Day
    stage: Stage
    mode: str
    config: str
    until: datetime | None
    headline: Headline
    trades: Trades
    steps: tuple[Step, ...]
    planned_by_config: int | None  # rows a day like this should have, when the ledger has none
    feed: FeedPart
    alerts: tuple[AlertPart, ...]
    notices: tuple[Told, ...]
    tallies: tuple[Tally, ...]
    readiness: tuple[Readiness, ...]
    next: Next
    asks: tuple[Ask, ...] = ()
    pauses: tuple[Pause, ...] = ()
    actions: tuple[Action, ...] = ()

    @property
    def date(self) -> date:
        return self.day.date

    @property
    def empty(self) -> bool:
        """The ledger holds nothing at all of this session."""
        return not (self.steps or self.alerts or self.notices or self.feed.known or self.asks or self.actions)
