"""A drill: a silence that only a second machine sees, told as what it is, up to the acknowledged alert."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from runbook.alert import AlertState, FeedMoved, FeedWord, Severity, Tick, decide, message_for
from runbook.engine import CauseNews, FeedNews
from runbook.errors import DrillRefused
from runbook.feed.policy import Policy
from runbook.feed.table import Mode
from runbook.market import Source
from runbook.monitor.drill import Drill
from runbook.session import INDIA
from tests.fakes import at, quote, until
from tests.test_monitor import Watch


class Market(Watch):
    """A feed that goes on ticking until it is told not to."""

    def __init__(self) -> None:
        super().__init__(Policy())
        self.acked = False
        self.flows = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick_on, daemon=True)

    def begin(self) -> None:
        self.live()
        self.flows.set()
        self._thread.start()

    def _tick_on(self) -> None:
        ltp = 26001.0
        while not self._over.wait(0.02):
            ltp += 0.5
            if self.flows.is_set():
                self.tick(ltp)
            self.gateway.quoted = quote(ltp)  # the market moves whether we are told or not

    def drill(self, seconds: float = 3000.0) -> None:
        self.monitor.drill(seconds, lambda: self.acked)

    def causes(self) -> list[FeedMoved]:
        return [n.cause for n in self.news if isinstance(n, CauseNews) and isinstance(n.cause, FeedMoved)]

    def words(self) -> list[FeedWord]:
        return [FeedWord(cause.to_mode) for cause in self.causes()]

    def result(self) -> str:
        drill = self.monitor._drill
        assert drill is not None
        until(lambda: drill.result is not None and not drill.on, "the drill is over")
        return drill.result or ""

    def end(self) -> None:
        self._over.set()
        self.monitor.stop()


@pytest.fixture
def market() -> Iterator[Market]:
    made = Market()
    made.begin()
    yield made
    made.end()


def test_a_drill_is_told_as_one_and_the_feed_goes_on_untouched(market: Market):
    before, generation = len(market.prices()), market.wire.generation
    market.drill()
    until(lambda: FeedWord.FALLBACK in market.words(), "the second machine falls back")
    assert all(cause.drill for cause in market.causes())
    market.acked = True
    assert market.result().startswith("acknowledged ")
    last = market.causes()[-1]
    assert (last.to_mode, last.drill) == (FeedWord.LIVE, True)
    assert last.reason.startswith("end of the drill: acknowledged")
    assert market.modes()[-1] is Mode.LIVE, "the feed itself has never left it"
    assert market.wire.generation == generation, "no socket was opened"
    prices = market.prices()[before:]
    assert len(prices) > 10
    assert {p.source for p in prices} == {Source.WEBSOCKET}, "who listens got every tick, and none of the drill's polls"
    state = market.monitor.view().state
    assert state is not None
    assert [
        name
        for name, booked in asdict(state.seconds).items()
        if booked and name not in ("websocket", "waiting", "unwatched")
    ] == []
    assert state.counts.fallbacks == 0
    assert [n.change.now for n in market.news if isinstance(n, FeedNews)][-1] == Mode.LIVE, (
        "no row of a mode that was not"
    )


def test_each_call_of_a_drill_is_told_to_whoever_minds_the_quota(market: Market):
    spent: list[int] = []
    drill = Drill(market.monitor._p, market.monitor.view, 3000.0, lambda: len(spent) >= 5, lambda: spent.append(1))
    drill.start()
    until(lambda: drill.result, "it is over")
    drill.stop()
    assert 5 <= len(spent) <= len(market.gateway.asked)


def test_a_drill_that_nobody_acknowledges_ends_by_itself(market: Market):
    market.drill(60.0)
    assert market.result() == "nobody acknowledged it within 60 s"
    assert market.words()[-1] is FeedWord.LIVE


def test_a_real_silence_during_a_drill_breaks_it_off_and_is_told_as_real(market: Market):
    market.drill()
    until(lambda: FeedWord.FALLBACK in market.words(), "the second machine falls back")
    market.flows.clear()
    assert market.result().startswith("broken off: the feed itself is ")
    until(
        lambda: any(isinstance(n, FeedNews) and n.cause is not None and not getattr(n.cause, "drill", False)
                    and getattr(n.cause, "to_mode", "") == FeedWord.FALLBACK for n in market.news),
        "the real one is told",
    )  # fmt: skip


def test_a_drill_begins_only_on_a_feed_that_is_well_and_only_once(market: Market):
    market.drill()
    with pytest.raises(DrillRefused, match="on already"):
        market.drill()
    market.acked = True
    market.result()
    market.flows.clear()
    market.until(Mode.SUSPECT)
    with pytest.raises(DrillRefused, match="the feed is SUSPECT"):
        market.drill()
    market.monitor.stop()
    with pytest.raises(DrillRefused, match="not being watched"):
        market.drill()


# -- how it reads -------------------------------------------------------------------------------------------------------


def moved(was: FeedWord, now: FeedWord, clock: str, *, drill: bool) -> FeedMoved:
    return FeedMoved(was, now, at(clock), "no ticks for 9 s", mode="live", feed="NIFTY", drill=drill)


def test_every_message_of_a_drill_says_so_and_a_real_outage_beside_it_is_another_alert():
    drilled = decide([], moved(FeedWord.LIVE, FeedWord.FALLBACK, "10:00", drill=True), at("10:00"))
    (alert,) = (c.alert for c in drilled if c.alert)
    assert alert.drill
    opened = decide([alert], Tick(), at("10:00:20"))
    assert message_for(opened[0], INDIA).title == "[DRILL] [CRIT] feed on REST since 10:00 (NIFTY)"
    assert opened[0].alert is not None
    alert = opened[0].alert
    assert alert.title == "feed on REST (drill)"
    real = decide([alert], moved(FeedWord.LIVE, FeedWord.FALLBACK, "10:01", drill=False), at("10:01"))
    (other,) = [c.alert for c in real if c.alert]
    assert other.fingerprint != alert.fingerprint
    assert not other.drill
    over = decide([alert, other], moved(FeedWord.FALLBACK, FeedWord.LIVE, "10:02", drill=True), at("10:02"))
    assert [(c.alert.state, c.alert.severity) for c in over if c.alert and c.alert.drill] == [
        (AlertState.RESOLVED, Severity.CRITICAL)
    ]
    assert message_for(over[-1], INDIA).title.startswith("[DRILL] [OK] feed back on the stream at 10:02")
