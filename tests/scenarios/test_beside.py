"""Beside a daemon that watches: the doctor believes it, the screen shows its pulse, and neither takes anything from it."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook import app
from runbook.clock import SystemClock
from runbook.pulse import heard
from runbook.simulator import Simulator
from tests.scenarios.serving import TOKEN, Serving, Site, answer, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, as the daemon's tests do")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A daemon in mid-session, with the bot's tick file beside it."""
    folder = tmp_path_factory.mktemp("beside")
    with Simulator(seed=11, mode="analyze") as sim:
        site = Site(folder / "desk", sim)
        text = (site.folder / "config.yaml").read_text()
        (site.folder / "config.yaml").write_text(text.replace("{trades: trades.csv}", "{ticks: ticks.csv}"))
        (site.folder / "ticks.csv").write_text("at,ltp\n")
        made = site.serve()
        try:
            made.ready()
            made.feed("LIVE")
            yield made
        finally:
            made.kill()
            site.phone.stop()


def test_the_doctor_believes_the_daemon_and_opens_no_second_stream(serving: Serving):
    site = serving.site
    calls = len(site.sim.calls)
    done = site.run("doctor", "--json")
    hops = {hop["hop"]: hop for hop in answer(done)["hops"]}
    assert done.returncode == 0, done.stdout
    assert [hops[name]["health"] for name in ("H0", "H1", "H2", "H3", "H4", "H5")] == ["ok"] * 6, done.stdout
    assert f"(pid {serving.pid}) watches the feed" in hops["H0"]["evidence"]
    assert "(the daemon's)" in hops["H3"]["evidence"]
    asked = [call.path for call in site.sim.calls[calls:]]
    assert "authenticate" not in asked
    assert hops["H6"]["health"] == "ok", "the daemon saw its file, fresh as it is"


def test_a_probe_opens_one_on_wish_and_leaves_the_daemons_alone(serving: Serving):
    site = serving.site
    calls, before = len(site.sim.calls), site.sim.stream_clients
    done = site.run("doctor", "--json", "--probe")
    assert done.returncode == 0, done.stdout
    hops = {hop["hop"]: hop for hop in answer(done)["hops"]}
    assert "pings answered" in hops["H1"]["evidence"]
    asked = [call.path for call in site.sim.calls[calls:]]
    assert asked.count("authenticate") == asked.count("subscribe") == 1
    assert "unsubscribe" not in asked
    wait_until("only the daemon is left", lambda: site.sim.stream_clients == before)


def test_the_pulse_is_a_second_old_at_most_and_holds_no_secret(serving: Serving):
    site = serving.site
    file = app.pulse_file(site.config)
    pulse = heard(file.read(), SystemClock().now())
    assert pulse is not None
    assert pulse.age < 5
    assert pulse.feed["mode"] == "LIVE"
    assert pulse.feed["rate"] > 0.5
    assert set(pulse.symbols) >= {"NIFTY"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    text = file.path.read_text()
    assert site.sim.api_key not in text
    assert TOKEN not in text


def test_what_the_daemon_knows_of_the_bot_stands_in_status(serving: Serving):
    wait_until("the lease says it", lambda: "bot" in serving.site.state())
    told = json.loads(serving.site.run("status", "--json").stdout)
    assert told["daemon"]["said"]["bot"]["health"] == "ok"
    assert "\nbot    " in serving.site.run("status").stdout


def test_one_view_of_the_feed_for_who_does_not_wait(serving: Serving):
    done = serving.site.run("feed", "watch", "--once")
    assert done.returncode == 0, done.stdout
    assert "LIVE" in done.stdout
    assert "NIFTY " in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_view_goes_on_until_it_is_told_to_stop(serving: Serving, tmp_path: Path):
    import signal
    import subprocess

    from tests.scenarios.serving import clean

    shown = tmp_path / "shown"
    command = [sys.executable, "-m", "runbook", "--site", str(serving.site.folder), "feed", "watch"]
    with shown.open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, env=clean())
    try:
        wait_until("three views", lambda: shown.read_text().count("LIVE") >= 3)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=10)
    finally:
        child.kill()
        child.wait()
    assert (child.returncode, said) == (0, b"")


def test_after_a_kill_the_view_says_that_nobody_watches(serving: Serving):
    """The last of this file: it kills the daemon."""
    site = serving.site
    serving.kill()
    done = site.run("feed", "watch", "--once")
    assert done.returncode == 3
    assert "no daemon" in done.stdout
    assert "LIVE" not in done.stdout, "an old word is no news"
    told = answer(site.run("doctor", "--json"))
    assert told["first_broken"] == "H0"
    assert "ended without a goodbye" in told["headline"]
