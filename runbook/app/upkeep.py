"""The keep of a site's database: the day's backup, what becomes of old rows, a look at the file, and the way back."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook import growth
from runbook.clock import host_monotonic
from runbook.config import Config
from runbook.errors import StoreError, UsageError
from runbook.upkeep import Backup, Health

if TYPE_CHECKING:
    from runbook.adapters.store import Proof, Store

log = logging.getLogger(__name__)


def backup_folder(config: Config) -> Path:
    """Where the copies lie: beside the database, unless `backup.folder` is absolute."""
    return (config.database_path.parent / Path(config.settings.backup.folder).expanduser()).resolve()


def back_up(config: Config, store: Store, day: date) -> Backup:
    """The backup of a session: copied, proved, older ones removed; then, and only then, old repeats are rolled up.

    Raises StoreError when there is no proved copy; then nothing was removed.
    """
    from runbook.adapters.store import prune

    began, folder, stem = host_monotonic(), backup_folder(config), config.database_path.stem
    proof = store.backup(folder / f"{stem}-{day}.db", day)
    pruned = prune(folder, stem, config.settings.backup.keep)
    rolled, fault = {}, ""
    try:
        rolled = roll_up(store, day, config.settings.retention.repeats_sessions)
    except StoreError as exc:  # the backup is there, which is what this is for; the rows are there tomorrow
        fault = str(exc)
    return Backup(
        _named(proof.file, config), proof.size, proof.total, host_monotonic() - began, tuple(pruned), rolled, fault
    )


def roll_up(store: Store, day: date, keep: int) -> dict[date, int]:
    """Roll up the repeats of what is older than the newest `keep` sessions until `day`, each in a transaction of its own."""
    done: dict[date, int] = {}
    for session in _old(store, day, keep):
        with store.write() as books:
            if count := books.repeats.roll_up(session):
                done[session] = count
    return done


def _old(store: Store, day: date, keep: int) -> list[date]:
    with store.read() as books:
        begun = books.ledger.sessions(keep, until=day)
        return books.repeats.sessions(begun[-1]) if len(begun) == keep else []


def examine(config: Config) -> Health:
    """How the database stands; raises StoreError where there is none, or what is there is no ledger."""
    from runbook.adapters.store import HEAD, measure, prove

    file = config.database_path
    proof, sizes = prove(file), measure(file)
    settings, rollable = config.settings, None
    foretold: int | None = None
    if proof.version == HEAD and not proof.faults:
        from runbook.app.site import open_store

        store = open_store(config, busy_seconds=5)
        try:
            with store.read() as books:
                newest = books.ledger.sessions(1)
                calendar = books.calendars.load(settings.exchange)
            if newest and calendar and (session := calendar.session_of(newest[0])):
                foretold = growth.of_session(config.jobs, session, len(config.secrets.channels)).bytes
            old = _old(store, newest[0], settings.retention.repeats_sessions) if newest else []
            with store.read() as books:
                rollable = {day: count for day in old if (count := books.repeats.rollable(day))}
        finally:
            store.close()
    folder = backup_folder(config)
    copies = sorted(folder.glob(f"{file.stem}-*.db")) if folder.is_dir() else []
    return Health(
        str(file), proof.size, sizes.log, sizes.unused, proof.version, HEAD, proof.faults, sizes.settings, sizes.tables,
        sizes.sessions, proof.newest, sizes.free, settings.retention.repeats_sessions, rollable,
        [(copy.name, copy.stat().st_size) for copy in copies], foretold,
    )  # fmt: skip


def back_up_now(config: Config, target: Path | None, now: datetime) -> Proof:
    """A copy by hand; the pruning never takes it. Raises UsageError when `target` is there already."""
    from runbook.app.site import open_store

    stem = config.database_path.stem
    target = target or backup_folder(config) / f"{stem}-{now:%Y-%m-%d-%H%M%S}.db"
    if target.exists():
        raise UsageError(
            f"{target} is there already", hint="name a file that is not, or none: then it is named by the time"
        )
    store = open_store(config)
    try:
        if not store.exists:
            raise StoreError(f"{store.name}: no ledger here yet", hint="`runbook init` makes it")
        return store.backup(target)
    finally:
        store.close()


def restore(
    config: Config, copied: Path, now: datetime, agreed: Callable[[Proof, Mapping[str, int] | None], bool]
) -> Path | None:
    """Put a backup in the place of the database, once `agreed` has heard what is lost (None: nobody knows).

    Gives where the present file was kept; None when there was none, or it was not agreed. No daemon may run: this takes its lock.
    """
    from runbook.adapters.lock import DatabaseLock
    from runbook.adapters.store import lost_between, prove, refuse_unfit, restore

    current = config.database_path
    lock = DatabaseLock(current)
    lock.take(f"pid {os.getpid()}, which restores a backup, since {now:%Y-%m-%d %H:%M:%S} UTC")
    try:
        proof = prove(copied)
        refuse_unfit(proof)
        lost: Mapping[str, int] | None = {}
        if current.exists():
            try:
                lost = lost_between(current, proof)
            except StoreError as exc:
                log.debug("the present file: %s", exc)
                lost = None
        return restore(current, proof, now) if agreed(proof, lost) else None
    finally:
        lock.release()


def _named(file: Path, config: Config) -> str:
    try:
        return file.relative_to(config.database_path.parent).as_posix()
    except ValueError:
        return str(file)
