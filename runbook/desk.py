"""The desk: what the five steps can ask for. Joins nouns to the ports it was given; decides nothing by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from runbook import crosscheck, horizon, recon, verify
from runbook.alert import CalendarDoubt, ModeLeak, NotFlat, ReadyReached
from runbook.almanac import ticks_due
from runbook.budget import Budget
from runbook.clock import Clock
from runbook.errors import RunbookError
from runbook.feed.state import LinkState
from runbook.feed.table import Mode
from runbook.job import Context, Found, Verdict
from runbook.monitor import Monitor, Watching, watched
from runbook.ports import Gateway, MarketCalendar, TickStream
from runbook.probe import evidence_of, probe
from runbook.report import Report, short
from runbook.session import INDIA, Session, SessionCalendar
from runbook.symbols import Symbol, resolve
from runbook.upkeep import Backup
from runbook.verify import Ladder, StreamEvidence

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tools:
    """What the desk works with; `app` puts it together. `probe` makes a stream of its own, apart from the feed's."""

    clock: Clock
    gateway: Gateway
    monitor: Monitor
    probe: Callable[[], TickStream]
    symbols: Sequence[Symbol]
    mode: str
    gateway_mode: str
    dashboard: str
    trades: Callable[[date], recon.TradeLog | None]
    recorded: Callable[[date], recon.PriceRanges | None]
    report: Callable[[Session], Report]
    keep_report: Callable[[Report], str]
    open_alerts: Callable[[], Sequence[str]]
    calendar: Callable[[], SessionCalendar]
    market_calendar: MarketCalendar
    back_up: Callable[[date], Backup]
    held_back: Callable[[], Sequence[str]] = lambda: ()  # the pauses in force, in words


