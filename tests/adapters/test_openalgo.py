from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runbook.adapters.openalgo import OpenAlgo
from runbook.adapters.openalgo.client import HOLD, MAX_NAMES
from runbook.adapters.openalgo.transport import ENDPOINTS, MAX_BODY
from runbook.budget import Budget, BudgetSpent
from runbook.clock import RehearsalClock, host_monotonic
from runbook.errors import (
    AccessUnknown,
    BadAnswer,
    Banned,
    BrokerSessionGone,
    BrokerTokenDead,
    BrokerTrouble,
    GatewayError,
    GatewayRejected,
    GatewayUnreachable,
    RateLimited,
    SymbolUnknown,
    UsageError,
    WrongKey,
)
from runbook.market import Instrument
from runbook.ports import GatewayMode
from tests.adapters.replay import KEY, RestReplay, answer, entry, raw_server, read_request, saying, transcript

NIFTY = Instrument("NIFTY", "NSE_INDEX")
SBIN = Instrument("SBIN", "NSE")
NOPE = Instrument("NOPE", "NSE")
IST = ZoneInfo("Asia/Kolkata")
SUNDAY = date(2026, 11, 22)
REFUSED = answer(403, {"message": "Invalid openalgo apikey", "status": "error"})


@pytest.fixture(scope="module")
def server() -> Iterator[RestReplay]:
    replay = RestReplay()
    yield replay
    replay.close()


@pytest.fixture
def replay(server: RestReplay) -> RestReplay:
    server.reset()
    return server


@pytest.fixture
def clock() -> RehearsalClock:
    return RehearsalClock(datetime(2026, 11, 23, 3, 30, tzinfo=UTC), rate=0.001)


@pytest.fixture
def gateway(replay: RestReplay, clock: RehearsalClock) -> Iterator[OpenAlgo]:
    client = OpenAlgo(replay.url, KEY, clock, connect_timeout=1, read_timeout=2)
    yield client
    client.close()


def budget(seconds: float = 10) -> Budget:
    return Budget(seconds)


def path_of(name: str) -> tuple[str, str]:
    return ENDPOINTS[name].method, ENDPOINTS[name].path


CALLS: dict[str, Callable[[OpenAlgo], Any]] = {
    "health": lambda g: g.health(budget()),
    "ping": lambda g: g.ping(budget()),
    "mode": lambda g: g.mode(budget()),
    "quotes": lambda g: g.quote(NIFTY, budget()),
    "multiquotes": lambda g: g.quotes([NIFTY, NOPE, SBIN], budget()),
    "funds": lambda g: g.funds(budget()),
    "orders": lambda g: g.orders(budget()),
    "trades": lambda g: g.trades(budget()),
    "positions": lambda g: g.positions(budget()),
    "search": lambda g: g.search("NIFTY", "", budget()),
    "history": lambda g: g.last_candle(NIFTY, SUNDAY, budget()),
    "holidays": lambda g: g.holidays(2026, budget()),
    "timings": lambda g: g.timings(SUNDAY, budget()),
}

# --- every recorded answer -------------------------------------------------------------------------------------------

NAME_OF = {path_of(name): name for name in ENDPOINTS}
RECORDED = [
    (file, r["name"], NAME_OF[r["method"], r["path"]], r)
    for file in (
        "rest_live",
        "rest_errors",
        "analyzer",
        "broker_failures",
        "live_book_vanishes",
        "ip_ban",
        "revoke_relogin_rest",
    )
    for r in transcript(file)
    if (r["method"], r["path"]) in NAME_OF
]

# (file, pattern of the name) -> the named error; what matches nothing must give a value
ERRORS: list[tuple[str, str, type[GatewayError]]] = [
    ("ip_ban", ".*", Banned),
    ("revoke_relogin_rest", r"\[revoked\] (?!search|market)", BrokerSessionGone),
    ("rest_errors", "(?!market).*with a wrong key", WrongKey),
    (
        "rest_errors",
        "ping, |analyzer, key|quotes, fields|quotes bad|quotes lower case exchange|body is not|empty body",
        GatewayRejected,
    ),
    ("rest_live", "market/timings bad date", GatewayRejected),
    ("rest_errors", "market/holidays with a wrong key", GatewayRejected),  # the key passes, 1999 does not
    ("rest_errors", "quotes NIFTY on NSE|quotes lower case symbol", SymbolUnknown),
    ("rest_errors", "form body|JSON array", BadAnswer),  # OpenAlgo itself failed: no broker is behind a ping
    ("rest_errors", "rate limit|/health/status beyond", RateLimited),
    ("broker_failures", r"\[expired\w*\] (quotes|multiquotes|funds)", BrokerTokenDead),
    ("live_book_vanishes", r"\[token dead.*\] (quotes|funds)", BrokerTokenDead),
    ("analyzer", r"\[broker token dead\] quotes", BrokerTokenDead),
    ("broker_failures", r"\[ratelimit\] (quotes|multiquotes)", RateLimited),
    ("broker_failures", r"\[ratelimit\] (funds|orderbook|tradebook|positionbook)", BrokerTrouble),
    ("broker_failures", r"\[html502\] (quotes|multiquotes|funds|orderbook|tradebook|positionbook)", BrokerTrouble),
]


