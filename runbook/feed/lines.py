"""The guide's line: `NIFTY: 26049.9 [WEBSOCKET]`, on each change of source and else every half minute."""

from __future__ import annotations

from dataclasses import dataclass

from runbook.feed.state import State, source
from runbook.feed.table import Mode
from runbook.market import Instrument, Source

EVERY = 30.0
FRESH = 5.0  # an older price is shown with its age
STILL = 15.0  # a REST price that has not changed for longer is shown with that, too


@dataclass(frozen=True, slots=True)
class Printed:
    """What the last line said: its label, when it was written, and when the label first became true."""

    label: str = ""
    at: float = 0.0
    turned: float = 0.0
    told: bool = False


def line(
    printed: Printed, state: State, now: float, instrument: Instrument, every: float = EVERY
) -> tuple[Printed, str | None]:
    """The line due at `now` for one instrument, or None.

    After a change the line waits up to five seconds for the first price of the new source: an old one is no news.
    """
    where = source(state)
    label = str(where or state.mode)
    if label != printed.label:
        printed = Printed(label, printed.at, now)
    price, at = _newest(state, instrument, where)
    if not printed.told:
        waiting = where is not None and (at is None or at < printed.turned - FRESH)
        if waiting and now - printed.turned < FRESH:
            return printed, None
    elif now - printed.at < every or state.mode is Mode.OFF:
        return printed, None
    said = f"{instrument.symbol}: {price} [{label}]{_aged(state, instrument, at, now)}"
    return Printed(label, now, printed.turned, told=True), said


def _newest(state: State, instrument: Instrument, where: Source | None) -> tuple[str, float | None]:
    """(the price in print, when it was received) from the source that may be trusted now, never from the other."""
    if where is Source.WEBSOCKET:
        clock = state.ticks[instrument]
        return (_print(clock.tick.ltp), clock.at) if clock.tick else ("no price yet", None)
    if where is Source.REST_POLLING:
        quotes = state.quotes[instrument]
        return (_print(quotes.quote.ltp), quotes.at) if quotes.quote else ("no price yet", None)
    return ("no price yet" if state.mode is Mode.ARMED else "no price"), None


def _aged(state: State, instrument: Instrument, at: float | None, now: float) -> str:
    if at is None:
        return ""
    if now - at > FRESH:
        return f" ({now - at:.0f} s old)"
    changed = state.quotes[instrument].changed_at if source(state) is Source.REST_POLLING else None
    if changed is not None and now - changed > STILL:
        return f" (unchanged for {now - changed:.0f} s)"
    return ""


def _print(price: float) -> str:
    return f"{price:.10g}"
