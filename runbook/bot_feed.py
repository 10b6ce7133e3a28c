"""The feed in the bot's own process: the same machine and the same trust, without a daemon and without a ledger."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from weakref import WeakSet

from runbook.budget import Budget
from runbook.clock import Clock, host_monotonic
from runbook.errors import RunbookError, UsageError
from runbook.fault import Unfit
from runbook.feed.price import FeedStatus, Price, of_instrument
from runbook.feed.table import Mode
from runbook.feed.view import FeedView, view
from runbook.market import Instrument, Source
from runbook.monitor import Monitor
from runbook.ports import Gateway
from runbook.session import Session, SessionCalendar
from runbook.symbols import Symbol, parse_symbol, resolve

log = logging.getLogger(__name__)

EARLY = timedelta(minutes=15)  # before the open: time to log in, and to be subscribed at the first tick
FRESH = 10.0  # seconds: twice the slowest poll of a healthy fallback, ten ticks of an index
_LOOK = 30.0  # seconds between looks at the clock, which may be stepped
_AGAIN = 30.0  # ... and between two tries to find the symbols
_RESOLVE = 20.0  # real seconds for it
_KEPT = 10_000  # prices that wait for a slow loop


@dataclass(frozen=True, slots=True)
class BotParts:
    """What a bot's feed is made of; `app` puts it together. `close` ends the doors."""

    clock: Clock
    gateway: Gateway
    symbols: Sequence[Symbol]
    calendar: SessionCalendar
    monitor: Callable[[BotFeed], Monitor]
    close: Callable[[], None]


class _Box:
    """What one loop over `prices` has still to see; the oldest falls out when it is full."""

    def __init__(self) -> None:
        self.prices: deque[Price] = deque(maxlen=_KEPT)
        self.changed = threading.Condition()


