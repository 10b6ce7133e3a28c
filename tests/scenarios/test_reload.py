"""A live daemon as those see it who watch it: systemd, the outside, and whoever gives it another configuration."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook import app
from runbook.alert import Alert, AlertState
from runbook.run import State
from runbook.simulator import Simulator
from tests.manager import Manager
from tests.outside import CHECK, Server
from tests.scenarios.serving import Serving, Site, wait_until

MOVED = 'jobs: [{name: report_day, at: ["close+45m"]}]\n'


@dataclass
class Desk:
    """A live daemon, who it answers to, and who listens from outside."""

    site: Site
    serving: Serving
    outside: Server
    words: list[str]  # what systemd hears


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A daemon whose session opens in an hour or two."""
    with Simulator(seed=6, mode="analyze") as sim:
        outside, manager = Server(), Manager(str(tmp_path / "notify"))
        watched = f"watch: {{ping: '{outside.url}', milestones: '{outside.url}-day'}}\n"
        site = Site(
            tmp_path / "desk", sim, opens=14, extra=watched, environment=manager.environment | {"WATCHDOG_PID": ""}
        )
        serving = site.serve()
        try:
            yield Desk(site, serving.ready(), outside, manager.listen())
        finally:
            serving.kill()
            site.phone.stop()
            outside.stop()
            manager.socket.close()


def in_force(site: Site) -> str:
    """The configuration that the file of a daemon just started says."""
    return app.load_config(site.folder, {}).hash


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


def config_alerts(site: Site) -> list[Alert]:
    return [alert for alert in site.facts().alerts if alert.rule == "config.refused"]


def slots(site: Site) -> list[tuple[str, str]]:
    return sorted((e.key.slot, e.state) for e in site.facts().entries if e.key.job == "report_day")


def test_a_reload_moves_a_job_and_a_bad_file_changes_nothing_and_is_told(desk: Desk):
    site, serving = desk.site, desk.serving
    words = desk.words
    wait_until("systemd is told", lambda: "READY=1\nSTATUS=started" in words)
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
    assert "[INFO] the plan has changed" in serving.said()

    write(site, good + MOVED + "tyop: 1\n")
    os.kill(serving.pid, signal.SIGHUP)
    wait_until("the fault is an alert", lambda: config_alerts(site))  # told when its quiet hours allow
    assert "tyop" in config_alerts(site)[0].what
    assert site.state()["config"] == second

    write(site, good.replace("mode: analyzer", "mode: live") + MOVED)
    os.kill(serving.pid, signal.SIGHUP)
    wait_until("it is refused", lambda: "the old configuration stays: restart needed for: mode" in serving.said())
    assert site.state()["config"] == second

    write(site, good)
    done = site.run("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"reloaded: config {second} -> {first}\n"
    wait_until("it is over", lambda: config_alerts(site)[0].state is AlertState.RESOLVED)
    assert slots(site) == [("close+30m", State.PLANNED), ("close+45m", State.CANCELLED)]
    assert serving.process.poll() is None
    assert sum(word.startswith("RELOADING=1") for word in words) == 4
    assert words.count(f"READY=1\nSTATUS=reloaded: config {second} -> {first}") == 1
    wait_until("the engine of now feeds the watchdog", lambda: words[-1].startswith("WATCHDOG=1"), 10)
    assert serving.end(signal.SIGTERM)[0] == 0
    assert words[-1] == "STOPPING=1"
    pings = [path for path, _ in desk.outside.got if path == f"/{CHECK}"]
    assert pings, "the outside has heard of it"
    assert "secretsecret" not in serving.said() + str(site.state())
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
