"""Each fault does what its line says, and is gone when it is cleared."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from websockets.exceptions import InvalidStatus

from runbook.clock import RehearsalClock, host_monotonic
from runbook.errors import UsageError
from runbook.simulator import Fault, Simulator

OPEN = datetime(2026, 11, 22, 3, 45, tzinfo=UTC)
NIFTY = {"symbol": "NIFTY", "exchange": "NSE_INDEX"}


@pytest.fixture
def followed(talk):
    talk.log_in()
    talk.follow()
    talk.tick()
    return talk


def price(web):
    return web.post("quotes", **NIFTY).body["data"]["ltp"]


def moves(web, until):
    first = price(web)
    until(lambda: price(web) != first)
    return True


def test_a_mute_feed_sends_nothing_while_acks_pongs_and_rest_go_on(sim, followed, web, until):
    sim.switch("mute")
    assert followed.is_silent(0.3)
    assert followed.ask({"action": "ping"})["type"] == "pong"
    assert followed.follow()["status"] == "success"
    assert followed.ask({"action": "get_broker_info"})["adapter_status"] == "connected"
    assert moves(web, until)
    sim.switch("unmute")
    assert followed.tick()


def test_a_mute_until_resubscribe_is_healed_by_a_subscription_that_reaches_the_broker(sim, followed):
    sim.switch("mute", until="resubscribe")
    followed.follow()  # tracked already: the broker hears nothing of it
    assert followed.is_silent(0.2)
    followed.ask({"action": "unsubscribe_all"})
    followed.follow()
    assert followed.tick()


def test_a_mute_until_reconnect_is_healed_when_the_last_client_has_left(sim, followed, talk_to, until):
    sim.switch("mute", until="reconnect")
    assert followed.is_silent(0.2)
    followed.close()
    until(lambda: sim.stream_clients == 0)
    again = talk_to(sim)
    again.log_in()
    again.follow()
    assert again.tick()


def test_a_dead_feed_with_snapshots_brings_the_same_trade_every_two_minutes(sim, followed, clock):
    clock.set_rate(120)
    sim.switch("snapshot_only")
    followed.is_silent(0.1)
    first, second = followed.tick(8), followed.tick(10)
    assert (first["data"]["ltp"], first["data"]["ltt"]) == (second["data"]["ltp"], second["data"]["ltt"])
    apart = (second["data"]["timestamp"] - first["data"]["timestamp"]) / 1000
    assert 90 < apart < 140


def test_frozen_all_keeps_ticking_with_one_price_and_one_trade_time(sim, followed, web):
    sim.switch("frozen_all")
    followed.is_silent(0.05)
    ticks = [followed.tick() for _ in range(5)]
    assert len({(t["data"]["ltp"], t["data"]["ltt"]) for t in ticks[1:]}) == 1
    assert len({t["data"]["timestamp"] for t in ticks}) == 5
    assert price(web) == ticks[-1]["data"]["ltp"]


def test_a_frozen_rest_price_stands_while_the_stream_moves(sim, followed, web):
    sim.switch("frozen")
    shown = price(web)
    assert len({followed.tick()["data"]["ltp"] for _ in range(8)}) > 1
    assert price(web) == shown
    sim.switch("thaw")


def test_drop_closes_with_1001_and_refuses_until_accept(sim, followed, talk_to, web):
    sim.switch("drop")
    assert followed.end().rcvd.code == 1001
    with pytest.raises(ConnectionRefusedError):
        talk_to(sim)
    assert web.post("ping").status == 200
    sim.switch("accept")
    assert talk_to(sim).log_in()["status"] == "success"


def test_refuse_lets_open_sockets_live(sim, followed, talk_to):
    sim.switch("refuse")
    with pytest.raises(ConnectionRefusedError):
        talk_to(sim)
    assert followed.tick()
    sim.clear("refuse")
    assert talk_to(sim)


def test_refuse_can_be_the_502_of_a_proxy(sim, talk_to):
    sim.switch("refuse", how="502")
    with pytest.raises(InvalidStatus) as refused:
        talk_to(sim)
    assert refused.value.response.status_code == 502


def test_kick_resets_the_socket_and_accepts_at_once(sim, followed, talk_to):
    sim.switch("kick")
    closed = followed.end()
    assert closed.rcvd is None
    assert isinstance(closed.__cause__, ConnectionResetError)
    assert talk_to(sim).log_in()["status"] == "success"


def test_an_evicted_client_hears_nothing_until_it_authenticates_and_subscribes(sim, followed):
    sim.switch("evict")
    assert followed.is_silent(0.2)
    assert followed.ask({"action": "get_broker_info"})["adapter_status"] == "disconnected"
    assert followed.follow()["message"] == "Broker adapter not found"
    assert followed.log_in()["status"] == "success"
    assert followed.is_silent(0.2)
    followed.follow()
    assert followed.tick()


def test_a_login_ends_a_revoked_session_and_leaves_old_sockets_mute(sim, followed, web):
    sim.switch("session_revoked")
    assert web.post("ping").status == 403
    assert web.post("search", query="NIFTY").status == 200
    assert followed.log_in()["message"] == "No broker configuration found for user"
    sim.switch("login")
    assert web.post("ping").status == 200
    assert followed.is_silent(0.2)
    followed.log_in()
    followed.follow()
    assert followed.tick()


def test_a_dead_token_fails_quotes_and_silences_the_stream_but_not_ping(sim, followed, web):
    sim.switch("token_dead")
    assert web.post("ping").status == 200
    assert web.post("quotes", **NIFTY).status == 500
    assert web.post("funds").body == {"data": {}, "status": "success"}
    assert followed.is_silent(0.2)
    sim.switch("login")
    assert web.post("funds").body["data"]


def test_a_wrong_key_is_wrong_on_both_sides(sim, web, talk):
    sim.switch("wrong_key")
    assert web.post("search", query="NIFTY").status == 403
    assert talk.log_in() == {"status": "error", "code": "AUTHENTICATION_ERROR", "message": "Invalid API key"}


def test_wrong_mode_flips_what_the_server_says_of_itself(sim, web):
    sim.switch("wrong_mode")
    assert web.post("analyzer").body["data"]["mode"] == "analyze"
    sim.clear("wrong_mode")
    assert web.post("analyzer").body["data"]["mode"] == "live"


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("rate_limited", 429, '{"message": "50 per 1 second"}'),
        ("html_502", 502, "<center><h1>502 Bad Gateway</h1></center>"),
        ("banned", 403, "Access Denied: Your IP has been banned"),
        ("broker_502", 500, "Failed to parse API response (status 502)"),
        ("broker_limited", 500, "Angel API rate limit exceeded"),
        ("zero", 200, '"ltp":0.0'),
        ("empty_success", 200, '{"data":{},"status":"success"}'),
        ("symbols_gone", 400, "ensure master contracts are downloaded"),
    ],
)
def test_a_quote_fails_in_the_way_of_the_fault(sim, web, fault, status, words):
    sim.switch(fault)
    told = web.post("quotes", **NIFTY)
    assert told.status == status
    assert words in told.text
    sim.clear(fault)
    assert web.post("quotes", **NIFTY).body["data"]["ltp"] > 0


def test_slow_answers_come_late_by_real_seconds(sim, web):
    sim.switch("slow", seconds=0.3)
    began = host_monotonic()
    assert web.post("ping").status == 200
    assert host_monotonic() - began >= 0.28


def test_a_hanging_answer_comes_when_the_fault_is_lifted(sim, web):
    sim.switch("hang")
    told = []
    asker = threading.Thread(target=lambda: told.append(web.post("ping").status))
    asker.start()
    asker.join(0.2)
    assert told == []
    sim.clear("hang")
    asker.join(3)
    assert told == [200]


def test_a_hanging_server_still_stops_within_two_seconds(clock, web_to, until):
    sim = Simulator(clock=clock).start()
    sim.switch("hang")
    told = []
    asker = threading.Thread(target=lambda: told.append(web_to(sim).post("ping").status))
    asker.start()
    until(lambda: sim.calls)
    began = host_monotonic()
    sim.stop()
    assert host_monotonic() - began < 2.0
    asker.join(3)
    assert told == [200]


def test_garbage_is_wrong_in_many_ways(sim, followed, clock):
    clock.set_rate(60)
    sim.switch("garbage")
    frames = [followed.raw() for _ in range(30)]
    assert any(isinstance(f, bytes) for f in frames)
    assert {"not json {", "[1, 2, 3]", "7", ""} <= {f for f in frames if isinstance(f, str)}
    assert any("NaN" in str(f) for f in frames)
    assert any('"NOPE"' in str(f) for f in frames)


def test_faults_combine(sim, followed, web):
    sim.switch("mute")
    sim.switch("html_502")
    assert followed.is_silent(0.2)
    assert web.post("ping").status == 502
    sim.clear_all()
    assert sim.faults == {}
    assert web.post("ping").status == 200


def test_faults_can_be_on_before_the_start(clock, talk_to):
    sim = Simulator(clock=clock)
    sim.switch("refuse")
    with sim, pytest.raises(ConnectionRefusedError):
        talk_to(sim)


def test_an_unknown_fault_names_the_nearest_one(sim):
    with pytest.raises(UsageError, match="did you mean 'mute'") as wrong:
        sim.switch("mtue")
    assert "snapshot_only" in str(wrong.value.hint)


def test_an_argument_a_fault_does_not_take_is_refused(sim):
    with pytest.raises(UsageError, match="takes no argument 'minutes'; it takes seconds"):
        sim.switch("slow", minutes=1)


def test_every_fault_says_what_it_does_in_one_line():
    assert all(fault.says and "\n" not in fault.says for fault in Fault)


def test_a_shut_market_sends_one_snapshot_and_no_more(simulate, talk_to):
    clock = RehearsalClock(OPEN - timedelta(hours=1), rate=20)
    talk = talk_to(simulate(clock=clock))
    talk.log_in()
    talk.follow()
    traded = talk.tick()["data"]["ltt"] / 1000
    assert datetime.fromtimestamp(traded, UTC) < OPEN - timedelta(hours=12)
    assert talk.is_silent(0.3)
    talk.follow()
    assert talk.is_silent(0.2)


def test_a_jumped_clock_brings_the_newest_tick_only(simulate, talk_to):
    clock = RehearsalClock(OPEN - timedelta(hours=1), rate=1)
    talk = talk_to(simulate(clock=clock))
    talk.log_in()
    talk.follow()
    talk.tick()
    clock.jump_to(OPEN + timedelta(hours=2))
    began = host_monotonic()
    tick = talk.tick()
    assert host_monotonic() - began < 1.5
    assert tick["data"]["ltt"] / 1000 >= (OPEN + timedelta(hours=2)).timestamp()
    assert talk.is_silent(0.1)


def test_stream_and_rest_agree_on_the_price_of_a_second(sim, followed):
    tick = followed.tick()["data"]
    when = datetime.fromtimestamp(tick["ltt"] / 1000, UTC)
    from runbook.market import Instrument

    assert sim.market.price_at(Instrument("NIFTY", "NSE_INDEX"), when) == tick["ltp"]


def test_the_future_ticks_twice_as_often_as_the_index(sim, talk):
    talk.log_in()
    talk.follow()
    talk.follow(sim.market.near_future.symbol, "NFO")
    seen = [talk.tick()["symbol"] for _ in range(60)]
    assert 1.5 < seen.count(sim.market.near_future.symbol) / seen.count("NIFTY") < 2.6


def test_what_was_asked_is_on_record(sim, web, talk):
    web.post("ping")
    talk.log_in()
    assert [(c.method, c.path) for c in sim.calls] == [("POST", "/api/v1/ping"), ("WS", "authenticate")]
