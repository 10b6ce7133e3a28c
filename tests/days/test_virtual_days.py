"""Days of chance through the real engine: each seed a day, each event followed by a look at every promise of the ledger.

Nothing here waits: a day is as long as its events. What breaks says with which command it is played again.
"""

from __future__ import annotations

import gc
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from runbook.clock import host_monotonic
from tests.days.month import foretold, play_month
from tests.days.script import Script
from tests.days.world import World

ROOT = Path(__file__).resolve().parents[2]
FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # no power is cut here, so the file may lie in memory
# An event is a turn of the engine, some twenty statements. So `make test` plays mostly the densest hours of a day.
FEW = {"hours": 190, "day": 10}
FIRST = 10  # seed 7 has a check each 30 s, which takes as long as ten other days
BLOCKS = 5
MANY = {"hours": 800, "day": 200}
AT_A_TIME, BLOCK = 2, 40

Figure = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def _in_silence() -> Iterator[None]:
    """Thousands of faults are played; their warnings are not for this run's output."""
    logging.disable(logging.CRITICAL)
    gc.freeze()  # what the other tests of this worker hold is not looked through again and again
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("part", list(FEW))
def test_days_of_chance_break_no_promise(part: str, block: int, record_property: Figure):
    begun, events, seeds = host_monotonic(), 0, range(FIRST + block, FIRST + FEW[part], BLOCKS)
    with TemporaryDirectory(dir=FAST) as folder:
        for seed in seeds:
            world = World(Script(seed, part=part), Path(folder))
            try:
                events += world.play().events
            finally:
                world.end()
            for file in Path(folder).iterdir():
                file.unlink()
    record_property("figure", _figure(len(seeds), part, events, host_monotonic() - begun))


def _figure(days: int, part: str, events: int, took: float) -> str:
    return f"{days} virtual days ({part}), {events} events, {took:.1f} s, {days / took:.1f} days/s"


def _played(first: int, days: int, part: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.days", str(first), "--days", str(days), "--part", part]
    env = os.environ | more | ({"TMPDIR": str(FAST)} if FAST else {})
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1500, check=False)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("part", list(MANY))
def test_a_thousand_days_break_no_promise(part: str, record_property: Figure):
    begun, days = host_monotonic(), MANY[part]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        blocks = list(pool.map(lambda first: _played(first, BLOCK, part), range(10_000, 10_000 + days, BLOCK)))
    said = "\n".join(one.stdout + one.stderr for one in blocks if one.returncode)
    assert not said, said
    events = sum(int(found) for one in blocks for found in re.findall(r"(\d+) events", one.stdout))
    record_property("figure", _figure(days, part, events, host_monotonic() - begun))


def test_a_seed_is_the_same_day_again():
    """Also in another process, whose sets and dicts of texts have another order."""
    said = [_played(3, 1, "hours", PYTHONHASHSEED=salt) for salt in ("1", "2")]
    assert [one.returncode for one in said] == [0, 0], said[0].stderr
    first, second = (one.stdout.splitlines() for one in said)
    assert first == second
    assert len(first) > 100


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("days", "every"), [(30, "5m"), (5, "1m")])
def test_a_month_leaves_memory_threads_and_files_as_they_were_and_a_database_as_large_as_foretold(
    days: int, every: str, record_property: Figure
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
    record_property("figure", line)
    assert {one.threads for one in counted} == {early.threads}
    assert max(one.descriptors for one in counted[1:]) <= early.descriptors + 1
    assert last.memory <= early.memory * 1.5 + 50_000, [one.memory for one in counted]
    assert abs(each / promised - 1) < 0.15, line
