"""A daemon killed at random instants, again and again: after each restart the ledger must be whole.

What is checked is the promise of the ledger: at most one concurrent start of an occurrence, effects at most once where a job says
`on_abandoned: fail`, nothing final that changes, nothing that disappears.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from runbook import app
from runbook.adapters.store import Store
from runbook.config.defaults import JOBS
from runbook.day import DayFacts
from runbook.outbox import REPEAT_MARK
from runbook.outbox import State as Told
from runbook.rehearsal import stage
from runbook.run import State
from runbook.session import INDIA
from runbook.shipped import shipped_site
from runbook.simulator import Simulator
from tests.scenarios.played import ROOT
from tests.scenarios.serving import wait_until
from tests.soak.engine_child import calendar

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

KILLS = 40
# Each run leaves a line before and after its work, so that what the ledger says can be held against what was done.
_STEP = """\
import os, threading

from runbook import Found, Verdict


def step(ctx):
    path = os.path.join(os.path.dirname(__file__), "..", "effects.txt")
    line = f"{ctx.key.job} {ctx.key.slot} "
    with open(path, "a") as out:
        out.write(line + "begun\\n")
    threading.Event().wait(ctx.settings.get("takes", 0.3))
    with open(path, "a") as out:
        out.write(line + "done\\n")
    tell = (f"told {ctx.key.job} {ctx.key.slot}", ("a message with each run",)) if ctx.settings.get("tell") else None
    return Found(Verdict.OK, "worked", tell=tell)
"""
_SHIPPED = [str(job["name"]) for job in JOBS if job["name"] != "start_feed"]
SLOTS = 60  # at-most-once jobs are due every 3 s


def config(sim: Simulator, phone: stage.Phone) -> str:
    once = "".join(f"open+{3 * n + 2}s, " for n in range(SLOTS))
    again = "".join(f"open+{5 * n + 3}s, " for n in range(SLOTS // 2))
    says = "".join(f"open+{16 * n + 1}s, " for n in range(SLOTS // 5))  # few: a channel is given 20 messages a minute
    off = "".join(f"  - {{name: {name}, enabled: false}}\n" for name in _SHIPPED)
    return f"""\
version: 1
exchange: NFO
mode: analyzer
openalgo: {{url: "{sim.rest_url}", stream: "{sim.stream_url}", api_key_file: key}}
symbols: [NIFTY, "NIFTY:fut"]
notify: {{phone: "{phone.url}"}}
jobs:
{off}\
  - {{name: once, run: "jobs.work:step", at: [{once}], on_abandoned: fail, with: {{takes: 0.8}}}}
  - {{name: says, run: "jobs.work:step", at: [{says}], with: {{takes: 0.1, tell: true}}}}
  - {{name: again, run: "jobs.work:step", at: [{again}], with: {{takes: 0.5}}}}
  - {{name: often, run: "jobs.work:step", every: 1s, from: open, until: open+5m, with: {{takes: 0.1}}}}
