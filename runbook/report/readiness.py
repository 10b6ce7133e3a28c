"""The guide's five-row table, with what was seen today in place of what was hoped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runbook.recon import DeclaredMode
from runbook.recon import Verdict as Books
from runbook.report.layout import plain, plural
from runbook.report.parts import FeedPart, Readiness, Seen, Trades
from runbook.report.trades import newest_facts
from runbook.run import Entry
from runbook.spans import share, span

_REST_RUNGS = ("server", "key", "mode", "broker")
_BLUR = 90.0


def readiness(entries: Sequence[Entry], feed: FeedPart, trades: Trades, mode: str) -> tuple[Readiness, ...]:
    """Code, REST API, WebSocket, paper trading, strategy: the guide's order."""
    return (
        Readiness("Code", Seen.NOT_SEEN, "runbook does not look into the bot's code"),
        _rest(newest_facts(entries, "rungs"), feed),
        _stream(feed),
        _paper(trades, mode),
        _strategy(trades, feed),
    )


def _rest(ladder: Mapping[str, Any] | None, feed: FeedPart) -> Readiness:
    rungs = ladder["rungs"] if ladder and isinstance(ladder["rungs"], Sequence) else ()
    known = [r for r in rungs if isinstance(r, Mapping) and r.get("name") in _REST_RUNGS]
    counts = dict(feed.counts)
    polls, failed = counts.get("polls"), counts.get("poll_failures", 0)
    polled = f"; {plural(polls, 'poll')}, {failed or 'none'} failed" if polls else ""
    if any(s.mode == "BLIND" for o in feed.outages or () for s in o.stretches):
        return Readiness("REST API", Seen.ATTENTION, f"it gave no price while the WebSocket was down{polled}")
    for rung in known:
        if rung.get("verdict") in ("bad", "attention"):
            return Readiness("REST API", Seen.ATTENTION, plain(f"{rung['name']}: {rung.get('evidence', '')}") + polled)
    broker = next((r for r in known if r["name"] == "broker" and r.get("verdict") == "ok"), None)
    if broker is not None:
        return Readiness("REST API", Seen.OK, plain(broker.get("evidence", "a quote came")) + polled)
    if polls and failed < polls:
        return Readiness("REST API", Seen.OK, f"prices came over REST{polled}")
    return Readiness("REST API", Seen.UNKNOWN, "no data: no broker check left its evidence")


def _stream(feed: FeedPart) -> Readiness:
    shares = feed.shares
    if shares is None:
        return Readiness("WebSocket", Seen.UNKNOWN, "no data of the feed")
    evidence = f"{share(shares.websocket, shares.promised)} of the session's promised time"
    if feed.fallbacks:
        return Readiness("WebSocket", Seen.ATTENTION, f"{evidence}; {plural(len(feed.fallbacks), 'fallback')}")
    if shares.websocket <= 0:
        return Readiness("WebSocket", Seen.NOT_SEEN, "no tick came in the time it was watched")
    if (lost := shares.unwatched + shares.missing) > _BLUR:
        return Readiness("WebSocket", Seen.UNKNOWN, f"{evidence}; not watched for {span(lost)}")
    if feed.outages or shares.waiting > _BLUR:
        return Readiness("WebSocket", Seen.ATTENTION, f"{evidence}; silent for {span(shares.waiting)}")
    return Readiness("WebSocket", Seen.OK, evidence)


def _paper(trades: Trades, mode: str) -> Readiness:
    name = "Paper trading"
    recon = trades.reconciliation
    if mode == DeclaredMode.LIVE:
        return Readiness(name, Seen.NOT_SEEN, "the bot is declared live; see the reconciliation")
    if recon is None:
        return Readiness(name, Seen.UNKNOWN, f"no data: {trades.missing or 'not reconciled'}")
    match recon.verdict:
        case Books.CLEAN:
            return Readiness(name, Seen.OK, recon.summary())
        case Books.BREAKS:
            return Readiness(name, Seen.ATTENTION, recon.summary())
        case Books.EMPTY:
            return Readiness(name, Seen.NOT_SEEN, "nothing was traded, so nothing was proved")
    return Readiness(name, Seen.UNKNOWN, f"{recon.verdict}: {recon.summary()}")


def _strategy(trades: Trades, feed: FeedPart) -> Readiness:
    if trades.legs is None:
        return Readiness("Strategy", Seen.UNKNOWN, "no data: the bot's trades were not read")
    if trades.legs == 0:
        return Readiness("Strategy", Seen.NOT_SEEN, "it made no trade; waiting and broken look alike from here")
    part = ", a part of the day without the WebSocket" if feed.fallbacks else ""
    done = plural(trades.legs, "execution")
    return Readiness("Strategy", Seen.OK, f"it traded, {done}{part}; how well is not judged")
