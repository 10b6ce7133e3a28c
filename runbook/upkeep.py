"""The database's keep: what a backup came to, and how the file stands. Sizes are bytes, spans seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.job import Found, Verdict

SESSIONS_A_YEAR = 250
_ENOUGH = 3  # sessions, before what one adds is said
_ROOM = 5  # times the file: less free disk than this is said


@dataclass(frozen=True, slots=True)
class Backup:
    """What the day's backup came to. `rows` are those of the session; `file` is relative to the ledger where it can be.

    `rolled` counts the firings that were rolled up, by session; `fault` is why that was not done.
    """

    file: str
    size: int
    rows: int
    took: float
    pruned: tuple[str, ...] = ()
    rolled: Mapping[date, int] = field(default_factory=dict)
    fault: str = ""

    def found(self) -> Found:
        """As a step gives it."""
        facts: dict[str, Any] = {
            "file": self.file, "size": self.size, "rows": self.rows, "took": round(self.took, 3),
            "pruned": list(self.pruned), "rolled_up": {str(day): count for day, count in self.rolled.items()},
        }  # fmt: skip
        said = [f"{self.file}, {megabytes(self.size)}, {self.rows} rows of the day, read back whole"]
        if self.pruned:
            said.append(f"{len(self.pruned)} older removed")
        if self.rolled:
            said.append(f"{sum(self.rolled.values())} checks of {_sessions(len(self.rolled))} rolled up")
        if self.fault:
            said.append(f"old repeats were not rolled up: {self.fault}")
            return Found(Verdict.ATTENTION, "; ".join(said), facts, "`runbook db check`")
        return Found(Verdict.OK, "; ".join(said), facts)


@dataclass(frozen=True, slots=True)
class TableSize:
    """Rows of a table, and its bytes with its indices; None where SQLite was built without the figure."""

    name: str
    rows: int
    size: int | None
    by_session: bool


@dataclass(frozen=True, slots=True)
class Health:
    """How the file stands. `rollable` is what the next roll-up will take: firings by session; None when it is not known."""

    file: str
    size: int
    log: int  # the write-ahead log beside it
    unused: int  # within the file: used again before it grows
    version: str | None
    known: str
    faults: tuple[str, ...]
    settings: Mapping[str, Any]
    tables: Sequence[TableSize]
    sessions: int
    newest: datetime | None
    free: int
    keep_sessions: int
    rollable: Mapping[date, int] | None
    backups: Sequence[tuple[str, int]]  # name and size, the oldest first
    foretold: int | None = None  # bytes a session without trouble adds by this configuration; None: no session is known

    @property
    def per_session(self) -> float | None:
        """Bytes that a session adds; None before there are a few to judge by: an empty table takes its pages, too."""
        sizes = [table.size for table in self.tables if table.by_session]
        if self.sessions < _ENOUGH or not sizes or None in sizes:
            return None
        return sum(size for size in sizes if size is not None) / self.sessions

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong, in sentences; empty when nothing is."""
        said = list(self.faults)
        if self.version is None or self.version > self.known:
            said.append(f"it is of version {self.version or 'no'}, this runbook knows {self.known}")
        elif self.version < self.known:
            said.append(f"it is of version {self.version}: `runbook serve` brings it to {self.known}, after a copy")
        if self.free < _ROOM * self.size:
            said.append(f"the disk has {megabytes(self.free)} left")
        return tuple(said)


def megabytes(size: float) -> str:
    """`0.4 MB`, `12 MB`."""
    return f"{size / 1e6:.1f} MB" if size < 9.95e6 else f"{size / 1e6:,.0f} MB"


def _sessions(count: int) -> str:
    return f"{count} session{'' if count == 1 else 's'}"


def render_health(health: Health, zone: ZoneInfo) -> str:
    """For a terminal."""
    newest = f"{health.newest.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}" if health.newest else "never"
    out = [
        f"{health.file}: {megabytes(health.size)}, its log {megabytes(health.log)}, {megabytes(health.unused)} to be used again",
        f"  version    {health.version or 'none'} (this runbook: {health.known})",
        f"  read       {'whole: every page, every index, every reference' if not health.faults else 'DAMAGED'}",
        f"  written    {newest}",
        f"  settings   {', '.join(f'{key} {value}' for key, value in health.settings.items())}",
        f"  disk       {megabytes(health.free)} free",
    ]
    out += [f"  {'table':<18}{'rows':>10}{'size':>12}"]
    for table in sorted(health.tables, key=lambda t: (-(t.size or 0), -t.rows, t.name)):
        out.append(
            f"    {table.name:<16}{table.rows:>10,}{megabytes(table.size) if table.size is not None else '?':>12}"
        )
    out.append(f"  growth     {_growth(health)}")
    out.append(f"  retention  {_retention(health)}")
    if health.backups:
        name, size = health.backups[-1]
        out.append(f"  backups    {len(health.backups)}, the newest {name} ({megabytes(size)})")
    else:
        out.append("  backups    none yet; the step backup_db makes one a session, `runbook db backup` one now")
    out += [f"TROUBLE  {line}" for line in health.trouble] or ["OK"]
    return "\n".join(out)


def _growth(health: Health) -> str:
    each = health.per_session
    if each is None:
        if health.foretold is not None:
            year = megabytes(health.foretold * SESSIONS_A_YEAR)
            return f"foretold {megabytes(health.foretold)} a session by this configuration, {year} in {SESSIONS_A_YEAR}"
        return f"not known before {_ENOUGH} sessions are in it"
    year = megabytes(each * SESSIONS_A_YEAR)
    return f"{megabytes(each)} a session (of {health.sessions}); {SESSIONS_A_YEAR} such sessions make {year}"


def _retention(health: Health) -> str:
    kept = f"repeats are kept row by row for {_sessions(health.keep_sessions)}"
    if health.rollable is None:
        return f"{kept}; what is older is not known"
    if not health.rollable:
        return f"{kept}; nothing is older"
    count = sum(health.rollable.values())
    return f"{kept}; {count} checks of {_sessions(len(health.rollable))} are rolled up after the next backup"


def health_json(health: Health) -> dict[str, Any]:
    """As plain values; null where it is not known."""
    return {
        "file": health.file,
        "size": health.size,
        "log": health.log,
        "unused": health.unused,
        "version": health.version,
        "known": health.known,
        "newest": health.newest.isoformat() if health.newest else None,
        "settings": dict(health.settings),
        "tables": [{"name": t.name, "rows": t.rows, "size": t.size} for t in health.tables],
        "sessions": health.sessions,
        "per_session": health.per_session,
        "foretold": health.foretold,
        "free": health.free,
        "keep_sessions": health.keep_sessions,
        "rollable": None if health.rollable is None else {str(day): n for day, n in health.rollable.items()},
        "backups": [{"name": name, "size": size} for name, size in health.backups],
        "trouble": list(health.trouble),
    }
