"""From what was seen to a verdict: checks by hop, and the first hop that is broken. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from runbook.doctor.seen import Daemon, Knock, Market, Reach, Read, RestSeen, Seen, StreamSeen
from runbook.errors import (
    AuthError,
    BrokerTokenDead,
    GatewayRejected,
    GatewayUnreachable,
    RunbookError,
    SymbolUnknown,
    WrongKey,
)
from runbook.feed import advice
from runbook.feed.verdict import Health, Hop, Rung, Verdict, ladder
from runbook.spans import ago, span

PULSE = 20.0  # seconds: a daemon that was not heard of for longer hangs (its lease runs out after 15)
SKEW = 5.0  # seconds between two clocks that a header of whole seconds cannot explain
SKEW_BAD = 60.0  # from here on steps run at another minute than OpenAlgo's books say
CANDLE = 180.0  # seconds: the newest 1-minute candle begins at most so long ago while the exchange trades
MOVES = 2  # what a snapshot cannot be
LOOKS = 3  # at the quotes: the last comes after as long as an index stands still on a healthy day
NOTHING = "nothing to do on this side: the exchange is silent; see its own page for a halt"
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One question to a hop. `needed`: the hop is not known to work without it."""

    hop: Hop
    name: str
    health: Health
    evidence: str
    action: str = ""
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Examination:
    """All checks in order, and the verdict they come to."""

    checks: tuple[Check, ...]
    verdict: Verdict

    def of(self, hop: Hop) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.hop is hop)


def examine(seen: Seen, now: datetime) -> Examination:
    """The verdict on what was seen at `now`."""
    checks = tuple(_checks(seen, now))
    rungs = [_rung(hop, [c for c in checks if c.hop is hop]) for hop in Hop]
    return Examination(checks, ladder(rung for rung in rungs if rung is not None))


def _rung(hop: Hop, checks: Sequence[Check]) -> Rung | None:
    """A hop is broken with its first broken check, and known to work only when no needed one is unknown."""
    if not checks:
        return None
    for health in (Health.BROKEN, Health.UNKNOWN):
        worst = [c for c in checks if c.health is health and (c.needed or health is Health.BROKEN)]
        if worst:
            return Rung(hop, health, worst[0].evidence, worst[0].action)
    said = [c for c in checks if c.needed] or list(checks)
    # what is not due outweighs what is well: a link that works while nothing is promised has not delivered
    resting = any(c.health is Health.NOT_DUE for c in said)
    return Rung(hop, Health.NOT_DUE if resting else Health.OK, "; ".join(c.evidence for c in said))


def _checks(seen: Seen, now: datetime) -> Iterator[Check]:
    yield from _runbook(seen, now)
    yield from _proxy(seen)
    yield from _adapter(seen)
    yield from _ticks(seen, now)
    yield from _quotes(seen)
    yield _exchange(seen, now)
    if seen.bot is not None:
        yield Check(Hop.BOT, "bot", seen.bot.health, seen.bot.reason, seen.bot.action)
    else:
        yield Check(
            Hop.BOT, "bot", Health.UNKNOWN, "nothing of it is declared", "name its tick file: `bot: {ticks: PATH}`"
        )


# -- H0 -----------------------------------------------------------------------------------------------------------------


def _runbook(seen: Seen, now: datetime) -> Iterator[Check]:
    daemon = seen.daemon
    if daemon.ledger:
        yield Check(Hop.RUNBOOK, "ledger", Health.BROKEN, f"the ledger: {daemon.ledger}", daemon.ledger_hint)
    else:
        yield Check(Hop.RUNBOOK, "ledger", Health.OK, "the ledger opens")
    yield _daemon(daemon, seen.market, now)
    if seen.clocks is None:
        yield Check(Hop.RUNBOOK, "clock", Health.UNKNOWN, "no answer of OpenAlgo told its time", needed=False)
        return
    off = abs(seen.clocks.ahead)
    if off <= SKEW:
        yield Check(
            Hop.RUNBOOK, "clock", Health.OK, f"clocks agree with OpenAlgo's to {max(1, round(off))} s", needed=False
        )
        return
    said = f"this host's clock is {span(off)} {'ahead of' if seen.clocks.ahead > 0 else 'behind'} OpenAlgo's"
    fix = "see `timedatectl` on both hosts; `sudo timedatectl set-ntp true` on the one that is wrong"
    yield Check(Hop.RUNBOOK, "clock", Health.BROKEN if off > SKEW_BAD else Health.UNKNOWN, said, fix, needed=False)


