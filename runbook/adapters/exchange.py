"""The door to pandas-market-calendars and to calendar/: from files and a short-lived child to session calendars."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from runbook.adapters.files import read_yaml
from runbook.errors import CalendarError, CalendarFaults, FileFaults

if TYPE_CHECKING:
    from runbook.fault import Document, Fault
    from runbook.session import SessionCalendar
    from runbook.timetable import Library, Timetable

_CHILD = Path(__file__).with_name("exchange_child.py")
_BASE, _SITE = "base", "calendar"  # how the files of the two folders are told apart
_LAST_WORDS = 5  # lines of the child's stderr that a person gets to see


@dataclass(frozen=True, slots=True)
class Request:
    """One calendar of the library, by the library's name, from `first` to `last`, both included."""

    name: str
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Answer:
    """What the library said, and which versions of what said it."""

    libraries: Mapping[str, Library] = field(repr=False)
    versions: Mapping[str, str]
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)  # as the child put it; JSON, to be kept


@dataclass(frozen=True, slots=True)
class Refreshed:
    """New calendars by exchange; `provenance` is JSON-able: versions of the library and digests of the files."""

    calendars: dict[str, SessionCalendar] = field(repr=False)
    provenance: dict[str, Any]
    warnings: tuple[str, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict, repr=False)  # what the library answered, to be kept


def refresh(
    base_dir: Path,
    overlay_dir: Path | None,
    exchanges: Sequence[str],
    first: date,
    last: date,
    *,
    horizon: date,
    timeout: float = 60,
    said: Mapping[str, Any] | None = None,
) -> Refreshed:
    """Compute the calendar of each of `exchanges`; takes about 2 s, blocks, and changes nothing.

    `overlay_dir` may be missing, or the base itself as in a checkout. `horizon` ends what is believed of an exchange
    that no file speaks of. `said` is an earlier answer of the library, which spares the child as long as it covers what
    is asked. Raises ConfigError with all faults of the files, CalendarError when the library fails.
    """
    from runbook.timetable import build  # pydantic: 60 ms that `status` need not pay

    tables, digests = _read(base_dir, overlay_dir)
    names = {exchange: tables[exchange].library if exchange in tables else exchange for exchange in exchanges}
    asked = dict.fromkeys(name for name in names.values() if name)  # none for an exchange that the library lacks
    requests = [Request(name, first, last) for name in asked]
    answer = remembered(requests, said) or (fetch(requests, timeout) if requests else Answer({}, {}))
    calendars: dict[str, SessionCalendar] = {}
    warnings: list[str] = []
    for exchange, name in names.items():
        library = answer.libraries[name] if name else None
        made = build(exchange, tables, library, first, last, horizon=horizon)
        calendars[exchange] = made
        if exchange not in tables:
            warnings.append(
                f"{exchange}: no file in calendar/ speaks of it; its days are the library's until {horizon}"
            )
        elif library:
            warnings += _disagreements(tables[exchange], library, made)
    provenance = {"versions": dict(answer.versions), "files": digests}
    return Refreshed(calendars, provenance, tuple(warnings), answer.said)


def remembered(requests: Sequence[Request], said: Mapping[str, Any] | None) -> Answer | None:
    """The kept answer where it covers all of `requests`, else None."""
    if not said or not requests:
        return None
    spans = {told["name"]: (told.get("first"), told.get("last")) for told in said["calendars"]}
    covered = all(_covers(spans.get(r.name), r) for r in requests)
    return _answer(requests, said) if covered else None


def _covers(span: tuple[str | None, str | None] | None, request: Request) -> bool:
    first, last = span or (None, None)
    return bool(first and last and first <= str(request.first) and str(request.last) <= last)  # ISO dates sort as text


def installed(versions: Mapping[str, str]) -> bool:
    """Whether these are the versions that a child would find now: an answer of others is not asked a second time."""
    try:
        return all(metadata.version(package) == version for package, version in versions.items())
    except metadata.PackageNotFoundError:
        return False


def digests(base_dir: Path, overlay_dir: Path | None) -> dict[str, str]:
    """A digest of each file of both folders, named as in the provenance of what was computed from them."""
    return {named: _digest(path) for _, files in _folders(base_dir, overlay_dir) for named, path in files}


def read_timetables(base_dir: Path, overlay_dir: Path | None) -> dict[str, Timetable]:
    """What the files in both folders say, without asking the library; raises ConfigError with all faults."""
    return _read(base_dir, overlay_dir)[0]


def fetch(requests: Sequence[Request], timeout: float = 60, *, child: Path = _CHILD) -> Answer:
    """Ask the library in a child process, which is killed with all it started after `timeout` seconds.

    Raises CalendarError when the child cannot start, fails, says nothing sensible, or when the library refuses one of
    the requests; `hint` ends with the child's last words.
    """
    asked = json.dumps([{"name": r.name, "first": str(r.first), "last": str(r.last)} for r in requests])
    said = _run([sys.executable, "-P", str(child)], asked, timeout)
    try:
        told = json.loads(said)
        spans = {r.name: (str(r.first), str(r.last)) for r in requests}
        for one in told["calendars"]:
            one["first"], one["last"] = spans.get(one["name"], (None, None))
        return _answer(requests, told)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise CalendarError(
            f"the calendar library answered what is no answer: {said.strip()[:80]!r}",
            hint="is another package shadowing pandas? compare `pip list` with requirements.lock",
        ) from exc


