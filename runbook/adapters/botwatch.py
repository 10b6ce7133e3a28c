"""The door to the bot: looks at what it leaves behind (a tick file, a heartbeat, a log) and changes nothing of it."""

from __future__ import annotations

import glob
import http.client
import itertools
import json
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.bot import Grown, Look, Said
from runbook.clock import Clock, host_monotonic

_TAIL = 64 * 1024  # bytes of the log that are read at first, and at most at once
_ANSWER = 2.0  # real seconds for a heartbeat
_MOST = 64 * 1024  # bytes of a heartbeat's answer
_STAMPS = ("timestamp", "time", "ts", "at", "last_tick", "last_tick_at", "heartbeat")
_LINE = re.compile(r"[A-Z0-9&._-]+: \d[\d,]*(?:\.\d+)? \[(WEBSOCKET|REST_POLLING)\]", re.ASCII)
_WHEN = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)")
_TABLE = re.compile(r"(?P<file>.+)::(?P<table>[A-Za-z_]\w*)\.(?P<column>[A-Za-z_]\w*)", re.ASCII)
_WAL = b"\x02\x02"  # bytes 18 and 19 of an SQLite file: readers there never hold up a writer


@dataclass(slots=True)
class _Tail:
    """How far the log was read: which file, and where in it."""

    file: tuple[int, int] | None = None
    offset: int = 0
    rest: bytes = b""
    said: Said | None = None