def error_expected(file: str, name: str) -> type[GatewayError] | None:
    found = [e for f, pattern, e in ERRORS if f == file and re.match(pattern, name)]
    assert len(found) < 2
    return found[0] if found else None


@pytest.mark.parametrize(("file", "name", "call", "recorded"), RECORDED, ids=[f"{f}: {n}" for f, n, _, _ in RECORDED])
def test_each_recorded_answer_becomes_its_value_or_its_named_error(
    file: str, name: str, call: str, recorded: dict[str, Any], replay: RestReplay, gateway: OpenAlgo
) -> None:
    replay.answers[path_of(call)] = answer(
        recorded["status"],
        recorded["body"],
        recorded["content_type"],
        **({"Location": "/rate-limited"} if recorded["status"] == 302 else {}),
    )
    if call != "search":
        known = file == "revoke_relogin_rest"
        replay.answers[path_of("search")] = (
            entry("revoke_relogin_rest", "[revoked] search")
            if known
            else entry("rest_errors", "search with a wrong key")
        )
    expected = error_expected(file, name)
    if expected is not None:
        with pytest.raises(GatewayError) as raised:
            CALLS[call](gateway)
        assert type(raised.value) is expected
        assert KEY not in str(raised.value)
        assert raised.value.hint
        assert call in str(raised.value)
        return
    check(call, recorded["body"], CALLS[call](gateway))


def check(call: str, body: Any, got: Any) -> None:
    """The value against the recorded JSON, read here in the plainest way."""
    data = body.get("data")
    if call == "health":
        assert got == "pass"
    elif call == "ping":
        assert got == "angel"
    elif call == "mode":
        assert got == data["mode"]
    elif call == "quotes":
        assert {k: getattr(got, k) for k in data} == data
        assert (got.fault is None) == (data["ltp"] > 0)
    elif call == "multiquotes":
        by_name = {Instrument(r["symbol"], r["exchange"]): r for r in body.get("results", body.get("invalid_symbols"))}
        usable = [n for n in (NIFTY, NOPE, SBIN) if by_name.get(n, {}).get("data", {}).get("ltp")]
        assert [q.instrument for q in got[0]] == usable
        assert [n for n, _ in got[1]] == [n for n in (NIFTY, NOPE, SBIN) if n not in usable]
        assert all(reason for _, reason in got[1])
    elif call == "funds":
        assert got["availablecash"] == float(data["availablecash"])
        assert "last_reset" not in got
    elif call == "orders":
        mode, rows = got
        assert mode == body.get("mode", "live")
        assert [(o.order_id, o.quantity, o.status) for o in rows] == [
            (r["orderid"], int(r["quantity"]), r["order_status"]) for r in data["orders"]
        ]
    elif call == "trades":
        mode, rows = got
        assert mode == body.get("mode", "live")
        assert [(t.order_id, t.quantity, t.price, t.time, t.strategy, t.trade_id) for t in rows] == [
            (
                r["orderid"],
                int(r["quantity"]),
                float(r["average_price"]),
                r["timestamp"],
                r.get("strategy"),
                r.get("tradeid"),
            )
            for r in data
        ]
    elif call == "positions":
        assert got.mode == body.get("mode", "live")
        assert got.pnl_today == body.get("total_pnl_today")
        assert [(p.instrument.symbol, p.quantity, p.average_price, p.ltp, p.pnl) for p in got.rows] == [
            (r["symbol"], r["quantity"], r["average_price"], r["ltp"], r["pnl"]) for r in data
        ]
    elif call == "search":
        assert [(x.instrument.symbol, x.kind, x.lot_size) for x in got] == [
            (r["symbol"], r["instrumenttype"], r["lotsize"]) for r in data
        ]
    elif call == "holidays":
        assert [(h.date.isoformat(), h.name, h.kind, list(h.closed), len(h.opens)) for h in got] == [
            (r["date"], r["description"], r["holiday_type"], r["closed_exchanges"], len(r["open_exchanges"]))
            for r in data
        ]
    elif call == "timings":
        assert [(h.exchange, h.start.timestamp() * 1000, h.end.timestamp() * 1000) for h in got] == [
            (r["exchange"], r["start_time"], r["end_time"]) for r in data
        ]
    elif call == "history":
        if not data:
            assert got is None
        else:
            newest = max(data, key=lambda r: r["timestamp"])
            assert (got.start, got.close) == (datetime.fromtimestamp(newest["timestamp"], UTC), newest["close"])


