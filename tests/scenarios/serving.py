"""`runbook serve` as a process of its own, in real time, on a site whose calendar opens a session around now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from runbook import app
from runbook.clock import SystemClock, host_monotonic
from runbook.config import Config
from runbook.day import DayFacts
from runbook.errors import StoreError
from runbook.rehearsal import stage
from runbook.shipped import shipped_site
from runbook.simulator import Simulator

PASSWORD, TOKEN = "sink-password-0815", "sink-token-4711"
_HANGS = "import threading\n\n\ndef step(ctx):\n    threading.Event().wait()\n"
QUICK_FEED = "feed: {warn_after: 3s, fallback_after: 6s, stay_away: 2s}\n"
HANGING_JOB = 'jobs: [{name: hangs, run: "jobs.hangs:step", at: [open], timeout: 600s}]\n'


def wait_until(what: str, holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a condition, looking every 50 ms; AssertionError naming it when the time is up."""
    until, pause = host_monotonic() + seconds, threading.Event()
    while not holds():
        assert host_monotonic() < until, f"not within {seconds:g} s: {what}"
        pause.wait(0.05)


def local_noon() -> tuple[str, date]:
    """A time zone in which it is about noon now, so that no session of these tests meets a midnight; and the date there."""
    now = datetime.now(UTC)
    ahead = 12 - now.hour
    return f"Etc/GMT{-ahead:+d}", (now + timedelta(hours=ahead)).date()


@dataclass
class Site:
    """A site in `folder`. `opens` in hours of that zone: 11 is open by now, 13 opens within two hours."""

    folder: Path
    sim: Simulator
    opens: int = 11
    extra: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    phone: stage.Phone = field(default_factory=lambda: stage.Phone(lambda _received: None))

    def __post_init__(self) -> None:
        self.zone, self.today = local_noon()
        phone = self.phone.url.replace("json://", f"json://desk:{PASSWORD}@") + f"{TOKEN}/"
        stage.write_site(
            self.folder, shipped_site(), url=self.sim.rest_url, stream=self.sim.stream_url,
            symbols=["NIFTY", "NIFTY:fut"], mode="analyzer", phone=phone,
        )  # fmt: skip
        # The secrets in files, so that no environment holds them and any that shows up was put there by runbook.
        for name, secret in (("key", self.sim.api_key), ("phone", phone)):
            (self.folder / name).touch(mode=0o600)
            (self.folder / name).write_text(secret + "\n", encoding="utf-8")
        (self.folder / "jobs" / "hangs.py").write_text(_HANGS, encoding="utf-8")
        (self.folder / "config.yaml").write_text(
            f"""\
version: 1
exchange: DESK
mode: analyzer
openalgo: {{url: "{self.sim.rest_url}", stream: "{self.sim.stream_url}", api_key_file: key}}
symbols: [NIFTY, "NIFTY:fut"]
bot: {{trades: trades.csv}}
notify: {{phone: {{url_file: phone}}}}
{self.extra}""",
            encoding="utf-8",
        )
        (self.folder / "calendar").mkdir()
        (self.folder / "calendar" / "overlay.yaml").write_text(
            f"""\
exchange: DESK
library: NSE
zone: {self.zone}
known_until: {self.today.year + 1}-12-31
sessions:
  - {{date: {self.today}, name: trial, intervals: "{time(self.opens):%H:%M}-16:00", source: test, checked: {self.today}, confidence: high}}
""",
            encoding="utf-8",
        )
        self.phone.start()

    @cached_property
    def config(self) -> Config:
        return app.load_config(self.folder, {})

    def run(self, *words: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        """One command of the command line on this site."""
        return cli("--site", str(self.folder), *words, timeout=timeout)

    def facts(self) -> DayFacts:
        """What the ledger knows of today."""
        store = app.open_store(self.config)
        try:
            return app.day_facts(store, app.almanac(self.config, store).calendar(), self.today)
        finally:
            store.close()

    def state(self) -> dict[str, Any]:
        """What the daemon last said of itself."""
        store = app.open_store(self.config)
        try:
            with store.read() as books:
                lease = books.desk.lease()
                return (
                    dict(lease.data) | {"pid": lease.pid, "alive": lease.expires > SystemClock().now()} if lease else {}
                )
        finally:
            store.close()

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.phone.received]

    def heard(self, words: str) -> bool:
        return any(words in title for title in self.titles)

    def serve(self) -> Serving:
        return Serving(self)


def cli(*words: str, timeout: float = 30, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "runbook", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=clean(environment))


def clean(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment without anything a desk may have set."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OPENALGO_API_KEY", "COVERAGE_PROCESS_START")}
    return kept | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])} | (more or {})


class Serving:
    """One `runbook serve`. Its log is a file beside the site."""

    def __init__(self, site: Site, *, debug: bool = True) -> None:
        self.site = site
        self.log = site.folder.with_suffix(".log")
        with self.log.open("ab") as out:
            more = ["--debug"] if debug else []
            command = [sys.executable, "-W", "error", "-m", "runbook", *more, "--site", str(site.folder), "serve"]
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=clean(site.environment))
        self.pid = self.process.pid

    def ready(self) -> Serving:
        """Wait until it holds the lease."""
        wait_until("the daemon runs", lambda: self._alive() and self.site.state().get("pid") == self.pid)
        return self

    def _alive(self) -> bool:
        assert self.process.poll() is None, f"serve ended:\n{self.said()[-3000:]}"
        return (self.site.folder / "runbook.db").exists() and bool(self._migrated())

    def _migrated(self) -> bool:
        store = app.open_store(self.site.config)
        try:
            store.check()
        except StoreError:
            return False
        finally:
            store.close()
        return True

    def feed(self, mode: str, seconds: float = 60.0) -> None:
        wait_until(f"the feed is {mode}", lambda: self._alive() and self._modes()[-1:] == [mode], seconds)

    def _modes(self) -> list[str]:
        return [str(change.now) for change in self.site.facts().changes]

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, number: signal.Signals) -> tuple[int, float]:
        """Send a signal; (exit code, seconds until it was gone)."""
        began = host_monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=15)
        return code, host_monotonic() - began

    def family(self) -> list[int]:
        """Its process id and those of all its descendants."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = stat.read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            parents[int(stat.parent.name)] = int(text.rpartition(")")[2].split()[1])
        found, more = [self.pid], [self.pid]
        while more:
            more = [pid for pid, parent in parents.items() if parent in more and pid not in found]
            found += more
        return found

    def kill(self) -> None:
        """Whatever a failed test left behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON on stdout."""
    return json.loads(done.stdout)
