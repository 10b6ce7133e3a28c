"""What can move an alert, in the alert's own words: the feed and the engine translate into these."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from runbook.alert.rules import Severity


class FeedWord(StrEnum):
    """The feed's modes as far as alerts go.

    PROBATION is neither down nor up; SILENT: the market itself rests; OFF ends the session's incident untold.
    """

    LIVE = "live"
    FALLBACK = "fallback"
    PROBATION = "probation"
    BLIND = "blind"
    SILENT = "silent"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class FeedMoved:
    """The feed went from one mode to another at `at`, for the `reason`. `mode` is the configuration's word, `feed` its symbols.

    `unreachable`: nothing of OpenAlgo answers, neither its stream nor REST.
    """

    from_mode: FeedWord
    to_mode: FeedWord
    at: datetime
    reason: str
    evidence: str = ""
    hint: str = ""
    mode: str = "local_paper"
    feed: str = ""
    unreachable: bool = False
    drill: bool = False  # nothing of it is real


@dataclass(frozen=True, slots=True)
class SymbolStale:
    """One instrument is silent on the stream while REST shows it moving and the others tick; `over` when it ticks again."""

    symbol: str
    at: datetime
    reason: str
    hint: str = ""
    over: bool = False
    mode: str = "local_paper"


@dataclass(frozen=True, slots=True)
class JobSettled:
    """An occurrence of a job has its outcome: succeeded | failed | timed_out | abandoned | missed | skipped | cancelled.

    `until_ok`: the job is repeated quietly until it passes (outcome succeeded and verdict `ok`) and is judged only once
    `deadline_passed`. A `repeating` job's missed firing is told only when it goes on.
    """

    job: str
    slot: str
    outcome: str
    verdict: str = "ok"
    reason: str = ""
    hint: str = ""
    severity: Severity = Severity.WARNING
    repeating: bool = False
    until_ok: bool = False
    deadline_passed: bool = False


@dataclass(frozen=True, slots=True)
class LoginDue:
    """It is open-30m and the broker is not verified: the one reminder of the morning's login."""

    session: date
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ReadyReached:
    """All that must be green before the open is green; `title` and `lines` say what."""

    session: date
    title: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotFlat:
    """The open rows after square-off, one text each; none left ends the alert."""

    rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModeLeak:
    """The rows found in a book that must be empty in this `mode`, one text each; none left ends the alert."""

    rows: tuple[str, ...]
    mode: str = "local_paper"
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CalendarDoubt:
    """The calendar is `unknown`, `contradicted` or `stale`, about `day` where it is about one; `over` when no longer.

    An unknown day is told once more each day, `today`: it is a thing to be settled before a date.
    """

    kind: Literal["unknown", "contradicted", "stale"]
    today: date
    day: date | None = None
    reason: str = ""
    severity: Severity = Severity.WARNING
    hint: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class BotMoved:
    """The bot was found `deaf` (the gateway delivers, it does not read), it `reads`, or nothing is due of it any more: `off`."""

    word: Literal["deaf", "reads", "off"]
    at: datetime
    reason: str
    hint: str = ""
    mode: str = "local_paper"


@dataclass(frozen=True, slots=True)
class ConfigDoubt:
    """What config.yaml says could not be put in force; `over` when what is in force is what it says."""

    at: datetime
    reason: str
    hint: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class ChannelMoved:
    """A channel delivers nothing any more; `over` when it has sent something again."""

    channel: str
    at: datetime
    reason: str
    hint: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class UplinkMoved:
    """Our host reaches nobody outside; `reach` says where OpenAlgo is from here: `remote`, or `local` on this host."""

    reach: Literal["remote", "local"]
    at: datetime
    reason: str
    hint: str = ""
    over: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: hold-downs run out, a flap has become stable."""


Cause = (
    FeedMoved
    | SymbolStale
    | JobSettled
    | LoginDue
    | ReadyReached
    | NotFlat
    | ModeLeak
    | CalendarDoubt
    | BotMoved
    | ConfigDoubt
    | ChannelMoved
    | UplinkMoved
    | Tick
)
