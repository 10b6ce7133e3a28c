"""Plain text that keeps its columns: what goes into a cell is cleaned, what is too long is wrapped or cut."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

WIDTH = 100  # a terminal
PHONE = 60  # a message


def plain(text: object) -> str:
    """`text` on one line without anything a terminal would act on: a reason may quote a server's answer."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns; where something was left off it says so."""
    return text if len(text) <= width else text[: max(0, width - 3)].rstrip() + "..."[: max(0, width)]


def wrap(text: str, width: int, first: str = "", rest: str | None = None) -> list[str]:
    """`text` in lines of at most `width`; `first` begins the first of them, `rest` (by default as wide) all others."""
    hanging = " " * len(first) if rest is None else rest
    lines = textwrap.wrap(plain(text), width, initial_indent=first, subsequent_indent=hanging, break_on_hyphens=False)
    return lines or [first.rstrip()]


def line(*parts: str, width: int = WIDTH) -> list[str]:
    """The parts on one line with room between them, or one below the other where that is too long."""
    given = [plain(part) for part in parts if part]
    whole = "   ".join(given)
    return [whole] if len(whole) <= width else [text for part in given for text in wrap(part, width)]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], width: int = WIDTH, indent: str = "  ") -> list[str]:
    """Aligned columns; the last one takes what is left of `width` and wraps under itself."""
    cells = [[plain(cell) for cell in row] for row in rows]
    sizes = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head) - 1)]
    # No name or state may eat the room of what is said about it.
    sizes = [min(size, 24) for size in sizes]
    out: list[str] = []
    for row in [list(head), *cells]:
        left = indent + "".join(f"{cut(cell, size):<{size}}  " for cell, size in zip(row, sizes, strict=False))
        out += [text.rstrip() for text in wrap(row[-1], width, left, " " * len(left))]
    return out


def clock(at: datetime, zone: ZoneInfo, day: date | None = None, *, seconds: bool = False) -> str:
    """The time of day at the exchange, with the date where it is not `day`'s."""
    local = at.astimezone(zone)
    text = f"{local:%H:%M:%S}" if seconds else f"{local:%H:%M}"
    return text if day is None or local.date() == day else f"{local.day} {local:%b} {text}"


def short_day(day: date) -> str:
    """`Fri 26 Dec`."""
    return f"{day:%a} {day.day} {day:%b}"


def long_day(day: date) -> str:
    """`Fri 26 Dec 2025`."""
    return f"{short_day(day)} {day.year}"


def plural(number: int, noun: str, many: str = "") -> str:
    """`1 break`, `2 breaks`."""
    return f"{number} {noun if number == 1 else many or noun + 's'}"
