"""Which prices leave the feed: only those of the side it trusts, and none that is old."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runbook.feed import events as ev
from runbook.feed import price
from runbook.feed.machine import step
from runbook.feed.state import State
from runbook.feed.table import Mode
from runbook.market import Instrument, Source, Tick
from tests.feed_world import FUTURE, NIFTY, OPTION, World, quote

START = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)


def wall(at: float) -> datetime:
    return START + timedelta(seconds=at)


def live(*watched: Instrument) -> World:
    world = World(watched=watched or (NIFTY,)).begin().run(30)
    assert world.mode is Mode.LIVE
    return world


def told(world: World, *ticks: Tick, generation: int | None = None) -> tuple[price.Price, ...]:
    """The prices that the ticks give, which the world takes in."""
    before: State = world.state
    mine = world.state.link.generation if generation is None else generation
    for tick in ticks:
        world.tell(ev.TickReceived(mine, tick, world.now))
    return price.of_ticks(before, world.state, mine, ticks, world.now, wall)


def test_a_fresh_tick_of_a_live_feed_is_a_price_with_its_times():
    world = live()
    (one,) = told(world, Tick(NIFTY, 26001.5, 99, 7))
    assert (one.ltp, one.source, one.ltt, one.volume) == (26001.5, Source.WEBSOCKET, 99, 7)
    assert one.received_at == one.last_changed_at == wall(world.now)


def test_a_price_that_stands_keeps_the_time_of_its_last_change():
    world = live()
    told(world, Tick(NIFTY, 26001.5, 98))
    changed = world.now
    world.now += 0.25
    first, second, third = told(world, Tick(NIFTY, 26001.5, 99), Tick(NIFTY, 26001.5, 100), Tick(NIFTY, 26002.0, 101))
    assert first.last_changed_at == second.last_changed_at == wall(changed)
    assert third.last_changed_at == first.received_at == wall(world.now)


def test_the_same_trade_told_again_is_no_price():
    world = live()
    assert len(told(world, Tick(NIFTY, 26001.5, 99), Tick(NIFTY, 26001.5, 99))) == 1
    assert told(world, Tick(NIFTY, 26001.5, 99)) == ()


def test_a_tick_nobody_asked_for_and_one_of_an_older_connection_are_no_price():
    world = live()
    assert told(world, Tick(OPTION, 100.0, 1)) == ()
    assert told(world, Tick(NIFTY, 26001.5, 99), generation=0) == ()


def test_no_tick_is_a_price_before_the_feed_is_live():
    world = World().begin().run(0.5)
    assert world.mode is not Mode.LIVE
    assert told(world, Tick(NIFTY, 26001.5, 1)) == ()


def test_ticks_that_come_back_are_no_price_until_they_are_trusted():
    world = live()
    world.stream = "mute"
    world.run(130)
    assert world.mode is Mode.FALLBACK
    assert told(world, Tick(NIFTY, 26001.5, 10**12)) == ()


def test_a_poll_gives_prices_only_while_rest_is_trusted():
    world = live(NIFTY, FUTURE)
    world.stream = "mute"
    world.run(130)
    polled = ev.Polled((quote(NIFTY, 26100.0), quote(FUTURE, 26200.0)), world.now)
    world.tell(polled)
    prices = price.of_poll(world.state, world.now, wall)
    assert [(p.instrument, p.ltp, p.source, p.ltt) for p in prices] == [
        (NIFTY, 26100.0, Source.REST_POLLING, None), (FUTURE, 26200.0, Source.REST_POLLING, None),
    ]  # fmt: skip
    world.rest = "frozen"
    world.run(40)
    assert world.mode is Mode.BLIND
    world.tell(replace(polled, at=world.now))
    assert price.of_poll(world.state, world.now, wall) == ()


def test_a_late_poll_of_a_live_feed_gives_no_price():
    world = live()
    world.tell(ev.Polled((quote(NIFTY, 26100.0),), world.now))
    assert world.state.quotes[NIFTY].at == world.now
    assert price.of_poll(world.state, world.now, wall) == ()


def test_a_name_without_a_usable_quote_has_no_price_and_the_others_have():
    world = live(NIFTY, FUTURE)
    world.stream = "mute"
    world.run(130)
    world.tell(ev.Polled((quote(NIFTY, 26100.0), quote(FUTURE, 0.0)), world.now))
    assert [p.instrument for p in price.of_poll(world.state, world.now, wall)] == [NIFTY]
    assert price.of_instrument(world.state, FUTURE, wall) is None


def test_a_quote_says_when_it_last_changed():
    world = live()
    world.stream = "mute"
    world.run(130)
    for now, ltp in ((0.0, 26100.0), (1.5, 26100.0), (3.0, 26100.0)):
        world.state, _ = step(
            world.state, ev.Polled((quote(NIFTY, ltp),), world.now + now), world.now + now, world.policy
        )
    (one,) = price.of_poll(world.state, world.now + 3.0, wall)
    assert (one.received_at - one.last_changed_at).total_seconds() == 3.0


def test_the_newest_price_is_that_of_the_trusted_side_and_of_no_other():
    world = live(NIFTY, OPTION)
    ticked, newest = price.of_instrument(world.state, NIFTY, wall), world.state.ticks[NIFTY].tick
    assert ticked is not None
    assert newest is not None
    assert (ticked.source, ticked.ltp) == (Source.WEBSOCKET, newest.ltp)
    world.stream = "mute"
    world.run(70)
    assert world.mode is Mode.SUSPECT
    assert price.of_instrument(world.state, NIFTY, wall) is None
    world.run(60)
    polled = price.of_instrument(world.state, NIFTY, wall)
    assert polled is not None
    assert polled.source is Source.REST_POLLING
    world.rest = "down"
    world.run(30)
    assert world.mode is Mode.BLIND
    assert price.of_instrument(world.state, NIFTY, wall) is None


def test_a_tick_of_an_earlier_connection_is_not_the_newest_price():
    world = live()
    older = replace(world.state.ticks[NIFTY], generation=world.state.link.generation - 1)
    world.state = replace(world.state, ticks={NIFTY: older})
    assert price.of_instrument(world.state, NIFTY, wall) is None


def test_a_quote_of_an_earlier_outage_is_not_the_newest_price():
    world = live()
    world.stream = "mute"
    world.run(130)
    earlier = replace(world.state.quotes[NIFTY], at=world.state.rest.since - 1)
    world.state = replace(world.state, quotes={NIFTY: earlier})
    assert price.of_instrument(world.state, NIFTY, wall) is None
