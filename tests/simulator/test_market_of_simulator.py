"""The seeded market: the same for everybody who asks, still when it is shut."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from runbook.market import Instrument
from runbook.simulator.contracts import expiries, spell
from runbook.simulator.market import Market

OPEN = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)
CLOSE = OPEN + timedelta(hours=6, minutes=15)
NIFTY = Instrument("NIFTY", "NSE_INDEX")
SBIN = Instrument("SBIN", "NSE")
SESSION = [(OPEN, CLOSE)]


@pytest.fixture(scope="module")
def market() -> Market:
    return Market(7, SESSION, OPEN)


def seconds(count, start=OPEN, step=1):
    return [start + timedelta(seconds=n * step) for n in range(count)]


def test_a_price_depends_on_the_seed_the_instrument_and_the_second_alone(market):
    again = Market(7, SESSION, OPEN)
    backwards = [again.price_at(NIFTY, when) for when in reversed(seconds(50, step=400))]
    assert [market.price_at(NIFTY, when) for when in seconds(50, step=400)] == backwards[::-1]


def test_another_seed_makes_another_day(market):
    other = Market(8, SESSION, OPEN)
    assert [market.price_at(NIFTY, w) for w in seconds(5)] != [other.price_at(NIFTY, w) for w in seconds(5)]


@pytest.mark.parametrize(
    ("role", "tick"), [("NIFTY", 0.05), ("near_future", 0.1), ("far_future", 0.1), ("call", 0.05), ("put", 0.05)]
)
def test_every_price_lies_on_its_tick_and_moves_during_the_session(market, role, tick):
    instrument = NIFTY if role == "NIFTY" else getattr(market, role)
    prices = [market.price_at(instrument, w) for w in seconds(120)]
    assert all(abs(p / tick - round(p / tick)) < 1e-6 and p > 0 for p in prices)
    assert len(set(prices)) > 20


def test_the_index_moves_in_almost_every_second(market):
    prices = [market.price_at(NIFTY, w) for w in seconds(600)]
    assert sum(a != b for a, b in pairwise(prices)) > 540


def test_prices_stand_still_before_the_open_and_after_the_close(market):
    before = {market.price_at(NIFTY, OPEN - timedelta(minutes=m)) for m in (1, 30, 600)}
    after = {market.price_at(NIFTY, CLOSE + timedelta(minutes=m)) for m in (0, 30, 600)}
    assert (len(before), len(after)) == (1, 1)
    assert market.day_at(NIFTY, OPEN).prev_close == before.pop()
    assert not market.is_open(CLOSE)


@pytest.mark.parametrize("symbol", ["NIFTY", "SBIN"])
def test_the_days_range_grows_and_always_holds_the_last_price(market, symbol):
    instrument = NIFTY if symbol == "NIFTY" else SBIN
    days = [market.day_at(instrument, w) for w in seconds(60, step=97)]
    assert all(d.low <= d.ltp <= d.high and d.low <= d.open <= d.high for d in days)
    assert all(a.low >= b.low and a.high <= b.high and a.volume <= b.volume for a, b in pairwise(days))


def test_the_range_of_a_jump_is_the_range_of_a_walk():
    walked, jumped = Market(7, SESSION, OPEN), Market(7, SESSION, OPEN)
    for when in seconds(40, step=61):
        step = walked.day_at(SBIN, when)
    assert jumped.day_at(SBIN, when) == step


def test_an_index_has_no_bid_no_volume_and_no_interest(market):
    day = market.day_at(NIFTY, OPEN + timedelta(hours=1))
    assert (day.bid, day.ask, day.volume, day.oi) == (0.0, 0.0, 0, 0)


def test_a_call_rises_and_a_put_falls_with_the_index(market):
    when = seconds(300, step=60)
    index, call, put = ([market.price_at(i, w) for w in when] for i in (NIFTY, market.call, market.put))
    top, bottom = index.index(max(index)), index.index(min(index))
    assert call[top] > call[bottom]
    assert put[top] < put[bottom]


def test_the_future_stands_near_its_index_and_the_far_one_above(market):
    when = OPEN + timedelta(hours=2)
    index, near, far = (market.price_at(i, when) for i in (NIFTY, market.near_future, market.far_future))
    assert abs(near - index) < 0.005 * index
    assert far > near


def test_candles_agree_with_the_prices(market):
    candles = list(market.candles(NIFTY, OPEN, OPEN + timedelta(seconds=150), 60))
    assert [c.start for c in candles] == [int(OPEN.timestamp()) + n * 60 for n in range(3)]
    for candle in candles[:2]:
        prices = [market.price_at(NIFTY, datetime.fromtimestamp(candle.start + s, UTC)) for s in range(60)]
        assert (candle.open, candle.high, candle.low, candle.close) == (
            prices[0],
            max(prices),
            min(prices),
            prices[-1],
        )


def test_two_sessions_follow_each_other_and_the_night_between_is_still():
    next_open = OPEN + timedelta(days=1)
    market = Market(7, [*SESSION, (next_open, CLOSE + timedelta(days=1))], OPEN)
    night = CLOSE + timedelta(hours=5)
    assert market.price_at(NIFTY, night) == market.price_at(NIFTY, CLOSE)
    assert market.day_at(NIFTY, next_open).prev_close == market.price_at(NIFTY, CLOSE)
    assert market.last_trade(night) == CLOSE


def test_a_market_without_sessions_never_shuts():
    sunday = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)
    market = Market(7, (), sunday)
    assert market.is_open(sunday)
    assert len({market.price_at(NIFTY, w) for w in seconds(30, sunday)}) > 5


@pytest.mark.parametrize(
    ("day", "first"),
    [
        (date(2026, 11, 22), date(2026, 11, 24)),
        (date(2026, 11, 24), date(2026, 11, 24)),
        (date(2026, 11, 25), date(2026, 12, 29)),
        (date(2026, 12, 30), date(2027, 1, 26)),
    ],
)
def test_contracts_expire_on_the_last_tuesday_of_the_month(day, first):
    assert expiries(day)[0] == first


def test_derivatives_are_spelt_as_openalgo_spells_them(market):
    assert str(market.near_future) == "NFO:NIFTY24NOV26FUT"
    assert str(market.call) == "NFO:NIFTY24NOV2626000CE"
    assert spell("NIFTY", date(2026, 1, 6), "FUT") == "NIFTY06JAN26FUT"


def test_the_near_future_is_the_one_of_the_coming_session_not_of_a_past_one():
    old = (OPEN - timedelta(days=30), CLOSE - timedelta(days=30))
    assert Market(7, [old, *SESSION], OPEN - timedelta(hours=1)).near_future.symbol == "NIFTY24NOV26FUT"
