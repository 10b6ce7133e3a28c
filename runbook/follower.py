"""The thread that follows the bot: its orders and its log are looked at, and what they name is watched as well."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from runbook.budget import Budget
from runbook.clock import Clock
from runbook.errors import RunbookError
from runbook.follow import Following, in_lines, in_orders, placed, take
from runbook.market import Instrument
from runbook.monitor import MOST_WATCHED, Watching
from runbook.ports import Order

log = logging.getLogger(__name__)

LOOK = 2.0  # seconds between two looks at the bot's files
ORDERS = 60.0  # between two looks at the order book: a call each, out of the budget that the bot shares
_TAKES = 10.0  # until what is to be followed is surely watched
_BUDGET = 8.0  # real seconds for one of them


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the bot's symbols come from; None where a source is not wanted or not declared.

    `skip` says that what is in the log so far is no news; `lines` gives what came since, and `fault` why none can; `trades` the instruments of the
    day in the bot's trade log, or None when that has not changed since the last look; `spent` books a REST call.
    """

    orders: Callable[[Budget], Sequence[Order]] | None = None
    spent: Callable[[], None] = lambda: None
    skip: Callable[[], None] = lambda: None
    lines: Callable[[], Sequence[str]] | None = None
    fault: Callable[[], str | None] = lambda: None
    close: Callable[[], None] = lambda: None
    trades: Callable[[date], Sequence[Instrument] | None] | None = None

    @property
    def any(self) -> bool:
        return any(source is not None for source in (self.orders, self.lines, self.trades))


class Follower:
    """Looks while a session is watched. `start` and `stop` mirror each other; it never ends by a fault of a source."""

    def __init__(
        self,
        clock: Clock,
        watching: Callable[[], Watching],
        follow: Callable[[Sequence[Instrument], str], None],
        homes: Mapping[str, str],
        sources: Sources,
    ) -> None:
        self._clock = clock
        self._watching = watching
        self._follow = follow
        self._homes = homes
        self._s = sources
        self._session: date | None = None
        self._following = Following()
        self._told_at = 0.0
        self._orders_at: float | None = None
        self._said: set[str] = set()  # in this session
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follow", daemon=True)

    def start(self) -> None:
        if self._s.any:
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3.0)
        self._s.close()

    def look(self) -> None:
        """One look at everything that is due; nothing while no session is watched."""
        seen = self._watching()
        if not seen.running or seen.session is None or seen.state is None:
            return
        day = seen.session.date
        if day != self._session:
            self._session, self._following, self._orders_at = day, Following(), None
            self._said.clear()
            self._s.skip()
        self._remind(seen.state.watched)
        if self._s.lines is not None:
            self._found(in_lines(self._s.lines(), self._homes, day), "the bot's log names them")
            if (fault := self._s.fault()) is not None:
                self._tell(fault)
        if self._s.trades is not None and (traded := self._s.trades(day)) is not None:
            self._found(placed(traded, self._homes, day), "the bot's trade log has them")
        if self._s.orders is not None:
            self._ask(self._s.orders)

    def _remind(self, watched: Sequence[Instrument]) -> None:
        """A watch that was begun anew knows only the site's own symbols."""
        missing = [i for i in self._following.known if i not in watched]
        if missing and len(watched) < MOST_WATCHED and self._clock.monotonic() - self._told_at >= _TAKES:
            self._send(missing, "the bot traded them today")

    def _send(self, instruments: Sequence[Instrument], why: str) -> None:
        self._told_at = self._clock.monotonic()
        self._follow(instruments, why)

    def _ask(self, orders: Callable[[Budget], Sequence[Order]]) -> None:
        now = self._clock.monotonic()
        if self._orders_at is not None and now - self._orders_at < ORDERS:
            return
        self._orders_at = now
        self._s.spent()
        try:
            book = orders(Budget(_BUDGET, self._stop))
        except RunbookError as exc:
            self._tell(f"the order book could not be read: {exc}")
            return
        self._found(in_orders(book), "there are orders in them")

    def _found(self, instruments: Sequence[Instrument], why: str) -> None:
        before = len(self._following.refused)
        self._following, new = take(self._following, instruments)
        if new:
            self._send(new, why)
        if len(self._following.refused) > before:
            log.warning("%d instruments of the bot are followed, which is the most; further ones are not", len(self._following.known))  # fmt: skip

    def _tell(self, text: str) -> None:
        if text not in self._said:  # once: it may go on all day
            self._said.add(text)
            log.warning("%s; the bot's symbols are followed as far as they are known", text)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                log.exception("following the bot failed; it is tried again in a minute")
                self._clock.wait(self._stop, 60.0)
            self._clock.wait(self._stop, LOOK)
