"""The follower looks at the bot's files and orders and tells the monitor; on real files, with a clock of its own."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from runbook.adapters.botfiles import bot_log, traded
from runbook.adapters.tradelog import read_trades
from runbook.clock import RehearsalClock, SystemClock
from runbook.errors import BrokerSessionGone
from runbook.feed.policy import Policy
from runbook.feed.state import initial
from runbook.follow import homes
from runbook.follower import ORDERS, Follower, Sources
from runbook.market import Instrument
from runbook.monitor import Watching
from runbook.ports import Order
from runbook.session import Session
from runbook.symbols import parse_symbol
from tests.fakes import until
from tests.feed_world import NIFTY

DAY = date(2026, 11, 23)
CALL, PUT = Instrument("NIFTY24NOV2626000CE", "NFO"), Instrument("NIFTY24NOV2625900PE", "NFO")


def session(day: date) -> Session:
    opening = datetime(day.year, day.month, day.day, 3, 45, tzinfo=UTC)
    return Session("NFO", day, ((opening, opening + timedelta(hours=6)),))


class Desk:
    """A monitor as the follower sees it, and a bot with files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = RehearsalClock(datetime(2026, 11, 23, 4, tzinfo=UTC), rate=1e-9)
        self.day = DAY
        self.running = True
        self.watched: list[Instrument] = [NIFTY]
        self.told: list[tuple[tuple[Instrument, ...], str]] = []
        self.book: list[Order] | Exception = []
        self.asked = self.spent = 0
        self.followers: list[Follower] = []

    def watching(self) -> Watching:
        return Watching(self.running, initial(self.watched, Policy()), 0.0, session(self.day))

    def follow(self, instruments, why: str) -> None:
        self.told.append((tuple(instruments), why))
        self.watched += [i for i in instruments if i not in self.watched]

    def orders(self, _budget) -> list[Order]:
        self.asked += 1
        if isinstance(self.book, Exception):
            raise self.book
        return self.book

    def _spent(self) -> None:
        self.spent += 1

    def follower(self, **which) -> Follower:
        tail = bot_log("bot.log", self.folder)
        all_ = {
            "lines": tail.lines, "skip": tail.skip, "close": tail.close, "fault": lambda: tail.fault, "orders": self.orders, "spent": self._spent,
            "trades": traded("trades.csv", self.folder, lambda day: read_trades("trades.csv", day, root=self.folder)),
        }  # fmt: skip
        chosen = [*which, "skip", "close", "fault"] if which else all_
        sources = Sources(**{name: all_[name] for name in chosen})  # type: ignore[arg-type]
        made = Follower(self.clock, self.watching, self.follow, homes([parse_symbol("NIFTY")]), sources)
        self.followers.append(made)
        return made

    def log(self, text: str) -> None:
        with (self.folder / "bot.log").open("a") as file:
            file.write(text + "\n")


@pytest.fixture
def desk(tmp_path: Path):
    made = Desk(tmp_path)
    yield made
    for follower in made.followers:
        follower.stop()


def order(instrument: Instrument, status: str = "complete") -> Order:
    return Order("1", instrument, "BUY", 75, status, "MIS", "")


def test_a_strike_that_the_bot_writes_down_is_followed_and_what_stood_there_before_is_not(desk):
    desk.log(f"yesterday {PUT.symbol}")
    follower = desk.follower(lines=1)
    follower.look()
    assert desk.told == []
    desk.log(f"BUY {CALL.symbol} 75 @ 145.1")
    follower.look()
    follower.look()
    assert desk.told == [((CALL,), "the bot's log names them")]


def test_the_trade_log_tells_what_was_traded_today_also_before_runbook_started(desk):
    (desk.folder / "trades.csv").write_text(
        "order_id,symbol,action,qty,fill_price,timestamp\n"
        f"1,{CALL.symbol},BUY,75,145.10,2026-11-23 09:20:00\n"
        f"0,{PUT.symbol},BUY,75,92.10,2026-11-20 09:20:00\n"
    )
    follower = desk.follower(trades=1)
    follower.look()
    assert desk.told == [((CALL,), "the bot's trade log has them")]
    with (desk.folder / "trades.csv").open("a") as file:
        file.write(f"2,{PUT.symbol},SELL,75,92.10,2026-11-23 10:20:00\n")
    follower.look()
    assert desk.told[1:] == [((PUT,), "the bot's trade log has them")]


