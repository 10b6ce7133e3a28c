"""Replays and what is counted of them: on plain small tapes whose answers are known beforehand."""

from __future__ import annotations

import pytest

from runbook.feed import synthetic
from runbook.feed.calibration import Figures, Gaps, GapTable, calibrate, flap, quantile
from runbook.feed.policy import Policy
from runbook.feed.replay import ANSWER, Replay
from runbook.feed.synthetic import Stall
from runbook.feed.table import Mode
from runbook.feed.tape import Tape
from runbook.market import Quote, Tick
from tests.feed_world import FUTURE, NIFTY, quote

PROMPT = Policy(detect="timers", warn_after=5.0, fallback_after=9.0)
GUIDE = Policy(detect="timers")
PROBE = Policy(detect="probe")
HALF_HOUR = 1800.0


def tape(*silences: tuple[float, float], length: float = HALF_HOUR, name: str = "a day") -> Tape:
    """An index at whole seconds and a future at half seconds, but for the silences; the market itself never rests."""

    def rest(instrument, at: float) -> Quote:
        return quote(instrument, 26000.0 + (int(at * 2) % 7) * 0.05, int(at * 2))

    ticks = [
        (second + half, Tick(instrument, 26000.0 + (second % 7) * 0.05, int((second + half) * 1000)))
        for second in range(1, int(length))
        for instrument, half in ((NIFTY, 0.0), (FUTURE, 0.5))
        if not any(start <= second < end for start, end in silences)
    ]
    return Tape(name, (NIFTY, FUTURE), ticks, length, rest)


def gaps(*tapes: Tape) -> tuple[Gaps, ...]:
    table = GapTable()
    for one in tapes:
        table.add(one)
    return table.rows()


def test_a_healthy_tape_is_live_from_the_first_second_to_the_last_and_raises_nothing() -> None:
    replay = Replay(tape(), Policy()).run(HALF_HOUR + 600)
    assert [turn.after for turn in replay.turns] == [Mode.ARMED, Mode.LIVE, Mode.OFF]
    assert replay.turns[1].at == pytest.approx(2, abs=1)
    assert replay.turns[2].at == HALF_HOUR
    assert replay.blind <= 2
    assert replay.switches == 0
    assert replay.state.seconds.expected == pytest.approx(HALF_HOUR, abs=1)


def test_every_loss_is_seen_and_its_time_is_the_policys() -> None:
    found = calibrate([tape()], PROMPT, cuts=25)
    assert (found.sessions, found.cuts, found.missed, found.skipped) == (1, 25, 0, 0)
    assert min(found.detection) >= 8.5  # the last tick came up to half a second before the loss
    assert max(found.detection) <= 10 + ANSWER
    assert found.alarms == ()
    assert len(found.first_price) == 25
    assert max(found.first_price) == pytest.approx(ANSWER)


def test_the_guides_timers_see_a_loss_after_two_minutes() -> None:
    found = calibrate([tape()], GUIDE, cuts=5)
    assert 119.5 <= min(found.detection) <= max(found.detection) <= 121.5


def test_the_probe_sees_a_loss_in_seconds_and_one_dead_symbol_among_the_living() -> None:
    found = calibrate([tape()], PROBE, cuts=10, symbol=FUTURE)
    assert len(found.detection) == 10
    assert max(found.detection) <= 10.5
    assert (len(found.symbol), found.symbol_missed, found.symbol_alarms) == (10, 0, 0)
    assert 40 <= min(found.symbol) <= max(found.symbol) <= 55  # one a second: 20 decades of patience are 46 s
    assert calibrate([tape()], GUIDE, cuts=2, symbol=FUTURE).symbol_missed == 2  # others tick: the guide never sees it


def test_a_loss_leaves_the_tape_itself_as_it_was() -> None:
    replay = Replay(tape(), PROMPT).run(500)
    lost = replay.fork(500.5).run(520)
    assert lost.down
    assert not replay.run(520).down
    assert replay.turns[-1].after is Mode.LIVE


def test_a_silence_on_the_tape_is_an_alarm_with_its_length_and_one_shorter_than_the_policy_is_none() -> None:
    found = calibrate([tape((300, 303), (600, 630))], PROMPT, cuts=0)
    (alarm,) = found.alarms
    assert alarm.at == pytest.approx(609, abs=1)
    assert alarm.silence == pytest.approx(9, abs=1)
    assert found.doubts == 1
    assert found.outside == 0
    assert calibrate([tape((300, 303), (600, 630))], GUIDE, cuts=0).alarms == ()


