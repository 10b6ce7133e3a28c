"""Points at which a daemon of these tests can be made to die, named after what it was about to do.

Nothing of this is in the product: a child that is to die wraps the product's own functions by name, and kills itself with SIGKILL
when the wanted point is met for the n-th time.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from alembic import command

from runbook.adapters.lock import DatabaseLock
from runbook.adapters.notify import ChildNotifier
from runbook.adapters.store import Books, Store
from runbook.adapters.store.alerts import Alerts
from runbook.adapters.store.calendars import Calendars
from runbook.adapters.store.desk import DeskBook
from runbook.adapters.store.feedlog import FeedLog
from runbook.adapters.store.ledger import Ledger
from runbook.engine import Engine

VARIABLE = "RUNBOOK_TEST_DIES_AT"  # "point;n"

WRITES: dict[str, tuple[type, str]] = {
    "plan": (Ledger, "plan"),
    "claim": (Ledger, "claim_all"),
    "settle": (Ledger, "settle"),
    "end": (Ledger, "end"),
    "reopen": (Ledger, "reopen"),
    "alert": (Alerts, "apply"),
    "outbox": (Alerts, "enqueue"),
    "feed change": (FeedLog, "change"),
    "feed sample": (FeedLog, "sample"),
    "lease": (DeskBook, "take"),
    "renewal": (DeskBook, "renew"),
    "release": (DeskBook, "release"),
    "config": (DeskBook, "keep_config"),
    "calendar": (Calendars, "keep"),
}
STAGES = ("written", "before commit", "after commit")

_within = threading.local()
_wanted: tuple[str, int] = ("", 0)
_met: Counter[str] = Counter()
_lock = threading.Lock()


def met(point: str) -> None:
    """Die here, if this is the place."""
    if point != _wanted[0]:
        return
    with _lock:
        _met[point] += 1
        if _met[point] == _wanted[1]:
            os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()  # until the kernel has done it


def arm() -> None:
    """Wrap what can be wrapped, if this process is to die anywhere."""
    global _wanted  # noqa: PLW0603
    if VARIABLE not in os.environ:
        return
    point, _, n = os.environ[VARIABLE].partition(";")
    _wanted = (point, int(n or 1))
    for name, (book, method) in WRITES.items():
        _writes(book, method, _always(name))
    _writes(Alerts, "store", lambda args: f"message {args[1].state}")
    _writes(Alerts, "claim", lambda _args: "message claimed")
    _around(ChildNotifier, "send", "a send")
    _around(Engine, "_work", "a step")
    _around(Engine, "take_over", "the take-over")
    _around(DatabaseLock, "take", "the lock")
    _around(Store, "migrate", "the migration")
    _around(Store, "backup", "the backup")
    _around(command, "upgrade", "the tables")
    _transactions()


def _always(name: str) -> Callable[[tuple[Any, ...]], str]:
    return lambda _args: name


def _writes(book: type, method: str, name_of: Callable[[tuple[Any, ...]], str]) -> None:
    real = getattr(book, method)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        done = real(*args, **kwargs)
        name = name_of(args)
        names: set[str] = getattr(_within, "names", set())
        names.add(name)
        met(f"{name}: written")
        return done

    setattr(book, method, wrapped)


def _around(owner: Any, method: str, name: str) -> None:
    real = getattr(owner, method)

    @functools.wraps(real)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        met(f"{name}: before")
        done = real(*args, **kwargs)
        met(f"{name}: after")
        return done

    setattr(owner, method, wrapped)


def _transactions() -> None:
    real = Store.write

    @contextmanager
    def write(self: Store) -> Iterator[Books]:
        names: set[str] = set()
        _within.names = names
        with real(self) as books:
            yield books
            for name in names:
                met(f"{name}: before commit")
        for name in names:
            met(f"{name}: after commit")

    Store.write = write  # type: ignore[method-assign]
