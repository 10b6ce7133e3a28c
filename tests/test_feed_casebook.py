"""The first broken hop is named, whatever breaks; `make soak` asks it of more than a thousand faults."""

from __future__ import annotations

import pytest

from runbook.feed import actions as act
from runbook.feed import advice
from runbook.feed.grade import grade
from runbook.feed.judging import NOTHING, judge
from runbook.feed.policy import Policy
from runbook.feed.table import Mode
from runbook.feed.verdict import Health, Hop
from runbook.session import PhaseName
from tests.casebook import FAULTS, Case, Fault, told
from tests.feed_world import FUTURE, NIFTY, OPTION, World


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_hop_that_is_named_is_the_one_that_broke(fault: Fault) -> None:
    assert [told(fault, seed) for seed in range(4)] == [fault.hop] * 4


def _after(seconds: float, **switches: object) -> Case:
    world = Case((NIFTY, FUTURE), Policy()).begin().run(120)
    assert isinstance(world, Case)
    for name, value in switches.items():
        setattr(world, name, value)
    world.run(seconds)
    return world


def test_the_incident_of_the_guide_names_the_brokers_ticks_with_the_evidence_for_all_hops_before() -> None:
    world = _after(12, stream="mute")
    verdict = judge(world.state, world.now, world.policy)
    assert [rung.health for rung in verdict.rungs[:3]] == [Health.OK] * 3
    broken = verdict.first_broken
    assert broken is not None
    assert broken.hop is Hop.BROKER_STREAM
    assert "no tick for 12s while NIFTY" in broken.evidence
    assert "over REST" in broken.evidence
    assert broken.action == advice.MUTE
    assert [verdict.of(hop).health for hop in (Hop.BROKER_REST, Hop.EXCHANGE)] == [Health.OK, Health.OK]
    assert verdict.of(Hop.BOT).health is Health.UNKNOWN


def test_a_dead_token_says_log_in() -> None:
    world = _after(1, stream="mute", rest="down")
    world.refusal = "Error from broker: 403 Invalid token"
    world.run(40)
    broken = judge(world.state, world.now, world.policy).first_broken
    assert broken is not None
    assert (broken.hop, broken.action) == (Hop.BROKER_STREAM, advice.LOG_IN)
    assert "403 Invalid token" in broken.evidence


def test_a_refused_stream_server_beside_a_living_rest_says_restart_the_unit() -> None:
    world = _after(0)
    world.port = "refused"
    world.drop()
    world.run(40)
    broken = judge(world.state, world.now, world.policy).first_broken
    assert broken is not None
    assert (broken.hop, broken.action) == (Hop.PROXY, advice.RESTART)


def test_a_silent_exchange_says_nothing_to_do_once_its_candles_bear_it_out() -> None:
    world = _after(0)
    world.market, world.halted = "still", world.now
    world.run(40)
    early = judge(world.state, world.now, world.policy)
    assert early.first_broken is None
    assert early.of(Hop.EXCHANGE).health is Health.UNKNOWN
    world.run(60)
    broken = judge(world.state, world.now, world.policy).first_broken
    assert broken is not None
    assert (broken.hop, broken.action) == (Hop.EXCHANGE, NOTHING)


def test_what_lies_behind_a_closed_door_is_unknown() -> None:
    world = _after(0)
    world.port = "refused"
    world.drop()
    world.run(40)
    verdict = judge(world.state, world.now, world.policy)
    assert verdict.of(Hop.ADAPTER).health is Health.UNKNOWN
    assert verdict.of(Hop.BROKER_STREAM).health is Health.UNKNOWN


def test_while_runbook_is_away_on_purpose_the_stream_server_is_not_blamed() -> None:
    world = _after(60, stream="mute")
    assert world.state.link.away
    verdict = judge(world.state, world.now, world.policy)
    assert verdict.of(Hop.PROXY).health is Health.OK
    assert "closed by runbook" in verdict.of(Hop.PROXY).evidence
    assert verdict.first_broken is verdict.of(Hop.BROKER_STREAM)


