"""What is told of the feed: rows for the ledger, causes for alerts, lines for the log, and the statement for a relay."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from runbook.alert import FeedMoved, FeedWord, SymbolStale
from runbook.day import FeedChange
from runbook.engine import FeedNews
from runbook.feed import actions as act
from runbook.feed import judging, price
from runbook.feed.state import State, source
from runbook.feed.table import Mode
from runbook.feed.verdict import Hop, Verdict
from runbook.market import Instrument, Source
from runbook.monitor.parts import FeedParts

log = logging.getLogger(__name__)

_ILL = (Mode.FALLBACK, Mode.BLIND, Mode.MARKET_SILENT)
_WORDS = {
    Mode.FALLBACK: FeedWord.FALLBACK,
    Mode.PROBATION: FeedWord.PROBATION,
    Mode.BLIND: FeedWord.BLIND,
    Mode.MARKET_SILENT: FeedWord.SILENT,
    Mode.OFF: FeedWord.OFF,
}


class Herald:
    """Turns what the machine decided into news. `reason` is that of the latest change of mode."""

    def __init__(self, parts: FeedParts, day: date, *, mark: str = "") -> None:
        self._p = parts
        self._mark = mark  # before each line of the log
        self._day = day
        self._hop: Hop | None = None  # the broken one that was told last
        self._gone = False  # nothing of OpenAlgo answers, as it was told last
        self._published: tuple[Mode, Source | None, tuple[Instrument, ...]] | None = None
        self.reason = "the feed is being started"
        self.broker: str | None = None

    def stand(self, state: State) -> None:
        """Say how the feed stands, if that has changed."""
        stands = state.mode, source(state), state.link.refused
        if stands != self._published:
            self._published = stands
            mode, where, refused = stands
            now = self._p.clock.now()
            self._p.publish_status(price.FeedStatus(mode, where, now, self.reason, self.broker, refused))

    def announce(self, state: State, t: act.Transition) -> None:
        at = self._wall(t.at)
        self.reason = t.reason
        level = logging.INFO if t.after in (Mode.LIVE, Mode.ARMED, Mode.OFF) else logging.WARNING
        log.log(level, "%sfeed %s -> %s: %s", self._mark, t.before, t.after, t.reason)
        before, after = _WORDS.get(t.before, FeedWord.LIVE), _WORDS.get(t.after, FeedWord.LIVE)
        verdict = judging.judge(state, self._p.clock.monotonic(), self._p.policy)
        broken = verdict.first_broken if t.after in _ILL else None
        self._hop = broken.hop if broken else None
        hint = (broken.action if broken else "") or t.hint
        cause = None
        self._gone = t.after is Mode.BLIND and judging.nothing_answers(state)
        if before is not after and not (t.before is Mode.OFF and t.after is Mode.ARMED):
            where = f"first broken hop: {broken.hop} {broken.hop.called}" if broken else ""
            cause = FeedMoved(before, after, at, t.reason, where, hint, self._p.mode, _names(state), self._gone)
        change = FeedChange(at, t.before, t.after, t.reason, hint or None, dict(t.evidence) | _hops(verdict))
        self._p.post(FeedNews(self._day, change, cause))

    def name_the_hop(self, state: State) -> None:
        """What was learned since the change of mode: the first broken hop is another one, or OpenAlgo answers again."""
        if state.mode not in _ILL:
            return
        verdict = judging.judge(state, self._p.clock.monotonic(), self._p.policy)
        broken = verdict.first_broken
        gone = state.mode is Mode.BLIND and judging.nothing_answers(state)
        if broken is None or (broken.hop is self._hop and gone is self._gone):
            return
        self._hop = broken.hop
        log.warning("first broken hop: %s %s: %s", broken.hop, broken.hop.called, broken.evidence)
        reason = f"first broken hop: {broken.hop} {broken.hop.called}: {broken.evidence}"
        mode, now = state.mode, self._p.clock.now()
        cause = None
        if gone is not self._gone:
            word = _WORDS[mode]
            cause = FeedMoved(word, word, now, reason, "", broken.action, self._p.mode, _names(state), gone)
        self._gone = gone
        self._p.post(FeedNews(self._day, FeedChange(now, mode, mode, reason, broken.action, _hops(verdict)), cause))

    def symbol(self, state: State, turned: act.SymbolTurned) -> None:
        at = self._wall(turned.at)
        log.log(logging.INFO if turned.over else logging.WARNING, "%s", turned.reason)
        cause = SymbolStale(
            turned.instrument.symbol,
            at,
            turned.reason,
            turned.hint,
            over=turned.over,
            mode=self._p.mode,
        )
        change = FeedChange(at, state.mode, state.mode, turned.reason, turned.hint or None, {})
        self._p.post(FeedNews(self._day, change, cause))

    def _wall(self, at: float) -> datetime:
        return self._p.clock.now() - timedelta(seconds=self._p.clock.monotonic() - at)


def totals(state: State) -> dict[str, Any]:
    """The session's totals as JSON: seconds by source, counts, the longest gap, ticks by symbol."""
    return {
        "mode": str(state.mode),
        "seconds": {name: round(value, 1) for name, value in asdict(state.seconds).items()},
        "counts": asdict(state.counts),
        "longest_gap": round(state.longest_gap, 1),
        "ticks": {i.symbol: clock.ticks for i, clock in state.ticks.items()},
    }


def _names(state: State) -> str:
    """What the feed is called in messages."""
    return ", ".join(i.symbol for i in state.watched if i.is_index) or state.watched[0].symbol


def _hops(verdict: Verdict) -> dict[str, Any]:
    """The ladder as evidence: each hop's health and what was seen."""
    return {"hops": {str(r.hop): [str(r.health), r.evidence] for r in verdict.rungs}}
