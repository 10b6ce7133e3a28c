"""Alerts, what happened to them, and the outbox that carries them to people."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row as SqlRow
from sqlalchemy import Select, and_, bindparam, func, or_, select, update

from runbook.adapters.store.book import Book, once
from runbook.adapters.store.fence import standing
from runbook.adapters.store.schema import alert, alert_event, outbox
from runbook.alert import Alert, AlertChange, AlertState, Severity
from runbook.outbox import Kind, Row, State
from runbook.ports import Message

_UNRESOLVED = alert.c.state != AlertState.RESOLVED
_UNFINISHED = outbox.c.state.in_((State.QUEUED, State.SENDING))
_SINCE: Any = bindparam("since")
_SESSION: Any = bindparam("day")
_CHANNEL: Any = bindparam("of_channel")
# An UPDATE sets what columns are given beside these names.
_SAME = and_(*(outbox.c[name] == bindparam(f"of_{name}") for name in ("key", "channel", "kind", "seq")), standing())

_ALERTS = select(alert).order_by(alert.c.id)
_OPEN = _ALERTS.where(_UNRESOLVED)
_RECENT = _ALERTS.where(or_(_UNRESOLVED, alert.c.resolved_at >= _SINCE))
_BEGUN = _ALERTS.where(or_(_UNRESOLVED, alert.c.opened_at >= _SINCE))
_OF_SESSION = _ALERTS.where(alert.c.session == _SESSION)
_NUMBERED = _ALERTS.where(alert.c.id == bindparam("number"))
_NUMBER = select(alert.c.id).where(_UNRESOLVED, alert.c.fingerprint == bindparam("fingerprint"))
_CHANGE = update(alert).where(alert.c.id == bindparam("number"))

_MESSAGES = select(outbox).order_by(outbox.c.id)
_WAITING = _MESSAGES.where(
    outbox.c.channel == _CHANNEL,
    outbox.c.key.in_(select(outbox.c.key).where(outbox.c.channel == _CHANNEL, _UNFINISHED)),
)
_BY_KEY = _MESSAGES.where(outbox.c.key.in_(bindparam("keys")))
_TRIED = and_(outbox.c.channel == _CHANNEL, outbox.c.changed_at >= _SINCE, outbox.c.attempts > 0)
_TRIES = select(outbox).where(_TRIED).order_by(outbox.c.changed_at)
_USED = select(outbox.c.changed_at).distinct().where(_TRIED).order_by(outbox.c.changed_at)
_STORE = update(outbox).where(_SAME)
_CLAIM = _STORE.where(outbox.c.state == State.QUEUED, outbox.c.attempts == bindparam("tried"))


class Alerts(Book):
    """The book of alerts and of the outbox within one transaction."""

    @once
    def held(self, since: datetime) -> list[Alert]:
        """All alerts that are not resolved, and those resolved after `since`: what `decide` asks for."""
        return self._alerts(_RECENT, since=since)

    @once
    def unresolved(self) -> list[Alert]:
        return self._alerts(_OPEN)

    def of_session(self, session: date) -> list[Alert]:
        return self._alerts(_OF_SESSION, day=session)

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
        number = subject.number or self._c.execute(_NUMBER, {"fingerprint": subject.fingerprint}).scalar_one_or_none()
        if number is None:
            done = self._c.execute(alert.insert().values(session=session, **values))
            assert done.inserted_primary_key is not None
            number = int(done.inserted_primary_key[0])
        else:
            self._c.execute(_CHANGE, {"number": number} | values)
        said = {"what": subject.what, "reason": change.why or subject.reason}
        self._c.execute(alert_event.insert(), {"alert_id": number, "at": change.at, "kind": change.kind, "data": said})
        return replace(change, subject=replace(subject, number=number))

    def enqueue(self, rows: Sequence[Row], session: date | None) -> int:
        """Put messages into the outbox; one that is there already is not told twice. Returns how many are new."""
        if not rows:
            return 0
        new = 0
        for row in rows:
            values = _columns(row) | {"session": session}
            added = self._insert(outbox).values(values).on_conflict_do_nothing().returning(outbox.c.id)
            new += len(self._c.execute(added).all())  # the count of an INSERT's rows is not kept by every driver
        return new

    @once
    def waiting(self, channel: str) -> list[Row]:
        """The rows of `channel` that are not final, and all rows of their keys (what `merge` looks at)."""
        return self._rows(_WAITING, of_channel=channel)

    def unsent(self) -> int:
        """How many messages are not final yet, over all channels; without those that are held until the next session."""
        held = and_(outbox.c.attempts == 0, outbox.c.due_at > outbox.c.created_at)
        where = and_(_UNFINISHED, ~held)
        return int(self._c.execute(select(func.count()).select_from(outbox).where(where)).scalar_one())

    def claim(self, row: Row, epoch: int | None) -> bool:
        """Write that `row` is being sent, `outbox.claim` made it so; False when another has it, or `epoch` is over."""
        return self._c.execute(_CLAIM, _changed(row, epoch) | {"tried": row.attempts - 1}).rowcount == 1

    def store(self, row: Row, epoch: int | None = None) -> bool:
        """Write a row's new state; False when there is none, or the writer's `epoch` is over."""
        return self._c.execute(_STORE, _changed(row, epoch)).rowcount == 1

    def attempts_since(self, channel: str, since: datetime) -> list[datetime]:
        """When `channel` was used after `since`, in order."""
        used = self._c.execute(_USED, {"of_channel": channel, "since": since})
        return list(used.scalars())  # rows of one message were sent at one instant

    @once
    def by_key(self, keys: Collection[str]) -> dict[str, list[Row]]:
        """All messages of these keys."""
        found: dict[str, list[Row]] = {}
        for row in self._rows(_BY_KEY, keys=list(keys)) if keys else ():
            found.setdefault(row.key, []).append(row)
        return found

    def tried(self, channel: str, since: datetime) -> list[Row]:
        """What was tried on `channel` and changed after `since`."""
        return self._rows(_TRIES, of_channel=channel, since=since)

    def numbered(self, number: int) -> Alert | None:
        """The alert that people know by this number."""
        return next(iter(self._alerts(_NUMBERED, number=number)), None)

    def since(self, when: datetime) -> list[Alert]:
        """The alerts that began after `when`, and all that are not resolved, in order."""
        return self._alerts(_BEGUN, since=when)

    def messages(self, session: date) -> list[Row]:
        """All messages of a session, in the order they were written."""
        return self._rows(_MESSAGES.where(outbox.c.session == session))

    def messages_since(self, since: datetime) -> list[Row]:
        return self._rows(_MESSAGES.where(outbox.c.created_at >= since))

    def _alerts(self, query: Select[Any], **asked: Any) -> list[Alert]:
        return [_alert(r) for r in self._c.execute(query, asked)]

    def _rows(self, query: Select[Any], **asked: Any) -> list[Row]:
        return [_row(r) for r in self._c.execute(query, asked)]


def _alert(row: SqlRow[Any]) -> Alert:
    return replace(Alert.load(row.data), number=row.id, severity=Severity(row.severity))


def _changed(row: Row, epoch: int | None) -> dict[str, Any]:
    named = {"of_key": row.key, "of_channel": row.channel, "of_kind": row.kind, "of_seq": row.seq}
    return _columns(row) | named | {"mine": epoch}


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
