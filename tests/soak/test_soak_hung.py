"""`runbook serve` in which steps hang: the process says so and ends with 70, and no child of a command outlives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runbook.run import State
from runbook.simulator import Simulator
from runbook.sweeper import EXIT_CODE
from tests.scenarios.serving import Site, wait_until
from tests.scenarios.test_serve import alive

HUNG = """\
commands: {linger: {argv: [sleep, "600"], timeout: 600s}}
jobs:
  - {name: lingers, kind: command, command: linger, at: [open], timeout: 600s, if_late: run}
  - {name: hangs1, run: "jobs.hangs:step", at: [open], timeout: 1s}
  - {name: hangs2, run: "jobs.hangs:step", at: [open], timeout: 1s}
  - {name: hangs3, run: "jobs.hangs:step", at: [open], timeout: 1s}
"""


@pytest.mark.soak
def test_three_steps_that_hang_end_the_process_with_70_after_it_was_told_and_no_child_is_left(tmp_path: Path):
    with Simulator(seed=6, mode="analyze") as sim:
        site = Site(tmp_path / "hung", sim, extra=HUNG)
        serving = site.serve()
        try:
            serving.ready()
            wait_until("the command runs", lambda: commands(serving.family()))
            (child,) = commands(serving.family())
            wait_until("the end", lambda: serving.process.poll() is not None, 60)
        finally:
            serving.kill()
            site.phone.stop()
    assert serving.process.returncode == EXIT_CODE, serving.said()[-3000:]
    assert not alive(child)
    assert site.heard("[CRIT] runbook ends: steps hang")
    rows = {e.key.job: e.state for e in site.facts().entries}
    assert {rows[f"hangs{n}"] for n in (1, 2, 3)} == {State.TIMED_OUT}
    assert rows["lingers"] is State.ABANDONED
    assert "3 steps hang in threads" in serving.said()


def commands(pids: list[int]) -> list[int]:
    """Those that are our `sleep`."""
    return [pid for pid in pids if words(pid) == ["sleep", "600"]]


def words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").split("\0")[:-1]
    except OSError:
        return []
