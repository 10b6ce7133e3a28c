"""A daemon killed at named points and at random instants, again and again: after each death the ledger must be whole.

What is checked is the promise of the ledger: at most one concurrent start of an occurrence, effects at most once where a job says
`on_abandoned: fail`, nothing final that changes, nothing that disappears; and, held against what an endpoint on loopback heard, that
every alarm arrived, none came twice unmarked, and nobody was told of the end of what he had not been told of.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from runbook import app
from runbook.adapters import store as store_module
from runbook.adapters.store import Store
from runbook.clock import host_monotonic
from runbook.config.defaults import JOBS
from runbook.day import DayFacts
from runbook.outbox import REPEAT_MARK, Kind
from runbook.outbox import State as Told
from runbook.rehearsal import stage
from runbook.run import State
from runbook.session import INDIA
from runbook.shipped import shipped_site
from runbook.simulator import Simulator
from tests.scenarios.played import ROOT
from tests.scenarios.serving import wait_until
from tests.soak import deaths
from tests.soak.engine_child import calendar

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

Figure = Callable[[str, object], None]

KILLS = 200  # at random instants
BENCHES = 2  # at a time, one to a core
# Each run leaves a line before and after its work, so that what the ledger says can be held against what was done.
_STEP = """\
import os, threading

from runbook import Found, JobFailed, Verdict


def step(ctx):
    path = os.path.join(os.path.dirname(__file__), "..", "effects.txt")
    line = f"{ctx.key.job} {ctx.key.slot} "
    with open(path, "a") as out:
        out.write(line + "begun\\n")
    threading.Event().wait(ctx.settings.get("takes", 0.3))
    with open(path, "a") as out:
        out.write(line + "done\\n")
    if ctx.settings.get("fails") == ctx.key.slot:
        raise JobFailed(f"{ctx.key.job} fails, as it is meant to")
    tell = (f"told {ctx.key.job} {ctx.key.slot}", ("a message with each run",)) if ctx.settings.get("tell") else None
    return Found(Verdict.OK, "worked", tell=tell)
"""
_SHIPPED = [str(job["name"]) for job in JOBS if job["name"] != "start_feed"]
SLOTS = 160  # at-most-once jobs are due every 3 s: for as long as daemons die here
OWN = ("once", "again", "often", "says")
WHOLE_WRITES = [f"{name}: {stage}" for name in deaths.WRITES for stage in deaths.STAGES]
# Each with the meeting at which to die: the first is often part of the start, and a later one of the day.
POINTS = {
    **dict.fromkeys(WHOLE_WRITES, 1),
    "claim: after commit": 2, "settle: before commit": 2, "settle: after commit": 3, "renewal: after commit": 2,
    "message claimed: before commit": 1, "message claimed: after commit": 1,
    "message sent: written": 1, "message sent: before commit": 1, "message sent: after commit": 1,
    "a send: before": 1, "a send: after": 2, "a step: before": 2, "a step: after": 2,
    "the take-over: before": 1, "the take-over: after": 1, "the lock: before": 1, "the lock: after": 1,
    "the migration: before": 1, "the migration: after": 1,
}  # fmt: skip
AT_THE_END = ("release: written", "release: before commit", "release: after commit")  # met in a clean stop
UPGRADE = ("the backup: before", "the backup: after", "the tables: before", "the tables: after", "the migration: after")


def config(sim: Simulator, phone: stage.Phone) -> str:
    once = "".join(f"open+{3 * n + 2}s, " for n in range(SLOTS))
    again = "".join(f"open+{5 * n + 3}s, " for n in range(SLOTS // 2))
    says = "".join(f"open+{24 * n + 1}s, " for n in range(SLOTS // 8))  # few: a channel is given 20 messages a minute
    off = "".join(f"  - {{name: {name}, enabled: false}}\n" for name in _SHIPPED)
    flips = "".join(
        f'  - {{name: flip{n}, run: "jobs.work:step", at: [open+{24 * n + 4}s, open+{24 * n + 24}s], '
        f"with: {{takes: 0.1, fails: open+{24 * n + 4}s}}}}\n"
        for n in range(SLOTS // 8)
    )
    return f"""\
version: 1
exchange: NFO
mode: analyzer
openalgo: {{url: "{sim.rest_url}", stream: "{sim.stream_url}", api_key_file: key}}
symbols: [NIFTY, "NIFTY:fut"]
notify: {{phone: "{phone.url}"}}
jobs:
{off}{flips}\
  - {{name: once, run: "jobs.work:step", at: [{once}], on_abandoned: fail, with: {{takes: 0.8}}}}
  - {{name: says, run: "jobs.work:step", at: [{says}], with: {{takes: 0.1, tell: true}}}}
  - {{name: again, run: "jobs.work:step", at: [{again}], with: {{takes: 0.5}}}}
  - {{name: often, run: "jobs.work:step", every: 2s, timeout: 1s, from: open, until: open+8m, with: {{takes: 0.1}}}}
