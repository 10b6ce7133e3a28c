"""Days of chance through the real engine: each seed a day, each event followed by a look at every promise of the ledger.

Nothing here waits: a day is as long as its events. What breaks says with which command it is played again.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runbook.clock import host_monotonic
from tests.days.month import foretold, play_month
from tests.days.script import Script
from tests.days.world import World, dump

DAYS = 40  # in `make test`: the two densest stretches of a day, three to ten of them a second
WHOLE = 1000  # in `make soak`: whole days
ROOT = Path(__file__).resolve().parents[2]
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # no power is cut here, so the file may lie in memory


@pytest.fixture(autouse=True)
def _in_silence() -> Iterator[None]:
    """Thousands of faults are played; their warnings are not for this run's output."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def play(seed: int, part: str = "day", every: str = "") -> tuple[int, list[str]]:
    """Events and lines of one day; raises what it breaks."""
    with TemporaryDirectory(dir=FAST) as folder:
        world = World(Script(seed, every, part), Path(folder))
        try:
            world.play()
            return world.events, [*world.log, *dump(world.store.path)]
        finally:
            world.end()


def many(seeds: range, part: str, say: pytest.TerminalReporter | None) -> None:
    begun, events = host_monotonic(), 0
    for seed in seeds:
        events += play(seed, part)[0]
    took = host_monotonic() - begun
    line = f"{len(seeds)} virtual days ({part}): {events} events in {took:.1f} s, {len(seeds) / took:.1f} days/s"
    if say is not None:
        say.write_line(line)
    else:
        print(line)


@pytest.fixture
def reporter(request: pytest.FixtureRequest) -> pytest.TerminalReporter | None:
    return request.config.pluginmanager.get_plugin("terminalreporter")


@pytest.mark.parametrize("block", range(4))
def test_days_of_chance_break_no_promise(block: int, reporter: pytest.TerminalReporter | None):
    many(range(block * DAYS // 4, (block + 1) * DAYS // 4), "hours", reporter)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", range(10))
def test_a_thousand_whole_days_break_no_promise(block: int, reporter: pytest.TerminalReporter | None):
    many(range(block * WHOLE // 10, (block + 1) * WHOLE // 10), "day", reporter)


@pytest.mark.parametrize("seed", [3, 26])
def test_a_seed_is_the_same_day_again(seed: int):
    """Also in another process, whose sets and dicts of texts have another order."""
    said = []
    for salt in ("1", "2"):
        command = [sys.executable, "-m", "tests.days", str(seed), "--part", "hours"]
        env = os.environ | {"PYTHONHASHSEED": salt}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=True)
        said.append(done.stdout.splitlines())
    assert said[0] == said[1]
    assert len(said[0]) > 100


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("days", "every"), [(30, "5m"), (5, "1m")])
def test_a_month_leaves_memory_threads_and_files_as_they_were_and_a_database_as_large_as_foretold(
    days: int, every: str, reporter: pytest.TerminalReporter | None
):
    with TemporaryDirectory(dir=FAST) as folder:
        world, counted = play_month(Path(folder), days, every)
    early, last = counted[days // 3], counted[-1]
    each = (last.size - early.size) / (last.sessions - early.sessions)
    promised = foretold(world).bytes
    line = (
        f"{days} virtual days, a check each {every}: {early.memory} -> {last.memory} bytes held, "
        f"{last.threads} threads, {last.descriptors} files, {each:.0f} bytes a session, foretold {promised}"
    )
    if reporter is not None:
        reporter.write_line(line)
    assert {one.threads for one in counted} == {early.threads}
    assert max(one.descriptors for one in counted[1:]) <= early.descriptors + 1
    assert last.memory <= early.memory * 1.5 + 50_000, [one.memory for one in counted]
    assert abs(each / promised - 1) < 0.15, line
