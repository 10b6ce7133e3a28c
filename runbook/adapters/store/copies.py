"""Copies of the SQLite file: made while others write, proved by opening them, given their name last; and the way back."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from runbook.adapters.store.schema import HEAD
from runbook.errors import StoreError, StoreNewer
from runbook.upkeep import TableSize

_PROBLEMS = 5  # of a broken file: more of them say nothing more
# Tables, and the column that says when a row was written.
_WRITTEN = {
    "attempt": "started_at", "alert_event": "at", "outbox": "created_at", "feed_event": "at", "feed_sample": "at",
    "request": "asked_at", "ask": "asked_at", "action": "started_at",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found in a file that was opened to be looked at; `faults` is empty where all of it can be read.

    `version` is the migration it stands on, `rows` counts by table, `newest` is when it was last written to.
    """

    file: Path
    size: int
    version: str | None
    faults: tuple[str, ...]
    rows: Mapping[str, int]
    newest: datetime | None

    @property
    def total(self) -> int:
        return sum(self.rows.values())


def prove(file: Path, day: date | None = None) -> Proof:
    """Open `file` and read all of it; raises StoreError when it is no ledger at all.

    With a `day` the rows are those of that session alone: what a backup of the day has to hold.
    """
    with _named(file), closing(_reading(file)) as db:
        faults = [line for (line,) in db.execute(f"PRAGMA integrity_check({_PROBLEMS})") if line != "ok"]
        if not faults:
            orphans = db.execute("PRAGMA foreign_key_check").fetchmany(_PROBLEMS)
            faults += [f"a row of {child} belongs to none of {parent}" for child, _, parent, _ in orphans]
        tables = _tables(db)
        if "alembic_version" not in tables or "occurrence" not in tables:
            raise StoreError(f"{file.name} is no ledger of runbook", hint="name a file that `runbook db backup` wrote")
        held = db.execute("SELECT version_num FROM alembic_version").fetchone()
        return Proof(
            file,
            file.stat().st_size,
            held[0] if held else None,
            tuple(faults),
            _counts(db, tables, day),
            _newest(db, tables),
        )


