from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from runbook.adapters.tradelog import read_trades
from runbook.market import Instrument
from runbook.recon import Side, TimeQuality
from tests.recon_world import CALL, DAY, at, leg

HEAD = "order_id,symbol,action,qty,fill_price,timestamp,exchange,strategy"
ROW = "26112223364746,NIFTY24NOV2626000CE,BUY,75,145.10,2026-11-23 10:15:02,NFO,straddle"
FILL = {"id": "1", "symbol": CALL.symbol, "side": "BUY", "qty": 75, "price": 1, "time": "2026-11-23 10:00:00"}


def write(folder: Path, text: str | bytes, name: str = "trades.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: Path, text: str | bytes, name="trades.csv", **options):
    return read_trades(str(write(folder, text, name)), DAY, **options)


def one(folder: Path, text: str, **options):
    """The only leg of a log without a fault."""
    log = read(folder, text, **options)
    assert log.faults == ()
    assert log.legs is not None
    (found,) = log.legs
    return found


def only_fault(folder: Path, text: str | bytes, **options) -> str:
    log = read(folder, text, **options)
    (fault,) = log.faults
    return str(fault)


def with_cell(**cells: str) -> str:
    """The standard row with some cells changed."""
    values = dict(zip(HEAD.split(","), ROW.split(","), strict=True)) | cells
    return f"{HEAD}\n{','.join(values.values())}\n"


def test_a_row_becomes_a_leg_that_knows_where_it_was_read(tmp_path):
    wanted = leg("BUY", 75, "145.10", "10:15:02", "26112223364746", strategy="straddle", row="trades.csv:2")
    assert one(tmp_path, f"{HEAD}\n{ROW}\n") == wanted


@pytest.mark.parametrize(
    "head",
    [
        "id,tradingsymbol,side,quantity,price,time,exch",
        "Order ID;Symbol;Transaction-Type;Filled Quantity;Average Price;DateTime;Exchange",
    ],
)
def test_the_usual_names_are_recognised_in_any_spelling(tmp_path, head):
    mark = ";" if ";" in head else ","
    found = one(
        tmp_path, f"{head}\n{mark.join(['7', CALL.symbol, 'buy', '75', '145.10', '2026-11-23 10:15:02', 'nfo'])}\n"
    )
    assert (found.order_id, found.instrument, found.side, found.quantity, found.price) == (
        "7",
        CALL,
        Side.BUY,
        75,
        Decimal("145.10"),
    )


def test_declared_names_win_over_the_known_ones(tmp_path):
    text = "what,way,size,paid,when,price\nNFO:NIFTY24NOV2626000CE,B,75,145.10,2026-11-23 10:15:02,999\n"
    fields = {"symbol": "what", "side": "way", "quantity": "size", "price": "paid", "time": "When"}
    assert one(tmp_path, text, fields=fields).price == Decimal("145.10")


def test_json_lines_keep_the_digits_of_their_numbers(tmp_path):
    row = {
        "event": "FILL",
        "orderid": 26112223364746,
        "symbol": CALL.symbol,
        "exchange": "NFO",
        "action": "SELL",
        "quantity": 75,
        "price": 145.1,
        "timestamp": "2026-11-23T10:15:02.250+05:30",
    }
    found = one(tmp_path, json.dumps({"event": "SIGNAL", "symbol": "NIFTY"}) + "\n" + json.dumps(row), format="jsonl")
    assert (found.order_id, found.price, found.row) == ("26112223364746", Decimal("145.1"), "trades.csv:2")
    assert (found.at, found.time_quality) == (at("10:15:02.250"), TimeQuality.EXACT)


# --- which rows, which files ---------------------------------------------------------------------------------------


def test_only_rows_of_the_sessions_date_in_the_logs_zone_count(tmp_path):
    stamps = [
        "2026-11-22T23:59:59+05:30",
        "2026-11-22T18:30:00Z",
        "2026-11-23T18:29:59Z",
        "2026-11-23T18:30:00Z",
        "2026-11-20 10:00:00",
    ]
    rows = "\n".join(f"{n},{CALL.symbol},BUY,75,1,{stamp},NFO,x" for n, stamp in enumerate(stamps))
    log = read(tmp_path, f"{HEAD}\n{rows}\n")
    assert log.legs is not None
    assert ([found.order_id for found in log.legs], log.other_rows, log.faults) == (["1", "2"], 3, ())


def test_no_file_is_unknown_and_a_file_without_a_row_of_the_day_is_empty(tmp_path):
    missing = read_trades(str(tmp_path / "trades_*.csv"), DAY)
    assert missing.legs is None
    assert "no file matches" in str(missing.faults[0])
    assert "trades_*.csv" in str(missing.faults[0])
    assert read(tmp_path, f"{HEAD}\n{ROW.replace('11-23', '11-20')}\n").legs == ()
    assert read(tmp_path, f"{HEAD}\n").legs == ()
    empty = read(tmp_path, b"")
    assert (empty.legs, empty.faults) == ((), ())


def test_globs_home_and_the_sites_folder_lead_to_the_files_and_each_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "OA").mkdir()
    for n in (2, 1):
        write(tmp_path / "OA", f"{HEAD}\n{ROW.replace('26112223364746', f'A{n}')}\n", f"trades_{n}.csv")
    for patterns in ("~/OA/trades_*.csv", ["~/OA/trades_1.csv", str(tmp_path / "OA" / "*.csv")]):
        log = read_trades(patterns, DAY)
        assert log.legs is not None
        assert [found.order_id for found in log.legs] == ["A1", "A2"]
    beside = read_trades("OA/trades_1.csv", DAY, root=tmp_path)
    assert beside.files == (str(tmp_path / "OA" / "trades_1.csv"),)


