"""Following further instruments on an open connection, and being told of orders."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from websockets.sync.server import ServerConnection

from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.clock import SystemClock
from runbook.errors import BrokerSessionGone
from runbook.feed.events import Connected, ConnectFailed, Garbage, OrderSeen, Subscribed, TickReceived
from runbook.market import Instrument
from runbook.simulator import Simulator
from tests.adapters.ear import Ear
from tests.adapters.replay import KEY, StreamReplay, ack, auth_ok, conversation, market_data
from tests.fakes import until

NIFTY = Instrument("NIFTY", "NSE_INDEX")
BANK = Instrument("BANKNIFTY", "NSE_INDEX")
RELIANCE = Instrument("RELIANCE", "NSE")
NOPE = Instrument("NOPE", "NSE")
AUTH = ("authenticate", [auth_ok()])


@pytest.fixture
def make() -> Iterator[Callable[..., OpenAlgoStream]]:
    made: list[OpenAlgoStream] = []

    def stream(url: str, patience: Patience | None = None, *, key: str = KEY, orders: bool = False) -> OpenAlgoStream:
        made.append(OpenAlgoStream(url, key, SystemClock(), patience or Patience(connect=2, reply=2), orders=orders))
        return made[-1]

    yield stream
    for s in made:
        s.close()


def asked(replay: StreamReplay, number: int) -> list[Any]:
    """What the client sent: an action, or the symbols of a subscription."""
    frames = [replay.heard.get(timeout=2) for _ in range(number)]
    return [[s["symbol"] for s in f["symbols"]] if f["action"] == "subscribe" else f["action"] for f in frames]


# --- following -------------------------------------------------------------------------------------------------------


def test_a_newcomer_is_subscribed_alone_and_a_resubscription_names_all(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [
        [
            AUTH,
            ("subscribe", [ack("NIFTY"), market_data(26000.5)]),
            ("subscribe", [ack("BANKNIFTY"), market_data(58000.5, "BANKNIFTY")]),
            AUTH,
            ("subscribe", [ack("NIFTY", "BANKNIFTY")]),
        ]
    ]
    stream = make(replay.url)
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(TickReceived)
    stream.follow([NIFTY, BANK, BANK])
    assert ear.next() == Subscribed(1, (BANK,))
    tick = ear.next()
    assert isinstance(tick, TickReceived)
    assert tick.tick.instrument == BANK
    stream.resubscribe()
    assert ear.next() == Subscribed(1, (NIFTY, BANK))
    assert asked(replay, 5) == ["authenticate", ["NIFTY"], ["BANKNIFTY"], "authenticate", ["NIFTY", "BANKNIFTY"]]


def test_following_before_the_authentication_is_answered_joins_the_first_subscription(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(ws: ServerConnection) -> None:
        replay.heard.put(json.loads(ws.recv()))
        begun.set()
        assert go.wait(5)
        ws.send(json.dumps(auth_ok()))
        replay.heard.put(json.loads(ws.recv()))
        ws.send(json.dumps(ack("NIFTY", "BANKNIFTY")))
        for _ in ws:
            pass

    replay.scripts = [slow]
    stream = make(replay.url)
    stream.connect(1, [NIFTY], ear.heard.put)
    assert begun.wait(5)
    stream.follow([BANK])
    go.set()
    assert ear.next() == Connected(1, "angel")
    assert ear.next() == Subscribed(1, (NIFTY, BANK))
    assert asked(replay, 2) == ["authenticate", ["NIFTY", "BANKNIFTY"]]


def test_following_while_a_subscription_is_under_way_waits_for_its_answer(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(ws: ServerConnection) -> None:
        ws.recv()
        ws.send(json.dumps(auth_ok()))
        replay.heard.put(json.loads(ws.recv()))
        begun.set()
        assert go.wait(5)
        ws.send(json.dumps(ack("NIFTY")))
        replay.heard.put(json.loads(ws.recv()))
        ws.send(json.dumps(ack("BANKNIFTY")))
        for _ in ws:
            pass

    replay.scripts = [slow]
    stream = make(replay.url)
    stream.connect(1, [NIFTY], ear.heard.put)
    assert begun.wait(5)
    stream.follow([BANK])
    go.set()
    assert [ear.next() for _ in range(3)] == [Connected(1, "angel"), Subscribed(1, (NIFTY,)), Subscribed(1, (BANK,))]
    assert asked(replay, 2) == [["NIFTY"], ["BANKNIFTY"]]


def test_nothing_is_sent_or_told_for_what_is_followed_already_or_without_a_connection(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [[AUTH, ("subscribe", [ack("NIFTY")]), AUTH, ("subscribe", [ack("NIFTY")])]]
    stream = make(replay.url)
    stream.follow([BANK])  # of no connection; the next one is told what to subscribe
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(Subscribed)
    stream.follow([NIFTY])
    stream.resubscribe()
    assert ear.next() == Subscribed(1, (NIFTY,))
    assert asked(replay, 4) == ["authenticate", ["NIFTY"]] * 2


@pytest.mark.parametrize("answers", [[{"status": "error", "code": "SERVER_ERROR", "message": "oops"}], []])
def test_a_newcomer_that_is_refused_or_not_answered_leaves_the_others_alone(
    answers: list[Any], replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [
        [AUTH, ("subscribe", [ack("NIFTY")]), ("subscribe", answers), AUTH, ("subscribe", [ack("NIFTY", "BANKNIFTY")])]
    ]
    stream = make(replay.url, Patience(reply=0.3))
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(Subscribed)
    stream.follow([BANK])
    why = "SERVER_ERROR: oops" if answers else "no answer within 0.3 s"
    assert ear.next() == Subscribed(1, (), ((BANK, why),))
    stream.resubscribe()
    assert ear.next() == Subscribed(1, (NIFTY, BANK))


def test_a_newcomer_that_shows_the_broker_session_gone_ends_the_generation(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    gone = {"status": "error", "code": "BROKER_ERROR", "message": "Broker adapter not found"}
    replay.scripts = [[AUTH, ("subscribe", [ack("NIFTY")]), ("subscribe", [gone])]]
    stream = make(replay.url)
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(Subscribed)
    stream.follow([BANK])
    event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert event.hint == BrokerSessionGone.hint


def test_the_simulator_takes_newcomers_and_refuses_those_it_does_not_know(
    make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    with Simulator() as sim:
        stream = make(sim.stream_url, key=sim.api_key)
        stream.connect(1, [NIFTY], ear.heard.put)
        ear.until(Subscribed)
        stream.follow([RELIANCE, NOPE])
        told = ear.until(Subscribed)[-1]
        assert isinstance(told, Subscribed)
        assert told.accepted == (RELIANCE,)
        assert [i for i, _ in told.refused] == [NOPE]
        seen: set[Instrument] = set()
        while seen != {NIFTY, RELIANCE}:
            event = ear.until(TickReceived)[-1]
            assert isinstance(event, TickReceived)
            seen.add(event.tick.instrument)
        stream.close()


# --- orders ----------------------------------------------------------------------------------------------------------


def test_the_recorded_order_updates_name_what_was_traded_and_nothing_else(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    recorded = conversation("order_updates", "C")
    assert [action for action, _ in recorded] == ["authenticate", "subscribe_orders"]
    updates = [f for f in recorded[1][1] if isinstance(f, dict)]
    replay.scripts = [[recorded[0], ("subscribe", [ack("NIFTY")]), ("subscribe_orders", updates)]]
    make(replay.url, orders=True).connect(7, [NIFTY], ear.heard.put)
    ear.until(Subscribed)
    told = [f for f in updates if f["type"] == "order_update"]
    assert told
    assert [ear.next() for _ in told] == [OrderSeen(7, Instrument(f["symbol"], f["exchange"])) for f in told]
    assert asked(replay, 3) == ["authenticate", ["NIFTY"], "subscribe_orders"]


@pytest.mark.parametrize(
    "answers",
    [
        [{"status": "error", "code": "INVALID_ACTION", "message": "Invalid action: subscribe_orders"}],
        [{"type": "subscribe_orders", "status": "error", "message": "off"}],
        [],
    ],
)
def test_a_server_that_knows_no_orders_goes_on_giving_ticks_and_is_not_asked_again(
    answers: list[Any], replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [
        [
            AUTH,
            ("subscribe", [ack("NIFTY")]),
            ("subscribe_orders", [*answers, market_data(26000.5)]),
            AUTH,
            ("subscribe", [ack("NIFTY"), market_data(26001.5)]),
        ]
    ]
    stream = make(replay.url, Patience(reply=0.3), orders=True)
    stream.connect(1, [NIFTY], ear.heard.put)
    assert [type(e) for e in ear.until(TickReceived)] == [Connected, Subscribed, TickReceived]
    stream.resubscribe()
    assert [type(e) for e in ear.until(TickReceived)] == [Subscribed, TickReceived]
    assert asked(replay, 5) == ["authenticate", ["NIFTY"], "subscribe_orders", "authenticate", ["NIFTY"]]
    with pytest.raises(queue.Empty):
        replay.heard.get(timeout=0.2)


def test_an_order_without_a_name_is_garbage(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    bad: list[Any] = [
        {"type": "order_update", "symbol": s, "exchange": "NSE"} for s in (None, "", ["SBIN"], "S" * 5000)
    ]
    good = {"type": "order_update", "symbol": "SBIN", "exchange": "NSE", "price": "a lie"}
    yes = {"type": "subscribe_orders", "status": "success"}
    replay.scripts = [[AUTH, ("subscribe", [ack("NIFTY")]), ("subscribe_orders", [yes, *bad, good])]]
    make(replay.url, orders=True).connect(1, [NIFTY], ear.heard.put)
    got = ear.until(OrderSeen)[2:]
    assert [type(e) for e in got] == [Garbage] * 4 + [OrderSeen]
    assert all(len(e.what) < 120 for e in got if isinstance(e, Garbage))


def test_the_simulator_tells_of_the_bots_orders(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    with Simulator() as sim:
        make(sim.stream_url, key=sim.api_key, orders=True).connect(1, [NIFTY], ear.heard.put)
        ear.until(Subscribed)
        until(lambda: sim.order_listeners, "the stream does not ask to be told of orders")
        ticket = {"symbol": "RELIANCE", "exchange": "NSE", "action": "BUY", "quantity": "1", "pricetype": "MARKET"}
        order = {"apikey": sim.api_key, "strategy": "bot", "product": "MIS", **ticket}
        assert requests.post(f"{sim.rest_url}/api/v1/placeorder", json=order, timeout=5).status_code == 200
        assert ear.until(OrderSeen)[-1] == OrderSeen(1, RELIANCE)
