"""Ticks for a few seconds on a connection of our own, which is closed again; counted as the feed counts them."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import replace

from runbook.budget import Budget, BudgetSpent
from runbook.clock import host_monotonic
from runbook.doctor.judge import MOVES
from runbook.doctor.seen import Line, StreamSeen
from runbook.feed import events
from runbook.market import Instrument, Tick
from runbook.ports import TickStream

_ANSWER = 10.0  # real seconds for connect, authenticate and subscribe together


def listen(
    make: Callable[[], TickStream], instruments: Sequence[Instrument], budget: Budget, seconds: float, *, due: bool
) -> StreamSeen:
    """Connect, authenticate, subscribe, count for `seconds`, close; never raises for what the stream does.

    A market that has not shown itself by then is given the same time once more: stalls of some seconds are everyday.
    Nothing is ever unsubscribed: a closed socket gives back its own subscriptions and nobody else's.
    """
    inbox: queue.SimpleQueue[events.StreamEvent] = queue.SimpleQueue()
    lines = {i.symbol: Line() for i in instruments}
    seen = StreamSeen("own connection", lines=lines)
    begun: float | None = None  # of the listening
    patient = not due
    stream = make()
    try:
        until = host_monotonic() + budget.take(_ANSWER)
        stream.connect(1, instruments, inbox.put)
        while budget.left() > 0:
            if (left := until - host_monotonic()) <= 0:
                if begun is None or patient or _shown(lines):
                    break
                patient, until = True, begun + 2 * seconds
                continue
            try:
                event = inbox.get(timeout=max(0.01, min(left, budget.left())))
            except queue.Empty:
                continue
            match event:
                case events.Connected(_, broker):
                    seen = replace(seen, connected=True, authenticated=True, broker=broker)
                case events.Subscribed(_, accepted, refused):
                    said = tuple(f"{i.symbol} ({why})" for i, why in refused)
                    seen = replace(seen, connected=True, authenticated=True, accepted=len(accepted), refused=said)
                    if not accepted:
                        break
                    begun = host_monotonic()
                    until = begun + seconds
                case events.TickReceived(_, tick):
                    _count(lines, tick)
                case events.Ticks(_, ticks):
                    for tick in ticks:
                        _count(lines, tick)
                case events.ConnectFailed(_, reason, refused_port, hint, asked):
                    # what was refused as a request was refused by OpenAlgo itself: then there is a connection
                    up = seen.connected or bool(asked)
                    seen = replace(seen, connected=up, fault=reason, hint=hint or "", refused_port=refused_port)
                    break
                case events.Closed(_, reason):
                    seen = replace(seen, fault=reason, closed=True)
                    break
                case events.Garbage():
                    seen = replace(seen, garbage=seen.garbage + 1)
    except BudgetSpent:
        seen = replace(seen, fault=seen.fault or "the time for this check was used up")
    finally:
        stream.close()
    if begun is not None:
        return replace(seen, seconds=host_monotonic() - begun)
    return seen if seen.fault or seen.accepted is not None else replace(seen, fault="no answer on the stream")


def _shown(lines: dict[str, Line]) -> bool:
    return sum(line.moves for line in lines.values()) >= MOVES


def _count(lines: dict[str, Line], tick: Tick) -> None:
    line = lines.setdefault(tick.instrument.symbol, Line())
    before, line.last = line.last, tick
    line.ticks += 1
    if before is None:
        return  # it may be the snapshot that a subscription brings
    later = tick.ltt is not None and before.ltt is not None and tick.ltt > before.ltt
    line.ltt_moved = line.ltt_moved or later
    more = tick.volume is not None and before.volume is not None and tick.volume > before.volume
    if later or more or tick.ltp != before.ltp:
        line.moves += 1