def test_a_file_that_cannot_be_read_is_a_fault_and_the_others_are_read(tmp_path, monkeypatch):
    write(tmp_path, f"{HEAD}\n{ROW}\n", "a.csv")
    bad = write(tmp_path, "x", "b.csv")
    real = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self == bad:
            raise PermissionError(13, "Permission denied")
        return real(self)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    log = read_trades(str(tmp_path / "*.csv"), DAY)
    assert log.legs is not None
    assert len(log.legs) == 1
    assert str(log.faults[0]) == "b.csv: Permission denied; accepted: a file that runbook may read"


def test_a_log_whose_columns_are_not_known_is_unknown_and_says_what_is_accepted(tmp_path):
    log = read(tmp_path, "underlying,strike,entry_price,exit_price\nNIFTY,26000,1,2\n")
    assert log.legs is None
    assert "no column for symbol, side, quantity, price, time among underlying, strike" in str(log.faults[0])
    assert "`fields:`" in str(log.faults[0])


def test_a_format_that_is_not_read_yet_is_a_fault_and_not_an_empty_log(tmp_path):
    log = read(tmp_path, "[]", format="sqlite")
    assert log.legs is None
    assert "csv or jsonl" in str(log.faults[0])


def test_the_log_is_never_written(tmp_path):
    path = write(tmp_path, f"{HEAD}\n{ROW}\n")
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    read_trades(str(path), DAY)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [p.name for p in tmp_path.iterdir()] == ["trades.csv"]


# --- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("145.10", "145.10"),
        ('"1,234.50"', "1234.50"),
        ('"1,23,456.50"', "123456.50"),
        ("\u20b9145.10", "145.10"),
        ("145.10000000000002", "145.1"),
    ],
)
def test_a_price_may_have_separators_where_they_stand_right(tmp_path, text, price):
    assert one(tmp_path, with_cell(fill_price=text)).price == Decimal(price)


@pytest.mark.parametrize(
    "text", ['"145,10"', '"1,2,3"', "0", "-5", "NaN", "inf", "abc", "1_000", "1e999999", "\u0661\u0662"]
)
def test_a_doubtful_price_is_a_fault_with_its_line(tmp_path, text):
    fault = only_fault(tmp_path, with_cell(fill_price=text))
    assert fault.startswith("trades.csv:2: price ")
    assert fault.endswith("accepted: a number above 0, such as 145.10 or 1,234.50")


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ({"qty": "0"}, "quantity '0'"),
        ({"qty": "-75"}, "quantity '-75'"),
        ({"qty": "75.5"}, "quantity '75.5'"),
        ({"action": "LONG"}, "side 'LONG'"),
        ({"symbol": ""}, "no symbol"),
        ({"timestamp": ""}, "no time"),
        ({"exchange": "NSEFO"}, "exchange 'NSEFO'"),
        ({"order_id": "2.61122E+13"}, "rounded by a spreadsheet"),
    ],
)
def test_every_bad_cell_is_named(tmp_path, cell, word):
    assert word in only_fault(tmp_path, with_cell(**cell))


def test_whole_numbers_may_come_as_a_data_frame_writes_them(tmp_path):
    found = one(tmp_path, with_cell(qty="75.0", order_id="26112223364746.0"))
    assert (found.quantity, found.order_id) == (75, "26112223364746")


