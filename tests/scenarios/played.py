"""What a played day left, and the players: days run in processes of their own, several at a time, since most of it is waiting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from runbook import app
from runbook.config import Config
from runbook.day import DayFacts
from runbook.rehearsal import stage
from tests.scenarios.days import CHANNEL_PASSWORD, CHANNEL_PATH, CHANNEL_USER, DAYS

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 4
DEADLINE = 110.0  # real seconds for one day; the slowest takes about 30 on a quiet machine


@dataclass(frozen=True)
class Played:
    """One day that is over."""

    name: str
    folder: Path
    code: int
    said: str  # what was printed, log included

    @cached_property
    def seen(self) -> dict[str, Any]:
        """What the world saw; see days.play."""
        file = self.folder.with_suffix(".json")
        assert file.exists(), f"the day {self.name} broke off:\n{self.said[-3000:]}"
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.seen["received"]]

    @property
    def calls(self) -> list[tuple[datetime, str, str]]:
        return [(datetime.fromisoformat(at), method, path) for at, method, path in self.seen["calls"]]

    @property
    def config(self) -> Config:
        phone = f"json://{CHANNEL_USER}:{CHANNEL_PASSWORD}@127.0.0.1:1/{CHANNEL_PATH}/"
        return app.load_config(self.folder, {"OPENALGO_API_KEY": self.seen["key"], "PHONE_URL": phone})

    @cached_property
    def facts(self) -> DayFacts:
        """What the ledger knows of the day."""
        wanted = DAYS[self.name]
        store = app.open_store(self.config)
        try:
            return app.day_facts(store, stage.calendars(wanted.minutes, wanted.holiday)[0], stage.DAY)
        finally:
            store.close()

    @property
    def modes(self) -> list[str]:
        """The feed's modes in the order the ledger has them."""
        return [str(change.now) for change in self.facts.changes]

    @property
    def shown(self) -> list[str]:
        """What was printed for people; the log's lines left out."""
        return [line for line in self.said.splitlines() if not line.startswith("20")]

    def files(self) -> list[Path]:
        """Every file the day left, and what it printed; without the site's own configuration."""
        return [p for p in self.folder.rglob("*") if p.is_file() and p.name != "config.yaml"] + [
            self.folder.with_suffix(".out")
        ]


class Players:
    """Plays days ahead of the tests that ask for them."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._days: dict[str, Future[Played]] = {
            name: self._pool.submit(self._play, name, folder / name)
            for name in sorted(
                set(names), key=lambda name: -DAYS[name].minutes / DAYS[name].speed
            )  # the long ones first
        }

    def __getitem__(self, name: str) -> Played:
        if name not in self._days:
            self._days[name] = self._pool.submit(self._play, name, self._folder / name)
        return self._days[name].result(DEADLINE)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    @staticmethod
    def _play(name: str, folder: Path) -> Played:
        command = [sys.executable, "-W", "error", "-m", "tests.scenarios.days", name, str(folder)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        folder.with_suffix(".out").write_text(done.stdout, encoding="utf-8")
        return Played(name, folder, done.returncode, done.stdout)
