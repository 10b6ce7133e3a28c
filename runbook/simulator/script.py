"""The script of faults: what goes wrong when, from Python tuples, YAML or JSON lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from runbook.errors import UsageError
from runbook.simulator.faults import OPPOSITES, Fault, arguments_of, known, named

_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])")
EXAMPLE = """\
- {at: 30s, fault: mute}
- {at: 150s, clear: mute}
- {at: 5m, fault: slow, seconds: 3}"""
_HINT = f"an example:\n{EXAMPLE}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens: faults begin or end, at an instant or so long after the start."""

    at: datetime | timedelta
    faults: tuple[Fault, ...]
    clear: bool = False
    arguments: Mapping[str, float | str] = field(default_factory=dict)

    def due(self, started: datetime) -> datetime:
        return self.at if isinstance(self.at, datetime) else started + self.at


def steps_of(script: Iterable[Step | tuple[object, ...]]) -> list[Step]:
    """Steps from Steps and from tuples (when, name[, arguments]); a name may be an opposite or `clear:NAME`."""
    return [entry if isinstance(entry, Step) else _from_tuple(entry) for entry in script]


def _from_tuple(entry: tuple[object, ...]) -> Step:
    if len(entry) not in (2, 3):
        raise UsageError(f"a step is (when, fault[, arguments]), not {entry!r}")
    given = entry[2] if len(entry) > 2 else {}
    if not isinstance(given, Mapping):
        raise UsageError(f"the arguments of a step are a mapping, not {given!r}")
    return _step(_when(entry[0], repr(entry)), str(entry[1]), given)


def _step(at: datetime | timedelta, name: str, given: Mapping[str, object]) -> Step:
    if name.startswith("clear:"):
        return _clear(at, name.removeprefix("clear:"))
    if name in OPPOSITES:
        return _clear(at, name)
    fault = named(name)
    return Step(at, (fault,), arguments=arguments_of(fault, given))


def _clear(at: datetime | timedelta, name: str) -> Step:
    if name == "all":
        return Step(at, tuple(Fault), clear=True)
    return Step(at, OPPOSITES.get(name) or (named(name),), clear=True)


def _when(value: object, where: str) -> datetime | timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UsageError(f"{where}: {value.isoformat()} has no zone; write 2026-11-23T09:20+05:30", hint=_HINT)
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return timedelta(seconds=value)
    if isinstance(value, str):
        return _spelt(value.strip(), where)
    raise UsageError(f"{where}: `at` is {value!r}, not a time like 30s, 5m or 2026-11-23T09:20+05:30", hint=_HINT)


def _spelt(text: str, where: str) -> datetime | timedelta:
    parts = _DURATION.findall(text)
    if parts and not _DURATION.sub("", text).strip():
        return timedelta(seconds=sum(float(n) * _UNITS[unit] for n, unit in parts))
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        wrong = f"{where}: `at` is {text!r}, not a time like 30s, 5m, 1h30m or 2026-11-23T09:20+05:30"
        raise UsageError(wrong, hint=_HINT) from None
    return _when(instant, where)


def read(path: Path) -> list[Step]:
    """The steps of a script file; UsageError says what was found where, what may stand there, and shows an example."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"script {path}: cannot be read ({error})", hint=_HINT) from error
    return [_read_entry(entry, f"script {path}, step {n}") for n, entry in enumerate(_entries(text, path), 1)]


def _entries(text: str, path: Path) -> list[object]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and all(line.lstrip().startswith("{") for line in lines):
        found: list[object] = []
        for line in lines:
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise UsageError(f"script {path}: not JSON: {line.strip()!r} ({error})", hint=_HINT) from error
        return found
    try:
        loaded: object = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise UsageError(f"script {path}: not YAML: {str(error).splitlines()[0]}", hint=_HINT) from error
    if not isinstance(loaded, list):
        raise UsageError(f"script {path}: found {_kind(loaded)}, a script is a list of steps", hint=_HINT)
    return loaded


def _read_entry(entry: object, where: str) -> Step:
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: found {entry!r}, a step is like {{at: 30s, fault: mute}}", hint=_HINT)
    given = {str(k): v for k, v in entry.items()}
    if "at" not in given:
        raise UsageError(f"{where}: `at` is missing in {entry!r}", hint=_HINT)
    words = [w for w in ("fault", "clear") if w in given]
    if len(words) != 1:
        raise UsageError(
            f"{where}: found {', '.join(given)}; a step has `at` and either `fault` or `clear`", hint=_HINT
        )
    at = _when(given.pop("at"), where)
    name = str(given.pop(words[0]))
    try:
        if words[0] == "clear":
            if given:
                raise UsageError(f"`clear` takes nothing beside it, found {', '.join(given)}")
            return _clear(at, name)
        return _step(at, name, given)
    except UsageError as error:
        raise UsageError(f"{where}: {error}", hint=f"{known()}\n{_HINT}") from error


def _kind(value: object) -> str:
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
