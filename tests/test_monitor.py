"""What the monitor hands on: how the feed stands first, then the prices of the side that is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from runbook.alert import FeedMoved
from runbook.clock import RehearsalClock
from runbook.engine import CauseNews, FeedNews, FeedTotals
from runbook.errors import BrokerSessionGone, GatewayUnreachable
from runbook.feed import events as ev
from runbook.feed.policy import Policy
from runbook.feed.price import FeedStatus, Price
from runbook.feed.table import Mode
from runbook.market import Instrument, Source, Tick
from runbook.monitor import FeedParts, Monitor, scaled
from tests.fakes import NIFTY, FakeGateway, FakeStream, at, quote, session, until
from tests.test_desk import Keeper

RATE = 60.0  # two minutes of silence are two seconds


class Wire(FakeStream):
    """A stream whose events the test emits."""

    emit: Callable[[ev.StreamEvent], None]
    generation = 0
    refuses = False  # nothing listens

    def connect(
        self, generation: int, instruments: Sequence[Instrument], emit: Callable[[ev.StreamEvent], None]
    ) -> None:
        self.emit, self.generation = emit, generation
        if self.refuses:
            emit(ev.ConnectFailed(generation, "connection refused", refused=True))
            return
        emit(ev.Connected(generation, "angel"))
        emit(ev.Subscribed(generation, tuple(instruments)))

    def resubscribe(self, *, authenticate: bool = True) -> None:
        self.emit(ev.Subscribed(self.generation, (NIFTY,)))


class Watch:
    """A real monitor over a stream and a gateway in memory; `heard` is what it handed on, in order."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.clock = RehearsalClock(at("09:20"), rate=RATE)
        self.wire, self.gateway = Wire(), FakeGateway()
        self.heard: list[FeedStatus | Price] = []
        self.news: list[FeedNews | FeedTotals | CauseNews] = []
        self.listened = True
        parts = FeedParts(
            self.clock, self.wire, self.gateway, scaled(policy or Policy(detect="timers"), RATE), lambda _session: Keeper(), self.news.append,
            "analyzer", publish=self.heard.extend, publish_status=self.heard.append,
            listened=lambda: self.listened,
        )  # fmt: skip
        self.monitor = Monitor(parts)
        self.monitor.start(session(), [NIFTY])

    def tick(self, ltp: float) -> None:
        now = self.clock.monotonic()
        self.wire.emit(ev.TickReceived(self.wire.generation, Tick(NIFTY, ltp, int(now * 1000)), now))

    def live(self) -> None:
        self.until(Mode.ARMED)
        for ltp in (26000.0, 26000.5):
            self.tick(ltp)
        self.until(Mode.LIVE)

    def until(self, mode: Mode) -> None:
        until(lambda: self.modes()[-1:] == [mode], f"the feed is {mode}")

    def prices(self) -> list[Price]:
        return [one for one in self.heard if isinstance(one, Price)]

    def modes(self) -> list[Mode]:
        return [one.mode for one in self.heard if isinstance(one, FeedStatus)]


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    made.monitor.stop()


def test_ticks_are_handed_on_from_the_one_that_made_the_feed_live(watch: Watch):
    watch.live()
    watch.tick(26001.0)
    until(lambda: len(watch.prices()) == 2, "both are handed on")
    assert [(p.ltp, p.source) for p in watch.prices()] == [
        (26000.5, Source.WEBSOCKET), (26001.0, Source.WEBSOCKET),
    ]  # fmt: skip
    assert watch.modes() == [Mode.OFF, Mode.ARMED, Mode.LIVE]
    live = next(one for one in watch.heard if isinstance(one, FeedStatus) and one.mode is Mode.LIVE)
    assert (live.source, live.broker) == (Source.WEBSOCKET, "angel")
    assert watch.heard.index(live) < watch.heard.index(watch.prices()[0])


