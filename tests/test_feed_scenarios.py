"""Days of the feed, told with plain floats."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise

import pytest

from runbook.feed import actions as act
from runbook.feed import events as ev
from runbook.feed.actions import Transition
from runbook.feed.machine import evaluate
from runbook.feed.policy import Policy
from runbook.feed.state import LinkState, source
from runbook.feed.table import Cause, Mode
from runbook.feed.view import view
from runbook.market import Source
from runbook.session import PhaseName
from tests.feed_world import FUTURE, GUIDE, LIVE, NIFTY, OPTION, SBIN, World, quote

SWITCH = {Mode.LIVE, Mode.FALLBACK, Mode.BLIND}


def on_air(**more: object) -> World:
    """A feed that has been live for over ten minutes: the attempt of its start is forgotten."""
    world = World(**more).begin().run(700)  # type: ignore[arg-type]
    assert world.mode is Mode.LIVE
    world.log.clear()
    world.moves.clear()
    world.printed.clear()
    return world


def outages(world: World) -> list[Transition]:
    return [a.transition for a in world.of(act.Announce)]


def test_the_guides_incident_runs_by_the_guides_clock() -> None:
    world = on_air()
    world.stream, zero = "mute", world.now  # the last tick came half a second ago
    world.run(118)
    assert world.times(act.Note) == [zero + 60]
    assert world.notes() == ["No ticks for 60s"]
    assert world.of(act.VerifyBroker) == []
    world.run(6)
    assert world.times(act.VerifyBroker) == [zero + 120]
    assert world.notes()[1:] == [
        "No ticks for 120s; asking the broker over REST",
        "Broker connection verified via REST API: quote ok",
    ]
    assert world.of(act.StartPolling) == [act.StartPolling(1.5)]
    assert world.mode is Mode.FALLBACK
    assert source(world.state) is Source.REST_POLLING
    said = [text for t, text in world.printed if t >= zero + 60]
    assert said[0] == "NIFTY: no price [SUSPECT]"
    assert said[-1].startswith("NIFTY: 26")
    assert said[-1].endswith(" [REST_POLLING]")
    told = world.last()
    assert (told.before, told.after, told.outage, told.recovered) == (Mode.SUSPECT, Mode.FALLBACK, 1, False)
    assert told.hint.index("log in") < told.hint.index("streaming") < told.hint.index("restart")
    assert told.evidence["silence"] == pytest.approx(121, abs=1)
    world.stream = "ticks"
    world.run(300)
    assert world.route()[-2:] == [Mode.PROBATION, Mode.LIVE]
    assert world.last().recovered
    assert world.last().outage == 1
    assert world.of(act.StopPolling) == [act.StopPolling()]
    assert world.lines()[-1].endswith("[WEBSOCKET]")


def test_one_line_per_half_minute_while_nothing_changes() -> None:
    world = on_air().run(300)
    assert len(world.lines()) == 10
    assert all(text.endswith(" [WEBSOCKET]") for text in world.lines())


@pytest.mark.parametrize("ltt", [True, False])
def test_one_snapshot_every_110_seconds_never_recovers(ltt: bool) -> None:
    world = on_air(ltt=ltt)
    world.stream = "mute"
    for i in range(40):
        world.run(110)
        # a broker that dates its ticks repeats an old one; one that does not may even send another price
        world.tick(26039.7 if ltt else 26039.7 + i, 1 if ltt else None)
    assert Mode.LIVE not in world.route()
    assert Mode.PROBATION not in world.route()
    assert world.mode is Mode.FALLBACK
    assert world.state.hold == world.policy.probation


def test_a_snapshot_per_subscription_does_not_make_a_feed() -> None:
    world = World((NIFTY, FUTURE, OPTION), stream="snapshot").begin().run(900)
    assert Mode.LIVE not in world.route()
    assert world.mode is Mode.FALLBACK


def test_a_socket_that_flaps_every_75_seconds_switches_few_times_in_half_an_hour() -> None:
    world = on_air()
    for _ in range(24):
        world.port = "refused"
        world.drop()
        world.run(30)
        world.port = "up"
        world.run(45)
    # A probation that breaks never left REST: only a change between LIVE, REST and BLIND is a switch.
    switches = [mode for mode, _ in groupby(after for after in world.route() if after in SWITCH)]
    assert len(switches) <= 8, switches
    assert world.state.seconds.blind == 0


def test_a_stream_that_flaps_under_an_open_socket_stays_live_by_the_guides_figures() -> None:
    world = on_air()
    for _ in range(24):
        world.stream = "mute"
        world.run(30)
        world.stream = "ticks"
        world.run(45)
    assert world.route() == []


def test_a_link_that_fails_again_after_each_return_must_hold_longer_each_time() -> None:
    world = on_air()
    holds = []
    for _ in range(4):
        world.stream = "mute"
        while world.mode is not Mode.FALLBACK:
            world.run(1)
        holds.append(world.state.hold)
        world.stream = "ticks"
        while world.mode is not Mode.LIVE:
            world.run(1)
    assert holds == [30, 60, 120, 240]


def test_a_failure_long_after_the_return_is_a_new_story() -> None:
    world = on_air()
    for _ in range(2):
        world.stream = "mute"
        world.run(150)
        assert world.state.hold == 30
        world.stream = "ticks"
        world.run(900)
        assert world.mode is Mode.LIVE
    assert [t.outage for t in outages(world) if t.recovered] == [1, 2]


def test_a_new_login_under_the_open_socket_is_cured_by_subscribing_again() -> None:
    world = on_air()
    world.login += 1  # the old socket stays open and hears nothing any more
    world.run(75)
    assert world.route() == [Mode.SUSPECT, Mode.LIVE]
    # refused at the first try, which proves that the adapter is gone; authenticated at once, which brings it back
    assert [again.authenticate for again in world.of(act.Resubscribe)] == [False, True]
    assert world.times(act.Resubscribe)[1] - world.times(act.Resubscribe)[0] <= 1
    assert world.of(act.Connect) == []
    assert world.of(act.VerifyBroker) == []


def test_a_revoked_session_is_blind_until_the_login_and_then_heals_without_waiting() -> None:
    world = on_air()
    world.login, world.rest = 0, "down"
    world.run(1200)
    assert world.mode is Mode.BLIND
    assert world.state.outage == 1
    world.login, world.rest = 2, "ok"
    before, asked = world.now, len(world.of(act.Resubscribe))
    while world.mode is not Mode.FALLBACK:
        world.run(1)
    world.run(1)
    assert len(world.of(act.Resubscribe)) == asked + 1  # the attempt that was kept for this
    while world.mode is not Mode.LIVE:
        world.run(1)
    assert world.now - before <= 30 + 30 + 20  # the longest poll, the hold, the first ticks
    assert world.route()[-3:] == [Mode.FALLBACK, Mode.PROBATION, Mode.LIVE]


def test_a_refused_port_falls_back_after_15_seconds_and_names_the_unit() -> None:
    world = on_air()
    world.port = "refused"
    world.drop()
    world.run(18)
    assert world.mode is Mode.FALLBACK
    assert "restart the openalgo unit" in world.last().hint
    assert len(world.of(act.Connect)) >= 2  # both tries were made before REST was asked
    suspect = outages(world)[0]
    assert suspect.cause is Cause.CLOSED
    assert "gone for 15 s" in suspect.reason


def test_a_quick_restart_of_the_server_costs_no_fallback() -> None:
    world = on_air()
    world.port = "refused"
    world.drop()
    world.run(2)
    world.port = "up"
    world.run(30)
    assert world.route() == []
    assert world.mode is Mode.LIVE


def test_a_server_that_hangs_is_left_after_15_seconds_and_given_up_after_20() -> None:
    world = on_air()
    world.port = "hanging"
    world.drop()
    world.run(40)
    assert world.mode is Mode.FALLBACK
    assert world.of(act.CloseStream) == [act.CloseStream("no answer within 20 s")]


def test_a_first_connection_that_is_dead_arms_the_watchdog_all_the_same() -> None:
    world = World(port="hanging", phase=PhaseName.PRE_OPEN).begin().run(900)
    assert world.mode is Mode.OFF
    world.phase = LIVE
    world.run(18)
    assert world.route() == [Mode.ARMED, Mode.SUSPECT, Mode.FALLBACK]


def test_a_subscription_without_a_first_tick_is_doubted_after_a_minute() -> None:
    world = World(stream="mute").begin().run(59)
    assert world.mode is Mode.ARMED
    world.run(65)
    assert world.route() == [Mode.ARMED, Mode.SUSPECT, Mode.FALLBACK]


@pytest.mark.parametrize("phase", [p for p in PhaseName if not p.trading])
def test_silence_outside_the_phases_of_trading_raises_nothing(phase: PhaseName) -> None:
    world = World(phase=phase, stream="mute").begin().run(1800)
    world.drop()
    world.run(1800)
    assert world.route() == []
    assert [type(a) for _, a in world.log] == [act.Connect]
    assert world.lines() == ["NIFTY: no price [OFF]"]
    assert world.state.seconds.expected == 0


def test_a_morning_from_pre_open_to_the_first_ticks_is_quiet() -> None:
    world = World(phase=PhaseName.PRE_OPEN, stream="snapshot").begin().run(900)
    world.phase, world.stream = LIVE, "ticks"
    world.run(60)
    assert world.route() == [Mode.ARMED, Mode.LIVE]
    assert world.notes() == []


@pytest.mark.parametrize("phase", [PhaseName.CASH_AUCTION, PhaseName.TAIL])
def test_derivatives_that_trade_alone_are_watched_on(phase: PhaseName) -> None:
    world = on_air()
    world.phase = phase
    world.run(60)
    assert world.mode is Mode.LIVE
    world.stream = "mute"
    world.run(200)
    assert world.mode is Mode.FALLBACK


@pytest.mark.parametrize("phase", [PhaseName.CLOSING_AUCTION, PhaseName.BREAK])
def test_the_end_of_the_phase_on_rest_stops_polling_and_claims_no_recovery(phase: PhaseName) -> None:
    world = on_air()
    world.stream = "mute"
    world.run(200)
    world.phase = phase
    world.run(600)
    told = world.last()
    assert (told.before, told.after, told.recovered) == (Mode.FALLBACK, Mode.OFF, False)
    assert told.reason.endswith("the outage was not over")
    assert told.reason.startswith("session ended" if phase is not PhaseName.BREAK else "no ticks are promised")
    assert told.outage == 1
    assert world.state.outage == 0
    assert len(world.of(act.StopPolling)) == 1
    assert world.state.longest_gap > 190
    world.phase, world.stream = LIVE, "ticks"
    world.run(120)
    assert world.mode in (Mode.LIVE, Mode.SUSPECT)


def test_frozen_prices_over_rest_make_it_blind_and_two_moves_end_that() -> None:
    world = on_air()
    world.stream, world.rest = "mute", "frozen"
    world.run(121)
    assert world.mode is Mode.FALLBACK
    world.run(14)
    assert world.mode is Mode.FALLBACK
    world.run(4)
    assert world.mode is Mode.BLIND
    assert world.last().cause is Cause.REST_FROZEN
    assert "exchange has halted" in world.last().hint
    assert world.lines()[-1] == "NIFTY: no price [BLIND]"
    world.rest = "ok"
    world.run(4)
    assert world.mode is Mode.FALLBACK
    assert world.last().cause is Cause.REST_BACK


def test_one_moving_canary_proves_the_market_alive() -> None:
    world = on_air(watched=(NIFTY, FUTURE))
    world.stream, world.rest = "mute", "dead"
    world.run(119)
    world.tell(ev.BrokerChecked(True, "late", 0.0))  # answers no question of this outage
    world.run(1)
    world.tell(ev.BrokerChecked(True, "quote ok", world.now))
    for i in range(40):
        world.run(1)
        world.tell(ev.Polled((quote(NIFTY, 26000.0), quote(FUTURE, 26100.0, volume=i)), world.now))
    assert world.mode is Mode.FALLBACK
    for _ in range(11):
        world.run(1)
        world.tell(ev.Polled((quote(NIFTY, 26000.0), quote(FUTURE, 26100.0, volume=39)), world.now))
    assert world.mode is Mode.BLIND


@pytest.mark.parametrize("watched", [(OPTION,), (SBIN, OPTION)])
def test_a_list_without_index_and_future_is_never_blind_because_prices_rest(watched: tuple) -> None:
    world = on_air(watched=watched)
    world.stream, world.rest = "mute", "frozen"
    world.run(3600)
    assert Mode.BLIND not in world.route()
    assert world.mode is Mode.FALLBACK


def test_a_quiet_index_is_not_judged_while_its_own_market_is_shut() -> None:
    world = on_air(watched=(NIFTY, OPTION))
    world.stream = "mute"
    world.run(125)
    for _ in range(60):
        world.now += 1
        world._take(evaluate(world.state, world.now, LIVE, world.policy, quiet=frozenset({NIFTY})))
        world.tell(ev.Polled((quote(NIFTY, 26000.0), quote(OPTION, 120.0)), world.now))
    assert world.mode is Mode.FALLBACK


@pytest.mark.parametrize(("rest", "seconds"), [("down", 6), ("dead", 20)])
def test_rest_that_fails_or_says_nothing_on_fallback_is_blind(rest: str, seconds: float) -> None:
    world = on_air()
    world.stream = "mute"
    world.run(130)
    world.rest = rest
    world.run(seconds)
    assert world.mode is Mode.BLIND
    assert world.last().cause is Cause.REST_FAILED
    world.rest = "ok"
    world.run(40)
    assert world.mode is Mode.FALLBACK


@pytest.mark.parametrize("rest", ["down", "dead"])
def test_a_broker_that_cannot_be_verified_is_blind_and_keeps_being_asked(rest: str) -> None:
    world = on_air()
    world.stream, world.rest = "mute", rest
    world.run(140)
    assert world.mode is Mode.BLIND
    assert world.last().cause is Cause.UNVERIFIED
    assert world.of(act.StartPolling)
    assert source(world.state) is None


def test_a_failing_rest_is_asked_less_and_less_and_quickly_again_once_it_answers() -> None:
    world = on_air()
    world.stream, world.rest = "mute", "down"
    world.run(400)
    assert world.of(act.SetPollInterval)[-1] == act.SetPollInterval(30.0)
    world.rest = "ok"
    world.run(35)
    assert world.of(act.SetPollInterval)[-1].interval <= 5
    assert world.mode is Mode.FALLBACK


def test_rest_slows_down_after_five_minutes_unless_a_bot_lives_on_it() -> None:
    for served, slowed in ((False, [act.SetPollInterval(5.0)]), (True, [])):
        world = on_air(policy=Policy(bot_served=served))
        world.stream = "mute"
        world.run(120 + 330)
        assert world.of(act.SetPollInterval) == slowed


def test_a_spent_budget_stretches_the_poll_and_says_so() -> None:
    world = on_air(policy=Policy(bot_served=True))
    world.stream = "mute"
    world.run(120 + 3600)
    changes = [a.interval for a in world.of(act.SetPollInterval)]
    assert changes[0] == 2.25
    assert len(changes) <= 3  # no flicker at the edge of the budget
    assert any("2000 REST calls an hour" in text for text in world.notes())
    assert world.state.counts.polls <= 2000
    assert world.mode is Mode.FALLBACK


def test_ticks_while_rest_is_dead_are_the_source_during_their_probation() -> None:
    world = on_air()
    world.stream, world.rest = "mute", "down"
    world.run(130)
    assert world.mode is Mode.BLIND
    world.stream = "ticks"
    world.run(20)
    assert world.mode is Mode.PROBATION
    assert source(world.state) is Source.WEBSOCKET
    world.stream = "mute"
    world.run(8)
    assert world.mode is Mode.BLIND
    assert world.last().cause is Cause.BROKEN_BLIND


@pytest.mark.parametrize("lost", [True, False])
def test_a_probation_that_breaks_goes_back_to_rest_and_holds_longer(lost: bool) -> None:
    world = on_air()
    world.stream = "mute"
    world.run(130)
    world.stream = "ticks"
    world.run(20)
    assert world.mode is Mode.PROBATION
    if lost:
        world.drop()
    else:
        world.stream = "mute"
        world.run(7)
    assert world.mode is Mode.FALLBACK
    assert world.last().cause is Cause.BROKEN
    assert world.state.hold == 60


def test_rest_that_dies_during_a_probation_changes_the_source_and_not_the_mode() -> None:
    world = on_air()
    world.stream = "mute"
    world.run(130)
    world.stream = "ticks"
    world.run(10)
    world.rest = "down"
    world.run(10)
    assert world.mode is Mode.PROBATION
    assert source(world.state) is Source.WEBSOCKET
    world.rest = "ok"
    world.run(5)
    assert source(world.state) is Source.REST_POLLING


def test_a_price_that_stops_moving_keeps_the_probation_open() -> None:
    world = on_air(ltt=False)
    world.stream = "mute"
    world.run(130)
    world.stream = "ticks"
    world.run(8)
    assert world.mode is Mode.PROBATION
    world.stream = "mute"
    for _ in range(90):
        world.run(1)
        world.tick(26000.0)
    assert world.mode is Mode.PROBATION
    world.stream = "ticks"
    world.run(5)
    assert world.mode is Mode.LIVE


@pytest.mark.parametrize("first", ["evaluation", "event"])
def test_a_pause_of_runbook_itself_is_not_blamed_on_the_feed(first: str) -> None:
    world = on_air()
    world.sleep(600)
    if first == "event":
        world.tell(ev.Garbage(world.state.link.generation, "woke up"))
    world.run(30)
    assert world.route() == []
    assert [round(a.seconds) for a in world.of(act.Paused)] == [600]
    assert world.state.counts.pauses == 1
    assert world.state.seconds.unwatched == pytest.approx(600, abs=1)


@pytest.mark.parametrize("mode", [Mode.ARMED, Mode.SUSPECT, Mode.FALLBACK, Mode.PROBATION])
def test_a_pause_in_any_mode_rearms_what_was_running(mode: Mode) -> None:
    if mode is Mode.ARMED:
        world = World(stream="mute").begin().run(50)
    else:
        world = on_air()
        world.stream = "mute"
        world.run(100 if mode is Mode.SUSPECT else 130)
        if mode is Mode.PROBATION:
            world.stream = "ticks"
            world.run(10)
    assert world.mode is mode
    world.sleep(3000).run(9)
    assert world.mode is mode
    if mode is Mode.PROBATION:
        world.run(31)
        assert world.mode is Mode.LIVE


def test_a_pause_while_a_connection_is_opening_gives_it_its_time_again() -> None:
    world = World(port="hanging").begin().run(5)
    world.sleep(100).run(10)
    assert world.of(act.CloseStream) == []


def test_a_pause_of_a_feed_that_is_not_started_is_nobodys_business() -> None:
    world = World().run(5).sleep(100).run(5)
    assert world.log == []
    assert world.state.seconds.unwatched == pytest.approx(109, abs=1)


def test_six_attempts_in_ten_minutes_are_the_limit_and_the_limit_is_told_once() -> None:
    world = on_air(policy=Policy(rungs=3))
    world.stream = "mute"
    world.run(600)
    assert len(world.times(act.Resubscribe) + world.times(act.Connect)) == 2  # the third is kept back
    assert sum("did not help" in text for text in world.notes()) == 1


@pytest.mark.parametrize("policy", [GUIDE, Policy(), replace(GUIDE, stay_away=75.0)])
def test_attempts_are_spread_so_that_none_waits_for_ten_minutes(policy: Policy) -> None:
    world = on_air(policy=policy)
    world.stream = "mute"
    world.run(3600)
    tried = sorted(world.times(act.Resubscribe) + world.times(act.Connect))
    waits = [b - a for a, b in pairwise(tried)]
    assert max(waits) <= 330
    assert all(sum(t <= x < t + 600 for x in tried) <= 6 for t in tried)


def test_the_view_adds_up() -> None:
    world = on_air(watched=(NIFTY, FUTURE))
    world.stream = "mute"
    world.run(150)
    seen = view(world.state, world.now)
    assert seen.mode is Mode.FALLBACK
    assert seen.source is Source.REST_POLLING
    assert seen.poll_interval == 1.5
    assert seen.seconds.expected == pytest.approx(850, abs=1)
    assert seen.seconds.websocket == pytest.approx(698, abs=2)
    assert seen.longest_gap == pytest.approx(150, abs=1)
    nifty = seen.instruments[0]
    assert nifty.ws_age == pytest.approx(150, abs=1)
    assert nifty.rest_age is not None
    assert nifty.rest_age < 2
    assert nifty.rest_ltp is not None
    assert seen.calls_left < 400
    empty = view(World().state, 0.0)
    assert empty.instruments[0].ws_ltp is None
    assert empty.poll_interval is None
    assert empty.longest_gap == 0


def test_a_port_that_refuses_for_half_a_minute_is_found_open_within_seconds_however_often() -> None:
    world = on_air()
    for _ in range(4):  # each return is an attempt, and of those there are six in ten minutes
        world.port = "refused"
        world.drop()
        world.run(30)
        world.port = "up"
        world.run(45)
        assert world.state.link.state is LinkState.UP
        last = max(world.times(act.Connect))
        assert world.now - last >= 45 - 8, "it was found open late"
