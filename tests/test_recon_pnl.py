from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.ports import GatewayMode, PositionBook
from runbook.recon import DayPnl, OpenPosition, pnl_from_legs, pnl_from_positions
from runbook.recon.pnl import money, pnl_lines
from tests.recon_world import CALL, PUT, leg, position


def test_a_round_trip_is_realised_and_leaves_nothing_open():
    pnl = pnl_from_legs([leg("BUY", 75, "145.10", "10:00:00"), leg("SELL", 75, "150.20", "11:00:00")])
    assert pnl == DayPnl(Decimal("382.50"), Decimal("382.50"), (), "the bot's own log")
    assert pnl_lines(pnl) == ["P&L +Rs 382.50 in all, before charges (the bot's own log)", "Open: nothing"]


def test_an_exit_is_measured_against_the_average_of_the_entries_and_the_rest_stays_open():
    legs = [
        leg("BUY", 75, "100.00", "10:00:00"),
        leg("BUY", 75, "110.00", "10:10:00"),
        leg("SELL", 50, "120.00", "10:20:00"),
    ]
    pnl = pnl_from_legs(legs)
    assert pnl is not None
    assert pnl.realised == Decimal("750.00")
    assert pnl.open_positions == (OpenPosition(CALL, 100, Decimal("105.0000")),)
    assert pnl.total is None
    assert pnl_lines(pnl)[0] == "P&L +Rs 750.00 realised, before charges (the bot's own log)"
    assert pnl_lines(pnl)[-1] == "Open: +100 NIFTY24NOV2626000CE @ 105.00"


def test_a_short_gains_when_it_is_bought_back_lower_and_a_flip_opens_anew():
    legs = [leg("SELL", 75, "100.00", "10:00:00"), leg("BUY", 150, "90.00", "10:10:00")]
    pnl = pnl_from_legs(legs)
    assert pnl is not None
    assert (pnl.realised, pnl.open_positions) == (Decimal("750.00"), (OpenPosition(CALL, 75, Decimal("90.0000")),))


def test_legs_are_taken_by_time_and_not_by_row():
    legs = [
        leg("SELL", 75, "120.00", "11:00:00"),
        leg("BUY", 75, "100.00", "10:00:00"),
        leg("BUY", 75, "130.00", "12:00:00"),
    ]
    pnl = pnl_from_legs(legs)
    assert pnl is not None
    assert (pnl.realised, pnl.open_positions[0].average) == (Decimal("1500.00"), Decimal("130.0000"))


def test_a_row_told_twice_counts_once():
    once = [leg("BUY", 75, "100.00", "10:00:00", "A"), leg("SELL", 75, "101.00", "11:00:00", "B")]
    assert pnl_from_legs([*once, once[1]]) == pnl_from_legs(once)


def test_symbols_are_not_netted_against_each_other():
    pnl = pnl_from_legs([leg("BUY", 75, "100.00"), leg("SELL", 75, "200.00", instrument=PUT)])
    assert pnl is not None
    assert [p.quantity for p in pnl.open_positions] == [75, -75]
    assert pnl.realised == 0


@pytest.mark.parametrize("source", [None, []])
def test_no_legs_are_no_data_and_not_zero(source):
    assert pnl_from_legs(source) is None
    assert pnl_lines(None) == ["P&L: no data (no trades were read)"]


def test_an_unread_or_empty_position_book_is_no_data():
    assert pnl_from_positions(None) is None
    assert pnl_from_positions(PositionBook(GatewayMode.ANALYZE, (), 0.0)) is None


def test_the_gateways_total_is_its_own_figure_and_is_realised_only_when_nothing_is_open():
    held = pnl_from_positions(
        PositionBook(GatewayMode.ANALYZE, (position(75, pnl=-15.0), position(0, PUT, 1.2)), -20.15)
    )
    assert held == DayPnl(
        None, Decimal("-20.15"), (OpenPosition(CALL, 75, Decimal("145.1000")),), "the gateway's position book"
    )
    flat = pnl_from_positions(PositionBook(GatewayMode.ANALYZE, (position(0, pnl=1.2), position(0, PUT, 2.0))))
    assert flat is not None
    assert (flat.realised, flat.total) == (Decimal("3.20"), Decimal("3.20"))


def test_the_figure_survives_json_unchanged():
    pnl = pnl_from_legs([leg("BUY", 75, "145.10")])
    assert pnl is not None
    assert DayPnl.from_facts(json.loads(json.dumps(pnl.to_facts()))) == pnl


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "Rs 0.00"),
        ("-12.5", "-Rs 12.50"),
        ("999.999", "+Rs 1,000.00"),
        ("123456.5", "+Rs 1,23,456.50"),
        ("-91540550000", "-Rs 91,54,05,50,000.00"),
    ],
)
def test_money_is_written_in_lakhs_and_crores(amount, text):
    assert money(Decimal(amount)) == text


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 20), st.integers(1, 4000)), min_size=1, max_size=12
    )
)
def test_realised_and_the_open_position_together_are_the_cash_that_moved(rows):
    legs = [leg(side, 75 * lots, f"{step * 0.05:.2f}", f"10:{n:02}:00") for n, (side, lots, step) in enumerate(rows)]
    pnl = pnl_from_legs(legs)
    assert pnl is not None
    cash = -sum(one.side.sign * one.quantity * one.price for one in legs)
    held = sum(p.quantity * p.average for p in pnl.open_positions)
    assert pnl.realised is not None
    # The average is kept to a hundredth of a paisa, so the sum may be off by that much for each unit held.
    assert abs(pnl.realised - (cash + held)) <= Decimal("0.01") + Decimal("0.0001") * 75 * 20 * 12
