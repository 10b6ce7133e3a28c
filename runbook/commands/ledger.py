"""The ledger as commands use it: to read, to say something in, and to ask the live daemon through."""

from __future__ import annotations

import getpass
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from runbook import app
from runbook.clock import SystemClock, host_monotonic
from runbook.config import Config
from runbook.errors import StoreError

if TYPE_CHECKING:
    from runbook.adapters.store import Store

ANSWER_SECONDS = 20.0  # more than a pulse, after which a live daemon has taken what was asked


@contextmanager
def ledger(config: Config) -> Iterator[Store]:
    """The site's ledger, closed at the end; raises StoreError where there is none, or none of this version."""
    store = app.open_store(config, busy_seconds=5)
    try:
        if not store.exists:
            raise StoreError(f"{config.database_path.name}: no ledger here yet", hint="`runbook init` makes it")
        store.check()
        yield store
    finally:
        store.close()


def actor(reason: str = "") -> str:
    """Who speaks, as the ledger keeps it."""
    who = f"cli:{getpass.getuser()}"
    return (f"{who} ({reason})" if reason else who)[:60]


def answer_to(store: Store, kind: str, data: Mapping[str, Any], by: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """Ask the live daemon, and wait for its answer; None when none came in time: the request stays, and is taken later."""
    with store.write() as books:
        number = books.desk.ask(kind, data, by, SystemClock().now())
    until, pause = host_monotonic() + seconds, threading.Event()
    while host_monotonic() < until:
        with store.read() as books:
            asked = books.desk.request(number)
        if asked is not None and asked.answer is not None:
            return asked.answer
        pause.wait(0.1)
    return None
