"""`python -m tests.soak.reconnects FOLDER N`: a real daemon whose stream is reset N times; prints what it holds after each.

`counted THREADS DESCRIPTORS CONNECTIONS`, taken each time the ticks flow again.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from runbook.clock import host_monotonic
from runbook.rehearsal import Director, Staging
from runbook.rehearsal.scenarios import scenario
from tests.scenarios.days import edit

_PATIENCE = 60.0  # real seconds for one reconnection; the ladder's longest wait is 20 at x30


def main(folder: Path, resets: int) -> None:
    hours = replace(scenario("clean"), orders=(), expects=())

    def prepare(director: Director) -> None:
        edit(director, "version: 1", "version: 1\nfeed: {warn_after: 10s, fallback_after: 20s}")

    with ExitStack() as stack:
        director = Director(
            hours, folder, seed=7, speed=30, debug=False, stack=stack, staging=Staging(minutes=300, prepare=prepare)
        )
        director.phone.start()
        director.daemon.start()
        try:
            _resets(director, resets)
        finally:
            director.daemon.stop()
            director.phone.stop()


def _resets(director: Director, resets: int) -> None:
    clock, engine = director.clock, director.daemon.engine
    pause = threading.Event()
    for minutes in (65, 14, 9, -1):  # the morning's steps, one after another
        clock.jump_to(director.opens - timedelta(minutes=minutes))
        engine.wake()
        _until(lambda: engine.idle and not _due(director), "the morning's steps")
    clock.set_rate(30.0)
    engine.wake()
    _until(lambda: _ticks(director) > 20, "the first ticks")
    for n in range(1, resets + 1):
        before = _ticks(director)
        director.sim.switch("kick")
        _until(lambda before=before: _ticks(director) > before + 20, f"ticks after reset {n}")
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        view = director.daemon.monitor.view()
        made = view.state.link.generation if view.state else 0
        print("counted", threading.active_count(), descriptors, made - 1, flush=True)
        pause.wait(clock.real(15.0))


def _due(director: Director) -> bool:
    with director.daemon.store.read() as books:
        return bool(books.ledger.due(director.clock.now()) or books.ledger.running())


def _ticks(director: Director) -> int:
    state = director.daemon.monitor.view().state
    return sum(clock.ticks for clock in state.ticks.values()) if state else 0


def _until(holds: object, what: str) -> None:
    assert callable(holds)
    until, pause = host_monotonic() + _PATIENCE, threading.Event()
    while not holds():
        if host_monotonic() > until:
            sys.exit(f"not within {_PATIENCE:g} s: {what}")
        pause.wait(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