def _daemon(daemon: Daemon, market: Market, now: datetime) -> Check:
    def check(health: Health, evidence: str, action: str = "") -> Check:
        return Check(Hop.RUNBOOK, "serve", health, evidence, action)

    who = f"`runbook serve` (pid {daemon.pid})" if daemon.pid else "`runbook serve`"
    last = f"; last heard of {ago((now - daemon.last).total_seconds())}" if daemon.last else ""
    if daemon.locked:
        if daemon.pulse_age is not None and daemon.pulse_age <= PULSE:
            does = "watches the feed" if daemon.watching else "runs"
            return check(Health.OK, f"{who} {does}, pulse {ago(daemon.pulse_age)}")
        return check(Health.BROKEN, f"{who} holds its lock but gives no sign of life{last}", "restart `runbook serve`")
    if daemon.orphaned and market.due:
        said = f"{who} ended without a goodbye{last}: nobody watches, and ticks are due"
        return check(Health.BROKEN, said, "start `runbook serve` again, and see its log for why it ended")
    return check(Health.NOT_DUE, f"no daemon runs{last}: nobody watches", "`runbook serve` starts it")


# -- H1 and H2 ----------------------------------------------------------------------------------------------------------


def _proxy(seen: Seen) -> Iterator[Check]:
    knock, stream = seen.stream_knock, seen.stream
    if knock.reach is not Reach.OPEN and not (stream is not None and stream.connected):
        yield Check(Hop.PROXY, "port", Health.BROKEN, _reached(knock), _no_port(seen))
        return
    if knock.reach is Reach.OPEN:
        yield Check(Hop.PROXY, "port", Health.OK, _reached(knock), needed=False)
    if stream is None:
        yield Check(Hop.PROXY, "socket", Health.UNKNOWN, f"not opened: {seen.skipped}")
    elif stream.connected and not (stream.closed and "pong" in stream.fault):
        ours = "pings answered" if stream.seconds >= 4 else "it speaks WebSocket"
        said = ours if stream.whose != "daemon" else "the daemon's connection is up"
        yield Check(Hop.PROXY, "socket", Health.OK, said)
    else:
        alive = stream.refused_port and seen.rest_knock.reach is Reach.OPEN
        fix = advice.RESTART if alive else stream.hint or _no_port(seen)
        yield Check(Hop.PROXY, "socket", Health.BROKEN, stream.fault or "no answer on the socket", fix)


def _reached(knock: Knock) -> str:
    match knock.reach:
        case Reach.OPEN:
            return f"{knock.address} open in {knock.seconds * 1000:.0f} ms"
        case Reach.REFUSED:
            return f"{knock.address} refuses: nothing listens there"
        case Reach.TIMEOUT:
            return f"{knock.address} does not answer within {knock.seconds:.0f} s"
        case Reach.NO_NAME:
            return f"{knock.address}: the host's name has no address"
    return f"{knock.address}: {knock.said or 'no connection'}"


def _no_port(seen: Seen) -> str:
    """A port that refuses while REST lives is a proxy that died; nothing at all is a unit or a network that is down."""
    reach = seen.stream_knock.reach
    if reach is Reach.NO_NAME:
        return "check `openalgo.url` and `openalgo.stream` in config.yaml, and the DNS"
    if reach is Reach.TIMEOUT:
        return "a firewall or the network is between; see that the port is open from this host"
    return advice.RESTART if seen.rest_knock.reach is Reach.OPEN else advice.SERVER_DOWN


def _adapter(seen: Seen) -> Iterator[Check]:
    hop, rest, stream = Hop.ADAPTER, seen.rest, seen.stream
    if isinstance(rest.broker, RunbookError):
        refused = isinstance(rest.broker, AuthError) and not _unheard(rest.broker)
        yield Check(
            hop, "key", Health.BROKEN if refused else Health.UNKNOWN, str(rest.broker), rest.broker.hint or "", needed=refused,
        )  # fmt: skip
    elif rest.broker is not None:
        yield Check(hop, "key", Health.OK, f"key accepted, broker {rest.broker}", needed=False)
    if isinstance(rest.mode, RunbookError):
        yield Check(hop, "mode", Health.UNKNOWN, str(rest.mode), rest.mode.hint or "", needed=False)
    elif rest.mode is not None and rest.mode != seen.declared_mode:
        said = f"OpenAlgo stands on {rest.mode}, declared is {seen.declared_mode}"
        fix = f"switch OpenAlgo to {seen.declared_mode} on its dashboard, or correct `mode:`; runbook never switches"
        yield Check(hop, "mode", Health.BROKEN, said, fix)
    elif rest.mode is not None:
        yield Check(hop, "mode", Health.OK, f"OpenAlgo stands on {rest.mode}, as declared", needed=False)
    if stream is None or not stream.connected:
        why = seen.skipped or "no connection to the stream server"
        yield Check(hop, "subscribe", Health.UNKNOWN, f"not reached: {why}")
    elif not stream.authenticated or stream.accepted is None or (stream.accepted == 0 and stream.refused):
        said = stream.fault or "; ".join(stream.refused) or "the subscription was not acknowledged"
        yield Check(hop, "subscribe", Health.BROKEN, said, stream.hint or _unnamed(said) or advice.RESTART)
    elif stream.refused:
        said = f"{stream.accepted} subscribed; refused: {'; '.join(stream.refused)}"
        yield Check(hop, "subscribe", Health.BROKEN, said, _unnamed(said) or "correct `symbols:` in config.yaml")
    else:
        yield Check(hop, "subscribe", Health.OK, f"authenticated, {stream.accepted} symbols acknowledged")


