"""From the first doubt to a decision: silence, the questions to REST, and the guide's two limits that need none."""

from __future__ import annotations

from dataclasses import replace

from runbook.feed import healing, polling, probing, suspicion
from runbook.feed.actions import Action, AskCandle, Note, Resubscribe, SymbolTurned, VerifyBroker
from runbook.feed.events import BrokerChecked, CandleSeen, Probed
from runbook.feed.incident import move
from runbook.feed.policy import Policy
from runbook.feed.probing import Finding
from runbook.feed.state import Candle, Fault, Late, LinkState, Purpose, State, silence
from runbook.feed.table import Cause, Mode
from runbook.feed.turns import Answer, leave, noted, rest_moved, rest_still
from runbook.market import Instrument

_ASK_AGAIN = 180.0  # seconds between two rounds about one instrument that REST did not show moving
_SKEW = 5.0  # seconds that our clock may differ from the exchange's
_QUIET_AGAIN = 3.0  # seconds: ticks that came so recently say that the feed lives


def doubt(state: State, now: float, policy: Policy) -> Answer:
    """ARMED, LIVE: silent too long, or the socket is gone and does not come back."""
    if state.mode not in (Mode.ARMED, Mode.LIVE):
        return state, ()
    gone = gone_for(state, now)
    if gone >= policy.closed_after:
        why = state.link.fault.reason if state.link.fault else "no answer"
        reason = f"the socket has been gone for {gone:.0f} s and cannot be reopened: {why}"
        return noted(move(state, Cause.CLOSED, now, reason), reason)
    # A stray tick is not the start of a feed: until the first move, silence counts from when ticks were due.
    silent = now - state.judged_from if state.mode is Mode.ARMED else silence(state, now)
    if silent < _limit(state, policy):
        return state, ()
    state, moved = move(state, Cause.SILENT, now, f"no ticks for {silent:.0f} s")
    if policy.detect == "probe":
        return replace(state, probing=None), moved
    return noted((replace(state, warned=True), moved), _said(silent))


def _limit(state: State, policy: Policy) -> float:
    if policy.detect == "timers":
        return policy.warn_after
    if state.mode is Mode.ARMED:
        return min(policy.first_tick_within, policy.warn_after)
    return suspicion.patience(state, policy)


def _said(silent: float) -> str:
    return f"No ticks for {silent:.0f}s"


def confirm(state: State, now: float, policy: Policy) -> Answer:
    """SUSPECT: ask REST; past the guide's limit without a decision, ask as the guide does. Ticks that flow end it as they come."""
    if state.mode not in (Mode.SUSPECT, Mode.MARKET_SILENT):
        return state, ()
    actions: tuple[Action, ...] = ()
    silent = now - state.outage_since
    if silent >= policy.warn_after and not state.warned:
        state, actions = replace(state, warned=True), (Note(_said(silent)),)
    if state.mode is Mode.MARKET_SILENT:
        return state, actions
    if state.verifying_since is not None:
        if now - state.verifying_since < policy.verify_within:
            return state, actions
        why = f"no answer within {policy.verify_within:g} s"
        state, more = unverified(state, now, policy, Fault(why))
        return state, (*actions, *more)
    if silent >= policy.fallback_after or gone_for(state, now) >= policy.closed_after:
        state = replace(polling.spend(state, now), verifying_since=now, probing=None)
        asked = Note(f"No ticks for {silent:.0f}s; asking the broker over REST")
        return state, (*actions, asked, VerifyBroker())
    if policy.detect == "probe":
        state, more = _question(state, now, policy)
        actions = (*actions, *more)
    return state, actions


def _question(state: State, now: float, policy: Policy) -> Answer:
    """The rounds of SUSPECT: no question while ticks flow, and none that was begun before they stopped."""
    if silence(state, now) < _QUIET_AGAIN and state.run is not None:
        return probing.restart(state, now, policy), ()
    if state.probing is None or state.probing.purpose is not Purpose.SILENCE:
        state = probing.begin(state, now, policy, Purpose.SILENCE, probing.targets(state))
    state, actions, finding = probing.ask(state, now, policy)
    state, more = _settle(state, finding, now, policy)
    return state, (*actions, *more)


