"""A drill on a live daemon: told on the phone as what it is, and no trace of an outage afterwards."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runbook.simulator import Simulator
from tests.scenarios.serving import QUICK_FEED, Site, wait_until


@pytest.mark.soak
def test_a_drill_reaches_the_phone_and_leaves_the_feed_as_it_was(tmp_path: Path):
    with Simulator(seed=9, mode="analyze") as sim:
        site = Site(tmp_path / "desk", sim, extra=QUICK_FEED)
        serving = site.serve()
        try:
            serving.ready().feed("LIVE")
            begun = site.run("drill", "feed", "--within", "40s")
            assert begun.returncode == 0, begun.stdout + begun.stderr
            again = site.run("drill", "feed")
            assert (again.returncode, again.stdout.splitlines()[0]) == (1, "refused: a drill is on already")
            wait_until("it is told", lambda: site.heard("[DRILL] [WARN] feed on REST"), 40)
            wait_until("its end is told", lambda: site.heard("[DRILL] [OK] feed back on the stream"), 60)
            assert {t for t in site.titles if "feed" in t and not t.startswith("[DRILL]")} <= {"READY for the feed"}
            assert "nobody acknowledged it within 40 s" in next(
                one.body for one in site.phone.received if one.title.startswith("[DRILL] [OK]")
            ).replace("\n  ", " ")
            modes = [str(change.now) for change in site.facts().changes]
            assert modes[-1] == "LIVE"
            assert "FALLBACK" not in modes
            assert serving.end(signal.SIGTERM)[0] == 0
        finally:
            serving.kill()
            site.phone.stop()
