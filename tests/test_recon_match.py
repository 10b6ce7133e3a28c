from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from runbook.market import Instrument
from runbook.ports import GatewayMode, PositionBook
from runbook.recon import (
    Books,
    BreakCode,
    DeclaredMode,
    Reconciliation,
    RowFault,
    Severity,
    TimeQuality,
    Tolerances,
    TradeLog,
    Verdict,
    reconcile,
)
from runbook.recon.ranges import PriceRange
from tests.recon_world import CALL, PUT, SESSION, Everywhere, Recorded, at, books, fill_of, leg, log, order, position


def analyzed(bot, fills, ranges=None) -> Reconciliation:
    return reconcile("analyzer", books(fills), log(*bot), ranges or Everywhere(), SESSION)


def codes(result: Reconciliation) -> list[BreakCode]:
    return [b.code for b in result.breaks]


FOUR = [
    leg("BUY", 75, "145.10", "10:15:02", "A1"),
    leg("SELL", 75, "150.20", "11:00:00", "A2"),
    leg("BUY", 150, "99.95", "12:00:00", "A3", instrument=PUT),
    leg("SELL", 150, "90.00", "14:10:30", "A4", instrument=PUT),
]
LIVE_EMPTY = books(mode=GatewayMode.LIVE)


# --- clean, empty, unknown -----------------------------------------------------------------------------------------


def test_books_that_agree_are_clean_and_say_how_much_was_covered():
    result = analyzed(FOUR, [fill_of(one) for one in FOUR])
    assert result.verdict is Verdict.CLEAN
    assert result.summary() == "4 of 4 legs matched; ticks cover 4 of 4"


def test_no_trades_on_either_side_is_empty_and_not_clean():
    result = analyzed([], [])
    assert result.verdict is Verdict.EMPTY
    assert result.summary() == "no trades on either side"


def test_a_book_that_was_not_read_is_never_an_empty_book():
    unread = Books(
        GatewayMode.ANALYZE,
        (GatewayMode.ANALYZE, ()),
        None,
        PositionBook(GatewayMode.ANALYZE, ()),
        (("trade book", "the broker's token is dead"),),
    )
    result = reconcile("analyzer", unread, log(*FOUR), Everywhere(), SESSION)
    assert result.verdict is Verdict.INCOMPLETE
    assert codes(result) == [BreakCode.SOURCE_UNAVAILABLE]
    assert result.breaks[0].explanation == "the broker's token is dead"
    assert result.matched is None
    assert result.gateway_legs is None
    assert result.summary() == "4 legs, not matched; 1 source not readable; ticks cover 4 of 4"


def test_an_unread_trade_book_without_a_trade_is_incomplete_and_not_empty():
    unread = replace(LIVE_EMPTY, trades=None)
    assert reconcile("local_paper", unread, log(), Everywhere(), SESSION).verdict is Verdict.INCOMPLETE


@pytest.mark.parametrize(
    ("bot", "about"),
    [
        (None, "bot's trade log"),
        (TradeLog(None), "bot's trade log"),
        (TradeLog(None, (RowFault("~/x.csv", "no file matches", "a path"),)), "~/x.csv"),
    ],
)
def test_a_log_that_was_not_found_is_unknown_and_not_empty(bot, about):
    result = reconcile("analyzer", books(), bot, Everywhere(), SESSION)
    assert result.verdict is Verdict.INCOMPLETE
    assert result.bot_legs is None
    assert [b.about for b in result.breaks] == [about]
    assert result.summary() == "the bot's legs are unknown; 1 source not readable"


def test_a_row_of_the_log_that_cannot_be_read_makes_the_result_incomplete_once_a_file():
    faults = tuple(RowFault(f"trades.csv:{n}", "price 'x'", "a number above 0") for n in (3, 7))
    result = reconcile("analyzer", books([fill_of(FOUR[0])]), TradeLog((FOUR[0],), faults), Everywhere(), SESSION)
    assert result.verdict is Verdict.INCOMPLETE
    assert [(b.about, b.explanation) for b in result.breaks] == [
        ("trades.csv", "trades.csv:3: price 'x'; accepted: a number above 0 (and 1 more row)")
    ]


