"""`runbook serve` as a process in which something hangs, or acts: what ends it, what is told, and that no child outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.remedy import Checked
from runbook.run import State
from runbook.simulator import Simulator
from runbook.sweeper import EXIT_CODE
from tests.adapters.test_commands import script
from tests.scenarios.serving import Site, answer, clean, wait_until
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


SWEPT = """\
import sys, threading
from pathlib import Path
from runbook import app
from runbook.app.daemon import Hooks
from runbook.sweeper import Sweeper

daemon = app.Daemon(app.load_config(Path(sys.argv[1]), {}), Hooks(on_run=lambda _done: threading.Event().wait()))
daemon.start()
Sweeper(lambda: daemon.engine.turned, daemon._last_word, daemon._all_told, daemon._end, limit=4.0, every=0.2).start()
threading.Event().wait()
"""


@pytest.mark.soak
def test_an_engine_that_hangs_in_its_turn_is_told_of_and_its_process_ends_with_70(tmp_path: Path):
    """The same sweeper as in `serve`, with less patience; what hangs is what the engine calls after each run."""
    with Simulator(seed=7, mode="analyze") as sim:
        site = Site(tmp_path / "swept", sim)
        words = [sys.executable, "-W", "error", "-c", SWEPT, str(site.folder)]
        child = subprocess.Popen(words, env=clean(), stderr=subprocess.PIPE, text=True)
        try:
            _, said = child.communicate(timeout=90)
        finally:
            child.kill()
            site.phone.stop()
    assert child.returncode == EXIT_CODE, said[-3000:]
    assert site.heard("[CRIT] runbook hangs and is started again")


ACTING = """\
commands: {restart_openalgo: {argv: [systemctl, restart, openalgo]}}
remedies: [{alert: feed.blind, command: restart_openalgo, verify: verify_broker, min_gap: 1s, budget: 2, within: 30s}]
"""


@pytest.mark.soak
def test_a_remedy_by_hand_goes_through_the_live_daemon_and_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bin").mkdir()
    asked = tmp_path / "asked"
    script(tmp_path / "bin", f'echo "$@" >> {asked}', "systemctl")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with Simulator(seed=8, mode="analyze") as sim:
        site = Site(tmp_path / "acting", sim, extra=ACTING)
        serving = site.serve()
        try:
            serving.ready().feed("LIVE")
            shown = answer(site.run("remedy", "run", "restart_openalgo", "--dry-run", "--json"))
            assert shown["allowed"] is True
            assert "restart openalgo" not in asked.read_text()
            done = site.run("remedy", "run", "restart_openalgo", "--reason", "a trial")
            assert (done.returncode, done.stdout.strip()) == (0, "started as action 1: systemctl restart openalgo"), (
                done.stderr
            )
            wait_until("it is verified", lambda: [one.checked for one in site.facts().actions] == [Checked.OK], 40)
            wait_until("it is told", lambda: site.heard("[OK] restart_openalgo helped"))
            status = site.run("status")
            code, took = serving.end(signal.SIGTERM)
        finally:
            serving.kill()
            site.phone.stop()
    assert asked.read_text().splitlines().count("restart openalgo") == 1
    assert "remedy restart_openalgo at" in status.stdout
    assert "verify ok: verify_broker was ok" in " ".join(status.stdout.split())
    (one,) = site.facts().actions
    assert one.by.startswith("cli:")
    assert one.by.endswith("(a trial)")
    assert code == 0
    assert took < 5.0
    report = " ".join(site.run("report").stdout.split())
    assert "restart_openalgo, by hand, by cli:" in report
