"""Jobs, their occurrences, and what a step is handed and gives back."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from runbook.alert import Cause, Severity
from runbook.ask import AskSpec
from runbook.errors import ConfigError
from runbook.fault import Fault, Unfit
from runbook.shipped import shipped_site
from runbook.trigger import Anchor, Every, Trigger

if TYPE_CHECKING:
    from runbook.budget import Budget
    from runbook.session import Session


_LONGEST_BACKOFF = timedelta(minutes=15)


class Verdict(StrEnum):
    """What a step found; its outcome says only whether it could look."""

    OK = "ok"
    ATTENTION = "attention"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """What a step gives back: a verdict, one sentence for people, facts for the ledger (JSON), the fix if there is one.

    `tell` is a message (title, lines) sent once, with the run's row. `causes` are what it means for the alerts; steps of
    a site leave them alone: an outcome that failed raises its alert by itself.
    """

    verdict: Verdict
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    hint: str | None = None
    tell: tuple[str, tuple[str, ...]] | None = None
    causes: tuple[Cause, ...] = ()


class IfLate(StrEnum):
    """What happens to an occurrence that is found due after its time, before its latest start."""

    RUN = "run"
    SKIP = "skip"
    ASK = "ask"


class OnAbandoned(StrEnum):
    """What happens to an occurrence whose process died while it ran."""

    RERUN = "rerun"
    FAIL = "fail"
    ASK = "ask"


@dataclass(frozen=True, slots=True)
class Retries:
    """A failed attempt is made again at most `most` times: after `backoff`, then twice as long each time, to 15 min.

    Never after `until`, nor after the occurrence's latest start.
    """

    most: int
    backoff: timedelta
    until: Anchor | None = None

    def wait(self, n: int) -> timedelta | None:
        """How long after the n-th attempt (from 1) the next one comes; None when there is none."""
        return min(self.backoff * 2 ** (n - 1), _LONGEST_BACKOFF) if n <= self.most else None

    @property
    def waits(self) -> timedelta:
        """All waits together."""
        return sum((self.wait(n) or timedelta() for n in range(1, self.most + 1)), timedelta())


@dataclass(frozen=True, slots=True)
class JobSpec:
    """One entry of `jobs:`, parsed. `timeout` is real seconds for one attempt; what `asks` is done by a person."""

    name: str
    run: str
    trigger: Trigger
    timeout: float
    latest_start: Anchor | None = None
    deadline: Anchor | None = None
    repeat_until_ok: timedelta | None = None
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    if_late: IfLate = IfLate.RUN
    on_abandoned: OnAbandoned = OnAbandoned.RERUN
    catch_up_sessions: int = 0
    resident: bool = False
    acts: bool = False  # it changes something: held on a day that the calendar does not know
    severity: Severity = Severity.WARNING
    to: tuple[str, ...] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)  # may hold a token
    retries: Retries | None = None
    asks: AskSpec | None = None
    command: str | None = None  # an entry of `commands:`, for what is no function of the site

    @property
    def repeating(self) -> bool:
        return isinstance(self.trigger, Every)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The identity of an occurrence: the slot is an anchor's text or a repeat's ordinal, never a clock time."""

    session: date
    job: str
    slot: str

    def __str__(self) -> str:
        return f"{self.job} {self.slot} of {self.session}"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One planned run. `due` is when to try next: `planned`, or a minute later while a check repeats until it passes."""

    key: Key
    planned: datetime
    due: datetime
    latest_start: datetime
    deadline: datetime | None = None


class Desk(Protocol):
    """What steps can ask of the running program; read-only towards the gateway, by construction."""

    def check_calendar(self, ctx: Context) -> Found: ...
    def verify_broker(self, ctx: Context) -> Found: ...
    def start_feed(self, ctx: Context) -> Found: ...
    def check_feed(self, ctx: Context) -> Found: ...
    def reconcile(self, ctx: Context) -> Found: ...
    def report(self, ctx: Context) -> Found: ...
    def back_up(self, ctx: Context) -> Found: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What a step is handed. `budget` holds the real seconds it may use; pass it to every call."""

    key: Key
    session: Session
    now: datetime
    actor: str
    budget: Budget
    desk: Desk
    settings: Mapping[str, Any] = field(default_factory=dict)


Step = Callable[[Context], object]  # gives Found or None; anything else is a failed run that says so

_TARGET = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<function>[A-Za-z_]\w*)", re.ASCII)


def target(text: str) -> tuple[str, str]:
    """`jobs.verify_broker:verify` as (module, function); raises Unfit."""
    if match := _TARGET.fullmatch(text):
        return match["module"], match["function"]
    raise Unfit(
        f"{text!r} names no step", accepted="folder.file:function inside the site", example="jobs.check_feed:check"
    )


def load(text: str, site: Path) -> Step:
    """The function that `run:` names, from a file of the site, or from the steps that came with this runbook.

    The site comes first; the shipped steps are there so that one which an upgrade brings needs no new file. The module is registered under a private name: no package called `jobs` that is installed can take its place, and
    nothing in the site can take a library's. Raises Unfit (nothing there) or ConfigError (the file does not load).
    """
    module, function = target(text)
    site = site.resolve()  # one file is one module, however the site was named
    path = site.joinpath(*module.split(".")).with_suffix(".py")
    shipped = shipped_site().joinpath(*module.split(".")).with_suffix(".py")
    if not path.is_file() and module.startswith("jobs.") and shipped.is_file():
        path = shipped
    if not path.is_file():
        raise Unfit(f"{text!r}: there is no {path.relative_to(site)} in the site", accepted="a file of the site")
    step = getattr(_module(module, path), function, None)
    if not callable(step):
        names = [n for n, v in vars(sys.modules[_private(module)]).items() if callable(v) and not n.startswith("_")]
        raise Unfit(
            f"{text!r}: {path.name} has no function {function}", accepted=", ".join(sorted(names)) or "a function"
        )
    return step  # type: ignore[no-any-return]  # what it gives back is looked at in run.settle


def _private(module: str) -> str:
    return f"runbook_site.{module}"


def _module(module: str, path: Path) -> ModuleType:
    name = _private(module)
    held = sys.modules.get(name)
    if held is not None and held.__spec__ is not None and held.__spec__.origin == str(path):
        return held
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, path  # noqa: PT018  # a .py path always has a loader
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    try:
        spec.loader.exec_module(loaded)
    except (Exception, SystemExit) as exc:
        del sys.modules[name]
        fault = Fault(
            path.name, None, module, f"cannot be loaded: {type(exc).__name__}: {exc}", "a Python file that imports"
        )
        raise ConfigError([fault]) from exc
    return loaded