def test_a_fill_that_no_one_can_read_makes_the_trade_book_unavailable():
    result = analyzed([FOUR[0]], [fill_of(FOUR[0], action="LONG")])
    assert result.verdict is Verdict.INCOMPLETE
    assert "'LONG' is neither BUY nor SELL" in result.breaks[0].explanation


def test_without_a_single_recorded_price_nothing_is_verified():
    result = reconcile("analyzer", books([fill_of(one) for one in FOUR]), log(*FOUR), None, SESSION)
    assert result.verdict is Verdict.UNVERIFIABLE
    assert codes(result) == [BreakCode.NO_TICKS] * 4
    assert result.summary() == "4 of 4 legs matched; ticks cover 0 of 4"


# --- local paper ---------------------------------------------------------------------------------------------------


def test_under_local_paper_an_empty_live_book_is_right():
    result = reconcile("local_paper", LIVE_EMPTY, log(*FOUR), Everywhere(), SESSION)
    assert result.verdict is Verdict.CLEAN
    assert result.matched is None
    assert result.summary() == "4 legs filled by the bot itself; ticks cover 4 of 4"


@pytest.mark.parametrize(
    ("book", "words"),
    [
        ({"orders": [order(status="rejected")]}, "the live book holds an order, BUY 75 rejected, id 26112200000001"),
        (
            {"fills": [fill_of(FOUR[0])]},
            "the live book holds a trade, BUY 75 @ 145.1, order A1; its id is in the bot's log",
        ),
        ({"positions": [position()]}, "the live book holds a position of 75 NRML"),
        ({"positions": [position(0)]}, "the live book holds a position of 0 NRML"),
    ],
)
def test_under_local_paper_any_row_in_any_book_is_a_leak(book, words):
    result = reconcile("local_paper", books(mode=GatewayMode.LIVE, **book), log(*FOUR), Everywhere(), SESSION)
    assert result.verdict is Verdict.BREAKS
    assert [b.explanation for b in result.leaks] == [words]
    assert result.leaks[0].severity is Severity.BLOCK


def test_one_leaked_order_is_one_leak_though_three_books_show_it():
    fill = fill_of(FOUR[0], order_id="26112200000001")
    everywhere = books([fill], mode=GatewayMode.LIVE, orders=[order()], positions=[position()])
    result = reconcile("local_paper", everywhere, log(*FOUR), Everywhere(), SESSION)
    assert len(result.leaks) == 1
    assert result.leaks[0].gateway is not None
    assert result.leaks[0].gateway.order_id == "26112200000001"


def test_under_local_paper_a_gateway_in_analyze_mode_is_a_note_and_no_break():
    result = reconcile("local_paper", books(), log(*FOUR), Everywhere(), SESSION)
    assert result.verdict is Verdict.CLEAN
    assert "analyze mode" in result.notes[0]


def test_under_local_paper_the_recorded_prices_judge_each_fill():
    ranges = Recorded()
    for one in FOUR[:3]:
        ranges.add(one.instrument, f"{one.at:%H:%M:%S}", str(one.price), str(one.price))
    ranges.add(PUT, "14:10:29", "95.00", "95.20")
    result = reconcile("local_paper", LIVE_EMPTY, log(*FOUR), ranges, SESSION)
    assert codes(result) == [BreakCode.OUT_OF_RANGE]
    assert result.breaks[0].bot == FOUR[3]
    assert result.breaks[0].explanation == "90.00 was never near: recorded 95.00 to 95.20 within 2 s (2 records)"


# --- analyzer and live ---------------------------------------------------------------------------------------------


