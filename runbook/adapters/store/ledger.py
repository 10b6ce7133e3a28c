"""Occurrences and attempts: planned ahead, claimed by one, settled once, never lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, case, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from runbook.adapters.store.fence import standing
from runbook.adapters.store.schema import attempt, occurrence
from runbook.job import Key, Occurrence, Verdict
from runbook.run import Attempt, Entry, Moved, Run, State, Try

_same_row = [attempt.c[name] == occurrence.c[name] for name in ("session", "job", "slot")]
_NAMES = tuple_(occurrence.c.session, occurrence.c.job, occurrence.c.slot)
_AT_ONCE = 200  # rows named in one statement: three values each, far below what any database takes
_WAITS = (State.PLANNED, State.WAITING_HUMAN)


class Ledger:
    """The book of occurrences within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

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
                self._c.execute(update(occurrence).where(_is(o.key), occurrence.c.state.in_(_WAITS)).values(times))
            elif old.state == State.CANCELLED and now is not None and o.latest_start > now:
                back = _columns(o) | {"state": State.PLANNED, "reason": "", "config_hash": config_hash}
                self._c.execute(
                    update(occurrence).where(_is(o.key), occurrence.c.state == State.CANCELLED).values(back)
                )
        if new:
            dialect = postgresql if self._c.dialect.name == "postgresql" else sqlite
            self._c.execute(dialect.insert(occurrence).on_conflict_do_nothing(), new)
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

    def due(self, now: datetime) -> list[Entry]:
        """What is planned and due, the earliest first."""
        where = and_(occurrence.c.state == State.PLANNED, occurrence.c.due_at <= now)
        rows = self._c.execute(select(occurrence).where(where).order_by(occurrence.c.due_at, occurrence.c.job)).all()
        # Attempts only of what was tried already: their last outcome says what the row comes to when its time is over.
        return [_entry(r, self._tries(_of(_key(r))).get(_key(r), ()) if r.verdict else ()) for r in rows]

    def set_back(self, now: datetime) -> None:
        """The clock was put back to `now`: a next try that was set by the later time is due at once, not hours ahead."""
        last = select(attempt.c.ended_at).where(*_same_row).order_by(attempt.c.n.desc()).limit(1).scalar_subquery()
        where = and_(occurrence.c.state == State.PLANNED, occurrence.c.due_at > now, last > now)
        soonest = case(
            (occurrence.c.planned_at > now, occurrence.c.planned_at), else_=literal(now, occurrence.c.due_at.type)
        )
        self._c.execute(update(occurrence).where(where).values(due_at=soonest))

    def overdue(self, now: datetime) -> list[Entry]:
        """Rows past their deadline that have not ended."""
        unfinished = occurrence.c.state.in_([*_WAITS, State.RUNNING])
        rows = self._c.execute(select(occurrence).where(unfinished, occurrence.c.deadline <= now))
        return [_entry(r, ()) for r in rows]

    def next_due(self, now: datetime) -> datetime | None:
        """When the next planned occurrence is due, after `now`."""
        where = and_(occurrence.c.state == State.PLANNED, occurrence.c.due_at > now)
        found: datetime | None = self._c.execute(
            select(occurrence.c.due_at).where(where).order_by(occurrence.c.due_at).limit(1)
        ).scalar_one_or_none()
        return found

    def claim(self, key: Key, actor: str, now: datetime, epoch: int, *, again: bool = False) -> Attempt | None:
        """Take an occurrence to run it; None when it is not there to be taken, or `epoch` is over. Whoever changes the row runs it."""
        return next(iter(self.claim_all([key], actor, now, epoch, again=again)), None)

    def claim_all(
        self, keys: Sequence[Key], actor: str, now: datetime, epoch: int, *, again: bool = False
    ) -> list[Attempt]:
        """Take all of `keys` that are there to be taken, in their order: what is due at one instant is claimed as one."""
        takeable = occurrence.c.state != State.RUNNING if again else occurrence.c.state == State.PLANNED
        taken: dict[Key, Occurrence] = {}
        for part in range(0, len(keys), _AT_ONCE):
            some = [(key.session, key.job, key.slot) for key in keys[part : part + _AT_ONCE]]
            where = and_(_NAMES.in_(some), takeable, standing(epoch))
            changed = update(occurrence).where(where).values(state=State.RUNNING, epoch=epoch).returning(occurrence)
            taken |= {_key(row): _entry(row, ()).occurrence for row in self._c.execute(changed)}
        if not taken:
            return []
        rows = [(key.session, key.job, key.slot) for key in taken]
        before: dict[Key, int] = {}
        for part in range(0, len(rows), _AT_ONCE):
            these = tuple_(attempt.c.session, attempt.c.job, attempt.c.slot).in_(rows[part : part + _AT_ONCE])
            counted = select(attempt.c.session, attempt.c.job, attempt.c.slot, func.max(attempt.c.n).label("n"))
            grouped = counted.where(these).group_by(attempt.c.session, attempt.c.job, attempt.c.slot)
            before |= {Key(row.session, row.job, row.slot): row.n for row in self._c.execute(grouped)}
        made = [Attempt(taken[key], before.get(key, 0) + 1, actor, now) for key in keys if key in taken]
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
            update(attempt)
            .where(_of(run.key), attempt.c.n == run.n, attempt.c.ended_at.is_(None), standing(epoch))
            .values(
                ended_at=run.ended, outcome=run.outcome, verdict=run.verdict, reason=run.reason, hint=run.hint,
                facts=dict(run.facts), error_class=run.error_class and run.error_class[:80],
            )
        )  # fmt: skip
        if done.rowcount != 1:
            return False
        values: dict[str, Any] = {"state": run.outcome, "verdict": run.verdict, "reason": run.reason}
        if run.again_at is not None:
            values |= {"state": State.PLANNED, "due_at": run.again_at}
        self._c.execute(update(occurrence).where(_is(run.key), occurrence.c.state == State.RUNNING).values(values))
        return True

    def end(self, keys: Iterable[Key], state: State, reason: str) -> int:
        """End rows that wait without running them; each takes the reason along. Returns how many."""
        ended = 0
        for key in keys:
            where = and_(_is(key), occurrence.c.state.in_(_WAITS))
            ended += self._c.execute(update(occurrence).where(where).values(state=state, reason=reason)).rowcount
        return ended

    def reopen(self, key: Key, due: datetime, reason: str) -> None:
        """Plan an ended occurrence once more (what it had started died with its process)."""
        where = and_(_is(key), occurrence.c.state != State.RUNNING)
        self._c.execute(update(occurrence).where(where).values(state=State.PLANNED, due_at=due, reason=reason))

    def hold(self, key: Key, reason: str) -> None:
        """Let a row wait for a person; it is not due for anybody else until it is reopened."""
        where = and_(_is(key), occurrence.c.state != State.RUNNING)
        self._c.execute(update(occurrence).where(where).values(state=State.WAITING_HUMAN, reason=reason))

    def held(self) -> list[Entry]:
        """What waits for a person, with its tries."""
        rows = self._c.execute(select(occurrence).where(occurrence.c.state == State.WAITING_HUMAN)).all()
        return [_entry(r, self._tries(_of(_key(r))).get(_key(r), ())) for r in rows]

    def of_job(self, day: date, job: str) -> list[Entry]:
        """The rows of one job in a session, with their tries, in order of time."""
        tries = self._tries(and_(attempt.c.session == day, attempt.c.job == job))
        where = and_(occurrence.c.session == day, occurrence.c.job == job)
        rows = self._c.execute(select(occurrence).where(where).order_by(occurrence.c.planned_at, occurrence.c.slot))
        return [_entry(r, tries.get(_key(r), ())) for r in rows]

    def to_come(self, job: str) -> list[Entry]:
        """The rows of `job` that wait for their time or for a person, in order of time."""
        where = and_(occurrence.c.job == job, occurrence.c.state.in_(_WAITS))
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
        return None if row is None else _entry(row, self._tries(_of(_key(row))).get(_key(row), ()))

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
            last = self._c.execute(select(attempt).where(_of(entry.key)).order_by(attempt.c.n.desc()).limit(1)).one()
            found.append((entry, Attempt(entry.occurrence, last.n, last.actor, last.started_at)))
        return found

    def entry(self, key: Key) -> Entry | None:
        row = self._c.execute(select(occurrence).where(_is(key))).one_or_none()
        return None if row is None else _entry(row, self._tries(_of(key)).get(key, ()))

    def session(self, day: date, *, repeats: bool = True) -> list[Entry]:
        """All occurrences of a session with their attempts, in order of time; without the attempts of repeats on wish."""
        tries = self._tries(attempt.c.session == day) if repeats else {}
        if not repeats:
            once = select(occurrence.c.job).where(occurrence.c.session == day, occurrence.c.repeating.is_(False))
            tries = self._tries(and_(attempt.c.session == day, attempt.c.job.in_(once)))
        order = (occurrence.c.planned_at, occurrence.c.job, occurrence.c.slot)
        rows = self._c.execute(select(occurrence).where(occurrence.c.session == day).order_by(*order))
        return [_entry(r, tries.get(_key(r), ())) for r in rows]

    def states(self, day: date) -> list[Entry]:
        """All occurrences of a session without their attempts."""
        return [_entry(r, ()) for r in self._c.execute(select(occurrence).where(occurrence.c.session == day))]

    def beside(self, day: date, whole: Iterable[str], running: Iterable[str]) -> list[Entry]:
        """All rows of the jobs `whole`, and those of `running` that run now: enough to decide what may start.

        A day has hundreds of rows of a check that repeats, and a due step must not wait until they are all read.
        """
        runs = and_(occurrence.c.job.in_(sorted(running)), occurrence.c.state == State.RUNNING)
        where = and_(occurrence.c.session == day, or_(occurrence.c.job.in_(sorted(whole)), runs))
        return [_entry(r, ()) for r in self._c.execute(select(occurrence).where(where))]

    def sessions(self, newest: int, until: date | None = None) -> list[date]:
        """The dates of the newest sessions in the ledger, newest first; none after `until`."""
        days = select(occurrence.c.session).distinct().order_by(occurrence.c.session.desc()).limit(newest)
        return list(self._c.execute(days if until is None else days.where(occurrence.c.session <= until)).scalars())

    def open_before(self, day: date) -> list[Entry]:
        """Rows of earlier sessions that are not ended."""
        where = and_(occurrence.c.session < day, occurrence.c.state.in_([*_WAITS, State.RUNNING]))
        return [_entry(r, ()) for r in self._c.execute(select(occurrence).where(where))]

    def _tries(self, where: Any) -> dict[Key, tuple[Try, ...]]:
        found: dict[Key, tuple[Try, ...]] = {}
        for r in self._c.execute(select(attempt).where(where).order_by(attempt.c.n)):
            one = Try(
                r.n, r.actor, r.started_at, r.ended_at, State(r.outcome) if r.outcome else None,
                Verdict(r.verdict) if r.verdict else None, r.reason, r.hint, r.facts or {}, r.error_class,
            )  # fmt: skip
            found[_key(r)] = (*found.get(_key(r), ()), one)
        return found


def _is(key: Key) -> Any:
    return and_(occurrence.c.session == key.session, occurrence.c.job == key.job, occurrence.c.slot == key.slot)


def _of(key: Key) -> Any:
    return and_(attempt.c.session == key.session, attempt.c.job == key.job, attempt.c.slot == key.slot)


def _key(row: Row[Any]) -> Key:
    return Key(row.session, row.job, row.slot)


def _columns(o: Occurrence) -> dict[str, Any]:
    return {
        "session": o.key.session, "job": o.key.job, "slot": o.key.slot, "planned_at": o.planned, "due_at": o.due,
        "latest_start": o.latest_start, "deadline": o.deadline,
    }  # fmt: skip


def _entry(row: Row[Any], tries: tuple[Try, ...]) -> Entry:
    planned = Occurrence(_key(row), row.planned_at, row.due_at, row.latest_start, row.deadline)
    verdict = Verdict(row.verdict) if row.verdict else None
    return Entry(planned, row.repeating, State(row.state), verdict, row.reason, row.config_hash, tries)
