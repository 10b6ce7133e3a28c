"""Runs: how an occurrence ends, and what late, missed, skipped and abandoned mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from runbook.alert import Cause
from runbook.errors import JobFailed, RunbookError, Skip, TimedOut
from runbook.job import Found, JobSpec, Key, Occurrence, Verdict


class State(StrEnum):
    """Where an occurrence stands. All but PLANNED, WAITING_HUMAN and RUNNING are final; each final row has a reason."""

    PLANNED = "planned"
    WAITING_HUMAN = "waits_human"  # twelve characters are the room that the ledger has for a state
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    ABANDONED = "abandoned"
    MISSED = "missed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (State.PLANNED, State.WAITING_HUMAN, State.RUNNING)


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at an occurrence, ended. `again_at` is given when the occurrence is to be tried once more."""

    key: Key
    n: int
    actor: str
    started: datetime
    ended: datetime
    outcome: State
    verdict: Verdict | None
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    hint: str | None = None
    error_class: str | None = None
    again_at: datetime | None = None
    tell: tuple[str, tuple[str, ...]] | None = None
    causes: tuple[Cause, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt under way."""

    occurrence: Occurrence
    n: int
    actor: str
    started: datetime


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt as the ledger keeps it; `ended` is None while it runs."""

    n: int
    actor: str
    started: datetime
    ended: datetime | None
    outcome: State | None
    verdict: Verdict | None
    reason: str
    hint: str | None
    facts: dict[str, Any]
    error_class: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One occurrence as the ledger keeps it, with its attempts in order."""

    occurrence: Occurrence
    repeating: bool
    state: State
    verdict: Verdict | None
    reason: str
    config_hash: str
    tries: tuple[Try, ...] = field(default=())

    @property
    def key(self) -> Key:
        return self.occurrence.key

    @property
    def last(self) -> Try | None:
        return self.tries[-1] if self.tries else None


@dataclass(frozen=True, slots=True)
class Moved:
    """A planned occurrence whose time changed with the calendar or the configuration."""

    key: Key
    was: datetime
    now: datetime


def settle(job: JobSpec, attempt: Attempt, ended: datetime, result: object, until: datetime | None = None) -> Run:
    """What an attempt came to. Nothing is lost: an exception of any kind becomes a row with its class and text.

    `until` is when the job's retries end in this session, where they say so.
    """
    occurrence = attempt.occurrence
    error_class = hint = None
    if isinstance(result, Found) and (why := _unfit(result)):
        result = JobFailed(
            f"what it found cannot be kept: {why}",
            hint="Found(verdict, one sentence, facts); facts are plain JSON: text, numbers, lists, mappings",
        )
    facts: Mapping[str, Any] = {}
    verdict: Verdict | None = None
    match result:
        case Skip():
            outcome, reason, hint = State.SKIPPED, _words(result), result.hint
        case RunbookError():
            outcome = State.TIMED_OUT if isinstance(result, TimedOut) else State.FAILED
            reason, hint, error_class = _words(result), result.hint, type(result).__name__
            verdict = Verdict.UNKNOWN
            if isinstance(result, JobFailed) and not _unfit(Found(Verdict.UNKNOWN, reason, result.facts)):
                facts = result.facts
        case BaseException():
            text = _words(result).strip().splitlines()
            outcome, error_class, verdict = State.FAILED, type(result).__name__, Verdict.UNKNOWN
            reason = f"{error_class}: {text[0] if text else 'no message'}"
        case Found():
            outcome, verdict, reason, facts, hint = (
                State.SUCCEEDED,
                result.verdict,
                result.summary,
                result.facts,
                result.hint,
            )
        case None:
            outcome, verdict, reason = State.SUCCEEDED, Verdict.OK, "done"
        case _:
            outcome, verdict, error_class = State.FAILED, Verdict.UNKNOWN, "TypeError"
            reason = f"the step returned {type(result).__name__}; accepted: Found(...) or None"
    again = None
    if verdict is not Verdict.OK and outcome is not State.SKIPPED:
        hopeless = isinstance(result, RunbookError) and result.permanent
        again = _again(job, attempt, ended, until, failed=outcome in (State.FAILED, State.TIMED_OUT) and not hopeless)
    tell = result.tell if isinstance(result, Found) else None
    causes = result.causes if isinstance(result, Found) else ()
    return Run(
        occurrence.key, attempt.n, attempt.actor, attempt.started, ended, outcome, verdict, reason, facts, hint, error_class,
        again, tell, causes,
    )  # fmt: skip


def _unfit(found: Found) -> str | None:
    """Why what a step gave back would not come through the ledger, or None. Steps are the operator's; nobody typed them."""
    verdict: Any = found.verdict
    facts: Any = found.facts
    tell: Any = found.tell
    if not isinstance(verdict, Verdict):
        return f"the verdict is {verdict!r:.60}, accepted: Verdict.OK, ATTENTION, BAD or UNKNOWN"
    texts: list[Any] = [found.summary, *([] if found.hint is None else [found.hint])]
    if tell is not None:
        if not (isinstance(tell, tuple) and len(tell) == 2 and isinstance(tell[1], tuple)):
            return "tell is no (title, lines)"
        texts += [tell[0], *tell[1]]
    if bad := [text for text in texts if not isinstance(text, str)]:
        return f"{type(bad[0]).__name__} where a text belongs"
    if not isinstance(facts, Mapping):
        return f"facts are a {type(facts).__name__}, no mapping"
    try:
        json.dumps(dict(facts), allow_nan=False)
        "".join(map(str, texts)).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        return str(exc)
    return None


def _words(exc: BaseException) -> str:
    """The text of an exception, whatever its author did to it; what is no text of a database is written as escapes."""
    try:
        text = str(exc)
    except Exception as broken:  # noqa: BLE001  # a __str__ that fails must not cost the row
        text = f"no message ({type(broken).__name__} while it was read)"
    return text.encode(errors="backslashreplace").decode()


def _again(job: JobSpec, attempt: Attempt, ended: datetime, until: datetime | None, *, failed: bool) -> datetime | None:
    """When to try once more: a check that repeats until it passes, or a failure that has retries left."""
    wait = job.repeat_until_ok
    if wait is None and failed and job.retries is not None:
        wait = job.retries.wait(attempt.n)
    last = attempt.occurrence.latest_start if until is None else min(until, attempt.occurrence.latest_start)
    if wait is None:
        return None
    at = max(ended + wait, attempt.occurrence.planned)  # a clock that was put back may stand before the row's own time
    return at if at <= last else None


def overran(job: JobSpec, attempt: Attempt, now: datetime, until: datetime | None = None) -> Run:
    """An attempt that used up its time: its thread is left behind, its slot is free at once."""
    reason = f"still running after {job.timeout:g} s; given up, whatever it may yet do does not count"
    again = _again(job, attempt, now, until, failed=True)
    return Run(
        attempt.occurrence.key, attempt.n, attempt.actor, attempt.started, now, State.TIMED_OUT, Verdict.UNKNOWN, reason,
        hint=f"raise `timeout:` of {job.name} if it needs longer", error_class="Overrun", again_at=again,
    )  # fmt: skip


def abandoned(attempt: Attempt, now: datetime) -> Run:
    """An attempt whose process is gone."""
    reason = "the runbook process ended while this ran; how far it came is not known"
    return Run(
        attempt.occurrence.key, attempt.n, attempt.actor, attempt.started, now, State.ABANDONED, Verdict.UNKNOWN, reason
    )


__all__ = ["Attempt", "JobFailed", "Run", "State", "abandoned", "overran", "settle"]