def test_the_summary_tells_what_matched_what_is_missing_and_what_differs():
    fills = [fill_of(FOUR[0]), fill_of(FOUR[1], price=150.45), fill_of(FOUR[2])]
    result = analyzed(FOUR, fills)
    assert result.summary() == "3 of 4 legs matched; 1 missing at the gateway; 1 price break; ticks cover 4 of 4"
    assert [(b.code, b.severity) for b in result.breaks] == [
        (BreakCode.MISSING_AT_GATEWAY, Severity.BLOCK),
        (BreakCode.PRICE, Severity.WARN),
    ]


def test_a_price_with_an_equal_order_id_must_be_the_gateways_to_the_paisa_in_the_analyzer_and_to_a_tick_when_live():
    near = [fill_of(FOUR[0], price=145.15)]
    assert codes(reconcile("analyzer", books(near), log(FOUR[0]), Everywhere(), SESSION)) == [BreakCode.PRICE]
    live = books(near, mode=GatewayMode.LIVE)
    assert codes(reconcile("live", live, log(FOUR[0]), Everywhere(), SESSION)) == []
    far = books([fill_of(FOUR[0], price=145.16)], mode=GatewayMode.LIVE)
    assert codes(reconcile("live", far, log(FOUR[0]), Everywhere(), SESSION)) == [BreakCode.PRICE]


def test_the_noise_of_a_float_is_no_price_break():
    assert analyzed([FOUR[0]], [fill_of(FOUR[0], price=145.10000000000002)]).verdict is Verdict.CLEAN


def test_one_live_order_filled_in_parts_matches_by_sum_and_mean():
    parts = [fill_of(FOUR[2], quantity=75, price=99.90), fill_of(FOUR[2], quantity=75, price=100.00)]
    result = reconcile("live", books(parts, mode=GatewayMode.LIVE), log(FOUR[2]), Everywhere(), SESSION)
    assert result.verdict is Verdict.CLEAN
    short = reconcile("live", books(parts[:1], mode=GatewayMode.LIVE), log(FOUR[2]), Everywhere(), SESSION)
    assert codes(short) == [BreakCode.QTY]
    assert short.breaks[0].explanation == "the bot says 150, the gateway 75"


def test_two_equal_parts_of_a_live_order_are_not_a_duplicate():
    parts = [fill_of(FOUR[2], quantity=75), fill_of(FOUR[2], quantity=75)]
    result = reconcile("live", books(parts, mode=GatewayMode.LIVE), log(FOUR[2]), Everywhere(), SESSION)
    assert result.verdict is Verdict.CLEAN


def test_the_gateways_own_square_off_has_its_own_name():
    own = fill_of(leg("SELL", 75, "140.00", "15:15:02", "S1"), strategy="AUTO_SQUARE_OFF")
    result = analyzed([FOUR[0]], [fill_of(FOUR[0]), own])
    assert codes(result) == [BreakCode.SQUAREOFF]
    assert result.breaks[0].severity is Severity.WARN
    assert codes(analyzed([FOUR[0]], [fill_of(FOUR[0]), replace(own, strategy="mine")])) == [BreakCode.MISSING_AT_BOT]


@pytest.mark.parametrize("declared", ["analyzer", "live"])
def test_a_gateway_in_the_wrong_mode_is_a_leak_and_calls_nothing_missing(declared):
    wrong = GatewayMode.LIVE if declared == "analyzer" else GatewayMode.ANALYZE
    result = reconcile(declared, books(mode=wrong), log(*FOUR), Everywhere(), SESSION)
    assert codes(result) == [BreakCode.MODE_LEAK]
    assert result.matched is None
    assert f"the gateway is in {wrong} mode" in result.breaks[0].explanation


def test_under_analyzer_each_row_of_a_live_book_is_a_leak_that_says_whose_order_it_is():
    result = reconcile(
        "analyzer",
        books([fill_of(FOUR[0]), fill_of(FOUR[1], order_id="X")], mode=GatewayMode.LIVE),
        log(FOUR[0]),
        Everywhere(),
        SESSION,
    )
    assert codes(result) == [BreakCode.MODE_LEAK] * 3
    assert sorted("bot's log" in b.explanation for b in result.leaks) == [False, False, True]


