"""`calendar close`, `open` and `import`: what the desk itself states, written into its own calendar/ with all comments kept."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook import app
from runbook.almanac import Why, exchanges
from runbook.clock import SystemClock
from runbook.commands.calendars import computed, files_of, ledger
from runbook.config import Config
from runbook.errors import CalendarError, ConfigError, UsageError
from runbook.plan import plan_days
from runbook.session import Day, DayStatus, SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.files import Draft
    from runbook.adapters.overlay import Overlay
    from runbook.timetable import Sheet
    from runbook.yearlist import Change, Listed

_SECTIONS = {"closed": "closed", "sessions": "open"}
_SHOWN = 12  # days of one kind that a preview names one by one


def close(args: argparse.Namespace) -> int:
    """State that a day has no trading."""
    return _state(args, "closed", {"name": args.reason})


def open_day(args: argparse.Namespace) -> int:
    """State that a day has trading, at the given hours or at the regular ones."""
    return _state(args, "sessions", {"name": args.name, **_hours(args)})


def _hours(args: argparse.Namespace) -> dict[str, Any]:
    starts, ends = args.starts or [], args.ends or []
    if len(starts) == len(ends):
        windows = [f"{a}-{b}" for a, b in zip(starts, ends, strict=True)]
        return {} if not windows else {"intervals": windows[0] if len(windows) == 1 else windows}
    if len(starts) + len(ends) == 1:  # the regular hours, but for one edge
        return {"opens": starts[0]} if starts else {"closes": ends[0]}
    raise UsageError(
        f"{len(starts)} --from and {len(ends)} --until; accepted: a pair for each window, for example --from 18:00 --until 19:00"
    )


def _state(args: argparse.Namespace, section: str, words: Mapping[str, Any]) -> int:
    config = app.load_config(args.site)
    now = SystemClock().now()
    exchange = args.exchange or config.settings.exchange
    folders = files_of(config, now)
    sheets = folders.sheets()
    draft = _draft(config, folders, sheets, exchange, [args.day], now)
    entry = {"date": args.day, **words, **_provenance(args, now)}
    for other in _SECTIONS:
        if held := draft.entry(other, args.day):
            line, text = held
            if not args.replace:
                hint = f"--replace puts the new statement in its place; it stands there as\n{text}"
                raise UsageError(f"{draft.named}:{line} speaks of {args.day} already", hint=hint)
            if other != section:
                draft.take(other, args.day)
    draft.put(section, entry)
    _prove(folders, draft)
    for note in _notes(folders, sheets, exchange, args.day, draft):
        print(f"note: {note}", file=sys.stderr)
    if args.dry_run:
        print(draft.diff(), end="")
        before = folders.calendars(_touched(config, exchange), args.day, args.day, date(now.year, 12, 31))
        after = folders.calendars(_touched(config, exchange), args.day, args.day, date(now.year, 12, 31), draft)
        print("\n".join(_moved(config, before, after, args.day, args.day)) or "nothing would move")
        return 0
    return _keep(config, draft, exchange, args.day, args.day, now, f"{args.day} {_SECTIONS[section]}: {words['name']}")


def _prove(folders: Overlay, draft: Draft) -> None:
    """Refuse a draft that would make the files faulty, with every fault; nothing is written yet."""
    try:
        folders.timetables(draft)
    except ConfigError as exc:
        exc.hint = "nothing was written: the files as they would be do not hold together"
        raise


def _provenance(args: argparse.Namespace, now: datetime) -> dict[str, Any]:
    given = {"source": args.source, "checked": now.date(), "confidence": args.confidence}
    return given | ({"note": args.note} if args.note else {})


def _draft(
    config: Config, folders: Overlay, sheets: Sequence[Sheet], exchange: str, dates: Sequence[date], now: datetime
) -> Draft:
    """The file to write into; an exchange that no file speaks of yet stands on the library's calendar of that name."""
    draft = folders.draft(exchange, dates)
    if not any(
        sheet.content.exchange == exchange and sheet.content.model_fields_set > {"exchange"} for sheet in sheets
    ):
        computed(config, exchange, now, dates[0], dates[0])  # raises UsageError when the library has no such calendar
        draft.set("library", exchange)
    return draft