def test_a_reconnect_that_did_not_help_says_who_keeps_the_dead_link_alive() -> None:
    world = _after(170, stream="mute")
    broken = judge(world.state, world.now, world.policy).first_broken
    assert broken is not None
    assert broken.action == advice.MUTE + advice.HELD


def test_before_the_open_and_after_the_close_nothing_is_due_and_nothing_is_broken() -> None:
    world = _after(0)
    world.phase = PhaseName.POST_CLOSE
    world.run(5)
    verdict = judge(world.state, world.now, world.policy)
    assert verdict.healthy
    assert verdict.of(Hop.BROKER_STREAM).health is Health.NOT_DUE


# -- how well a REST price is founded ---------------------------------------------------------------------------------


def grades(world: Case) -> dict[str, str]:
    return {i.symbol: str(grade(world.state, i, world.now, world.policy)) for i in world.watched}


def test_a_price_that_moves_is_b_and_becomes_a_when_a_fresh_candle_bears_it_out() -> None:
    world = _after(0)
    world.candle = None
    world.stream = "mute"
    world.run(20)
    assert world.mode is Mode.FALLBACK
    assert grades(world) == {"NIFTY": "B", "NIFTY24NOV26FUT": "B"}
    world.candle = 25.0
    world.run(60)
    assert grades(world) == {"NIFTY": "A", "NIFTY24NOV26FUT": "A"}


def test_quotes_that_move_are_not_believed_once_the_candles_have_stopped() -> None:
    world = _after(200)
    world.stream, world.candle = "mute", 400.0
    world.run(75)
    assert world.mode is Mode.BLIND
    assert "1-minute candle began 400 s ago" in world.last().reason
    assert set(grades(world).values()) == {"D"}
    world.run(200)
    assert [m for m in world.route() if m is Mode.BLIND] == [Mode.BLIND], "moving quotes alone do not bring it back"
    world.candle = 30.0
    world.run(70)
    assert world.mode is Mode.FALLBACK


def test_a_broker_whose_candles_always_lag_is_not_held_against_them() -> None:
    world = Case((NIFTY, FUTURE), Policy(), candle=900.0).begin().run(400)
    world.stream = "mute"
    world.run(120)
    assert world.mode is Mode.FALLBACK


def test_six_seconds_in_which_runbook_was_stopped_are_not_held_against_the_feed() -> None:
    world = _after(30)
    before = len(world.moves)
    world.sleep(6).run(10)
    assert world.moves[before:] == []
    assert world.state.counts.pauses == 1


# -- one instrument among others --------------------------------------------------------------------------------------


def turned(world: World) -> list[tuple[str, bool]]:
    return [(t.instrument.symbol, t.over) for t in world.of(act.SymbolTurned)]


def test_one_dead_symbol_is_told_once_and_again_when_it_ticks() -> None:
    world = _after(0)
    world.dead = frozenset({FUTURE})
    world.run(120)
    assert world.mode is Mode.LIVE
    assert turned(world) == [(FUTURE.symbol, False)]
    assert [again.authenticate for again in world.of(act.Resubscribe)] == [False], "nobody's subscription is touched"
    world.dead = frozenset()
    world.run(5)
    assert turned(world) == [(FUTURE.symbol, False), (FUTURE.symbol, True)]
    assert world.state.late == {}


def test_a_symbol_that_rests_over_rest_as_well_is_nobodys_alarm() -> None:
    world = _after(0)
    world.dead, world.resting = frozenset({FUTURE}), frozenset({FUTURE})
    world.run(300)
    assert turned(world) == []


def test_a_dead_symbol_of_a_session_that_ends_is_never_called_back() -> None:
    world = _after(0)
    world.dead = frozenset({FUTURE})
    world.run(120)
    world.phase = PhaseName.POST_CLOSE
    world.run(2)
    assert turned(world) == [(FUTURE.symbol, False)]
    assert world.state.late == {}


def test_a_rarely_traded_symbol_is_never_called_late() -> None:
    world = Case((NIFTY, OPTION), Policy(), rare=frozenset({OPTION})).begin().run(900)
    world.dead = frozenset({OPTION})
    world.run(300)
    assert turned(world) == []
