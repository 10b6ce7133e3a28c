"""The sweeper: a thread that trusts neither the alarm clock nor the engine. When the engine turns no more, it says so and ends it all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from runbook.clock import host_monotonic

log = logging.getLogger(__name__)

LIMIT = 60.0  # host seconds without a turn of the engine
EXIT_CODE = 70  # EX_SOFTWARE: systemd starts it again
_EVERY = 5.0
_TELL = 10.0  # host seconds for the row, and as many for its way to people
_TURN = 0.1


class Sweeper:
    """Looks at `turned` (when the engine last began a turn, in host seconds); `start` and `stop` mirror each other.

    Past `limit`: `tell(why)` writes the alert, `told()` says when it is out, and then `end(70)`. None of them is waited for
    longer than some seconds, since what hangs may be what they need. All in host seconds, which a rehearsal does not speed up.
    """

    def __init__(
        self,
        turned: Callable[[], float],
        tell: Callable[[str], None],
        told: Callable[[], bool],
        end: Callable[[int], object],
        *,
        limit: float = LIMIT,
        every: float = _EVERY,
        patience: float = _TELL,
    ) -> None:
        self._turned = turned
        self._tell = tell
        self._told = told
        self._end = end
        self._limit = limit
        self._every = every
        self._patience = patience
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        looked = awake = host_monotonic()
        while not self._stop.wait(self._every):
            now = host_monotonic()
            if now - looked > 3 * self._every:
                awake = now  # the whole process stood still (SIGSTOP, a host that slept): that is no hung engine
            looked = now
            silent = now - max(self._turned(), awake)
            if silent > self._limit:
                self._give_up(silent)
                return

    def _give_up(self, silent: float) -> None:
        why = f"the engine has not turned for {silent:.0f} s"
        log.critical("%s; this process ends, so that the next one does", why)
        teller = threading.Thread(target=self._say, args=(why,), name="sweeper-tells", daemon=True)
        teller.start()
        teller.join(self._patience)
        until = host_monotonic() + self._patience
        while not self._out() and host_monotonic() < until and not self._stop.wait(_TURN):
            pass
        if not self._stop.is_set():
            self._end(EXIT_CODE)

    def _say(self, why: str) -> None:
        try:
            self._tell(why)
        except Exception:  # the end comes all the same: the log has it
            log.exception("the alert about it could not be written")

    def _out(self) -> bool:
        try:
            return self._told()
        except Exception:  # noqa: BLE001  # a database that cannot be asked tells nobody anything
            return True
