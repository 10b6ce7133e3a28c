"""Remedies: may a command be run against an alert now, or is it a person's turn? Pure; the rows of `action` are all it remembers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runbook.alert import Alert, AlertState
from runbook.session import SessionCalendar

if TYPE_CHECKING:
    from runbook.command import CommandSpec, Preflight

KIND = "remedy"  # of a request on the desk: run one by hand
RESTART, LEAVE = "restart", "leave"  # what a person can say; silence is the second


class When(StrEnum):
    """When a remedy may run: by itself while the exchange is shut, or whenever a person has approved of this one run."""

    MARKET_CLOSED = "market_closed"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class Remedy:
    """One entry of `remedies:`. `verify` names the job that must turn green `within` the end of the command."""

    name: str
    alert: str
    command: CommandSpec
    verify: str
    when: When = When.APPROVED
    hop: str | None = None
    budget: int = 2
    min_gap: timedelta = timedelta(minutes=10)
    within: timedelta = timedelta(seconds=60)

    def meets(self, alert: Alert) -> bool:
        """Whether `alert` is what this remedy is for: told, of its rule, and with its hop as the first broken one; never a drill's."""
        if alert.drill or alert.rule != self.alert or alert.state in (AlertState.PENDING, AlertState.RESOLVED):
            return False
        return self.hop is None or re.search(rf"\b{self.hop}\b", f"{alert.what} {alert.todo}") is not None


class Did(StrEnum):
    """What became of the command of an action."""

    DONE = "done"  # exit code 0
    FAILED = "failed"
    TIMED_OUT = "timed out"
    ABANDONED = "abandoned"  # runbook ended while it ran


