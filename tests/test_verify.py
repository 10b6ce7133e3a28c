"""The ladder to the broker: rung by rung, each with evidence and a fix; behind a broken one nothing is asked."""

from __future__ import annotations

import pytest

from runbook.budget import Budget
from runbook.errors import (
    BrokerSessionGone,
    BrokerTokenDead,
    GatewayRejected,
    GatewayUnreachable,
    RateLimited,
    RunbookError,
    WrongKey,
)
from runbook.feed.events import Closed, Connected, ConnectFailed, Garbage, StreamEvent, Subscribed, TickReceived
from runbook.feed.policy import Policy
from runbook.feed.state import LinkState, initial
from runbook.job import Verdict
from runbook.market import Instrument, Tick
from runbook.ports import GatewayMode
from runbook.probe import evidence_of, probe
from runbook.verify import Ladder, Rung, StreamEvidence, climb
from tests.fakes import NIFTY, FakeGateway, FakeStream, quote

FUTURE = Instrument("NIFTY24NOV26FUT", "NFO")
UP = StreamEvidence(authenticated=True, subscribed=True, tick="NIFTY 26049.90 arrived")


def ladder(
    gateway: FakeGateway | None = None, stream: StreamEvidence = UP, *, declared: str = "live", due: bool = True
) -> Ladder:
    return climb(gateway or FakeGateway(), declared, [FUTURE, NIFTY], lambda: stream, Budget(20.0), ticks_due=due)


def verdicts(made: Ladder) -> dict[str, Verdict]:
    return {rung.name: rung.verdict for rung in made.rungs}


ALL = ["server", "key", "mode", "broker", "funds", "stream", "subscribe", "tick"]


def test_a_ladder_that_holds_says_the_broker_and_a_price():
    gateway = FakeGateway()
    made = ladder(gateway)
    assert [rung.name for rung in made.rungs] == ALL
    assert set(verdicts(made).values()) == {Verdict.OK}
    assert (made.verdict, made.broken) == (Verdict.OK, None)
    assert made.summary == "key accepted, broker angel; NIFTY 26049.90 over REST; NIFTY 26049.90 arrived"
    assert gateway.asked == ["health", "ping", "mode", "quote NSE_INDEX:NIFTY", "funds"]
    assert made.facts()["rungs"][0] == {
        "name": "server", "verdict": "ok", "evidence": "OpenAlgo answers (health pass)", "fix": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "error", "broken"),
    [
        ("health", GatewayUnreachable("connection refused"), "server"),
        ("ping", WrongKey(), "key"),
        ("ping", BrokerSessionGone(), "key"),
        ("ping", RateLimited(), "key"),
        ("mode", GatewayUnreachable("gone"), "mode"),
        ("quote", BrokerTokenDead(), "broker"),
        ("funds", BrokerTokenDead(), "funds"),
    ],
)
def test_the_first_broken_rung_ends_the_climb_and_names_its_fix(asked, error, broken):
    gateway = FakeGateway(faults={asked: error})
    made = ladder(gateway)
    at = ALL.index(broken)
    assert made.verdict is Verdict.BAD
    assert made.broken is not None
    assert (made.broken.name, made.broken.evidence, made.broken.fix) == (broken, str(error), error.hint)
    assert made.summary == f"{broken}: {error}"
    assert set(list(verdicts(made).values())[:at]) <= {Verdict.OK}
    assert set(list(verdicts(made).values())[at + 1 :]) <= {Verdict.UNKNOWN}
    assert {rung.evidence for rung in made.rungs[at + 1 :]} <= {"not reached"}
    assert gateway.asked[-1].startswith(asked)  # nothing is asked behind it: a wrong key must not be tried on


def test_an_openalgo_from_before_its_health_page_is_asked_for_the_key_instead():
    climbed = ladder(FakeGateway(faults={"health": GatewayRejected("HTTP 404, no such page")}))
    server, key, *_ = climbed.rungs
    assert (server.name, server.verdict) == ("server", Verdict.UNKNOWN)
    assert (key.name, key.verdict, climbed.verdict) == ("key", Verdict.OK, Verdict.OK)


def test_a_subscription_refused_in_part_is_worth_a_look_and_names_the_symbol():
    climbed = ladder(stream=StreamEvidence(True, True, "NIFTY 26049.90 arrived", refused="NOSUCH (not found)"))
    (rung,) = [rung for rung in climbed.rungs if rung.name == "subscribe"]
    assert (rung.verdict, climbed.verdict) == (Verdict.ATTENTION, Verdict.ATTENTION)
    assert "NOSUCH" in rung.evidence


def test_a_switch_that_stands_elsewhere_than_declared_is_broken_and_never_switched():
    made = ladder(FakeGateway(stands_on=GatewayMode.ANALYZE))
    assert made.broken is not None
    assert made.broken.evidence == "OpenAlgo stands on analyze, declared is live"
    assert "runbook never switches" in made.broken.fix


def test_the_sandbox_is_not_asked_for_funds():
    gateway = FakeGateway(stands_on=GatewayMode.ANALYZE)
    assert ladder(gateway, declared="analyze").verdict is Verdict.OK
    assert "funds" not in gateway.asked