@pytest.mark.parametrize(
    ("stamp", "quality"),
    [
        ("2026-11-23 10:15:02", "second"), ("2026-11-23T10:15:02+05:30", "second"), ("2026-11-23T04:45:02Z", "second"),
        ("23-11-2026 10:15:02", "second"), ("23/11/2026 10:15:02", "second"), ("23-Nov-2026 10:15:02", "second"),
        ("1795409102", "second"), ("1795409102000", "second"),
    ],
)  # fmt: skip
def test_the_stamps_that_bots_and_brokers_write_are_one_instant(tmp_path, stamp, quality):
    found = one(tmp_path, with_cell(timestamp=stamp))
    assert (found.at, found.time_quality.value) == (at("10:15:02"), quality)


def test_a_time_without_its_date_needs_a_date_column(tmp_path):
    assert "without its date" in only_fault(tmp_path, with_cell(timestamp="10:15:02"))
    text = f"date,{HEAD}\n2026-11-23,{ROW.replace('2026-11-23 ', '')}\n"
    assert one(tmp_path, text).at == at("10:15:02")


@pytest.mark.parametrize("stamp", ["2026-11-23", "11/23/2026 10:15:02", "yesterday", "20261123"])
def test_a_stamp_that_does_not_say_when_is_a_fault(tmp_path, stamp):
    assert f"time '{stamp}'" in only_fault(tmp_path, with_cell(timestamp=stamp))


def test_a_naive_stamp_belongs_to_the_declared_zone(tmp_path):
    found = one(tmp_path, with_cell(timestamp="2026-11-23 04:45:02"), zone=ZoneInfo("UTC"))
    assert found.at == at("10:15:02")
    assert found.at.utcoffset() == timedelta(0)


def test_the_trust_declared_for_a_stamp_is_what_it_is_worth(tmp_path):
    assert one(tmp_path, with_cell(), trust={"time": "logged_late"}).time_quality is TimeQuality.LOGGED_LATE
    assert one(tmp_path, with_cell(timestamp="2026-11-23 10:15")).time_quality is TimeQuality.UNKNOWN


@pytest.mark.parametrize(
    ("symbol", "instrument"),
    [
        ("NIFTY24NOV26FUT", Instrument("NIFTY24NOV26FUT", "NFO")),
        ("vedl25apr26292.5ce", Instrument("VEDL25APR26292.5CE", "NFO")),
        ("SENSEX26NOV2685000PE", Instrument("SENSEX26NOV2685000PE", "BFO")),
        ("MCX:CRUDEOIL18DEC26FUT", Instrument("CRUDEOIL18DEC26FUT", "MCX")),
        ("CRUDEOIL18DEC26FUT", Instrument("CRUDEOIL18DEC26FUT", "")),
        ("USDINR27NOV26FUT", Instrument("USDINR27NOV26FUT", "")),
        ("RELIANCE", Instrument("RELIANCE", "")),
        ("BAJFINANCE", Instrument("BAJFINANCE", "")),
        ("NIFTY", Instrument("NIFTY", "")),
        ("NIFTY weekly 26000 CE", Instrument("NIFTY WEEKLY 26000 CE", "")),
    ],
)
def test_an_exchange_is_inferred_only_where_the_symbol_makes_it_certain(tmp_path, symbol, instrument):
    assert one(tmp_path, with_cell(symbol=symbol, exchange="")).instrument == instrument


def test_orders_that_never_filled_are_set_aside_and_an_open_status_is_asked_about(tmp_path):
    text = f"{HEAD},status\n" + "".join(f"{ROW},{status}\n" for status in ("complete", "rejected", "Cancelled", "open"))
    log = read(tmp_path, text)
    assert log.legs is not None
    assert (len(log.legs), log.other_rows) == (1, 2)
    assert "trades.csv:5: status 'open'" in str(log.faults[0])
    assert len(read(tmp_path, text, fields={"status": ""}).legs or ()) == 4


# --- bytes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + f"{HEAD}\n{ROW}\n".encode(),
        f"{HEAD}\r\n{ROW}\r\n".encode(),
        f"\n\n{HEAD}\n\n{ROW}\n\n".encode(),
        f"{HEAD}\n{ROW}\n".encode("utf-16"),
        f"{HEAD}\n{ROW}\n{HEAD}\n".encode(),
        f"{HEAD}\n{ROW.replace('straddle', chr(34) + 'a' + chr(10) + 'b' + chr(34))}\n".encode(),
    ],
    ids=["mark", "crlf", "blank lines", "utf-16", "header again", "line end in quotes"],
)
def test_the_bytes_of_editors_spreadsheets_and_restarts_make_no_difference(tmp_path, raw):
    log = read(tmp_path, raw)
    assert log.faults == ()
    assert log.legs is not None
    assert [found.order_id for found in log.legs] == ["26112223364746"]