def _run(command: Sequence[str], asked: str, timeout: float) -> str:
    # -P and PYTHONSAFEPATH: the folder calendar/ of a site, or a file named like a module, is never imported
    environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONIOENCODING": "utf-8"}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", errors="replace",
            env=environment, start_new_session=True,
        )  # fmt: skip
    except OSError as exc:
        raise CalendarError(f"the calendar library cannot be started: {exc}") from exc
    try:
        said, grumbled = process.communicate(asked, timeout)
    except subprocess.TimeoutExpired as exc:
        hint = "the machine may be overloaded; the last good calendar stays in use"
        raise CalendarError(f"the calendar library gave no answer within {timeout:g} s", hint=hint) from exc
    finally:
        _end(process)
    if process.returncode < 0:
        hint = "the machine may be short of memory; the last good calendar stays in use"
        raise CalendarError(f"the calendar library was killed by {_signal(-process.returncode)}", hint=hint)
    if process.returncode:
        words = "\n".join(grumbled.strip().splitlines()[-_LAST_WORDS:])
        hint = f"reinstall from requirements.lock; its last words:\n{words}"
        raise CalendarError(f"the calendar library failed with exit status {process.returncode}", hint=hint)
    return said


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _end(process: subprocess.Popen[str]) -> None:
    """Leave nothing of the child behind, nor of what it started, whatever ended the wait."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with suppress(OSError):
                stream.close()


def _answer(requests: Sequence[Request], said: Any) -> Answer:
    from runbook.timetable import Library, LibraryDay

    if refused := [f"{told['name']}: {told['error']}" for told in said["calendars"] if "error" in told]:
        hint = "an exchange without a file in calendar/ needs a name that pandas-market-calendars knows, such as XNYS"
        raise CalendarError("; ".join(refused), hint=hint)
    libraries: dict[str, Library] = {}
    for told in said["calendars"]:
        days = [
            LibraryDay(
                date.fromisoformat(day),
                tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in intervals),
                special,
            )
            for day, intervals, special in told["days"]
        ]
        libraries[told["name"]] = Library(
            told["name"],
            ZoneInfo(told["zone"]),
            frozenset(told["week"]),
            {day.date: day for day in days},
            {date.fromisoformat(day): name for day, name in told["holidays"]},
        )
    if missing := {request.name for request in requests} - libraries.keys():
        raise KeyError(missing)
    return Answer(libraries, said["versions"], said)


def _read(base_dir: Path, overlay_dir: Path | None) -> tuple[dict[str, Timetable], dict[str, str]]:
    from runbook.timetable import Layer, merge, parse

    found: dict[str, str] = {}
    faults: list[Fault] = []
    sheets = []
    for place, files in _folders(base_dir, overlay_dir):
        layer = Layer.SITE if place == _SITE else Layer.BASE
        documents: list[Document] = []
        for named, path in files:
            try:
                documents.append(read_yaml(path, named=named))
                found[named] = _digest(path)
            except FileFaults as exc:
                faults += exc.faults
                documents += [exc.document] if exc.document else []
        try:
            sheets += parse(documents, layer)
        except CalendarFaults as exc:
            faults += exc.faults
    if faults:
        raise CalendarFaults(faults)
    return merge(sheets), found


def _folders(base_dir: Path, overlay_dir: Path | None) -> list[tuple[str, list[tuple[str, Path]]]]:
    """(which folder, its files with the names they are told by), the base first; a checkout's overlay is the base itself."""
    folders = {_BASE: base_dir}
    if overlay_dir and overlay_dir.is_dir() and overlay_dir.resolve() != base_dir.resolve():
        folders[_SITE] = overlay_dir
    if not base_dir.is_dir():
        raise CalendarError(f"no folder {base_dir}", hint="runbook ships it; reinstall runbook")
    return [
        (place, [(f"{place}/{p.name}", p) for p in sorted(folder.iterdir()) if p.suffix in {".yaml", ".yml"}])
        for place, folder in folders.items()
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _disagreements(table: Timetable, library: Library, calendar: SessionCalendar) -> list[str]:
    """Where the files and the library differ on closed days: a slip in a file, or news in one of the two."""
    from runbook.timetable import Closed

    closed = {day for day, said in table.days.items() if isinstance(said.entry, Closed)}
    found = []
    if days := ", ".join(str(day) for day in sorted(closed & library.days.keys())):
        found.append(f"{table.exchange}: closed by calendar/, a session for the library: {days}")
    if closed and library.days:
        begun, ended = max(min(closed), min(library.days)), min(calendar.known_until, max(library.days))
        silent = [
            day
            for day in (date.fromordinal(n) for n in range(begun.toordinal(), ended.toordinal() + 1))
            if day.weekday() in library.week and day not in library.days and day not in table.days
        ]
        if silent:
            days = ", ".join(str(day) for day in silent)
            found.append(f"{table.exchange}: a holiday of the library that calendar/ does not name: {days}")
    return found
