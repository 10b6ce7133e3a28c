"""What is asked of REST beside the loop, each question in a thread of its own: the loop never waits for an answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import date

from runbook.budget import Budget
from runbook.errors import RunbookError
from runbook.feed import events
from runbook.market import Instrument
from runbook.monitor.parts import FeedParts

POLL_BUDGET = 8.0  # real seconds for one multiquotes call


class Asker:
    """Single questions; every one is answered by an event, a failure too."""

    def __init__(self, parts: FeedParts, day: date, stop: threading.Event, put: Callable[[events.Event], None]) -> None:
        self._p = parts
        self._day = day
        self._stop = stop
        self._put = put

    def verify(self, watched: Sequence[Instrument]) -> None:
        """Is there a usable quote? Answered with BrokerChecked."""
        self._begin(self._verify, next((i for i in watched if i.is_index), watched[0]))

    def probe(self, instruments: tuple[Instrument, ...]) -> None:
        """Answered with Probed."""
        self._begin(self._probe, instruments)

    def candle(self, instrument: Instrument) -> None:
        """Answered with CandleSeen."""
        self._begin(self._candle, instrument)

    def _begin(self, ask: Callable[..., None], about: object) -> None:
        threading.Thread(target=ask, args=(about,), name="feed-ask", daemon=True).start()

    def _verify(self, first: Instrument) -> None:
        clock = self._p.clock
        try:
            quote = self._p.gateway.quote(first, Budget(POLL_BUDGET, self._stop))
            ok, reason = quote.fault is None, quote.fault or f"{first.symbol} {quote.ltp:g} over REST"
        except RunbookError as exc:
            ok, reason = False, f"{exc}" + (f"; {exc.hint}" if exc.hint else "")
        self._put(events.BrokerChecked(ok, reason, clock.monotonic()))

    def _probe(self, instruments: tuple[Instrument, ...]) -> None:
        clock = self._p.clock
        try:
            quotes, faults = self._p.gateway.quotes(instruments, Budget(POLL_BUDGET, self._stop))
            answer = events.Probed(quotes, clock.monotonic(), faults)
        except RunbookError as exc:
            answer = events.Probed((), clock.monotonic(), reason=str(exc), hint=exc.hint)
        self._put(answer)

    def _candle(self, instrument: Instrument) -> None:
        clock = self._p.clock
        try:
            candle = self._p.gateway.last_candle(instrument, self._day, Budget(POLL_BUDGET, self._stop))
            age = None if candle is None else (clock.now() - candle.start).total_seconds()
            answer = events.CandleSeen(clock.monotonic(), age)
        except RunbookError as exc:
            answer = events.CandleSeen(clock.monotonic(), None, str(exc))
        self._put(answer)


class Poller:
    """Reads all quotes over REST at an interval; every answer and every failure goes to the queue."""

    def __init__(
        self, parts: FeedParts, instruments: Sequence[Instrument], interval: float, put: Callable[[events.Event], None]
    ) -> None:
        self._p = parts
        self._instruments = instruments
        self._interval = interval
        self._put = put
        self._nudge = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed-poll", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def also(self, instruments: Sequence[Instrument]) -> None:
        """Read these from the next poll on."""
        self._instruments = instruments

    def interval(self, seconds: float) -> None:
        shorter = seconds < self._interval
        self._interval = seconds
        if shorter:
            self._nudge.set()

    def stop(self) -> None:
        self._stop.set()
        self._nudge.set()

    def _run(self) -> None:
        clock = self._p.clock
        while not self._stop.is_set():
            begun = clock.monotonic()
            try:
                quotes, faults = self._p.gateway.quotes(self._instruments, Budget(POLL_BUDGET, self._stop))
                event: events.Event = events.Polled(quotes, clock.monotonic(), faults)
            except RunbookError as exc:
                event = events.PollFailed(str(exc), clock.monotonic(), exc.hint)
            if self._stop.is_set():
                return
            self._put(event)
            self._nudge.clear()
            clock.wait(self._nudge, max(0.0, begun + self._interval - clock.monotonic()))
