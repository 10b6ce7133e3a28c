"""What must hold for the feed in any order of events: a machine of Hypothesis plays the other side."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runbook.feed import actions as act
from runbook.feed import events as ev
from runbook.feed import judging
from runbook.feed.machine import evaluate, follow, start, step, stop
from runbook.feed.policy import Detect, Policy
from runbook.feed.state import State, initial, source
from runbook.feed.table import Mode
from runbook.market import Instrument, Tick
from runbook.session import PhaseName
from tests.feed_world import FUTURE, LIVE, NIFTY, OPTION, World, quote

LISTS = [(NIFTY,), (NIFTY, FUTURE), (OPTION,), (NIFTY, FUTURE, OPTION)]
POLLED = {Mode.FALLBACK, Mode.BLIND, Mode.PROBATION, Mode.MARKET_SILENT}


class Feed(RuleBasedStateMachine):
    """Any event, in any order, of any connection; time only goes forward."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = Policy()
        self.now = 0.0
        self.state: State = initial((NIFTY,), self.policy)
        self.phase = PhaseName.SHUT
        self.promised = 0.0
        self.evaluated: float | None = None
        self.attempts: list[float] = []
        self.ticks_before = 0  # fresh ticks when the feed was last not LIVE for the first time
        self.ltt = 1_000
        self.rest, self.port = "ok", "up"
        self.deaf: frozenset[Instrument] = frozenset()  # what the stream alone does not bring
        self.candle: float | None = 20.0
        self.stale: set[Instrument] = set()  # told, and not told to be over
        self.inbox: list[ev.Event] = []

    @initialize(
        watched=st.sampled_from(LISTS), phase=st.sampled_from([LIVE, LIVE, PhaseName.PRE_OPEN]),
        detect=st.sampled_from(["probe", "probe", "timers"]),
    )  # fmt: skip
    def begin(self, watched: tuple, phase: PhaseName, detect: Detect) -> None:
        self.policy = Policy(detect=detect)
        self.state = initial(watched, self.policy)
        self.phase = phase
        self.take(start(self.state, self.now))
        self.evaluate()

    def take(self, answer: tuple[State, tuple[act.Action, ...]]) -> None:
        before = self.state
        self.state, actions = answer
        for action in actions:
            match action:
                case act.Connect(generation, _):
                    assert generation > before.link.generation
                    self.attempts.append(self.now)
                    if self.port == "up":
                        self.inbox += [ev.Connected(generation, "angel"), ev.Subscribed(generation, self.state.watched)]
                    else:  # a knock on a shut door: nobody there to be hurt by a storm
                        self.attempts.pop()
                        self.inbox += [ev.ConnectFailed(generation, "connection refused", refused=True)]
                case act.Resubscribe():
                    self.attempts.append(self.now)
                case act.VerifyBroker() if self.rest != "dead":
                    self.inbox.append(ev.BrokerChecked(self.rest != "down", "asked", self.now + 1))
                case act.ProbeCanaries(instruments):
                    assert set(instruments) <= set(self.state.watched)
                    if self.rest != "dead":
                        self.inbox.append(self.probed(instruments))
                case act.AskCandle():
                    self.inbox.append(ev.CandleSeen(self.now + 1, self.candle))
                case act.Follow(instruments):
                    self.inbox.append(ev.Subscribed(self.state.link.generation, instruments))
                case act.SymbolTurned(instrument, over=over):
                    assert self.policy.detect == "probe"
                    assert (instrument in self.stale) == over, "told twice, or over before it was told"
                    self.stale ^= {instrument}
                case act.Announce(moved):
                    json.dumps(dict(moved.evidence))
                    if self.policy.detect == "timers":
                        assert moved.after is not Mode.MARKET_SILENT
                    # No verdict of silence where no ticks are promised, and none of LIVE on a single tick.
                    if moved.after is not Mode.OFF:
                        assert self.phase.trading
                    else:
                        self.stale.clear()  # nothing is promised any more: that ends it without a word
                    if moved.after is Mode.LIVE:
                        need = 2 if moved.before is Mode.ARMED else self.policy.probation_ticks + 1
                        assert self.fresh() - self.ticks_before >= need
                    if moved.before in (Mode.OFF, Mode.LIVE):
                        self.ticks_before = self.fresh()
                case _:
                    pass

    def probed(self, instruments: tuple[Instrument, ...]) -> ev.Probed:
        if self.rest == "down":
            return ev.Probed((), self.now + 1, reason="connection refused")
        price = 26000.0 if self.rest == "frozen" else 26000.0 + self.now % 13
        return ev.Probed(tuple(quote(i, price) for i in instruments), self.now + 1)

    def fresh(self) -> int:
        return sum(c.ticks for c in self.state.ticks.values())

    def tell(self, event: ev.Event) -> None:
        self.take(step(self.state, event, self.now, self.policy))

    def evaluate(self) -> None:
        if self.evaluated is not None and self.state.expects:
            self.promised += self.now - self.evaluated
        self.evaluated = self.now
        self.take(evaluate(self.state, self.now, self.phase, self.policy))

    def second(self, kind: str) -> None:
        """One second of a world that answers by its switches; `kind` is what the stream brings."""
        self.now += 1
        inbox, self.inbox = self.inbox, []
        for event in inbox:
            self.tell(event)
        self.evaluate()
        if kind != "silence":
            for instrument in self.state.watched:
                if instrument not in self.deaf:
                    self.one_tick(self.state.link.generation, instrument, kind)
        if self.state.rest.polling:
            self.poll()

    def poll(self) -> None:
        before = self.state
        if self.rest == "down":
            self.tell(ev.PollFailed("connection refused", self.now))
        elif self.rest != "dead":
            price = 26000.0 if self.rest == "frozen" else 26000.0 + self.now % 13
            self.tell(ev.Polled(tuple(quote(i, price) for i in self.state.watched), self.now))
        self.untouched(before)

    @rule(
        seconds=st.sampled_from([1, 2, 4, 8, 8, 15, 35, 61, 65, 130, 150]),
        kind=st.sampled_from(["move", "move", "silence", "silence", "same", "undated"]),
    )
    def time_passes(self, seconds: int, kind: str) -> None:
        for _ in range(seconds):
            self.second(kind)

    @rule(seconds=st.floats(0.0, 3.0))
    def a_moment_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.floats(11, 2000))
    def runbook_is_stopped(self, seconds: float) -> None:
        mode = self.state.mode
        self.now += seconds
        self.evaluate()
        assert self.state.mode is mode

    @rule(phase=st.sampled_from([LIVE, LIVE, LIVE, *PhaseName]))
    def the_phase_changes(self, phase: PhaseName) -> None:
        self.phase = phase
        self.evaluate()

    @rule(rest=st.sampled_from(["ok", "ok", "down", "dead", "frozen"]), port=st.sampled_from(["up", "up", "refused"]))
    def the_other_side_changes(self, rest: str, port: str) -> None:
        self.rest, self.port = rest, port

    @rule(deaf=st.sampled_from([(), (), (FUTURE,), (OPTION,), (NIFTY,), (FUTURE, OPTION)]))
    def the_stream_loses_some(self, deaf: tuple[Instrument, ...]) -> None:
        self.deaf = frozenset(deaf)

    @rule(instrument=st.sampled_from([NIFTY, FUTURE, OPTION]))
    def one_stops_while_the_others_tick(self, instrument: Instrument) -> None:
        self.deaf = frozenset()
        self.time_passes(35, "move")
        self.deaf = frozenset({instrument})
        self.time_passes(61, "move")

    @rule(age=st.sampled_from([None, -1.0, 5.0, 20.0, 70.0, 400.0]))
    def the_candles_change(self, age: float | None) -> None:
        self.candle = age

    @rule(instrument=st.sampled_from([NIFTY, FUTURE, OPTION]))
    def one_more_is_followed(self, instrument: Instrument) -> None:
        before = self.state
        self.take(follow(self.state, (instrument,)))
        assert self.state.mode is before.mode
        assert instrument in self.state.watched

    @rule(moved=st.booleans(), age=st.sampled_from([None, 0.0, 20.0, 400.0]))
    def rest_answers_what_was_asked_long_ago(self, moved: bool, age: float | None) -> None:
        before = self.state
        price = 26000.0 + moved * self.now
        self.tell(ev.Probed(tuple(quote(i, price) for i in self.state.watched), self.now - 100))
        self.tell(ev.CandleSeen(self.now - 100, age))
        self.untouched(before)
        if before.mode is not Mode.MARKET_SILENT and before.evaluated_at == self.state.evaluated_at:
            assert self.state.mode is before.mode, "an answer to an older question decided"

    @rule(count=st.integers(1, 10), kind=st.sampled_from(["move", "same", "undated"]))
    def a_dead_connection_talks(self, count: int, kind: str) -> None:
        for instrument in self.state.watched * count:
            self.one_tick(self.state.link.generation - 1, instrument, kind)

    def one_tick(self, generation: int, instrument: Instrument, kind: str) -> None:
        if kind == "move":
            self.ltt += 1
        ltt = None if kind == "undated" else self.ltt
        before, alive = self.state, self.state.link.state in ("opening", "up")
        self.tell(ev.TickReceived(generation, Tick(instrument, 26000.0 + self.ltt % 7, ltt), self.now))
        if generation != before.link.generation or not alive:
            assert self.state.ticks == before.ticks, "a dead connection moved a clock"
            assert self.state.last_tick_at == before.last_tick_at
            assert self.state.mode is before.mode

    @rule(back=st.sampled_from([0, 1, 1]), kind=st.integers(0, 6))
    def the_socket_speaks(self, back: int, kind: int) -> None:
        generation = self.state.link.generation - back
        said: list[ev.Event] = [
            ev.Connected(generation, "angel"),
            ev.Subscribed(generation, self.state.watched),
            ev.Subscribed(generation, (), ((NIFTY, "Broker adapter not found"),)),
            ev.Garbage(generation, "a string"),
            ev.Closed(generation, "going away", 1001),
            ev.ConnectFailed(generation, "connection refused", refused=True),
            ev.Connected(generation, "angel"),
        ]
        self.tell(said[kind])

    @rule(price=st.sampled_from([26000.0, 26001.0, 0.0]), ok=st.booleans())
    def rest_says_what_nobody_asked(self, price: float, ok: bool) -> None:
        before = self.state
        self.tell(ev.Polled(tuple(quote(i, price) for i in self.state.watched), self.now))
        self.tell(ev.PollFailed("connection refused", self.now))
        self.tell(ev.BrokerChecked(ok, "asked", self.now))
        self.untouched(before)

    def untouched(self, before: State) -> None:
        assert self.state.ticks == before.ticks, "REST moved a clock of the socket"
        assert self.state.last_tick_at == before.last_tick_at

    @rule(chance=st.integers(0, 9))
    def stop_and_start(self, chance: int) -> None:
        if chance:
            return
        self.take(stop(self.state, self.now))
        assert self.state.mode is Mode.OFF
        self.attempts.clear()  # a person's start is never refused, and is not the machine's storm
        self.state = initial(self.state.watched, self.policy, self.state.link.generation)
        self.stale.clear()
        self.promised, self.evaluated = 0.0, None
        self.take(start(self.state, self.now))
        self.evaluate()

    @invariant()
    def at_most_six_attempts_in_ten_minutes(self) -> None:
        for t in self.attempts:
            assert sum(t <= x < t + 600 for x in self.attempts) <= self.policy.rungs

    @invariant()
    def the_seconds_add_up(self) -> None:
        booked = self.state.seconds
        late = self.now - self.evaluated if self.evaluated is not None else 0.0
        assert self.promised - 1e-6 <= booked.expected <= self.promised + late + 1e-6
        assert min(booked.websocket, booked.rest, booked.blind, booked.waiting, booked.still, booked.unwatched) >= -1e-6

    @invariant()
    def polling_runs_exactly_where_it_should(self) -> None:
        assert self.state.rest.polling == (self.state.mode in POLLED)

    @invariant()
    def a_source_is_named_exactly_where_there_is_one(self) -> None:
        named = source(self.state) is not None
        assert named == (self.state.mode in (Mode.LIVE, Mode.FALLBACK, Mode.PROBATION))

    @invariant()
    def off_is_where_nothing_is_promised(self) -> None:
        if not self.state.expects:
            assert self.state.mode is Mode.OFF
        assert (self.state.outage > 0) == (self.state.mode in POLLED | {Mode.SUSPECT})

    @invariant()
    def every_mode_has_a_verdict(self) -> None:
        judging.judge(self.state, self.now, self.policy)


