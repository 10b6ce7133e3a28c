"""Every scenario of the command with several seeds, and the days whose whole point is that they go on for long."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runbook.rehearsal.scenarios import SCENARIOS
from tests.scenarios.played import ROOT

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

SEEDS = (7, 1009, 65537)


def rehearse(name: str, seed: int, folder: Path) -> tuple[str, int, int, str]:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "runbook",
        "rehearse",
        name,
        "--seed",
        str(seed),
        "--keep",
        str(folder),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return name, seed, done.returncode, done.stdout[-2500:] + done.stderr[-2500:]


def test_every_scenario_passes_with_every_seed(tmp_path: Path):
    wanted = [(name, seed, tmp_path / f"{name}-{seed}") for name in SCENARIOS for seed in SEEDS]
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(lambda one: rehearse(*one), wanted))
    failed = [f"{name} with seed {seed}: exit {code}\n{said}" for name, seed, code, said in ended if code]
    assert not failed, "\n\n".join(failed)
    assert len(ended) == len(SCENARIOS) * len(SEEDS) >= 12


RESETS = 50


def test_fifty_lost_connections_leave_threads_and_descriptors_as_they_were(tmp_path: Path):
    """In a process of its own, so that nothing else opens or closes anything; `reconnects.py` prints what it counted."""
    command = [sys.executable, "-W", "error", "-m", "tests.soak.reconnects", str(tmp_path / "site"), str(RESETS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    counted = [tuple(map(int, line.split()[1:])) for line in done.stdout.splitlines() if line.startswith("counted ")]
    assert len(counted) == RESETS
    settled, last = counted[4:10], counted[-6:]
    for what, column in (("threads", 0), ("descriptors", 1)):
        most = max(one[column] for one in settled)
        assert max(one[column] for one in last) <= most + 1, f"{what}: {[one[column] for one in counted]}"
    assert counted[-1][2] >= RESETS, "the feed did connect anew each time"