def _notes(folders: Overlay, sheets: Sequence[Sheet], exchange: str, day: date, draft: Draft) -> list[str]:
    """What the operator should know before it counts."""
    from runbook.testimony import related

    found = []
    if folders.is_shipped:
        found.append(
            f"{draft.named} is the calendar that ships with runbook: an upgrade replaces it. `runbook init DIR` writes a site of your own"
        )
    above, below = related(exchange, sheets)
    also = f" (and {', '.join(below)}, like it)" if below else ""
    if above:
        root = above[-1]
        found.append(f"this is about {exchange}{also}; --exchange {root} states it for {root} and all that is like it")
    elif below:
        found.append(f"this is about {exchange}{also}")
    if draft.fresh:
        found.append(f"{draft.named} is a new file")
    for sheet in sheets:
        for section, word in _SECTIONS.items():
            for i, entry in enumerate(getattr(sheet.content, section)):
                if (
                    entry.day == day
                    and sheet.document.path != draft.named
                    and sheet.content.exchange in (exchange, *above)
                ):
                    where = f"{sheet.document.path}:{sheet.document.line_of((section, i))}"
                    found.append(f"{where} says {word} ({entry.name}) of the day; your statement wins over it")
    return found


def _touched(config: Config, exchange: str) -> list[str]:
    return list(dict.fromkeys([*exchanges(config.settings.exchange), exchange]))


def _keep(config: Config, draft: Draft, exchange: str, first: date, last: date, now: datetime, what: str) -> int:
    """Write the file, compute the ledger's table anew, and say what moved."""
    with ledger(config) as store:
        almanac = app.almanac(config, store) if store is not None else None
        before: dict[str, SessionCalendar] = {}
        if almanac is not None:
            try:
                before = {name: almanac.calendar(name) for name in exchanges(config.settings.exchange)}
            except CalendarError:
                almanac = None
        draft.write()
        print(f"{draft.named}: {what}")
        if almanac is None:
            print("no session table in the ledger yet: `runbook init` or the next start computes it")
            return 0
        try:
            almanac.refresh(now, Why.FILES)  # no child: what the library said is kept in the ledger
        except CalendarError as exc:
            exc.hint = (
                f"the file is written, the session table is still the old one; {exc.hint or 'the daemon tries again'}"
            )
            raise
        after = {name: almanac.calendar(name) for name in before}
    if exchange not in after:
        print(f"{exchange} is not this desk's exchange: `runbook calendar show --exchange {exchange}` computes it")
    print("\n".join(_moved(config, before, after, first, last)) or "no day of this desk changed by it")
    return 0


def _moved(
    config: Config, before: Mapping[str, SessionCalendar], after: Mapping[str, SessionCalendar], first: date, last: date
) -> list[str]:
    """Each day that is answered otherwise now, and below it the jobs of this desk that move; of many days the counts."""
    lines: list[str] = []
    for name, new in after.items():
        old = before[name]
        turned = [
            now.status
            for was, now in zip(old.span(first, last), new.span(first, last), strict=True)
            if (was.status, was.session) != (now.status, now.session)
        ]
        if len(turned) > _SHOWN:
            counts = ", ".join(f"{turned.count(status)} {status}" for status in DayStatus if status in turned)
            lines.append(f"  {name}: {len(turned)} days changed, of which now {counts}")
            continue
        for was, now in zip(old.span(first, last), new.span(first, last), strict=True):
            texts = [_words(day, new) for day in (was, now)]
            if texts[0] != texts[1]:
                lines.append(f"  {now.date:%Y-%m-%d %a}  {name:<4} {texts[0]} -> {texts[1]}")
                if name == config.settings.exchange and first == last:
                    lines += _jobs_moved(config, old, new, now.date)
    return lines


