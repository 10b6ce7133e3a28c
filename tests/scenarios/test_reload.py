"""A live daemon is given another configuration: by a signal and by the command, good, bad, and at the wrong time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook import app
from runbook.run import State
from runbook.simulator import Simulator
from tests.scenarios.serving import Serving, Site, wait_until

MOVED = 'jobs: [{name: report_day, at: ["close+45m"]}]\n'


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[tuple[Site, Serving]]:
    """A daemon whose session opens in an hour or two."""
    with Simulator(seed=6, mode="analyze") as sim:
        site = Site(tmp_path / "desk", sim, opens=14)
        serving = site.serve()
        try:
            yield site, serving.ready()
        finally:
            serving.kill()
            site.phone.stop()


def in_force(site: Site) -> str:
    """The configuration that the daemon says it runs by."""
    wait_until("the daemon says which", lambda: "config" in site.state())
    return str(site.state()["config"])


def write(site: Site, text: str) -> None:
    draft = site.folder / "config.new"
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(site.folder / "config.yaml")


def hashes(site: Site) -> dict[str, set[str]]:
    """The configurations of today's occurrences that are still planned, by job."""
    store = app.open_store(site.config)
    try:
        with store._engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT job, config_hash FROM occurrence WHERE session = ? AND state = 'planned'", (str(site.today),)
            ).all()
            kept = {r[0] for r in connection.exec_driver_sql("SELECT hash FROM config_version")}
    finally:
        store.close()
    found: dict[str, set[str]] = {"kept": kept}
    for job, held in rows:
        found.setdefault(job, set()).add(held)
    return found


def slots(site: Site) -> list[tuple[str, str]]:
    return sorted((e.key.slot, e.state) for e in site.facts().entries if e.key.job == "report_day")


def test_a_reload_moves_a_job_and_a_bad_file_changes_nothing_and_is_told(desk: tuple[Site, Serving]):
    site, serving = desk
    good = (site.folder / "config.yaml").read_text(encoding="utf-8")
    first = in_force(site)
    assert slots(site) == [("close+30m", State.PLANNED)]
    before = len(site.facts().entries)

    write(site, good + MOVED)
    os.kill(serving.pid, signal.SIGHUP)
    wait_until("the job has moved", lambda: ("close+45m", State.PLANNED) in slots(site))
    second = site.state()["config"]
    assert second != first
    assert slots(site) == [("close+30m", State.CANCELLED), ("close+45m", State.PLANNED)]
    assert len(site.facts().entries) == before + 1, "none is lost, none is doubled"
    held = hashes(site)
    assert held.pop("kept") == {first, second}
    assert all(found == {second} for found in held.values()), held
    wait_until("the plan's change is told", lambda: site.heard("[INFO] the plan has changed"))

    write(site, good + MOVED + "tyop: 1\n")
    os.kill(serving.pid, signal.SIGHUP)
    wait_until("the fault is told", lambda: site.heard("[WARN] config.yaml is not in force"))
    assert "tyop" in next(one.body for one in site.phone.received if "not in force" in one.title)
    assert site.state()["config"] == second

    write(site, good.replace("mode: analyzer", "mode: live") + MOVED)
    os.kill(serving.pid, signal.SIGHUP)
    wait_until("it is refused", lambda: "the old configuration stays: restart needed for: mode" in serving.said())
    assert site.state()["config"] == second

    write(site, good)
    done = site.run("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"reloaded: config {second} -> {first}\n"
    wait_until("it is over", lambda: site.heard("[OK] config.yaml is in force"))
    assert slots(site) == [("close+30m", State.PLANNED), ("close+45m", State.CANCELLED)]
    wait_until("all is told", lambda: all(row.final for row in site.facts().messages))
    shown = site.run("status")
    assert shown.returncode == 0, shown.stdout
    assert serving.process.poll() is None
    assert serving.end(signal.SIGTERM)[0] == 0
    assert "Traceback" not in serving.said()


def test_a_reload_without_a_daemon_says_so_and_a_bad_file_is_refused_at_once(tmp_path: Path):
    with Simulator(seed=8, mode="analyze") as sim:
        site = Site(tmp_path / "desk", sim)
        try:
            done = site.run("reload")
            write(site, (site.folder / "config.yaml").read_text(encoding="utf-8") + "tyop: 1\n")
            bad = site.run("reload")
        finally:
            site.phone.stop()
    assert done.returncode == 3
    assert "no daemon runs" in done.stderr
    assert bad.returncode == 2
    assert "tyop" in bad.stderr
