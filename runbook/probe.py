"""Evidence of the stream for the ladder: from the running feed, or from a connection of our own that is closed again."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence

from runbook.budget import Budget, BudgetSpent
from runbook.clock import host_monotonic
from runbook.feed import events
from runbook.feed.state import LinkState, State
from runbook.market import Instrument
from runbook.ports import TickStream
from runbook.verify import StreamEvidence

_ANSWER = 10.0  # real seconds for connect, authenticate and subscribe together
_TICK = 5.0  # real seconds a probe waits for a tick when the phase promises them
_SNAPSHOT = 1.5  # and when it does not: a subscription may bring a snapshot, which proves the link
_FRESH = 15.0  # seconds: the newest tick that counts as evidence


def evidence_of(state: State, now: float) -> StreamEvidence:
    """What the running feed knows; a second subscription would prove nothing more."""
    link = state.link
    newest = max(((c.at, i, c.tick.ltp) for i, c in state.ticks.items() if c.at is not None and c.tick), default=None)
    tick = None
    if newest is not None and now - newest[0] <= _FRESH:
        tick = f"{newest[1].symbol} {newest[2]:.2f}, {now - newest[0]:.1f} s ago"
    fault, hint = (link.fault.reason, link.fault.hint or "") if link.fault else ("", "")
    refused = ", ".join(i.symbol for i in link.refused)
    up = link.state is LinkState.UP
    return StreamEvidence(up, link.subscribed_at is not None, tick, fault, hint, live=True, refused=refused)


def probe(
    make: Callable[[], TickStream], instruments: Sequence[Instrument], budget: Budget, *, ticks_due: bool
) -> StreamEvidence:
    """Connect, authenticate, subscribe, look for a tick, and close; never raises for what the stream does."""
    inbox: queue.SimpleQueue[events.StreamEvent] = queue.SimpleQueue()
    stream = make()
    authenticated = subscribed = False
    without = ""
    try:
        until = host_monotonic() + budget.take(_ANSWER)
        stream.connect(1, instruments, inbox.put)
        while True:
            try:
                event = inbox.get(timeout=max(0.01, min(until - host_monotonic(), budget.left())))
            except queue.Empty:
                fault = "" if subscribed else "no answer on the stream"
                return StreamEvidence(authenticated, subscribed, None, fault, refused=without)
            match event:
                case events.Connected():
                    authenticated = True
                case events.Subscribed(_, accepted, refused) if not accepted:
                    why = "; ".join(reason for _, reason in refused) or "no symbol was accepted"
                    return StreamEvidence(authenticated=True, subscribed=False, tick=None, fault=why)
                case events.Subscribed(_, _, refused):
                    authenticated = subscribed = True
                    without = ", ".join(f"{i.symbol} ({why})" for i, why in refused)
                    until = host_monotonic() + (_TICK if ticks_due else _SNAPSHOT)
                case events.Ticks(_, (tick, *_), _) | events.TickReceived(_, tick):
                    return StreamEvidence(
                        True, True, f"{tick.instrument.symbol} {tick.ltp:.2f} arrived", refused=without
                    )
                case events.ConnectFailed(_, reason, _, hint):
                    return StreamEvidence(authenticated, subscribed, None, reason, hint or "")
                case events.Closed(_, reason):
                    return StreamEvidence(authenticated, subscribed, None, f"closed: {reason}")
                case events.Garbage():
                    continue
    except BudgetSpent:
        return StreamEvidence(authenticated, subscribed, None, "the time for this check was used up")
    finally:
        stream.close()
