"""The socket and its cure. This is the one owner of reconnection: doors connect when told, and never by themselves."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from runbook.feed.actions import Action, CloseStream, Connect, Note, Resubscribe
from runbook.feed.events import Closed, ConnectFailed, Subscribed, SubscriptionLost
from runbook.feed.policy import Policy
from runbook.feed.state import Cure, Fault, Link, LinkState, State, gap_limit, silence
from runbook.feed.table import Mode

_UNREADABLE = 5  # frames in a row; one is an accident
_BRIEFLY = 2.0  # seconds: time for a server to notice that we have gone
_GONE_BY = 25.0  # seconds of silence: bots that reconnect after half a minute are to find nobody else there
_UNHEALTHY = {Mode.SUSPECT, Mode.FALLBACK, Mode.BLIND}


def open_link(state: State, now: float, reason: str) -> tuple[State, Connect]:
    """A new connection under the next number; counted as one attempt."""
    link = state.link
    opened = replace(
        link,
        state=LinkState.OPENING,
        generation=link.generation + 1,
        since=now,
        down_since=now if link.down_since is None else link.down_since,
        rungs=(*link.rungs, now),
        attempts=link.attempts + 1,
        away=False,
        urgent=False,
    )
    return replace(state, link=opened), Connect(opened.generation, reason)


def on_connected(state: State, now: float, policy: Policy) -> State:
    """The socket is open; what it was blamed for before is over, and ticks get time to arrive.

    One that was opened after an absence, and is as mute, is given up soon: to sit on it would keep the dead broker link
    for a bot that waits longer than we were away. Where REST has no price either it is kept: it is all there is.
    """
    cure, wait = Cure.SUBSCRIBE, _patience(state.link, now, policy)
    if _yields(state, policy):
        cure, wait = Cure.REOPEN, max(policy.look_again, gap_limit(state, policy))
    link = replace(state.link, state=LinkState.UP, since=now, down_since=None, fault=None, cure=cure, due=now + wait)
    return replace(state, link=link)


def on_subscription_lost(state: State, event: SubscriptionLost, now: float) -> tuple[State, tuple[Action, ...]]:
    """OpenAlgo has no adapter for us any more: to authenticate again is what brings it back, and is tried at once."""
    fault = Fault(event.reason, event.hint, asked="subscribe")
    due = min(state.link.due, now)
    link = replace(state.link, fault=fault, lost=event.reason, cure=Cure.AUTHENTICATE, due=due)
    return replace(state, link=link), (Note(f"OpenAlgo refused to subscribe again: {event.reason}"),)


def on_subscribed(state: State, event: Subscribed, now: float) -> tuple[State, tuple[Action, ...]]:
    """An acknowledgement: no proof of anything, but a first tick cannot be asked for before it."""
    first = state.link.subscribed_at is None
    if first and state.mode is Mode.ARMED:
        state = replace(state, judged_from=max(state.judged_from, now))
    before = [i for i in state.link.refused if i not in event.accepted]  # an answer may be about a few of them only
    refused = tuple(dict.fromkeys((*before, *(i for i, _ in event.refused))))
    link = replace(state.link, subscribed_at=now, refused=refused)
    if not event.refused:
        fault = link.fault if link.fault is None or not link.fault.asked else None
        return replace(state, link=replace(link, fault=fault)), ()
    told = "; ".join(f"{instrument}: {why}" for instrument, why in event.refused)
    link = replace(link, fault=Fault(f"subscription refused: {told}"))
    return replace(state, link=link), (Note(f"OpenAlgo refused a subscription: {told}"),)


def on_down(state: State, event: Closed | ConnectFailed, now: float, policy: Policy) -> State:
    """The socket is gone. The first attempt after ticks have moved is made at once."""
    if isinstance(event, ConnectFailed):
        fault = Fault(event.reason, event.hint, event.refused, event.asked)
    else:
        fault = Fault(f"{event.reason} (code {event.code})" if event.code is not None else event.reason)
    if fault.refused and state.link.state is LinkState.OPENING:
        # Nobody was there to be bothered: a knock on a shut door is no attempt, and it may open any second.
        knocked = replace(state.link, rungs=state.link.rungs[:-1], attempts=max(1, state.link.attempts - 1))
        wait = policy.reconnect_min + (policy.knock_max - policy.reconnect_min) * _chance(
            f"{policy.seed}/{knocked.generation}"
        )
        return replace(state, link=_down(knocked, now, fault, now + wait))
    return replace(state, link=_down(state.link, now, fault, now + _delay(state.link, now, policy)))


def proven(state: State) -> State:
    """Ticks move again: the next outage starts with a fresh ladder. The attempts of the window still count."""
    fresh = replace(state.link, attempts=0, cure=Cure.SUBSCRIBE, reopened=0, due=0.0, urgent=False, spent_noted=False)
    return replace(state, link=fresh)


def soon(state: State, now: float) -> State:
    """Something changed on the other side (REST is back): ask the open socket again without waiting."""
    # authenticate: whoever has just logged in made OpenAlgo forget what our socket had
    again = replace(state.link, due=min(state.link.due, now), cure=Cure.AUTHENTICATE, urgent=True)
    return replace(state, link=again)


def spare(state: State, now: float, policy: Policy) -> bool:
    """True when an attempt for one instrument alone leaves a whole ladder (subscribe, authenticate, open) for the feed."""
    return sum(now - t < policy.rungs_window for t in state.link.rungs) + 3 < _routine(policy)


def heal(state: State, now: float, policy: Policy) -> tuple[State, tuple[Action, ...]]:
    """The next rung of the ladder, if one is due: subscribe again, close and stay away, open."""
    link = state.link
    if link.state is LinkState.OPENING and now - link.since >= policy.connect_within:
        why = f"no answer within {policy.connect_within:g} s"
        link = _down(link, now, Fault(why), now + _delay(link, now, policy))
        return replace(state, link=link), (CloseStream(why),)
    if now < link.due or not (link.state is LinkState.DOWN or _mute(state, now, policy)):
        return state, ()
    link = replace(link, rungs=tuple(t for t in link.rungs if now - t < policy.rungs_window))
    state = replace(state, link=link)
    if len(link.rungs) >= (policy.rungs if link.urgent else _routine(policy)):
        return _wait(state, now, policy)
    if link.state is LinkState.DOWN:
        state, connect = open_link(state, now, link.fault.reason if link.fault else "the socket was silent")
        counts = replace(state.counts, reconnects=state.counts.reconnects + 1)
        return replace(state, counts=counts), (connect,)
    if link.cure is Cure.REOPEN:
        why, away = "still silent after subscribing again", policy.stay_away
        if _yields(state, policy):
            why, away = "as silent as before it was opened again", 2 * away
        # down, but by our own hand: no fault of the other side is noted
        link = replace(
            link,
            state=LinkState.DOWN,
            since=now,
            down_since=now,
            due=now + (_BRIEFLY if garbled(state) else away),
            reopened=link.reopened + 1,
            away=True,
        )
        return replace(state, link=link), (CloseStream(why),)
    return _subscribe(state, now, policy)


def _subscribe(state: State, now: float, policy: Policy) -> tuple[State, tuple[Action, ...]]:
    """Subscribe again on the open socket; on one that is older than the silence authenticate as well, at the second try."""
    link = state.link
    authenticate = link.cure is Cure.AUTHENTICATE
    older = link.since < state.outage_since
    following = Cure.AUTHENTICATE if older and not authenticate else Cure.REOPEN
    link = replace(link, attempts=link.attempts + 1, rungs=(*link.rungs, now), cure=following, urgent=False)
    if following is Cure.AUTHENTICATE or link.attempts == 1:
        wait = policy.resubscribe_patience
    else:  # a short outage ends by itself meanwhile: what follows takes us away from the socket
        wait = 2 * policy.resubscribe_patience if authenticate else _patience(link, now, policy)
        left = state.outage_since + _GONE_BY - now
        if authenticate and left > 0:
            wait = max(policy.resubscribe_patience, min(wait, left))
    counts = replace(state.counts, resubscribes=state.counts.resubscribes + 1)
    state = replace(state, link=replace(link, due=now + wait), counts=counts)
    return state, (Resubscribe("no ticks on the open socket", authenticate=authenticate),)


def _yields(state: State, policy: Policy) -> bool:
    """True when an absence did not help, and a longer one costs little: REST has prices, and there may be a bot to wait for."""
    return state.link.reopened > 0 and state.rest.trusted and policy.stay_away > policy.look_again


def garbled(state: State) -> bool:
    """Frames come that are no ticks, and no tick has come since: the way to us is open, and it is we who cannot read."""
    at = state.garbled_at
    return at is not None and (state.last_tick_at is None or at > state.last_tick_at) and state.garbled >= _UNREADABLE


def _mute(state: State, now: float, policy: Policy) -> bool:
    """The socket is open and brings nothing; one on which ticks have just begun to flow is left alone.

    While REST is still being asked nothing is done: most short silences end by themselves.
    """
    if state.link.state is not LinkState.UP or state.mode not in _UNHEALTHY:
        return False
    if state.mode is Mode.SUSPECT and policy.detect == "probe" and silence(state, now) < policy.warn_after:
        return False
    return state.run is None or now - state.run.last > gap_limit(state, policy)


def _wait(state: State, now: float, policy: Policy) -> tuple[State, tuple[Action, ...]]:
    link = replace(state.link, due=state.link.rungs[0] + policy.rungs_window, spent_noted=True)
    if state.link.spent_noted:
        return replace(state, link=link), ()
    said = (
        f"{len(link.rungs)} attempts on the socket in {policy.rungs_window / 60:g} min did not help; "
        f"the next in {link.due - now:.0f} s"
    )
    return replace(state, link=link), (Note(said),)


def _down(link: Link, now: float, fault: Fault, due: float) -> Link:
    since = now if link.down_since is None else link.down_since
    return replace(link, state=LinkState.DOWN, since=now, down_since=since, fault=fault, due=due)


def _patience(link: Link, now: float, policy: Policy) -> float:
    return max(policy.resubscribe_patience, _delay(link, now, policy))


def _delay(link: Link, now: float, policy: Policy) -> float:
    """Seconds to the next attempt: none, a short jitter, the full one; the last half is spread over the window.

    Without the spread six quick attempts would be gone in three minutes, and a server that comes back after four would
    be noticed after ten.
    """
    if link.attempts == 0:
        return 0.0
    # the second attempt is to fall within `closed_after`, so that a quick restart is over before REST is asked for
    top = min(policy.reconnect_max, policy.closed_after / 2) if link.attempts == 1 else policy.reconnect_max
    low = min(policy.reconnect_min, top)
    jitter = low + (top - low) * _chance(f"{policy.seed}/{link.generation}/{link.attempts}")
    recent = tuple(t for t in link.rungs if now - t < policy.rungs_window)
    left = _routine(policy) - len(recent)
    if 0 < left <= _routine(policy) // 2:
        return max(jitter, (recent[0] + policy.rungs_window - now) / left)
    return jitter


def _routine(policy: Policy) -> int:
    """All attempts but one: the last is kept for the moment REST comes back, when it is worth most."""
    return max(1, policy.rungs - 1)


def _chance(key: str) -> float:
    """A number in [0, 1) that looks like chance and is the same each time."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest()) / 2**48
