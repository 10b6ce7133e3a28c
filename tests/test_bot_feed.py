"""`open_feed`: the feed in the bot's own process, against a simulated OpenAlgo on real sockets."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from runbook import open_feed
from runbook.bot_feed import BotFeed
from runbook.clock import RehearsalClock
from runbook.errors import UsageError
from runbook.feed.policy import Policy
from runbook.feed.price import Price
from runbook.feed.table import Mode
from runbook.market import Instrument, Source
from runbook.monitor import scaled
from runbook.session import SessionCalendar
from runbook.simulator import Simulator
from tests.fakes import MONDAY, TUESDAY, at, calendar, session, until

RATE = 30.0  # two minutes of silence are four seconds
POLICY = scaled(Policy(bot_served=True, detect="timers"), RATE)


class Opened:
    """A simulator, its clock, and the feeds that were opened on it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def at(self, start: str, **more: Any) -> BotFeed:
        self.clock = RehearsalClock(at(start), rate=RATE)
        hours = [(at("09:15", day), at("15:40", day)) for day in (MONDAY, TUESDAY)]
        self.sim = self._stack.enter_context(Simulator(clock=self.clock, session=hours))
        return self.open(**more)

    def open(self, days: SessionCalendar | None = None, **more: Any) -> BotFeed:
        told: dict[str, Any] = {
            "url": self.sim.rest_url, "stream_url": self.sim.stream_url, "api_key": self.sim.api_key,
            "symbols": ["NIFTY", "NIFTY:fut"], "calendar": days or calendar(), "clock": self.clock, "policy": POLICY,
        }  # fmt: skip
        return self._stack.enter_context(open_feed(**(told | more)))


@pytest.fixture
def opened() -> Iterator[Opened]:
    with ExitStack() as stack:
        yield Opened(stack)


def price_of(feed: BotFeed, symbol: str = "NIFTY", **more: Any) -> Price:
    found: list[Price] = []

    def look() -> bool:
        if (one := feed.price(symbol, **more)) is not None:
            found.append(one)
        return bool(found)

    until(look, f"there is a price of {symbol}", 20)
    return found[0]


def test_a_live_feed_gives_the_prices_of_the_stream(opened: Opened):
    feed = opened.at("09:20")
    index, future = price_of(feed), price_of(feed, "NIFTY:fut")
    assert (index.instrument, index.source) == (Instrument("NIFTY", "NSE_INDEX"), Source.WEBSOCKET)
    assert future.instrument.is_future
    assert (feed.mode, feed.source) == (Mode.LIVE, Source.WEBSOCKET)
    until(lambda: feed.status.mode is Mode.LIVE, "it is said, which comes after it is so", 20)
    shown = feed.view()
    assert shown is not None
    assert shown.mode is Mode.LIVE
    assert feed.price(future.instrument) is not None
    assert feed.price(f"NFO:{future.instrument.symbol}") is not None


def test_prices_come_as_they_are_handed_on_and_end_when_none_comes_in_time(opened: Opened):
    feed = opened.at("09:20")
    price_of(feed)
    few = [price for price, _ in zip(feed.prices(timeout=10), range(5), strict=False)]
    assert len(few) == 5
    opened.sim.switch("mute")
    assert {price.source for price in feed.prices(timeout=1.0)} <= {Source.WEBSOCKET}


def test_a_mute_stream_has_no_price_and_then_those_of_rest(opened: Opened):
    feed = opened.at("09:20")
    price_of(feed)
    opened.sim.switch("mute")
    until(lambda: feed.status.mode is Mode.SUSPECT, "the silence is noticed", 20)
    assert feed.price("NIFTY") is None or feed.mode is not Mode.SUSPECT
    until(lambda: feed.status.mode is Mode.FALLBACK, "REST is asked", 20)
    over = price_of(feed)
    assert (over.source, over.ltt) == (Source.REST_POLLING, None)
    assert next(iter(feed.prices(timeout=10))).source is Source.REST_POLLING


def test_an_old_price_is_none_unless_it_is_asked_for(opened: Opened):
    feed = opened.at("09:20")
    price_of(feed)
    opened.sim.switch("mute")
    until(lambda: feed.price("NIFTY") is None, "it grows old", 20)
    assert feed.mode is Mode.LIVE  # thirty seconds of silence are no outage yet
    assert feed.price("NIFTY", max_age=None) is not None


