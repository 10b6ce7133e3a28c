"""A batch of ticks is the same ticks one by one: to the clocks, the run, the mode, and what is to be done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.feed import actions as act
from runbook.feed import events as ev
from runbook.feed import ticking
from runbook.feed.machine import evaluate, start, step
from runbook.feed.policy import Policy
from runbook.feed.state import Run, State, TickClock, initial
from runbook.feed.table import Mode
from runbook.market import Instrument, Tick
from runbook.session import PhaseName
from tests.feed_world import FUTURE, LIVE, NIFTY, OPTION, World, quote

POLICY = Policy(detect="timers")  # the guide's two limits: what a prelude leads to needs no answers of REST
STRANGER = Instrument("NOPE", "NSE")
Step = tuple[str, float, object]

ticks = st.lists(
    st.builds(
        Tick,
        instrument=st.sampled_from([NIFTY, NIFTY, FUTURE, OPTION, STRANGER]),
        ltp=st.sampled_from([26000.0, 26000.05, 26001.0, 0.0]),
        ltt=st.one_of(st.none(), st.integers(1, 3)),
        volume=st.one_of(st.none(), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=12,
)
seconds = st.sampled_from([0.0, 0.2, 0.5, 1.0, 1.0, 2.0, 4.9, 5.1, 31.0, 61.0, 130.0])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ticks"), seconds, ticks),
        st.tuples(st.just("ticks"), seconds, ticks),
        st.tuples(st.just("late ticks"), seconds, ticks),
        st.tuples(st.just("old ticks"), seconds, ticks),
        st.tuples(st.just("evaluate"), seconds, st.sampled_from([LIVE, LIVE, LIVE, PhaseName.SHUT])),
        st.tuples(st.just("up"), seconds, st.none()),
        st.tuples(st.just("closed"), seconds, st.none()),
        st.tuples(st.just("checked"), seconds, st.booleans()),
        st.tuples(st.just("polled"), seconds, st.booleans()),
    ),
    max_size=25,
)

_MOVES = [Tick(NIFTY, 26000.0 + n, n) for n in range(9)]
_SILENT: list[Step] = [("evaluate", 1.0, LIVE)] * 62
_ASKED: list[Step] = [*_SILENT, *([("up", 0.0, None), *[("evaluate", 1.0, LIVE)] * 10] * 6)]
# How the feed came to where the played steps begin: each mode, so that chance need not find it.
PRELUDES: list[list[Step]] = [
    [],
    [("ticks", 1.0, _MOVES)],
    [("ticks", 1.0, _MOVES), *_SILENT],
    [("ticks", 1.0, _MOVES), *_ASKED, ("checked", 0.0, True)],
    [("ticks", 1.0, _MOVES), *_ASKED, ("checked", 0.0, False)],
    [("ticks", 1.0, _MOVES), *_ASKED, ("checked", 0.0, True), ("ticks", 0.5, _MOVES[::-1])],
]


class Feed:
    """One machine and all it wanted; `whole` says whether it is handed batches or single ticks."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.now = 100.0
        self.state: State = initial((NIFTY, FUTURE, OPTION), POLICY)
        self.wanted: list[act.Action] = []
        self.take(start(self.state, self.now))
        self.tell(ev.Connected(1, "angel"))
        self.take(evaluate(self.state, self.now, LIVE, POLICY))

    def take(self, answer: tuple[State, tuple[act.Action, ...]]) -> None:
        self.state, wanted = answer
        self.wanted += wanted

    def tell(self, event: ev.Event) -> None:
        self.take(step(self.state, event, self.now, POLICY))

    def play(self, kind: str, after: float, what: object) -> None:
        self.now += after
        held = self.state.link.generation
        match kind, what:
            case "ticks", list():
                self.batch(held, what, self.now)
            case "late ticks", list():  # received before they are looked at
                self.batch(held, what, self.now - 3.0)
            case "old ticks", list():
                self.batch(held - 1, what, self.now)
            case "evaluate", PhaseName():
                self.take(evaluate(self.state, self.now, what, POLICY))
            case "up", _:
                self.tell(ev.Connected(held, "angel"))
                self.tell(ev.Subscribed(held, self.state.watched))
            case "closed", _:
                self.tell(ev.Closed(held, "gone"))
            case "checked", bool():
                self.tell(ev.BrokerChecked(what, "asked", self.now))
            case "polled", bool():
                price = 26000.0 + self.now % 13 if what else 26000.0
                self.tell(ev.Polled(tuple(quote(i, price) for i in self.state.watched), self.now))

    def batch(self, generation: int, batch: list[Tick], at: float) -> None:
        if self.whole:
            self.tell(ev.Ticks(generation, tuple(batch), at))
            return
        for tick in batch:
            self.tell(ev.TickReceived(generation, tick, at))