class Checked(StrEnum):
    """What the verify came to. UNKNOWN: runbook was not running when it was due."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Action:
    """One run of a remedy as the ledger keeps it. `cause` is the alert's number (`#41`) or `by hand`; `by` who let it run."""

    number: int
    name: str
    session: date
    cause: str
    argv: tuple[str, ...]
    by: str
    started: datetime
    ended: datetime | None = None
    did: Did | None = None
    exit_code: int | None = None
    output: str = ""
    checked: Checked | None = None
    reason: str = ""
    ask: int | None = None
    epoch: int = 0

    @property
    def verifying(self) -> bool:
        """The command did its work; what it was for is not known yet."""
        return self.did is Did.DONE and self.checked is None

    @property
    def open(self) -> bool:
        return self.did is None or self.verifying

    @property
    def why(self) -> str:
        """`because of #41`, or that a person wanted it."""
        return f"because of {self.cause}" if self.cause.startswith("#") else self.cause

    @property
    def good(self) -> bool:
        return self.checked is Checked.OK


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition: its name, whether it lets a run through (None: not known), and why in words."""

    name: str
    passes: bool | None
    why: str
    until: datetime | None = None  # when it opens by itself, where that is known


@dataclass(frozen=True, slots=True)
class Market:
    """Whether the exchange trades. `shut` is None on a day of which that is not known; `until` is when it changes."""

    shut: bool | None
    said: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a person answered to an ask, and who it was."""

    choice: str
    by: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """Run it now. `by` is who lets it: the remedy itself, or a person."""

    by: str
    ask: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a person whether it shall run; `key` makes it one question for one run."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Tell:
    """It will not run whatever anybody answers: a person must act. Told once by its `key`."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now. `until` is when to look again at the latest."""

    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing is left to do for this alert."""

    why: str


Decision = Run | Ask | Tell | Wait | Rest


def market_at(calendar: SessionCalendar, now: datetime) -> Market:
    """Whether the exchange is shut at `now`; a break within a session is no shut exchange."""
    name, session = calendar.exchange, calendar.session_at(now)
    if session is not None and now < session.close:
        return Market(False, f"{name} is open until {session.close.astimezone(calendar.zone):%H:%M}", session.close)
    assumed = calendar.assumed(calendar.today(now))
    if assumed is not None and assumed.open <= now < assumed.close:
        return Market(None, f"whether {name} trades today is not known: {assumed.note}", assumed.close)
    return Market(True, f"{name} is shut")


def gates(
    remedy: Remedy, rows: Sequence[Action], market: Market, preflight: Preflight, day: date, now: datetime
) -> tuple[Gate, ...]:
    """Each condition of a run at `now`, in the order in which they are asked. `rows` are those of this remedy, oldest first."""
    used = sum(row.session == day for row in rows)
    running = next((row for row in rows if row.open), None)
    opens = rows[-1].started + remedy.min_gap if rows else None
    opens = None if opens is None or now >= opens else opens
    tried = "; it is tried all the same" if preflight.present is None else ""
    minutes = f"{remedy.min_gap.total_seconds() / 60:g} min"
    gap = f"the last run is less than {minutes} ago" if opens else f"no run within the last {minutes}"
    closed = remedy.when is When.MARKET_CLOSED
    return (
        Gate("preflight", preflight.present is not False, preflight.said + tried),
        Gate("alone", running is None, "it does not run now" if running is None else f"it {doing(running)}"),
        Gate("budget", used < remedy.budget, f"{used} of {remedy.budget} runs of {day} used"),
        Gate(
            "market",
            market.shut if closed else True,
            market.said + ("" if closed else "; it does not matter here"),
            market.until,
        ),
        Gate("gap", opens is None, gap, opens),
    )


def decide(
    remedy: Remedy, cause: str, rows: Sequence[Action], passed: Sequence[Gate], said: Said | None, day: date
) -> Decision:
    """What is to be done about the open alert `cause`. `said` is the answer to `question(...)`, where there is one.

    One run by itself for an alert, and none after one that did not help: from then on a person decides, each time anew.
    """
    mine = [row for row in rows if row.cause == cause]
    held = {gate.name: gate for gate in passed}
    if not held["alone"].passes:
        return Wait(held["alone"].why)
    if mine and mine[-1].good:
        return Rest(f"it ran, and {remedy.verify} was ok; what the alert still says, another run would not change")
    if not held["preflight"].passes:
        return Tell(f"remedy@{remedy.name}@{day}@preflight", held["preflight"].why)
    if not held["budget"].passes:
        return Tell(f"remedy@{remedy.name}@{day}@spent", f"{held['budget'].why}; it does not run again by itself")
    if not held["market"].passes:
        return Wait(held["market"].why, held["market"].until)
    by, ask = f"remedy:{remedy.name}", None
    if remedy.when is When.APPROVED or (rows and not rows[-1].good):
        if said is None:
            return Ask(question(remedy, cause, rows, day), _reason(rows))
        if said.choice != RESTART:
            return Rest(f"{said.by} said: {said.choice}")
        by, ask = said.by, said.number
    if not held["gap"].passes:
        return Wait(held["gap"].why, held["gap"].until)
    return Run(by, ask)


def question(remedy: Remedy, cause: str, rows: Sequence[Action], day: date) -> str:
    """The key of the ask that is due now: another one after each run and on each day, so that no answer counts twice."""
    return f"remedy@{remedy.name}@{day}@{len(rows)}@{cause}"


def verified(
    remedy: Remedy, ended: datetime, green: datetime | None, now: datetime, *, looking: bool = False
) -> tuple[Checked, str] | None:
    """What the verify of a command that `ended` came to by `now`; None: not yet.

    `green` is when the first look began that found it ok; `looking`: a look that began in time has not ended.
    """
    due = ended + remedy.within
    if green is not None and green <= due:
        return Checked.OK, f"{remedy.verify} was ok {max(0.0, (green - ended).total_seconds()):.0f} s after it"
    if now > due and not looking:
        return Checked.FAILED, f"{remedy.verify} was not ok within {remedy.within.total_seconds():g} s of it"
    return None


def doing(action: Action) -> str:
    """`runs since ...` or `is being verified`, for the screens."""
    return "runs" if action.did is None else "has run and is being verified"


def words(action: Action) -> str:
    """What became of it, in a line."""
    if action.did is None:
        return "runs"
    did = "done" if action.did is Did.DONE else str(action.did)
    if action.did is not Did.DONE:
        return f"{did}: {action.reason}" if action.reason else did
    return f"done, verify {action.checked}: {action.reason}" if action.checked else "done, is being verified"


def as_json(action: Action) -> dict[str, Any]:
    """The keys of docs/json.md, without the times."""
    return {
        "number": action.number, "name": action.name, "cause": action.cause, "argv": list(action.argv), "by": action.by,
        "did": action.did and str(action.did), "exit_code": action.exit_code, "verify": action.checked and str(action.checked),
        "reason": action.reason, "output": action.output,
    }  # fmt: skip


def _reason(rows: Sequence[Action]) -> str:
    if rows and not rows[-1].good:
        return f"the run before did not help: {words(rows[-1])}"
    return "it runs only when a person approves"