@pytest.mark.parametrize(
    ("price", "why"),
    [(quote(0.0), "ltp is 0"), (quote(100.0, low=110.0, high=120.0), "outside the day's range [110, 120]")],
)
def test_a_price_that_proves_nothing_breaks_the_broker_s_rung(price, why):
    made = ladder(FakeGateway(quoted=price))
    assert made.broken is not None
    assert made.broken.name == "broker"
    assert why in made.broken.evidence


def test_without_an_index_the_first_symbol_is_quoted():
    gateway = FakeGateway()
    climb(gateway, "live", [FUTURE], lambda: UP, Budget(5.0), ticks_due=True)
    assert f"quote {FUTURE}" in gateway.asked


@pytest.mark.parametrize(
    ("gateway", "evidence"),
    [
        (FakeGateway(faults={"funds": RateLimited()}), "Too many requests."),
        (FakeGateway(money={}), "the answer names no available cash"),
    ],
)
def test_funds_that_cannot_be_told_are_worth_a_look_and_no_more(gateway, evidence):
    made = ladder(gateway)
    assert made.verdict is Verdict.ATTENTION
    assert [r.evidence for r in made.rungs if r.verdict is Verdict.ATTENTION] == [evidence]
    assert verdicts(made)["tick"] is Verdict.OK


def test_the_amount_of_the_funds_is_nobody_s_business():
    assert "12345" not in str(ladder(FakeGateway(money={"availablecash": 12345.0})).facts())


def test_the_stream_s_rungs_break_one_by_one():
    shut = ladder(
        stream=StreamEvidence(authenticated=False, subscribed=None, tick=None, fault="refused", hint="restart it")
    )
    assert shut.broken == Rung("stream", Verdict.BAD, "refused", "restart it")
    deaf = ladder(stream=StreamEvidence(authenticated=True, subscribed=False, tick=None))
    assert deaf.broken is not None
    assert (deaf.broken.name, deaf.broken.evidence) == ("subscribe", "the subscription was not acknowledged")
    mute = ladder(stream=StreamEvidence(authenticated=True, subscribed=True, tick=None))
    assert mute.broken is not None
    assert (mute.broken.name, "log in to the broker again" in mute.broken.fix) == ("tick", True)


def test_where_no_tick_is_due_none_is_missed():
    made = ladder(stream=StreamEvidence(authenticated=True, subscribed=True, tick=None, live=True), due=False)
    assert made.verdict is Verdict.OK
    assert made.rungs[-1] == Rung("tick", Verdict.UNKNOWN, "none yet, and none is due in this phase")
    assert made.rungs[5].evidence == "authenticated (the running feed)"


def test_a_budget_that_is_used_up_breaks_a_rung_and_says_so():
    spent = Budget(20.0)
    spent.stop.set()
    made = climb(FakeGateway(), "live", [NIFTY], lambda: UP, spent, ticks_due=True)
    assert made.broken is not None
    assert "used up" in made.broken.evidence


# -- the probe ------------------------------------------------------------------------------------------------------------

TICK = TickReceived(1, Tick(NIFTY, 26049.9, None), 0.0)
SUBSCRIBED = Subscribed(1, (NIFTY,))


def probed(*script: StreamEvent, seconds: float = 0.2, due: bool = True) -> StreamEvidence:
    stream = FakeStream(*script)
    seen = probe(lambda: stream, [NIFTY], Budget(seconds), ticks_due=due)
    assert stream.closed
    return seen


def test_a_probe_ends_with_the_first_tick():
    assert probed(Connected(1, "angel"), SUBSCRIBED, Garbage(1, "x"), TICK) == StreamEvidence(
        authenticated=True, subscribed=True, tick="NIFTY 26049.90 arrived"
    )


@pytest.mark.parametrize(
    ("script", "authenticated", "subscribed", "fault"),
    [
        ((), False, False, "no answer on the stream"),
        ((Connected(1, "angel"),), True, False, "no answer on the stream"),
        ((Connected(1, "angel"), SUBSCRIBED), True, True, ""),
        ((ConnectFailed(1, "refused", True, "restart"),), False, False, "refused"),
        ((Connected(1, "angel"), Closed(1, "bye", 1000)), True, False, "closed: bye"),
        ((Subscribed(1, (), ((NIFTY, "unknown symbol"),)),), True, False, "unknown symbol"),
        ((Subscribed(1, ()),), True, False, "no symbol was accepted"),
    ],
)  # fmt: skip
def test_a_probe_says_how_far_it_came(script, authenticated, subscribed, fault):
    seen = probed(*script)
    assert (seen.authenticated, seen.subscribed, seen.tick, seen.fault) == (authenticated, subscribed, None, fault)


def test_a_probe_without_time_does_not_connect():
    assert probed(TICK, seconds=0.0).fault == "the time for this check was used up"


def test_the_running_feed_s_evidence_is_its_link_and_its_newest_tick():
    state = initial([NIFTY], Policy())
    seen = evidence_of(state, 0.0)
    assert (seen.authenticated, seen.subscribed, seen.tick, seen.live) == (
        state.link.state is LinkState.UP,
        False,
        None,
        True,
    )


def test_an_error_of_the_probe_s_maker_is_not_hidden():
    def make() -> FakeStream:
        raise RunbookError("no stream")

    with pytest.raises(RunbookError, match="no stream"):
        probe(make, [NIFTY], Budget(1.0), ticks_due=False)