def test_the_recordings_reach_every_endpoint_and_every_error_of_the_table() -> None:
    assert {call for _, _, call, _ in RECORDED} == set(ENDPOINTS)
    used = {(f, p) for f, p, _ in ERRORS for file, name, _, _ in RECORDED if f == file and re.match(p, name)}
    assert used == {(f, p) for f, p, _ in ERRORS}


# --- what a value holds ----------------------------------------------------------------------------------------------


def test_an_analyzer_stamp_is_an_instant_in_ist(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("trades")] = entry("analyzer", "tradebook")
    _, trades = gateway.trades(budget())
    assert trades[0].at == datetime(2026, 11, 22, 14, 43, 7, tzinfo=IST)
    assert trades[0].at.utcoffset() == timedelta(hours=5, minutes=30)


def test_a_live_trade_prints_only_its_time_and_claims_no_instant(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("trades")] = entry("rest_live", "/api/v1/tradebook")
    _, trades = gateway.trades(budget())
    assert (trades[0].time, trades[0].at) == ("14:25:31", None)


@pytest.mark.parametrize(
    ("stamp", "instant"),
    [
        ("22-Nov-2026 14:25:31", datetime(2026, 11, 22, 14, 25, 31, tzinfo=IST)),
        ("2-Nov-2026 09:15:00", datetime(2026, 11, 2, 9, 15, tzinfo=IST)),
        ("22-11-2026 14:25:31", datetime(2026, 11, 22, 14, 25, 31, tzinfo=IST)),
        ("2026-11-22T14:25:31+00:00", datetime(2026, 11, 22, 14, 25, 31, tzinfo=UTC)),
        ("31-Feb-2026 14:25:31", None),
        ("2026-11-22", None),
        ("", None),
    ],
)
def test_each_form_of_stamp_is_read_or_left(
    stamp: str, instant: datetime | None, replay: RestReplay, gateway: OpenAlgo
) -> None:
    row = {**entry("rest_live", "/api/v1/tradebook")["body"]["data"][0], "timestamp": stamp}
    replay.answers[path_of("trades")] = answer(200, {"status": "success", "data": [row]})
    _, trades = gateway.trades(budget())
    assert trades[0].at == instant
    assert trades[0].time == stamp


def test_the_future_has_an_expiry_and_the_index_has_none(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("search")] = entry("rest_live", "/api/v1/search")
    found = {x.instrument.symbol: x for x in gateway.search("NIFTY", "", budget())}
    assert found["NIFTY24NOV26FUT"].expiry == date(2026, 11, 24)
    assert found["NIFTY24NOV26FUT"].lot_size == 75
    assert found["NIFTY"].expiry is None


def test_a_listing_whose_expiry_cannot_be_read_is_left_out_and_not_made_eternal(
    replay: RestReplay, gateway: OpenAlgo, caplog: pytest.LogCaptureFixture
) -> None:
    rows = entry("rest_live", "/api/v1/search")["body"]["data"]
    odd = [{**r, "expiry": "soon"} if r["instrumenttype"] == "FUT" else r for r in rows]
    replay.answers[path_of("search")] = answer(200, {"status": "success", "data": odd})
    assert [x for x in gateway.search("NIFTY", "", budget()) if x.kind == "FUT"] == []
    assert "'soon' is no date" in caplog.text


@pytest.mark.parametrize(
    ("ltp", "fault"),
    [(0, "ltp is 0"), (-5, "ltp is -5"), ("NaN", "ltp is nan"), (None, "ltp is nan"), (1e6, "outside the day's range")],
)
def test_a_fault_value_is_still_a_quote_that_says_so_and_never_enters_the_batch(
    ltp: object, fault: str, replay: RestReplay, gateway: OpenAlgo
) -> None:
    data = {**entry("rest_live", "quotes equity")["body"]["data"], "ltp": ltp}
    replay.answers[path_of("quotes")] = answer(200, {"status": "success", "data": data})
    results = [{"symbol": "SBIN", "exchange": "NSE", "data": data}]
    replay.answers[path_of("multiquotes")] = answer(200, {"status": "success", "results": results})
    assert fault in str(gateway.quote(SBIN, budget()).fault)
    quotes, faults = gateway.quotes([SBIN], budget())
    assert quotes == ()
    assert fault in faults[0][1]


