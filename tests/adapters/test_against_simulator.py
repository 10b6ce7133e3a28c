"""Both doors against the whole simulated OpenAlgo: what the recordings cannot show is the order in which things happen."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from runbook.adapters.openalgo import OpenAlgo
from runbook.adapters.openalgo.client import HOLD
from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.budget import Budget
from runbook.clock import RehearsalClock, host_monotonic
from runbook.errors import (
    BadAnswer,
    Banned,
    BrokerSessionGone,
    BrokerTokenDead,
    BrokerTrouble,
    GatewayError,
    GatewayUnreachable,
    RateLimited,
    SymbolUnknown,
    WrongKey,
)
from runbook.feed.events import Closed, Connected, ConnectFailed, Garbage, StreamEvent, Subscribed, TickReceived
from runbook.market import Instrument
from runbook.ports import GatewayMode
from runbook.simulator import Simulator, Ticket
from tests.adapters.ear import Heard

NIFTY = Instrument("NIFTY", "NSE_INDEX")
RELIANCE = Instrument("RELIANCE", "NSE")
NOPE = Instrument("NOPE", "NSE")
TEN = datetime(2026, 11, 23, 10, 0, tzinfo=ZoneInfo("Asia/Kolkata"))


@pytest.fixture
def clock() -> RehearsalClock:
    return RehearsalClock(TEN, rate=20)


@pytest.fixture
def sim(clock: RehearsalClock) -> Iterator[Simulator]:
    with Simulator(clock=clock) as running:
        yield running


@pytest.fixture
def gateway(sim: Simulator, clock: RehearsalClock) -> Iterator[OpenAlgo]:
    client = OpenAlgo(sim.rest_url, sim.api_key, clock, connect_timeout=1, read_timeout=1)
    yield client
    client.close()


@pytest.fixture
def stream(sim: Simulator, clock: RehearsalClock) -> Iterator[OpenAlgoStream]:
    client = OpenAlgoStream(sim.stream_url, sim.api_key, clock, Patience(connect=2, reply=3))
    yield client
    client.close()


@pytest.fixture
def heard() -> queue.Queue[StreamEvent]:
    return Heard()


def until(heard: queue.Queue[StreamEvent], kind: type[StreamEvent], within: float = 5) -> StreamEvent:
    deadline = host_monotonic() + within
    while True:
        try:
            event = heard.get(timeout=max(0.01, deadline - host_monotonic()))
        except queue.Empty:
            pytest.fail(f"no {kind.__name__} within {within} s")
        if isinstance(event, kind):
            return event


def silent(heard: queue.Queue[StreamEvent], seconds: float) -> bool:
    """No event for so long, after a moment for what was on its way."""
    deadline = host_monotonic() + 0.2
    while host_monotonic() < deadline:
        try:
            heard.get(timeout=0.05)
        except queue.Empty:
            continue
    try:
        heard.get(timeout=seconds)
    except queue.Empty:
        return True
    return False


def budget() -> Budget:
    return Budget(5)


# --- REST ------------------------------------------------------------------------------------------------------------


def test_a_healthy_server_answers_every_question(sim: Simulator, gateway: OpenAlgo, clock: RehearsalClock) -> None:
    assert gateway.health(budget()) == "pass"
    assert gateway.ping(budget()) == "angel"
    assert gateway.mode(budget()) is GatewayMode.LIVE
    quote = gateway.quote(NIFTY, budget())
    assert quote.fault is None
    quotes, faults = gateway.quotes([NIFTY, NOPE, RELIANCE], budget())
    assert [q.instrument for q in quotes] == [NIFTY, RELIANCE]
    assert [n for n, _ in faults] == [NOPE]
    assert gateway.quotes([NOPE], budget())[0] == ()
    assert gateway.funds(budget())["availablecash"] > 0
    futures = [x for x in gateway.search("NIFTY", "NFO", budget()) if x.kind == "FUT" and x.name == "NIFTY"]
    assert futures
    assert all(x.expiry is not None and x.expiry >= TEN.date() for x in futures)
    candle = gateway.last_candle(NIFTY, TEN.date(), budget())
    assert candle is not None
    assert timedelta(0) <= clock.now() - candle.start < timedelta(minutes=3)


@pytest.mark.parametrize("analyze", [False, True])
def test_the_books_of_both_modes_are_read(analyze: bool, clock: RehearsalClock) -> None:
    with Simulator(clock=clock, mode="analyze" if analyze else "live") as sim:
        enter = sim.book_paper if analyze else sim.book_live
        order = enter(Ticket(RELIANCE, "BUY", 2), 1500.0)
        gateway = OpenAlgo(sim.rest_url, sim.api_key, clock)
        mode, trades = gateway.trades(budget())
        assert mode is (GatewayMode.ANALYZE if analyze else GatewayMode.LIVE)
        assert [(t.order_id, t.action, t.quantity, t.price) for t in trades] == [(order.id, "BUY", 2, 1500.0)]
        assert (trades[0].at is not None) == analyze
        if trades[0].at is not None:
            assert abs(trades[0].at - clock.now()) < timedelta(minutes=5)
        assert [o.order_id for o in gateway.orders(budget())[1]] == [order.id]
        assert gateway.orders(budget())[1][0].status == "complete"
        book = gateway.positions(budget())
        assert [(p.instrument, p.quantity) for p in book.rows] == [(RELIANCE, 2)]
        assert (book.pnl_today is not None) == analyze
        gateway.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("token_dead", BrokerTokenDead),
        ("broker_502", BrokerTrouble),
        ("broker_limited", RateLimited),
        ("symbols_gone", SymbolUnknown),
        ("session_revoked", BrokerSessionGone),
        ("wrong_key", WrongKey),
        ("rate_limited", RateLimited),
        ("banned", Banned),
        ("html_502", GatewayUnreachable),
        ("hang", GatewayUnreachable),
    ],
)
def test_each_fault_has_its_name_at_a_quote_and_is_over_when_it_ends(
    fault: str, error: type[GatewayError], sim: Simulator, gateway: OpenAlgo, clock: RehearsalClock
) -> None:
    sim.switch(fault)
    with pytest.raises(GatewayError) as raised:
        gateway.quote(NIFTY, budget())
    assert type(raised.value) is error
    assert sim.api_key not in str(raised.value)
    sim.clear(fault)
    if error in {WrongKey, Banned}:
        clock.jump_to(clock.now() + timedelta(seconds=HOLD + 1))
    assert gateway.quote(NIFTY, budget()).ltp > 0


def test_an_empty_success_is_told_from_content(sim: Simulator, gateway: OpenAlgo) -> None:
    sim.switch("empty_success")
    with pytest.raises(BrokerTokenDead):
        gateway.funds(budget())
    assert gateway.last_candle(NIFTY, TEN.date(), budget()) is None
    with pytest.raises((BadAnswer, BrokerTrouble)):
        gateway.quote(NIFTY, budget())


def test_a_zero_price_is_a_quote_with_a_fault_and_a_batch_without_it(sim: Simulator, gateway: OpenAlgo) -> None:
    sim.switch("zero")
    assert gateway.quote(NIFTY, budget()).fault == "ltp is 0"
    assert gateway.quotes([NIFTY], budget()) == ((), ((NIFTY, "ltp is 0"),))


def test_a_login_is_seen_by_the_next_call(sim: Simulator, gateway: OpenAlgo) -> None:
    sim.switch("session_revoked")
    for _ in range(3):
        with pytest.raises(BrokerSessionGone):
            gateway.ping(budget())
    sim.switch("login")
    assert gateway.ping(budget()) == "angel"


def test_a_wrong_key_reaches_the_server_twice_in_an_hour_of_asking_each_quarter(
    sim: Simulator, gateway: OpenAlgo
) -> None:
    sim.switch("wrong_key")
    for _ in range(20):
        with pytest.raises(WrongKey):
            gateway.ping(budget())
    assert [c.path for c in sim.calls if c.method == "POST"] == ["/api/v1/ping", "/api/v1/search"]


# --- the stream ------------------------------------------------------------------------------------------------------


def test_a_connection_brings_ticks_that_advance(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent], clock: RehearsalClock
) -> None:
    stream.connect(1, [NIFTY, RELIANCE, NOPE], heard.put)
    assert heard.get(timeout=5) == Connected(1, "angel")
    acknowledged = heard.get(timeout=5)
    assert isinstance(acknowledged, Subscribed)
    assert acknowledged.accepted == (NIFTY, RELIANCE)
    assert [i for i, _ in acknowledged.refused] == [NOPE]
    ticks = [until(heard, TickReceived) for _ in range(10)]
    stamps = [t.tick.ltt for t in ticks if isinstance(t, TickReceived) and t.tick.instrument == NIFTY]
    assert len(set(stamps)) > 1
    newest = max(s for s in stamps if s)
    assert abs(datetime.fromtimestamp(newest / 1000, UTC) - clock.now()) < timedelta(minutes=2)


def test_a_mute_stream_stays_open_and_silent_and_speaks_again(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    stream.connect(1, [NIFTY], heard.put)
    until(heard, TickReceived)
    sim.switch("mute")
    assert silent(heard, 0.5)
    sim.switch("unmute")
    until(heard, TickReceived)
    assert sim.stream_clients == 1


def test_a_stream_that_goes_down_says_1001_then_refused_then_comes_back(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    stream.connect(1, [NIFTY], heard.put)
    until(heard, TickReceived)
    sim.switch("drop")
    closed = until(heard, Closed)
    assert isinstance(closed, Closed)
    assert closed.code == 1001
    stream.connect(2, [NIFTY], heard.put)
    failed = until(heard, ConnectFailed)
    assert isinstance(failed, ConnectFailed)
    assert (failed.generation, failed.refused) == (2, True)
    sim.switch("accept")
    stream.connect(3, [NIFTY], heard.put)
    tick = until(heard, TickReceived)
    assert isinstance(tick, TickReceived)
    assert tick.generation == 3


@pytest.mark.parametrize("how", ["tcp", "502"])
def test_a_refusal_is_a_refusal_bare_or_behind_nginx(
    how: str, sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    sim.switch("refuse", how=how)
    stream.connect(1, [NIFTY], heard.put)
    failed = until(heard, ConnectFailed)
    assert isinstance(failed, ConnectFailed)
    assert failed.refused


def test_a_kick_is_a_close_without_a_code_and_the_next_connection_works(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    stream.connect(1, [NIFTY], heard.put)
    until(heard, TickReceived)
    sim.switch("kick")
    closed = until(heard, Closed)
    assert isinstance(closed, Closed)
    assert closed.code is None
    stream.connect(2, [NIFTY], heard.put)
    until(heard, TickReceived)


def test_an_eviction_is_silent_until_the_stream_authenticates_again(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    stream.connect(1, [NIFTY], heard.put)
    until(heard, TickReceived)
    sim.switch("evict")
    assert silent(heard, 0.5)
    stream.resubscribe()
    until(heard, Subscribed)
    until(heard, TickReceived)
    assert sim.stream_clients == 1


def test_a_revoked_session_refuses_to_resubscribe_and_a_login_cures_it(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    stream.connect(1, [NIFTY], heard.put)
    until(heard, TickReceived)
    sim.switch("session_revoked")
    stream.resubscribe()
    failed = until(heard, ConnectFailed)
    assert isinstance(failed, ConnectFailed)
    assert failed.hint == BrokerSessionGone.hint
    sim.switch("login")
    stream.connect(2, [NIFTY], heard.put)
    until(heard, TickReceived)


def test_a_wrong_key_is_told_with_its_hint(
    sim: Simulator, clock: RehearsalClock, heard: queue.Queue[StreamEvent]
) -> None:
    stream = OpenAlgoStream(sim.stream_url, "0" * 64, clock)
    stream.connect(1, [NIFTY], heard.put)
    failed = until(heard, ConnectFailed)
    stream.close()
    assert isinstance(failed, ConnectFailed)
    assert failed.hint == WrongKey.hint


def test_garbage_is_counted_and_no_price(
    sim: Simulator, stream: OpenAlgoStream, heard: queue.Queue[StreamEvent]
) -> None:
    stream.connect(1, [NIFTY], heard.put)
    until(heard, TickReceived)
    sim.switch("garbage")
    got = [until(heard, Garbage) for _ in range(5)]
    assert all(isinstance(g, Garbage) and g.what for g in got)
    sim.clear("garbage")
    tick = until(heard, TickReceived)
    assert isinstance(tick, TickReceived)
    assert 10_000 < tick.tick.ltp < 50_000