def test_a_trade_log_that_did_not_change_is_not_read_again(desk):
    read: list[date] = []
    (desk.folder / "trades.csv").write_text("a\n")
    tell = traded("trades.csv", desk.folder, read.append)
    for _ in range(5):
        tell(DAY)
    assert read == [DAY]
    tell(date(2026, 11, 24))
    assert len(read) == 2


def test_the_order_book_is_read_once_a_minute_and_each_reading_is_booked(desk):
    follower = desk.follower(orders=1, spent=1)
    desk.book = [order(CALL), order(PUT, "rejected")]
    for _ in range(4):
        follower.look()
    assert (desk.asked, desk.spent) == (1, 1)
    assert desk.told == [((CALL,), "there are orders in them")]
    desk.clock.jump_to(desk.clock.now() + timedelta(seconds=ORDERS + 1))
    follower.look()
    assert (desk.asked, desk.spent) == (2, 2)


def test_an_order_book_that_cannot_be_read_is_said_once_and_the_log_goes_on(desk, caplog):
    follower = desk.follower()
    desk.book = BrokerSessionGone()
    for _ in range(3):
        follower.look()
        desk.clock.jump_to(desk.clock.now() + timedelta(seconds=ORDERS + 1))
    desk.log(CALL.symbol)
    follower.look()
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(said) == 1
    assert "the order book could not be read" in said[0]
    assert desk.told[0][0] == (CALL,)


def test_a_log_that_may_not_be_read_is_said_once(desk, caplog):
    (desk.folder / "bot.log").mkdir()
    follower = desk.follower(lines=1)
    for _ in range(3):
        follower.look()
    assert [r.getMessage() for r in caplog.records if "bot.log cannot be read" in r.getMessage()][1:] == []
    assert "bot.log cannot be read" in caplog.text


def test_nothing_is_looked_at_while_no_session_is_watched(desk):
    desk.running = False
    follower = desk.follower()
    follower.look()
    assert (desk.asked, desk.told) == (0, [])


def test_a_new_session_begins_with_nothing_and_a_new_watch_of_the_same_one_gets_all_back(desk):
    follower = desk.follower(lines=1)
    follower.look()
    desk.log(CALL.symbol)
    follower.look()
    desk.watched = [NIFTY]  # start_feed ran again
    for _ in range(3):
        desk.clock.jump_to(desk.clock.now() + timedelta(seconds=11))
        follower.look()
    assert [told for told, _ in desk.told] == [(CALL,), (CALL,)]
    desk.day, desk.watched = date(2026, 11, 24), [NIFTY]
    follower.look()
    follower.look()
    assert len(desk.told) == 2


def test_more_than_fifty_are_not_followed_and_that_is_said(desk, caplog):
    follower = desk.follower(lines=1)
    follower.look()
    for strike in range(20_000, 20_000 + 60 * 50, 50):
        desk.log(f"NIFTY24NOV26{strike}CE")
    follower.look()
    assert sum(len(told) for told, _ in desk.told) == 50
    assert "50 instruments of the bot are followed, which is the most" in caplog.text


def test_no_line_of_the_bot_reaches_our_log(desk, caplog):
    caplog.set_level(logging.DEBUG)
    follower = desk.follower()
    follower.look()
    desk.log(f"password=hunter2 {CALL.symbol} apikey=0123456789abcdef")
    follower.look()
    assert desk.told
    assert "hunter2" not in caplog.text
    assert "0123456789abcdef" not in repr(desk.told)


def test_its_thread_looks_by_itself_survives_a_fault_and_ends_when_told(desk, caplog):
    looks = []

    def watching() -> Watching:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("once")
        return desk.watching()

    class Hasty(SystemClock):
        def wait(self, event, seconds: float) -> bool:
            return event.wait(0.01)

    tail = bot_log("bot.log", desk.folder)
    follower = Follower(
        Hasty(), watching, desk.follow, homes([]), Sources(lines=tail.lines, skip=tail.skip, close=tail.close)
    )
    follower.start()
    until(lambda: len(looks) > 3, "it looks again")
    desk.log(CALL.symbol)
    until(lambda: bool(desk.told), "the strike is told")
    follower.stop()
    assert desk.told[0][0] == (CALL,)
    assert "following the bot failed" in caplog.text
    idle = Follower(Hasty(), watching, desk.follow, {}, Sources())
    idle.start()  # nothing to look at: no thread
    idle.stop()
