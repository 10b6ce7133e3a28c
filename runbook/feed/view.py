"""The feed as a screen, a report or a job may see it: plain values, ages instead of clocks."""

from __future__ import annotations

from dataclasses import dataclass

from runbook.feed import quota
from runbook.feed.state import Counts, Fault, LinkState, Seconds, State, account, silence, source
from runbook.feed.table import Mode
from runbook.market import Instrument, Source


@dataclass(frozen=True, slots=True)
class InstrumentView:
    """What is known of one instrument; prices in rupees, ages in seconds, `ltt` in epoch milliseconds.

    An age is the time since receipt; `rest_unchanged` is the time since the quote last differed, the only age of a REST
    price that says something. None: nothing ever came.
    """

    instrument: Instrument
    ws_ltp: float | None
    ws_age: float | None
    ws_ltt: int | None
    ticks: int
    rest_ltp: float | None
    rest_age: float | None
    rest_unchanged: float | None
    rest_fault: str | None


@dataclass(frozen=True, slots=True)
class FeedView:
    """The whole feed at one instant; durations in seconds."""

    mode: Mode
    mode_for: float
    source: Source | None
    outage: int
    outages: int
    silence: float
    link: LinkState
    generation: int
    link_fault: Fault | None
    rest_fault: Fault | None
    poll_interval: float | None
    calls_left: int  # REST calls that may be made ahead of pace
    hold: float
    ticks: int
    replays: int
    counts: Counts
    seconds: Seconds
    longest_gap: float
    instruments: tuple[InstrumentView, ...]


def view(state: State, now: float) -> FeedView:
    """The feed at `now`, the seconds and the gap that is still open included."""
    mute = silence(state, now)
    open_gap = mute if state.expects and state.started else 0.0
    return FeedView(
        mode=state.mode,
        mode_for=now - state.mode_since,
        source=source(state),
        outage=state.outage,
        outages=state.outages,
        silence=mute,
        link=state.link.state,
        generation=state.link.generation,
        link_fault=state.link.fault,
        rest_fault=state.rest.fault,
        poll_interval=state.rest.interval if state.rest.polling else None,
        calls_left=max(0, int(quota.refill(state.quota, now).tokens)),
        hold=state.hold,
        ticks=sum(c.ticks for c in state.ticks.values()),
        replays=sum(c.replays for c in state.ticks.values()),
        counts=state.counts,
        seconds=account(state, now).seconds,
        longest_gap=max(state.longest_gap, open_gap),
        instruments=tuple(_instrument(state, i, now) for i in state.watched),
    )


def _instrument(state: State, instrument: Instrument, now: float) -> InstrumentView:
    ws, rest = state.ticks[instrument], state.quotes[instrument]
    return InstrumentView(
        instrument=instrument,
        ws_ltp=ws.tick.ltp if ws.tick else None,
        ws_age=_age(ws.at, now),
        ws_ltt=ws.tick.ltt if ws.tick else None,
        ticks=ws.ticks,
        rest_ltp=rest.quote.ltp if rest.quote else None,
        rest_age=_age(rest.at, now),
        rest_unchanged=_age(rest.changed_at, now),
        rest_fault=rest.fault,
    )


def _age(at: float | None, now: float) -> float | None:
    return None if at is None else now - at