class BotFeed:
    """Prices of the side that can be trusted now, through the sessions of one calendar; a context manager.

    A thread of its own starts the watch 15 minutes before each open, and ends it after each close. Everything may be
    called from any thread, and nothing blocks but `prices`.
    """

    def __init__(self, parts: BotParts) -> None:
        self._p = parts
        self._monitor = parts.monitor(self)
        self._named: dict[str, Instrument] = {str(s): s for s in parts.symbols if isinstance(s, Instrument)}
        self._boxes: WeakSet[_Box] = WeakSet()
        self._stop = threading.Event()
        self._tried = float("-inf")
        self._whole: Session | None = None  # the session all of whose symbols were found
        self._thread = threading.Thread(target=self._run, name="bot-feed", daemon=True)
        self.status = FeedStatus(Mode.OFF, None, parts.clock.now(), "no session is watched yet")
        self.fault: str | None = None  # why no watch could be started, or why a symbol was not found

    def __repr__(self) -> str:
        return f"BotFeed({', '.join(map(str, self._p.symbols))}: {self.status.mode})"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the watch and every loop over `prices`; may be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=_RESOLVE + 5)
        self._monitor.stop()
        for box in tuple(self._boxes):
            with box.changed:
                box.changed.notify_all()
        self._p.close()

    # -- what a bot asks -----------------------------------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        return self._monitor.view().mode

    @property
    def source(self) -> Source | None:
        """Where prices come from now; None while no side can be trusted."""
        return self._monitor.view().source

    def view(self) -> FeedView | None:
        """The feed as a screen sees it; None before the first session."""
        watching = self._monitor.view()
        return None if watching.state is None else view(watching.state, watching.at)

    def price(self, symbol: str | Instrument, *, max_age: float | None = FRESH) -> Price | None:
        """The price of `symbol` that can be trusted now, or None: never one that is older than `max_age` seconds.

        With `max_age=None` the last trade of the trusted side counts, however long ago: an option may rest for minutes.
        Raises UsageError for a symbol that this feed was not opened with.
        """
        instrument = self._instrument(symbol)
        state = self._monitor.view().state
        if state is None or instrument is None:
            return None
        found = of_instrument(state, instrument, self._wall)
        if found is None or max_age is None:
            return found
        return found if (self._p.clock.now() - found.received_at).total_seconds() <= max_age else None

    def prices(self, timeout: float | None = None) -> Iterator[Price]:
        """Each price as it comes, from now on; ends when none came for `timeout` real seconds, or at `close`.

        A loop that falls ten thousand prices behind loses the oldest.
        """
        box = _Box()
        self._boxes.add(box)
        return self._each(box, timeout)

    def _each(self, box: _Box, timeout: float | None) -> Iterator[Price]:
        while True:
            until = None if timeout is None else host_monotonic() + timeout
            with box.changed:
                while not box.prices:
                    left = None if until is None else until - host_monotonic()
                    if self._stop.is_set() or (left is not None and left <= 0):
                        return
                    box.changed.wait(left)
                found = box.prices.popleft()
            yield found

    def _instrument(self, symbol: str | Instrument) -> Instrument | None:
        """The instrument meant; None while its name is not resolved yet."""
        if isinstance(symbol, str):
            if (found := self._named.get(symbol)) is not None:
                return found
            try:
                parsed = parse_symbol(symbol)
            except Unfit as exc:
                raise UsageError(str(exc)) from exc
        else:
            parsed = symbol
        if parsed in self._named.values() and isinstance(parsed, Instrument):
            return parsed
        if parsed in self._p.symbols:
            return self._named.get(str(parsed))
        held = ", ".join(map(str, self._p.symbols))
        raise UsageError(f"{symbol!s:.60} is not in this feed; accepted: {held}", hint="open the feed with it")

    # -- what the monitor tells (on the feed's thread) ----------------------------------------------------------------

    def hand_on(self, prices: Sequence[Price]) -> None:
        for box in tuple(self._boxes):
            with box.changed:
                box.prices.extend(prices)
                box.changed.notify_all()

    def stands(self, status: FeedStatus) -> None:
        self.status = status

    # -- sessions ------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        clock = self._p.clock
        while not self._stop.is_set():
            now = clock.now()
            session = self._session(now)
            wait = _LOOK
            if session is not None and now >= session.open - EARLY:
                if not self._watched(session) and clock.monotonic() - self._tried >= _AGAIN:
                    self._tried = clock.monotonic()
                    self._begin(session)
                wait = 1.0
            elif session is not None:
                wait = min(_LOOK, max(0.0, (session.open - EARLY - now).total_seconds()))
            clock.wait(self._stop, wait)

    def _session(self, now: datetime) -> Session | None:
        """The session that runs, or the next of today; the ordinary hours on a weekday that nobody knows."""
        calendar = self._p.calendar
        running = calendar.session_at(now)
        if running is not None and now < running.close:
            return running
        today = calendar.session_of(calendar.today(now))
        return today if today is not None and now < today.close else None

    def _watched(self, session: Session) -> bool:
        held = self._monitor.view()
        return held.running and held.session == session and self._whole == session

    def _begin(self, session: Session) -> None:
        """Find the symbols and watch them; what is not found is looked for again, and the rest is watched meanwhile."""
        named: dict[str, Instrument] = {}
        faults: list[str] = []
        for symbol in self._p.symbols:
            try:
                found, _ = resolve(self._p.gateway, (symbol,), session.date, Budget(_RESOLVE, self._stop))
            except RunbookError as exc:
                faults.append(str(exc))
            else:
                named[str(symbol)] = found[0]
        if faults and self.fault != "; ".join(faults):
            log.warning("%s; it is tried again every %.0f s", "; ".join(faults), _AGAIN)
        self.fault = "; ".join(faults) or None
        self._named = self._named | named
        self._whole = None if faults else session
        if named and not self._stop.is_set():
            self._monitor.start(session, tuple(dict.fromkeys(named.values())))

    def _wall(self, at: float) -> datetime:
        return self._p.clock.now() - timedelta(seconds=self._p.clock.monotonic() - at)
