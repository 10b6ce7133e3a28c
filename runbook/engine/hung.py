"""Steps that hang in threads: nobody can end those, so their number is watched."""

from __future__ import annotations

import threading

from runbook.alert import Notice

MOST = 3  # of them at a time; then the process ends while there is room to end well


class LeftBehind:
    """The steps that were given up and have not come back since."""

    def __init__(self) -> None:
        self._held: list[tuple[str, threading.Event]] = []

    def add(self, name: str, ended: threading.Event) -> None:
        """A step was given up; `ended` is set when its thread comes back after all."""
        self._held.append((name, ended))

    def names(self) -> list[str]:
        """Those that hang now."""
        self._held = [(name, ended) for name, ended in self._held if not ended.is_set()]
        return [name for name, _ in self._held]


def notice(names: list[str], epoch: int) -> Notice:
    """What people are told when the process ends because of them."""
    lines = (
        f"seen: {', '.join(names)}",
        "done: what is written is kept; this process ends, and systemd starts runbook again",
        "do: `runbook report`, then mend these steps",
    )
    return Notice(f"hung@{epoch}", "[CRIT] runbook ends: steps hang", lines)
