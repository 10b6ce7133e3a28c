"""The hop verdict of a feed that is being watched: each hop from what the machine knows, and the first that is broken."""

from __future__ import annotations

from runbook.feed import advice, suspicion
from runbook.feed.healing import garbled
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, Link, LinkState, State, silence
from runbook.feed.table import Mode
from runbook.feed.verdict import Health, Hop, Rung, Verdict, ladder
from runbook.spans import span

_NEXT_CANDLE = 70.0  # seconds: by then a market that trades has begun another 1-minute candle, and a broker serves it
_OUT = (Mode.FALLBACK, Mode.BLIND)
NO_READER = (
    "report the frames to whoever maintains runbook: `runbook doctor --bundle FILE`; prices come over REST meanwhile"
)
NOTHING = "nothing to do: the exchange is silent; if it has not halted, " + advice.LOG_IN


def judge(state: State, now: float, policy: Policy, bot: Rung | None = None) -> Verdict:
    """The ladder at `now`, in seconds of Clock.monotonic; `bot` is what was seen of the bot, by whoever looks at it."""
    rungs = [_runbook(state, now, policy), _proxy(state, now, policy), _adapter(state, now)]
    rungs += [_stream(state, now, policy), _rest(state, now), _exchange(state, now, policy)]
    # A hop behind a broken one may look dead and be well: it is unknown until its own evidence says more.
    return ladder(_behind(rungs) + ([bot] if bot else []))


def nothing_answers(state: State) -> bool:
    """Whether neither OpenAlgo's stream nor REST answers: the server is gone, or the way to it."""
    rest = _rest_fault(state)
    link = state.link
    gone = link.state is not LinkState.UP and not link.away and link.fault is not None and not link.fault.asked
    return gone and rest is not None and _unreachable(rest)


def _behind(rungs: list[Rung]) -> list[Rung]:
    broken = next((n for n, rung in enumerate(rungs) if rung.health is Health.BROKEN), None)
    if broken is None or rungs[broken].hop not in (Hop.RUNBOOK, Hop.PROXY, Hop.ADAPTER):
        return rungs
    hidden = (Hop.ADAPTER, Hop.BROKER_STREAM)
    return [
        Rung(rung.hop, Health.UNKNOWN, f"out of sight behind {rungs[broken].hop}")
        if n > broken and rung.hop in hidden
        else rung
        for n, rung in enumerate(rungs)
    ]


def _runbook(state: State, now: float, policy: Policy) -> Rung:
    if not state.started or state.evaluated_at is None:
        return Rung(Hop.RUNBOOK, Health.UNKNOWN, "the feed is not being watched", "`runbook run start_feed` starts it")
    if garbled(state) and state.mode is not Mode.LIVE:
        said = f"{state.garbled} frames came since the last tick, and none could be read"
        return Rung(Hop.RUNBOOK, Health.BROKEN, said, NO_READER)
    asleep = now - state.evaluated_at
    if asleep > policy.pause_after:
        return Rung(Hop.RUNBOOK, Health.BROKEN, f"not evaluated for {span(asleep)}: it was stopped, or the host slept")
    pauses = f"; {state.counts.pauses} pauses of its own today" if state.counts.pauses else ""
    return Rung(Hop.RUNBOOK, Health.OK, f"evaluated {max(0.0, asleep):.1f} s ago{pauses}")


def _proxy(state: State, now: float, policy: Policy) -> Rung:
    link = state.link
    if link.state is LinkState.UP:
        return Rung(Hop.PROXY, Health.OK, f"connection {link.generation} has been open for {span(now - link.since)}")
    if link.state is LinkState.NONE:
        return Rung(Hop.PROXY, Health.UNKNOWN, "no connection is wanted")
    if link.away:
        back = span(max(0.0, link.due - now))
        said = f"it answered; closed by runbook, so that a dead broker link is dropped; opened again in {back}"
        return Rung(Hop.PROXY, Health.OK, said)
    if link.fault is not None and link.fault.asked:
        return Rung(Hop.PROXY, Health.OK, f"it answers: {link.fault.reason}")
    gone = 0.0 if link.down_since is None else now - link.down_since
    if link.fault is None:
        return Rung(Hop.PROXY, Health.UNKNOWN, f"being opened for {span(gone)}")
    if not state.outage and gone < policy.closed_after:
        return Rung(Hop.PROXY, Health.UNKNOWN, f"lost {span(gone)} ago, being opened again: {link.fault.reason}")
    return Rung(Hop.PROXY, Health.BROKEN, f"gone for {span(gone)}: {link.fault.reason}", _server(state, link.fault))


def _server(state: State, fault: Fault) -> str:
    """The stream's port does not answer: what to do depends on whether REST does."""
    rest = _rest_fault(state)
    if rest is not None and _unreachable(rest):
        return advice.SERVER_DOWN
    return fault.hint or advice.RESTART


def _unreachable(fault: Fault) -> bool:
    low = fault.reason.lower()
    return (
        fault.refused or "refused" in low or "nothing listens" in low or "no route" in low or "does not answer" in low
    )


def _adapter(state: State, now: float) -> Rung:
    link = state.link
    fault = link.fault
    if fault is not None and fault.asked:
        action = fault.hint or advice.said(fault) or advice.LOG_IN
        return Rung(Hop.ADAPTER, Health.BROKEN, fault.reason, action)
    if link.lost and state.outage:
        said = f"it was gone ({link.lost}) and came back when runbook authenticated again"
        return Rung(
            Hop.ADAPTER, Health.BROKEN, said, "nothing for runbook; a bot that has not reconnected is still mute"
        )
    if link.refused and len(link.refused) == len(state.watched):
        said = f"no subscription was taken: {fault.reason if fault else 'refused'}"
        return Rung(Hop.ADAPTER, Health.BROKEN, said, advice.said(fault) or advice.LOG_IN)
    if link.subscribed_at is None:
        return Rung(Hop.ADAPTER, Health.UNKNOWN, "no subscription has been acknowledged yet")
    return Rung(
        Hop.ADAPTER, Health.OK, f"subscription acknowledged {span(now - link.subscribed_at)} ago{_refused(link)}"
    )


