"""The guide's line, and the budget of REST calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runbook.feed.lines import Printed, line
from runbook.feed.policy import Policy
from runbook.feed.quota import full, interval, refill, spend
from runbook.feed.state import QuoteClock, Rest, State, TickClock, initial
from runbook.feed.table import Mode
from runbook.market import Tick
from tests.feed_world import NIFTY, quote


def feed(
    mode: Mode, tick_at: float | None = None, quote_at: float | None = None, changed: float | None = None
) -> State:
    state = replace(initial((NIFTY,), Policy()), mode=mode, rest=Rest(trusted=True))
    if tick_at is not None:
        state = replace(state, ticks={NIFTY: TickClock(Tick(NIFTY, 26049.9, 1), tick_at)})
    if quote_at is not None:
        clock = QuoteClock(quote(NIFTY, 26050.0), quote_at, quote_at if changed is None else changed)
        state = replace(state, quotes={NIFTY: clock})
    return state


def said(state: State, now: float, printed: Printed | None = None) -> str | None:
    return line(printed or Printed(), state, now, NIFTY)[1]


def test_the_line_reads_as_in_the_guide() -> None:
    assert said(feed(Mode.LIVE, 99.0), 100.0) == "NIFTY: 26049.9 [WEBSOCKET]"
    assert said(feed(Mode.FALLBACK, 1.0, 99.0), 100.0) == "NIFTY: 26050 [REST_POLLING]"


def test_without_a_fresh_price_it_says_so() -> None:
    for mode in (Mode.SUSPECT, Mode.BLIND, Mode.OFF):
        assert said(feed(mode, 99.0, 99.0), 100.0) == f"NIFTY: no price [{mode}]"
    assert said(feed(Mode.ARMED, 99.0), 100.0) == "NIFTY: no price yet [ARMED]"


def test_an_old_price_carries_its_age() -> None:
    printed = Printed("WEBSOCKET", 0.0, 0.0, told=True)
    assert said(feed(Mode.LIVE, 58.0), 100.0, printed) == "NIFTY: 26049.9 [WEBSOCKET] (42 s old)"
    printed = Printed("REST_POLLING", 0.0, 0.0, told=True)
    assert said(feed(Mode.FALLBACK, None, 90.0), 100.0, printed) == "NIFTY: 26050 [REST_POLLING] (10 s old)"


def test_a_quote_that_does_not_change_carries_that() -> None:
    printed = Printed("REST_POLLING", 0.0, 0.0, told=True)
    text = said(feed(Mode.FALLBACK, None, 99.0, changed=80.0), 100.0, printed)
    assert text == "NIFTY: 26050 [REST_POLLING] (unchanged for 20 s)"


def test_after_a_change_it_waits_for_the_first_price_of_the_new_source() -> None:
    old = feed(Mode.FALLBACK, 99.0, 10.0)
    printed, text = line(Printed("SUSPECT", 90.0, 90.0, told=True), old, 100.0, NIFTY)
    assert text is None
    printed, text = line(printed, old, 102.0, NIFTY)
    assert text is None
    _, text = line(printed, feed(Mode.FALLBACK, 99.0, 102.5), 103.0, NIFTY)
    assert text == "NIFTY: 26050 [REST_POLLING]"
    _, text = line(printed, old, 105.0, NIFTY)
    assert text == "NIFTY: 26050 [REST_POLLING] (95 s old)"
    _, text = line(printed, feed(Mode.FALLBACK), 105.0, NIFTY)
    assert text == "NIFTY: no price yet [REST_POLLING]"


def test_it_speaks_every_half_minute_and_not_at_all_while_off() -> None:
    printed, first = line(Printed(), feed(Mode.LIVE, 100.0), 100.0, NIFTY)
    assert first
    assert line(printed, feed(Mode.LIVE, 129.0), 129.0, NIFTY)[1] is None
    assert line(printed, feed(Mode.LIVE, 130.0), 130.0, NIFTY)[1] is not None
    printed, first = line(printed, feed(Mode.OFF), 131.0, NIFTY)
    assert first == "NIFTY: no price [OFF]"
    assert line(printed, feed(Mode.OFF), 999.0, NIFTY)[1] is None


@pytest.mark.parametrize("per_hour", [2, 60, 300, 2000, 5000])
def test_no_hour_ever_sees_more_calls_than_the_budget(per_hour: int) -> None:
    quota, now, calls = full(per_hour), 0.0, []
    while now < 3 * 3600:
        quota = spend(quota, now)
        calls.append(now)
        now += interval(quota, 1.5)
    first = 0
    for last, at in enumerate(calls):
        while calls[first] <= at - 3600:
            first += 1
        assert last - first + 1 <= max(per_hour, 2) + 1  # the call that finds the bucket empty


def test_a_spent_budget_slows_the_poll_and_never_stops_it() -> None:
    quota = full(2000)
    assert interval(quota, 1.5) == 1.5
    for _ in range(400):
        quota = spend(quota, 0.0)
    assert quota.stretched
    assert interval(quota, 1.5) == 2.25
    assert interval(quota, 5.0) == 5.0
    assert spend(quota, 60.0).stretched  # a few tokens are no reason to be quick again
    assert not spend(quota, 120.0).stretched
    assert refill(quota, 9999.0).tokens == quota.burst
