"""The watch over a feed, one session after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from runbook.errors import DrillRefused
from runbook.market import Instrument
from runbook.monitor.drill import Drill
from runbook.monitor.parts import FeedParts, Watching
from runbook.monitor.watch import Watch
from runbook.session import Session


class Monitor:
    """Watches the feed of one session at a time. `start` and `stop` mirror each other and may come from any thread."""

    def __init__(self, parts: FeedParts) -> None:
        self._p = parts
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._generation = 0
        self._drill: Drill | None = None

    def start(self, session: Session, instruments: Sequence[Instrument]) -> bool:
        """Watch `instruments` through `session`; False when they are watched already, whatever is followed beside them."""
        with self._lock:
            held = self._watch
            if held is not None and held.alive:
                if held.session.date == session.date and set(held.state.watched) >= set(instruments):
                    return False
                held.stop()
                self._generation = held.state.link.generation
            self._watch = Watch(self._p, session, instruments, self._generation)
            self._watch.start()
            return True

    def reconnect(self, reason: str) -> None:
        """Open the feed's connection anew: the other side has changed (a login), and an old socket would stay mute."""
        held = self._watch
        if held is not None and held.alive:
            held.reconnect(reason)

    def follow(self, instruments: Sequence[Instrument], why: str) -> None:
        """Watch these as well until the session ends; without a running watch nothing happens."""
        held = self._watch
        if held is not None and held.alive and instruments:
            held.follow(instruments, why)

    def spent(self) -> None:
        """Somebody else has made one of the REST calls that the budget is for."""
        held = self._watch
        if held is not None and held.alive:
            held.spent()

    def drill(self, seconds: float, acknowledged: Callable[[], bool]) -> None:
        """Begin a drill of at most `seconds`; raises DrillRefused when the feed is not LIVE, or one is on."""
        with self._lock:
            if self._drill is not None and self._drill.on:
                raise DrillRefused("a drill is on already", hint="acknowledge its alert to end it")
            self._drill = Drill(self._p, self.view, seconds, acknowledged, self.spent)
            self._drill.start()

    def stop(self) -> None:
        if self._drill is not None:
            self._drill.stop()
        with self._lock:
            if self._watch is not None:
                self._watch.stop()
                self._generation = self._watch.state.link.generation

    def view(self) -> Watching:
        held = self._watch
        now = self._p.clock.monotonic()
        if held is None:
            return Watching(running=False, state=None, at=now, session=None)
        return Watching(running=held.alive, state=held.state, at=now, session=held.session)
