"""The ladder of hops as a value."""

from __future__ import annotations

from runbook.feed.verdict import Health, Hop, Rung, ladder


def _all(health: Health = Health.OK) -> list[Rung]:
    return [Rung(hop, health, "seen") for hop in Hop]


def test_the_first_broken_hop_is_the_one_nearest_to_runbook() -> None:
    rungs = _all()
    rungs[5] = Rung(Hop.EXCHANGE, Health.BROKEN, "candles stopped at 10:06")
    rungs[3] = Rung(Hop.BROKER_STREAM, Health.BROKEN, "no tick for 9 s", "log in")
    verdict = ladder(rungs)
    assert verdict.first_broken is rungs[3]
    assert verdict.headline == "H3 the broker's ticks: no tick for 9 s"
    assert not verdict.healthy


def test_hops_nobody_looked_at_are_unknown_and_never_healthy() -> None:
    verdict = ladder([Rung(Hop.RUNBOOK, Health.OK, "pulse 3 s ago")])
    assert [rung.health for rung in verdict.rungs] == [Health.OK] + [Health.UNKNOWN] * 6
    assert not verdict.healthy
    assert "H1 OpenAlgo's stream server is unknown" in verdict.headline


def test_a_bot_that_nobody_can_see_does_not_spoil_a_healthy_feed() -> None:
    verdict = ladder(rung for rung in _all() if rung.hop is not Hop.BOT)
    assert verdict.healthy
    assert verdict.of(Hop.BOT).health is Health.UNKNOWN


def test_a_feed_of_which_nothing_is_due_is_healthy() -> None:
    rungs = _all()
    rungs[3] = Rung(Hop.BROKER_STREAM, Health.NOT_DUE, "pre-open")
    assert ladder(rungs).healthy