def test_a_switch_thrown_after_the_books_were_read_is_a_leak_and_the_books_are_matched_all_the_same():
    late = replace(books([fill_of(one) for one in FOUR]), mode=GatewayMode.LIVE)
    result = reconcile("analyzer", late, log(*FOUR), Everywhere(), SESSION)
    assert codes(result) == [BreakCode.MODE_LEAK]
    assert "(mode switch)" in result.breaks[0].explanation
    assert result.matched == 4


def test_an_unknown_switch_is_a_note_while_the_books_name_their_own_mode():
    unasked = replace(books([fill_of(one) for one in FOUR]), mode=None, faults=(("mode switch", "time-out"),))
    result = reconcile("analyzer", unasked, log(*FOUR), Everywhere(), SESSION)
    assert result.verdict is Verdict.CLEAN
    assert result.notes == ("the mode switch is not known (time-out); the books were taken by their own tags",)


def test_a_leg_without_an_exchange_takes_the_one_its_symbol_has_in_the_book():
    bare = replace(FOUR[0], instrument=Instrument(CALL.symbol, ""))
    assert analyzed([bare], [fill_of(FOUR[0])]).verdict is Verdict.CLEAN
    alone = reconcile("local_paper", LIVE_EMPTY, log(bare), Everywhere(), SESSION)
    assert codes(alone) == [BreakCode.SYMBOL_MAP]
    assert alone.covered == 0


def test_the_same_id_with_another_symbol_is_a_symbol_break():
    result = analyzed([FOUR[0]], [fill_of(FOUR[0], instrument=PUT)])
    assert codes(result) == [BreakCode.SYMBOL_MAP]
    assert result.breaks[0].explanation == f"the bot says {CALL}, the gateway {PUT}"


# --- without order ids ---------------------------------------------------------------------------------------------


def test_without_ids_legs_pair_by_quantity_time_and_price():
    ours = [leg(when="10:00:00"), leg(when="10:00:03"), leg(when="10:00:06", price="145.15")]
    theirs = [fill_of(leg(when="10:00:02")), fill_of(leg(when="10:00:05")), fill_of(leg(when="10:00:07"))]
    assert analyzed(ours, theirs).summary() == "3 of 3 legs matched; ticks cover 3 of 3"


def test_the_cheapest_pairing_of_all_wins_over_the_first_that_comes():
    # Taken one by one, 10:00:02 would take the 10:00:03 that 10:00:04 needs, and leave one leg missing on each side.
    ours = [leg(when="10:00:02"), leg(when="10:00:04")]
    theirs = [fill_of(leg(when="10:00:03")), fill_of(leg(when="10:00:00"))]
    assert analyzed(ours, theirs).verdict is Verdict.CLEAN


def test_legs_further_apart_than_the_window_are_two_missing_legs():
    result = analyzed([leg(when="10:00:00")], [fill_of(leg(when="10:00:03"))])
    assert sorted(codes(result)) == [BreakCode.MISSING_AT_BOT, BreakCode.MISSING_AT_GATEWAY]


def test_a_stamp_taken_when_the_row_was_logged_may_be_minutes_late():
    late = leg(when="10:03:00", time_quality=TimeQuality.LOGGED_LATE)
    assert analyzed([late], [fill_of(leg(when="10:00:00"))]).matched == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [({"price": 146.0}, BreakCode.PRICE), ({"quantity": 150}, BreakCode.QTY), ({"action": "SELL"}, BreakCode.SIDE)],
)
def test_without_ids_one_figure_that_differs_is_one_break_and_not_two_missing_legs(change, code):
    assert codes(analyzed([leg()], [fill_of(leg(), **change)])) == [code]


def test_legs_with_different_ids_do_not_pair_once_the_ids_are_known_to_be_shared():
    ours = [FOUR[0], leg(when="13:00:00", order_id="A9")]
    theirs = [fill_of(FOUR[0]), fill_of(leg(when="13:00:00", order_id="B9"))]
    assert sorted(codes(analyzed(ours, theirs))) == [BreakCode.MISSING_AT_BOT, BreakCode.MISSING_AT_GATEWAY]
    own_ids = [replace(one, order_id=f"PAPER_{n}") for n, one in enumerate(ours)]
    assert analyzed(own_ids, theirs).verdict is Verdict.CLEAN


