"""The door to the pulse file beside the database: written whole or not at all, readable by its owner alone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MOST = 1024 * 1024


class PulseFile:
    """`<database>.pulse.json`. It lives as long as its daemon: what is left of a dead one only grows old.

    Under another `name` it is another process's memory between two looks.
    """

    def __init__(self, database: Path, name: str = "pulse") -> None:
        self.path = database.with_name(f"{database.name}.{name}.json")

    def write(self, told: Mapping[str, Any]) -> None:
        """Put `told` in place of what was there. Not synced to the disk: after a power cut it is of no worth anyway."""
        draft = self.path.with_name(self.path.name + ".new")
        file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            json.dump(told, out, allow_nan=False)
        draft.replace(self.path)

    def read(self) -> object:
        """What the file holds, or None when there is none that can be read."""
        try:
            with self.path.open("rb") as file:
                return json.loads(file.read(_MOST))
        except (OSError, ValueError, RecursionError):
            return None

    def remove(self) -> None:
        """Take the file away: a daemon that ends in order leaves no last word that could be taken for news."""
        self.path.unlink(missing_ok=True)