def test_before_the_open_and_after_the_close_there_is_no_price(opened: Opened):
    feed = opened.at("08:00")
    assert (feed.mode, feed.source, feed.price("NIFTY"), feed.price("NIFTY:fut")) == (Mode.OFF, None, None, None)
    until(lambda: opened.clock.now() > at("08:00:20"), "it has looked")
    assert opened.sim.calls == []  # nothing is asked of anybody
    opened.clock.jump_to(at("09:05"))
    until(lambda: opened.sim.stream_clients == 1, "it is connected before the open", 10)
    opened.clock.jump_to(at("09:16"))
    price_of(feed)
    opened.clock.jump_to(at("15:41"))
    until(lambda: feed.status.mode is Mode.OFF, "the session is over", 10)
    assert feed.price("NIFTY", max_age=None) is None
    opened.clock.jump_to(at("15:45"))
    until(lambda: opened.sim.stream_clients == 0, "the socket is given back", 10)
    opened.clock.jump_to(at("09:16", TUESDAY))
    assert price_of(feed).received_at.date() == TUESDAY


def test_a_holiday_is_left_alone(opened: Opened):
    feed = opened.at("11:00", days=calendar(session(TUESDAY), closed={MONDAY: "holiday"}))
    until(lambda: opened.clock.now() > at("11:00:20"), "it has looked")
    assert feed.mode is Mode.OFF
    opened.clock.jump_to(at("09:16", TUESDAY))
    price_of(feed)
    assert min(call[0] for call in opened.sim.calls) > at("09:15", TUESDAY)


def test_what_cannot_be_found_yet_is_looked_for_again_and_the_rest_is_watched(opened: Opened):
    feed = opened.at("09:20", symbols=["NIFTY", "NIFTY:fut"], url="http://127.0.0.1:9")
    price_of(feed)  # ticks need no REST
    until(lambda: feed.fault is not None, "the search fails")
    assert feed.price("NIFTY:fut") is None


def test_a_symbol_the_feed_was_not_opened_with_is_refused(opened: Opened):
    feed = opened.at("09:20")
    with pytest.raises(UsageError, match="BANKNIFTY is not in this feed; accepted: NSE_INDEX:NIFTY, NIFTY:fut"):
        feed.price("BANKNIFTY")
    with pytest.raises(UsageError, match="OpenAlgo's are in capitals"):
        feed.price("nonsense")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"symbols": []}, "no list of symbols"), ({"symbols": "NIFTY"}, "no list of symbols"),
        ({"symbols": ["nifty"]}, "capitals"), ({"api_key": " "}, "API key is empty"),
        ({"url": "127.0.0.1:5000"}, "not one of http"), ({"stream_url": "http://x"}, "not one of ws"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_begins(wrong: dict[str, object], said: str):
    right: dict[str, Any] = {
        "url": "http://127.0.0.1:5000",
        "api_key": "k" * 64,
        "symbols": ["NIFTY"],
        "calendar": calendar(),
    }
    with pytest.raises(UsageError, match=said):
        open_feed(**(right | wrong))


def test_nothing_is_written_unless_a_folder_is_named(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    feed = opened.at("09:20")
    price_of(feed)
    feed.close()
    assert list(tmp_path.iterdir()) == []
    kept = opened.open(record=tmp_path / "ticks")
    price_of(kept)
    kept.close()
    assert len(list((tmp_path / "ticks").iterdir())) == 1


def test_close_ends_a_loop_that_waits(opened: Opened):
    feed = opened.at("08:00")
    ended = threading.Event()

    def loop() -> None:
        assert list(feed.prices()) == []
        ended.set()

    threading.Thread(target=loop, daemon=True).start()
    feed.close()
    assert ended.wait(5)
    feed.close()


def test_the_key_is_in_no_text_of_the_feed(opened: Opened, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    feed = opened.at("09:20")
    price_of(feed)
    feed.close()
    assert opened.sim.api_key not in caplog.text + repr(feed) + repr(feed.view()) + repr(feed.status)


def test_the_default_calendar_is_the_one_the_command_line_computes(monkeypatch: pytest.MonkeyPatch):
    feed = open_feed(url="http://127.0.0.1:9", api_key="k" * 64, symbols=["NIFTY"], clock=RehearsalClock(at("08:00")))
    try:
        held = feed._p.calendar
        assert (held.exchange, held.day(MONDAY).session is not None) == ("NFO", True)
    finally:
        feed.close()


def test_to_write_a_step_loads_nothing_of_the_feed():
    code = "import sys, runbook; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('runbook', 'requests', 'websocket')))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"requests", "websocket", "runbook.app", "runbook.monitor", "runbook.bot_feed"} & set(loaded)


def _typed(feed: BotFeed) -> Callable[[str], Price | None]:
    """mypy reads it: the face is typed."""
    return feed.price