def copy(source: Path, target: Path, day: date | None = None) -> Proof:
    """Copy the ledger by SQLite's online backup, while others read and write, and prove the copy before it gets its name.

    With a `day` the copy must hold at least the rows of that session that the ledger had when it was begun, and the
    proof counts them. Raises StoreError; then what stood under that name before stands there still.
    """
    draft = target.with_name(target.name + ".part")
    with _written(draft, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        before = _of_day(source, day)
        _duplicate(source, draft)
        proof = prove(draft, day)
        fewer = [
            f"{table} has {proof.rows[table]} rows of {count}"
            for table, count in before.items()
            if proof.rows[table] < count
        ]
        if faults := (*proof.faults, *fewer):
            raise StoreError(f"the copy of {source.name} is damaged: {'; '.join(faults)}", hint="`runbook db check`")
        _named_last(draft, target)
    return replace(proof, file=target)


def _of_day(file: Path, day: date | None) -> dict[str, int]:
    if day is None:
        return {}
    with _named(file), closing(_reading(file)) as db:
        return _counts(db, _tables(db), day)


def _duplicate(source: Path, draft: Path) -> None:
    """A copy that is one file, whole in itself."""
    draft.unlink(missing_ok=True)
    with _named(source), closing(_reading(source)) as from_, closing(sqlite3.connect(draft)) as to:
        from_.backup(to)
        to.execute("PRAGMA journal_mode=DELETE")


def prune(folder: Path, stem: str, keep: int) -> list[str]:
    """Delete all but the newest `keep` daily copies `STEM-YYYY-MM-DD.db`; gives the names. Nothing else is touched."""
    daily = re.compile(re.escape(stem) + r"-\d{4}-\d{2}-\d{2}\.db")
    held = sorted(file for file in folder.iterdir() if file.is_file() and daily.fullmatch(file.name))
    gone = held[:-keep]
    for file in gone:
        file.unlink()
    return [file.name for file in gone]


# -- the way back -------------------------------------------------------------------------------------------------------


def lost_between(current: Path, copied: Proof) -> dict[str, int]:
    """Rows by table that `current` has and the copy has not, by the time they were written; empty when none are.

    Raises StoreError when the present file cannot be read: then nobody knows.
    """
    since = (
        -1 if copied.newest is None else (copied.newest - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    )
    with _named(current), closing(_reading(current)) as db:
        tables = _tables(db)
        found = {
            table: int(_one(db, f'SELECT count(*) FROM "{table}" WHERE {column} > ?', since))
            for table, column in _WRITTEN.items()
            if table in tables
        }
    return {table: count for table, count in found.items() if count}


def refuse_unfit(proof: Proof) -> None:
    """Raises StoreError for a copy that must not take the database's place."""
    if proof.faults:
        raise StoreError(f"{proof.file.name} is damaged: {'; '.join(proof.faults)}", hint="restore an older backup")
    if proof.version is None or proof.version > HEAD:
        raise StoreNewer(f"{proof.file.name} is of version {proof.version}, this runbook knows {HEAD}")


def restore(current: Path, proof: Proof, now: datetime) -> Path | None:
    """Put a proved copy in the place of `current`, which is kept; gives its new name, None when there was none.

    The caller holds the daemon's lock. What the copy still had before it is closed first: a request of that day is not
    carried out today, and a message that waited may have been sent since. The lease's epoch never goes back.
    """
    refuse_unfit(proof)
    draft = current.with_name(current.name + ".restoring")
    with _written(draft, current):
        current.parent.mkdir(parents=True, exist_ok=True)
        _duplicate(proof.file, draft)
        with _named(draft), closing(sqlite3.connect(draft)) as db, db:
            _close_what_waited(db, _epoch(current), now)
        aside = _set_aside(current, now)
        _named_last(draft, current)
    return aside


@contextmanager
def _written(draft: Path, target: Path) -> Iterator[None]:
    """Whatever happens, nothing is left of the draft; an error of the disk says which place it was."""
    try:
        try:
            yield
        finally:
            for rest in (draft, *_beside(draft)):
                rest.unlink(missing_ok=True)
    except OSError as exc:
        hint = f"can {target.parent} be written to, and has its disk room?"
        raise StoreError(f"{target}: {exc.strerror or exc}", hint=hint) from exc


def _close_what_waited(db: sqlite3.Connection, epoch: int, now: datetime) -> None:
    at = (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    said = "not done: the database was restored from a backup"
    db.execute("UPDATE request SET taken_at = ?, answer = ? WHERE taken_at IS NULL", (at, said))
    db.execute("UPDATE outbox SET repeat = 1 WHERE state IN ('queued', 'sending')")
    db.execute("UPDATE lease SET epoch = max(epoch, ?), expires_at = min(expires_at, ?)", (epoch, at))


def _epoch(file: Path) -> int:
    """The newest epoch of `file`; 0 when it cannot be read."""
    try:
        with closing(_reading(file)) as db:
            return int(_one(db, "SELECT coalesce(max(epoch), 0) FROM lease"))
    except (StoreError, sqlite3.Error):
        return 0


def _set_aside(current: Path, now: datetime) -> Path | None:
    if not current.exists():
        return None
    try:
        with closing(sqlite3.connect(current)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass  # it cannot be read, which may be why another takes its place: its parts are kept as they lie
    aside = current.with_name(f"{current.stem}.before-restore-{now:%Y%m%d-%H%M%S}{current.suffix}")
    for part in (*_beside(current), current):  # the log first: a ledger beside the log of another one would be lost
        if part.exists():
            part.rename(aside.with_name(part.name.replace(current.name, aside.name, 1)))
    return aside


# -- files --------------------------------------------------------------------------------------------------------------


def _reading(file: Path) -> sqlite3.Connection:
    """A connection that writes nothing; a file that is not there is an error, and is not made."""
    if not file.is_file():
        raise StoreError(f"{file.name} is not there", hint=f"looked for {file}")
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal")]


def _named_last(draft: Path, target: Path) -> None:
    """Rename, so that a reader sees the old file or the whole new one; it is on the disk when this returns."""
    _to_disk(draft)
    draft.replace(target)
    _to_disk(target.parent)


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _tables(db: sqlite3.Connection) -> list[str]:
    found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name")
    return [name for (name,) in found]


def _counts(db: sqlite3.Connection, tables: list[str], day: date | None) -> dict[str, int]:
    """Rows by table; with a `day` those of that session, in the tables that know sessions."""
    if day is None:
        return {table: _one(db, f'SELECT count(*) FROM "{table}"') for table in tables}
    kept = [table for table in tables if _by_session(db, table)]
    return {table: _one(db, f'SELECT count(*) FROM "{table}" WHERE session = ?', day.isoformat()) for table in kept}


def _by_session(db: sqlite3.Connection, table: str) -> bool:
    return any(column == "session" for _, column, *_ in db.execute(f'PRAGMA table_info("{table}")'))


def _newest(db: sqlite3.Connection, tables: list[str]) -> datetime | None:
    asked = (_WRITTEN | {"lease": "renewed_at"}).items()
    found = [_one(db, f'SELECT max({column}) FROM "{table}"') for table, column in asked if table in tables]
    held = [at for at in found if at is not None]
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=max(held)) if held else None


def _one(db: sqlite3.Connection, question: str, *values: object) -> Any:
    """The one value that a question has as its answer; the names in it are our own, or the file's."""
    return db.execute(question, values).fetchone()[0]


@contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise StoreError(f"{file.name}: {exc}", hint="`runbook db check` says what can be read of it") from exc


@dataclass(frozen=True, slots=True)
class Sizes:
    """What takes how much room; bytes. `unused` lies within the file, `free` is what the disk has left."""

    log: int
    unused: int
    free: int
    settings: Mapping[str, Any]
    tables: tuple[TableSize, ...]
    sessions: int


def measure(file: Path) -> Sizes:
    """Measure the ledger at `file`; raises StoreError when it cannot be read."""
    with _named(file), closing(_reading(file)) as db:
        tables = _tables(db)
        counts, sizes = _counts(db, tables, None), _sizes(db)
        settings = {name: _one(db, f"PRAGMA {name}") for name in ("journal_mode", "page_size", "auto_vacuum")}
        held = _one(db, "SELECT count(DISTINCT session) FROM occurrence") if "occurrence" in tables else 0
        log = _beside(file)[0]
        return Sizes(
            log.stat().st_size if log.exists() else 0,
            _one(db, "PRAGMA freelist_count") * settings["page_size"],
            shutil.disk_usage(file.parent).free,
            settings,
            tuple(TableSize(t, counts[t], sizes.get(t) if sizes else None, _by_session(db, t)) for t in tables),
            held,
        )


def _sizes(db: sqlite3.Connection) -> dict[str, int] | None:
    """Bytes of each table with its indices; None where SQLite was built without that figure."""
    try:
        pages = db.execute(
            "SELECT m.tbl_name, sum(s.pgsize) FROM dbstat s JOIN sqlite_master m ON m.name = s.name GROUP BY m.tbl_name"
        )
        return {name: int(size) for name, size in pages}
    except sqlite3.OperationalError:
        return None