def test_a_bare_nan_and_numbers_in_strings_are_read_as_what_they_are(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("quotes")] = answer(
        200, '{"status":"success","data":{"ltp":"974.60","bid":NaN,"volume":"93"}}'
    )
    quote = gateway.quote(SBIN, budget())
    assert (quote.ltp, quote.bid, quote.volume, quote.fault) == (974.6, 0.0, 93, None)
    replay.answers[path_of("quotes")] = answer(200, '{"status":"success","data":{"ltp":Infinity}}')
    assert math.isnan(gateway.quote(SBIN, budget()).ltp)


def test_more_than_fifty_names_become_several_calls_of_at_most_fifty(replay: RestReplay, gateway: OpenAlgo) -> None:
    names = [Instrument(f"S{i}", "NSE") for i in range(2 * MAX_NAMES + 1)]
    data = entry("rest_live", "quotes equity")["body"]["data"]
    results = [{"symbol": n.symbol, "exchange": n.exchange, "data": data} for n in names]
    replay.answers[path_of("multiquotes")] = answer(200, {"status": "success", "results": results})
    quotes, faults = gateway.quotes([*names, names[0]], budget())
    assert [q.instrument for q in quotes] == names
    assert faults == ()
    assert [len(body["symbols"]) for _, _, body in replay.asked] == [50, 50, 1]


def test_a_part_that_fails_costs_only_its_own_names(replay: RestReplay, gateway: OpenAlgo) -> None:
    names = [Instrument(f"S{i}", "NSE") for i in range(MAX_NAMES + 1)]
    data = entry("rest_live", "quotes equity")["body"]["data"]
    good = answer(200, {"status": "success", "results": [{"symbol": "S50", "exchange": "NSE", "data": data}]})
    replay.answers[path_of("multiquotes")] = [entry("broker_failures", "[html502] multiquotes"), good]
    quotes, faults = gateway.quotes(names, budget())
    assert [q.instrument for q in quotes] == names[50:]
    assert [n for n, _ in faults] == names[:50]
    assert "status 502" in faults[0][1]


def test_no_names_are_no_call(replay: RestReplay, gateway: OpenAlgo) -> None:
    assert gateway.quotes([], budget()) == ((), ())
    assert replay.asked == []


def test_a_failing_server_says_fail_and_is_still_an_answer(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("health")] = answer(503, {"serviceId": "openalgo", "status": "fail"})
    assert gateway.health(budget()) == "fail"


# --- success that is none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "body", "error"),
    [
        ("ping", "<html>hello</html>", BadAnswer),
        ("ping", [], BadAnswer),
        ("ping", '{"status":"success","data":{"bro', BadAnswer),
        ("ping", {"data": {"broker": "angel"}}, BadAnswer),
        ("ping", {"status": "success"}, BadAnswer),
        ("ping", {"status": "success", "data": {"broker": ""}}, BadAnswer),
        ("ping", "[" * 100_000, BadAnswer),
        ("mode", {"status": "success", "data": {"analyze_mode": True, "mode": "live"}}, BadAnswer),
        ("mode", {"status": "success", "data": {"mode": "live"}}, BadAnswer),
        ("health", {"status": "error", "message": "no"}, BadAnswer),
        ("quotes", {"status": "success", "data": {}}, BadAnswer),
        ("quotes", {"status": "success", "data": [1]}, BadAnswer),
        ("quotes", {"status": "error", "message": "Error fetching quotes: token expired"}, BrokerTokenDead),
        ("quotes", {"status": "error", "message": "no data from the broker"}, BrokerTrouble),
        ("quotes", {"status": "error", "message": "Symbol 'X' not found for exchange 'NSE'."}, SymbolUnknown),
        ("multiquotes", {"status": "success", "data": []}, BadAnswer),
        ("funds", {"status": "success", "data": {"last_reset": "2026-11-22"}}, BadAnswer),
        ("funds", {"status": "success", "data": {}, "mode": "analyze"}, BadAnswer),
        ("orders", {"status": "success", "data": []}, BadAnswer),
        ("orders", {"status": "success", "data": {"orders": [{"orderid": "1"}]}}, BadAnswer),
        ("trades", {"status": "success", "data": [], "mode": "dream"}, BadAnswer),
        ("trades", {"status": "success", "data": ["row"]}, BadAnswer),
        ("positions", {"status": "success", "data": {}}, BadAnswer),
        ("history", {"status": "success", "data": [{"close": 1}]}, BadAnswer),
    ],
)
def test_two_hundred_without_the_content_that_is_due_is_a_named_error(
    call: str, body: object, error: type[GatewayError], replay: RestReplay, gateway: OpenAlgo
) -> None:
    replay.answers[path_of(call)] = answer(200, body)
    with pytest.raises(GatewayError) as raised:
        CALLS[call](gateway)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("quantity", "price", "field"),
    [("2.5", "10", "quantity"), ("many", "10", "quantity"), (None, "10", "quantity"), (2, "x", "average_price")],
)
def test_a_trade_with_a_figure_that_cannot_be_read_is_an_error_and_never_zero(
    quantity: object, price: object, field: str, replay: RestReplay, gateway: OpenAlgo
) -> None:
    row = {**entry("rest_live", "/api/v1/tradebook")["body"]["data"][0], "quantity": quantity, "average_price": price}
    replay.answers[path_of("trades")] = answer(200, {"status": "success", "data": [row]})
    with pytest.raises(BadAnswer, match=field):
        gateway.trades(budget())