class BotWatch:
    """One bot's traces. `ticks` is a path, a glob, or `path.db::table.column`; relative paths count from `root`.

    `look` never raises for what it meets: what cannot be read says so in its place.
    """

    def __init__(self, clock: Clock, root: Path, *, ticks: str | None, heartbeat: str | None, log: str | None) -> None:
        self._clock = clock
        self._answers = itertools.count(1)
        self._root = root
        self._ticks = ticks
        self._heartbeat = heartbeat
        self._log = log
        self._tail = _Tail()

    @property
    def declared(self) -> bool:
        return any((self._ticks, self._heartbeat, self._log))

    def look(self) -> Look:
        """One look at everything that is declared; at most about two seconds, for a heartbeat that hangs."""
        ticks = self._grown(self._ticks) if self._ticks else None
        beat = self._beat(self._heartbeat) if self._heartbeat else None
        said, fault = self._read_log(self._log) if self._log else (None, "")
        return Look(self._clock.monotonic(), ticks, beat, said, fault)

    # -- the tick file ------------------------------------------------------------------------------------------------

    def _grown(self, ticks: str) -> Grown:
        column = _TABLE.fullmatch(ticks)
        path = self._newest(column["file"] if column else ticks)
        if path is None:
            return Grown(fault="no such file")
        try:
            marks, aged = [], float("inf")
            for file in (path, path.with_name(path.name + "-wal")):  # SQLite's fresh rows stand beside it at first
                if file == path or file.is_file():
                    stat = file.stat()
                    marks.append(f"{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}")
                    aged = min(aged, self._clock.now().timestamp() - stat.st_mtime)
            if column is None:
                return Grown(" ".join(marks), aged)
            return self._newest_row(path, column["table"], column["column"], marks, aged)
        except OSError as exc:
            return Grown(fault=exc.strerror or type(exc).__name__)

    def _newest_row(self, path: Path, table: str, column: str, marks: list[str], aged: float) -> Grown:
        with path.open("rb") as file:
            header = file.read(20)
        if header[:15] != b"SQLite format 3":
            return Grown(fault="it is no SQLite file")
        if header[18:20] != _WAL:  # there a reader can make the bot's own commit fail, which no look is worth
            return Grown(" ".join(marks), aged)
        uri = f"file:{path.as_posix().replace('?', '%3f').replace('#', '%23')}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=0.2)) as held:
                held.execute("PRAGMA query_only=ON")
                # the newest row by its number: no walk over a table of millions
                asked = f'SELECT "{column}", rowid FROM "{table}" ORDER BY rowid DESC LIMIT 1'  # noqa: S608 - names of letters, digits and _ only: see `_TABLE`
                row = held.execute(asked).fetchone()
        except sqlite3.Error as exc:
            return Grown(fault=f"{table}.{column}: {exc}")
        # The file's stamp moves for other tables too, so only the row itself is a mark; its age is bounded by the stamp.
        return Grown(f"{row!r:.200}", aged)

    def _newest(self, pattern: str) -> Path | None:
        given = Path(pattern).expanduser()
        whole = given if given.is_absolute() else self._root / given
        if whole.is_file():
            return whole
        found = [Path(name) for name in glob.glob(str(whole)) if not name.endswith(("-wal", "-shm"))]  # noqa: PTH207 - the pattern may be absolute
        newest: tuple[float, Path] | None = None
        for file in found:
            try:
                at = file.stat().st_mtime
            except OSError:
                continue
            if file.is_file() and (newest is None or at > newest[0]):
                newest = (at, file)
        return newest[1] if newest else None

    # -- the heartbeat ------------------------------------------------------------------------------------------------

    def _beat(self, url: str) -> Grown:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        line = kind(parts.hostname or "", parts.port, timeout=_ANSWER)
        until = host_monotonic() + _ANSWER
        try:
            line.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = line.getresponse()
            body = b""
            while len(body) < _MOST and (piece := answer.read1(4096)):
                body += piece
                if host_monotonic() > until:
                    return Grown(fault=f"its answer was not complete after {_ANSWER:g} s")
        except TimeoutError:
            return Grown(fault=f"no answer within {_ANSWER:g} s")
        except (OSError, http.client.HTTPException) as exc:
            return Grown(fault=str(getattr(exc, "strerror", None) or type(exc).__name__))
        finally:
            line.close()
        if answer.status != 200:
            return Grown(fault=f"HTTP {answer.status}")
        stamp = _stamp(body)
        # Without a stamp of its own each answer is a beat.
        return Grown(f"answer {next(self._answers)}" if stamp is None else f"says {stamp}", aged=0.0)

    # -- the log ------------------------------------------------------------------------------------------------------

    def _read_log(self, log: str) -> tuple[Said | None, str]:
        """(the newest price line so far, why the log cannot be read)."""
        path = self._newest(log)
        if path is None:
            return self._tail.said, "no such file"
        tail = self._tail
        try:
            with path.open("rb") as file:
                stat = path.stat()
                if (stat.st_dev, stat.st_ino) != tail.file or stat.st_size < tail.offset:
                    # another file under the name, or one that was cut: what it holds is new to us
                    tail.file, tail.offset, tail.rest = (stat.st_dev, stat.st_ino), max(0, stat.st_size - _TAIL), b""
                tail.offset = max(tail.offset, stat.st_size - _TAIL)
                file.seek(tail.offset)
                fresh = file.read(_TAIL)
        except OSError as exc:
            return tail.said, exc.strerror or type(exc).__name__
        tail.offset += len(fresh)
        *lines, tail.rest = (tail.rest + fresh).split(b"\n")
        tail.rest = tail.rest[-4096:]  # a line that never ends is no price line
        aged = self._clock.now().timestamp() - stat.st_mtime
        tail.said = _newest_source([line.decode(errors="replace") for line in lines], aged, tail) or tail.said
        return tail.said, ""


def _newest_source(lines: list[str], aged: float, tail: _Tail) -> Said | None:
    """What the newest price lines say, and for how long in a row by their own stamps; None when there is none."""
    source, newest, oldest, count = "", None, None, 0
    for line in reversed(lines):
        found = _LINE.search(line)
        if found is None:
            continue
        if source and found[1] != source:
            break
        source, count = found[1], count + 1
        when = _WHEN.search(line)
        stamp = datetime.fromisoformat(when[1]) if when else None
        newest, oldest = newest or stamp, stamp or oldest
    if not source:
        return None
    spans = (newest - oldest).total_seconds() if newest and oldest else 0.0
    return Said(source, f"{tail.file}:{tail.offset}:{count}", max(0.0, spans), aged)


def _stamp(body: bytes) -> str | None:
    """The time in a JSON heartbeat, as it stands there; None when it has none."""
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, Mapping):
        return None
    return next((str(told[name])[:60] for name in _STAMPS if isinstance(told.get(name), str | int | float)), None)