# --- duplicates ----------------------------------------------------------------------------------------------------


def test_a_row_told_twice_with_one_id_is_said_and_does_no_harm():
    result = analyzed([FOUR[0], FOUR[0]], [fill_of(FOUR[0])])
    assert [(b.code, b.severity) for b in result.breaks] == [(BreakCode.DUPLICATE, Severity.INFO)]
    assert result.verdict is Verdict.CLEAN


def test_a_row_told_twice_without_an_id_blocks_when_the_gateway_has_it_once():
    result = analyzed([leg(), leg()], [fill_of(leg())])
    assert [(b.code, b.severity) for b in result.breaks] == [(BreakCode.DUPLICATE, Severity.BLOCK)]


def test_three_repeats_are_three_breaks_with_three_ids():
    result = analyzed([leg()] * 4, [fill_of(leg())])
    assert len({b.id for b in result.breaks}) == 3


def test_two_equal_rows_without_an_id_under_local_paper_are_shown_and_both_counted():
    result = reconcile("local_paper", LIVE_EMPTY, log(leg(), leg()), Everywhere(), SESSION)
    assert [(b.code, b.severity) for b in result.breaks] == [(BreakCode.DUPLICATE, Severity.WARN)]
    assert result.judged == 2


# --- recorded prices and session -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "inside"), [("144.95", True), ("144.94", False), ("145.25", True), ("145.26", False)]
)
def test_a_fill_may_be_one_tick_outside_the_recorded_range_and_no_more(price, inside):
    ranges = Recorded().add(CALL, "10:15:01", "145.00", "145.20")
    result = reconcile("local_paper", LIVE_EMPTY, log(leg(price=price)), ranges, SESSION)
    assert codes(result) == ([] if inside else [BreakCode.OUT_OF_RANGE])


@pytest.mark.parametrize(("sampled", "inside"), [(True, True), (False, False)])
def test_between_two_polls_a_price_may_have_gone_further_than_between_two_ticks(sampled, inside):
    ranges = Everywhere(PriceRange(Decimal("25922.00"), Decimal("25931.50"), 2, sampled=sampled))

    def found(price: str) -> list[BreakCode]:
        return codes(reconcile("local_paper", LIVE_EMPTY, log(leg(price=price)), ranges, SESSION))

    assert found("25918.80") == ([] if inside else [BreakCode.OUT_OF_RANGE])
    assert found("25660.00") == [BreakCode.OUT_OF_RANGE]


@pytest.mark.parametrize(("when", "covered"), [("10:15:04", 1), ("10:15:05", 0)])
def test_prices_more_than_two_seconds_away_say_nothing(when, covered):
    ranges = Recorded().add(CALL, when, "145.00", "145.20")
    result = reconcile("local_paper", LIVE_EMPTY, log(leg(when="10:15:02")), ranges, SESSION)
    assert result.covered == covered


def test_one_recorded_price_alone_judges_nothing():
    ranges = Recorded().add(CALL, "10:15:01", "100.00")
    result = reconcile("local_paper", LIVE_EMPTY, log(leg()), ranges, SESSION)
    assert codes(result) == [BreakCode.NO_TICKS]
    assert result.breaks[0].severity is Severity.INFO


def test_a_late_stamp_is_held_against_the_day_only_and_the_grade_says_so():
    late = leg(time_quality=TimeQuality.LOGGED_LATE)
    ranges = Recorded().add(CALL, "14:00:00", "140.00", "150.00")
    result = reconcile("local_paper", LIVE_EMPTY, log(late), ranges, SESSION)
    assert result.summary() == "1 leg filled by the bot itself; ticks cover 1 of 1 (1 by the day's range only)"
    off = reconcile("local_paper", LIVE_EMPTY, log(replace(late, price=Decimal(200))), ranges, SESSION)
    assert codes(off) == [BreakCode.OUT_OF_RANGE]