def on_probed(state: State, event: Probed, now: float, policy: Policy) -> Answer:
    """An answer of REST; in SUSPECT it may decide, unless ticks came while it was under way."""
    running = state.probing
    state, finding = probing.on_probed(state, event, now, policy)
    if running is None or finding is Finding.NOTHING:
        return state, ()
    if running.purpose is Purpose.SYMBOL:
        return _confirmed(state, running.targets, now, policy) if finding is Finding.MOVED else (state, ())
    return _settle(state, finding, now, policy)


def _settle(state: State, finding: Finding, now: float, policy: Policy) -> Answer:
    if state.mode is not Mode.SUSPECT or finding in (Finding.NOTHING, Finding.AGREED):
        return state, ()
    if state.run is not None and silence(state, now) < _QUIET_AGAIN:
        return state, ()  # ticks came while REST was asked: they decide
    if finding is Finding.MOVED:
        state, actions = leave(state, now, policy, Cause.MOVED, state.checked.moved)
        return state, (Note(f"No ticks for {now - state.outage_since:.0f}s; prices move over REST"), *actions)
    if finding is Finding.STILL:
        return rest_still(state, now, policy)
    fault = state.checked.fault or Fault("no answer")
    return leave(state, now, policy, Cause.UNVERIFIED, fault.reason, fault)


def on_checked(state: State, event: BrokerChecked, now: float, policy: Policy) -> Answer:
    """The guide's question was answered."""
    asked = state.verifying_since
    if asked is None or event.at < asked:
        return state, ()  # an answer to a question of an earlier outage
    if not event.ok:
        return unverified(state, now, policy, Fault(event.reason))
    told = Note(f"Broker connection verified via REST API: {event.reason}")
    state, actions = leave(state, now, policy, Cause.VERIFIED, event.reason)
    return state, (told, *actions)


def unverified(state: State, now: float, policy: Policy, fault: Fault) -> Answer:
    told = Note(f"Broker connection not verified via REST API: {fault.reason}")
    state, actions = leave(state, now, policy, Cause.UNVERIFIED, fault.reason, fault)
    return state, (told, *actions)


# -- nothing moves anywhere -------------------------------------------------------------------------------------------


def market_moved(state: State, now: float, policy: Policy) -> Answer:
    """MARKET_SILENT, and REST has moved as often as trust asks for: if the socket has not, it is dead."""
    moved = next((i for i in state.canaries if state.quotes[i].still == 0), None)
    told = "a canary" if moved is None else f"{moved.symbol} {getattr(state.quotes[moved].quote, 'ltp', 0):.10g}"
    return rest_moved(state, now, policy, told)


def candles(state: State, now: float, policy: Policy) -> Answer:
    """The newest 1-minute candle is asked for: of all that REST says it alone carries exchange time.

    While ticks flow it is asked for too, now and then, to learn if this broker's candles are prompt.
    """
    every = {
        Mode.LIVE: policy.check_rest_every, Mode.FALLBACK: policy.candle_every, Mode.BLIND: policy.candle_every,
        Mode.MARKET_SILENT: policy.candle_in_doubt,
    }.get(state.mode)  # fmt: skip
    if every is None or not state.canaries or policy.detect == "timers":
        return state, ()
    if state.candle_asked is not None and now - state.candle_asked < every:
        return state, ()
    state = polling.spend(replace(state, candle_asked=now), now)
    return state, (AskCandle(state.canaries[0]),)


