"""The sweeper: an engine that turns no more is told of and ended, and nothing else is taken for one."""

from __future__ import annotations

import threading

import pytest

from runbook.clock import host_monotonic
from runbook.sweeper import EXIT_CODE, Sweeper
from tests.engine_world import World, job
from tests.engine_world import make as make_world
from tests.fakes import until

__all__ = ["make_world"]


class Ends:
    """What a sweeper did, in order."""

    def __init__(self) -> None:
        self.did: list[object] = []

    def tell(self, why: str) -> None:
        self.did.append(why)

    def end(self, code: int) -> None:
        self.did.append(code)


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_an_engine_that_hangs_in_its_turn_is_told_of_first_and_then_all_ends(make_world, ends):
    gate = threading.Event()
    w: World = make_world(job("mine", "open"))
    w.start()
    sweeper = Sweeper(lambda: w.engine.turned, ends.tell, lambda: True, ends.end, limit=0.3, every=0.05)
    sweeper.start()
    w.turn()
    assert ends.did == []
    w.on_run = lambda _: gate.wait(30)
    w.clock.jump_to(w.clock.now().replace(hour=3, minute=45))  # 09:15 in India
    until(lambda: len(ends.did) == 2, "nobody noticed")
    assert "the engine has not turned for" in str(ends.did[0])
    assert ends.did[1] == EXIT_CODE
    gate.set()
    sweeper.stop()


def test_while_the_engine_turns_nothing_happens(ends):
    looks = []

    def turned() -> float:
        looks.append(1)
        return host_monotonic()

    sweeper = Sweeper(turned, ends.tell, lambda: True, ends.end, limit=0.05, every=0.01)
    sweeper.start()
    until(lambda: len(looks) > 20, "it does not look")
    sweeper.stop()
    assert ends.did == []


def test_an_end_comes_although_nobody_can_be_told(ends):
    gate = threading.Event()

    def hangs(_why: str) -> None:
        gate.wait(30)

    sweeper = Sweeper(lambda: 0.0, hangs, lambda: False, ends.end, limit=0.1, every=0.02, patience=0.1)
    sweeper.start()
    until(lambda: ends.did, "it hangs with the rest")
    assert ends.did == [EXIT_CODE]
    gate.set()


def test_an_end_comes_although_telling_fails(ends):
    def fails(_why: str) -> None:
        raise OSError("no disk")

    sweeper = Sweeper(lambda: 0.0, fails, lambda: True, ends.end, limit=0.1, every=0.02)
    sweeper.start()
    until(lambda: ends.did == [EXIT_CODE], "it fails with the rest")


def test_it_waits_for_the_message_to_be_out(ends):
    out = threading.Event()
    sweeper = Sweeper(lambda: 0.0, ends.tell, out.is_set, ends.end, limit=0.1, every=0.02)
    sweeper.start()
    until(lambda: len(ends.did) == 1, "nothing is told")
    assert ends.did[-1] != EXIT_CODE
    out.set()
    until(lambda: ends.did[-1] == EXIT_CODE, "it does not end")


def test_a_process_that_stood_still_is_no_engine_that_hangs(ends, monkeypatch):
    """As after a stopped process or a host that slept: the sweeper's own looks were late too."""
    skipped = [0.0]
    monkeypatch.setattr("runbook.sweeper.host_monotonic", lambda: host_monotonic() + skipped[0])
    turned, looks = host_monotonic(), []

    def asked() -> float:
        looks.append(1)
        return turned

    sweeper = Sweeper(asked, ends.tell, lambda: True, ends.end, limit=100.0, every=0.01)
    sweeper.start()
    until(lambda: looks, "it does not look")
    skipped[0] = 300.0
    seen = len(looks)
    until(lambda: len(looks) > seen + 10, "it does not look on")
    assert ends.did == []
    sweeper.stop()