def test_ticks_that_were_read_together_are_handed_on_together_without_repetitions(watch: Watch):
    watch.live()
    now = watch.clock.monotonic()
    read = tuple(Tick(NIFTY, 26001.0 + n // 2, 1 + n // 2) for n in range(6))  # each trade told twice
    watch.wire.emit(ev.Ticks(watch.wire.generation, read, now))
    until(lambda: len(watch.prices()) == 4, "three of the six are handed on")
    assert [p.ltp for p in watch.prices()[1:]] == [26001.0, 26002.0, 26003.0]
    assert len({p.received_at for p in watch.prices()[1:]}) == 1


def test_no_price_is_made_for_nobody_and_the_next_one_is_for_who_came(watch: Watch):
    watch.listened = False
    watch.live()
    watch.tick(26001.0)
    until(lambda: (state := watch.monitor.view().state) and state.ticks[NIFTY].ticks == 3, "it is taken in")
    assert watch.prices() == []
    watch.listened = True
    watch.tick(26002.0)
    until(watch.prices, "it is handed on")
    assert [p.ltp for p in watch.prices()] == [26002.0]


def test_a_mute_stream_hands_on_nothing_and_then_the_polls(watch: Watch):
    watch.live()
    watch.until(Mode.SUSPECT)
    before = len(watch.prices())
    watch.until(Mode.FALLBACK)
    until(lambda: len(watch.prices()) >= before + 2, "polls are handed on")
    polled = watch.prices()[before:]
    assert {p.source for p in polled} == {Source.REST_POLLING}
    assert {p.ltp for p in polled} == {quote().ltp}
    assert watch.modes()[-2:] == [Mode.SUSPECT, Mode.FALLBACK]


def test_a_blind_feed_hands_on_no_price(watch: Watch):
    watch.live()
    watch.until(Mode.FALLBACK)
    watch.until(Mode.BLIND)  # the quote in memory never moves
    said = next(n for n, one in enumerate(watch.heard) if isinstance(one, FeedStatus) and one.mode is Mode.BLIND)
    polls = len(watch.gateway.asked)
    until(lambda: len(watch.gateway.asked) > polls + 3, "it is still polled")
    assert not [one for one in watch.heard[said:] if isinstance(one, Price)]


def test_where_neither_side_answers_the_gateway_is_what_is_gone_until_one_of_them_does(watch: Watch):
    def words() -> list[tuple[str, bool]]:
        causes = [one.cause for one in watch.news if isinstance(one, FeedNews) and isinstance(one.cause, FeedMoved)]
        return [(str(cause.to_mode), cause.unreachable) for cause in causes]

    watch.live()
    watch.wire.refuses = True
    watch.gateway.faults = dict.fromkeys(("quote", "quotes"), GatewayUnreachable("connection refused"))
    watch.wire.emit(ev.Closed(watch.wire.generation, "going away", 1001))
    watch.until(Mode.BLIND)
    until(lambda: words()[-1:] == [("blind", True)], "it is told so")
    watch.gateway.faults = dict.fromkeys(("quote", "quotes"), BrokerSessionGone())
    until(lambda: words()[-1:] == [("blind", False)], "it answers again, and is no less blind")


def test_what_openalgo_refuses_is_told(watch: Watch):
    watch.live()
    watch.wire.emit(ev.Subscribed(watch.wire.generation, (), ((NIFTY, "Symbol NIFTY not found"),)))
    until(lambda: isinstance(watch.heard[-1], FeedStatus) and watch.heard[-1].refused == (NIFTY,), "it is told")


def test_the_end_is_told(watch: Watch):
    watch.live()
    watch.monitor.stop()
    last = watch.heard[-1]
    assert isinstance(last, FeedStatus)
    assert (last.mode, last.source, last.reason) == (Mode.OFF, None, "runbook stops")


def test_a_fault_of_ours_among_the_ticks_ends_the_watch_and_says_so_instead_of_blaming_the_stream(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: object) -> bool:
        raise RuntimeError("no such keeper")

    watch.live()
    monkeypatch.setattr(Keeper, "record", fail)
    now = watch.clock.monotonic()
    watch.wire.emit(ev.Ticks(watch.wire.generation, (Tick(NIFTY, 26001.0, int(now * 1000)),), now))
    until(lambda: not watch.monitor.view().running, "the watch has ended")
    assert "the feed monitor failed" in caplog.text
    assert "no such keeper" in caplog.text
    assert watch.modes()[-1] is Mode.OFF