"""


class Bench:
    """The site, the daemon that is killed, and what it leaves."""

    def __init__(self, folder: Path, sim: Simulator) -> None:
        self.folder = folder / "site"
        self.phone = stage.Phone(lambda _received: None)
        self.phone.start()
        self.opens = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        stage.write_site(
            self.folder, shipped_site(), url=sim.rest_url, stream=sim.stream_url, symbols=["NIFTY"],
            mode="analyzer", phone=self.phone.url,
        )  # fmt: skip
        (self.folder / "key").touch(mode=0o600)
        (self.folder / "key").write_text(sim.api_key + "\n", encoding="utf-8")
        (self.folder / "jobs" / "work.py").write_text(_STEP, encoding="utf-8")
        (self.folder / "config.yaml").write_text(config(sim, self.phone), encoding="utf-8")
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def day(self) -> date:
        return self.opens.astimezone(INDIA).date()

    def start(self) -> None:
        before = self._starts()
        with self.log.open("ab") as out:
            command = [sys.executable, "-m", "tests.soak.engine_child", str(self.folder), self.opens.isoformat()]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        wait_until("the daemon starts", lambda: self._starts() > before or self._dead(), 30)

    def _starts(self) -> int:
        return self.log.read_text(encoding="utf-8").count("started\n") if self.log.exists() else 0

    def _dead(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")[-3000:]
        return False

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=15)

    def facts(self) -> DayFacts:
        store = Store(self.folder / "runbook.db")
        try:
            return app.day_facts(store, calendar(self.opens)[0], self.day)
        finally:
            store.close()

    @property
    def effects(self) -> Counter[str]:
        file = self.folder / "effects.txt"
        return Counter(file.read_text(encoding="utf-8").splitlines()) if file.exists() else Counter()


@pytest.mark.parametrize("seed", [11])
def test_forty_kills_leave_a_whole_ledger(tmp_path: Path, seed: int):
    chance = random.Random(seed)
    with Simulator(seed=seed, mode="analyze") as sim:
        bench = Bench(tmp_path, sim)
        try:
            settled: dict = {}
            for n in range(KILLS):
                bench.start()
                pause = threading.Event()
                pause.wait(chance.uniform(0.0, 3.5))
                bench.end(signal.SIGKILL)
                facts = bench.facts()
                settled = _judge(bench, facts, settled, f"after kill {n + 1}")
            bench.start()
            wait_until("all that was planned has ended", lambda: _all_over(bench), 60)
            wait_until("all messages are final", lambda: all(row.final for row in bench.facts().messages), 150)
            assert bench.end(signal.SIGTERM) == 0
            _at_the_end(bench, bench.facts())
        finally:
            if bench.process is not None and bench.process.poll() is None:
                bench.process.kill()
                bench.process.wait()
            bench.phone.stop()


def _all_over(bench: Bench) -> bool:
    """Every row whose time has come is final but what is on its way."""
    now = datetime.now(UTC) - timedelta(seconds=4)
    return not [
        e for e in bench.facts().entries if e.occurrence.planned < now and e.occurrence.due < now and not e.state.final
    ]


def _judge(bench: Bench, facts: DayFacts, settled: dict, when: str) -> dict:
    """What must hold at any instant, with the daemon just dead; gives what is final now."""
    rows = {e.key: e for e in facts.entries}
    for key, before in settled.items():
        assert key in rows, f"{when}: {key} disappeared"
        if key.job != "start_feed":
            assert (rows[key].state, rows[key].tries) == before, f"{when}: {key} was final, and changed"
    for entry in facts.entries:
        assert [t.n for t in entry.tries] == list(range(1, len(entry.tries) + 1)), f"{when}: {entry.key}"
        assert sum(t.ended is None for t in entry.tries) <= 1, f"{when}: {entry.key} has two open attempts"
        begun, done = (bench.effects[f"{entry.key.job} {entry.key.slot} {word}"] for word in ("begun", "done"))
        assert done <= begun <= len(entry.tries), f"{when}: {entry.key} did more than the ledger knows"
        if entry.key.job == "once":
            assert begun <= 1, f"{when}: {entry.key} is to run at most once"
        if entry.state is State.SUCCEEDED and entry.key.job in ("once", "again", "often", "says"):
            assert done >= 1, f"{when}: {entry.key} claims what was not done"
        if entry.state.final:
            assert entry.reason.strip(), f"{when}: {entry.key}"
    doubled = [k for k, n in Counter((r.key, r.channel, r.kind, r.seq) for r in facts.messages).items() if n > 1]
    assert not doubled, when
    return {e.key: (e.state, e.tries) for e in facts.entries if e.state.final}


def _at_the_end(bench: Bench, facts: DayFacts) -> None:
    outcomes = Counter((e.key.job, str(e.state)) for e in facts.entries)
    assert outcomes["once", "abandoned"] > 0, f"a kill hit a running at-most-once step: {outcomes}"
    assert outcomes["once", "succeeded"] > 5, outcomes
    assert any(len(e.tries) > 1 and e.state is State.SUCCEEDED for e in facts.entries if e.key.job == "again"), outcomes
    assert outcomes["says", "succeeded"] > 5, outcomes
    # A message for each run that ended well: none lost; one that came twice was marked.
    heard = Counter(one.title for one in bench.phone.received)
    for entry in (e for e in facts.entries if e.key.job == "says" and e.state is State.SUCCEEDED):
        title = f"told says {entry.key.slot}"
        rows = [r for r in facts.messages if r.message.title == title]
        assert len(rows) == 1, title
        assert heard[title] <= 1, f"{title} came twice unmarked"
        if rows[0].state is Told.SENT:
            assert heard[title] + heard[f"{title} {REPEAT_MARK}"] >= 1, f"{title} is called sent and never came"