def _jobs_moved(config: Config, old: SessionCalendar, new: SessionCalendar, day: date) -> list[str]:
    runs = [
        {
            f"{run.job} {'first' if run.count > 1 else run.slot}": run
            for run in plan_days(calendar, config.jobs, day, day)[0].runs
        }
        for calendar in (old, new)
    ]
    lines = []
    for key in dict.fromkeys([*runs[0], *runs[1]]):
        times = [f"{held[key].first.astimezone(new.zone):%H:%M}" if key in held else "-" for held in runs]
        if times[0] != times[1]:
            lines.append(f"      {key:<26} {times[0]:>5} -> {times[1]}")
    return lines


def _words(day: Day, calendar: SessionCalendar) -> str:
    if day.session is None:
        known = (
            "" if day.reason.startswith("the calendar of") else f" ({day.reason})"
        )  # past the horizon: said elsewhere
        return f"{day.status}{known}"
    spans = ", ".join(
        f"{a.astimezone(calendar.zone):%H:%M}-{b.astimezone(calendar.zone):%H:%M}" for a, b in day.session.intervals
    )
    return f"open {spans}" + ("" if day.session.name == "regular" else f" ({day.session.name})")


# -- import -------------------------------------------------------------------------------------------------------------


def import_list(args: argparse.Namespace) -> int:
    """Take in a year's list, after a preview of what it changes."""
    from runbook.yearlist import horizon

    config = app.load_config(args.site)
    now = SystemClock().now()
    exchange = args.exchange or config.settings.exchange
    rows = _rows(args.file)
    folders = files_of(config, now)
    sheets = folders.sheets()
    draft = _draft(config, folders, sheets, exchange, [row.day for row in rows], now)
    first = date(min(row.day for row in rows).year, 1, 1)
    last = date(max(row.day for row in rows).year, 12, 31)
    touched = _touched(config, exchange)
    before = folders.calendars(touched, first, last, date(now.year, 12, 31))
    until, why = horizon(rows, before[exchange].known_until, args.covers)
    clashes = _write_rows(draft, rows, _provenance(args, now))
    if until:
        draft.set("known_until", until)
    _prove(folders, draft)
    after = folders.calendars(touched, first, last, date(now.year, 12, 31), draft)
    for note in _notes(folders, sheets, exchange, date.min, draft):
        print(f"note: {note}", file=sys.stderr)
    _show(args, rows, before[exchange], after[exchange], sheets, exchange, until, why)
    if clashes and not args.replace:
        hint = "--replace puts the list's word in their place, or take them out of the list"
        raise UsageError("this site already says otherwise, so nothing was imported:\n" + "\n".join(clashes), hint=hint)
    if draft.text == draft.before:
        print("nothing to import: the site says all of it already")
        return 0
    if not args.yes and not _agreed(draft.named):
        return 1
    return _keep(config, draft, exchange, first, last, now, f"{len(rows)} days imported from {args.file.name}")


def _rows(file: Path) -> list[Listed]:
    rows, faults = app.year_list(file)
    if faults:
        count = f"{len(faults)} fault{'s' if len(faults) > 1 else ''}, nothing was imported"
        raise ConfigError(sorted(faults, key=lambda f: f.line or 0), hint=count)
    return rows


def _write_rows(draft: Draft, rows: Sequence[Listed], defaults: Mapping[str, Any]) -> list[str]:
    """Put each row into the draft; gives the entries of the file that said otherwise. What stands there alike stays."""
    clashes, todo = [], []
    for row in rows:  # all are looked at before one is put in: the lines are those of the file
        entry, alike, held_in = row.entry(defaults), False, None
        for section, word in _SECTIONS.items():
            if held := draft.entry(section, row.day):
                kept, held_in = draft.values(section, row.day), section
                same = all(kept.get(key) == entry.get(key) for key in ("intervals", "opens", "closes"))
                alike = section == row.section and same
                if not alike:
                    said = f"says {word}, the list (line {row.line}) {_SECTIONS[row.section]}"
                    clashes.append(f"  {draft.named}:{held[0]} {said}\n{held[1]}")
        if not alike:
            todo.append((row, entry, held_in))
    for row, entry, held_in in todo:
        if held_in is not None and held_in != row.section:
            draft.take(held_in, row.day)
        draft.put(row.section, entry)
    return clashes


