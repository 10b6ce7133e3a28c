"""Symbols as people write them, and the future that is nearest on a given morning."""

from __future__ import annotations

from datetime import date

import pytest

from runbook.budget import Budget
from runbook.errors import GatewayError, GatewayUnreachable, JobFailed
from runbook.fault import Unfit
from runbook.market import Instrument
from runbook.ports import Listing
from runbook.symbols import NearestFuture, nearest_future, parse_symbol, resolve
from tests.fakes import FakeGateway

FUT = NearestFuture("NIFTY", "NFO")
INDEX = Instrument("NIFTY", "NSE_INDEX")


def listing(expiry: date | None, *, name: str = "NIFTY", exchange: str = "NFO", kind: str = "FUT") -> Listing:
    symbol = f"{name}{expiry:%d%b%y}{kind}".upper() if expiry else f"{name}{kind}"
    return Listing(Instrument(symbol, exchange), name, kind, expiry, 75, 0.05)


NOVEMBER, DECEMBER = listing(date(2026, 11, 24)), listing(date(2026, 12, 29))


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("NIFTY", INDEX),
        (" NIFTY ", INDEX),
        ("INDIAVIX", Instrument("INDIAVIX", "NSE_INDEX")),
        ("SENSEX", Instrument("SENSEX", "BSE_INDEX")),
        ("NIFTY:fut", FUT),
        ("nifty:FUT", FUT),
        ("SENSEX:fut", NearestFuture("SENSEX", "BFO")),
        ("NSE:SBIN", Instrument("SBIN", "NSE")),
        ("nse:SBIN", Instrument("SBIN", "NSE")),
        ("NSE:M&M", Instrument("M&M", "NSE")),
        ("NFO:NIFTY24NOV26FUT", Instrument("NIFTY24NOV26FUT", "NFO")),
        ("NIFTY24NOV26FUT", Instrument("NIFTY24NOV26FUT", "NFO")),
        ("NIFTY24NOV2626000CE", Instrument("NIFTY24NOV2626000CE", "NFO")),
        ("USDINR24NOV2684.25PE", Instrument("USDINR24NOV2684.25PE", "NFO")),
        ("SENSEX26NOV2685000PE", Instrument("SENSEX26NOV2685000PE", "BFO")),
    ],
)
def test_what_people_write_is_what_they_mean(text, symbol):
    assert parse_symbol(text) == symbol


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SBIN", "which exchange?"),
        ("nifty", "in capitals"),
        ("NASDAQ:AAPL", "unknown exchange 'NASDAQ'"),
        ("NSE:sbin", "in capitals"),
        ("NSE:SB IN", "in capitals"),
        (":fut", "in capitals"),
        ("NIFTY 50:fut", "in capitals"),
        ("NIFTY:", "in capitals"),
        ("", "no symbol"),
        (None, "no symbol"),
        (42, "no symbol"),
        ("NIFTY24NOV26FUTX", "which exchange?"),
    ],
)
def test_what_is_not_certain_is_refused_with_examples(text, why):
    with pytest.raises(Unfit, match=why) as caught:
        parse_symbol(text)
    assert "NSE:SBIN" in caught.value.example


def test_a_symbol_is_shown_as_it_is_written():
    assert [str(parse_symbol(text)) for text in ("NIFTY:fut", "NSE:SBIN", "NIFTY")] == [
        "NIFTY:fut", "NSE:SBIN", "NSE_INDEX:NIFTY",
    ]  # fmt: skip


def test_the_nearest_future_is_the_first_that_has_not_expired_and_counts_on_its_last_day():
    rows = [DECEMBER, NOVEMBER]
    assert nearest_future(rows, FUT, date(2026, 11, 23)) == NOVEMBER
    assert nearest_future(rows, FUT, date(2026, 11, 24)) == NOVEMBER
    assert nearest_future(rows, FUT, date(2026, 11, 25)) == DECEMBER
    assert nearest_future(rows, FUT, date(2026, 12, 30)) is None


def test_neither_an_option_nor_another_name_or_exchange_nor_what_never_expires_is_that_future():
    near = date(2026, 11, 24)
    others = [
        listing(near, kind="CE"), listing(near, name="NIFTYNXT50"), listing(near, exchange="BFO"), listing(None),
    ]  # fmt: skip
    assert nearest_future([*others, DECEMBER], FUT, date(2026, 11, 23)) == DECEMBER


def test_each_symbol_becomes_an_instrument_once():
    gateway = FakeGateway(listings=(DECEMBER, NOVEMBER))
    made = resolve(gateway, [INDEX, FUT, INDEX], date(2026, 11, 23), Budget(5.0))
    assert made == ((INDEX, NOVEMBER.instrument), ())
    assert gateway.asked == ["search"]


def test_what_cannot_be_found_is_told_and_the_rest_is_watched():
    made, faults = resolve(FakeGateway(), [INDEX, FUT], date(2026, 11, 23), Budget(5.0))
    assert made == (INDEX,)
    assert faults == ("NIFTY:fut: search knows no future of NIFTY that has not expired by 2026-11-23",)


def test_when_nothing_can_be_found_the_step_fails_with_the_likely_reason():
    down = FakeGateway(faults={"search": GatewayUnreachable("connection refused")})
    with pytest.raises(JobFailed, match="NIFTY:fut: connection refused") as caught:
        resolve(down, [FUT], date(2026, 11, 23), Budget(5.0))
    assert "master contract" in (caught.value.hint or "")


def test_who_is_not_patient_searches_only_when_there_is_nothing_else():
    gateway = FakeGateway(listings=(NOVEMBER,), faults={})
    assert resolve(gateway, [INDEX, FUT], date(2026, 11, 23), Budget(5.0), patient=False) == ((INDEX,), ())
    assert gateway.asked == []
    assert resolve(gateway, [FUT], date(2026, 11, 23), Budget(5.0), patient=False) == ((NOVEMBER.instrument,), ())
    assert gateway.asked == ["search"]


def test_a_fault_that_is_no_runbook_error_is_not_swallowed():
    class Broken(FakeGateway):
        def search(self, query, exchange, budget):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        resolve(Broken(), [FUT], date(2026, 11, 23), Budget(5.0))
    assert issubclass(GatewayUnreachable, GatewayError)
