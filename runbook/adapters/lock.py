"""The only door to file locks: one daemon to a database, and the kernel frees the lock when it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from runbook.errors import AlreadyRunning


class DatabaseLock:
    """A lock on `<database>.lock`; holds as long as the process lives, also against kill -9."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._file: int | None = None

    def take(self, who: str) -> None:
        """Take the lock; raises AlreadyRunning naming who holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            held = os.read(file, 200).decode(errors="replace").strip()
            os.close(file)
            raise AlreadyRunning(f"a runbook daemon holds this database: {held or 'it does not say which'}") from exc
        os.ftruncate(file, 0)
        os.pwrite(file, who.encode(), 0)
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def held(self) -> bool:
        """True when some process holds the lock now."""
        try:
            file = os.open(self.path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        else:
            return False
        finally:
            os.close(file)
