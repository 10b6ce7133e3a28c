"""Reconcile one session: declared mode, gateway's books, bot's log, recorded prices -> one result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from runbook.market import Instrument
from runbook.ports import Fill, GatewayMode
from runbook.recon.breaks import Break, BreakCode, Severity, leg_break, numbered, source_break
from runbook.recon.leg import Leg, TradeLog, leg_of, shown
from runbook.recon.pairing import Pair, once, pair
from runbook.recon.ranges import Finding, Judgement, PriceRanges, Tolerances, judge
from runbook.recon.result import Books, DeclaredMode, Reconciliation, Verdict
from runbook.session import PhaseName, Session

SQUARE_OFF = "AUTO_SQUARE_OFF"  # the strategy under which OpenAlgo's sandbox closes MIS positions at 15:15
_INDIA = timedelta(hours=5, minutes=30)
_SAME_HOURS = frozenset({"NSE", "BSE", "NFO", "BFO"})  # near enough that one session judges all of them
_NO_TRADING = (PhaseName.SHUT, PhaseName.BREAK)


def reconcile(
    declared: DeclaredMode | str,
    books: Books,
    bot: TradeLog | None,
    ranges: PriceRanges | None,
    session: Session,
    tolerances: Tolerances | None = None,
) -> Reconciliation:
    """Hold the three witnesses against each other; never raises for what they say.

    `bot` is None when no log is declared, `ranges` when nothing was recorded. Under local paper the gateway's books are
    right when they are empty, and the recorded ticks alone judge the bot's legs.
    """
    mode = DeclaredMode(declared)
    work = _Work(session, mode, tolerances or Tolerances())
    gateway = work.read(books)
    theirs = None if gateway is None else [leg for leg in gateway if leg is not None]
    legs = work.bot_legs(bot, theirs or [])
    leaked = work.leaks(books, legs)

    matched: int | None = None
    alone: list[Leg] = []
    if mode is DeclaredMode.LOCAL_PAPER:
        judged = work.without_repeats(legs)
    elif leaked or theirs is None or bot is None or bot.legs is None:
        # The book that should hold the trades is another one, or was not read: nothing can be called missing.
        judged = work.without_repeats(legs)
    else:
        matched, judged, alone = work.match(legs, theirs)
    covered, by_day = work.judge([*judged, *alone], ranges)

    breaks = numbered(work.breaks)
    bot_count = None if bot is None or bot.legs is None else len(bot.legs)
    return Reconciliation(
        session=session.date,
        mode=mode,
        gateway_mode=books.mode,
        verdict=_verdict(breaks, bot_count, theirs, judged=len(judged) + len(alone), covered=covered),
        bot_legs=bot_count,
        gateway_legs=None if theirs is None else len(theirs),
        matched=matched,
        judged=len(judged) + len(alone),
        covered=covered,
        by_day=by_day,
        breaks=breaks,
        notes=tuple(work.notes),
        tolerances=str(work.tolerances),
    )


def _verdict(
    breaks: Sequence[Break], bot: int | None, gateway: Sequence[Leg] | None, *, judged: int, covered: int
) -> Verdict:
    unavailable = any(b.code is BreakCode.SOURCE_UNAVAILABLE for b in breaks)
    if any(b.severity is not Severity.INFO and b.code is not BreakCode.SOURCE_UNAVAILABLE for b in breaks):
        return Verdict.BREAKS
    if unavailable or bot is None or gateway is None:
        return Verdict.INCOMPLETE
    if not bot and not gateway:
        return Verdict.EMPTY
    return Verdict.UNVERIFIABLE if judged and not covered else Verdict.CLEAN


@dataclass(slots=True)
class _Work:
    """One reconciliation under way: the breaks and notes found so far."""

    session: Session
    mode: DeclaredMode
    tolerances: Tolerances
    breaks: list[Break] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def day(self) -> date:
        return self.session.date

    def read(self, books: Books) -> list[Leg] | None:
        """The trade book as legs, and a break for each book that could not be read."""
        if books.mode is None:
            why = dict(books.faults).get("mode switch", "it was not read")
            self.notes.append(f"the mode switch is not known ({why}); the books were taken by their own tags")
        for name, why in books.unread:
            self._unavailable(name, why)
        if books.trades is None:
            return None
        try:
            return [leg_of(fill, number) for number, fill in enumerate(books.trades[1], 1)]
        except ValueError as error:
            self._unavailable("trade book", f"a row cannot be read: {error}")
            return None

    def bot_legs(self, bot: TradeLog | None, gateway: Sequence[Leg]) -> list[Leg]:
        """The bot's legs, each on its exchange where that is certain; what of the log could not be read is a break."""
        if bot is None:
            self._unavailable("bot's trade log", "none is declared (`bot.trades` in config.yaml)")
            return []
        by_file = defaultdict(list)
        for fault in bot.faults:
            by_file[fault.where.rpartition(":")[0] or fault.where].append(fault)
        for name, faults in sorted(by_file.items()):
            more = f" (and {_more(len(faults) - 1)})" if len(faults) > 1 else ""
            self._unavailable(name, f"{faults[0]}{more}")
        if bot.legs is None and not bot.faults:
            self._unavailable("bot's trade log", "it was not read")
        return [self._resolve(leg, gateway) for leg in bot.legs or ()]

    def leaks(self, books: Books, bot: Sequence[Leg]) -> bool:
        """Look for rows and modes where the declared mode allows none; True when the trade book is another one."""
        wrong = [(where, seen) for where, seen in books.tags if seen is not self.mode.expected]
        if self.mode is not DeclaredMode.LOCAL_PAPER:
            if wrong:
                where = ", ".join(name for name, _ in wrong)
                words = f"{self.mode} is declared, but the gateway is in {wrong[0][1]} mode ({where})"
                self.breaks.append(source_break(self.day, BreakCode.MODE_LEAK, "gateway mode", words))
                self._leaked_rows(books, bot, only=GatewayMode.LIVE)
            return any(where == "trade book" for where, _ in wrong)
        if wrong:
            self.notes.append("the gateway is in analyze mode; a bot that fills paper itself does not need it")
        self._leaked_rows(books, bot, only=None)
        return False

    def match(self, bot: Sequence[Leg], gateway: Sequence[Leg]) -> tuple[int, list[Leg], list[Leg]]:
        """Pair both sides; returns (the bot's legs that were paired, its legs to judge, the gateway's own to judge)."""
        found = pair(bot, gateway, self.tolerances)
        for both in found.pairs:
            self._compare(both)
        for leg in found.repeated:
            self._repeated(leg, Severity.INFO if leg.order_id else Severity.BLOCK)
        for leg in found.bot_only:
            if not leg.resolved:
                self._unresolved(leg)
            else:
                self._leg(BreakCode.MISSING_AT_GATEWAY, f"the bot says {leg}; the trade book has no such row", bot=leg)
        for leg in found.gateway_only:
            if leg.strategy == SQUARE_OFF:
                words = f"the sandbox closed the position itself: {leg}"
                self._leg(BreakCode.SQUAREOFF, words, gateway=leg)
            else:
                words = f"the trade book has {leg}; the bot's log has no such row"
                self._leg(BreakCode.MISSING_AT_BOT, words, gateway=leg)
        paired = [leg for both in found.pairs for leg in both.bot]
        return len(paired), [*paired, *found.bot_only], list(found.gateway_only)

    def without_repeats(self, bot: Sequence[Leg]) -> list[Leg]:
        """The bot's legs where there is nothing to match them with: each once, and what cannot be resolved is said.

        Without an order id two equal rows may be two slices of one order: they are shown, and both stay.
        """
        kept, repeats = once(bot)
        for leg in repeats:
            self._repeated(leg, Severity.INFO)
        seen = set()
        for leg in kept:
            if not leg.order_id and leg.identity in seen:
                self._repeated(leg, Severity.WARN)
            seen.add(leg.identity)
            if not leg.resolved:
                self._unresolved(leg)
        return kept

    def judge(self, legs: Iterable[Leg], ranges: PriceRanges | None) -> tuple[int, int]:
        """Hold each leg against session and recorded prices; returns (covered, of those only by the day's range)."""
        findings: list[Judgement] = []
        for leg in legs:
            if not leg.resolved or self._outside(leg):
                continue  # said already, and where it would have to be looked for is not known
            found = judge(leg, ranges, self.tolerances)
            findings.append(found)
            if found.finding is Finding.OUT_OF_RANGE:
                self._own(BreakCode.OUT_OF_RANGE, found.why, leg)
            elif found.finding is Finding.NO_TICKS:
                self._own(BreakCode.NO_TICKS, found.why, leg)
        covered = [f for f in findings if f.covered]
        return len(covered), sum(1 for f in covered if f.by_day)

    def _compare(self, both: Pair) -> None:
        ours, theirs = both.bot[0], both.gateway[0]

        def differs(code: BreakCode, words: str) -> None:
            self._leg(code, words, bot=ours, gateway=theirs)

        if ours.instrument != theirs.instrument:
            words = f"the bot says {ours.instrument}, the gateway {theirs.instrument}"
            differs(BreakCode.SYMBOL_MAP, words)
        if ours.side is not theirs.side:
            differs(BreakCode.SIDE, f"the bot says {ours.side}, the gateway {theirs.side}")
        mine, other = both.quantities
        if mine != other:
            differs(BreakCode.QTY, f"the bot says {mine}, the gateway {other}")
        bid, got = both.prices
        exact = both.by_id and self.mode is DeclaredMode.ANALYZER
        allowed = 0 if exact else self.tolerances.price(theirs.instrument, got)
        if abs(bid - got) > allowed:
            differs(BreakCode.PRICE, f"the bot says {shown(bid)}, the gateway {shown(got)}")

    def _leaked_rows(self, books: Books, bot: Sequence[Leg], only: GatewayMode | None) -> None:
        """One break for each order that should not be there, and for each position that no such order explains."""
        known = {leg.order_id for leg in bot if leg.order_id}
        told: set[str] = set()
        moved: set[Instrument] = set()

        def leak(instrument: Instrument, tag: GatewayMode, words: str, order_id: str, leg: Leg | None = None) -> None:
            if order_id and order_id in told:
                return
            told.add(order_id)
            moved.add(instrument)
            mark = order_id or words  # never the number of its row: a book has its newest row first
            own = "; its id is in the bot's log" if order_id in known else ""
            money = "the live" if tag is GatewayMode.LIVE else "the sandbox"
            words = f"{money} book holds {words}{own}"
            self.breaks.append(
                source_break(self.day, BreakCode.MODE_LEAK, str(instrument), words, mark=mark, gateway=leg)
            )

        if books.trades and only in (None, books.trades[0]):
            for number, fill in enumerate(books.trades[1], 1):
                words = (
                    f"a trade, {fill.action} {fill.quantity} @ {fill.price:g}, order {fill.order_id or '?'} {fill.time}"
                )
                words = words.rstrip()
                leak(fill.instrument, books.trades[0], words, fill.order_id, _as_leg(fill, number))
        if books.orders and only in (None, books.orders[0]):
            for order in books.orders[1]:
                words = f"an order, {order.action} {order.quantity} {order.status}, id {order.order_id}"
                leak(order.instrument, books.orders[0], words, order.order_id)
        if books.positions and only in (None, books.positions.mode):
            for row in books.positions.rows:
                if row.instrument not in moved:
                    words = f"a position of {row.quantity} {row.product}"
                    leak(row.instrument, books.positions.mode, words, "")

    def _outside(self, leg: Leg) -> bool:
        """True, and said, when a leg's stamp falls where nothing is traded."""
        hours = {leg.instrument.exchange, self.session.exchange}
        if leg.at is None or not leg.time_quality.places or not (len(hours) == 1 or hours <= _SAME_HOURS):
            return False
        if self._traded(leg, timedelta(0)):
            return False
        stamp = f"{leg} is outside the session, {self.session.open:%H:%M} to {self.session.close:%H:%M}"
        if shift := next((s for s in (_INDIA, -_INDIA) if self._traded(leg, s)), None):
            words = f"{stamp}; {'+' if shift > timedelta(0) else '-'}5 h 30 would be inside: which `zone:` does the bot write?"
            self._own(BreakCode.OUT_OF_SESSION, words, leg, Severity.WARN)
        else:
            self._own(BreakCode.OUT_OF_SESSION, stamp, leg)
        return True

    def _traded(self, leg: Leg, shift: timedelta) -> bool:
        """True when the leg, moved by `shift`, lies in trading hours; a stamp of whole seconds may miss them by one."""
        if leg.at is None:
            return False
        slack = self.tolerances.time
        return any(
            self.session.phase_at(leg.at + shift + by) not in _NO_TRADING for by in (timedelta(0), slack, -slack)
        )

    def _resolve(self, leg: Leg, gateway: Sequence[Leg]) -> Leg:
        """A leg without an exchange takes that of the gateway's rows of its symbol, when they are all of one exchange."""
        if leg.resolved:
            return leg
        places = {theirs.instrument for theirs in gateway if theirs.instrument.symbol == leg.instrument.symbol}
        return replace(leg, instrument=places.pop()) if len(places) == 1 else leg

    def _unresolved(self, leg: Leg) -> None:
        words = f"{leg.row or leg}: no exchange is named and the symbol does not tell it"
        self._leg(BreakCode.SYMBOL_MAP, words, bot=leg)

    def _repeated(self, leg: Leg, severity: Severity) -> None:
        words = {
            Severity.INFO: f"the same row twice, with one order id: {leg}",
            Severity.WARN: f"two equal rows without an order id, counted as two: {leg}",
            Severity.BLOCK: f"told twice by one side, once by the other: {leg}",
        }[severity]
        self._own(BreakCode.DUPLICATE, words, leg, severity)

    def _unavailable(self, about: str, why: str) -> None:
        self.breaks.append(source_break(self.day, BreakCode.SOURCE_UNAVAILABLE, about, why))

    def _own(self, code: BreakCode, words: str, leg: Leg, severity: Severity | None = None) -> None:
        """A break of one leg, on the side that told it."""
        if leg.source == "bot":
            self._leg(code, words, bot=leg, severity=severity)
        else:
            self._leg(code, words, gateway=leg, severity=severity)

    def _leg(
        self,
        code: BreakCode,
        words: str,
        *,
        bot: Leg | None = None,
        gateway: Leg | None = None,
        severity: Severity | None = None,
    ) -> None:
        self.breaks.append(leg_break(self.day, code, words, bot=bot, gateway=gateway, severity=severity))


def _as_leg(fill: Fill, number: int) -> Leg | None:
    try:
        return leg_of(fill, number)
    except ValueError:
        return None  # the leak is told in words all the same


def _more(number: int) -> str:
    return f"{number} more row{'' if number == 1 else 's'}"
