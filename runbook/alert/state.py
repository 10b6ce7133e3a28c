"""What an alert is, what can happen to it, and how a message about it is counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from runbook.alert.rules import RULES, AlertRule, Severity
from runbook.outbox import Kind


class AlertState(StrEnum):
    """PENDING is held down and told to nobody."""

    PENDING = "pending"
    OPEN = "open"
    RESOLVED = "resolved"


DRILL = ("drill", "yes")  # the label of an alert of which nothing is real


@dataclass(frozen=True, slots=True)
class Entry:
    """The cause of `rule` set in at `at`; the memory from which a flap is told."""

    rule: str
    at: datetime


LONGEST_WAIT = timedelta(
    minutes=5
)  # of `settles_at`: no hold-down is longer, nor the time in which a flap must be stable


@dataclass(frozen=True, slots=True)
class Alert:
    """One incident. Its `fingerprint` knows neither values nor times; at most one of a fingerprint is unresolved.

    `rule` judges it now, `peak` was the worst. `settles_at` is when a pending alert opens, or when a flapping one whose cause
    is gone may close. `said` is the rule of the last word told ("" after a recovery, or when nothing was told), `told` counts
    those words, and `seq` all messages, reminders too. `muted` says why it is told to nobody, "" when it is not.
    `number` is the store's, for people.
    """

    rule: str
    labels: tuple[tuple[str, str], ...]
    severity: Severity
    opened_at: datetime  # since when the cause is there, not since when it is told
    what: str
    done: str
    todo: str
    state: AlertState = AlertState.PENDING
    peak: str = ""
    resolved_at: datetime | None = None
    reason: str = ""  # why it is resolved
    settles_at: datetime | None = None
    flapping: bool = False
    entries: tuple[Entry, ...] = ()
    said: str = ""
    told: int = 0
    number: int | None = None
    seq: int = 0
    told_at: datetime | None = None  # when the last message was written
    to: tuple[str, ...] | None = None  # the channels it is meant for; None: every one
    level: int = 0  # how far up the ladder of channels it has climbed
    level_at: datetime | None = None  # since when the people of that level are expected to react
    reminded: int = 0
    mending: bool = False  # its cause is on probation
    muted: str = ""
    acked: bool = False  # somebody has seen it as it is now; the last who did stands below
    acked_at: datetime | None = None
    acked_by: str = ""
    note: str = ""

    @property
    def fingerprint(self) -> str:
        return fingerprint(RULES[self.rule], self.labels)

    @property
    def key(self) -> str:
        """Unique per incident: the fingerprint and the instant it began."""
        return f"{self.fingerprint}@{self.opened_at.isoformat()}"

    @property
    def title(self) -> str:
        return self.words(RULES[self.rule].title) + " (drill)" * self.drill

    @property
    def drill(self) -> bool:
        """Nothing of it is real: it is told and acknowledged as any other, and nothing may be done about it."""
        return DRILL in self.labels

    def settled(self, now: datetime) -> bool:
        """Whether its wait is over; one that ends later than any wait can was begun by a clock that since was put back."""
        return self.settles_at is not None and not now < self.settles_at <= now + LONGEST_WAIT

    def words(self, text: str) -> str:
        """`text` of the rule table with this alert's labels filled in."""
        for name, value in self.labels:
            text = text.replace("{" + name + "}", value)
        return text

    def dump(self) -> str:
        """As JSON, for the ledger."""
        return json.dumps(asdict(self), default=_plain, sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Alert:
        """The alert that `dump` wrote."""
        row: dict[str, Any] = json.loads(text)
        for name in ("opened_at", "resolved_at", "settles_at", "told_at", "level_at", "acked_at"):
            row[name] = datetime.fromisoformat(row[name]) if row.get(name) else None
        row["severity"], row["state"] = Severity(row["severity"]), AlertState(row["state"])
        row["labels"] = tuple((k, v) for k, v in row["labels"])
        row["entries"] = tuple(Entry(e["rule"], datetime.fromisoformat(e["at"])) for e in row["entries"])
        row["to"] = tuple(row["to"]) if row.get("to") is not None else None
        row.setdefault("seq", row["told"])  # a row from before reminders were counted
        return cls(**row)


@dataclass(frozen=True, slots=True)
class Notice:
    """News that is no alert: it is told once and never resolved. `key` makes it unique for its day."""

    key: str
    title: str
    lines: tuple[str, ...] = ()


class ChangeKind(StrEnum):
    """What happened to an alert. PENDING and UPDATED are only stored."""

    PENDING = "pending"
    OPENED = "opened"
    UPDATED = "updated"
    ESCALATED = "escalated"
    EASED = "eased"  # BLIND became REST
    FLAPPING = "flapping"
    REMINDED = "reminded"
    CLIMBED = "climbed"  # to the next channels, since nobody reacted on those before
    RELEASED = "released"  # what kept it from being told is over
    ACKED = "acked"
    UNACKED = "unacked"  # a new session begins, and it is still there
    RESOLVED = "resolved"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True)
