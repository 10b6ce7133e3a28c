"""The relay as bots see it, on real sockets of loopback."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.adapters.relay import Patience, Relay
from runbook.adapters.relay.frames import market_data
from runbook.clock import SystemClock
from runbook.errors import RelayFailed, UsageError
from runbook.feed.state import QuoteClock, TickClock
from runbook.feed.table import Mode
from runbook.market import Instrument, Source, Tick
from tests.fakes import until
from tests.feed_world import quote
from tests.relay_world import KEY, NIFTY, NOON, NOON_MS, OPTION, SBIN, Feed, RelayWorld, price, relay_world, status


@pytest.fixture
def world() -> Iterator[RelayWorld]:
    with relay_world() as made:
        yield made


# -- prices -----------------------------------------------------------------------------------------------------------


def test_a_tick_has_the_form_of_the_real_one_and_says_its_source(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    relay.publish_status(status())
    bot = world.bot(NIFTY)
    relay.publish([price(ltt=1795337852224, volume=75)])
    assert bot.tick() == {
        "type": "market_data", "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1,
        "data": {"ltp": 26052.3, "ltt": 1795337852224, "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1,
                 "timestamp": NOON_MS, "source": "WEBSOCKET"},
        "broker": "angel",
    }  # fmt: skip


def test_a_price_over_rest_says_when_it_came_and_when_it_last_changed_and_has_no_trade_time(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY, mode=2)
    over = price(source=Source.REST_POLLING, last_changed_at=NOON - timedelta(seconds=4), grade="B", volume=75)
    relay.publish([over])
    tick = bot.tick()
    assert tick["mode"] == 2
    assert tick["data"] == {
        "ltp": 26052.3, "volume": 75, "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 2, "timestamp": NOON_MS,
        "source": "REST_POLLING", "received_at": NOON_MS, "last_changed_at": NOON_MS - 4000, "grade": "B",
    }  # fmt: skip


def test_a_client_gets_each_tick_once_under_the_highest_mode_it_asked_for(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY, mode=1)
    bot.follow(NIFTY, mode="quote")
    relay.publish([price(volume=75)])
    assert (bot.tick()["mode"], bot.ticks) == (2, [])
    bot.leave(NIFTY, mode=2)
    relay.publish([price(volume=75)])
    assert bot.tick()["mode"] == 1


def test_prices_come_in_the_order_in_which_they_were_published(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY, SBIN))
    bot = world.bot(NIFTY, SBIN)
    sent = [price(NIFTY if n % 3 else SBIN, 100.0 + n) for n in range(500)]
    for n in range(0, 500, 5):
        relay.publish(sent[n : n + 5])
    assert [bot.tick()["data"]["ltp"] for _ in sent] == [p.ltp for p in sent]


def test_what_was_published_before_a_request_goes_out_before_its_answer(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=Patience(gather=60.0))
    bot = world.bot(NIFTY)
    relay.publish([price()])  # it waits for others, for a minute
    assert bot.heard() == 1


def test_the_newest_price_of_the_trusted_side_is_sent_on_subscribe(world: RelayWorld):
    feed = Feed(NIFTY, SBIN)
    assert feed.state is not None
    now = SystemClock().monotonic()
    tick = TickClock(Tick(NIFTY, 26001.5, 7), now - 2, now - 2, 1, 1)
    old = TickClock(Tick(SBIN, 900.0, 7), now - 500, now - 500, 0, 1)  # of a connection that is gone
    feed.state = replace(feed.state, ticks={NIFTY: tick, SBIN: old})
    world.relay_of(feed)
    bot = world.bot(NIFTY, SBIN)
    assert bot.heard() == 1
    assert bot.tick()["data"]["ltp"] == 26001.5


def test_no_price_is_sent_on_subscribe_while_the_feed_trusts_no_side(world: RelayWorld):
    feed = Feed(NIFTY)
    assert feed.state is not None
    now = SystemClock().monotonic()
    ticks = {NIFTY: TickClock(Tick(NIFTY, 26001.5, 7), now, now, 1, 1)}
    quotes = {NIFTY: QuoteClock(quote(NIFTY, 26002.0), now, now)}
    feed.state = replace(feed.state, ticks=ticks, quotes=quotes, mode=Mode.BLIND)
    relay = world.relay_of(feed)
    relay.publish_status(status(Mode.BLIND, None, "nothing moves"))
    bot = world.bot(NIFTY)
    assert bot.heard() == 0


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(
    name=NAMES,
    broker=NAMES,
    ltp=st.floats(0, exclude_min=True, allow_infinity=False, allow_nan=False),
    ltt=st.none() | st.integers(0, 10**16),
    volume=st.none() | st.integers(0, 10**15),
    mode=st.sampled_from([1, 2]),
    source=st.sampled_from(list(Source)),
    grade=st.none() | NAMES,
)
def test_a_frame_is_json_whatever_the_names_and_the_figures(name, broker, ltp, ltt, volume, mode, source, grade):
    one = Instrument(name, "NSE")
    told = price(one, ltp, ltt=ltt, volume=volume, source=source, grade=grade)
    data = {"ltp": ltp, "ltt": ltt, "volume": volume if mode == 2 else None, "symbol": name, "exchange": "NSE",
            "mode": mode, "timestamp": NOON_MS, "source": source}  # fmt: skip
    if source is Source.REST_POLLING:
        data |= {"received_at": NOON_MS, "last_changed_at": NOON_MS, "grade": grade}
    frame = json.loads(market_data(told, mode, broker))
    assert frame == {
        "type": "market_data", "symbol": name, "exchange": "NSE", "mode": mode, "broker": broker,
        "data": {key: value for key, value in data.items() if value is not None},
    }  # fmt: skip


@pytest.mark.parametrize("ltp", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_price_is_never_put_into_a_frame(ltp: float):
    with pytest.raises(ValueError, match="is no price of NSE_INDEX:NIFTY"):
        market_data(price(ltp=ltp), 1, "angel")


# -- how the feed stands ----------------------------------------------------------------------------------------------


def test_how_the_feed_stands_is_told_on_subscribe_and_at_each_change(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot()
    bot.follow(NIFTY)
    told = bot.stands()
    assert (told["mode"], told["source"], told["reason"]) == ("OFF", None, "no session is watched yet")
    relay.publish_status(status(Mode.BLIND, None, "nothing moves"))
    assert bot.stands() == {
        "type": "feed_status", "mode": "BLIND", "source": None, "since": NOON_MS, "reason": "nothing moves",
    }  # fmt: skip


def test_a_change_is_told_before_the_first_price_of_the_new_side(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY)
    relay.publish([price(ltp=1.0)])
    relay.publish_status(status(Mode.FALLBACK, Source.REST_POLLING))
    relay.publish([price(ltp=2.0, source=Source.REST_POLLING)])
    frames = [json.loads(bot.connection.recv(timeout=5)) for _ in range(3)]
    assert [f["type"] for f in frames] == ["market_data", "feed_status", "market_data"]
    assert [f["data"]["source"] for f in frames[::2]] == ["WEBSOCKET", "REST_POLLING"]


def test_the_adapter_is_called_connected_only_while_there_is_a_side_to_trust(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot()
    assert bot.ask({"action": "get_broker_info"})["adapter_status"] == "disconnected"
    relay.publish_status(status())
    bot.stands()
    info = bot.ask({"action": "get_broker_info"})
    assert (info["adapter_status"], info["broker"]) == ("connected", "angel")


# -- symbols ----------------------------------------------------------------------------------------------------------


def test_what_the_feed_does_not_watch_is_asked_for_and_acknowledged(world: RelayWorld):
    feed = Feed(NIFTY)
    world.relay_of(feed, follows=True)
    bot = world.bot()
    assert bot.follow(NIFTY, SBIN)["status"] == "success"
    assert feed.asked == [SBIN]


def test_what_openalgo_refuses_is_refused_in_its_words(world: RelayWorld):
    world.relay_of(Feed(NIFTY), follows=True)
    ack = world.bot().follow(NIFTY, Instrument("NOPE", "NSE"), Instrument("NIFTY", "XYZ"))
    assert [row.get("message") for row in ack["subscriptions"]] == [
        None, "Symbol NOPE not found for exchange NSE", "Symbol NIFTY not found for exchange XYZ",
    ]  # fmt: skip
    assert ack["status"] == "partial"


def test_what_openalgo_refuses_after_it_was_acknowledged_is_told_with_how_the_feed_stands(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY)
    relay.publish_status(replace(status(), refused=(NIFTY,)))
    assert bot.stands()["refused"] == ["NSE_INDEX:NIFTY"]


def test_a_feed_that_cannot_follow_more_says_where_to_add_the_symbol(world: RelayWorld):
    world.relay_of(Feed(NIFTY))
    ack = world.bot().follow(NIFTY, SBIN)
    assert [row["status"] for row in ack["subscriptions"]] == ["success", "error"]
    assert "add it to `symbols:`" in ack["subscriptions"][1]["message"]


def test_before_the_first_session_a_symbol_is_taken_and_asked_for_again_when_the_feed_begins(world: RelayWorld):
    feed = Feed()
    waiting: list[tuple[Instrument, ...]] = []
    relay = Relay("ws://127.0.0.1:0", KEY, SystemClock(), lambda: feed.state, wanted=waiting.append)
    world.relay = relay
    relay.start()
    try:
        assert world.bot().follow(SBIN)["status"] == "success"
        feed.watch(NIFTY)
        relay.publish_status(status())
        until(lambda: waiting == [(SBIN,), (SBIN,)], "it is asked for again")
    finally:
        relay.stop()


def test_depth_is_refused_because_the_feed_has_none(world: RelayWorld):
    world.relay_of(Feed(NIFTY))
    ack = world.bot().follow(NIFTY, mode=3)
    assert (ack["status"], ack["subscriptions"][0]["status"]) == ("partial", "error")
    assert "Depth is not relayed" in ack["subscriptions"][0]["message"]


def test_there_is_a_limit_of_symbols_for_runbook_and_all_clients_together(world: RelayWorld):
    world.relay_of(Feed(NIFTY), follows=True, most_symbols=2)
    one, two = world.bot(), world.bot()
    assert one.follow(NIFTY, SBIN)["status"] == "success"
    ack = two.follow(OPTION, SBIN, NIFTY)
    assert [row["status"] for row in ack["subscriptions"]] == ["error", "success", "success"]
    assert "at most 2 symbols" in ack["subscriptions"][0]["message"]


def test_the_limit_holds_before_the_first_session_too(world: RelayWorld):
    world.relay_of(Feed(), most_symbols=1)
    bot = world.bot()
    assert [row["status"] for row in bot.follow(SBIN, OPTION)["subscriptions"]] == ["success", "error"]
    bot.leave(SBIN)
    assert bot.follow(OPTION)["status"] == "success"


def test_one_clients_unsubscribe_does_not_take_the_symbol_from_another(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    stays, goes = world.bot(NIFTY), world.bot(NIFTY)
    goes.leave(NIFTY)
    relay.publish([price()])
    assert stays.tick()["data"]["ltp"] == 26052.3
    assert goes.heard() == 0


def test_a_client_that_subscribes_again_is_served_again(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY)
    bot.ask({"action": "unsubscribe_all"})
    relay.publish([price(ltp=1.0)])
    assert bot.heard() == 0
    bot.follow(NIFTY)
    relay.publish([price(ltp=2.0)])
    assert bot.tick()["data"]["ltp"] == 2.0


# -- who may listen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["0" * 64, KEY[:-1], KEY + "0", "", "ä" * 64, 7, ["x"]])
def test_a_wrong_key_hears_nothing(world: RelayWorld, key: object):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(log_in=False)
    refused = bot.ask({"action": "authenticate", "api_key": key})
    assert (refused["code"], "type" in refused) == ("AUTHENTICATION_ERROR", False)
    assert bot.follow(NIFTY)["code"] == "NOT_AUTHENTICATED"
    relay.publish_status(status())
    relay.publish([price()])
    assert bot.heard() == 0
    assert relay.clients == 0


def test_a_client_that_does_not_authenticate_in_time_is_closed_with_4401(world: RelayWorld):
    world.relay_of(Feed(NIFTY), patience=Patience(authenticate=0.2))
    late = world.bot(log_in=False)
    in_time = world.bot()
    assert late.end() == (4401, "auth timeout")
    assert in_time.heard() == 0


def test_a_wrong_key_later_does_not_end_what_the_right_one_began(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY)
    assert bot.log_in("1" * 64)["code"] == "AUTHENTICATION_ERROR"
    relay.publish([price()])
    assert bot.tick()["data"]["ltp"] == 26052.3


def test_the_key_is_in_no_log_whatever_the_level(world: RelayWorld, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY)
    bot.log_in("7" * 64)
    bot.say(json.dumps({"action": "authenticate", "api_key": KEY})[:-1])
    assert bot.reply()["code"] == "INVALID_JSON"
    assert KEY not in caplog.text
    assert "7" * 64 not in caplog.text
    assert KEY not in repr(world.relay) + repr(world.relay.house)


@pytest.mark.parametrize(
    "message", ["not json", "[1]", "{}", "7", '"x"', '{"action": ["a"]}', '{"action": "ping", "timestamp": 1e999}',
                '{"action": "ping", "timestamp": NaN}', "[" * 5000, b"\xff\xfe", b'{"action": "subscribe"}'],
)  # fmt: skip
def test_nonsense_is_answered_with_an_error_and_the_socket_stays_open(world: RelayWorld, message: str | bytes):
    world.relay_of(Feed(NIFTY))
    bot = world.bot()
    assert bot.ask(message)["status"] == "error"
    assert bot.heard() == 0


def test_there_is_a_limit_of_clients(world: RelayWorld):
    world.relay_of(Feed(NIFTY))
    bots = [world.bot(log_in=False) for _ in range(64)]
    assert world.bot(log_in=False).end() == (1013, "the relay serves at most 64 clients")
    assert bots[0].heard() == 0


def test_how_many_clients_there_are_is_told_as_they_come_and_go(world: RelayWorld):
    counts: list[int] = []
    world.relay_of(Feed(NIFTY), on_clients=counts.append)
    world.bot(log_in=False)
    one = world.bot()
    world.bot()
    one.connection.close()
    until(lambda: counts == [1, 2, 1], "each coming and going is told")


# -- slow, dead and stopping ------------------------------------------------------------------------------------------


def test_a_slow_reader_is_dropped_and_the_others_go_on(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=Patience(behind=20_000, kernel=4096, goodbye=0.2))
    deaf = world.deaf()
    until(lambda: relay.clients == 1, "the deaf one is in")
    bot = world.bot(NIFTY)
    sent = 0
    while relay.clients == 2:
        sent += 1
        assert sent < 5000
        relay.publish([price(ltp=float(sent))])
        assert bot.tick()["data"]["ltp"] == sent
    relay.publish([price(ltp=7.0)])
    assert bot.tick()["data"]["ltp"] == 7.0
    deaf.settimeout(5)
    with contextlib.suppress(ConnectionError):  # cut off, or ended: in time either way
        while deaf.recv(65536):
            pass


def test_a_slow_reader_that_wakes_up_hears_why_it_was_let_go(world: RelayWorld, caplog: pytest.LogCaptureFixture):
    relay = world.relay_of(Feed(NIFTY), patience=Patience(behind=20_000, kernel=4096, goodbye=5.0))
    deaf = world.deaf()
    until(lambda: relay.clients == 1, "the deaf one is in")

    def let_go() -> bool:
        relay.publish([price()] * 50)
        return "does not read" in caplog.text

    until(let_go, "it is let go")
    deaf.settimeout(5)
    heard = b""
    while b"too slow" not in heard:
        heard = heard[-200:] + deaf.recv(65536)
    at = heard.index(b"too slow")
    assert struct.unpack("!H", heard[at - 2 : at]) == (1013,)


def test_a_client_that_answers_no_ping_is_closed_with_1011(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=Patience(ping_every=0.1, pong_within=0.1))
    deaf = world.deaf()
    deaf.settimeout(5)
    heard = b""
    while b"keepalive ping timeout" not in heard:
        heard += deaf.recv(4096)
    assert (1011).to_bytes(2) in heard
    until(lambda: relay.clients == 0, "it is gone")


def test_a_relay_that_fails_closes_every_socket_and_serves_again(world: RelayWorld, caplog: pytest.LogCaptureFixture):
    relay = world.relay_of(Feed(NIFTY), patience=Patience(restart=0.05))
    bots = [world.bot(NIFTY) for _ in range(3)]
    relay.publish([price(ltp=object())])  # what no encoder can say
    assert [bot.end() for bot in bots] == [(1011, "the relay failed")] * 3
    until(lambda: "the relay failed" in caplog.text, "it is told")

    def again() -> bool:
        try:
            socket.create_connection(("127.0.0.1", relay.port), timeout=1).close()
        except OSError:
            return False
        return True

    until(again, "it listens again")
    bot = world.bot(NIFTY)
    relay.publish([price()])
    assert bot.tick()["data"]["ltp"] == 26052.3


def test_a_relay_that_falls_far_behind_the_feed_says_so_by_closing(world: RelayWorld):
    held, seen = threading.Event(), threading.Event()

    def hold(clients: int) -> None:
        if clients == 2:  # the relay's own thread stands still
            seen.set()
            held.wait(10)

    relay = world.relay_of(Feed(NIFTY), on_clients=hold, patience=Patience(restart=60.0))
    bot = world.bot(NIFTY)
    second = world.bot(log_in=False)
    second.say({"action": "authenticate", "api_key": KEY})
    assert seen.wait(5)
    one = [price()]
    for _ in range(20_001):
        relay.publish(one)
    held.set()
    assert bot.end() == (1011, "the relay failed")
    assert not bot.ticks  # nothing that has waited for so long is sent


def test_one_clients_failure_is_not_the_others(world: RelayWorld, caplog: pytest.LogCaptureFixture):
    feed = Feed(NIFTY)

    def wanted(instruments: tuple[Instrument, ...]) -> None:
        raise RuntimeError(f"cannot follow {instruments}")

    relay = Relay("ws://127.0.0.1:0", KEY, SystemClock(), lambda: feed.state, wanted=wanted)
    world.relay = relay
    relay.start()
    try:
        stays, goes = world.bot(NIFTY), world.bot()
        goes.say({"action": "subscribe", "symbol": "SBIN", "exchange": "NSE"})
        assert goes.end()[0] == 1011
        relay.publish([price()])
        assert stays.tick()["data"]["ltp"] == 26052.3
        assert "cannot follow" in caplog.text
    finally:
        relay.stop()


def test_a_stop_sends_what_is_there_and_then_closes_with_1001(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY))
    bot = world.bot(NIFTY)
    relay.publish_status(status(Mode.OFF, None, "runbook stops"))
    relay.stop()
    assert bot.stands()["reason"] == "runbook stops"
    assert bot.end() == (1001, "runbook stops")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", relay.port), timeout=1)


def test_twenty_clients_each_hear_every_tick_of_what_they_asked_for(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY, SBIN))
    bots = [world.bot(NIFTY, *([SBIN] if n % 2 else [])) for n in range(20)]
    for n in range(100):
        relay.publish([price(NIFTY, 100.0 + n), price(SBIN, 900.0 + n)])
    for n, bot in enumerate(bots):
        expected = 200 if n % 2 else 100
        got = [bot.tick() for _ in range(expected)]
        assert [t["data"]["ltp"] for t in got if t["symbol"] == "NIFTY"] == [100.0 + k for k in range(100)]
        assert bot.heard() == 0


def test_what_is_published_before_the_start_and_after_the_stop_harms_nobody():
    feed = Feed(NIFTY)
    relay = Relay("ws://127.0.0.1:0", KEY, SystemClock(), lambda: feed.state)
    relay.publish_status(status())
    relay.publish([price()])
    relay.start()
    relay.stop()
    relay.publish_status(status())
    relay.publish([price()])
    relay.stop()


def test_a_taken_port_is_told_at_the_start(world: RelayWorld):
    taken = world.relay_of(Feed(NIFTY))
    second = Relay(f"ws://127.0.0.1:{taken.port}", KEY, SystemClock(), lambda: None)
    with pytest.raises(RelayFailed, match=f"cannot listen on 127.0.0.1:{taken.port}: Address already in use"):
        second.start()
    second.stop()
    assert world.bot().heard() == 0


@pytest.mark.parametrize("address", ["http://127.0.0.1:8766", "ws://127.0.0.1", "wss://127.0.0.1:8766", "ws://"])
def test_an_address_that_is_none_is_refused(address: str):
    with pytest.raises(UsageError, match="HOST:PORT"):
        Relay(address, KEY, SystemClock(), lambda: None)