def plainly(state: State, generation: int, tick: Tick, heard: float, now: float) -> State:
    """What one tick does to the clocks, written out without any thought of speed."""
    clock = state.ticks.get(tick.instrument)
    counts = state.counts
    if clock is None:
        return replace(state, counts=replace(counts, strays=counts.strays + 1))
    if not tick.ltp > 0:
        return replace(state, counts=replace(counts, garbage=counts.garbage + 1))
    last, run = clock.tick, state.run
    if ticking.is_replay(last, tick):
        return replace(state, ticks={**state.ticks, tick.instrument: replace(clock, replays=clock.replays + 1)})
    at = min(heard, now)
    if clock.at is not None:
        at = max(at, clock.at)
    if run is None or run.generation != generation or ticking.broken(state, at, POLICY):
        run = Run(generation, at, at)
    else:
        run = replace(run, last=max(at, run.last))
        if last is not None and clock.at is not None and clock.at >= run.since and ticking.is_move(last, tick):
            run = replace(run, moves=run.moves + 1, moved_at=at)
    same = last is not None and last.ltp == tick.ltp
    clock = TickClock(tick, at, clock.changed_at if same else at, generation, clock.ticks + 1, clock.replays)
    known = state.judged_from if state.last_tick_at is None else state.last_tick_at
    gap = at - max(state.judged_from, known) if state.expects else 0.0
    return replace(
        state,
        ticks={**state.ticks, tick.instrument: clock},
        last_tick_at=at if state.last_tick_at is None else max(at, state.last_tick_at),
        run=run,
        longest_gap=max(state.longest_gap, gap),
    )


EXAMPLES = 100  # of what hypothesis makes up; more of them in the soak


def clocks_agree(prelude: list[Step], played: list[Step]) -> None:
    feed = Feed(whole=True)
    for kind, after, what in [*prelude, *played]:
        if isinstance(what, list):
            now = feed.now + after
            heard = now - 3.0 if kind == "late ticks" else now
            generation = feed.state.link.generation - (kind == "old ticks")
            batch = ev.Ticks(generation, tuple(what), heard)
            expected = feed.state
            for tick in what:
                expected = plainly(expected, generation, tick, heard, now)
            assert ticking.take(feed.state, batch, now, POLICY) == expected
        feed.play(kind, after, what)


def test_the_preludes_lead_into_every_mode() -> None:
    reached = []
    for prelude in PRELUDES:
        feed = Feed(whole=True)
        for one in prelude:
            feed.play(*one)
        reached.append(feed.state.mode)
    assert reached == [Mode.ARMED, Mode.LIVE, Mode.SUSPECT, Mode.FALLBACK, Mode.BLIND, Mode.PROBATION]


def feeds_agree(prelude: list[Step], played: list[Step]) -> None:
    whole, single = Feed(whole=True), Feed(whole=False)
    for one in [*prelude, *played]:
        whole.play(*one)
        single.play(*one)
        assert whole.state == single.state
        assert whole.wanted == single.wanted


@given(st.sampled_from(PRELUDES), steps)
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_clocks_after_a_batch_are_those_of_the_rules_for_one_tick(prelude: list[Step], played: list[Step]) -> None:
    clocks_agree(prelude, played)


@given(st.sampled_from(PRELUDES), steps)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_batch_leaves_the_feed_exactly_as_its_ticks_one_by_one(prelude: list[Step], played: list[Step]) -> None:
    feeds_agree(prelude, played)


@pytest.mark.soak
@given(st.sampled_from(PRELUDES), steps)
@settings(max_examples=1500, deadline=None)
def test_batches_of_many_more_kinds_change_nothing(prelude: list[Step], played: list[Step]) -> None:
    clocks_agree(prelude, played)
    feeds_agree(prelude, played)


def moving(world: World, number: int) -> ev.Ticks:
    """So many moves of NIFTY, received now."""
    made = tuple(Tick(NIFTY, 26000.0 + n, int(world.now * 1000) + n) for n in range(number))
    return ev.Ticks(world.state.link.generation, made, world.now)


def test_one_batch_can_take_an_armed_feed_live_and_go_on() -> None:
    world = World().begin()
    world.stream = "mute"
    world.run(2)
    assert world.mode is Mode.ARMED
    world.tell(moving(world, 10))
    assert world.mode is Mode.LIVE
    assert world.state.run is not None
    assert (world.state.run.moves, world.state.ticks[NIFTY].ticks) == (9, 10)


def test_one_batch_after_an_outage_begins_a_probation_and_a_batch_after_a_gap_breaks_it() -> None:
    world = World().begin()
    world.run(10)
    world.stream = "mute"
    world.run(200)
    assert world.mode is Mode.FALLBACK
    world.tell(moving(world, 10))
    assert world.mode is Mode.PROBATION
    hold = world.state.hold
    world.now += 6.0  # nobody evaluated meanwhile
    world.tell(moving(world, 4))
    assert world.mode is Mode.FALLBACK
    assert world.state.hold == 2 * hold


def test_ticks_of_a_connection_that_is_gone_are_counted_one_by_one() -> None:
    world = World().begin()
    world.run(3)
    late = world.state.counts.late
    world.tell(ev.Ticks(world.state.link.generation - 1, (Tick(NIFTY, 1.0, 1),) * 5, world.now))
    assert world.state.counts.late == late + 5