def test_a_bystander_counts_the_seconds_without_a_price_and_the_machine_books_the_same() -> None:
    replay = Replay(tape((600, 700)), PROMPT).run(HALF_HOUR)
    booked = replay.state.seconds
    assert replay.blind == pytest.approx(9, abs=2)
    assert booked.blind + booked.waiting == pytest.approx(10, abs=2)
    assert replay.switches == 2  # to REST and back
    assert 60 <= len(replay.rest_at) <= 95  # every 1.5 s for about 130 s


def test_a_cut_while_the_feed_is_not_live_is_skipped_and_said() -> None:
    found = calibrate([tape((130, HALF_HOUR - 200))], PROMPT, cuts=10)
    assert found.skipped + found.cuts == 10
    assert found.skipped >= 8


def test_a_policy_that_sleeps_through_a_loss_is_told_so() -> None:
    asleep = Policy(detect="timers", warn_after=3600.0, fallback_after=7200.0, closed_after=7200.0)
    found = calibrate([tape()], asleep, cuts=3)
    assert (found.missed, found.detection) == (3, ())


def test_the_same_seed_cuts_at_the_same_instants() -> None:
    assert calibrate([tape()], PROMPT, cuts=5, seed=1) == calibrate([tape()], PROMPT, cuts=5, seed=1)
    assert calibrate([tape()], PROMPT, cuts=5, seed=1) != calibrate([tape()], PROMPT, cuts=5, seed=2)


def test_figures_of_several_sessions_add_up() -> None:
    tapes = [tape((600, 630), name="one"), tape(name="two")]
    both = calibrate(tapes, PROMPT, cuts=4)
    assert both.sessions == 2
    assert len(both.alarms) == 1
    assert both.per_session(len(both.alarms)) == 0.5
    assert both.cuts + both.skipped == 8
    assert Figures().per_session(3) == 0


def test_gaps_are_told_by_symbol_the_liveliest_first_and_a_night_is_no_gap() -> None:
    long, short = tape((600, 630), name="one"), tape(length=600, name="two")
    nifty, future = sorted(gaps(long, short), key=lambda row: row.instrument == FUTURE)
    assert nifty.ticks == future.ticks == 1799 - 30 + 599
    assert nifty.median == 1
    assert nifty.p99 == 1
    assert nifty.longest == 31
    assert nifty.longest_at == 599
    silent = gaps(Tape("none", (NIFTY,), [], 60.0, lambda i, _: quote(i, 1.0)))
    assert (silent[0].ticks, silent[0].median, silent[0].longest) == (0, None, None)


def test_a_quantile_is_a_value_that_occurred() -> None:
    assert quantile([5.0, 1.0, 3.0], 0.5) == 3
    assert quantile(range(1, 101), 0.99) == 99
    assert quantile([7.0], 0.99) == 7
    assert quantile([], 0.5) is None


def test_a_feed_that_flaps_for_half_an_hour_switches_little_is_blind_for_seconds_and_sends_three_messages_at_most() -> (
    None
):
    flaps = [Stall(3600.0 + 75 * i + 45, 3600.0 + 75 * (i + 1)) for i in range(24)]
    made = synthetic.tape(synthetic.day(1), flaps)
    prompt = flap(made, PROBE, 3600, 5400)
    assert 1 <= prompt.switches <= 8
    assert 8 <= prompt.blind <= 45
    assert prompt.booked == pytest.approx(prompt.blind, abs=5)
    assert 1 <= prompt.messages <= 3
    slow = flap(made, GUIDE, 3600, 5400)
    assert (slow.switches, slow.messages) == (0, 0)
    assert slow.blind > 600  # the guide's two minutes never pass: it is without a price for all of the 24 silences


def test_a_synthetic_session_of_the_watch_list_plays_without_an_alarm_outside_its_hours() -> None:
    day = synthetic.day(2)
    found = calibrate([synthetic.tape(day)], PROBE, cuts=10)
    assert found.outside == 0
    assert found.missed == 0
    for alarm in found.alarms:
        assert any(stall.length > 8.5 and stall.start < alarm.at <= stall.end + 3 for stall in day.stalls)
    assert 5 <= (quantile(found.detection, 0.5) or 0) <= 10.5
