"""The made-up days: what they promise on average, with fixed seeds, and what a stall takes away."""

from __future__ import annotations

import random
from bisect import bisect_left
from itertools import pairwise
from statistics import fmean, pstdev

import pytest

from runbook.feed import synthetic
from runbook.feed.synthetic import KINDS, LULL, SESSION, WATCH_LIST, Shape, Stall, Stream

DAYS = range(12)


def gaps(times: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(times)]


def within(times: list[float], start: float, end: float) -> int:
    return bisect_left(times, end) - bisect_left(times, start)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_ticks_in_order_within_the_session_at_its_rate(name: str) -> None:
    stream = KINDS[name]
    days = [synthetic.times(stream, seed) for seed in DAYS]
    for times in days:
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < SESSION
    rate = fmean(len(times) for times in days) / SESSION
    # a beat without a change is not sent, so the index falls a little short; the others are random, their mean is not
    assert stream.rate * 0.93 <= rate <= stream.rate * 1.07


@pytest.mark.parametrize("name", [n for n, s in KINDS.items() if s.shape is not Shape.REGULAR])
def test_a_market_is_busy_at_both_ends_and_dull_at_lunch(name: str) -> None:
    hour = 3600.0
    days = [synthetic.times(KINDS[name], seed) for seed in DAYS]
    first = fmean(within(times, 0, hour) for times in days)
    last = fmean(within(times, SESSION - hour, SESSION) for times in days)
    lunch = fmean(within(times, *LULL) for times in days) * hour / (LULL[1] - LULL[0])
    assert first > 1.5 * lunch
    assert last > 1.5 * lunch


def test_the_index_beats_once_a_second_all_day_with_jitter_and_a_beat_left_out_now_and_then() -> None:
    beats = gaps(synthetic.times(KINDS["index 1/s"], 5))
    assert 0.95 < sorted(beats)[len(beats) // 2] < 1.05
    assert max(beats) < 5
    assert 0.01 < sum(1.5 < gap < 2.5 for gap in beats) / len(beats) < 0.06


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("index 1/s", 0.15, 0.4), ("Poisson 1/s", 0.95, 1.15), ("Poisson 3/s", 0.95, 1.15), ("bursty 2/s", 1.85, 2.25),
     ("busy/quiet 2/s", 1.6, 3.0), ("option 0.2/s", 1.8, 2.4), ("illiquid 1/30 s", 0.9, 1.25)],
)  # fmt: skip
def test_gaps_vary_as_their_kind_says(name: str, least: float, most: float) -> None:
    found = [gap for seed in DAYS for gap in gaps(synthetic.times(KINDS[name], seed))]
    assert least < pstdev(found) / fmean(found) < most


def test_a_busy_and_quiet_stream_is_quiet_for_long_stretches() -> None:
    def dull(stream: Stream) -> float:
        """The share of ten-second stretches with less than a quarter of the average."""
        times = synthetic.times(stream, 3)
        counts = [within(times, s, s + 10) for s in range(0, int(SESSION), 10)]
        return sum(count < 5 for count in counts) / len(counts)

    assert dull(KINDS["busy/quiet 2/s"]) > 0.1
    assert dull(Stream(Shape.POISSON, 2.0)) < 0.05


def test_stalls_are_six_an_hour_of_one_to_four_seconds_and_one_long_one_every_other_session() -> None:
    days = [synthetic.stalls(seed) for seed in range(200)]
    short = [s.length for stalls in days for s in stalls if s.length <= 4]
    long = [s.length for stalls in days for s in stalls if s.length > 4]
    assert 35 < len(short) / 200 < 40
    assert 0.4 < len(long) / 200 < 0.6
    assert min(short) > 1
    assert min(long) > 6
    assert max(long) < 15


def test_what_would_have_come_during_a_stall_is_lost_and_nothing_else_is() -> None:
    traded = [float(i) for i in range(20)]
    overlapping = (Stall(2.5, 8.0), Stall(4.0, 5.0), Stall(10.0, 12.5), Stall(19.0, 19.5))
    assert synthetic.delivered(traded, overlapping) == [0, 1, 2, 8, 9, 13, 14, 15, 16, 17, 18]
    assert synthetic.delivered(traded, ()) == traded


def test_a_day_of_the_watch_list_is_twenty_instruments_nine_ticks_a_second_and_common_stalls() -> None:
    day = synthetic.day(1)
    assert len(day.instruments) == len(WATCH_LIST) == 20
    assert sum(i.is_index for i in day.instruments) == sum(i.is_future for i in day.instruments) == 1
    assert day.ticks == sorted(day.ticks)
    assert len(day.ticks) / SESSION == pytest.approx(9, abs=0.3)
    received = [at for at, _ in day.ticks]
    for stall in day.stalls:
        assert within(received, stall.start, stall.end) == 0
        assert any(within(list(traded), stall.start, stall.end) for traded in day.market)


def test_a_seed_is_a_day_and_another_seed_another() -> None:
    assert synthetic.day(3) == synthetic.day(3)
    assert synthetic.day(3).ticks != synthetic.day(4).ticks
    state = random.getstate()
    synthetic.day(5)
    assert random.getstate() == state  # no global dice


def test_one_symbol_of_a_day_does_not_depend_on_the_others() -> None:
    assert synthetic.day(9, WATCH_LIST[:1]).market[0] == synthetic.day(9).market[0]


def test_the_daemon_never_imports_made_up_ticks() -> None:
    import subprocess
    import sys

    code = (
        "import sys, runbook.app, runbook.monitor, runbook.commands.run, runbook.desk, runbook.engine;"
        "sys.exit('runbook.feed.synthetic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
