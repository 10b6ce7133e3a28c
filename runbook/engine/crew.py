"""The crew: threads that do what takes long beside the engine's turn, and are kept for the next while they have nothing to do.

A hundred steps that are due at one instant would wait for a hundred threads to be made. `ThreadPoolExecutor` keeps its
threads, too, but a step that hangs would take a place in it for good, and would be waited for when the process ends.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

Work = Callable[[], None]
IDLE = 60.0  # seconds a thread is kept for: a check of each half minute finds it again


class Crew:
    """As many threads as there is work at a time: none is ever waited for, and one that hangs is missed by nobody."""

    def __init__(self, idle: float = IDLE) -> None:
        self._idle = idle
        self._lock = threading.Lock()
        self._free: list[queue.SimpleQueue[tuple[Work, str]]] = []

    def do(self, work: Work, name: str) -> None:
        """Have `work` done soon, in a thread that is called `name` meanwhile."""
        with self._lock:
            hand = self._free.pop() if self._free else None
        if hand is None:
            threading.Thread(target=self._serve, args=(work, name), name=name, daemon=True).start()
        else:
            hand.put((work, name))

    def _serve(self, work: Work, name: str) -> None:
        mine: queue.SimpleQueue[tuple[Work, str]] = queue.SimpleQueue()
        me = threading.current_thread()
        while True:
            me.name = name
            try:
                work()
            except Exception:
                log.exception("%s failed", name)
            del work  # what it held is not kept for a minute
            me.name = "idle"
            with self._lock:
                self._free.append(mine)
            try:
                work, name = mine.get(timeout=self._idle)
            except queue.Empty:
                with self._lock:
                    if mine in self._free:
                        self._free.remove(mine)
                        return
                work, name = mine.get()  # it was given something in the same moment
