"""What must hold for any pair of books: clean is clean, one change is one break, and the order of rows is nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.ports import GatewayMode
from runbook.recon import BreakCode, Leg, Side, Verdict, reconcile
from tests.recon_world import CALL, PUT, SESSION, Everywhere, at, books, fill_of, leg, log

COUNT = settings(max_examples=100, deadline=None)


@st.composite
def days(draw, *, ids: bool | None = None, least: int = 1) -> list[Leg]:
    """The legs of a day, with or without order ids; no two so near that another pairing would be as good."""
    named = draw(st.booleans()) if ids is None else ids
    number = draw(st.integers(least, 10))
    out = []
    for n in range(number):
        moment = at("09:20:00") + timedelta(seconds=draw(st.integers(0, 120)) + 400 * n)
        out.append(
            replace(
                leg(draw(st.sampled_from(["BUY", "SELL"])), 75 * draw(st.integers(1, 20))),
                instrument=draw(st.sampled_from([CALL, PUT])),
                price=Decimal(draw(st.integers(100, 100_000))) * Decimal("0.05"),
                at=moment,
                order_id=f"2611220000{n:04d}" if named else None,
                row=f"trades.csv:{n + 2}",
            )
        )
    return out


def found(bot, gateway, declared="analyzer"):
    mode = GatewayMode.ANALYZE if declared == "analyzer" else GatewayMode.LIVE
    return reconcile(declared, books([fill_of(one) for one in gateway], mode=mode), log(*bot), Everywhere(), SESSION)


def said(result) -> list[tuple[BreakCode, str]]:
    return [(b.code, (b.bot or b.gateway).row.partition(":")[0] if b.bot or b.gateway else "") for b in result.breaks]


@COUNT
@given(days(), st.sampled_from(["analyzer", "live"]))
def test_books_that_agree_have_no_break_whatever_is_in_them(legs, declared):
    result = found(legs, legs, declared)
    assert result.breaks == ()
    assert (result.verdict, result.matched, result.covered) == (Verdict.CLEAN, len(legs), len(legs))


@COUNT
@given(days(), st.integers(0, 9), st.booleans())
def test_a_row_dropped_from_one_side_is_one_missing_leg(legs, which, at_bot):
    rest = [one for n, one in enumerate(legs) if n != which % len(legs)]
    result = found(rest, legs) if at_bot else found(legs, rest)
    assert said(result) == [
        (BreakCode.MISSING_AT_BOT, "trade book") if at_bot else (BreakCode.MISSING_AT_GATEWAY, "trades.csv")
    ]


@COUNT
@given(days(), st.integers(0, 9), st.booleans())
def test_a_row_told_twice_on_one_side_is_one_duplicate(legs, which, at_bot):
    twice = [*legs, legs[which % len(legs)]]
    result = found(twice, legs) if at_bot else found(legs, twice)
    assert said(result) == [(BreakCode.DUPLICATE, "trades.csv" if at_bot else "trade book")]


@COUNT
@given(days(), st.integers(0, 9), st.sampled_from(["price", "quantity", "side"]))
def test_one_altered_figure_is_one_break_of_that_kind(legs, which, field):
    n = which % len(legs)
    old = legs[n]
    change = {
        "price": old.price * 2,
        "quantity": old.quantity + 75,
        "side": Side.SELL if old.side is Side.BUY else Side.BUY,
    }[field]
    altered = [*legs[:n], replace(old, **{field: change}), *legs[n + 1 :]]
    wanted = {"price": BreakCode.PRICE, "quantity": BreakCode.QTY, "side": BreakCode.SIDE}[field]
    result = found(altered, legs)
    assert [b.code for b in result.breaks] == [wanted]
    assert result.breaks[0].bot == altered[n]
    assert result.breaks[0].gateway is not None


@COUNT
@given(days(least=2), days(least=2), st.sampled_from(["analyzer", "live", "local_paper"]), st.integers())
def test_the_order_of_the_rows_changes_neither_the_breaks_nor_their_ids(ours, theirs, declared, seed):
    # Two unrelated days, one of them partly told twice: missing, near and double rows all at once.
    ours = [*ours, ours[0], replace(theirs[0], quantity=theirs[0].quantity + 75)]
    straight = found(ours, theirs, declared)
    dice = random.Random(seed)
    dice.shuffle(ours)
    dice.shuffle(theirs)
    shuffled = found([replace(one, row=f"trades.csv:{n}") for n, one in enumerate(ours)], theirs, declared)
    assert [b.id for b in shuffled.breaks] == [b.id for b in straight.breaks]
    assert [b.explanation for b in shuffled.breaks] == [b.explanation for b in straight.breaks]
    assert shuffled.summary() == straight.summary()
    assert len({b.id for b in straight.breaks}) == len(straight.breaks) > 0
