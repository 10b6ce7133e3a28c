"""The ways in which a feed goes wrong, each as a fault that a seed places in a day, with the hop that is truly broken."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from runbook.feed import events as ev
from runbook.feed.judging import judge
from runbook.feed.policy import Policy
from runbook.feed.table import Mode
from runbook.feed.verdict import Hop
from runbook.market import Instrument, Tick
from tests.feed_world import FUTURE, NIFTY, OPTION, SBIN, World

_ILL = (Mode.FALLBACK, Mode.BLIND, Mode.MARKET_SILENT)


class Case(World):
    """A world in which a fault can be placed that `World` has no switch for."""

    def _tick(self) -> None:
        if self.stream == "replays" and self._socket is not None:
            for instrument in self.watched:  # the same trade over and over, as a frozen adapter sends it
                self.tick(26000.0, 1_000, instrument, self._socket)
        elif self.stream == "garbage" and self._socket is not None:
            for _ in self.watched:
                self.tell(ev.Garbage(self._socket, "a frame of another form"))
        elif self.stream == "storm" and self._socket is not None:
            self.drop("going away", 1011)
        elif self.stream == "wrong" and self._socket is not None:
            for instrument in self.watched:
                ltp = 41.0 + self.now % 7 if instrument is NIFTY else self.price(instrument)
                self.tell(ev.TickReceived(self._socket, Tick(instrument, ltp, int(self.now * 1000)), self.now))
        else:
            super()._tick()


@dataclass(frozen=True)
class Fault:
    """What breaks, how, and which hop that is (None: nothing is broken, and nothing may be said to be)."""

    name: str
    hop: Hop | None
    inflict: Callable[[Case, random.Random], None]
    after: float = 45.0  # seconds until the verdict is read


def _switch(**switches: object) -> Callable[[Case, random.Random], None]:
    def inflict(world: Case, _: random.Random) -> None:
        for name, value in switches.items():
            setattr(world, name, value)

    return inflict


def _half_open(world: Case, _: random.Random) -> None:
    world.port = "hanging"
    world.drop("no pong within 5 s of a ping", None)


def _proxy_gone(world: Case, chance: random.Random) -> None:
    world.port = "refused"
    world.drop(*chance.choice([("the stream server is shutting down", 1001), ("reset by peer", None)]))


def _all_gone(world: Case, _: random.Random) -> None:
    world.rest = "down"
    _proxy_gone(world, _)


def _blip(world: Case, _: random.Random) -> None:
    world.stream = "mute"
    world.drop()


def _evicted(world: Case, _: random.Random) -> None:
    world.login += 1


def _logged_out(world: Case, _: random.Random) -> None:
    world.login = 0


def _one_dead(world: Case, _: random.Random) -> None:
    world.dead = frozenset({FUTURE})


def _halt(world: Case, _: random.Random) -> None:
    world.market, world.halted = "still", world.now


def _false_ping(world: Case, _: random.Random) -> None:
    world.drop("no pong within 5 s of a ping", None)


FAULTS = (
    Fault("W1 connected, subscribed, mute", Hop.BROKER_STREAM, _switch(stream="mute")),
    Fault("W1 the broker's token is dead: mute, and REST refuses", Hop.BROKER_STREAM, _switch(stream="mute", rest="down")),
    Fault("W3 pings are answered, data stops; REST stands still and its candles go on", Hop.BROKER_STREAM, _switch(stream="mute", rest="frozen"), 100),
    Fault("W4 trades are repeated, the exchange's time stands still", Hop.BROKER_STREAM, _switch(stream="replays")),
    Fault("W5 one symbol is dead, the rest alive", Hop.BROKER_STREAM, _one_dead, 120),
    Fault("W6 every connection is closed at once", Hop.PROXY, _switch(stream="storm")),
    Fault("W7 half open: no answer to a ping, none to a connection", Hop.PROXY, _half_open),
    Fault("W9 a false ping time-out on a healthy link", None, _false_ping),
    Fault("W10 a blip of the socket, and mute after it", Hop.BROKER_STREAM, _blip),
    Fault("W11 a login elsewhere evicted the adapter, sockets stay open", Hop.ADAPTER, _evicted),
    Fault("W11 nobody is logged in to the broker", Hop.ADAPTER, _logged_out),
    Fault("W12 another instrument's price under our symbol", Hop.BROKER_STREAM, _switch(stream="wrong"), 340),
    Fault("W13 the stream server is gone", Hop.PROXY, _proxy_gone),
    Fault("W13 all of OpenAlgo is gone", Hop.PROXY, _all_gone),
    Fault("W14 a quiet stream that is healthy", None, _switch()),
    Fault("W15 the whole market stands still", Hop.EXCHANGE, _switch(market="still", candle=None), 140),
    Fault("W15 the whole market stands still, and its candles with it", Hop.EXCHANGE, _halt, 100),
    Fault("W16 frames come and cannot be read", Hop.RUNBOOK, _switch(stream="garbage")),
    Fault("REST fails while ticks flow", Hop.BROKER_REST, _switch(rest="down"), 340),
)  # fmt: skip
LISTS: tuple[tuple[Instrument, ...], ...] = ((NIFTY,), (NIFTY, FUTURE), (NIFTY, FUTURE, SBIN), (NIFTY, FUTURE, OPTION))


def told(fault: Fault, seed: int) -> Hop | None:
    """The hop that is named last when `fault` is placed into the day of `seed`; None: none ever is."""
    chance = random.Random(f"{fault.name}/{seed}")
    watched = LISTS[1] if fault.inflict is _one_dead else chance.choice(LISTS)
    world = Case(watched, replace(Policy(), seed=seed), ltt=chance.random() < 0.8 or fault.name.startswith("W4"))
    world.begin().run(chance.randint(30, 200))
    fault.inflict(world, chance)
    named: Hop | None = None
    for _ in range(int(fault.after) + chance.randint(0, 20)):
        world.run(1)
        broken = judge(world.state, world.now, world.policy).first_broken
        named = broken.hop if broken else named
    return named
