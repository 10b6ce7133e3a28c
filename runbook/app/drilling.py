"""Drills that the command line asks a live daemon for."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING

from runbook.config.form import Mode
from runbook.errors import DrillRefused, StoreError

if TYPE_CHECKING:
    from runbook.app.daemon import Daemon
    from runbook.day import Request

log = logging.getLogger(__name__)

KIND = "drill"  # of the request


class Driller:
    """Takes wishes from any thread, and sees to them in the one that calls `mind`."""

    def __init__(self, daemon: Daemon) -> None:
        self._d = daemon
        self._wanted: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._known: set[int] = set()

    def asked(self, request: Request) -> None:
        if request.kind == KIND and request.number not in self._known:
            self._known.add(request.number)
            self._wanted.put(request)

    def mind(self) -> None:
        while not self._wanted.empty():
            request = self._wanted.get()
            try:
                said = self._begin(request)
            except DrillRefused as exc:
                said = f"refused: {exc}" + (f"\n  -> {exc.hint}" if exc.hint else "")
            log.info("drill, by %s: %s", request.by, said)
            try:
                with self._d.store.write() as books:
                    books.desk.answer(request.number, said, self._d.clock.now())
            except StoreError as exc:
                log.error("drill: the answer could not be written: %s", exc)

    def _begin(self, request: Request) -> str:
        if self._d.config.settings.mode is Mode.LIVE and not request.data.get("yes"):
            raise DrillRefused(
                "the bot trades live, and a drill spends of the broker's quota",
                hint="outside of a busy hour: `runbook drill feed --yes`",
            )
        within = float(request.data["within"])
        self._d.monitor.drill(within, self._acknowledged)
        return f"the drill has begun: within half a minute a message marked [DRILL] comes; acknowledge it within {within:.0f} s"

    def _acknowledged(self) -> bool:
        try:
            with self._d.store.read() as books:
                return any(a.drill and a.acked for a in books.alerts.unresolved())
        except StoreError:
            return False  # nobody can say; the drill's own limit ends it
