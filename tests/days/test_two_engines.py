"""Two processes on one ledger: the second is refused, and one that stood still too long does nothing any more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runbook.engine import Engine
from runbook.engine.loop import _Done
from runbook.errors import AlreadyRunning
from runbook.run import State
from runbook.teller import Teller
from tests.days.script import Script
from tests.days.world import VirtualStore, World, dump


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    logging.disable(logging.CRITICAL)
    made = World(Script(0), tmp_path)
    made.boot()
    yield made
    made.end()
    logging.disable(logging.NOTSET)


def second(world: World) -> Engine:
    """Another process on the same file."""
    assert world.engine is not None
    store = VirtualStore(world.store.path, lambda _point: None)
    teller = Teller(store, world, world.script.channels, world.clock)
    return Engine(replace(world.engine._p, holder="desk:other", pid=813, store=store, teller=teller))


def in_a_step(world: World) -> Engine:
    """The engine of `world`, a step of which is under way."""
    assert world.engine is not None
    while not world.engine._running:
        world._run(world.clock.seconds + 0.05)
    return world.engine


def test_a_second_process_is_refused_by_name_while_the_first_holds_the_lease(world: World):
    in_a_step(world)
    before = dump(world.store.path)
    with pytest.raises(AlreadyRunning, match=f"pid {world.epochs} on desk"):
        second(world).take_over()
    assert dump(world.store.path) == before


def test_a_process_that_stood_still_while_another_took_over_changes_nothing_any_more(world: World):
    first = in_a_step(world)
    (held,) = first._running.values()
    world.suspend(600)
    other = second(world)
    other.take_over()
    other.turn()
    assert other.lost is None
    before = dump(world.store.path)
    first._inbox.put(_Done(held.job, held.attempt, None, world.clock.now()))  # its thread was woken with the rest
    first.turn()
    assert first.fenced
    assert "another" in (first.lost or "")
    assert world.teller is not None
    for channel in world.script.channels:
        world.teller.step(channel)
    assert dump(world.store.path) == before
    first.stop()
    assert dump(world.store.path) == before
    with world.store.read() as books:
        entry = books.ledger.entry(held.attempt.occurrence.key)
    assert entry is not None
    assert entry.tries[0].outcome is State.ABANDONED
