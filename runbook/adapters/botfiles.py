"""The bot's own files, looked at again and again: its log from the end, its trade log when it has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from runbook.adapters.tail import Tail
from runbook.adapters.tradelog import log_files
from runbook.market import Instrument
from runbook.recon import TradeLog


def bot_log(path: str, root: Path) -> Tail:
    """The log at `path` (`~`, relative to `root`)."""
    whole = Path(path).expanduser()
    return Tail(whole if whole.is_absolute() else root / whole)


def traded(
    pattern: str, root: Path, read: Callable[[date], TradeLog | None]
) -> Callable[[date], Sequence[Instrument] | None]:
    """What tells the instruments of a day's trade log; None while no file has changed since it was last asked."""
    told: list[object] = []

    def instruments(day: date) -> Sequence[Instrument] | None:
        seen: list[object] = [day]
        for path in log_files([pattern], root):
            try:
                stat = path.stat()
            except OSError:  # it went away between two looks
                continue
            seen.append((path, stat.st_size, stat.st_mtime_ns))
        if seen == told:
            return None
        told[:] = seen
        found = read(day)
        return [leg.instrument for leg in found.legs or ()] if found is not None else None

    return instruments
