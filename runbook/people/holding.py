"""Holding back: pause a step for maintenance, resume it, skip it once. Each is a row, and each row it holds back says why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook.errors import UsageError
from runbook.fault import nearest
from runbook.job import Key
from runbook.pause import ALL, Pause
from runbook.run import Entry, State

if TYPE_CHECKING:
    from runbook.adapters.store import Books


def pause(
    books: Books, job: str, until: datetime | None, reason: str, actor: str, now: datetime, *, known: Sequence[str] = ()
) -> str:
    """Hold `job` (or all) back from now until `until`, None: until it is resumed. What it would have run ends as skipped.

    `known` are the jobs of the configuration; without it those that the ledger has seen. A pause in force is replaced.
    """
    _known(books, job, known)
    why = _why(reason, f"runbook pause {job} --until 30m --reason 'maintenance at the broker'")
    if until is not None and until <= now:
        found = f"{until:%Y-%m-%d %H:%M} is over"
        raise UsageError(f"{found}; accepted: a time to come, for example 30m, 15:30 or {now:%Y-%m-%d}")
    for held in books.pauses.held(now):
        if held.job == job and held.number is not None:
            books.pauses.end(held.number, actor, now)
    books.pauses.add(Pause(job, now, until, why, actor))
    what = "every step" if job == ALL else job
    last = f"until {until:%Y-%m-%d %H:%M}" if until is not None else "until `runbook resume " + job + "`"
    return f"{what} is paused {last}: {why}; what falls into it ends as skipped, what runs now goes on"


def resume(books: Books, job: str, actor: str, now: datetime) -> str:
    """End the pauses of `job`; `all` ends every pause."""
    held = books.pauses.held(now)
    mine = [p for p in held if job in (p.job, ALL)]
    if not mine:
        paused = ", ".join(p.job for p in held)
        covering = next((p for p in held if p.covers(job)), None)
        hint = (
            f"it is held back with all others: `runbook resume {ALL}`"
            if covering
            else "`runbook status` shows what is paused"
        )
        raise UsageError(f"{job} is not paused by itself; paused: {paused or 'nothing'}", hint=hint)
    for one in mine:
        if one.number is not None:
            books.pauses.end(one.number, actor, now)
    return f"resumed: {', '.join(p.job for p in mine)}; what was skipped meanwhile stays skipped"


def skip(
    books: Books, key_or_job: Key | str, session: date | None, reason: str, actor: str, now: datetime, *,
    known: Sequence[str] = (),
) -> str:  # fmt: skip
    """End what is still to come of a step in one session as skipped; `session` None: the next that has anything of it."""
    job = key_or_job if isinstance(key_or_job, str) else key_or_job.job
    _known(books, job, known)
    if job == ALL:
        raise UsageError(
            "skip takes one step", hint="`runbook pause all --until ... --reason ...` holds all of them back"
        )
    why = _why(reason, f"runbook skip {job} --reason 'done by hand'")
    rows = _rows(books, key_or_job, session)
    wait = [row for row in rows if row.state in (State.PLANNED, State.WAITING_HUMAN)]
    day = session or (wait[0].key.session if wait else None)
    wait = [row for row in wait if row.key.session == day]
    if not wait:
        states = ", ".join(sorted({str(row.state) for row in rows})) or "no row in the ledger"
        where = f" of {session}" if session else ""
        raise UsageError(
            f"nothing of {job}{where} is still to come: {states}", hint="`runbook plan` shows what is planned"
        )
    books.ledger.end([row.key for row in wait], State.SKIPPED, f"skipped by {actor}: {why}")
    for asked in books.asks.waiting():
        if any(asked.about(row.key) for row in wait):
            books.asks.store(asked.void(f"skipped by {actor}", now))
    slots = wait[0].key.slot if len(wait) == 1 else f"{len(wait)} rows"
    return f"{job} of {day} is skipped ({slots}): {why}"


def _rows(books: Books, key_or_job: Key | str, session: date | None) -> list[Entry]:
    if isinstance(key_or_job, Key):
        found = books.ledger.entry(key_or_job)
        return [found] if found else []
    if session is not None:
        return books.ledger.of_job(session, key_or_job)
    return books.ledger.to_come(key_or_job)


def _known(books: Books, job: str, known: Sequence[str]) -> None:
    names = [*(known or books.ledger.jobs()), ALL]
    if job not in names:
        raise UsageError(
            f"no step {job!r}; accepted: {nearest(job, names)}{', '.join(names)}", hint="for example verify_broker"
        )


def _why(reason: str, example: str) -> str:
    if why := " ".join(reason.split()):
        return why
    raise UsageError(f"no reason is given; accepted: a few words for whoever reads the report, for example `{example}`")
