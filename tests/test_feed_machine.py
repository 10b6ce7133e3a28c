"""The edges of the feed machine, one sentence each."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.feed import actions as act
from runbook.feed import events as ev
from runbook.feed.advice import CHECK_KEY, LOG_IN, MUTE, RESTART, SERVER_DOWN, advise
from runbook.feed.machine import evaluate, start, step, stop
from runbook.feed.policy import Policy
from runbook.feed.state import Fault, Link, LinkState, Rest, State, initial, silence, source
from runbook.feed.table import Mode
from runbook.feed.ticking import is_move, is_replay
from runbook.feed.view import view
from runbook.market import Source, Tick
from tests.feed_world import FUTURE, GUIDE, LIVE, NIFTY, OPTION, SBIN, World, quote


def test_a_snapshot_of_the_same_trade_moves_no_clock() -> None:
    world = World().begin().run(60)
    tick = world.state.ticks[NIFTY].tick
    assert tick is not None
    world.stream = "mute"
    world.run(20)
    world.tick(tick.ltp, tick.ltt)
    assert silence(world.state, world.now) == pytest.approx(20.5)
    assert world.state.ticks[NIFTY].replays == 1
    world.tick(tick.ltp, (tick.ltt or 0) + 1000)  # an index that rests, with a later trade time
    assert silence(world.state, world.now) == 0


@pytest.mark.parametrize(
    ("last", "tick", "replay", "move"),
    [
        ((26000.0, 5, None), (26000.0, 5, None), True, False),
        ((26000.0, 5, None), (26000.0, 6, None), False, True),
        ((26000.0, 5, None), (26001.0, 5, None), False, True),
        ((26000.0, 5, 10), (26000.0, 5, 10), True, False),
        ((26000.0, 5, 10), (26000.0, 5, 11), False, True),
        ((26000.0, 5, 10), (26000.0, 5, None), True, False),
        ((26000.0, None, None), (26000.0, None, None), False, False),
        ((26000.0, None, 10), (26000.0, None, 10), False, False),
        ((26000.0, None, 10), (26000.0, None, 12), False, True),
        ((26000.0, 5, None), (26000.0, None, None), False, False),
        ((26000.0, 5, None), (26000.0, 4, None), False, False),  # older: no replay, and no sign of life
    ],
)
def test_what_is_a_replay_and_what_is_a_move(last: tuple, tick: tuple, replay: bool, move: bool) -> None:
    a, b = Tick(NIFTY, *last), Tick(NIFTY, *tick)
    assert is_replay(a, b) is replay
    assert is_move(a, b) is move
    assert not is_replay(None, b)


def test_a_burst_of_snapshots_of_many_symbols_is_no_move() -> None:
    world = World((NIFTY, FUTURE, OPTION, SBIN)).begin().run(60)
    world.stream = "mute"
    world.run(70)
    assert world.mode is Mode.SUSPECT
    for instrument in world.watched:
        world.tick(1234.5, 10**12, instrument)
    assert world.state.run is not None
    assert world.state.run.moves == 0
    assert silence(world.state, world.now) == 0
    assert world.mode is Mode.SUSPECT


def test_two_snapshots_on_two_connections_are_no_move() -> None:
    world = World(stream="mute").begin().run(2)
    world.tick(26000.0, 1)
    world.drop()
    world.run(2.5)
    world.tick(26001.0, 2)
    assert world.mode is Mode.ARMED
    world.tick(26002.0, 3)
    assert world.mode is Mode.LIVE


def test_a_stray_tick_does_not_put_off_the_first_doubt() -> None:
    world = World(stream="mute").begin()
    for i in range(13):
        world.run(5 if i else 1)
        if world.mode is Mode.ARMED:
            world.run(1)
            world.tick(26000.0, None)  # undated, never another price
    assert Mode.SUSPECT in world.route()
    assert world.moves[1][0] <= 62


def test_the_minute_of_the_first_tick_counts_from_the_first_subscription_only() -> None:
    world = World(stream="mute").begin().run(30)
    world.drop()
    world.run(33)  # reconnects, subscribes again
    assert world.route() == [Mode.ARMED, Mode.SUSPECT]


def test_a_late_first_subscription_is_given_its_minute() -> None:
    world = World(port="hanging").begin().run(14)
    generation = world.state.link.generation
    world.tell(ev.Connected(generation, "angel"))
    world.tell(ev.Subscribed(generation, (NIFTY,)))
    world.run(59)
    assert world.mode is Mode.ARMED
    world.run(2)
    assert world.mode is Mode.SUSPECT


def test_ticks_of_nobody_and_prices_that_are_none_move_nothing() -> None:
    world = World(stream="mute").begin().run(2)
    before = world.state.last_tick_at
    world.tick(120.0, 1, OPTION)
    world.tick(0.0, 1)
    world.tick(-3.0, 1)
    world.tick(float("nan"), 1)
    world.tell(ev.Garbage(1, "not a number"))
    assert (world.state.counts.strays, world.state.counts.garbage) == (1, 4)
    assert world.state.last_tick_at == before


def test_what_a_closed_connection_still_says_is_counted_and_dropped() -> None:
    world = World().begin().run(10)
    old = world.state.link.generation
    world.drop()
    clocks = world.state.ticks
    world.tick(1.0, 1, generation=old)  # the same number, but the connection is gone
    world.run(1)
    world.tick(1.0, 1, generation=old)
    world.tell(ev.Closed(old, "again"))
    assert world.state.ticks[NIFTY] == clocks[NIFTY]
    assert world.state.counts.late == 3
    assert world.state.link.generation == old + 1


def test_a_tick_from_the_future_counts_as_of_now() -> None:
    world = World().begin().run(10)
    tick = Tick(NIFTY, 26000.0, 10**12)
    world.state, _ = step(world.state, ev.TickReceived(1, tick, 99.0), 10.0, world.policy)
    assert world.state.last_tick_at == 10.0


def test_to_start_again_replaces_the_connection() -> None:
    state = initial((NIFTY,), Policy(), generation=7)
    state, first = start(state, 0.0)
    assert first == (act.Connect(8, "start of the feed"),)
    state, again = start(state, 1.0, "asked for by a person")
    assert [type(a) for a in again] == [act.CloseStream, act.Connect]
    assert state.link.generation == 9


def test_to_stop_on_rest_stops_all_and_claims_no_recovery() -> None:
    world = World().begin().run(30)
    world.stream = "mute"
    world.run(200)
    state, actions = stop(world.state, world.now)
    assert [type(a) for a in actions] == [act.StopPolling, act.Announce, act.CloseStream]
    assert state.mode is Mode.OFF
    assert actions[1].transition.recovered is False  # type: ignore[union-attr]
    assert state.link == Link(generation=state.link.generation, rungs=state.link.rungs)
    state, actions = stop(state, world.now)
    assert actions == ()
    later, _ = step(state, ev.Closed(state.link.generation, "late"), world.now, world.policy)
    assert later.counts.late == state.counts.late + 1


def test_five_quiet_minutes_forgive_a_broken_probation() -> None:
    world = World().begin().run(30)
    world.stream = "mute"
    world.run(130)
    for expected in (60, 120, 240):
        world.stream = "ticks"
        while world.mode is not Mode.PROBATION:
            world.run(1)
        world.stream = "mute"
        world.run(10)
        assert world.state.hold == expected
    world.run(300)
    world.stream = "ticks"
    while world.mode is not Mode.PROBATION:
        world.run(1)
    assert world.state.hold == 30


def test_the_hold_never_grows_over_its_limit() -> None:
    world = World(policy=Policy(probation=400)).begin().run(30)
    world.stream = "mute"
    world.run(130)
    world.stream = "ticks"
    while world.mode is not Mode.PROBATION:
        world.run(1)
    world.stream = "mute"
    world.run(10)
    assert world.state.hold == 600


def test_a_tick_after_a_gap_breaks_the_probation_before_it_counts() -> None:
    world = World().begin().run(30)
    world.stream = "mute"
    world.run(130)
    world.stream = "ticks"
    while world.mode is not Mode.PROBATION:
        world.run(1)
    world.now += 6  # evaluations are late: the tick comes first
    world.tick(26123.0, 10**12)
    assert world.mode is Mode.FALLBACK
    assert world.state.run is not None
    assert world.state.run.moves == 0


def test_a_poll_without_a_usable_quote_is_a_failure_and_says_why() -> None:
    world = World((NIFTY, OPTION)).begin().run(30)
    world.stream, world.rest = "mute", "dead"
    world.run(120)
    world.tell(ev.BrokerChecked(True, "quote ok", world.now))
    bad = ev.Polled((quote(NIFTY, 0.0),), world.now, ((OPTION, "Symbol not found"),))
    for _ in range(3):
        world.tell(bad)
    assert world.mode is Mode.BLIND
    assert "ltp is 0" in world.last().reason
    assert view(world.state, world.now).instruments[1].rest_fault == "Symbol not found"
    world.tell(ev.Polled((), world.now))
    assert world.state.rest.fault == Fault("no usable quote: not in the answer")


def test_an_option_that_moves_does_not_bring_rest_its_trust_back() -> None:
    world = World((NIFTY, OPTION)).begin().run(30)
    world.stream, world.rest = "mute", "down"
    world.run(140)
    assert world.mode is Mode.BLIND
    world.rest = "dead"
    for i in range(6):
        world.now += 1
        world.tell(ev.Polled((quote(NIFTY, 26000.0), quote(OPTION, 100.0 + i)), world.now))
    assert world.mode is Mode.BLIND
    world.tell(ev.Polled((quote(NIFTY, 26000.5), quote(OPTION, 100.0)), world.now))
    assert world.mode is Mode.BLIND  # one move
    world.tell(ev.PollFailed("time-out", world.now))  # and a failure takes it back
    world.tell(ev.Polled((quote(NIFTY, 26001.0),), world.now))
    assert world.mode is Mode.BLIND
    world.tell(ev.Polled((quote(NIFTY, 26001.5),), world.now))
    assert world.mode is Mode.FALLBACK


def test_a_single_move_of_a_frozen_price_is_forgotten_when_it_freezes_again() -> None:
    world = World().begin().run(30)
    world.stream, world.rest = "mute", "frozen"
    world.run(150)
    assert world.mode is Mode.BLIND
    for price in (26010.0, 26020.0):
        world._frozen = price
        world.run(30)
    assert world.route()[-1] is Mode.BLIND
    assert world.route().count(Mode.BLIND) == 1


def test_an_answer_to_an_older_question_is_ignored() -> None:
    world = World().begin().run(30)
    world.stream, world.rest = "mute", "dead"
    world.run(121)
    assert world.of(act.VerifyBroker)
    world.tell(ev.BrokerChecked(True, "late", world.now - 60))
    assert world.mode is Mode.SUSPECT


def test_a_failure_before_a_pause_and_one_after_it_are_not_a_series() -> None:
    world = World().begin().run(30)
    world.stream = "mute"
    world.run(130)
    world.rest = "dead"
    world.tell(ev.PollFailed("time-out", world.now))
    world.sleep(60)
    world.tell(ev.PollFailed("time-out", world.now))
    assert world.mode is Mode.FALLBACK


def test_a_price_that_rested_before_a_pause_gets_its_time_again() -> None:
    world = World().begin().run(30)
    world.stream, world.rest = "mute", "frozen"
    world.run(132)
    assert world.mode is Mode.FALLBACK
    world.sleep(60).run(12)
    assert world.mode is Mode.FALLBACK
    world.run(8)
    assert world.mode is Mode.BLIND


@pytest.mark.parametrize(("used", "asked"), [(5, 1), (6, 0)])
def test_the_last_attempt_is_kept_for_the_moment_rest_comes_back(used: int, asked: int) -> None:
    world = World().begin().run(30)
    world.stream, world.rest = "mute", "down"
    world.run(200)
    spent = tuple(world.now - 100 + i for i in range(used))
    world.state = replace(world.state, link=replace(world.state.link, rungs=spent, due=0.0))
    world.run(20)
    before = len(world.of(act.Resubscribe))
    world.rest = "ok"
    while world.mode is not Mode.FALLBACK:
        world.run(1)
    world.run(2)
    assert len(world.of(act.Resubscribe)) - before == asked


def test_five_moves_in_one_second_do_not_end_a_suspicion() -> None:
    world = World().begin().run(30)
    world.stream = "mute"
    world.run(70)
    for i in range(9):
        world.tick(26000.0 + i, 10**12 + i)
    assert world.mode is Mode.SUSPECT


def test_a_list_of_options_trusts_rest_again_after_two_good_polls() -> None:
    world = World((OPTION,)).begin().run(30)
    world.stream, world.rest = "mute", "down"
    world.run(140)
    assert world.mode is Mode.BLIND
    world.rest = "dead"
    for expected in (Mode.BLIND, Mode.FALLBACK):
        world.tell(ev.Polled((quote(OPTION, 100.0),), world.now))
        assert world.mode is expected


def test_two_slow_failures_are_enough() -> None:
    world = World().begin().run(30)
    world.stream = "mute"
    world.run(130)
    world.rest = "dead"
    world.tell(ev.PollFailed("time-out", world.now))
    world.now += 5
    world.tell(ev.PollFailed("time-out", world.now))
    assert world.mode is Mode.BLIND


def test_a_price_that_stood_still_in_an_earlier_outage_is_no_evidence_in_this_one() -> None:
    world = World().begin().run(30)
    world.policy = replace(world.policy, poll_every=20, slow_poll_every=20)
    for _ in range(2):
        world.stream, world.rest = "mute", "frozen"
        while world.mode is not Mode.FALLBACK:
            world.run(1)
        zero = world.now
        while world.mode is not Mode.BLIND:
            world.run(1)
        assert world.now - zero > 35  # two looks without a change, of this outage
        world.stream = "ticks"
        while world.mode is not Mode.LIVE:
            world.run(1)


def test_one_unchanged_look_at_a_stretched_interval_is_not_a_frozen_price() -> None:
    world = World(policy=replace(GUIDE, poll_every=20)).begin().run(30)
    world.stream, world.rest = "mute", "dead"
    world.run(120)
    world.tell(ev.BrokerChecked(True, "quote ok", world.now))
    for price in (26000.0, 26001.0, 26001.0, 26002.0, 26002.0):
        world.run(20)
        world.tell(ev.Polled((quote(NIFTY, price),), world.now))
        assert world.mode is Mode.FALLBACK
    world.run(20)
    world.tell(ev.Polled((quote(NIFTY, 26002.0),), world.now))
    assert world.mode is Mode.BLIND


def test_quotes_that_nobody_polled_for_are_shown_and_judge_nothing() -> None:
    world = World().begin().run(5)
    for _ in range(9):
        world.tell(ev.Polled((quote(NIFTY, 26000.0),), world.now))
        world.tell(ev.PollFailed("time-out", world.now))
    assert world.mode is Mode.LIVE
    assert view(world.state, world.now).instruments[0].rest_ltp == 26000.0


def test_an_answer_about_one_symbol_leaves_the_refusals_of_others_alone() -> None:
    world = World(watched=(NIFTY, SBIN, OPTION)).begin().run(5)
    generation = world.state.link.generation
    world.tell(ev.Subscribed(generation, (NIFTY, OPTION), ((SBIN, "not found"),)))
    world.tell(ev.Subscribed(generation, (), ((OPTION, "not found"),)))
    assert world.state.link.refused == (SBIN, OPTION)
    world.tell(ev.Subscribed(generation, (NIFTY, SBIN, OPTION)))
    assert world.state.link.refused == ()


def test_a_refused_subscription_is_told_and_points_to_the_login() -> None:
    world = World(login=0).begin().run(70)
    assert world.mode is Mode.SUSPECT
    assert any("Broker adapter not found" in text for text in world.notes())
    assert world.last().hint == LOG_IN


@pytest.mark.parametrize(
    ("link", "rest", "hint"),
    [
        (Link(LinkState.UP), Rest(), MUTE),
        (Link(LinkState.DOWN, fault=Fault("connection refused", refused=True)), Rest(), RESTART),
        (Link(LinkState.DOWN, fault=Fault("going away (code 1001)")), Rest(), RESTART),
        (Link(LinkState.DOWN, fault=Fault("AUTHENTICATION_ERROR: Invalid API key")), Rest(), CHECK_KEY),
        (Link(LinkState.DOWN, fault=Fault("BROKER_ERROR: No broker configuration found for user")), Rest(), LOG_IN),
        (Link(LinkState.DOWN), Rest(), MUTE),
        (Link(LinkState.UP), Rest(polling=True, fault=Fault("403 Forbidden")), LOG_IN),
        (Link(LinkState.UP), Rest(polling=True, fault=Fault("502 Bad Gateway")), SERVER_DOWN),
        (Link(LinkState.UP), Rest(polling=True, fault=Fault("anything", hint="do this")), "do this"),
        (Link(LinkState.UP), Rest(polling=True, trusted=True), MUTE),
    ],
)
def test_the_advice_follows_the_surest_finding(link: Link, rest: Rest, hint: str) -> None:
    state = replace(initial((NIFTY,), Policy()), link=link, rest=rest)
    assert advise(state) == hint


def test_a_healthy_reconnection_under_a_live_feed_starts_no_ladder() -> None:
    world = World().begin().run(700)
    world.drop("", None)
    world.run(60)
    assert world.mode is Mode.LIVE
    assert len(world.of(act.Connect)) == 2
    assert world.state.link.attempts == 0
    assert world.state.counts.reconnects == 1


def test_ticks_that_have_just_returned_are_not_disturbed_by_the_ladder() -> None:
    world = World().begin().run(700)
    world.stream = "mute"
    world.run(74)
    world.stream = "ticks"
    world.run(10)
    assert world.of(act.CloseStream) == []
    assert world.mode is Mode.LIVE


def test_on_the_reopen_rung_it_stays_away_until_the_bot_has_had_time_to_reconnect_alone() -> None:
    world = World(policy=Policy()).begin().run(700)
    world.stream = "mute"
    world.run(110)
    [closed], [_, opened] = world.times(act.CloseStream), world.times(act.Connect)
    assert closed - 700 < 35  # before a bot that waits the guide's minute
    assert opened - closed == Policy().stay_away >= 60


def test_a_feed_of_one_index_is_gone_before_a_bot_that_waits_half_a_minute() -> None:
    """It is suspected later than a busy one, and makes up for it on the last rung before it leaves."""
    world = World(policy=Policy()).begin().run(700)
    world.stream = "mute"
    world.run(40)
    [closed] = world.times(act.CloseStream)
    assert 25 < closed - 700 < 30


def test_an_instrument_that_comes_and_goes_leaves_the_attempts_on_the_socket_to_the_feed() -> None:
    world = World((NIFTY, FUTURE), policy=Policy()).begin().run(300)
    for _ in range(7):
        world.dead = frozenset({FUTURE})
        world.run(60)
        world.dead = frozenset()
        world.run(20)
    told = [turned.over for turned in world.of(act.SymbolTurned)]
    assert told == [False, True] * 7, "each is told"
    asked = world.times(act.Resubscribe)
    assert 1 <= len(asked) <= 2, "but not each is worth an attempt"
    zero, world.stream = world.now, "mute"
    world.run(40)
    [closed] = [t for t in world.times(act.CloseStream) if t > zero]
    assert closed - zero < 30


def test_a_connection_that_is_as_mute_after_an_absence_is_given_up_soon_for_bots_that_wait_longer() -> None:
    world = World(policy=Policy()).begin().run(700)
    world.stream = "mute"
    world.run(290)
    _, second = world.times(act.CloseStream)
    [_, opened, again] = world.times(act.Connect)
    assert second - opened <= Policy().look_again + 2
    assert again - second == 2 * Policy().stay_away
    assert len(world.of(act.Resubscribe)) == 2, "a connection that has just subscribed is not asked to do so again"


def test_where_rest_has_no_price_either_the_mute_connection_is_kept() -> None:
    world = World(policy=Policy()).begin().run(700)
    world.stream, world.rest = "mute", "down"
    world.run(260)
    assert world.mode is Mode.BLIND
    assert len(world.of(act.CloseStream)) == 1
    assert world.state.link.state is LinkState.UP


def test_being_away_by_our_own_hand_is_no_lost_socket() -> None:
    world = World(policy=replace(GUIDE, resubscribe_patience=5.0, stay_away=75.0)).begin().run(700)
    world.stream = "mute"
    world.run(115)
    assert world.times(act.CloseStream) == [775.0]
    assert world.mode is Mode.SUSPECT  # the guide's 120 s are not cut short by it


def test_no_tick_is_promised_by_a_known_halt_or_by_a_market_that_rests() -> None:
    world = World().begin().run(60)
    for more in ({"expects_ticks": False}, {"quiet": frozenset({NIFTY})}):
        state, actions = evaluate(world.state, world.now + 1, LIVE, world.policy, **more)
        assert state.mode is Mode.OFF
        [told] = [a.transition for a in actions if isinstance(a, act.Announce)]
        assert told.reason == "no ticks are promised now (continuous)"
        assert told.outage == 0


def test_before_the_first_evaluation_nothing_is_judged() -> None:
    state: State = initial((NIFTY, NIFTY), Policy())
    assert state.watched == (NIFTY,)
    state, _ = start(state, 0.0)
    state, actions = step(state, ev.TickReceived(1, Tick(NIFTY, 26000.0, 1), 1.0), 1.0, Policy())
    assert actions == ()
    assert state.mode is Mode.OFF
    assert source(state) is None
    assert state.longest_gap == 0


def test_a_policy_whose_limits_are_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="must be longer than warn_after"):
        Policy(warn_after=60, fallback_after=60)


def test_two_desks_with_different_seeds_do_not_knock_at_the_same_time() -> None:
    seen = set()
    for seed in range(8):
        world = World(policy=Policy(seed=seed)).begin().run(700)
        world.port = "refused"
        world.drop()
        world.run(40)
        seen.add(tuple(world.times(act.Connect)[2:4]))
    assert len(seen) >= 4


def test_the_source_of_a_live_feed_is_the_websocket() -> None:
    assert source(World().begin().run(5).state) is Source.WEBSOCKET
