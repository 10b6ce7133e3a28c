"""The ladder: is this broker session fit to trade through today? Rung by rung, each with evidence and a fix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from runbook.budget import Budget
from runbook.errors import BrokerTokenDead, GatewayRejected, RunbookError
from runbook.job import Verdict
from runbook.market import Instrument
from runbook.ports import Gateway, GatewayMode


@dataclass(frozen=True, slots=True)
class Rung:
    """One question, what was seen, and what to do about it. UNKNOWN: not reached, or it cannot be told now."""

    name: str
    verdict: Verdict
    evidence: str
    fix: str = ""

    def facts(self) -> dict[str, str]:
        return {"name": self.name, "verdict": str(self.verdict), "evidence": self.evidence, "fix": self.fix}


@dataclass(frozen=True, slots=True)
class StreamEvidence:
    """What is known of the stream, from the live feed or from a probe of our own; None: not seen, not needed."""

    authenticated: bool
    subscribed: bool | None
    tick: str | None  # a tick in words
    fault: str = ""
    hint: str = ""
    live: bool = False  # told by the running feed
    refused: str = ""  # the symbols that were not subscribed, where others were


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rungs in order."""

    rungs: tuple[Rung, ...]

    @property
    def verdict(self) -> Verdict:
        """BAD when a rung is broken, OK when every rung that can be judged now holds."""
        found = {rung.verdict for rung in self.rungs}
        if Verdict.BAD in found:
            return Verdict.BAD
        return Verdict.ATTENTION if Verdict.ATTENTION in found else Verdict.OK

    @property
    def broken(self) -> Rung | None:
        return next((rung for rung in self.rungs if rung.verdict is Verdict.BAD), None)

    @property
    def summary(self) -> str:
        if (rung := self.broken) is not None:
            return f"{rung.name}: {rung.evidence}"
        seen = {rung.name: rung.evidence for rung in self.rungs}
        return "; ".join(seen[name] for name in ("key", "broker", "tick") if name in seen)

    def facts(self) -> dict[str, Any]:
        return {"rungs": [rung.facts() for rung in self.rungs]}


def climb(
    gateway: Gateway,
    declared: str,
    instruments: Sequence[Instrument],
    stream: Callable[[], StreamEvidence],
    budget: Budget,
    *,
    ticks_due: bool,
) -> Ladder:
    """Ask rung after rung; behind the first broken one nothing is asked, and nothing is claimed.

    `declared` is where OpenAlgo's switch must stand (live | analyze). `ticks_due` says that the phase promises ticks.
    """
    rungs: list[Rung] = []
    for rung in _rungs(gateway, declared, instruments, stream, budget, ticks_due=ticks_due):
        rungs.append(rung)
        if rung.verdict is Verdict.BAD:
            break
    names = ("server", "key", "mode", "broker", "funds", "stream", "subscribe", "tick")
    reached = {rung.name for rung in rungs}
    rungs += [Rung(name, Verdict.UNKNOWN, "not reached") for name in names if name not in reached]
    return Ladder(tuple(rungs))


def _rungs(
    gateway: Gateway,
    declared: str,
    instruments: Sequence[Instrument],
    stream: Callable[[], StreamEvidence],
    budget: Budget,
    *,
    ticks_due: bool,
) -> Iterator[Rung]:
    try:
        yield Rung("server", Verdict.OK, f"OpenAlgo answers (health {gateway.health(budget)})")
    except GatewayRejected:
        # OpenAlgo 1.0, which many a desk still runs, has no such page: it answers, and the key is the better question.
        yield Rung("server", Verdict.UNKNOWN, "it answers, but has no health page (an OpenAlgo before 2.0)")
    except RunbookError as exc:
        yield _bad("server", exc)
        return
    try:
        yield Rung("key", Verdict.OK, f"key accepted, broker {gateway.ping(budget)}")
    except RunbookError as exc:
        yield _bad("key", exc)
        return
    try:
        mode = gateway.mode(budget)
    except RunbookError as exc:
        yield _bad("mode", exc)
        return
    if mode != declared:
        fix = (
            f"switch OpenAlgo to {declared} on its dashboard, or correct `mode:` in config.yaml; runbook never switches"
        )
        yield Rung("mode", Verdict.BAD, f"OpenAlgo stands on {mode}, declared is {declared}", fix)
        return
    yield Rung("mode", Verdict.OK, f"OpenAlgo stands on {mode}, as declared")
    yield (asked := _broker(gateway, instruments, budget))
    if asked.verdict is Verdict.BAD:
        return
    yield _funds(gateway, mode, budget)
    yield from _stream(stream(), ticks_due=ticks_due)


def _broker(gateway: Gateway, instruments: Sequence[Instrument], budget: Budget) -> Rung:
    """A quote proves the broker session; an index first, since it is quoted before the open too."""
    first = next((i for i in instruments if i.is_index), instruments[0])
    try:
        quote = gateway.quote(first, budget)
    except RunbookError as exc:
        return _bad("broker", exc)
    if quote.fault:
        return Rung(
            "broker",
            Verdict.BAD,
            f"{first.symbol}: {quote.fault}",
            "the broker gives no usable price: log in to the broker again",
        )
    return Rung("broker", Verdict.OK, f"{first.symbol} {quote.ltp:.2f} over REST")


def _funds(gateway: Gateway, mode: GatewayMode, budget: Budget) -> Rung:
    if mode is GatewayMode.ANALYZE:
        return Rung("funds", Verdict.OK, "sandbox funds say nothing of the broker, not asked")
    try:
        funds = gateway.funds(budget)
    except BrokerTokenDead as exc:
        return _bad("funds", exc)
    except RunbookError as exc:
        return Rung("funds", Verdict.ATTENTION, str(exc), exc.hint or "")
    if "availablecash" not in funds:
        return Rung(
            "funds", Verdict.ATTENTION, "the answer names no available cash", "look at the funds page of the dashboard"
        )
    return Rung("funds", Verdict.OK, "funds are there")  # the amount is nobody's business in a log


def _stream(seen: StreamEvidence, *, ticks_due: bool) -> Iterator[Rung]:
    whose = "the running feed" if seen.live else "a probe"
    if not seen.authenticated:
        yield Rung("stream", Verdict.BAD, seen.fault or "the stream did not accept the key", seen.hint)
        return
    yield Rung("stream", Verdict.OK, f"authenticated ({whose})")
    if not seen.subscribed:
        yield Rung("subscribe", Verdict.BAD, seen.fault or "the subscription was not acknowledged", seen.hint)
        return
    if seen.refused:
        yield Rung("subscribe", Verdict.ATTENTION, f"REFUSED: {seen.refused}", "correct `symbols:` in config.yaml")
    else:
        yield Rung("subscribe", Verdict.OK, "acknowledged, which proves nothing of the broker's feed")
    if seen.tick:
        yield Rung("tick", Verdict.OK, seen.tick)
    elif ticks_due:
        fix = (
            seen.hint
            or "broker feed mute: log in to the broker again, check that the plan streams, then restart the openalgo unit"
        )
        yield Rung("tick", Verdict.BAD, "connected and subscribed, but no tick arrives", fix)
    else:
        yield Rung("tick", Verdict.UNKNOWN, "none yet, and none is due in this phase")


def _bad(name: str, exc: RunbookError) -> Rung:
    return Rung(name, Verdict.BAD, str(exc), exc.hint or "")