@pytest.mark.parametrize(
    ("when", "code"),
    [
        ("09:14:50", BreakCode.OUT_OF_SESSION),
        ("09:15:00", None),
        ("15:40:01", None),
        ("15:41:00", BreakCode.OUT_OF_SESSION),
    ],
)
def test_a_stamp_outside_the_session_is_a_break_of_its_own(when, code):
    result = reconcile("local_paper", LIVE_EMPTY, log(leg(when=when)), Everywhere(), SESSION)
    assert codes(result) == ([code] if code else [])
    assert result.covered == (0 if code else 1)


def test_stamps_that_are_off_by_the_zone_are_told_as_that():
    result = reconcile("local_paper", LIVE_EMPTY, log(leg(when="04:45:02")), Everywhere(), SESSION)
    assert result.breaks[0].severity is Severity.WARN
    assert "+5 h 30 would be inside" in result.breaks[0].explanation


def test_a_leg_of_another_exchange_is_not_judged_by_this_session():
    crude = leg(when="21:00:00", instrument=Instrument("CRUDEOIL18DEC26FUT", "MCX"))
    assert codes(reconcile("local_paper", LIVE_EMPTY, log(crude), Everywhere(), SESSION)) == []


def test_a_late_stamp_after_the_close_is_not_outside_the_session():
    late = leg(when="15:55:00", time_quality=TimeQuality.LOGGED_LATE)
    assert codes(reconcile("local_paper", LIVE_EMPTY, log(late), Everywhere(), SESSION)) == []


# --- the result ----------------------------------------------------------------------------------------------------


def test_a_result_survives_json_unchanged():
    unread = replace(books([fill_of(FOUR[0]), fill_of(FOUR[1], price=1.5)]), positions=None)
    result = reconcile("analyzer", unread, log(*FOUR, replace(FOUR[2], at=None, order_id=None)), None, SESSION)
    assert len(result.breaks) > 4
    assert Reconciliation.from_facts(json.loads(json.dumps(result.to_facts()))) == result


def test_no_line_of_the_report_is_wider_than_a_phone():
    result = analyzed([*FOUR, *(leg(when=f"13:{n:02}:00") for n in range(20))], [fill_of(FOUR[0], price=9.0)])
    lines = result.lines()
    assert max(map(len, lines)) <= 60
    assert lines[0] == "Reconciliation (analyzer): BREAKS"
    assert "- and 19 more" in lines
    assert "tolerances: quantity 0" in " ".join(lines)


def test_legs_without_ticks_are_told_by_the_coverage_and_not_one_by_one():
    lines = reconcile("analyzer", books([fill_of(one) for one in FOUR]), log(*FOUR), None, SESSION).lines()
    assert lines[1] == "  4 of 4 legs matched; ticks cover 0 of 4"
    assert not any("no ticks" in line for line in lines)


def test_the_tolerances_used_are_part_of_the_result():
    wide = Tolerances(time=timedelta(seconds=9))
    result = reconcile(
        "analyzer", books([fill_of(leg(when="10:00:08"))]), log(leg(when="10:00:00")), Everywhere(), SESSION, wide
    )
    assert result.matched == 1
    assert "time 9 s" in result.tolerances


def test_the_declared_mode_is_one_of_three():
    assert [mode.expected for mode in DeclaredMode] == [GatewayMode.LIVE, GatewayMode.ANALYZE, GatewayMode.LIVE]
    with pytest.raises(ValueError, match="paper"):
        reconcile("paper", LIVE_EMPTY, log(), None, SESSION)


def test_a_leg_refuses_a_naive_time_and_an_empty_quantity():
    with pytest.raises(ValueError, match="aware"):
        replace(leg(), at=at("10:00:00").replace(tzinfo=None))
    with pytest.raises(ValueError, match="positive"):
        leg(quantity=0)