def _refused(link: Link) -> str:
    return f", except {', '.join(i.symbol for i in link.refused)}" if link.refused else ""


def _stream(state: State, now: float, policy: Policy) -> Rung:
    hop = Hop.BROKER_STREAM
    quiet = silence(state, now)
    if not state.expects:
        return Rung(hop, Health.NOT_DUE, f"no ticks are promised now ({str(state.phase).replace('_', ' ')})")
    if state.mode is Mode.LIVE:
        late = [f"{i.symbol} for {span(now - gone.since)}" for i, gone in state.late.items() if gone.confirmed]
        if late:
            said = f"no tick of {', '.join(late)}, while REST shows it moving and the others tick"
            return Rung(
                hop, Health.BROKEN, said, "subscribed again; if it stays, restart the openalgo unit after the close"
            )
        if state.checked.contradicted:
            return Rung(
                hop, Health.BROKEN, "; ".join(state.checked.contradicted), "compare with the broker's own terminal"
            )
        rates = [suspicion.per_second(rate, policy) for rate in state.rates.values()]
        known = sum(rate for rate in rates if rate is not None)
        return Rung(
            hop,
            Health.OK,
            f"{known:.1f} ticks/s, the newest {quiet:.1f} s ago" if known else f"the newest tick {quiet:.1f} s ago",
        )
    if state.mode is Mode.PROBATION:
        return Rung(
            hop, Health.UNKNOWN, f"ticks are back for {span(now - state.held_from)}, and must hold {state.hold:g} s"
        )
    if state.mode is Mode.MARKET_SILENT:
        return Rung(
            hop, Health.NOT_DUE, f"no tick for {span(quiet)}, and REST does not move either: nothing to deliver"
        )
    silent = f"no tick for {span(now - state.outage_since if state.outage else quiet)}"
    if state.mode in _OUT:
        return Rung(hop, Health.BROKEN, silent + _witness(state), advice.advise(state))
    return Rung(
        hop,
        Health.UNKNOWN,
        silent + ", REST is being asked" if state.outage else f"the first tick is awaited for {span(quiet)}",
    )


def _witness(state: State) -> str:
    """What else is known of a silence: that the market moved, or that REST complains as well, and repeated trades."""
    repeats = sum(clock.replays for clock in state.ticks.values())
    told = f"; only repeats of old trades came ({repeats})" if repeats else ""
    fault = _rest_fault(state)
    if fault is not None:
        return f"; REST says: {fault.reason}{told}"
    return f" while {state.checked.moved} over REST{told}" if state.checked.moved else told


def _rest_fault(state: State) -> Fault | None:
    if state.rest.polling:
        return None if state.rest.trusted else state.rest.fault
    return state.checked.fault


def _rest(state: State, now: float) -> Rung:
    hop, rest, fault = Hop.BROKER_REST, state.rest, _rest_fault(state)
    if state.mode is Mode.MARKET_SILENT:
        return Rung(hop, Health.OK, f"it answers every {rest.interval:g} s; its prices stand still")
    if fault is not None:
        since = rest.failing_since if rest.polling and rest.failures else state.checked.failing_since
        told = f" for {span(now - since)}" if since is not None and now > since else ""
        return Rung(hop, Health.BROKEN, f"{fault.reason}{told}", advice.said(fault) or advice.SERVER_DOWN)
    if rest.polling:
        return Rung(hop, Health.OK, f"polled every {rest.interval:g} s, the prices move")
    if state.checked.at is None:
        return Rung(hop, Health.UNKNOWN, "not asked yet")
    return Rung(hop, Health.OK, f"answered {span(now - state.checked.at)} ago")


def _halted(state: State, now: float, policy: Policy) -> bool:
    """Long enough after the last tick the newest candle is still an older one; or, where none are given, by the guide's limit."""
    candle = state.candle
    if candle is not None and candle.age is not None:
        asked_for = candle.at - state.outage_since
        return asked_for >= _NEXT_CANDLE and candle.at - candle.age < state.outage_since
    return now - state.outage_since >= policy.fallback_after


def _exchange(state: State, now: float, policy: Policy) -> Rung:
    if not state.expects:
        return Rung(Hop.EXCHANGE, Health.NOT_DUE, f"{str(state.phase).replace('_', ' ')}: nothing is traded now")
    if state.mode is Mode.MARKET_SILENT:
        candle = state.candle
        told = (
            f"; the newest 1-minute candle began {span(candle.age + now - candle.at)} ago"
            if candle and candle.age is not None
            else ""
        )
        silent = span(now - state.outage_since)
        health = Health.BROKEN if _halted(state, now, policy) else Health.UNKNOWN
        return Rung(Hop.EXCHANGE, health, f"nothing has moved on the stream or over REST for {silent}{told}", NOTHING)
    if state.mode is Mode.LIVE:
        return Rung(Hop.EXCHANGE, Health.OK, "prices move on the stream")
    if state.mode is Mode.FALLBACK or state.rest.trusted:
        return Rung(Hop.EXCHANGE, Health.OK, "prices move over REST")
    return Rung(Hop.EXCHANGE, Health.UNKNOWN, "no side shows its prices")
