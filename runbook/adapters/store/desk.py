"""Who runs, since when, on which configuration; and what the command line asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, update

from runbook.adapters.store.book import Book
from runbook.adapters.store.fence import DAEMON
from runbook.adapters.store.schema import config_version, lease, phone, request
from runbook.day import Lease, Request
from runbook.errors import AlreadyRunning

_LEASE = select(lease).where(lease.c.name == DAEMON)
_MINE = update(lease).where(
    lease.c.name == DAEMON, lease.c.holder == bindparam("mine"), lease.c.epoch == bindparam("its")
)
_REQUESTS = select(request).order_by(request.c.id)
_UNTAKEN = _REQUESTS.where(request.c.taken_at.is_(None))


class DeskBook(Book):
    """The book of the lease and of requests within one transaction."""

    def lease(self) -> Lease | None:
        row = self._c.execute(_LEASE).one_or_none()
        if row is None:
            return None
        return Lease(row.holder, row.pid, row.host, row.epoch, row.since, row.renewed_at, row.expires_at, row.data)

    def take(self, holder: str, pid: int, host: str, now: datetime, ttl: timedelta, *, dead: bool = False) -> int:
        """Take the lease and give its new epoch; raises AlreadyRunning while another holds it.

        `dead` says that the holder is known to be gone although its lease has not run out (its lock is free).
        """
        held = self.lease()
        if held and held.expires > now and held.holder != holder and not dead:
            since = f"since {held.since:%Y-%m-%d %H:%M:%S} UTC"
            raise AlreadyRunning(f"a daemon runs on this database: pid {held.pid} on {held.host}, {since}")
        epoch = held.epoch + 1 if held else 1
        values = {
            "holder": holder, "pid": pid, "host": host, "epoch": epoch, "since": now, "renewed_at": now,
            "expires_at": now + ttl, "data": {},
        }  # fmt: skip
        row = self._insert(lease).values(name=DAEMON, **values)
        self._c.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))
        return epoch

    def renew(self, holder: str, epoch: int, now: datetime, ttl: timedelta, data: Mapping[str, Any]) -> bool:
        """Keep the lease and leave word of how things stand; False when another has taken it."""
        values = {"renewed_at": now, "expires_at": now + ttl, "data": dict(data)}
        return self._c.execute(_MINE, {"mine": holder, "its": epoch} | values).rowcount == 1

    def release(self, holder: str, epoch: int, now: datetime) -> None:
        self._c.execute(_MINE, {"mine": holder, "its": epoch, "expires_at": now})

    def keep_config(self, digest: str, merged: Mapping[str, Any], now: datetime) -> None:
        row = self._insert(config_version).values(hash=digest, first_seen=now, merged=dict(merged))
        self._c.execute(row.on_conflict_do_nothing())

    def ask(self, kind: str, data: Mapping[str, Any], by: str, now: datetime) -> int:
        """Leave a request for the daemon; its next pulse takes it. Gives the request's number."""
        done = self._c.execute(request.insert().values(kind=kind, data=dict(data), asked_by=by, asked_at=now))
        assert done.inserted_primary_key is not None
        return int(done.inserted_primary_key[0])

    def open_requests(self) -> list[Request]:
        return [Request(r.id, r.kind, r.data, r.asked_by, r.asked_at, None) for r in self._c.execute(_UNTAKEN)]

    def request(self, number: int) -> Request | None:
        r = self._c.execute(_REQUESTS.where(request.c.id == number)).one_or_none()
        return None if r is None else Request(r.id, r.kind, r.data, r.asked_by, r.asked_at, r.answer)

    def answer(self, number: int, text: str, now: datetime) -> None:
        self._c.execute(update(request).where(request.c.id == number).values(taken_at=now, answer=text))

    def heard_until(self, bot: int) -> tuple[int, datetime] | None:
        """Where listening to a bot's updates begins after the last one that did something, and when that was."""
        row = self._c.execute(select(phone).where(phone.c.bot == bot)).one_or_none()
        return None if row is None else (row.after, row.at)

    def hear(self, bot: int, after: int, now: datetime) -> None:
        """Keep, in the transaction of what an update did, that it is done: it is never done twice."""
        row = self._insert(phone).values(bot=bot, after=after, at=now)
        self._c.execute(row.on_conflict_do_update(index_elements=["bot"], set_={"after": after, "at": now}))