def test_bytes_that_are_no_utf8_matter_only_in_a_cell_that_is_needed(tmp_path):
    good = f"{HEAD}\n{ROW}\n".encode().replace(b"straddle", b"stra\xffdle")
    assert len(read(tmp_path, good).legs or ()) == 1
    bad = f"{HEAD}\n{ROW}\n{ROW}\n".encode().replace(b"BUY", b"B\xffY", 1)
    log = read(tmp_path, bad)
    assert len(log.legs or ()) == 1
    assert "trades.csv:2: side" in str(log.faults[0])
    assert "UTF-8" in str(log.faults[0])


@pytest.mark.parametrize("cut", range(1, len(ROW)))
def test_a_last_line_cut_anywhere_is_never_a_wrong_leg(tmp_path, cut):
    whole = f"{HEAD}\n{ROW}\n"
    log = read(tmp_path, whole + ROW[:cut])
    assert log.legs is not None
    # Its last column, the strategy, is not needed: once that is reached, the leg is whole.
    complete = ROW[:cut].count(",") == HEAD.count(",")
    assert len(log.legs) + len(log.faults) == 2
    assert [found.price for found in log.legs] == [Decimal("145.10")] * (2 if complete else 1)


def test_a_last_price_without_its_line_end_is_not_believed(tmp_path):
    text = "symbol,exchange,action,qty,timestamp,price\nNIFTY24NOV2626000CE,NFO,BUY,75,2026-11-23 10:15:02,14"
    assert "the last line is not finished" in only_fault(tmp_path, text)
    assert one(tmp_path, text + "5.10\n").price == Decimal("145.10")


def test_a_cut_json_line_at_the_end_is_unfinished_and_in_the_middle_is_wrong(tmp_path):
    row = json.dumps(FILL)
    log = read(tmp_path, f"{row}\n[1]\n{row[:20]}\n{row}\n{row[:40]}", format="jsonl")
    assert len(log.legs or ()) == 2
    assert [str(f).split(";")[0] for f in log.faults] == [
        "trades.csv:2: no object: '[1]'",
        'trades.csv:3: no JSON: \'{"id": "1", "symbol"\'',
        "trades.csv:5: the last line is not finished",
    ]


def test_json_that_is_no_number_or_no_text_is_a_fault(tmp_path):
    rows: list[dict[str, object]] = [
        {"price": "NaN"},
        {"price": True},
        {"qty": [75]},
        {"qty": None},
        {"symbol": {"a": 1}, "exchange": "NFO", "side": 1},
    ]
    base: dict[str, object] = json.loads(json.dumps(FILL))
    text = (
        "\n".join(
            [json.dumps(base | row) for row in rows] + [json.dumps(base).replace('"price": 1', '"price": Infinity')]
        )
        + "\n"
    )
    log = read(tmp_path, text, format="jsonl")
    assert (log.legs, len(log.faults)) == ((), 6)


def test_a_row_with_a_missing_value_is_a_fault_and_the_next_is_read(tmp_path):
    log = read(tmp_path, f"{HEAD}\n{ROW.rpartition(',')[0]}\n{ROW}\n")
    assert len(log.legs or ()) == 1
    assert str(log.faults[0]).startswith("trades.csv:2: 7 values in place of 8")


def test_a_quote_that_is_never_closed_is_a_fault_that_names_its_lines(tmp_path):
    log = read(tmp_path, f'{HEAD}\n{ROW}\n"{ROW}\n{ROW}\n')
    assert len(log.legs or ()) == 1
    assert str(log.faults[0]).startswith("trades.csv:3-4: 1 values in place of 8")


def test_a_field_without_an_end_costs_the_rest_of_the_file_and_not_what_was_read(tmp_path):
    log = read(tmp_path, f"{HEAD}\n{ROW}\n{'x' * 200_000},\n")
    assert len(log.legs or ()) == 1
    assert "field larger than" in str(log.faults[0])


def test_a_session_is_a_date_of_the_exchange(tmp_path):
    late = with_cell(timestamp="2026-11-22T19:00:00+00:00")
    assert len(read(tmp_path, late).legs or ()) == 1
    path = write(tmp_path, late)
    assert read_trades(str(path), date(2026, 11, 22)).legs == ()
