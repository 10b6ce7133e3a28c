"""The examination for a terminal and for programs."""

from __future__ import annotations

from typing import Any

from runbook.doctor.judge import Examination
from runbook.feed.verdict import Health, Hop
from runbook.report.layout import WIDTH, plain, wrap

MARKS = {Health.OK: "ok", Health.BROKEN: "BROKEN", Health.UNKNOWN: "?", Health.NOT_DUE: "-"}
_PAINT = {Health.OK: "\x1b[32m", Health.BROKEN: "\x1b[31m", Health.UNKNOWN: "\x1b[33m", Health.NOT_DUE: ""}
_PLAIN = "\x1b[0m"
_WIDE = max(len(hop.called) for hop in Hop) + 5


def mark(health: Health, *, colour: bool, width: int = 6) -> str:
    text = f"{MARKS[health]:<{width}}"
    return f"{_PAINT[health]}{text}{_PLAIN}" if colour and _PAINT[health] else text


def render(found: Examination, *, colour: bool = False, width: int = WIDTH) -> str:
    """The ladder: a line to a hop with its mark, what was seen below it, the fix beside what is broken."""
    out: list[str] = []
    for hop in Hop:
        rung = found.verdict.of(hop)
        checks = found.of(hop)
        head = f"{hop} {hop.called}"
        out.append(f"{head:<{_WIDE}}{mark(rung.health, colour=colour)}".rstrip())
        if not checks:
            out += wrap(rung.evidence, width, " " * 5)
        for check in checks:
            lead = f"     {MARKS[check.health]:<7}{check.name:<10} "
            out += wrap(check.evidence, width, lead, " " * len(lead))
            if check.action and check.health is not Health.OK:
                out += wrap(check.action, width, " " * len(lead) + "-> ")
    broken = found.verdict.first_broken
    out.append("")
    out += wrap(found.verdict.headline, width, "verdict: ")
    if broken is not None and broken.action:
        out += wrap(broken.action, width, "do: ")
    return "\n".join(out)


def as_json(found: Examination) -> dict[str, Any]:
    """The same as plain values: healthy, headline, first_broken, hops with their checks."""
    broken = found.verdict.first_broken
    return {
        "healthy": found.verdict.healthy,
        "headline": plain(found.verdict.headline),
        "first_broken": str(broken.hop) if broken else None,
        "action": broken.action if broken else "",
        "hops": [
            {
                "hop": str(rung.hop), "name": rung.hop.called, "health": str(rung.health), "evidence": plain(rung.evidence), "action": rung.action,
                "checks": [
                    {"name": c.name, "health": str(c.health), "evidence": plain(c.evidence), "action": c.action}
                    for c in found.of(rung.hop)
                ],
            }
            for rung in found.verdict.rungs
        ],
    }  # fmt: skip