def on_candle(state: State, event: CandleSeen, now: float, policy: Policy) -> Answer:
    """An old one says that REST is stale though its quotes move; one newer than the silence, that the exchange trades on."""
    state = replace(state, candle=Candle(event.at, event.age))
    if event.age is None:
        return state, ()
    fresh = event.age <= policy.candle_stale
    if state.mode is Mode.LIVE:
        return replace(state, candles_prompt=fresh), ()
    if fresh:
        state = replace(state, rest=replace(state.rest, outdated=False))
    elif state.mode is Mode.FALLBACK and state.candles_prompt and state.rest.trusted:
        fault = Fault(f"its newest 1-minute candle began {event.age:.0f} s ago: its quotes are not of now")
        rest = replace(state.rest, trusted=False, frozen=True, outdated=True, moves=0, fault=fault)
        return move(replace(state, rest=rest), Cause.REST_FROZEN, now, f"no price from either side: {fault.reason}")
    if state.mode is not Mode.MARKET_SILENT:
        return state, ()
    if event.at - event.age <= state.outage_since + _SKEW:
        return state, ()
    fault = Fault("its quotes stand still while its 1-minute candles go on")
    state = replace(state, rest=replace(state.rest, trusted=False, frozen=False, fault=fault))
    return move(state, Cause.REST_FROZEN, now, f"no price from either side: REST answers, but {fault.reason}")


# -- one instrument ---------------------------------------------------------------------------------------------------


def symbols(state: State, now: float, policy: Policy) -> Answer:
    """LIVE: which single instruments are silent; told when REST shows that they should not be."""
    if state.mode is not Mode.LIVE or policy.detect == "timers":
        return state, ()
    actions: list[Action] = []
    late = dict(state.late)
    for instrument in suspicion.back(state):
        gone = late.pop(instrument)
        if gone.confirmed:
            told = f"{instrument.symbol} ticks again after {now - gone.since:.0f} s"
            actions.append(SymbolTurned(instrument, now, over=True, reason=told))
    late |= suspicion.newly_late(state, now, policy)
    due = tuple(i for i, gone in late.items() if _to_ask(gone, now))
    if due and (state.probing is None or state.probing.purpose is Purpose.CHECK):
        late |= {i: replace(late[i], asked_at=now) for i in due}
        state = probing.begin(state, now, policy, Purpose.SYMBOL, due)
    return replace(state, late=late), tuple(actions)


def _to_ask(gone: Late, now: float) -> bool:
    return not gone.confirmed and (gone.asked_at is None or now - gone.asked_at >= _ASK_AGAIN)


def _confirmed(state: State, targets: tuple[Instrument, ...], now: float, policy: Policy) -> Answer:
    """REST moved for what the stream does not bring: the broken hop is the stream's, for these alone."""
    actions: list[Action] = []
    late = dict(state.late)
    for instrument in targets:
        gone = late.get(instrument)
        moved = state.quotes[instrument].changed_at
        if gone is None or gone.confirmed or moved is None or moved <= gone.since or state.quotes[instrument].still:
            continue
        late[instrument] = replace(gone, confirmed=True)
        told = f"no tick of {instrument.symbol} for {now - gone.since:.0f} s, while it moves over REST and others tick"
        actions.append(SymbolTurned(instrument, now, over=False, reason=told))
    if actions and state.link.state is LinkState.UP and healing.spare(state, now, policy):
        counts = replace(state.counts, resubscribes=state.counts.resubscribes + 1)
        state = replace(state, link=replace(state.link, rungs=(*state.link.rungs, now)), counts=counts)
        actions.append(Resubscribe("a single instrument is silent", authenticate=False))
    return replace(state, late=late), tuple(actions)


# -- while all is well ------------------------------------------------------------------------------------------------


def check(state: State, now: float, policy: Policy) -> Answer:
    """LIVE: a look at REST now and then, and the questions about single instruments that are open."""
    if state.mode is not Mode.LIVE or policy.detect == "timers":
        return state, ()
    last = max(state.checked.at or state.mode_since, state.mode_since)
    if state.probing is None and now - last >= policy.check_rest_every:
        state = probing.begin(state, now, policy, Purpose.CHECK, probing.targets(state))
    state, actions, _ = probing.ask(state, now, policy)
    return state, actions


def gone_for(state: State, now: float) -> float:
    """Seconds since the socket was lost and not open again; zero while it is open, or closed by our own hand."""
    since = state.link.down_since
    return 0.0 if since is None or state.link.away else now - max(since, state.judged_from)
