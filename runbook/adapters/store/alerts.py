"""Alerts, what happened to them, and the outbox that carries them to people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, and_, func, or_, select, update
from sqlalchemy import Row as SqlRow
from sqlalchemy.dialects import postgresql, sqlite

from runbook.adapters.store.fence import standing
from runbook.adapters.store.schema import alert, alert_event, outbox
from runbook.alert import Alert, AlertChange, AlertState, Severity
from runbook.outbox import Kind, Row, State
from runbook.ports import Message


class Alerts:
    """The book of alerts and of the outbox within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def held(self, since: datetime) -> list[Alert]:
        """All alerts that are not resolved, and those resolved after `since`: what `decide` asks for."""
        where = or_(alert.c.state != AlertState.RESOLVED, alert.c.resolved_at >= since)
        return [_alert(r) for r in self._c.execute(select(alert).where(where).order_by(alert.c.id))]

    def unresolved(self) -> list[Alert]:
        where = alert.c.state != AlertState.RESOLVED
        return [_alert(r) for r in self._c.execute(select(alert).where(where).order_by(alert.c.id))]

    def of_session(self, session: date) -> list[Alert]:
        rows = self._c.execute(select(alert).where(alert.c.session == session).order_by(alert.c.id))
        return [_alert(r) for r in rows]

    def apply(self, changes: Sequence[AlertChange], session: date | None) -> list[AlertChange]:
        """Store each change; gives them back with the numbers people know the alerts by."""
        return [self._one(change, session) for change in changes]

    def _one(self, change: AlertChange, session: date | None) -> AlertChange:
        subject = change.subject
        if not isinstance(subject, Alert):
            return change
        values = {
            "fingerprint": subject.fingerprint, "state": subject.state, "severity": str(subject.severity),
            "opened_at": subject.opened_at, "resolved_at": subject.resolved_at, "data": subject.dump(),
        }  # fmt: skip
        number = (
            subject.number
            or self._c.execute(
                select(alert.c.id).where(
                    alert.c.fingerprint == subject.fingerprint, alert.c.state != AlertState.RESOLVED
                )
            ).scalar_one_or_none()
        )
        if number is None:
            done = self._c.execute(alert.insert().values(session=session, **values))
            assert done.inserted_primary_key is not None
            number = int(done.inserted_primary_key[0])
        else:
            self._c.execute(update(alert).where(alert.c.id == number).values(values))
        self._c.execute(
            alert_event.insert().values(
                alert_id=number,
                at=change.at,
                kind=change.kind,
                data={"what": subject.what, "reason": change.why or subject.reason},
            )
        )
        return replace(change, subject=replace(subject, number=number))

    def enqueue(self, rows: Sequence[Row], session: date | None) -> int:
        """Put messages into the outbox; one that is there already is not told twice. Returns how many are new."""
        if not rows:
            return 0
        dialect = postgresql if self._c.dialect.name == "postgresql" else sqlite
        new = 0
        for row in rows:
            values = _columns(row) | {"session": session}
            added = dialect.insert(outbox).values(values).on_conflict_do_nothing().returning(outbox.c.id)
            new += len(self._c.execute(added).all())  # the count of an INSERT's rows is not kept by every driver
        return new

    def waiting(self, channel: str) -> list[Row]:
        """The rows of `channel` that are not final, and all rows of their keys (what `merge` looks at)."""
        unfinished = (State.QUEUED, State.SENDING)
        keys = select(outbox.c.key).where(outbox.c.channel == channel, outbox.c.state.in_(unfinished))
        where = and_(outbox.c.channel == channel, outbox.c.key.in_(keys))
        return [_row(r) for r in self._c.execute(select(outbox).where(where).order_by(outbox.c.id))]

    def unsent(self) -> int:
        """How many messages are not final yet, over all channels; without those that are held until the next session."""
        held = and_(outbox.c.attempts == 0, outbox.c.due_at > outbox.c.created_at)
        where = and_(outbox.c.state.in_((State.QUEUED, State.SENDING)), ~held)
        return int(self._c.execute(select(func.count()).select_from(outbox).where(where)).scalar_one())

    def claim(self, row: Row, epoch: int | None) -> bool:
        """Write that `row` is being sent, `outbox.claim` made it so; False when another has it, or `epoch` is over."""
        untaken = and_(_is(row), outbox.c.state == State.QUEUED, outbox.c.attempts == row.attempts - 1)
        return self._c.execute(update(outbox).where(untaken, standing(epoch)).values(_columns(row))).rowcount == 1

    def store(self, row: Row, epoch: int | None = None) -> bool:
        """Write a row's new state; False when there is none, or the writer's `epoch` is over."""
        return self._c.execute(update(outbox).where(_is(row), standing(epoch)).values(_columns(row))).rowcount == 1

    def attempts_since(self, channel: str, since: datetime) -> list[datetime]:
        """When `channel` was used after `since`, in order."""
        where = and_(outbox.c.channel == channel, outbox.c.changed_at >= since, outbox.c.attempts > 0)
        used = select(outbox.c.changed_at).distinct().where(where).order_by(outbox.c.changed_at)
        return list(self._c.execute(used).scalars())  # rows of one message were sent at one instant

    def by_key(self, keys: Collection[str]) -> dict[str, list[Row]]:
        """All messages of these keys."""
        found: dict[str, list[Row]] = {}
        for r in self._c.execute(select(outbox).where(outbox.c.key.in_(keys)).order_by(outbox.c.id)) if keys else ():
            found.setdefault(r.key, []).append(_row(r))
        return found

    def tried(self, channel: str, since: datetime) -> list[Row]:
        """What was tried on `channel` and changed after `since`."""
        where = and_(outbox.c.channel == channel, outbox.c.changed_at >= since, outbox.c.attempts > 0)
        return [_row(r) for r in self._c.execute(select(outbox).where(where).order_by(outbox.c.changed_at))]

    def numbered(self, number: int) -> Alert | None:
        """The alert that people know by this number."""
        found = self._c.execute(select(alert).where(alert.c.id == number)).one_or_none()
        return None if found is None else _alert(found)

    def since(self, when: datetime) -> list[Alert]:
        """The alerts that began after `when`, and all that are not resolved, in order."""
        where = or_(alert.c.state != AlertState.RESOLVED, alert.c.opened_at >= when)
        return [_alert(r) for r in self._c.execute(select(alert).where(where).order_by(alert.c.id))]

    def messages(self, session: date) -> list[Row]:
        """All messages of a session, in the order they were written."""
        rows = self._c.execute(select(outbox).where(outbox.c.session == session).order_by(outbox.c.id))
        return [_row(r) for r in rows]

    def messages_since(self, since: datetime) -> list[Row]:
        rows = self._c.execute(select(outbox).where(outbox.c.created_at >= since).order_by(outbox.c.id))
        return [_row(r) for r in rows]


def _alert(row: SqlRow[Any]) -> Alert:
    return replace(Alert.load(row.data), number=row.id, severity=Severity(row.severity))


def _is(row: Row) -> Any:
    same = (
        outbox.c.key == row.key,
        outbox.c.channel == row.channel,
        outbox.c.kind == row.kind,
        outbox.c.seq == row.seq,
    )
    return and_(*same)


def _columns(row: Row) -> dict[str, Any]:
    return {
        "key": row.key, "channel": row.channel, "kind": row.kind, "seq": row.seq, "title": row.message.title,
        "body": row.message.body, "delayed": row.delayed, "state": row.state, "attempts": row.attempts,
        "repeat": row.repeat, "created_at": row.created_at, "due_at": row.due_at, "expires_at": row.expires_at,
        "changed_at": row.changed_at, "reason": row.reason, "epoch": row.epoch,
    }  # fmt: skip


def _row(r: SqlRow[Any]) -> Row:
    return Row(
        r.key, r.channel, Kind(r.kind), r.seq, Message(r.title, r.body), r.created_at, r.expires_at, r.due_at,
        State(r.state), r.attempts, r.repeat, r.changed_at, r.reason, r.delayed, r.epoch,
    )  # fmt: skip
