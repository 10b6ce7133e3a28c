"""Scenarios: what goes wrong when on a short day, and what must have come of it. Times count from the open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook.errors import UsageError
from runbook.fault import nearest
from runbook.simulator.bot import Plant


@dataclass(frozen=True, slots=True)
class Cue:
    """At `at` seconds after the open: switch faults on (or off again), and say it as a person would."""

    at: float
    fault: str
    say: str
    off: bool = False
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Order:
    """At `at` seconds after the open the rehearsed bot trades one lot of the near future."""

    at: float
    action: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A day. `expects` names checks of expectations.py; `plants` are lies in the bot's log, in the order of its trades."""

    name: str
    story: str
    expects: tuple[str, ...]
    cues: tuple[Cue, ...] = ()
    orders: tuple[Order, ...] = (Order(60, "BUY"), Order(200, "SELL"), Order(420, "BUY"), Order(600, "SELL"))
    plants: tuple[Plant, ...] = ()
    breaks: tuple[str, ...] = ()


_ALWAYS = ("ready announced", "report written", "report delivered", "nothing unfinished", "key nowhere")

SCENARIOS = {
    s.name: s
    for s in (
        Scenario(
            "incident",
            "The guide's incident: REST answers, the WebSocket is connected, and no tick arrives.",
            (*_ALWAYS, "fallback announced", "prices continued", "recovery announced", "planted breaks found"),
            cues=(
                Cue(120, "mute", "the broker's feed goes mute; REST still answers, the socket stays connected"),
                Cue(400, "mute", "the broker's feed ticks again", off=True),
            ),
            plants=("missing_at_gateway", "price"),
            # the wrong price is found twice: prices go on being recorded over REST, and it lies outside them
            breaks=("missing_at_gateway", "out_of_range", "price"),
        ),
        Scenario("clean", "A day on which nothing goes wrong: two messages, no more.", (*_ALWAYS, "only two messages", "clean books")),
        Scenario(
            "login",
            "The trader logs in to the broker late: four minutes before the open.",
            (*_ALWAYS, "login missed", "login seen", "clean books"),
            cues=(
                Cue(-3900, "session_revoked", "nobody has logged in to the broker yet"),
                Cue(-240, "session_revoked", "the trader logs in to the broker", off=True),
            ),
        ),
        Scenario(
            "blind",
            "The feed goes mute, then REST fails as well: no price from anywhere, and none is invented.",
            (*_ALWAYS, "fallback announced", "blindness announced", "recovery announced", "clean books"),
            cues=(
                Cue(120, "mute", "the broker's feed goes mute"),
                Cue(270, "broker_502", "the broker's REST side fails too"),
                Cue(330, "broker_502", "REST answers again", off=True),
                Cue(400, "mute", "the broker's feed ticks again", off=True),
            ),
        ),
    )
}  # fmt: skip


def scenario(name: str) -> Scenario:
    """The scenario of that name; raises UsageError naming those there are."""
    if found := SCENARIOS.get(name):
        return found
    listed = "\n".join(f"  {s.name:<10} {s.story}" for s in SCENARIOS.values())
    raise UsageError(f"no scenario {name!r}; accepted: {nearest(name, list(SCENARIOS))}one of\n{listed}")
