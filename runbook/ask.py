"""Asks: questions put to a person, with choices, the evidence they rest on, a time by which, and what holds if nobody answers.

An ask is opened once and answered at most once. Its end is one of: ANSWERED by somebody, DEFAULTED when its deadline passed,
VOID when what it was asked about is no longer so. A safe default does nothing: it stays on paper, it does not run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook.errors import UsageError
from runbook.finding import Finding

if TYPE_CHECKING:
    from runbook.job import Key
    from runbook.trigger import Anchor

RUN, SKIP = "run", "skip"  # the choices about an occurrence that was found late, or cut off
VERIFY_AFTER = timedelta(seconds=15)  # a broker that was logged in to needs a moment, and so does a unit that restarts


class AskState(StrEnum):
    """Where an ask stands; all but OPEN are final."""

    OPEN = "open"
    ANSWERED = "answered"
    DEFAULTED = "defaulted"
    VOID = "void"


class AskKind(StrEnum):
    """What an ask is about.

    MANUAL: a planned step that a person does. LATE, ABANDONED: an occurrence that is not run before somebody says so.
    FINDING: something was found that a person has to put right. APPROVAL: a command that needs a yes.
    """

    MANUAL = "manual"
    LATE = "late"
    ABANDONED = "abandoned"
    FINDING = "finding"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class AskSpec:
    """What the configuration says of a question. `verify` names the job that looks again, `verify_after` an answer."""

    question: str
    choices: tuple[str, ...]
    default: str
    deadline: Anchor
    how: tuple[str, ...] = ()
    link: str = ""
    contact: str = ""
    verify: str | None = None
    verify_after: timedelta = VERIFY_AFTER


@dataclass(frozen=True, slots=True)
class Standing:
    """A question that no clock asks but something found: `when` any of it holds. `once`: a yes holds for ever."""

    name: str
    when: tuple[Finding, ...]
    spec: AskSpec
    once: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One question as the ledger keeps it. `key` is unique; `name` is a job's, or that of a standing question.

    `evidence` is what the question rests on, without times and prices: when it changes, the ask is void. `seen` says it in a
    sentence. `verify_at` is when `verify` is to look again, None when nobody has to; `verified` what it found.
    """

    key: str
    kind: AskKind
    session: date
    name: str
    question: str
    choices: tuple[str, ...]
    default: str
    evidence: Mapping[str, Any]
    asked: datetime
    deadline: datetime | None = None
    slot: str | None = None
    seen: str = ""
    how: tuple[str, ...] = ()
    link: str = ""
    contact: str = ""
    verify: str | None = None
    verify_after: timedelta = VERIFY_AFTER
    state: AskState = AskState.OPEN
    answer: str | None = None
    by: str = ""
    at: datetime | None = None
    note: str = ""
    verify_at: datetime | None = None
    verified: str = ""
    number: int | None = field(default=None, compare=False)

    @property
    def hash(self) -> str:
        return hash_of(self.evidence)

    @property
    def open(self) -> bool:
        return self.state is AskState.OPEN

    @property
    def label(self) -> str:
        return f"ask {self.number}" if self.number is not None else "the ask"

    def about(self, key: Key) -> bool:
        """True when the ask is about the occurrence `key`."""
        return (self.session, self.name, self.slot) == (key.session, key.job, key.slot)

    def answered(self, choice: str, by: str, now: datetime, note: str = "", evidence: object = None) -> Ask:
        """The ask with its answer; raises UsageError for what cannot be one.

        `evidence` is what holds now, None when that cannot be told here. An answer that is no default and has something to be
        verified by says when to look.
        """
        if not self.open:
            raise UsageError(
                f"{self.label} is closed: {self.ending}; an answer counts once",
                hint="`runbook asks` shows what is open",
            )
        found = next((c for c in self.choices if c.casefold() == choice.strip().casefold()), None)
        if found is None:
            accepted = " or ".join(self.choices)
            example = f"runbook answer {self.number} {self.choices[0]}"
            raise UsageError(f"{choice!r} is no answer to {self.label}; accepted: {accepted}, for example `{example}`")
        if self.deadline is not None and now >= self.deadline:
            raise UsageError(f"the time to answer {self.label} is over; {self.default} holds, the safe default")
        if isinstance(evidence, Mapping) and hash_of(evidence) != self.hash:
            raise UsageError(
                f"{self.label} is void: what it was asked about is no longer so ({_words(self.evidence)}; now {_words(evidence)})",
                hint="`runbook asks` shows what is asked now",
            )
        looks = self.verify is not None and found != self.default
        return replace(
            self, state=AskState.ANSWERED, answer=found, by=by, at=now, note=note, verify_at=now + self.verify_after if looks else None
        )  # fmt: skip

    def expired(self, now: datetime) -> Ask | None:
        """The ask with its safe default taken, when its deadline has passed."""
        if not self.open or self.deadline is None or now < self.deadline:
            return None
        return replace(self, state=AskState.DEFAULTED, answer=self.default, at=now)

    def as_of(self, now: datetime) -> Ask:
        """The ask as it stands at `now`, whether or not a daemon lives to write that down."""
        return replace(late, at=self.deadline) if (late := self.expired(now)) else self

    def void(self, why: str, now: datetime) -> Ask:
        """The ask closed by itself: nothing is left to answer."""
        return replace(self, state=AskState.VOID, at=now, note=why)

    @property
    def ending(self) -> str:
        """How it ended, in words; empty while it is open."""
        match self.state:
            case AskState.OPEN:
                return ""
            case AskState.ANSWERED:
                return f"{self.answer}, said {self.by}" + (f" ({self.note})" if self.note else "")
            case AskState.DEFAULTED:
                return f"unanswered, so {self.answer}: the safe default"
        return f"void: {self.note}"

    @property
    def how_to_answer(self) -> str:
        """`runbook answer 12 done | not_done`."""
        return f"runbook answer {self.number} {' | '.join(self.choices)}"

    def lines(self, zone: ZoneInfo) -> tuple[str, ...]:
        """What a person needs who was away: the question, why, how, where, whom to call, how to answer, and by when."""
        found = [self.question]
        if self.seen:
            found.append(f"seen: {self.seen}")
        found += [f"{n}. {text}" for n, text in enumerate(self.how, 1)] if len(self.how) > 1 else list(self.how)
        found += [self.link] if self.link else []
        found += [f"help: {self.contact}"] if self.contact else []
        found.append(f"answer: {self.how_to_answer}")
        if self.deadline is not None:
            until, asked = self.deadline.astimezone(zone), self.asked.astimezone(zone)
            form = "%H:%M" if until.date() == asked.date() else "%d %b %H:%M"
            found.append(f"unanswered at {until:{form}}: {self.default}")
        return tuple(found)


def hash_of(evidence: object) -> str:
    """SHA-256 of the evidence as canonical JSON."""
    return hashlib.sha256(json.dumps(evidence, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def key_of(kind: AskKind, name: str, session: date, evidence: Mapping[str, Any], slot: str = "", n: int = 0) -> str:
    """What makes an ask itself: the same question on the same evidence is asked once; `n` counts what came back."""
    return f"{kind}:{session}:{name}:{slot}:{hash_of(evidence)[:12]}" + (f":{n}" if n else "")


def about_occurrence(kind: AskKind, planned: datetime, deadline: datetime, tries: int) -> dict[str, Any]:
    """The evidence of an ask about an occurrence: when it was to run, until when, and how often it was tried."""
    return {"about": str(kind), "planned": planned.isoformat(), "until": deadline.isoformat(), "tries": tries}


def _words(evidence: object) -> str:
    return (
        ", ".join(f"{k} {v}" for k, v in evidence.items()) if isinstance(evidence, Mapping) and evidence else "nothing"
    )