def test_numbers_in_strings_are_read_in_the_books(replay: RestReplay, gateway: OpenAlgo) -> None:
    row = {"symbol": "SBIN", "exchange": "NSE", "quantity": "-75.0", "average_price": "9.5", "ltp": "10", "pnl": "-3"}
    replay.answers[path_of("positions")] = answer(200, {"status": "success", "data": [row]})
    book = gateway.positions(budget())
    assert [(p.quantity, p.average_price, p.ltp, p.pnl) for p in book.rows] == [(-75, 9.5, 10.0, -3.0)]
    assert book.mode is GatewayMode.LIVE
    assert book.pnl_today is None


# --- other servers' answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxys_page_means_openalgo_is_down_behind_it(status: int, replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("ping")] = answer(status, "<html><h1>Bad Gateway</h1></html>", "text/html")
    with pytest.raises(GatewayUnreachable, match=f"HTTP {status} from a proxy") as raised:
        gateway.ping(budget())
    assert "systemctl status openalgo" in str(raised.value.hint)


def test_a_redirect_is_not_followed(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("ping")] = answer(301, "", "text/html", Location="https://elsewhere.example/api/v1/ping")
    with pytest.raises(BadAnswer, match="redirected") as raised:
        gateway.ping(budget())
    assert "https" in str(raised.value.hint)
    assert replay.paths() == ["/api/v1/ping"]


def test_a_path_that_is_missing_is_not_asked_again_for_a_quarter_of_an_hour(
    replay: RestReplay, gateway: OpenAlgo, clock: RehearsalClock
) -> None:
    replay.answers[path_of("ping")] = entry("rest_live", "/api/v1/ping")
    for _ in range(3):
        with pytest.raises(GatewayRejected):
            gateway.quotes([SBIN], budget())
    assert gateway.ping(budget()) == "angel"  # only that path is held
    assert replay.paths().count("/api/v1/multiquotes") == 1
    clock.jump_to(clock.now() + timedelta(seconds=HOLD + 1))
    replay.answers[path_of("multiquotes")] = entry("rest_live", "multiquotes, one unknown")
    assert gateway.quotes([SBIN], budget())[0]
    assert gateway.quotes([SBIN], budget())[0]


def test_an_old_404_does_not_hide_that_the_key_is_wrong_now(
    replay: RestReplay, gateway: OpenAlgo, clock: RehearsalClock
) -> None:
    with pytest.raises(GatewayRejected):
        gateway.funds(budget())
    clock.jump_to(clock.now() + timedelta(seconds=HOLD + 1))
    replay.answers = {path_of(n): REFUSED for n in ("ping", "funds", "search")}
    with pytest.raises(WrongKey):
        gateway.ping(budget())
    with pytest.raises(WrongKey, match="not asked again"):
        gateway.funds(budget())
    assert replay.paths().count("/api/v1/funds") == 1


# --- 403 -------------------------------------------------------------------------------------------------------------


def test_a_missing_broker_session_is_looked_for_at_each_call_and_the_login_is_seen_at_once(
    replay: RestReplay, gateway: OpenAlgo
) -> None:
    replay.answers[path_of("ping")] = [REFUSED, REFUSED, entry("rest_live", "/api/v1/ping")]
    replay.answers[path_of("search")] = entry("revoke_relogin_rest", "[revoked] search")
    for _ in range(2):
        with pytest.raises(BrokerSessionGone) as raised:
            gateway.ping(budget())
        assert "log in to the broker" in str(raised.value.hint)
    assert gateway.ping(budget()) == "angel"
    assert replay.paths() == ["/api/v1/ping", "/api/v1/search"] * 2 + ["/api/v1/ping"]