class AlertChange:
    """One step of an alert, or a notice. `alert` is as it stands afterwards; store it by its `key`; tell it when `tell`.

    `why` says what brought a message that no change of the cause did.
    """

    kind: ChangeKind
    at: datetime
    subject: Alert | Notice
    tell: bool = False
    why: str = ""

    @property
    def alert(self) -> Alert | None:
        return self.subject if isinstance(self.subject, Alert) else None

    @property
    def key(self) -> str:
        return self.subject.key

    @property
    def row_kind(self) -> Kind:
        """What the outbox calls it."""
        if isinstance(self.subject, Notice):
            return Kind.NOTICE
        return _ROWS.get(self.kind, Kind.OPENED)

    @property
    def seq(self) -> int:
        """The number of this message within its key; with `row_kind` and a channel it is the outbox row's identity."""
        return self.subject.seq if isinstance(self.subject, Alert) else 0


def fingerprint(rule: AlertRule, labels: Sequence[tuple[str, str]]) -> str:
    """What an alert is recognised by: the incident its rule belongs to and the sorted labels."""
    return rule.incident + "{" + ",".join(f"{k}={v}" for k, v in sorted(labels)) + "}"


_ROWS = {
    ChangeKind.RESOLVED: Kind.RESOLVED,
    ChangeKind.REMINDED: Kind.REMINDER,
    ChangeKind.UNACKED: Kind.REMINDER,
    ChangeKind.CLIMBED: Kind.ESCALATION,
}


def spoken(kind: ChangeKind, now: datetime, alert: Alert, tell: bool = True) -> AlertChange:
    """A new word about an open alert: whoever hears it is expected to react from now on."""
    if tell:
        alert = replace(
            alert, said=alert.rule, told=alert.told + 1, seq=alert.seq + 1, told_at=now, level_at=now, muted=""
        )
    return AlertChange(kind, now, alert, tell)


def repeated(kind: ChangeKind, now: datetime, alert: Alert, why: str) -> AlertChange:
    """The last word once more, for the reason `why`; it is no new word, so it does not count as one."""
    return AlertChange(kind, now, replace(alert, seq=alert.seq + 1, told_at=now), tell=True, why=why)


def resolved(alert: Alert, now: datetime, reason: str, *, tell: bool) -> AlertChange:
    """The end of an alert."""
    over = replace(alert, state=AlertState.RESOLVED, resolved_at=now, reason=reason, settles_at=None, mending=False)
    if tell:
        over = replace(over, said="", told=over.told + 1, seq=over.seq + 1, told_at=now)
    return AlertChange(ChangeKind.RESOLVED, now, over, tell)


def worse(rule: AlertRule, said: str) -> bool:
    """Whether `rule` is worse than the last word told."""
    return not said or rule.rank > RULES[said].rank


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} does not belong into an alert")
