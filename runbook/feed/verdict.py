"""The hop verdict: from runbook to the bot, which link of the chain broke first, how that is known, and what a person can do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Hop(StrEnum):
    """The links of the chain in the order a price travels back along them; `called` is what a person calls it."""

    called: str

    def __new__(cls, name: str, called: str) -> Hop:  # noqa: PYI034 - an enum's members are of the enum, not of Self
        member = str.__new__(cls, name)
        member._value_ = name
        member.called = called
        return member

    RUNBOOK = "H0", "runbook itself"
    PROXY = "H1", "OpenAlgo's stream server"
    ADAPTER = "H2", "OpenAlgo's broker adapter"
    BROKER_STREAM = "H3", "the broker's ticks"
    BROKER_REST = "H4", "the broker's quotes over REST"
    EXCHANGE = "H5", "the exchange"
    BOT = "H6", "your bot"


class Health(StrEnum):
    """What is known of a hop. UNKNOWN: not looked at, or not reachable past a broken one; it is never green."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    NOT_DUE = "not_due"  # nothing is promised now, so its silence says nothing


@dataclass(frozen=True, slots=True)
class Rung:
    """One hop with what was seen of it; `action` is what a person can do, empty where there is nothing to do."""

    hop: Hop
    health: Health
    evidence: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All hops, each once, in their order."""

    rungs: tuple[Rung, ...]

    @property
    def first_broken(self) -> Rung | None:
        return next((rung for rung in self.rungs if rung.health is Health.BROKEN), None)

    @property
    def healthy(self) -> bool:
        """True when no hop is broken and the way to the ticks is known to work; an unknown bot alone does not spoil it."""
        needed = (Hop.RUNBOOK, Hop.PROXY, Hop.ADAPTER, Hop.BROKER_STREAM)
        fine = all(self.of(hop).health in (Health.OK, Health.NOT_DUE) for hop in needed)
        return fine and self.first_broken is None

    @property
    def headline(self) -> str:
        """One line: the first broken hop and its evidence, else how far the chain is known to work."""
        broken = self.first_broken
        if broken is not None:
            return f"{broken.hop} {broken.hop.called}: {broken.evidence}"
        if self.healthy:
            return "every hop that could be looked at works"
        unknown = next(rung for rung in self.rungs if rung.health is Health.UNKNOWN)
        return f"no hop is known to be broken; {unknown.hop} {unknown.hop.called} is unknown: {unknown.evidence}"

    def of(self, hop: Hop) -> Rung:
        """The rung of `hop`; one that nobody looked at is UNKNOWN."""
        found = next((rung for rung in self.rungs if rung.hop is hop), None)
        return found or Rung(hop, Health.UNKNOWN, "not looked at")


def ladder(rungs: Iterable[Rung]) -> Verdict:
    """A verdict with a rung for every hop: the given ones, and UNKNOWN for those nobody looked at."""
    given = {rung.hop: rung for rung in rungs}
    return Verdict(tuple(given.get(hop) or Rung(hop, Health.UNKNOWN, "not looked at") for hop in Hop))
