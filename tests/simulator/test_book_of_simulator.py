"""The paper book fills as the sandbox does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runbook.market import Instrument
from runbook.simulator import Ticket
from runbook.simulator.book import Book, Refused, Status, book_day
from runbook.simulator.market import Market

OPEN = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)
NOW = OPEN + timedelta(hours=1)
SBIN = Instrument("SBIN", "NSE")


class Desk:
    """A book on a market whose quote can be taken away."""

    def __init__(self) -> None:
        self.market = Market(7, [(OPEN, OPEN + timedelta(hours=6))], OPEN)
        self.dumb = False
        self.now = NOW
        self.book = Book(7, self.market, self.quote, digits=8)

    def quote(self, instrument):
        return None if self.dumb else self.market.day_at(instrument, self.now)

    def place(self, action="BUY", quantity=10, instrument=SBIN, **more):
        return self.book.place(Ticket(instrument, action, quantity, **more), self.now)

    def later(self, **delta):
        self.now += timedelta(**delta)
        self.book.match(self.now)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_market_order_fills_at_the_ask_when_buying_and_the_bid_when_selling(desk):
    day = desk.quote(SBIN)
    assert desk.place("BUY").average == day.ask
    assert desk.place("SELL").average == day.bid


def test_an_index_future_must_come_in_lots(desk):
    with pytest.raises(Refused, match="multiples of lot size 75"):
        desk.place(quantity=10, instrument=desk.market.near_future, product="NRML")
    assert desk.place(quantity=75, instrument=desk.market.near_future, product="NRML").status is Status.COMPLETE


def test_a_marketable_limit_fills_at_the_last_price(desk):
    day = desk.quote(SBIN)
    assert desk.place(pricetype="LIMIT", price=day.ltp + 10).average == day.ltp


def test_a_limit_away_from_the_market_fills_later_at_the_limit(desk):
    order = desk.place(pricetype="LIMIT", price=round(desk.quote(SBIN).ltp - 0.5, 2))
    assert order.status is Status.OPEN
    while order.status is Status.OPEN and desk.now < OPEN + timedelta(hours=6):
        desk.later(minutes=10)
    assert (order.status, order.average) == (Status.COMPLETE, order.price)
    fill = desk.book.trades[-1]
    assert NOW < fill.at <= desk.now
    assert desk.market.price_at(SBIN, fill.at) <= order.price


def test_a_stop_waits_for_its_trigger(desk):
    order = desk.place("SELL", pricetype="SL-M", trigger=round(desk.quote(SBIN).ltp - 0.5, 2))
    assert order.status is Status.TRIGGER_PENDING
    while order.status is Status.TRIGGER_PENDING and desk.now < OPEN + timedelta(hours=6):
        desk.later(minutes=10)
    assert order.average <= order.trigger


def test_a_market_order_without_a_quote_is_refused_unless_a_position_knows_a_price(desk):
    desk.dumb = True
    with pytest.raises(Refused, match="unable to fetch current price"):
        desk.place()
    desk.dumb = False
    desk.place()
    desk.dumb = True
    waiting = desk.place()
    assert waiting.pending == 10
    desk.dumb = False
    desk.later(seconds=5)
    assert waiting.status is Status.COMPLETE


def test_selling_cnc_without_shares_leaves_a_rejected_row(desk):
    with pytest.raises(Refused) as refused:
        desk.place("SELL", product="CNC")
    assert [(o.id, o.status) for o in desk.book.orders] == [(refused.value.order_id, Status.REJECTED)]


def test_what_is_closed_is_realised_and_the_rest_turns_round(desk):
    bought = desk.place("BUY", 10).average
    sold = desk.place("SELL", 15).average
    position = desk.book.positions[SBIN, "MIS"]
    assert (position.quantity, position.average) == (-5, sold)
    assert desk.book.realized(book_day(NOW)) == round((sold - bought) * 10, 2)


def test_the_book_of_a_day_begins_at_three_in_the_morning(desk):
    desk.place()
    assert len(desk.book.orders_of(book_day(NOW))) == 1
    night = datetime(2026, 11, 23, 21, 29, tzinfo=UTC)  # 02:59 IST
    assert book_day(night) == book_day(NOW)
    assert desk.book.orders_of(book_day(night + timedelta(minutes=2))) == []


def test_order_ids_are_the_days_date_and_eight_seeded_digits(desk):
    again = Desk()
    assert desk.place().id == again.place().id
    assert desk.book.orders[0].id.startswith("261123")
    assert len(desk.book.orders[0].id) == 14


def test_money_is_what_was_there_less_what_is_used(desk):
    price = desk.place("BUY", 100).average
    assert desk.book.used_margin() == round(price * 100 / 5, 2)
    assert desk.book.available() == round(10_000_000 - price * 20, 2)
    with pytest.raises(Refused, match="Insufficient funds"):
        desk.place("BUY", 1_000_000, product="CNC")


def test_a_trade_made_elsewhere_shows_in_the_live_books(simulate, web_to):
    sim = simulate(mode="live")
    sim.book_live(Ticket(SBIN, "SELL", 3), 975.5, order_id="X1")
    rows = web_to(sim).post("tradebook").body["data"]
    assert [(r["orderid"], r["average_price"], r["quantity"]) for r in rows] == [("X1", "975.50", 3)]
