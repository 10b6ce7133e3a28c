"""What the five steps ask of the desk: the ladder and READY, the feed as it stands, the day held against three witnesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from runbook.alert import CalendarDoubt, ModeLeak, NotFlat, ReadyReached
from runbook.budget import Budget
from runbook.clock import RehearsalClock
from runbook.day import DayFacts
from runbook.desk import TheDesk, Tools
from runbook.engine import CauseNews, FeedNews, FeedTotals
from runbook.errors import BrokerSessionGone, GatewayUnreachable, JobFailed, RateLimited
from runbook.feed.events import Connected, StreamEvent, Subscribed, TickReceived
from runbook.feed.policy import Policy
from runbook.job import Context, Key, Verdict
from runbook.market import Quote, Source, Tick
from runbook.monitor import FeedParts, Monitor
from runbook.ports import GatewayMode, HolidayRow, OpenHours, Order, Position, PositionBook
from runbook.recon import TradeLog
from runbook.report import Report, build
from runbook.session import Day, DayStatus, Session
from runbook.symbols import NearestFuture
from runbook.upkeep import Backup
from tests.fakes import (
    MONDAY,
    NIFTY,
    TUESDAY,
    FakeGateway,
    FakeMarketCalendar,
    FakeStream,
    at,
    calendar,
    session,
    until,
)
from tests.recon_world import Everywhere, leg, log, order, position

FUTURE = NearestFuture("NIFTY", "NFO")


def open_day(n: int) -> Day:
    day = date(2026, 11, n)
    return Day(day, DayStatus.OPEN, "regular", session=session(day))


UP: tuple[StreamEvent, ...] = (Connected(1, "angel"), Subscribed(1, (NIFTY,)))
TICK = TickReceived(1, Tick(NIFTY, 26049.9, None), 0.0)


class Keeper:
    """Keeps no tick at all."""

    dropped = 0
    written = 0
    fault: str | None = None

    def record(self, source: Source, value: Tick | Quote, received_at: datetime) -> bool:
        return True

    def close(self, timeout: float = 5.0) -> bool:
        return True


class Books(FakeGateway):
    """A gateway with rows in its books."""

    def __init__(self, orders: tuple[Order, ...] = (), positions: tuple[Position, ...] = (), **more: Any) -> None:
        super().__init__(**more)
        self._orders, self._positions = orders, positions

    def orders(self, budget: Budget) -> tuple[GatewayMode, tuple[Order, ...]]:
        mode, _ = super().orders(budget)
        return mode, self._orders

    def positions(self, budget: Budget) -> PositionBook:
        super().positions(budget)
        return PositionBook(self.stands_on, self._positions)


class Desk:
    """A real desk over a real monitor, with a gateway and streams in memory."""

    def __init__(
        self, clock: str, gateway: FakeGateway | None = None, *, mode: str = "local_paper", **more: Any
    ) -> None:
        self.clock = RehearsalClock(at(clock))
        self.gateway = gateway or FakeGateway()
        self.news: list[FeedNews | FeedTotals | CauseNews] = []
        self.probes: list[FakeStream] = []
        self.probed: tuple[StreamEvent, ...] = more.get("probed", (*UP, TICK))
        self.feed = FakeStream(*more.get("feed", UP))
        parts = FeedParts(
            self.clock, self.feed, self.gateway, Policy(), lambda _session: Keeper(), self.news.append, mode
        )
        self.monitor = Monitor(parts)
        self.trades: TradeLog | None = more.get("trades", log())
        self.kept: list[Report] = []
        self.open: list[str] = []
        self.desk = TheDesk(
            Tools(
                self.clock, self.gateway, self.monitor, self._probe, more.get("symbols", (NIFTY,)), mode,
                "analyze" if mode == "analyzer" else "live", "http://desk", lambda _day: self.trades,
                lambda _day: Everywhere(), self._build, self._keep, lambda: self.open, calendar,
                FakeMarketCalendar(), lambda day: Backup(f"backups/runbook-{day}.db", 400_000, 812, 0.2),
            )
        )  # fmt: skip

    def _probe(self) -> FakeStream:
        self.probes.append(FakeStream(*self.probed))
        return self.probes[-1]

    def _build(self, on: Session) -> Report:
        days = calendar()
        return build(DayFacts(days.day(on.date), (), (), (), (), ()), days, self.clock.now(), (), "local_paper", "abc")

    def _keep(self, report: Report) -> str:
        self.kept.append(report)
        return "reports/the-day.md"

    def ctx(self, clock: str | None = None, on: Session | None = None) -> Context:
        if clock is not None:
            self.clock.jump_to(at(clock))
        key = Key(MONDAY, "job", "open")
        return Context(key, on or session(), self.clock.now(), "scheduler", Budget(5.0), self.desk)

    def watching(self) -> Desk:
        self.desk.start_feed(self.ctx())
        until(
            lambda: (s := self.monitor.view().state) is not None and s.link.subscribed_at is not None, "no subscription"
        )
        return self


@pytest.fixture
def make() -> Iterator[type[Desk]]:
    made: list[Desk] = []

    class Kept(Desk):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    yield Kept
    for desk in made:
        desk.monitor.stop()


# -- calendar_check ---------------------------------------------------------------------------------------------------------


def test_a_calendar_that_knows_the_week_is_fine_although_openalgo_has_no_list(make):
    d = make("07:15")
    found = d.desk.check_calendar(d.ctx())
    assert found.verdict is Verdict.ATTENTION  # of the fakes' week only Monday to Thursday are known
    known = replace(calendar(), days=calendar().days | {date(2026, 11, n): open_day(n) for n in (27, 30)})
    d.desk._t = replace(d.desk._t, calendar=lambda: known)
    found = d.desk.check_calendar(d.ctx())
    assert (found.verdict, found.summary) == (Verdict.OK, "OpenAlgo: no second opinion")
    assert all(cause.over for cause in found.causes)


def test_an_unknown_day_ahead_is_told_with_its_date(make):
    d = make("07:15")
    found = d.desk.check_calendar(d.ctx())
    (doubt,) = [c for c in found.causes if isinstance(c, CalendarDoubt) and not c.over]
    assert (doubt.kind, doubt.day) == ("unknown", date(2026, 11, 27))
    assert "Friday 27 November 2026" in found.summary


def test_openalgo_saying_otherwise_is_an_alert_and_never_changes_the_calendar(make):
    class Says(FakeMarketCalendar):
        def holidays(self, year: int, budget: Budget) -> tuple[HolidayRow, ...]:
            return (HolidayRow(TUESDAY, "Guru Nanak Jayanti", "TRADING_HOLIDAY", ("NSE", "NFO"), ()),)

        def timings(self, day: date, budget: Budget) -> tuple[OpenHours, ...]:
            hours = OpenHours("NFO", at("09:15", day), at("15:40", day))
            return () if day == TUESDAY else (replace(hours, exchange="NSE", end=at("15:30", day)), hours)

    d = make("07:15")
    d.desk._t = replace(d.desk._t, market_calendar=Says())
    found = d.desk.check_calendar(d.ctx())
    doubts = {
        c.day: c for c in found.causes if isinstance(c, CalendarDoubt) and c.kind == "contradicted" and not c.over
    }
    assert set(doubts) == {TUESDAY}
    assert found.verdict is Verdict.ATTENTION
    assert found.facts["crosscheck"] == "contradiction"
    assert d.desk._t.calendar().day(TUESDAY).session is not None


# -- verify_broker ----------------------------------------------------------------------------------------------------------


def test_a_broker_that_is_fit_is_verified_and_ready_is_told_only_shortly_before_the_open(make):
    d = make("08:15")
    early = d.desk.verify_broker(d.ctx())
    assert (early.verdict, early.causes, early.hint) == (Verdict.OK, (), None)
    assert early.facts["rungs"][0]["name"] == "server"
    assert [probe.closed for probe in d.probes] == [True]
    (ready,) = d.desk.verify_broker(d.ctx("09:05")).causes
    assert ready == ReadyReached(
        MONDAY,
        "READY but for the feed for Mon 23 Nov",
        (
            "NFO 09:15-15:40, mode local_paper",
            "key accepted, broker angel",
            "NIFTY 26049.90 over REST",
            "feed: not started",
        ),
    )


def test_ready_names_what_is_still_open_and_how_late_it_is(make):
    d = make("09:30", probed=UP)
    d.open = ["feed on REST since 09:20"]
    d.probed = (*UP, TICK)
    (ready,) = d.desk.verify_broker(d.ctx()).causes
    assert isinstance(ready, ReadyReached)
    assert ready.title == "READY but for the feed for Mon 23 Nov, late at 09:30"
    assert ready.lines[-1] == "open alert: feed on REST since 09:20"


def test_a_broken_rung_is_the_verdict_and_its_fix_the_hint(make):
    d = make("09:05", FakeGateway(faults={"ping": BrokerSessionGone()}))
    found = d.desk.verify_broker(d.ctx())
    assert (found.verdict, found.hint, found.causes) == (Verdict.BAD, BrokerSessionGone.hint, ())
    assert found.summary.startswith("key: ")


def test_what_is_only_worth_a_look_does_not_hold_the_morning_up(make):
    d = make("09:05", FakeGateway(faults={"funds": RateLimited()}))
    found = d.desk.verify_broker(d.ctx())
    assert found.verdict is Verdict.OK
    assert len(found.causes) == 1


def test_while_the_feed_holds_a_connection_no_second_one_is_opened(make):
    d = make("09:05").watching()
    (ready,) = d.desk.verify_broker(d.ctx()).causes
    assert isinstance(ready, ReadyReached)
    assert d.probes == []
    assert ready.title == "READY for Mon 23 Nov"
    assert "feed: NIFTY subscribed" in ready.lines


def test_a_subscription_that_nothing_accepted_is_a_broken_rung(make):
    d = make("10:00", probed=(Connected(1, "angel"), Subscribed(1, ())))
    found = d.desk.verify_broker(d.ctx())
    assert found.verdict is Verdict.BAD
    assert found.summary.startswith("subscribe: ")


def test_the_ladder_can_be_climbed_on_a_day_without_a_session(make):
    d = make("11:00", probed=UP)
    assert d.desk.ladder(None, d.clock.now(), Budget(5.0)).verdict is Verdict.OK  # no tick is due


# -- the feed -----------------------------------------------------------------------------------------------------------------


def test_the_feed_is_started_once(make):
    d = make("09:00")
    first, second = d.desk.start_feed(d.ctx()), d.desk.start_feed(d.ctx())
    assert (first.verdict, first.summary, second.summary) == (Verdict.OK, "watching NIFTY", "watching NIFTY already")
    assert first.facts == {"instruments": ["NSE_INDEX:NIFTY"], "faults": []}


def test_what_cannot_be_resolved_is_told_and_the_rest_watched(make):
    d = make("09:00", symbols=(NIFTY, FUTURE))
    found = d.desk.start_feed(d.ctx())
    assert found.verdict is Verdict.ATTENTION
    assert found.summary.startswith("watching NIFTY; NIFTY:fut: search knows no future")
    assert d.monitor.view().running
    with pytest.raises(JobFailed):
        make("09:00", symbols=(FUTURE,)).desk.start_feed(d.ctx())


def test_a_feed_that_nobody_watches_is_unknown_and_says_how_to_start_it(make):
    d = make("10:00")
    found = d.desk.check_feed(d.ctx())
    assert (found.verdict, found.hint) == (Verdict.UNKNOWN, "`runbook run start_feed` starts it")


def test_before_the_open_no_tick_is_due_and_afterwards_the_first_is_awaited(make):
    d = make("09:05").watching()
    assert d.desk.check_feed(d.ctx()).summary == "no ticks are due in this phase"
    d.clock.jump_to(at("09:15:01"))
    found = d.desk.check_feed(d.ctx())
    assert (found.verdict, found.summary) == (Verdict.UNKNOWN, "the first moving tick is awaited")
    assert found.facts["link"] == "up"


def test_the_end_of_a_watch_is_told_to_the_ledger(make):
    d = make("09:05").watching()
    d.monitor.stop()
    assert not d.monitor.view().running
    assert isinstance(d.news[-1], FeedTotals)
    assert d.feed.closed


# -- after the close ------------------------------------------------------------------------------------------------------------


def test_a_day_without_trades_and_with_empty_books_is_right_in_local_paper(make):
    d = make("15:50")
    found = d.desk.reconcile(d.ctx())
    assert found.verdict is Verdict.OK
    assert found.facts["legs"] == 0
    assert [type(cause) for cause in found.causes] == [ModeLeak]
    assert [cause.rows for cause in found.causes if isinstance(cause, ModeLeak)] == [()]


def test_an_order_where_none_belongs_is_a_leak(make):
    d = make("15:50", Books(orders=(order(),)))
    found = d.desk.reconcile(d.ctx())
    (leak,) = [cause for cause in found.causes if isinstance(cause, ModeLeak)]
    assert found.verdict is Verdict.ATTENTION
    assert len(leak.rows) == 1
    assert leak.mode == "local_paper"


def test_what_the_bot_left_open_is_not_flat_and_is_known_from_then_on(make):
    d = make("15:50", trades=log(leg("BUY", order_id="1")))
    assert d.desk.positions() is None
    found = d.desk.reconcile(d.ctx())
    (flat,) = [cause for cause in found.causes if isinstance(cause, NotFlat)]
    assert len(flat.rows) == 1
    assert d.desk.positions() == flat.rows[0]
    d.trades = log(leg("BUY", order_id="1"), leg("SELL", order_id="2", when="10:20:00"))
    (even,) = [cause for cause in d.desk.reconcile(d.ctx()).causes if isinstance(cause, NotFlat)]
    assert (even.rows, d.desk.positions()) == ((), "none")


def test_a_position_open_before_the_close_is_trading_and_not_a_failed_square_off(make):
    d = make("15:39:59", trades=log(leg("BUY", order_id="1")))
    assert not [cause for cause in d.desk.reconcile(d.ctx()).causes if isinstance(cause, NotFlat)]
    assert d.desk.positions() is not None
    assert [cause for cause in d.desk.reconcile(d.ctx("15:40:00")).causes if isinstance(cause, NotFlat)]


def test_in_analyzer_mode_the_position_book_is_the_gateway_s(make):
    d = make("15:50", Books(positions=(position(),), stands_on=GatewayMode.ANALYZE), mode="analyzer", trades=None)
    found = d.desk.reconcile(d.ctx())
    assert found.facts["legs"] is None
    assert found.facts["pnl"]["figure_of"] == "the gateway's position book"
    (flat,) = [cause for cause in found.causes if isinstance(cause, NotFlat)]
    assert len(flat.rows) == 1


def test_books_that_cannot_be_read_are_not_empty_books(make):
    down = dict.fromkeys(("mode", "orders", "trades", "positions"), GatewayUnreachable("connection refused"))
    d = make("15:50", FakeGateway(faults=dict(down)), mode="live")
    found = d.desk.reconcile(d.ctx())
    assert found.verdict is Verdict.UNKNOWN
    assert "connection refused" in str(found.facts)


def test_a_report_is_built_kept_and_told(make):
    d = make("16:10")
    found = d.desk.report(d.ctx())
    assert (found.verdict, found.summary) == (Verdict.OK, "written to reports/the-day.md")
    assert found.facts == {"file": "reports/the-day.md"}
    assert [report.date for report in d.kept] == [MONDAY]
    assert found.tell is not None
    title, lines = found.tell
    assert title
    assert len(lines) <= 20
