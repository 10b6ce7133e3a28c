"""The short cut for a tick in OpenAlgo's usual form gives what reading it as JSON gives, or leaves it to that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook.adapters.ticks import dialogue
from runbook.adapters.ticks.dialogue import Dialogue
from runbook.market import Instrument, Tick
from tests.adapters.replay import transcript

NAMES = [Instrument("NIFTY", "NSE_INDEX"), Instrument("NIFTY24NOV2626000CE", "NFO"), Instrument("M&M", "NSE")]
TICK = (
    b'{"type": "market_data", "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1, "data": {"ltp": 26052.3, '
    b'"ltt": 1795337852224, "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1, "timestamp": 1795337852224}, '
    b'"broker": "angel"}'
)


def both(payload: bytes) -> tuple[Any, Any]:
    talk = Dialogue(1, NAMES, "key" * 20)
    return talk.hear(payload), talk.read(payload)


def short(payload: bytes) -> bool:
    """True when the short cut was taken."""
    talk = Dialogue(1, NAMES, "key" * 20)
    plain = dialogue._PLAIN(payload)
    return plain is not None and plain[1] in talk._plain and float(plain[2]) > 0


def test_the_recorded_ticks_take_the_short_cut_and_are_what_json_says() -> None:
    taken = 0
    for file in ("revoke_relogin", "stream_drop", "stream_mute", "stream_protocol", "snapshot_on_resubscribe"):
        for line in transcript(file):
            frame = line["frame"]
            if line["dir"] != "<=" or not isinstance(frame, dict) or frame.get("type") != "market_data":
                continue
            payload = json.dumps(frame).encode()
            assert both(payload)[0] == both(payload)[1]
            taken += short(payload)
    assert taken > 20


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'26052.3, "ltt"', b'26052.3, "ltp": 1.5, "ltt"'),  # a key twice: JSON takes the last
        (b'"mode": 1, "timestamp"', b'"ltp": 1.5, "timestamp"'),
        (b'"timestamp": 1795337852224', b'"ltt": 1795337852999'),
        (b'"timestamp": 1795337852224', b'"volume": 7'),
        (b'"broker": "angel"', b'"symbol": "M&M"'),
        (b'"broker": "angel"}', b'"broker": "angel", "data": {"ltp": 1.5}}'),
        (b"26052.3", b"026052.3"),
        (b"26052.3", b"26052."),
        (b"26052.3", b"-26052.3"),
        (b"26052.3", b"0"),
        (b"26052.3", b"0.0"),
        (b"26052.3", b"NaN"),
        (b"26052.3", b"2.6e4"),
        (b"26052.3", b"9" * 400),
        (b"26052.3", b"99999999999.9999999999"),
        (b"26052.3", b'"26052.3"'),
        (b"26052.3", b"true"),
        (b"26052.3", b"26052.3 "),
        (b'"ltt": 1795337852224', b'"ltt": 1795337852'),
        (b'"ltt": 1795337852224', b'"ltt": 1000000000000'),
        (b'"ltt": 1795337852224, ', b""),
        (b'"ltt": 1795337852224', b'"ltt": 1795337852224, "volume": 75'),
        (b'"ltt": 1795337852224', b'"ltt": 1795337852224, "volume": 999999999999999'),
        (b'"ltt": 1795337852224', b'"ltt": 1795337852224, "volume": 075'),
        (b'"ltt": 1795337852224', b'"volume": 75, "ltt": 1795337852224'),
        (
            b'"symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1, "data"',
            b'"symbol": "NO\\u0050E", "mode": 1, "data"',
        ),
        (b'"type": "market_data", "symbol": "NIFTY"', b'"type": "market_data", "symbol": "N\xc3\xa9"'),
        (b'"type": "market_data", "symbol": "NIFTY"', b'"type": "market_data", "symbol": "N\xff"'),
        (b'"angel"', b'"an\xffgel"'),
        (b'"angel"', b'"an\\gel"'),
        (b'"angel"', b'"an\ngel"'),
        (b'"angel"}', b'"angel"} '),
        (b'"angel"}', b'"angel"}}'),
        (b'"timestamp": 1795337852224', b'"depth": {"ltp": 1.5}'),
        (b'"timestamp": 1795337852224', b'"oi": -0.5'),
        (b'"timestamp": 1795337852224', b'"oi": 00'),
    ],
)
def test_a_frame_that_differs_in_anything_is_read_as_json_reads_it(old: bytes, new: bytes) -> None:
    assert old in TICK
    quick, slow = both(TICK.replace(old, new, 1))
    assert quick == slow


def test_the_usual_form_does_take_the_short_cut() -> None:
    assert short(TICK)
    assert short(TICK.replace(b'224, "symbol"', b'224, "volume": 75, "open": 0.0, "name": "x", "symbol"', 1))
    assert not short(TICK.replace(b": ", b":"))


@given(st.data())
@settings(max_examples=400)
@example(None)
def test_a_tick_spoilt_anywhere_is_never_another_price_than_json_gives(data: st.DataObject | None) -> None:
    """Bytes are replaced, dropped and put in at random places: whatever comes out, both ways agree."""
    payload = bytearray(TICK)
    for _ in range(data.draw(st.integers(1, 3)) if data else 0):
        assert data is not None
        at = data.draw(st.integers(0, len(payload) - 1))
        kept = data.draw(st.integers(0, 2))
        put = data.draw(st.one_of(st.binary(max_size=2), st.sampled_from([b'"', b"0", b"9", b".", b"}", b"{", b", "])))
        payload[at : at + kept] = put
    quick, slow = both(bytes(payload))
    assert quick == slow


NUMBERS = st.one_of(st.floats(), st.integers(-5, 10**16), st.none(), st.booleans(), st.just("26000"))


@given(
    ltp=NUMBERS,
    more=st.dictionaries(st.sampled_from(["ltt", "volume", "oi", "a b", "é", "symbol"]), NUMBERS, max_size=5),
    name=st.sampled_from([*NAMES, Instrument("NOPE", "NSE"), Instrument('N", "exchange": "NSE', "X")]),
    ascii_only=st.booleans(),
)
def test_any_tick_that_json_can_write_is_read_the_same_both_ways(
    ltp: object, more: dict[str, object], name: Instrument, ascii_only: bool
) -> None:
    frame = {"type": "market_data", "symbol": name.symbol, "exchange": name.exchange, "mode": 1}
    payload = json.dumps(frame | {"data": {"ltp": ltp} | more}, ensure_ascii=ascii_only).encode()
    quick, slow = both(payload)
    assert quick == slow
    if isinstance(quick, Tick):
        assert isinstance(ltp, int | float)
        assert quick.ltp == float(ltp) > 0


def test_the_pattern_takes_no_longer_for_a_long_frame_than_it_must() -> None:
    """No nesting of repetitions: ten thousand keys and a broken end are refused in one pass."""
    tail = b"".join(b', "k": 1' for _ in range(10_000))
    assert (
        dialogue._PLAIN(TICK.replace(b', "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1, "time', tail + b"x"))
        is None
    )