class TheDesk:
    """The five steps' other half; implements `job.Desk`."""

    def __init__(self, tools: Tools) -> None:
        self._t = tools
        self._refused = False
        self._positions: str | None = None
        self._asked_positions = float("-inf")

    # -- calendar_check ---------------------------------------------------------------------------------------------

    def check_calendar(self, ctx: Context) -> Found:
        """Where knowledge ends, and whether OpenAlgo's own list says otherwise; it never decides a day."""
        calendar, today = self._t.calendar(), ctx.session.date
        last = today + timedelta(days=horizon.AHEAD)
        causes = list(horizon.doubts(calendar, today))
        unknown = [doubt for doubt in causes if not doubt.over]
        opinion = crosscheck.ask(self._t.market_calendar, today, last, today, ctx.budget)
        held = crosscheck.crosscheck(calendar, opinion, today, last, today)
        against = {f.day: f for f in held.contradictions if f.day is not None}
        for day in (today + timedelta(days=n) for n in range(horizon.AHEAD + 1)):
            if (found := against.get(day)) is not None:
                causes.append(CalendarDoubt("contradicted", today, day, found.text, found.severity, found.todo))
            else:
                causes.append(CalendarDoubt("contradicted", today, day, over=True))
        facts = {
            "known_until": str(calendar.known_until), "crosscheck": held.verdict, "unknown": [d.reason for d in unknown],
            "findings": [{"form": str(f.form), "day": str(f.day) if f.day else None, "text": f.text} for f in held.findings],
        }  # fmt: skip
        words = [d.reason for d in unknown] + [f"{f.day}: {f.text}" for f in against.values()]
        verdict = Verdict.ATTENTION if words else Verdict.OK
        words.append(f"OpenAlgo: {held.verdict}")
        return Found(verdict, "; ".join(words), facts, causes=tuple(causes))

    # -- verify_broker ----------------------------------------------------------------------------------------------

    def verify_broker(self, ctx: Context) -> Found:
        """The ladder, and READY once the last check before the open passes."""
        ladder = self.ladder(ctx.session, ctx.now, ctx.budget)
        passed = ladder.verdict is not Verdict.BAD
        if passed and self._refused:
            # A login gives the broker a new token; sockets from before it stay open and silent for ever.
            self._t.monitor.reconnect("the broker was logged in to")
        self._refused = not passed
        fix = ladder.broken.fix if ladder.broken else None
        causes: tuple[ReadyReached, ...] = ()
        if passed and ctx.now >= ctx.session.open - timedelta(minutes=15):
            causes = (ReadyReached(ctx.session.date, *self._ready(ctx, ladder)),)
        verdict = ladder.verdict if ladder.verdict is not Verdict.ATTENTION else Verdict.OK
        return Found(verdict, ladder.summary, ladder.facts(), fix, causes=causes)

    def ladder(self, session: Session | None, now: datetime, budget: Budget) -> Ladder:
        """Climb the ladder now."""
        today = now.astimezone(session.zone if session else INDIA).date()
        instruments, _ = resolve(self._t.gateway, self._t.symbols, today, budget, patient=False)
        due = ticks_due(session, now, instruments)
        view = self._t.monitor.view()

        def stream() -> StreamEvidence:
            # Where the feed holds a connection its own evidence counts; a second subscription would prove nothing more.
            if view.running and view.state is not None and view.state.link.state is LinkState.UP:
                return evidence_of(view.state, view.at)
            return probe(self._t.probe, instruments, budget, ticks_due=due)

        return verify.climb(self._t.gateway, self._t.gateway_mode, instruments, stream, budget, ticks_due=due)

    def _ready(self, ctx: Context, ladder: Ladder) -> tuple[str, tuple[str, ...]]:
        zone = ctx.session.zone
        opens = ctx.session.open.astimezone(zone)
        late = "" if ctx.now < ctx.session.open else f", late at {ctx.now.astimezone(zone):%H:%M}"
        seen = {rung.name: rung for rung in ladder.rungs}
        view = self._t.monitor.view()
        lines = [
            f"{ctx.session.exchange} {opens:%H:%M}-{ctx.session.close.astimezone(zone):%H:%M}, mode {self._t.mode}",
            seen["key"].evidence,
            seen["broker"].evidence,
            _subscribed(view),
        ]
        if ctx.session.note:
            lines.append(f"note: {ctx.session.note}")
        lines += [f"open alert: {title}" for title in self._t.open_alerts()]
        held = list(self._t.held_back())
        lines += held
        name = "READY" if view.running else "READY but for the feed"
        if held:
            name += f"{' and' if not view.running else ' but for'} what is paused"
        return f"{name} for {opens:%a %d %b}{late}", tuple(lines)

    # -- the feed ---------------------------------------------------------------------------------------------------

    def start_feed(self, ctx: Context) -> Found:
        """Resolve and watch. The watch heals itself from then on; this succeeds when it runs, not when ticks flow."""
        instruments, faults = resolve(self._t.gateway, self._t.symbols, ctx.session.date, ctx.budget)
        fresh = self._t.monitor.start(ctx.session, instruments)
        facts = {"instruments": [str(i) for i in instruments], "faults": list(faults)}
        what = f"watching {watched(instruments)}" + ("" if fresh else " already")
        if faults:
            return Found(Verdict.ATTENTION, f"{what}; {'; '.join(faults)}", facts)
        return Found(Verdict.OK, what, facts)

    def check_feed(self, ctx: Context) -> Found:
        """How the feed stands; and, while it is not well, which positions are open."""
        view = self._t.monitor.view()
        facts: dict[str, Any] = {"mode": str(view.mode), "source": str(view.source) if view.source else None}
        if not view.running or view.state is None:
            return Found(Verdict.UNKNOWN, "the feed is not being watched", facts, "`runbook run start_feed` starts it")
        due = ticks_due(ctx.session, self._t.clock.now(), view.state.watched)
        prices = {
            i.symbol: [c.tick.ltp, round(view.at - c.at, 1)]
            for i, c in view.state.ticks.items()
            if c.tick and c.at is not None
        }
        facts |= {"last_ticks": prices, "link": str(view.state.link.state)}
        if view.state.link.refused:
            words = f"OpenAlgo refuses {watched(view.state.link.refused)}"
            return Found(Verdict.ATTENTION, words, facts, "correct `symbols:` in config.yaml; see `runbook doctor`")
        match view.mode:
            case Mode.LIVE:
                return Found(Verdict.OK, "ticks on the WebSocket", facts)
            case Mode.OFF | Mode.ARMED if not due:
                return Found(Verdict.OK, "no ticks are due in this phase", facts)
            case Mode.OFF | Mode.ARMED:
                return Found(Verdict.UNKNOWN, "the first moving tick is awaited", facts)
            case Mode.SUSPECT:
                self.look_at_positions(ctx.session, ctx.budget)  # so that the alarm that may follow can name them
                return Found(Verdict.ATTENTION, "no ticks for a while; REST is being asked", facts)
            case Mode.MARKET_SILENT:
                self.look_at_positions(ctx.session, ctx.budget)
                words = "nothing moves on the stream or over REST, and both answer: nothing is traded"
                return Found(Verdict.UNKNOWN, words, facts, "see if the exchange has halted; else log in to the broker")
        self.look_at_positions(ctx.session, ctx.budget)
        if view.mode is Mode.BLIND:
            return Found(Verdict.BAD, "BLIND: no price that can be trusted from either side", facts)
        words = "prices over REST" if view.mode is Mode.FALLBACK else "ticks are back, on probation"
        return Found(Verdict.ATTENTION, words, facts)

    # -- positions --------------------------------------------------------------------------------------------------

    def positions(self) -> str | None:
        """The open positions as last read, in one line; None when they are not known."""
        return self._positions

    def look_at_positions(self, session: Session, budget: Budget) -> None:
        """Read what is open, so that an alarm about the feed can name it; at most once a minute. Raises what reading the bot's log raises."""
        asked, now = self._t.clock.monotonic(), self._t.clock.now()
        if asked - self._asked_positions < 60:
            return
        self._asked_positions = asked
        pnl, whose = self._pnl(session.date, budget)
        stamp = f"{now.astimezone(session.zone):%H:%M}"
        if pnl is not None:
            self._positions = ("; ".join(map(str, pnl.open_positions)) or "none") + f" ({whose}, {stamp})"

    def _pnl(self, day: date, budget: Budget) -> tuple[recon.DayPnl | None, str]:
        if self._t.mode == "local_paper":
            trades = self._t.trades(day)
            legs = trades.legs if trades is not None else None
            return (recon.pnl_from_legs(legs) if legs else None), "bot's log"
        book, _ = _asked(lambda: self._t.gateway.positions(budget))
        return recon.pnl_from_positions(book), "gateway"

    # -- after the close --------------------------------------------------------------------------------------------

    def reconcile(self, ctx: Context) -> Found:
        """Three witnesses: the bot's log, the gateway's books, the recorded ticks."""
        budget, gateway = ctx.budget, self._t.gateway
        mode, no_mode = _asked(lambda: gateway.mode(budget))
        orders, no_orders = _asked(lambda: gateway.orders(budget))
        trades, no_trades = _asked(lambda: gateway.trades(budget))
        positions, no_positions = _asked(lambda: gateway.positions(budget))
        told = (
            ("mode switch", no_mode),
            ("order book", no_orders),
            ("trade book", no_trades),
            ("position book", no_positions),
        )
        books = recon.Books(mode, orders, trades, positions, tuple((name, why) for name, why in told if why))
        bot = self._t.trades(ctx.session.date)
        result = recon.reconcile(self._t.mode, books, bot, self._t.recorded(ctx.session.date), ctx.session)
        legs = bot.legs if bot is not None else None
        pnl = (
            recon.pnl_from_legs(legs) if self._t.mode == "local_paper" and legs else recon.pnl_from_positions(positions)
        )
        if pnl is None and legs:
            pnl = recon.pnl_from_legs(legs)
        open_rows = tuple(str(p) for p in pnl.open_positions) if pnl is not None else None
        self._positions = self._positions if open_rows is None else "; ".join(open_rows) or "none"
        causes: list[ModeLeak | NotFlat] = [ModeLeak(tuple(b.explanation for b in result.leaks), self._t.mode)]
        if open_rows is not None and ctx.now >= ctx.session.close:  # before it, an open position is trading
            causes.append(NotFlat(open_rows))
        facts = {
            "reconciliation": result.to_facts(),
            "pnl": pnl.to_facts() if pnl else None,
            "legs": None if legs is None else len(legs),
        }
        verdicts = {
            recon.Verdict.CLEAN: Verdict.OK, recon.Verdict.EMPTY: Verdict.OK, recon.Verdict.BREAKS: Verdict.ATTENTION,
            recon.Verdict.UNVERIFIABLE: Verdict.UNKNOWN, recon.Verdict.INCOMPLETE: Verdict.UNKNOWN,
        }  # fmt: skip
        return Found(verdicts[result.verdict], f"{result.verdict}: {result.summary()}", facts, causes=tuple(causes))

    def report(self, ctx: Context) -> Found:
        """Build the day's report, keep it beside the ledger, and send its short form."""
        report = self._t.report(ctx.session)
        kept = self._t.keep_report(report)
        return Found(Verdict.OK, f"written to {kept}", {"file": kept}, tell=short(report))

    def back_up(self, ctx: Context) -> Found:
        """Copy the ledger, prove the copy, remove old ones; then roll up what is old. Raises StoreError without a copy."""
        return self._t.back_up(ctx.session.date).found()


def _subscribed(view: Watching) -> str:
    """What the feed holds, in a line: what was refused is not called subscribed."""
    if not view.running or view.state is None:
        return "feed: not started"
    refused = view.state.link.refused
    held = [i for i in view.state.watched if i not in refused]
    if view.state.link.subscribed_at is None:
        return f"feed: {watched(view.state.watched)} not subscribed yet"
    return f"feed: {watched(held) or 'nothing'} subscribed" + (f"; REFUSED: {watched(refused)}" if refused else "")


def _asked(ask: Callable[[], _T]) -> tuple[_T | None, str]:
    """(answer, "") or (None, why there is none): a book that cannot be read is never an empty book."""
    try:
        return ask(), ""
    except RunbookError as exc:
        return None, f"{type(exc).__name__}: {exc}"
