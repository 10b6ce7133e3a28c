"""Which symbols are taken from orders and from lines of a log, and which never."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.follow import Following, homes, in_lines, in_orders, placed, take
from runbook.market import Instrument
from runbook.ports import Order
from runbook.symbols import parse_symbol

TODAY = date(2026, 11, 23)
KNOWN = homes(
    [parse_symbol("NIFTY"), parse_symbol("NIFTY:fut"), parse_symbol("NSE:SBIN"), parse_symbol("MCX:CRUDEOIL18DEC26FUT")]
)


def found(*lines: str) -> list[str]:
    return [str(i) for i in in_lines(lines, KNOWN, TODAY)]


@pytest.mark.parametrize(
    ("line", "symbols"),
    [
        ("2026-11-23 10:15:02 BUY NIFTY24NOV2626000CE qty=75 @ 145.10", ["NFO:NIFTY24NOV2626000CE"]),
        ("Entered NIFTY24NOV2626000CE.", ["NFO:NIFTY24NOV2626000CE"]),
        ('{"symbol":"NIFTY24NOV26FUT","exchange":"NFO"}', ["NFO:NIFTY24NOV26FUT"]),
        ("order NFO:NIFTY01DEC2626050PE placed", ["NFO:NIFTY01DEC2626050PE"]),
        ("SENSEX26NOV2685000CE,BUY", ["BFO:SENSEX26NOV2685000CE"]),
        ("SENSEX5026NOV2628000CE and NIFTYNXT5024NOV2670000PE", ["BFO:SENSEX5026NOV2628000CE", "NFO:NIFTYNXT5024NOV2670000PE"]),
        ("SBIN24NOV26800.5CE", ["NFO:SBIN24NOV26800.5CE"]),
        ("hedge CRUDEOIL18DEC265400PE", ["MCX:CRUDEOIL18DEC265400PE"]),
        ("GOLD04DEC26FUT", []),  # nobody said where gold trades
        ("MCX:GOLD04DEC26FUT", ["MCX:GOLD04DEC26FUT"]),
        ("short strangle NIFTY24NOV2626200CE/NIFTY24NOV2625800PE", ["NFO:NIFTY24NOV2626200CE", "NFO:NIFTY24NOV2625800PE"]),
    ],
)  # fmt: skip
def test_a_line_that_names_a_derivative_tells_it_with_its_exchange(line, symbols):
    assert found(line) == symbols


@pytest.mark.parametrize(
    "line",
    [
        "NIFTY at 26049.90, waiting",
        "NIFTY24NOV2626000",  # a strike of nothing
        "NIFTY24NOV2626000CEX",
        "XNIFTY24NOV2626000CE",  # another name that ends alike
        "nifty24nov2626000ce",
        "NIFTY24NOV2626000CE_backup.csv",
        "NIFTY31NOV2626000CE",  # no such day
        "NIFTY20NOV2626000CE",  # expired last week
        "NIFTY24NOV2512345PE",  # a year ago
        "RANDOM24NOV26100CE",
        "",
    ],
)
def test_what_is_not_certain_is_not_followed(line):
    assert found(line) == []


def test_a_contract_is_followed_on_the_day_it_expires_and_not_after():
    line = ["BUY NIFTY24NOV2626000CE"]
    assert in_lines(line, KNOWN, date(2026, 11, 24))
    assert not in_lines(line, KNOWN, date(2026, 11, 25))


def test_a_line_that_lists_a_whole_chain_is_no_trade():
    chain = " ".join(f"NIFTY24NOV26{strike}CE" for strike in range(25600, 26500, 50))
    assert found(chain, "BUY NIFTY24NOV2626000CE") == ["NFO:NIFTY24NOV2626000CE"]


@given(st.lists(st.text(max_size=200), max_size=5))
def test_no_text_makes_it_fail_or_find_what_is_not_there(lines):
    for instrument in in_lines(lines, KNOWN, TODAY):
        assert any(instrument.symbol in line for line in lines)


def order(symbol: str, status: str = "complete", exchange: str = "NFO") -> Order:
    return Order("1", Instrument(symbol, exchange), "BUY", 75, status, "MIS", "")


def test_orders_are_followed_but_for_those_that_were_rejected():
    book = [order("A"), order("B", "rejected"), order("C", "open"), order("A", "cancelled")]
    assert [i.symbol for i in in_orders(book)] == ["A", "C"]


def test_a_trade_log_without_an_exchange_column_is_read_like_a_line():
    given_ = [Instrument("NIFTY24NOV2626000CE", ""), Instrument("SBIN", "NSE"), Instrument("GOLD04DEC26FUT", "")]
    assert [str(i) for i in placed(given_, KNOWN, TODAY)] == ["NFO:NIFTY24NOV2626000CE", "NSE:SBIN"]


def test_what_is_followed_stays_and_what_has_no_room_is_counted_once():
    a, b, c = (Instrument(name, "NFO") for name in "ABC")
    following, new = take(Following(most=2), [a, a, b])
    assert new == (a, b)
    following, new = take(following, [a, c])
    assert new == ()
    following, new = take(following, [c, b])
    assert (new, following.known, following.refused) == ((), (a, b), {c})