Feed.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=45,
    deadline=None,
    derandomize=True,  # the same cases for everybody; `make soak` is where new ones are looked for
    suppress_health_check=[HealthCheck.too_slow],
)
TestAnyOrderOfEvents = Feed.TestCase


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    live=st.integers(0, 400),
    fault=st.sampled_from(["mute", "refused", "hanging", "login"]),
    rest=st.sampled_from(["ok", "down", "dead", "frozen"]),
    ltt=st.booleans(),
    seed=st.integers(0, 50),
    detect=st.sampled_from(["probe", "timers"]),
)
def test_total_silence_reaches_rest_or_blindness_in_time(
    live: int, fault: str, rest: str, ltt: bool, seed: int, detect: Detect
) -> None:
    policy = Policy(seed=seed, detect=detect)
    world = World((NIFTY, FUTURE), policy, ltt=ltt)
    world.stream = "ticks" if live else "mute"
    world.begin().run(live)
    world.rest = rest
    if fault == "mute":
        world.stream = "mute"
    elif fault == "login":
        world.login = 0
    else:
        world.port = fault
        world.drop()
        world.stream = "mute"
    zero = world.now
    while world.mode not in (Mode.FALLBACK, Mode.BLIND):
        world.run(1)
        # the 15 s are for an answer that never comes
        assert world.now - zero <= policy.fallback_after + policy.verify_within + 4
    if fault in ("refused", "hanging") and live:
        assert world.now - zero <= policy.closed_after + policy.verify_within + 4
