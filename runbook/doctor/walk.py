"""The walk: asks each hop now. Read-only, at most a dozen calls, each with a short budget; after a refused key none.

REST and the stream are asked at the same time. A daemon that watches is believed instead of opening a second stream: its
evidence is longer than ours could be, and each further client of a broker link is one more thing that can go wrong there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from runbook import bot
from runbook.bot import Judged, Look, Memory
from runbook.budget import Budget, BudgetSpent
from runbook.clock import Clock, host_monotonic
from runbook.doctor.judge import LOOKS, MOVES, refused
from runbook.doctor.listen import listen
from runbook.doctor.seen import Clocks, Daemon, Knock, Market, Reach, Read, RestSeen, Seen, StreamSeen
from runbook.errors import AuthError, GatewayUnreachable, RunbookError
from runbook.market import Instrument
from runbook.ports import Gateway, TickStream
from runbook.symbols import Symbol, resolve

SECONDS = 25.0  # for all of it; a healthy walk takes eight
_CALL = 6.0  # for one call over REST
_CANDLE = 8.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Real seconds: how long ticks are listened for when they are due and when not, between two looks at the quotes, and
    after how long a third is taken of a price that stands still (an index may rest for ten seconds and be well).
    """

    due: float = 6.0
    rests: float = 2.0
    between: float = 4.0
    still: float = 11.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What the walk asks; `app` knows how to make it. `told` gives the daemon's own evidence of the stream, None where it
    has none; `bot` looks at the bot once, None where nothing of it is declared; `judged` is the daemon's word on it.
    """

    clock: Clock
    knock: Callable[[], tuple[Knock, Knock]]  # REST, stream
    gateway: Gateway
    stream: Callable[[], TickStream]
    told: Callable[[], StreamSeen | None]
    server_ahead: Callable[[], float | None]  # our clock minus the server's, from the last answer
    bot: Callable[[], Look] | None = None
    judged: Callable[[], Judged | None] = lambda: None
    pace: Pace = Pace()


@dataclass(frozen=True, slots=True)
class Orders:
    """What is to be looked at: the symbols as configured, the declared switch, what the calendar says."""

    symbols: Sequence[Symbol]
    declared_mode: str
    day: date
    market: Callable[[datetime, Sequence[Instrument]], Market]
    canaries: Callable[[datetime, Sequence[Instrument]], Sequence[Instrument]]


def walk(tools: Tools, orders: Orders, daemon: Daemon, budget: Budget) -> Seen:
    """Ask every hop once; never raises for what is found."""
    pause = threading.Event()
    first_look = tools.bot() if tools.bot else None
    rest_knock, stream_knock = tools.knock()
    rest, skipped = RestSeen(), ""
    if rest_knock.reach is Reach.OPEN:
        rest = _introduce(tools.gateway, budget)
        if refused(rest):
            skipped = "the key was refused, and nothing more is asked with it"
    asked = not skipped and rest_knock.reach is Reach.OPEN and not isinstance(rest.broker, RunbookError)
    instruments, unresolved = _resolved(tools.gateway, orders, budget, patient=asked)
    rest = replace(rest, unresolved=unresolved)
    now = tools.clock.now()
    market = orders.market(now, instruments)
    canaries = tuple(orders.canaries(now, instruments))
    stream: StreamSeen | None = None
    if not instruments:
        skipped = skipped or "no symbol could be resolved"
    elif not skipped:
        heard: list[StreamSeen] = []
        ear = threading.Thread(
            target=lambda: heard.append(_hear(tools, instruments, budget, due=market.due)), name="doctor-stream", daemon=True
        )  # fmt: skip
        ear.start()
        if asked:
            rest = _look(tools, orders, rest, canaries or instruments, budget, pause, due=market.due)
        ear.join(max(0.1, budget.left()) + 3.0)  # the stream's own close included
        stream = heard[0] if heard else None
        skipped = "" if heard else "the stream did not answer in time"
        rest = _once_more(tools, rest, canaries or instruments, budget, pause, due=market.due)
    ahead = tools.server_ahead()
    return Seen(
        daemon, market, rest_knock, stream_knock, rest, stream, skipped, None if ahead is None else Clocks(ahead),
        orders.declared_mode, canaries, _bot(tools, first_look, stream, market),
    )  # fmt: skip


def _introduce(gateway: Gateway, budget: Budget) -> RestSeen:
    """Health, key and mode; an answer that refuses the key is the last."""
    rest = RestSeen(health=_asked(lambda: gateway.health(_part(budget))))
    if isinstance(rest.health, AuthError):  # banned: every path answers so
        return replace(rest, broker=rest.health)
    if _unheard(rest.health):
        return rest
    rest = replace(rest, broker=_asked(lambda: gateway.ping(_part(budget))))
    if isinstance(rest.broker, RunbookError):
        return rest
    return replace(rest, mode=_asked(lambda: str(gateway.mode(_part(budget)))))


def _unheard(answer: object) -> bool:
    return isinstance(answer, GatewayUnreachable | BudgetSpent)


def _resolved(
    gateway: Gateway, orders: Orders, budget: Budget, *, patient: bool
) -> tuple[tuple[Instrument, ...], tuple[str, ...]]:
    """The instruments; those that need a search only while REST answers."""
    if not patient:
        plain = tuple(symbol for symbol in orders.symbols if isinstance(symbol, Instrument))
        left = tuple(f"{s}: not looked up" for s in orders.symbols if not isinstance(s, Instrument))
        return plain, left
    try:
        return resolve(gateway, orders.symbols, orders.day, _part(budget))
    except RunbookError as exc:
        return (), (str(exc),)


def _hear(tools: Tools, instruments: Sequence[Instrument], budget: Budget, *, due: bool) -> StreamSeen:
    told = tools.told()
    if told is not None:
        return told
    return listen(tools.stream, instruments, budget, tools.pace.due if due else tools.pace.rests, due=due)


def _look(
    tools: Tools, orders: Orders, rest: RestSeen, names: Sequence[Instrument], budget: Budget, pause: threading.Event,
    *, due: bool,
) -> RestSeen:  # fmt: skip
    """The quotes, and while ticks are due the newest candle and the quotes again."""
    rest = _read(tools.gateway, rest, names, budget)
    if not due or rest.quotes_error is not None:
        return rest
    index = next((i for i in names if i.is_index), names[0])
    begun = host_monotonic()
    try:
        candle = tools.gateway.last_candle(index, orders.day, Budget(min(_CANDLE, budget.left() or 0.02), budget.stop))
        rest = replace(rest, candle_asked=True, candle=candle.start if candle else None)
    except RunbookError as exc:
        rest = replace(rest, candle_asked=True, candle_error=str(exc))
    pause.wait(min(max(0.0, tools.pace.between - (host_monotonic() - begun)), budget.left()))
    return _read(tools.gateway, rest, names, budget)


def _once_more(
    tools: Tools, rest: RestSeen, names: Sequence[Instrument], budget: Budget, pause: threading.Event, *, due: bool
) -> RestSeen:
    """A price that stands still is looked at again after as long as a healthy one may rest."""
    if not due or rest.quotes_error is not None or not 0 < len(rest.reads) < LOOKS or not rest.reads[-1].quotes:
        return rest
    if any(a.fingerprint != b.fingerprint for a, b in zip(rest.reads[0].quotes, rest.reads[-1].quotes, strict=False)):
        return rest
    pause.wait(min(max(0.0, tools.pace.still - (host_monotonic() - rest.reads[0].at)), budget.left()))
    return _read(tools.gateway, rest, names, budget)


def _read(gateway: Gateway, rest: RestSeen, names: Sequence[Instrument], budget: Budget) -> RestSeen:
    try:
        quotes, faults = gateway.quotes(names, _part(budget))
    except RunbookError as exc:
        return replace(rest, quotes_error=exc)
    return replace(rest, reads=(*rest.reads, Read(host_monotonic(), quotes, faults)))


def _bot(tools: Tools, first: Look | None, stream: StreamSeen | None, market: Market) -> Judged | None:
    """The daemon's word, which rests on a longer look; else two looks of our own."""
    judged = tools.judged()
    if judged is not None or tools.bot is None or first is None:
        return judged
    flows = stream is not None and stream.moves >= MOVES
    last = tools.bot()
    memory = bot.observe(bot.observe(Memory(), first), last)
    # For how long the gateway has delivered is not known; that it does now, and the bot did not grow meanwhile, is.
    feed = bot.Feed(flows, float("-inf") if flows else 0.0, stream.rate if stream else 0.0)
    return bot.judge(memory, feed, due=market.due, now=last.at)


def _part(budget: Budget) -> Budget:
    """A call's share of what is left."""
    return Budget(min(_CALL, budget.left() or 0.02), budget.stop)


def _asked(ask: Callable[[], str]) -> str | RunbookError:
    try:
        return ask()
    except RunbookError as exc:
        return exc
