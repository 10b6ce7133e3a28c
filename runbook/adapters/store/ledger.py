"""Occurrences and attempts: planned ahead, claimed by one, settled once, never lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    case,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from runbook.adapters.store.book import Book, once
from runbook.adapters.store.fence import standing
from runbook.adapters.store.schema import Instant, attempt, occurrence
from runbook.job import Key, Occurrence, Verdict
from runbook.run import Attempt, Entry, Moved, Run, State, Try

_AT_ONCE = 200  # rows named in one statement: three values each, far below what any database takes
_WAITS = (State.PLANNED, State.WAITING_HUMAN)
_WAITING = occurrence.c.state.in_(_WAITS)
_UNFINISHED = occurrence.c.state.in_([*_WAITS, State.RUNNING])
_PLANNED = occurrence.c.state == State.PLANNED
_RUNNING = occurrence.c.state == State.RUNNING
_NOW: Any = bindparam("now")
_DAY: Any = bindparam("day")
_JOB: Any = bindparam("job")
_NAMES = tuple_(occurrence.c.session, occurrence.c.job, occurrence.c.slot)
_same_row = [attempt.c[name] == occurrence.c[name] for name in ("session", "job", "slot")]
# In words, since SQLAlchemy names no table within SQLite's RETURNING, and a row would be compared with itself.
_tried: ColumnElement[int | None] = literal_column(
    "(SELECT max(a.n) FROM attempt a "
    "WHERE a.session = occurrence.session AND a.job = occurrence.job AND a.slot = occurrence.slot)",
    Integer,
)
_last_end = select(attempt.c.ended_at).where(*_same_row).order_by(attempt.c.n.desc()).limit(1).scalar_subquery()


def _row(table: Any) -> Any:
    """The one row whose key `_named` gives: these names stand beside the columns that an UPDATE sets."""
    return and_(*(table.c[name] == bindparam(f"of_{name}") for name in ("session", "job", "slot")))


# What the engine asks and writes in each turn is built once: SQLAlchemy needs five times as long to build a statement as to run it.
_ALL = select(occurrence)
_ROWS = _ALL.where(_row(occurrence))
_DUE = _ALL.where(_PLANNED, occurrence.c.due_at <= _NOW).order_by(occurrence.c.due_at, occurrence.c.job)
_OVERDUE = _ALL.where(_UNFINISHED, occurrence.c.deadline <= _NOW)
_HELD = _ALL.where(occurrence.c.state == State.WAITING_HUMAN)
_NEXT_DUE = (
    select(occurrence.c.due_at).where(_PLANNED, occurrence.c.due_at > _NOW).order_by(occurrence.c.due_at).limit(1)
)
_BESIDE = _ALL.where(
    occurrence.c.session == _DAY,
    or_(occurrence.c.job.in_(bindparam("whole")), and_(occurrence.c.job.in_(bindparam("running")), _RUNNING)),
)
_OF_JOB = _ALL.where(occurrence.c.session == _DAY, occurrence.c.job == _JOB).order_by(
    occurrence.c.planned_at, occurrence.c.slot
)
_STATES = _ALL.where(occurrence.c.session == _DAY)
_SESSIONS = select(occurrence.c.session).distinct().order_by(occurrence.c.session.desc())
_TRIES = select(attempt).order_by(attempt.c.n)
_TRIES_OF_ROW = _TRIES.where(_row(attempt))
_TRIES_OF_JOB = _TRIES.where(attempt.c.session == _DAY, attempt.c.job == _JOB)
_TRIES_OF_DAY = _TRIES.where(attempt.c.session == _DAY)
_TRIES_ONCE = _TRIES_OF_DAY.where(
    attempt.c.job.in_(select(occurrence.c.job).where(occurrence.c.session == _DAY, occurrence.c.repeating.is_(False)))
)
_CLAIM = (
    update(occurrence)
    .where(_NAMES.in_(bindparam("keys")), standing())
    .values(state=State.RUNNING, epoch=bindparam("mine"))
    .returning(occurrence, _tried.label("tried"))
)
_CLAIM_PLANNED, _CLAIM_AGAIN = _CLAIM.where(_PLANNED), _CLAIM.where(occurrence.c.state != State.RUNNING)
_SETTLE = update(attempt).where(
    _row(attempt), attempt.c.n == bindparam("nth"), attempt.c.ended_at.is_(None), standing()
)
_SET_RUNNING = update(occurrence).where(_row(occurrence), _RUNNING)
_SET_WAITING = update(occurrence).where(_row(occurrence), _WAITING)
_SET_CANCELLED = update(occurrence).where(_row(occurrence), occurrence.c.state == State.CANCELLED)
_SET_IDLE = update(occurrence).where(_row(occurrence), occurrence.c.state != State.RUNNING)
_SET_BACK = (
    update(occurrence)
    .where(_PLANNED, occurrence.c.due_at > _NOW, _last_end > _NOW)
    .values(
        due_at=case((occurrence.c.planned_at > _NOW, occurrence.c.planned_at), else_=bindparam("now", type_=Instant))
    )
)


class Ledger(Book):
    """The book of occurrences within one transaction."""

    def plan(
        self, rows: Sequence[tuple[Occurrence, bool]], config_hash: str, now: datetime | None = None
    ) -> list[Moved]:
        """Write down what is to happen; rows that are there stay, and those still planned move to their new times.

        Those still planned run by the configuration that planned them last, and carry its hash.

        What was cancelled and is wanted again (a day that is open after all) is planned again, if at `now` it can start.
        """
        if not rows:
            return []
        sessions = {o.key.session for o, _ in rows}
        held = {
            (r.session, r.job, r.slot): r
            for r in self._c.execute(select(occurrence).where(occurrence.c.session.in_(sessions)))
        }
        new, moved = [], []
        for o, repeating in rows:
            old = held.get((o.key.session, o.key.job, o.key.slot))
            if old is None:
                new.append(_columns(o) | {"repeating": repeating, "state": State.PLANNED, "config_hash": config_hash})
            elif old.state in _WAITS and (old.planned_at, old.latest_start, old.deadline) != (
                o.planned, o.latest_start, o.deadline,
            ):  # fmt: skip
                if old.planned_at != o.planned:
                    moved.append(Moved(o.key, old.planned_at, o.planned))
                # A check that is being repeated keeps its next try, unless its whole time has moved.
                times = _columns(o) if old.planned_at != o.planned else _columns(o) | {"due_at": old.due_at}
                self._c.execute(_SET_WAITING, _named(o.key) | times)
            elif old.state == State.CANCELLED and now is not None and o.latest_start > now:
                back = _columns(o) | {"state": State.PLANNED, "reason": "", "config_hash": config_hash}
                self._c.execute(_SET_CANCELLED, _named(o.key) | back)
        if new:
            self._c.execute(self._insert(occurrence).on_conflict_do_nothing(), new)
        stale = and_(occurrence.c.state == State.PLANNED, occurrence.c.config_hash != config_hash)
        for day in sessions:
            jobs = {o.key.job for o, _ in rows if o.key.session == day}
            where = and_(stale, occurrence.c.session == day, occurrence.c.job.in_(jobs))
            self._c.execute(update(occurrence).where(where).values(config_hash=config_hash))
        return moved

    def cancel(self, keep: Iterable[Key], sessions: Iterable[date], reason: str) -> list[Key]:
        """Cancel what is still planned in `sessions` and no longer wanted (a day that closed, a job taken out)."""
        wanted = set(keep)
        where = and_(occurrence.c.session.in_(list(sessions)), occurrence.c.state.in_(_WAITS))
        gone = [_key(r) for r in self._c.execute(select(occurrence).where(where)) if _key(r) not in wanted]
        self.end(gone, State.CANCELLED, reason)
        return gone

    @once
    def due(self, now: datetime) -> list[Entry]:
        """What is planned and due, the earliest first."""
        rows = self._c.execute(_DUE, {"now": now}).all()
        # Attempts only of what was tried already: their last outcome says what the row comes to when its time is over.
        return [_entry(r, self._of_row(_key(r)) if r.verdict else ()) for r in rows]

    def set_back(self, now: datetime) -> None:
        """The clock was put back to `now`: a next try that was set by the later time is due at once, not hours ahead."""
        self._c.execute(_SET_BACK, {"now": now})

    @once
    def overdue(self, now: datetime) -> list[Entry]:
        """Rows past their deadline that have not ended."""
        return [_entry(r, ()) for r in self._c.execute(_OVERDUE, {"now": now})]

    def next_due(self, now: datetime) -> datetime | None:
        """When the next planned occurrence is due, after `now`."""
        found: datetime | None = self._c.execute(_NEXT_DUE, {"now": now}).scalar_one_or_none()
        return found

    def claim(self, key: Key, actor: str, now: datetime, epoch: int, *, again: bool = False) -> Attempt | None:
        """Take an occurrence to run it; None when it is not there to be taken, or `epoch` is over. Whoever changes the row runs it."""
        return next(iter(self.claim_all([key], actor, now, epoch, again=again)), None)

    def claim_all(
        self, keys: Sequence[Key], actor: str, now: datetime, epoch: int, *, again: bool = False
    ) -> list[Attempt]:
        """Take all of `keys` that are there to be taken, in their order: what is due at one instant is claimed as one."""
        taken: dict[Key, Attempt] = {}
        for part in range(0, len(keys), _AT_ONCE):
            some = [(key.session, key.job, key.slot) for key in keys[part : part + _AT_ONCE]]
            changed = self._c.execute(_CLAIM_AGAIN if again else _CLAIM_PLANNED, {"keys": some, "mine": epoch})
            taken |= {_key(r): Attempt(_occurrence(r), (r.tried or 0) + 1, actor, now) for r in changed}
        if not taken:
            return []
        made = [taken[key] for key in keys if key in taken]
        self._c.execute(
            attempt.insert(),
            [
                {
                    "session": a.occurrence.key.session, "job": a.occurrence.key.job, "slot": a.occurrence.key.slot,
                    "n": a.n, "actor": actor, "started_at": now, "epoch": epoch,
                }
                for a in made
            ],
        )  # fmt: skip
        return made

    def settle(self, run: Run, epoch: int | None = None) -> bool:
        """Write down how an attempt ended; False when it had been settled before (it overran, and came back late).

        False as well when the writer's `epoch` is over: then the attempt belongs to whoever took the lease.
        """
        done = self._c.execute(
            _SETTLE,
            _named(run.key) | {
                "nth": run.n, "mine": epoch, "ended_at": run.ended, "outcome": run.outcome, "verdict": run.verdict,
                "reason": run.reason, "hint": run.hint, "facts": dict(run.facts),
                "error_class": run.error_class and run.error_class[:80],
            },
        )  # fmt: skip
        if done.rowcount != 1:
            return False
        values: dict[str, Any] = {"state": run.outcome, "verdict": run.verdict, "reason": run.reason}
        if run.again_at is not None:
            values |= {"state": State.PLANNED, "due_at": run.again_at}
        self._c.execute(_SET_RUNNING, _named(run.key) | values)
        return True

    def end(self, keys: Iterable[Key], state: State, reason: str) -> int:
        """End rows that wait without running them; each takes the reason along. Returns how many."""
        ended = 0
        for key in keys:
            ended += self._c.execute(_SET_WAITING, _named(key) | {"state": state, "reason": reason}).rowcount
        return ended

    def reopen(self, key: Key, due: datetime, reason: str) -> None:
        """Plan an ended occurrence once more (what it had started died with its process)."""
        self._c.execute(_SET_IDLE, _named(key) | {"state": State.PLANNED, "due_at": due, "reason": reason})

    def hold(self, key: Key, reason: str) -> None:
        """Let a row wait for a person; it is not due for anybody else until it is reopened."""
        self._c.execute(_SET_IDLE, _named(key) | {"state": State.WAITING_HUMAN, "reason": reason})

    @once
    def held(self) -> list[Entry]:
        """What waits for a person, with its tries."""
        return [_entry(r, self._of_row(_key(r))) for r in self._c.execute(_HELD).all()]

    def of_job(self, day: date, job: str) -> list[Entry]:
        """The rows of one job in a session, with their tries, in order of time."""
        tries = self._tries(_TRIES_OF_JOB, {"day": day, "job": job})
        return [_entry(r, tries.get(_key(r), ())) for r in self._c.execute(_OF_JOB, {"day": day, "job": job})]

    def to_come(self, job: str) -> list[Entry]:
        """The rows of `job` that wait for their time or for a person, in order of time."""
        where = and_(occurrence.c.job == job, _WAITING)
        rows = self._c.execute(select(occurrence).where(where).order_by(occurrence.c.planned_at))
        return [_entry(r, ()) for r in rows]

    def nearest(self, job: str, now: datetime) -> Entry | None:
        """The row of `job` that speaks for now: the newest that has begun and may still start, else the next to come."""
        mine = occurrence.c.job == job
        begun = and_(mine, occurrence.c.planned_at <= now, occurrence.c.latest_start >= now)
        row = self._c.execute(select(occurrence).where(begun).order_by(occurrence.c.planned_at.desc()).limit(1)).first()
        if row is None:
            ahead = and_(mine, occurrence.c.planned_at > now)
            row = self._c.execute(select(occurrence).where(ahead).order_by(occurrence.c.planned_at).limit(1)).first()
        return None if row is None else _entry(row, self._of_row(_key(row)))

    def jobs(self) -> list[str]:
        """The names of all jobs that ever had a row, in order."""
        return list(self._c.execute(select(occurrence.c.job).distinct().order_by(occurrence.c.job)).scalars())

    def running(self, before_epoch: int | None = None) -> list[tuple[Entry, Attempt]]:
        """What is marked running, with its open attempt; only that of older epochs when one is given."""
        where = [occurrence.c.state == State.RUNNING]
        if before_epoch is not None:
            where.append(occurrence.c.epoch < before_epoch)
        found = []
        for row in self._c.execute(select(occurrence).where(*where)).all():
            entry = _entry(row, ())
            last = self._c.execute(_TRIES_OF_ROW, _named(entry.key)).all()[-1]
            found.append((entry, Attempt(entry.occurrence, last.n, last.actor, last.started_at)))
        return found

    def entry(self, key: Key) -> Entry | None:
        row = self._c.execute(_ROWS, _named(key)).one_or_none()
        return None if row is None else _entry(row, self._of_row(key))

    def session(self, day: date, *, repeats: bool = True) -> list[Entry]:
        """All occurrences of a session with their attempts, in order of time; without the attempts of repeats on wish."""
        tries = self._tries(_TRIES_OF_DAY if repeats else _TRIES_ONCE, {"day": day})
        order = (occurrence.c.planned_at, occurrence.c.job, occurrence.c.slot)
        rows = self._c.execute(_STATES.order_by(*order), {"day": day})
        return [_entry(r, tries.get(_key(r), ())) for r in rows]

    def states(self, day: date) -> list[Entry]:
        """All occurrences of a session without their attempts."""
        return [_entry(r, ()) for r in self._c.execute(_STATES, {"day": day})]

    def beside(self, day: date, whole: Iterable[str], running: Iterable[str]) -> list[Entry]:
        """All rows of the jobs `whole`, and those of `running` that run now: enough to decide what may start.

        A day has hundreds of rows of a check that repeats, and a due step must not wait until they are all read.
        """
        asked = {"day": day, "whole": sorted(whole), "running": sorted(running)}
        return [_entry(r, ()) for r in self._c.execute(_BESIDE, asked)]

    def sessions(self, newest: int, until: date | None = None) -> list[date]:
        """The dates of the newest sessions in the ledger, newest first; none after `until`."""
        days = _SESSIONS.limit(newest)
        return list(self._c.execute(days if until is None else days.where(occurrence.c.session <= until)).scalars())

    def open_before(self, day: date) -> list[Entry]:
        """Rows of earlier sessions that are not ended."""
        return [_entry(r, ()) for r in self._c.execute(_ALL.where(occurrence.c.session < day, _UNFINISHED))]

    def _of_row(self, key: Key) -> tuple[Try, ...]:
        return self._tries(_TRIES_OF_ROW, _named(key)).get(key, ())

    def _tries(self, query: Select[Any], asked: dict[str, Any]) -> dict[Key, tuple[Try, ...]]:
        found: dict[Key, tuple[Try, ...]] = {}
        for r in self._c.execute(query, asked):
            one = Try(
                r.n, r.actor, r.started_at, r.ended_at, State(r.outcome) if r.outcome else None,
                Verdict(r.verdict) if r.verdict else None, r.reason, r.hint, r.facts or {}, r.error_class,
            )  # fmt: skip
            found[_key(r)] = (*found.get(_key(r), ()), one)
        return found


def _named(key: Key) -> dict[str, Any]:
    return {"of_session": key.session, "of_job": key.job, "of_slot": key.slot}


def _key(row: Row[Any]) -> Key:
    return Key(row.session, row.job, row.slot)


def _columns(o: Occurrence) -> dict[str, Any]:
    return {
        "session": o.key.session, "job": o.key.job, "slot": o.key.slot, "planned_at": o.planned, "due_at": o.due,
        "latest_start": o.latest_start, "deadline": o.deadline,
    }  # fmt: skip


def _occurrence(row: Row[Any]) -> Occurrence:
    return Occurrence(_key(row), row.planned_at, row.due_at, row.latest_start, row.deadline)


def _entry(row: Row[Any], tries: tuple[Try, ...]) -> Entry:
    verdict = Verdict(row.verdict) if row.verdict else None
    return Entry(_occurrence(row), row.repeating, State(row.state), verdict, row.reason, row.config_hash, tries)
