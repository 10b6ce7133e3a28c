"""Reloads of a live daemon: read, hold against what is in force, change or keep, and say which.

All of it happens in the thread that serves: neither the engine, which is to be replaced, nor a signal's handler can do it.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook import reload
from runbook.alert import ConfigDoubt
from runbook.app import site
from runbook.clock import host_monotonic
from runbook.config import Config
from runbook.errors import ConfigError, EngineGone, ReloadRefused, RunbookError, StoreError

if TYPE_CHECKING:
    from runbook.app.daemon import Daemon
    from runbook.day import Request

log = logging.getLogger(__name__)

KIND = "reload"  # of the request that the command line leaves
_PATIENCE = 15.0  # real seconds for a step that runs just now
_LINES = 8  # of the faults that a phone is shown


@dataclass(frozen=True, slots=True)
class _Wanted:
    by: str
    at_once: bool
    number: int | None = None  # of the request, to be answered


class Reloader:
    """Takes wishes from any thread (`asked`, `hang_up`), and sees to them in the one that calls `mind`."""

    def __init__(self, daemon: Daemon, on_config: Callable[[Config], None]) -> None:
        self._d = daemon
        self._on_config = on_config
        self._wanted: queue.SimpleQueue[_Wanted] = queue.SimpleQueue()
        self._known: set[int] = set()

    def asked(self, request: Request) -> None:
        """A request of the command line. The engine hands it over with each turn until it is answered."""
        if request.kind == KIND and request.number not in self._known:
            self._known.add(request.number)
            self._wanted.put(_Wanted(request.by, bool(request.data.get("now")), request.number))

    def hang_up(self) -> None:
        """SIGHUP came."""
        self._wanted.put(_Wanted("SIGHUP", at_once=False))

    def mind(self) -> None:
        """See to what is wanted. Raises EngineGone when the daemon cannot go on, and nothing else."""
        while not self._wanted.empty():
            self._one(self._wanted.get())

    def in_force(self) -> None:
        """The daemon has started on what the file says."""
        self._tell(over=True, reason="runbook was started on it")

    def _one(self, wanted: _Wanted) -> None:
        self._d.systemd.reloading()
        try:
            said = self._reload(wanted)
            log.info("reload, by %s: %s", wanted.by, said)
            self._tell(over=True, reason=said)
        except ConfigError as exc:
            lines = str(exc).splitlines()
            more = [f"and {len(lines) - _LINES} more"] if len(lines) > _LINES else []
            said = f"refused, the old configuration stays: {len(lines)} faults" + "".join(
                f"\n  {line}" for line in lines
            )
            log.error("reload, by %s: %s", wanted.by, said)
            self._tell(reason="\n".join([f"{len(lines)} faults", *lines[:_LINES], *more]))
        except ReloadRefused as exc:
            said = f"refused, the old configuration stays: {exc}" + (f"\n  -> {exc.hint}" if exc.hint else "")
            log.warning("reload, by %s: %s", wanted.by, said)
            if wanted.number is None:  # whoever asked on the command line is told there
                self._tell(reason=str(exc), hint=exc.hint or "")
        self._d.systemd.ready(said.splitlines()[0])
        if wanted.number is not None:
            try:
                with self._d.store.write() as books:
                    books.desk.answer(wanted.number, said, self._d.clock.now())
            except StoreError as exc:
                log.error("reload: the answer could not be written: %s", exc)
                self._known.discard(wanted.number)  # asked again with the next turn; by then nothing has changed

    def _reload(self, wanted: _Wanted) -> str:
        d = self._d
        old, new = d.config, site.load_config(d.config.site)
        site.need_secrets(new)
        self._on_config(new)
        calendar = d.almanac.calendar()
        if not reload.consider(old, new, calendar, d.clock.now(), at_once=wanted.at_once):
            return f"nothing has changed, config {old.hash} stays"
        if new.secrets.channels != old.secrets.channels and (faults := site.channel_faults(new)):
            raise ConfigError(faults)
        self._wait_for_steps()
        try:
            d.change(new)
        except EngineGone:
            raise
        except RunbookError as exc:
            raise ReloadRefused(f"it could not be put in force: {exc}", hint=exc.hint) from exc
        return f"reloaded: config {old.hash} -> {new.hash}"

    def _wait_for_steps(self) -> None:
        """A step under way would be cut off; those that end soon are waited for."""
        until, pause = host_monotonic() + _PATIENCE, threading.Event()
        while not self._d.engine.idle:
            if host_monotonic() > until:
                raise ReloadRefused("a step is running", hint="try again when it has ended: `runbook status` names it")
            pause.wait(0.05)

    def _tell(self, *, reason: str, hint: str = "", over: bool = False) -> None:
        from runbook.engine import CauseNews

        now = self._d.clock.now()
        day = self._d.almanac.calendar().today(now)
        self._d.hand(CauseNews(day, ConfigDoubt(now, reason, hint, over)))
