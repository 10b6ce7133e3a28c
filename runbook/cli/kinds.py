"""What an argument may be. Each reads one word, or says what was found, what is accepted and an example."""

from __future__ import annotations

import argparse
import re
from datetime import date, time, timedelta

from runbook.trigger import parse_duration


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; accepted: YYYY-MM-DD, for example 2026-11-23") from exc


def year(text: str) -> int:
    if text.isascii() and text.isdigit() and 1990 <= int(text) <= 2100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no year; accepted: 1990 to 2100, for example 2027")


def number(text: str) -> int:
    """As people write it: messages call an alert #3."""
    bare = text.removeprefix("#")
    if bare.isascii() and bare.isdigit() and int(bare) > 0:
        return int(bare)
    raise argparse.ArgumentTypeError(f"{text!r} is no number; accepted: 1 or more, for example 3")


def count(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; accepted: for example 5") from exc


def clock(text: str) -> str:
    try:
        return time.fromisoformat(text if len(text) == 5 else f"0{text}").strftime("%H:%M")
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no time of day; accepted: HH:MM, for example 18:00") from exc


def until(text: str) -> str:
    """Past midnight the hours count on, as in the files: 24:15, to 30:00."""
    if re.fullmatch(r"2[4-9]:[0-5][0-9]|30:00", text):
        return text
    return clock(text)


def length(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all; accepted: more than nothing, for example 30m")
    return found


def words(text: str) -> str:
    if said := " ".join(text.split()):
        return said
    raise argparse.ArgumentTypeError("nothing is said; accepted: words, for example 'NSE/CMTR/72260'")
