"""A year of an exchange on one screen: months with a mark for each day, its hours, and every day that is not ordinary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from runbook.session import Confidence, Day, DayStatus, Phase, Session, SessionCalendar, joined

_MOST_ERAS = 12  # forms of an ordinary day that are told; more is a library that moves with the sun
_MONTH = 21  # characters of a month: seven days of three
_GAP = 3
_LEGEND = ("12 open", ". weekend", "x closed", "* special session", "~ hours not sure", "? unknown")
_COLOURS = {"x": "31", "*": "36", "~": "33", "?": "35", ".": "2"}


def phases_json(session: Session | None, zone: ZoneInfo) -> list[dict[str, Any]]:
    """Each phase of the session with the parts it is known to have; times are ISO 8601 with the offset of `zone`."""

    def told(name: str, phase: Phase) -> dict[str, Any]:
        span = (phase.start, phase.end)
        return {"name": name} | dict(
            zip(("start", "end"), (at.astimezone(zone).isoformat() for at in span), strict=True)
        )

    return [
        told(phase.name, phase) | {"parts": [told(part.part, part) for part in parts]}
        for phase, parts in joined(session.phases if session else ())
    ]


def phases_text(session: Session, zone: ZoneInfo) -> list[str]:
    """Each phase of the session in words: `pre_open 09:00-09:15 (order entry 09:00-09:08, ...)`, `tail 15:35-15:40`."""

    def span(phase: Phase) -> str:
        a, b = phase.start.astimezone(zone), phase.end.astimezone(zone)
        return f"{a:%H:%M}-{b:%H:%M}{_off(b.date(), a.date())}"

    lines = []
    for phase, parts in joined(session.phases):
        named = ", ".join(f"{part.part.replace('_', ' ')} {span(part)}" for part in parts)
        lines.append(f"{phase.name} {span(phase)}" + (f" ({named})" if named else ""))
    if session.expiring_close:
        doubt = "" if session.confidence is Confidence.HIGH else f" (confidence {session.confidence})"
        lines.append(f"contracts that expire on the day until {session.expiring_close.astimezone(zone):%H:%M}{doubt}")
    return lines


def chart_json(days: Sequence[Day], zone: ZoneInfo) -> list[dict[str, Any]]:
    """One object per calendar day; times are ISO 8601 with the offset of `zone`."""

    def iso(instant: datetime) -> str:
        return instant.astimezone(zone).isoformat()

    return [
        {
            "date": day.date.isoformat(),
            "weekday": f"{day.date:%A}",
            "status": day.status.value,
            "name": day.session.name if day.session else None,
            "intervals": [[iso(a), iso(b)] for a, b in day.session.intervals] if day.session else [],
            "phases": phases_json(day.session, zone),
            "expiring_close": iso(day.session.expiring_close) if day.session and day.session.expiring_close else None,
            "reason": day.reason,
            "sources": list(day.sources),
            "confidence": day.confidence.value,
            "note": day.note,
        }
        for day in days
    ]


def render_chart(
    calendar: SessionCalendar, days: Sequence[Day], today: date, *, width: int = 80, colour: bool = False
) -> str:
    """The chart of `days`, which are in order and without a gap; at most `width` characters wide where words allow."""
    chart = _Chart(calendar, days, today, width, colour)
    parts = [chart.head(), chart.months(), chart.legend(), chart.hours(), chart.phases(), chart.exceptions()]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


@dataclass(frozen=True, slots=True)
class _Chart:
    calendar: SessionCalendar
    days: Sequence[Day]
    today: date
    width: int
    colour: bool

    def head(self) -> list[str]:
        first, last = self.days[0].date, self.days[-1].date
        whole = (first.month, first.day, last.month, last.day) == (1, 1, 12, 31) and first.year == last.year
        span = str(first.year) if whole else f"{first} to {last}"
        counts = {status: sum(day.status is status for day in self.days) for status in DayStatus}
        shut = sum(day.status is DayStatus.CLOSED and not _weekend(day) and day.date.weekday() < 5 for day in self.days)
        text = f"{self.calendar.exchange} {span}: {_count(counts[DayStatus.OPEN], 'session')}, {_count(shut, 'closed weekday')}"
        if counts[DayStatus.UNKNOWN]:
            text += f", {_count(counts[DayStatus.UNKNOWN], 'day')} UNKNOWN"
        left = (self.calendar.known_until - self.today).days
        known = f"known until {self.calendar.known_until}"
        known += f", {_count(left, 'day')} ahead" if 0 <= left < 400 else "" if left > 0 else ", which is past"
        now = self.calendar.day(self.today)
        state = f"today, {self.today:%A %d %B}: {now.status}"
        state += f" {self._span(now)}" if now.session else ""
        state += f" ({now.reason})" if not _regular(now) else ""
        return [text, f"{known}; times in {self.calendar.zone.key}", state]

    # --- the months --------------------------------------------------------------------------------------------------

    def legend(self) -> list[str]:
        lines = [""]
        for text in _LEGEND:
            if len(lines[-1]) + len(text) > self.width:
                lines.append("")
            lines[-1] += f"{text}   "
        return [line.rstrip() for line in lines]

    def months(self) -> list[str]:
        blocks: dict[tuple[int, int], list[Day]] = {}
        for day in self.days:
            blocks.setdefault((day.date.year, day.date.month), []).append(day)
        across = 4 if self.width >= 4 * _MONTH + 3 * _GAP else 3 if self.width >= 3 * _MONTH + 2 * _GAP else 1
        made = [self._month(block) for block in blocks.values()]
        lines: list[str] = []
        for i in range(0, len(made), across):
            row = made[i : i + across]
            height = max(len(block) for block in row)
            filled = [block + [" " * _MONTH] * (height - len(block)) for block in row]
            lines += ["", *((" " * _GAP).join(parts).rstrip() for parts in zip(*filled, strict=True))]
        return lines[1:]

    def _month(self, block: Sequence[Day]) -> list[str]:
        first = block[0].date
        lines = [f"{first:%B %Y}".center(_MONTH), " Mo Tu We Th Fr Sa Su"]
        cells = ["   "] * first.weekday() + [self._cell(day) for day in block]
        cells += ["   "] * (-len(cells) % 7)
        return lines + ["".join(cells[i : i + 7]) for i in range(0, len(cells), 7)]

    def _cell(self, day: Day) -> str:
        mark = _mark(day)
        text = "  ." if mark == "." else f"{mark if mark != ' ' else ''}{day.date.day}".rjust(3)
        if not self.colour:
            return text
        if day.date == self.today:
            return f"\x1b[7m{text}\x1b[0m"
        return f"\x1b[{_COLOURS[mark]}m{text}\x1b[0m" if mark in _COLOURS else text

    # --- the words ---------------------------------------------------------------------------------------------------

    def hours(self) -> list[str]:
        """The ordinary hours, each with the days they hold."""
        eras: list[tuple[str, list[Day]]] = []
        for day in self.days:
            if day.session is None or not _regular(day):
                continue
            text = self._span(day)
            if eras and eras[-1][0] == text and eras[-1][1][-1].confidence is day.confidence:
                eras[-1][1].append(day)
            else:
                eras.append((text, [day]))
        lines = []
        for text, days in eras[:_MOST_ERAS]:
            line = f"  {text}  {days[0].date:%d %b} to {days[-1].date:%d %b}, {_count(len(days), 'session')}"
            if days[0].confidence is not Confidence.HIGH:
                line += f", confidence {days[0].confidence}"
            lines += [line, *self._wrapped(days[0].note, "    ")]
        if len(eras) > _MOST_ERAS:
            lines.append(f"  ... and {len(eras) - _MOST_ERAS} more changes")
        return ["ordinary hours", *lines] if lines else []

    def phases(self) -> list[str]:
        """The phases of an ordinary day, each form with the days it holds."""
        eras: list[tuple[list[str], list[Day]]] = []
        for day in self.days:
            if day.session is None or not _regular(day):
                continue
            told = phases_text(day.session, self.calendar.zone)
            if eras and eras[-1][0] == told:
                eras[-1][1].append(day)
            else:
                eras.append((told, [day]))
        if len(eras) > _MOST_ERAS or not any(len(told) > 1 or "(" in told[0] for told, _ in eras):
            return []  # plain trading and nothing else, or hours that move all year: the hours have said it
        lines = ["its phases"]
        for told, days in eras:
            lines.append(f"  {days[0].date:%d %b} to {days[-1].date:%d %b}")
            for text in told:
                lines += self._wrapped(text, "      ", "    ")
        return lines

    def exceptions(self) -> list[str]:
        rows = list(_runs([day for day in self.days if not _ordinary(day)]))
        if not rows:
            return []
        sources = list(dict.fromkeys("; ".join(run[0].sources) for run in rows if run[0].sources))
        names = min(36, max(len(run[0].reason) for run in rows))
        lines = [f"{'not ordinary':<30}{'':<{names}}  sure    source"]
        for run in rows:
            lines += self._exception(run, sources, names)
        if sources:
            lines.append("")
        for number, text in enumerate(sources, 1):
            lines += self._wrapped(text, "      ", f"  [{number}] ")
        return lines

    def _exception(self, run: Sequence[Day], sources: Sequence[str], names: int) -> Iterator[str]:
        day = run[0]
        when = f"{day.date:%d %b %a}" if len(run) == 1 else f"{day.date:%d %b}-{run[-1].date:%d %b}"
        what = self._span(day) if day.session else day.status.value if day.status is DayStatus.CLOSED else "UNKNOWN"
        number = f"[{sources.index('; '.join(day.sources)) + 1}]" if day.sources else ""
        doubt = "" if day.status is DayStatus.UNKNOWN else day.confidence.value
        yield f"  {when:<15}{what:<13}{day.reason:<{names}}  {doubt:<6}  {number}".rstrip()
        if day.note and day.session:
            yield from self._wrapped(day.note, " " * 30)

    def _span(self, day: Day) -> str:
        assert day.session is not None
        parts = []
        for start, end in day.session.intervals:
            a, b = (instant.astimezone(self.calendar.zone) for instant in (start, end))
            parts.append(f"{a:%H:%M}-{b:%H:%M}{_off(a.date(), day.date)}" + _off(b.date(), a.date()))
        return ", ".join(parts)

    def _wrapped(self, text: str, indent: str, lead: str = "") -> list[str]:
        from textwrap import wrap

        return wrap(text, max(40, self.width), initial_indent=lead or indent, subsequent_indent=indent)


def _off(day: date, base: date) -> str:
    return f"{(day - base).days:+d}d" if day != base else ""


def _weekend(day: Day) -> bool:
    return day.status is DayStatus.CLOSED and day.reason == "weekend"


def _regular(day: Day) -> bool:
    return day.session is not None and day.session.name == "regular"


def _ordinary(day: Day) -> bool:
    return _weekend(day) or _regular(day)


def _mark(day: Day) -> str:
    if day.status is DayStatus.UNKNOWN:
        return "?"
    if day.session is None:
        return "." if _weekend(day) else "x"
    if not _regular(day):
        return "*"
    return " " if day.confidence is Confidence.HIGH else "~"


def _runs(days: Sequence[Day]) -> Iterator[list[Day]]:
    """Days that follow each other and say the same without a session, such as an unknown year, as one."""
    run: list[Day] = []
    for day in days:
        alike = run and day.session is None and (day.status, day.reason) == (run[-1].status, run[-1].reason)
        if alike and day.date == run[-1].date + timedelta(days=1):
            run.append(day)
            continue
        if run:
            yield run
        run = [day]
    if run:
        yield run


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
