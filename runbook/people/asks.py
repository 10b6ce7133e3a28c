"""Answers to what was asked, and the wish to look again."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from runbook.alert.lifecycle import BROKER_JOB
from runbook.ask import RUN, Ask, AskKind
from runbook.errors import UsageError
from runbook.job import Key, Verdict
from runbook.people import evidence
from runbook.run import Run, State
from runbook.spans import span

if TYPE_CHECKING:
    from runbook.adapters.store import Books

_SHOWN = 8  # open asks that an error names


def answer(books: Books, number: int, choice: str, note: str, actor: str, now: datetime) -> str:
    """Answer ask `number` with one of its choices; what it was about goes on, or ends, in the same transaction."""
    asked = books.asks.ask(number)
    if asked is None:
        waiting = ", ".join(f"{a.number} ({a.name})" for a in books.asks.waiting()[:_SHOWN])
        raise UsageError(
            f"there is no ask {number}; open: {waiting or 'none'}", hint="`runbook asks --all` shows the earlier ones"
        )
    done = asked.answered(choice, actor, now, " ".join(note.split()), evidence.current(books, asked))
    if not books.asks.store(done):
        raise UsageError(
            f"ask {number} was answered by somebody else just now", hint="`runbook asks --all` shows by whom"
        )
    return f"ask {number}, {asked.name}: {done.answer}{_follows(books, done, actor, now)}"


def _follows(books: Books, done: Ask, actor: str, now: datetime) -> str:
    """Carry out what the answer means for its occurrence; gives the rest of the sentence."""
    if done.kind is AskKind.MANUAL:
        end_manual(books, done, actor, now)
    elif done.kind in (AskKind.LATE, AskKind.ABANDONED):
        key = Key(done.session, done.name, done.slot or "")
        if done.answer == RUN:
            books.ledger.reopen(key, now, f"run, said {actor}")
            return f"; {key} starts with the daemon's next turn"
        books.ledger.end([key], State.SKIPPED, f"ask {done.number}: {done.ending}")
        return f"; {key} is skipped"
    if done.verify_at is not None:
        return f"; {done.verify} looks again in {span((done.verify_at - now).total_seconds())}"
    return ""


def end_manual(books: Books, done: Ask, actor: str, now: datetime) -> None:
    """End the row of a manual step: an answer other than the safe default is its success, the default skips it.

    So a step that `needs` it runs after a yes alone, whether the default was said or taken.
    """
    key = Key(done.session, done.name, done.slot or "")
    lease = books.desk.lease()
    attempt = books.ledger.claim(key, actor, done.asked, lease.epoch if lease else 0, again=True)
    if attempt is None:
        return
    yes = done.answer != done.default
    books.ledger.settle(
        Run(
            key, attempt.n, actor, attempt.started, now, State.SUCCEEDED if yes else State.SKIPPED, Verdict.OK if yes else None,
            f"ask {done.number}: {done.ending}", {"ask": done.number, "answer": done.answer, "note": done.note},
        )
    )  # fmt: skip


def recheck(books: Books, actor: str, now: datetime) -> str:
    """Have the live daemon verify the broker at once, the stream included; raises UsageError where none lives."""
    request_check(books, BROKER_JOB, actor, now)
    return f"{BROKER_JOB} was asked for; `runbook status` shows what it finds"


def request_check(books: Books, job: str, actor: str, now: datetime) -> tuple[int, Key]:
    """Leave a request to run the row of `job` that speaks for now; (its number, the row)."""
    lease = books.desk.lease()
    if lease is None or lease.expires <= now:
        raise UsageError(
            "no daemon runs that could look again",
            hint=f"`runbook doctor` asks every hop by itself, `runbook run {job} --again` runs the check here, `runbook serve` starts the daemon",
        )
    entry = books.ledger.nearest(job, now)
    if entry is None:
        raise UsageError(
            f"the ledger has no row of {job} to run", hint="is it in the configuration? `runbook plan` shows the days"
        )
    key = entry.key
    data = {"session": str(key.session), "job": key.job, "slot": key.slot, "reason": "recheck"}
    return books.desk.ask("run", data, actor, now), key
