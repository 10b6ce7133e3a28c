"""The courier: carries pings and milestones to the dead-man's switch outside, in a thread that nobody waits for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from runbook.clock import Clock
from runbook.errors import StoreError
from runbook.heartbeat import Milestone
from runbook.ports import Switch

if TYPE_CHECKING:
    from runbook.adapters.store import Store

log = logging.getLogger(__name__)

PING, MILESTONES = "ping", "milestones"
RETRIES = (5.0, 10.0, 20.0)  # seconds; then the next minute's ping comes anyway
_KEEP = timedelta(hours=12)  # how long a milestone is worth being told
_AGAIN = 30.0  # seconds until milestones that were not heard are tried again


class Courier:
    """Keeps the newest ping and sends it; sends what the ledger owes. `start` and `stop` mirror each other; never raises."""

    def __init__(self, store: Store, switch: Switch, clock: Clock, *, retries: tuple[float, ...] = RETRIES) -> None:
        self._store = store
        self._switch = switch
        self._clock = clock
        self._retries = retries
        self._ping: str | None = None  # the newest that is not sent; an older one is worth nothing
        self._owing = True  # after a start: what an earlier process wrote down and did not send
        self._nudge = threading.Event()
        self._stop = threading.Event()
        self._heard: dict[str, datetime] = {}
        self._faults: dict[str, tuple[datetime, str]] = {}
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop soon; what is owed stays in the ledger."""
        self._stop.set()
        self._nudge.set()
        self._switch.close()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def ping(self, body: str) -> None:
        """Send this soon, unless a newer one comes before. Never blocks."""
        self._ping = body
        self._nudge.set()

    def owed(self) -> None:
        """The ledger owes a milestone."""
        self._owing = True
        self._nudge.set()

    def stands(self) -> Mapping[str, Any]:
        """When each check last heard us, and what is wrong since when; for screens."""
        return {
            name: {
                "heard": heard.isoformat() if (heard := self._heard.get(name)) else None,
                "fault": fault[1] if (fault := self._faults.get(name)) else None,
                "since": fault[0].isoformat() if fault else None,
            }
            for name in sorted({*self._heard, *self._faults})
        }

    def _run(self) -> None:
        while not self._stop.is_set():
            self._nudge.clear()
            wait = 3600.0
            try:
                if self._owing and not self._pay():
                    wait = _AGAIN
                if (body := self._ping) is not None:
                    self._ping = None
                    self._carry(body)
            except StoreError as exc:
                log.error("milestones: %s", exc)
                wait = _AGAIN
            except Exception:
                log.exception("the courier stumbled; it goes on with the next minute")
                wait = _AGAIN
            self._clock.wait(self._nudge, wait)

    def _carry(self, body: str) -> None:
        for pause in (*self._retries, None):
            if self._say(PING, "", body):
                return
            if pause is None or self._stop.wait(self._clock.real(pause)) or self._ping is not None:
                return

    def _pay(self) -> bool:
        """Send what is owed, in order, until one is not heard; False when some is left."""
        self._owing = False
        with self._store.read() as books:
            owed = books.milestones.owed()
        for one in owed:
            now = self._clock.now()
            if now - one.at > _KEEP:
                self._write(one, heard=False, reason="too old to be of use when it could be sent")
            elif self._say(MILESTONES, one.word.signal, one.body, one.run):
                self._write(one, heard=True)
                log.info("milestone of %s: %s", one.session, one.word)
            else:
                self._owing = True
                return False
        return True

    def _write(self, one: Milestone, *, heard: bool, reason: str = "") -> None:
        try:
            with self._store.write() as books:
                books.milestones.said(one, self._clock.now(), heard=heard, reason=reason)
        except StoreError:
            self._owing = True  # said once more rather than never: the run's id makes the two one
            raise

    def _say(self, check: str, signal: str, body: str, run: UUID | None = None) -> bool:
        why = self._switch.ping(check, signal, body, run)
        now = self._clock.now()
        if not why:
            self._heard[check] = now
            if check in self._faults:
                log.info("%s: the dead-man's switch hears us again", check)
                del self._faults[check]
            return True
        if check not in self._faults or self._faults[check][1] != why:
            log.warning("%s: the dead-man's switch was not reached: %s", check, why)
            self._faults[check] = (self._faults.get(check, (now, ""))[0], why)
        return False
