"""Sessions that are over: packed, kept for a while, and let go.

A packed session is its SQLite file in gzip: half the size, and any tool can unpack it.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import sqlite3
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from runbook.adapters.recorder.form import packed_file, session_file

log = logging.getLogger(__name__)

_LEVEL = 6  # 9 takes five times as long for a tenth less
_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite leaves beside a file whose writer was killed


@dataclass(frozen=True, slots=True)
class Tidied:
    """What one tidying did, by session."""

    packed: tuple[date, ...] = ()
    deleted: tuple[date, ...] = ()


def recorded_days(folder: Path) -> list[date]:
    """The sessions whose ticks are kept, the oldest first."""
    return sorted({day for day, _ in _files(folder)})


def tidy(folder: Path, today: date, keep: int) -> Tidied:
    """Delete what is older than the `keep` newest sessions and pack the others; never touches `today` or a later day.

    Each deletion is logged. A file that cannot be packed now (it is open elsewhere, the disk is full) stays as it is.
    """
    for draft in folder.glob("*.gz.new"):  # an earlier packing was cut off; what it read is still there
        draft.unlink(missing_ok=True)
    days = recorded_days(folder)
    old = [day for day in days[: max(0, len(days) - max(1, keep))] if day < today]
    for day in old:
        packed_file(folder, day).unlink(missing_ok=True)
        _delete(session_file(folder, day))
        log.info("ticks of %s deleted: the newest %d sessions are kept", day, keep)
    over = [day for day in days if day < today and day not in old and session_file(folder, day).is_file()]
    return Tidied(tuple(day for day in over if _pack(folder, day)), tuple(old))


def tidy_aside(folder: Path, today: date, keep: int) -> threading.Thread:
    """Tidy in a thread of its own, since sixty files may wait; what it could not do is logged."""

    def work() -> None:
        try:
            tidy(folder, today, keep)
        except OSError as error:
            log.error("recorded ticks could not be tidied: %s", error)

    thread = threading.Thread(target=work, name="tidy-ticks", daemon=True)
    thread.start()
    return thread


def unpack(folder: Path, day: date) -> None:
    """Make a packed session a plain file again, to be appended to; nothing where there is none or it is plain already."""
    packed, plain = packed_file(folder, day), session_file(folder, day)
    if plain.exists() or not packed.exists():
        return
    draft = plain.with_suffix(".db.new")
    with gzip.open(packed) as source, draft.open("wb") as target:
        shutil.copyfileobj(source, target)
    draft.replace(plain)
    packed.unlink()


def _files(folder: Path) -> Iterator[tuple[date, Path]]:
    for path in folder.glob("*.db*"):
        name, _, suffix = path.name.partition(".")
        with suppress(ValueError):
            if suffix in ("db", "db.gz"):
                yield date.fromisoformat(name), path


def _pack(folder: Path, day: date) -> bool:
    plain, packed = session_file(folder, day), packed_file(folder, day)
    draft = packed.with_name(packed.name + ".new")
    try:
        _fold(plain)
        with plain.open("rb") as source, draft.open("wb") as target:
            with gzip.GzipFile(plain.name, "wb", _LEVEL, target) as press:
                shutil.copyfileobj(source, press)
            target.flush()
            os.fsync(target.fileno())  # before the only other copy goes
        if not _same(plain, draft):
            raise OSError("what was packed reads back differently")
        draft.replace(packed)
        _delete(plain)
    except (OSError, EOFError, zlib.error, sqlite3.Error) as error:
        log.warning("ticks of %s stay unpacked: %s", day, error)
        draft.unlink(missing_ok=True)
        return False
    return True


def _delete(plain: Path) -> None:
    for path in (plain, *(plain.with_name(plain.name + more) for more in _BESIDE)):
        path.unlink(missing_ok=True)


def _fold(plain: Path) -> None:
    """Take into the file what a killed recorder left beside it; raises sqlite3.Error while another has it open."""
    with closing(sqlite3.connect(plain, timeout=0.2)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        ((mode,),) = db.execute("PRAGMA journal_mode = DELETE")
        if mode != "delete":
            raise sqlite3.OperationalError("it is open elsewhere")


def _same(plain: Path, draft: Path) -> bool:
    with plain.open("rb") as one, gzip.open(draft) as other:
        while True:
            block = one.read(1 << 16)
            if block != other.read(1 << 16):
                return False
            if not block:
                return True