def test_a_wrong_key_is_not_sent_again_for_a_quarter_of_an_hour(
    replay: RestReplay, gateway: OpenAlgo, clock: RehearsalClock
) -> None:
    replay.answers[path_of("ping")] = REFUSED
    replay.answers[path_of("search")] = REFUSED
    replay.answers[path_of("health")] = entry("rest_live", "GET /health/status")
    with pytest.raises(WrongKey):
        gateway.ping(budget())
    sent = len(replay.asked)
    for call in ("ping", "funds", "multiquotes", "search"):
        with pytest.raises(WrongKey, match="next try is due in 15 min") as raised:
            CALLS[call](gateway)
        assert raised.value.hint == WrongKey.hint
    assert len(replay.asked) == sent == 2
    assert gateway.health(budget()) == "pass"  # carries no key, and does not open the door
    with pytest.raises(WrongKey, match="not asked again"):
        gateway.ping(budget())
    clock.jump_to(clock.now() + timedelta(seconds=HOLD - 60))
    with pytest.raises(WrongKey, match="next try is due in 1 min"):
        gateway.ping(budget())
    clock.jump_to(clock.now() + timedelta(seconds=61))
    with pytest.raises(WrongKey, match="search refuses"):
        gateway.ping(budget())
    assert len(replay.asked) == 5
    clock.jump_to(clock.now() + timedelta(seconds=HOLD + 1))
    replay.answers[path_of("ping")] = entry("rest_live", "/api/v1/ping")
    assert gateway.ping(budget()) == gateway.ping(budget()) == "angel"


def test_one_constant_wrong_key_stays_below_the_ban_in_a_day_of_minutely_checks(
    replay: RestReplay, gateway: OpenAlgo, clock: RehearsalClock
) -> None:
    replay.answers[path_of("ping")] = REFUSED
    replay.answers[path_of("search")] = REFUSED
    start = clock.now()
    for minute in range(24 * 60):
        clock.jump_to(start + timedelta(minutes=minute))
        with pytest.raises(WrongKey):
            gateway.ping(budget())
    assert replay.paths().count("/api/v1/ping") <= 96


@pytest.mark.parametrize(
    "undecided", [answer(500, {"status": "error", "message": "x"}), answer(429, {"message": "50 per 1 second"})]
)
def test_when_the_search_gives_no_verdict_the_error_says_so_and_nothing_is_held(
    undecided: dict[str, Any], replay: RestReplay, gateway: OpenAlgo
) -> None:
    replay.answers[path_of("ping")] = [REFUSED, entry("rest_live", "/api/v1/ping")]
    replay.answers[path_of("search")] = undecided
    with pytest.raises(AccessUnknown, match="search that would tell why failed"):
        gateway.ping(budget())
    assert gateway.ping(budget()) == "angel"


def test_a_ban_is_waited_out_and_seen_to_end_by_a_call_without_the_key(replay: RestReplay, gateway: OpenAlgo) -> None:
    banned = entry("ip_ban", "banned IP, right key")
    replay.answers[path_of("ping")] = [banned, entry("rest_live", "/api/v1/ping")]
    replay.answers[path_of("health")] = [banned, entry("rest_live", "GET /health/status")]
    for _ in range(3):
        with pytest.raises(Banned):
            gateway.ping(budget())
    assert replay.paths() == ["/api/v1/ping"]
    with pytest.raises(Banned):
        gateway.health(budget())
    assert gateway.health(budget()) == "pass"
    assert gateway.ping(budget()) == "angel"


# --- the transport ---------------------------------------------------------------------------------------------------


def client(port: int, clock: RehearsalClock, read: float = 2) -> OpenAlgo:
    return OpenAlgo(f"http://127.0.0.1:{port}", KEY, clock, connect_timeout=1, read_timeout=read)


def test_connection_refused_says_so(clock: RehearsalClock) -> None:
    with pytest.raises(GatewayUnreachable, match="connection refused") as raised:
        client(1, clock).ping(budget())
    assert "systemctl status openalgo" in str(raised.value.hint)