"""


@dataclass
class Bench:
    """The site, the daemon that is killed, and what it leaves."""

    root: Path
    sim: Simulator
    phone: stage.Phone = field(default_factory=lambda: stage.Phone(lambda _received: None))
    armed: list[float] = field(default_factory=list)  # seconds from the process' start to a turning engine

    def __post_init__(self) -> None:
        self.folder = self.root / "site"
        self.phone.start()
        self.opens = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
        stage.write_site(
            self.folder, shipped_site(), url=self.sim.rest_url, stream=self.sim.stream_url, symbols=["NIFTY"],
            mode="analyzer", phone=self.phone.url,
        )  # fmt: skip
        (self.folder / "key").touch(mode=0o600)
        (self.folder / "key").write_text(self.sim.api_key + "\n", encoding="utf-8")
        (self.folder / "jobs" / "work.py").write_text(_STEP, encoding="utf-8")
        (self.folder / "config.yaml").write_text(config(self.sim, self.phone), encoding="utf-8")
        self.log = self.root / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def day(self) -> date:
        return self.opens.astimezone(INDIA).date()

    def begin(self, point: str = "") -> subprocess.Popen[bytes]:
        env = dict(os.environ) | ({deaths.VARIABLE: point} if point else {})
        with self.log.open("ab") as out:
            arguments = [sys.executable, "-m", "tests.soak.engine_child", str(self.folder), self.opens.isoformat()]
            self.process = subprocess.Popen(arguments, cwd=ROOT, stdout=out, stderr=out, env=env)
        return self.process

    def start(self, point: str = "") -> None:
        before, began = self._starts(), host_monotonic()
        self.begin(point)
        wait_until("the daemon starts", lambda: self._starts() > before or self._dead(), 40)
        self.armed.append(host_monotonic() - began)

    def dies_at(self, point: str, meeting: int) -> None:
        """Serve until the daemon kills itself at `point`."""
        ended = self.begin(f"{point};{meeting}")
        if point in AT_THE_END:
            before = self._starts()
            wait_until("the daemon starts", lambda: self._starts() > before, 40)
            ended.send_signal(signal.SIGTERM)
        wait_until(f"it dies at {point}", lambda: ended.poll() is not None, 75)
        assert ended.returncode == -signal.SIGKILL, f"{point}: {self.log.read_text(encoding='utf-8')[-3000:]}"

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

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.phone.stop()

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


def test_deaths_at_random_instants_leave_a_whole_ledger(tmp_path: Path, record_property: Figure):
    with ThreadPoolExecutor(BENCHES) as pool:
        futures = [pool.submit(_random_deaths, tmp_path / str(n), 11 + n, KILLS // BENCHES) for n in range(BENCHES)]
        for one in futures:
            record_property("figure", f"{KILLS // BENCHES} deaths at random: {one.result()}")


def _random_deaths(folder: Path, seed: int, kills: int) -> str:
    folder.mkdir()
    chance, pause = random.Random(seed), threading.Event()
    with Simulator(seed=seed, mode="analyze") as sim:
        bench = Bench(folder, sim)
        try:
            settled: dict = {}
            for n in range(kills):
                bench.start()
                pause.wait(chance.choice([chance.uniform(0.0, 0.4), chance.uniform(0.0, 2.8)]))
                bench.end(signal.SIGKILL)
                settled = _judge(bench, bench.facts(), settled, f"seed {seed}, after kill {n + 1}")
            return _to_the_end(bench)
        finally:
            bench.close()


def test_deaths_at_every_named_point_leave_a_whole_ledger(tmp_path: Path, record_property: Figure):
    names = list(POINTS)
    assert len(names) >= 25
    with ThreadPoolExecutor(BENCHES) as pool:
        shares = [names[n::BENCHES] for n in range(BENCHES)]
        futures = [pool.submit(_named_deaths, tmp_path / str(n), 21 + n, share) for n, share in enumerate(shares)]
        for share, one in zip(shares, futures, strict=True):
            record_property("figure", f"deaths at {len(share)} named points: {one.result()}")


def _named_deaths(folder: Path, seed: int, points: list[str]) -> str:
    folder.mkdir()
    with Simulator(seed=seed, mode="analyze") as sim:
        bench = Bench(folder, sim)
        try:
            settled: dict = {}
            for point in points:
                if point.startswith("reopen"):  # which a start does with what the one before it left running
                    bench.dies_at("a step: before", 2)
                bench.dies_at(point, POINTS[point])
                if (bench.folder / "runbook.db").exists() and _has_tables(bench):
                    settled = _judge(bench, bench.facts(), settled, point)
            return _to_the_end(bench, random_ones=False)
        finally:
            bench.close()


def _has_tables(bench: Bench) -> bool:
    store = Store(bench.folder / "runbook.db")
    try:
        return store.version() is not None
    finally:
        store.close()


def test_a_death_within_an_upgrade_leaves_the_old_tables_or_the_new(tmp_path: Path):
    scripts = Path(store_module.__file__).parent / "migrations"
    with Simulator(seed=5, mode="analyze") as sim:
        bench = Bench(tmp_path, sim)
        database = bench.folder / "runbook.db"
        try:
            for point in UPGRADE:
                for old in bench.folder.glob("runbook.*db*"):
                    old.unlink()
                engine = create_engine(f"sqlite:///{database}")
                settings = Config()
                settings.set_main_option("script_location", str(scripts))
                with engine.begin() as connection:
                    settings.attributes["connection"] = connection
                    command.upgrade(settings, "0001")
                engine.dispose()
                bench.dies_at(point, 1)
                shutil.copy(database, tmp_path / f"{point.replace(' ', '_')}.db")
                bench.start()
                store = Store(database)
                assert store.differences() == [], point
                store.close()
                bench.end(signal.SIGTERM)
        finally:
            bench.close()


def test_a_daemon_that_stood_still_over_its_times_does_nothing_twice_and_loses_nothing_silently(tmp_path: Path):
    """SIGSTOP for 20 s: steps of every 3 and 5 s fall due meanwhile. Nobody else may take its place, since its lock stands."""
    with Simulator(seed=7, mode="analyze") as sim:
        bench = Bench(tmp_path, sim)
        pause = threading.Event()
        try:
            bench.start()
            wait_until("the first steps have run", lambda: bench.effects["once open+2s done"], 30)
            settled = {e.key: (e.state, e.tries) for e in bench.facts().entries if e.state.final}
            assert bench.process is not None
            stopped = bench.process
            stopped.send_signal(signal.SIGSTOP)
            since = datetime.now(UTC)
            pause.wait(10.0)
            second = subprocess.run(
                [sys.executable, "-m", "tests.soak.engine_child", str(bench.folder), bench.opens.isoformat()],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert second.returncode != 0
            assert f"a runbook daemon holds this database: pid {stopped.pid} on" in second.stderr
            pause.wait(10.0)
            stopped.send_signal(signal.SIGCONT)
            until = datetime.now(UTC)
            wait_until("what fell due meanwhile has ended", lambda: _all_over(bench), 60)
            assert bench.end(signal.SIGTERM) == 0
            facts = bench.facts()
            _judge(bench, facts, settled, "after the stop")
            slept = [e for e in facts.entries if since < e.occurrence.planned < until and e.key.job in OWN]
            assert len(slept) > 10
            ran = {e.key for e in slept if e.state is State.SUCCEEDED}
            missed = {e.key for e in slept if e.state is State.MISSED}
            assert {e.key.job for e in slept if e.key in missed} <= {"often"}  # a check is not made up for
            assert {e.key for e in slept if e.key.job != "often"} <= ran
        finally:
            bench.close()


def _said(message: stage.Received) -> list[tuple[str, bool]]:
    """What a message says, each with whether it says that it may be a repeat: several titles where it stands for several."""
    marked = message.title.endswith(REPEAT_MARK)
    titles = [line.removeprefix("* ") for line in message.body.splitlines() if line.startswith("* ")]
    return [(title, marked) for title in titles or [message.title.removesuffix(REPEAT_MARK).rstrip()]]


def _to_the_end(bench: Bench, *, random_ones: bool = True) -> str:
    """Serve on until all is over, hold the ledger against what was heard, and give the figures."""
    bench.start()
    wait_until("all that was planned has ended", lambda: _all_over(bench), 90)
    wait_until("all messages are final", lambda: all(row.final for row in bench.facts().messages), 600)
    stopped = datetime.now(UTC)
    assert bench.end(signal.SIGTERM) == 0
    facts = bench.facts()
    told = _at_the_end(bench, facts, stopped, random_ones=random_ones)
    seconds = sorted(bench.armed)
    median, high = seconds[len(seconds) // 2], seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))]
    return f"{told}; armed again after {median:.2f} s (median), {high:.2f} s (p99), {seconds[-1]:.2f} s (worst)"


def _all_over(bench: Bench) -> bool:
    """Every row whose time has come is final but what is on its way."""
    now = datetime.now(UTC) - timedelta(seconds=4)
    return not [
        e for e in bench.facts().entries if e.occurrence.planned < now and e.occurrence.due < now and not e.state.final
    ]


def _judge(bench: Bench, facts: DayFacts, settled: dict, when: str) -> dict:
    """What must hold at any instant, with the daemon just dead; gives what is final now."""
    rows = {e.key: e for e in facts.entries}
    effects = bench.effects
    for key, before in settled.items():
        assert key in rows, f"{when}: {key} disappeared"
        if key.job != "start_feed":
            assert (rows[key].state, rows[key].tries) == before, f"{when}: {key} was final, and changed"
    for entry in facts.entries:
        assert [t.n for t in entry.tries] == list(range(1, len(entry.tries) + 1)), f"{when}: {entry.key}"
        assert sum(t.ended is None for t in entry.tries) <= 1, f"{when}: {entry.key} has two open attempts"
        begun, done = (effects[f"{entry.key.job} {entry.key.slot} {word}"] for word in ("begun", "done"))
        assert done <= begun <= len(entry.tries), f"{when}: {entry.key} did more than the ledger knows"
        if entry.key.job == "once":
            assert begun <= 1, f"{when}: {entry.key} is to run at most once"
        if entry.state is State.SUCCEEDED and entry.key.job in OWN:
            assert done >= 1, f"{when}: {entry.key} claims what was not done"
        if entry.state.final:
            assert entry.reason.strip(), f"{when}: {entry.key}"
    doubled = [k for k, n in Counter((r.key, r.channel, r.kind, r.seq) for r in facts.messages).items() if n > 1]
    assert not doubled, when
    return {e.key: (e.state, e.tries) for e in facts.entries if e.state.final}


def _at_the_end(bench: Bench, facts: DayFacts, stopped: datetime, *, random_ones: bool) -> str:
    outcomes = Counter((e.key.job, str(e.state)) for e in facts.entries)
    assert outcomes["once", "succeeded"] > 5, outcomes
    assert outcomes["says", "succeeded"] > 2, outcomes
    if random_ones:
        assert outcomes["once", "abandoned"] > 0, f"a kill hit a running at-most-once step: {outcomes}"
        rerun = [e for e in facts.entries if e.key.job == "again" and len(e.tries) > 1 and e.state is State.SUCCEEDED]
        assert rerun, outcomes
    heard = [said for one in list(bench.phone.received) for said in _said(one)]
    first: dict[str, int] = {}
    for n, (title, _) in enumerate(heard):
        first.setdefault(title, n)
    count = Counter(title for title, marked in heard if not marked)
    # A message for each run that ended well: none lost.
    for entry in (e for e in facts.entries if e.key.job == "says" and e.state is State.SUCCEEDED):
        assert len([r for r in facts.messages if r.message.title == f"told says {entry.key.slot}"]) == 1, entry.key
    states: Counter[str] = Counter()
    for row in facts.messages:
        title = row.message.title
        states[str(row.state)] += 1
        once = row.kind is not Kind.NOTICE or title.startswith("told ")
        assert count[title] <= 1 or not once, f"{title} came twice unmarked: {count[title]}"
        if row.state is Told.MERGED:
            ends = [r for r in facts.messages if (r.key, r.channel) == (row.key, row.channel) and r.seq > row.seq]
            assert ends, f"{title} was merged into nothing"
            assert any(r.message.title in first or r.state is Told.UNKNOWN for r in ends), title
        elif row.state is Told.SENT:
            assert title in first, f"{title} is called sent and never came"
        elif row.state is Told.QUEUED:  # said as it was stopped: it waits for the next start
            assert row.due_at > stopped - timedelta(seconds=2), f"{title} is still queued, due at {row.due_at}"
        else:
            assert row.state is Told.UNKNOWN, f"{title} is {row.state}: {row.reason}"
            assert row.reason == "over before it could be told", f"{title} was given up: {row.reason}"
        if row.kind is Kind.RESOLVED and title in first and title != row.delayed:
            alarms = [r for r in facts.messages if r.key == row.key and r.seq < row.seq]
            assert any(first.get(r.message.title, len(heard)) < first[title] for r in alarms), (
                f"{title}: and nobody knew"
            )
    repeats = sum(marked for _, marked in heard)
    starts = len(bench.armed)
    return f"{starts} starts, {len(facts.messages)} messages {dict(states)}, {len(heard)} heard, {repeats} marked repeats, rows {dict(Counter(str(e.state) for e in facts.entries))}"
