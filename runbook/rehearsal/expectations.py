"""What a rehearsed day must have come to, asked of the ledger, the phone and the files; each answer says what it saw."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook.day import DayFacts
from runbook.rehearsal.scenarios import Scenario
from runbook.rehearsal.stage import Received
from runbook.run import Entry


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is left of the day."""

    scenario: Scenario
    facts: DayFacts
    received: Sequence[Received]
    folder: Path
    secrets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One expectation, whether it was met, and what was seen."""

    name: str
    met: bool
    seen: str


def ask(evidence: Evidence) -> list[Answer]:
    """Every expectation of the scenario, in its order."""
    return [Answer(name, *_CHECKS[name](evidence)) for name in evidence.scenario.expects]


def _heard(evidence: Evidence, words: str) -> tuple[bool, str]:
    found = [r.title for r in evidence.received if words in r.title]
    return bool(found), found[0] if found else f"no message with {words!r} among {len(evidence.received)}"


def _last(evidence: Evidence, job: str) -> Entry | None:
    entries = [e for e in evidence.facts.entries if e.key.job == job and e.last is not None]
    return entries[-1] if entries else None


def _ready(evidence: Evidence) -> tuple[bool, str]:
    return _heard(evidence, "READY")


def _fallback(evidence: Evidence) -> tuple[bool, str]:
    return _heard(evidence, "feed on REST")


def _recovery(evidence: Evidence) -> tuple[bool, str]:
    return _heard(evidence, "[OK] feed back")


def _blind(evidence: Evidence) -> tuple[bool, str]:
    return _heard(evidence, "BLIND")


def _login_missed(evidence: Evidence) -> tuple[bool, str]:
    return _heard(evidence, "broker not verified")


def _login_seen(evidence: Evidence) -> tuple[bool, str]:
    return _heard(evidence, "broker verified")


def _prices(evidence: Evidence) -> tuple[bool, str]:
    """REST took over within the guide's two minutes, and no promised second was blind."""
    if not evidence.facts.samples:
        return False, "the feed left no sample"
    seconds = evidence.facts.samples[-1].data["seconds"]
    seen = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    return seconds["rest"] > 30 and seconds["blind"] == 0 and seconds["waiting"] < 150, seen


def _planted(evidence: Evidence) -> tuple[bool, str]:
    """Exactly the lies that were planted in the bot's log, no other."""
    entry = _last(evidence, "reconcile_paper")
    facts = entry.last.facts.get("reconciliation") if entry and entry.last else None
    if not facts:
        return False, "reconcile_paper left no result"
    codes = sorted(b["code"] for b in facts["breaks"] if b["code"] != "no_ticks")
    wanted = sorted(evidence.scenario.breaks)
    return codes == wanted, f"found {', '.join(codes) or 'none'}; planted {', '.join(wanted) or 'none'}"


def _report(evidence: Evidence) -> tuple[bool, str]:
    files = sorted(p.name for p in (evidence.folder / "reports").glob("*"))
    return len(files) == 2, ", ".join(files) or "no file"


def _report_delivered(evidence: Evidence) -> tuple[bool, str]:
    entry = _last(evidence, "report_day")
    rows = [row for row in evidence.facts.messages if row.key.startswith("report_day@")]
    ok = entry is not None and bool(rows) and all(row.state == "sent" for row in rows)
    return ok, "; ".join(f"{row.channel} {row.state}" for row in rows) or "no message of report_day"


def _unfinished(evidence: Evidence) -> tuple[bool, str]:
    rows = [str(e.key) for e in evidence.facts.entries if not e.state.final]
    unsent = [row.key for row in evidence.facts.messages if not row.final]
    total = len(evidence.facts.entries)
    return (
        not rows and not unsent and total > 0,
        f"{total} occurrences, unfinished: {', '.join(rows + unsent) or 'none'}",
    )


def _two(evidence: Evidence) -> tuple[bool, str]:
    titles = [r.title for r in evidence.received]
    return len(titles) == 2, "; ".join(titles)


def _nowhere(evidence: Evidence) -> tuple[bool, str]:
    """The key stands in no file that the day left."""
    files = [p for p in evidence.folder.rglob("*") if p.is_file()]
    leaks = [p.name for p, s in itertools.product(files, evidence.secrets) if s.encode() in p.read_bytes()]
    return not leaks, f"{len(files)} files searched" + (f", found in {', '.join(leaks)}" if leaks else "")


_CHECKS: dict[str, Callable[[Evidence], tuple[bool, str]]] = {
    "ready announced": _ready,
    "fallback announced": _fallback,
    "prices continued": _prices,
    "recovery announced": _recovery,
    "blindness announced": _blind,
    "login missed": _login_missed,
    "login seen": _login_seen,
    "planted breaks found": _planted,
    "clean books": _planted,
    "report written": _report,
    "report delivered": _report_delivered,
    "nothing unfinished": _unfinished,
    "only two messages": _two,
    "key nowhere": _nowhere,
}