def test_a_server_that_never_answers_is_given_up_at_the_read_time_out(clock: RehearsalClock) -> None:
    held = threading.Event()

    def silent(conn: Any) -> None:
        read_request(conn)
        held.wait(5)

    with raw_server(silent) as port:
        began = host_monotonic()
        with pytest.raises(GatewayUnreachable, match=r"nothing came for 0\.3 s"):
            client(port, clock, read=0.3).ping(budget())
        assert host_monotonic() - began < 2
        held.set()


@pytest.mark.parametrize("what", ["body", "headers"])
def test_a_server_that_drips_does_not_outlive_the_budget(what: str, clock: RehearsalClock) -> None:
    stop = threading.Event()

    def drip(conn: Any) -> None:
        read_request(conn)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        conn.sendall(head + b"Content-Length: 1000\r\n\r\n" if what == "body" else head + b"X-Drip: ")
        while not stop.wait(0.05):
            conn.sendall(b"1")

    with raw_server(drip) as port:
        began = host_monotonic()
        with pytest.raises(GatewayUnreachable, match="not complete after"):
            client(port, clock).ping(budget(0.5))
        assert 0.4 < host_monotonic() - began < 2
        stop.set()


def test_a_step_that_is_given_up_ends_the_call_it_waits_in(clock: RehearsalClock) -> None:
    mine = budget(60)
    held = threading.Event()

    def silent(conn: Any) -> None:
        read_request(conn)
        mine.stop.set()
        held.wait(5)

    with raw_server(silent) as port:
        began = host_monotonic()
        with pytest.raises(BudgetSpent, match="given up"):
            client(port, clock, read=30).ping(mine)
        assert host_monotonic() - began < 3
        held.set()


def test_a_spent_budget_sends_nothing(replay: RestReplay, gateway: OpenAlgo) -> None:
    with pytest.raises(BudgetSpent):
        gateway.ping(Budget(0))
    assert replay.asked == []


def test_a_huge_body_is_not_read_to_its_end(clock: RehearsalClock) -> None:
    sent = 0

    def flood(conn: Any) -> None:
        nonlocal sent
        read_request(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            conn.sendall(b" " * 65536)
            sent += 65536

    with raw_server(flood) as port, pytest.raises(BadAnswer, match="more than 8 MiB"):
        client(port, clock, read=5).ping(budget())
    assert sent < 4 * MAX_BODY


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"status":', "broke off"),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"sta\r\n', "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broke off"),
        (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"status":', "cut short"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", "not HTTP"),
    ],
)
def test_an_answer_that_is_broken_is_a_bad_answer(raw: bytes, said: str, clock: RehearsalClock) -> None:
    with raw_server(saying(raw)) as port, pytest.raises(BadAnswer, match=said):
        client(port, clock).ping(budget())


def test_a_kept_connection_that_the_server_dropped_is_replaced_without_a_word(clock: RehearsalClock) -> None:
    turn = iter(range(100))

    def once_then_drop(conn: Any) -> None:
        body = b'{"status":"success","data":{"broker":"angel"}}'
        read_request(conn)
        if next(turn) == 0:
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            read_request(conn)  # the second request arrives, and is answered by a close
            return
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with raw_server(once_then_drop) as port:
        gateway = client(port, clock)
        assert gateway.ping(budget()) == "angel"
        assert gateway.ping(budget()) == "angel"
        gateway.close()


def test_a_server_that_always_hangs_up_is_asked_twice_and_no_more(clock: RehearsalClock) -> None:
    asked: list[bytes] = []
    hang_up = raw_server(lambda conn: asked.append(read_request(conn)))
    with hang_up as port, pytest.raises(GatewayUnreachable, match="closed the connection without an") as raised:
        client(port, clock).ping(budget())
    assert type(raised.value) is GatewayUnreachable
    assert len(asked) == 2


def test_one_connection_serves_many_calls(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("ping")] = entry("rest_live", "/api/v1/ping")
    replay.answers[path_of("quotes")] = entry("broker_failures", "[expired] quotes")
    for _ in range(5):
        gateway.ping(budget())
        with pytest.raises(BrokerTokenDead):
            gateway.quote(NIFTY, budget())
    assert replay.connections == 1