def _unnamed(said: str) -> str:
    """What to do about a name that OpenAlgo does not know."""
    return SymbolUnknown.hint or "" if "not found" in said.lower() else ""


def _unheard(error: RunbookError) -> bool:
    return isinstance(error, GatewayUnreachable)


# -- H3 -----------------------------------------------------------------------------------------------------------------


def _ticks(seen: Seen, now: datetime) -> Iterator[Check]:
    def check(health: Health, evidence: str, action: str = "") -> Check:
        return Check(Hop.BROKER_STREAM, "ticks", health, evidence, action)

    stream, market = seen.stream, seen.market
    if stream is None or not stream.accepted:
        yield check(Health.UNKNOWN, f"not reached: {seen.skipped or 'no subscription'}")
        return
    heard = f"{stream.ticks} ticks in {stream.seconds:.1f} s" + (" (the daemon's)" if stream.whose == "daemon" else "")
    if stream.moves >= MOVES:
        ltt = ", trade times advance" if any(line.ltt_moved for line in stream.lines.values()) else ""
        yield check(Health.OK, f"{heard}, {stream.moves} of them moves{ltt}: {_each(stream)}")
        return
    if not market.due:
        link = " (a snapshot proves the link, not the market)" if stream.ticks else ""
        yield check(Health.NOT_DUE, f"{heard}{link}; {market.words}")
        return
    said = (
        f"{heard}, none of which moved"
        if stream.ticks
        else f"connected and subscribed, but no tick in {stream.seconds:.1f} s"
    )
    if stream.closed:
        yield check(Health.BROKEN, f"the connection was closed: {stream.fault}", stream.hint or advice.RESTART)
    elif isinstance(seen.rest.quotes_error, BrokerTokenDead | AuthError):
        error = seen.rest.quotes_error
        yield check(Health.BROKEN, f"{said}; the broker refuses OpenAlgo's token (see H4)", _log_in(error))
    elif not market.known:
        yield check(Health.UNKNOWN, f"{said}; {market.words}", "see `runbook calendar why DATE`")
    elif not seen.canaries:
        yield check(Health.UNKNOWN, f"{said}; what is watched may rest for so long", "put the index on `symbols:`")
    elif _moved(seen.rest.reads) or _candle_fresh(seen, now):
        alive = "REST moves" if _moved(seen.rest.reads) else "the newest candle is fresh"
        yield check(Health.BROKEN, f"{said}, while {alive}: the broker's feed does not reach OpenAlgo", advice.MUTE)
    elif seen.rest.candle is not None:
        yield check(Health.UNKNOWN, f"{said}; nothing moves over REST either")
    elif seen.rest.quotes_error is not None or not seen.rest.reads:
        yield check(Health.BROKEN, f"{said}, and REST has no price to compare with", advice.MUTE)
    else:
        yield check(Health.UNKNOWN, f"{said}; REST answers but stands still too", advice.EXCHANGE_OR_LOGIN)


def _log_in(error: RunbookError) -> str:
    return advice.CHECK_KEY if isinstance(error, WrongKey) else error.hint or advice.LOG_IN


def _each(stream: StreamSeen) -> str:
    said = [
        f"{name} {line.last.ltp:.10g} ({line.ticks / stream.seconds if stream.seconds else 0:.1f}/s)"
        for name, line in stream.lines.items()
        if line.last is not None
    ]
    more = f", and {len(said) - _MOST_NAMES} more" if len(said) > _MOST_NAMES else ""
    return ", ".join(said[:_MOST_NAMES]) + more


# -- H4 and H5 ----------------------------------------------------------------------------------------------------------


