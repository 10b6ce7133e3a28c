"""A reload in the middle of a session: refused, then meant; the feed is not touched by either."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runbook.run import State
from runbook.simulator import Simulator
from tests.scenarios.serving import Site
from tests.scenarios.test_reload import MOVED, in_force, slots, write


@pytest.mark.soak
def test_within_a_session_a_reload_waits_to_be_told_that_it_is_meant(tmp_path: Path):
    with Simulator(seed=7, mode="analyze") as sim:
        site = Site(tmp_path / "desk", sim)
        serving = site.serve()
        try:
            serving.ready().feed("LIVE")
            first = in_force(site)
            good = (site.folder / "config.yaml").read_text(encoding="utf-8")
            write(site, good + MOVED)
            refused = site.run("reload")
            assert refused.returncode == 1
            assert "not between 10:50 and 16:00" in refused.stdout
            assert "`runbook reload --now`" in refused.stdout
            assert site.state()["config"] == first
            done = site.run("reload", "--now")
            assert done.returncode == 0, done.stdout + done.stderr
            assert ("close+45m", State.PLANNED) in slots(site)
            modes = [str(change.now) for change in site.facts().changes]
            assert modes[-1] == "LIVE", "the feed was not touched"
            started = [e for e in site.facts().entries if e.key.job == "start_feed"]
            assert [len(e.tries) for e in started] == [1], "nothing that lives on is started again"
            assert serving.end(signal.SIGTERM)[0] == 0
        finally:
            serving.kill()
            site.phone.stop()