def _show(
    args: argparse.Namespace,
    rows: Sequence[Listed],
    before: SessionCalendar,
    after: SessionCalendar,
    sheets: Sequence[Sheet],
    exchange: str,
    until: date | None,
    why: str,
) -> None:
    """The preview, by what becomes of the days."""
    from runbook.yearlist import preview, unlisted

    first, last = date(min(r.day for r in rows).year, 1, 1), date(max(r.day for r in rows).year, 12, 31)
    changes = preview(rows, before, after, _stated(sheets, exchange), first, last)
    print(f"{args.file.name}: {len(rows)} days for {exchange}, source {args.source}")
    for word in ("contradicts", "newly closed", "newly open", "new hours", "newly unknown", "unchanged"):
        listed = [c for c in changes if c.word == word and c.listed is not None]
        others = [c for c in changes if c.word == word and c.listed is None]
        if listed or others:
            print(f"{word} ({len(listed) + len(others)})")
        for change in listed if word != "unchanged" else listed[:_SHOWN]:
            print(f"  {_change(change, after)}")
        if word == "unchanged" and len(listed) > _SHOWN:
            print(f"  ... and {len(listed) - _SHOWN} more")
        if others:
            print(f"  {_others(others, after, until)}")
    print(
        f"known until {until or before.known_until}"
        + (f" (was {before.known_until}): {why}" if until else f", as before: {why}")
    )
    if until or why.startswith("the calendar is known"):
        for day in unlisted(rows, before):
            print(f"  not in the list, and closed here: {day.date:%Y-%m-%d %a} {day.reason} ({'; '.join(day.sources)})")


def _change(change: Change, calendar: SessionCalendar) -> str:
    row = change.listed
    assert row is not None
    text = f"{row.day:%Y-%m-%d %a}  {row.name:<32} {_words(change.before, calendar)}"
    if change.word != "unchanged":
        text += f" -> {_words(change.after, calendar)}"
    return text + (f"; but {change.stated}" if change.stated else "")


def _others(changes: Sequence[Change], calendar: SessionCalendar, until: date | None) -> str:
    weekend = all(change.after.reason == "weekend" for change in changes)
    what = "weekend days" if weekend else "days that the list does not name"
    text = f"{len(changes)} {what}, {changes[0].after.date} to {changes[-1].after.date}"
    unknown = all(change.before.status is DayStatus.UNKNOWN for change in changes)
    text += ", unknown so far" if unknown and until else ""
    first = next((c for c in changes if c.after.session), None)
    return text + (f": {_words(first.after, calendar)}, as far as hours are stated" if first else "")


def _stated(sheets: Sequence[Sheet], exchange: str) -> dict[date, str]:
    """What files say of single days of the exchange, and of the ones it is like."""
    from runbook.testimony import related

    names = [*reversed(related(exchange, sheets)[0]), exchange]
    found: dict[date, str] = {}
    for sheet in sorted(
        sheets, key=lambda s: (s.layer, names.index(s.content.exchange) if s.content.exchange in names else -1)
    ):
        if sheet.content.exchange in names:
            for section, word in _SECTIONS.items():
                for i, entry in enumerate(getattr(sheet.content, section)):
                    where = f"{sheet.document.path}:{sheet.document.line_of((section, i))}"
                    found[entry.day] = f"{where} says {word} ({entry.name}, {entry.source})"
    return found


def _agreed(named: str) -> bool:
    """Ask; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        print("a preview only: nothing was written (--yes imports it without asking)", file=sys.stderr)
        return False
    answer = input(f"write this into {named}? y/N ")
    if answer.strip().casefold() not in ("y", "yes"):
        print("nothing was written")
        return False
    return True