def test_no_proxy_and_no_netrc_of_the_environment_is_used(
    replay: RestReplay, gateway: OpenAlgo, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    replay.answers[path_of("ping")] = entry("rest_live", "/api/v1/ping")
    assert gateway.ping(budget()) == "angel"


# --- read-only, and the key ------------------------------------------------------------------------------------------


def test_the_list_of_endpoints_holds_reads_only_and_cannot_be_added_to() -> None:
    assert {e.path for e in ENDPOINTS.values()} == {
        "/health/status",
        "/api/v1/ping",
        "/api/v1/analyzer",
        "/api/v1/search",
        "/api/v1/quotes",
        "/api/v1/multiquotes",
        "/api/v1/funds",
        "/api/v1/orderbook",
        "/api/v1/tradebook",
        "/api/v1/positionbook",
        "/api/v1/history",
        "/api/v1/market/holidays",
        "/api/v1/market/timings",
    }
    with pytest.raises(TypeError):
        ENDPOINTS["placeorder"] = ENDPOINTS["ping"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        ENDPOINTS["ping"].path = "/api/v1/placeorder"  # type: ignore[misc]


@pytest.mark.parametrize(
    "name", ["placeorder", "analyzer/toggle", "/api/v1/placeorder", "../placeorder", "closeposition"]
)
def test_what_is_not_listed_cannot_be_asked(name: str, replay: RestReplay, gateway: OpenAlgo) -> None:
    with pytest.raises(UsageError, match="only reads"):
        gateway._transport.call(name, {}, budget())
    assert replay.asked == []


def test_the_key_is_in_the_body_of_keyed_calls_and_nowhere_else(replay: RestReplay, gateway: OpenAlgo) -> None:
    for name, call in CALLS.items():
        with pytest.raises(GatewayError):
            call(gateway)
        method, path, body = replay.asked[-1]
        assert (method, path) == path_of(name)
        assert (body or {}).get("apikey") == (KEY if ENDPOINTS[name].keyed else None)
        assert KEY not in path


def test_no_error_nor_repr_shows_the_key_even_when_the_server_echoes_it(replay: RestReplay, gateway: OpenAlgo) -> None:
    echo = answer(500, {"status": "error", "message": f"bad request {{'apikey': '{KEY}'}}"})
    replay.answers = {path_of(n): echo for n in ENDPOINTS}
    for call in CALLS.values():
        with pytest.raises(GatewayError) as raised:
            call(gateway)
        assert KEY not in repr(raised.value) + str(raised.value) + repr(vars(raised.value))
    assert KEY not in repr(gateway) + repr(gateway._transport)


def test_what_a_transport_error_is_chained_to_does_not_carry_the_request(clock: RehearsalClock) -> None:
    with pytest.raises(GatewayUnreachable) as raised:
        client(1, clock).ping(budget())
    cause = raised.value.__cause__
    assert cause is not None
    assert getattr(cause, "request", None) is None


def test_a_password_in_the_address_is_in_no_message(clock: RehearsalClock) -> None:
    gateway = OpenAlgo("http://user:hunter22@127.0.0.1:1/sub/", KEY, clock)
    with pytest.raises(GatewayUnreachable) as raised:
        gateway.ping(budget())
    assert "hunter22" not in str(raised.value) + repr(gateway)
    assert "http://127.0.0.1:1/sub/api/v1/ping" in str(raised.value)


@pytest.mark.parametrize("url", ["127.0.0.1:5000", "ftp://x", "http://", "http://x:99999", "http://x:port", "ws://x"])
def test_an_address_that_is_none_is_refused_at_once(url: str, clock: RehearsalClock) -> None:
    with pytest.raises(UsageError):
        OpenAlgo(url, KEY, clock)


def test_threads_may_share_one_client(replay: RestReplay, gateway: OpenAlgo) -> None:
    replay.answers[path_of("ping")] = entry("rest_live", "/api/v1/ping")
    replay.answers[path_of("funds")] = entry("rest_live", "/api/v1/funds")
    got: list[tuple[str, float]] = []

    def ask() -> None:
        got.extend((gateway.ping(budget()), gateway.funds(budget())["availablecash"]) for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(10)
    assert got == [("angel", 505200.75)] * 40
    assert len(replay.asked) == 80


def test_the_bodies_sent_are_what_openalgos_strict_schemas_take(replay: RestReplay, gateway: OpenAlgo) -> None:
    """Unknown fields are refused there with a 400, so each body is compared with one that was accepted."""
    for name, file, recorded in [
        ("quotes", "rest_live", "quotes index"),
        ("history", "rest_live", "/api/v1/history"),
        ("multiquotes", "rest_live", "multiquotes, one unknown"),
        ("search", "rest_live", "/api/v1/search"),
        ("funds", "rest_live", "/api/v1/funds"),
    ]:
        with pytest.raises(GatewayError):
            CALLS[name](gateway)
        assert json.dumps({**replay.asked[-1][2], "apikey": "<APIKEY>"}, sort_keys=True) == json.dumps(
            entry(file, recorded)["request"], sort_keys=True
        )