def _quotes(seen: Seen) -> Iterator[Check]:
    hop, rest = Hop.BROKER_REST, seen.rest
    knock = seen.rest_knock
    if knock.reach is not Reach.OPEN and rest.broker is None and rest.health is None:
        fix = _no_port(replace(seen, stream_knock=knock))
        yield Check(hop, "port", Health.BROKEN, _reached(knock), advice.SERVER_DOWN if fix == advice.RESTART else fix)
        return
    yield Check(hop, "port", Health.OK, _reached(knock), needed=False)
    if isinstance(rest.health, GatewayRejected):
        # an OpenAlgo before 2.0, which many a desk still runs, has no such page
        yield Check(hop, "server", Health.UNKNOWN, "it answers, but has no health page", needed=False)
    elif isinstance(rest.health, RunbookError):
        yield Check(hop, "server", Health.BROKEN, str(rest.health), rest.health.hint or "")
    elif rest.health is not None:
        yield Check(hop, "server", Health.OK, f"health {rest.health}", needed=False)
    yield _price(seen)
    for fault in rest.unresolved:
        yield Check(
            hop, "symbol", Health.UNKNOWN, fault, "correct `symbols:`, or wait for the master contract", needed=False
        )


def _price(seen: Seen) -> Check:
    rest, market = seen.rest, seen.market

    def check(health: Health, evidence: str, action: str = "") -> Check:
        return Check(Hop.BROKER_REST, "quotes", health, evidence, action)

    if rest.quotes_error is not None:
        return check(Health.BROKEN, str(rest.quotes_error), rest.quotes_error.hint or "")
    if not rest.reads:
        if isinstance(rest.broker, RunbookError) and not isinstance(rest.broker, AuthError):
            return check(Health.BROKEN, str(rest.broker), rest.broker.hint or "")
        return check(Health.UNKNOWN, f"not reached: {seen.skipped or 'nothing was asked'}")
    first, last = rest.reads[0], rest.reads[-1]
    if not last.quotes:
        why = "; ".join(f"{i.symbol}: {fault}" for i, fault in last.faults[:_MOST_NAMES])
        fix = _unnamed(why) or f"the broker gives no price: {advice.LOG_IN}"
        return check(Health.BROKEN, f"no usable price: {why}", fix)
    took = last.at - first.at
    shown = ", ".join(f"{q.instrument.symbol} {q.ltp:.10g}" for q in last.quotes[:_MOST_NAMES])
    if _moved(rest.reads):
        return check(Health.OK, f"{shown}, moved within {took:.1f} s")
    if not market.due:
        return check(Health.OK, f"answers: {shown}; no movement is due")
    said = f"{shown}, unchanged in {len(rest.reads)} looks over {took:.1f} s"
    if seen.stream is not None and seen.stream.moves >= MOVES and len(rest.reads) >= LOOKS:
        return check(Health.BROKEN, f"{said} while ticks move: prices over REST are old", advice.LOG_IN)
    return check(Health.UNKNOWN, said)


def _exchange(seen: Seen, now: datetime) -> Check:
    market = seen.market

    def check(health: Health, evidence: str, action: str = "") -> Check:
        return Check(Hop.EXCHANGE, "exchange", health, evidence, action)

    moving = (seen.stream is not None and seen.stream.moves >= MOVES) or _moved(seen.rest.reads)
    aged = None if seen.rest.candle is None else (now - seen.rest.candle).total_seconds()
    candle = "" if aged is None else f"; newest candle began {ago(aged)}"
    if not market.due:
        return check(Health.NOT_DUE if market.known else Health.UNKNOWN, f"{market.words}: nothing to do")
    if moving:
        return check(Health.OK, f"{market.words}, prices move{candle}")
    if aged is not None and aged <= CANDLE:
        return check(Health.OK, f"{market.words}{candle}")
    young = market.opened is not None and (now - market.opened).total_seconds() < CANDLE
    if aged is not None and not young and seen.rest.reads:
        return check(Health.BROKEN, f"silent: {market.words}, but no price moves{candle}", NOTHING)
    why = seen.rest.candle_error or ("no candle of today" if seen.rest.candle_asked else "no candle was asked for")
    return check(
        Health.UNKNOWN, f"{market.words}; {why if aged is None else 'the session is young'}, and no price moved"
    )


def _moved(reads: Sequence[Read]) -> bool:
    """True when a canary's fingerprint differs between two looks; one that came or went is no movement."""
    marks: dict[object, set[object]] = {}
    for read in reads:
        for quote in read.quotes:
            marks.setdefault(quote.instrument, set()).add(quote.fingerprint)
    return any(len(found) > 1 for found in marks.values())


def _candle_fresh(seen: Seen, now: datetime) -> bool:
    return seen.rest.candle is not None and (now - seen.rest.candle).total_seconds() <= CANDLE


def refused(rest: RestSeen) -> bool:
    """True when the key was refused: from then on nothing more may be asked."""
    return isinstance(rest.broker, AuthError)
