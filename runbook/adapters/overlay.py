"""The calendar folders of a site as one thing: what counts, what a draft of one file would change, the library beside it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.adapters.exchange import Request, fetch, installed, read_timetables, remembered
from runbook.adapters.files import Draft, read_yaml, shipped_calendar
from runbook.errors import CalendarFaults, FileFaults

if TYPE_CHECKING:
    from runbook.fault import Fault
    from runbook.session import SessionCalendar
    from runbook.timetable import Library, Sheet, Timetable

_MARGIN = timedelta(days=14)  # the library fails on a span without any session, such as one holiday
_FRESH = """\
# This desk's own word on {exchange}; it wins over what ships with runbook. What each key means: README.md in this folder.
exchange: {exchange}
"""


class Overlay:
    """calendar/ of a site over the one that ships; reads, and makes drafts.

    `said` is a kept answer of the library. What it does not cover, or what other versions of the library said, is asked
    in a child, once each.
    """

    def __init__(self, site: Path, said: Mapping[str, Any] | None = None) -> None:
        self._said = said if said and installed(said["versions"]) else None
        self._site = site / "calendar"
        self._base = shipped_calendar()
        self._libraries: dict[tuple[str, date, date], Library] = {}

    @property
    def is_shipped(self) -> bool:
        """Whether the site's folder is the one that ships, as in a checkout: what is written there, an upgrade replaces."""
        return self._site.is_dir() and self._site.resolve() == self._base.resolve()

    def sheets(self) -> list[Sheet]:
        """Each file, parsed, base first; raises ConfigError with the faults of those that cannot be."""
        from runbook.timetable import Layer, parse

        folders = [(Layer.BASE, self._base, "base")]
        if self._site.is_dir() and not self.is_shipped:
            folders.append((Layer.SITE, self._site, "calendar"))
        sheets: list[Sheet] = []
        faults: list[Fault] = []
        for layer, folder, named in folders:
            for path in _files(folder):
                try:
                    sheets += parse([read_yaml(path, named=f"{named}/{path.name}")], layer)
                except (FileFaults, CalendarFaults) as exc:
                    faults += exc.faults
        if faults:
            raise CalendarFaults(faults)
        return sheets

    def timetables(self, draft: Draft | None = None) -> dict[str, Timetable]:
        """What all files say together, as they stand or with `draft` in its place; raises ConfigError with all faults."""
        if draft is None:
            return read_timetables(self._base, self._site)
        with self._with(draft) as folder:
            return read_timetables(folder if self.is_shipped else self._base, folder)

    def calendars(
        self, exchanges: Sequence[str], first: date, last: date, horizon: date, draft: Draft | None = None
    ) -> dict[str, SessionCalendar]:
        """The days of each exchange as the files stand, or with `draft`; stores nothing. Raises as `refresh` does."""
        from runbook.timetable import build

        tables = self.timetables(draft)
        names = {name: tables[name].library if name in tables else name for name in exchanges}
        self._ask([library for library in names.values() if library], first, last)
        made = {}
        for name, library in names.items():
            asked = self._libraries[library, first, last] if library else None
            made[name] = build(name, tables, asked, first, last, horizon=horizon)
        return made

    def library(self, name: str, first: date, last: date) -> Library:
        """What the library says of its calendar `name`; raises CalendarError."""
        self._ask([name], first, last)
        return self._libraries[name, first, last]

    def draft(self, exchange: str, dates: Sequence[date] = ()) -> Draft:
        """A draft of the file in which this site speaks of `exchange`: the one that has one of `dates`, else the first.

        Without such a file: overlay.yaml if there is none yet, else one named for the exchange.
        """
        found = []
        for path in _files(self._site) if self._site.is_dir() else []:
            document = read_yaml(path, named=f"calendar/{path.name}")
            if document.data.get("exchange") == exchange:
                said = {e.get("date") for key in ("closed", "sessions") for e in document.data.get(key) or []}
                found.append((said.isdisjoint(dates), path.name != "overlay.yaml", path))
        if found:
            path = min(found)[2]
        else:
            path = self._site / "overlay.yaml"
            if path.exists():
                path = self._site / f"{exchange.lower().replace('/', '-')}.yaml"
        return Draft(path, f"calendar/{path.name}", _FRESH.format(exchange=exchange))

    def _ask(self, names: Sequence[str], first: date, last: date) -> None:
        wanted = [n for n in dict.fromkeys(names) if (n, first, last) not in self._libraries]
        for name in list(wanted):
            if kept := remembered([Request(name, first, last)], self._said):
                self._libraries[name, first, last] = kept.libraries[name]
                wanted.remove(name)
        if wanted:
            answer = fetch([Request(name, first - _MARGIN, last + _MARGIN) for name in wanted])
            self._libraries |= {(name, first, last): found for name, found in answer.libraries.items()}

    @contextmanager
    def _with(self, draft: Draft) -> Iterator[Path]:
        """A copy of the site's folder in which the draft has taken its place."""
        with tempfile.TemporaryDirectory(prefix="runbook-calendar-") as name:
            folder = Path(name)
            for path in _files(self._site) if self._site.is_dir() else []:
                shutil.copyfile(path, folder / path.name)
            (folder / draft.path.name).write_text(draft.text, encoding="utf-8")
            yield folder


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix in {".yaml", ".yml"})
