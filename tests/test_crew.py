"""The crew: work is begun at once, whatever else hangs, and a thread serves more than once."""

from __future__ import annotations

import logging
import threading

import pytest

from runbook.engine.crew import Crew

PATIENCE = 10.0


class _Seen:
    """A piece of work that says who did it, and may be held."""

    def __init__(self, hold: threading.Event | None = None) -> None:
        self.by = 0
        self.name = ""
        self.done = threading.Event()
        self._hold = hold

    def __call__(self) -> None:
        self.by, self.name = threading.get_ident(), threading.current_thread().name
        if self._hold is not None:
            self._hold.wait(PATIENCE)
        self.done.set()


def _free(crew: Crew, number: int) -> None:
    """Wait until so many threads have nothing to do."""
    tick, left = threading.Event(), 1000
    while len(crew._free) != number and left:
        tick.wait(0.01)
        left -= 1
    assert len(crew._free) == number


def test_a_thread_that_has_ended_its_work_does_the_next():
    crew, first, second = Crew(), _Seen(), _Seen()
    crew.do(first, "first")
    _free(crew, 1)
    crew.do(second, "second")
    assert second.done.wait(PATIENCE)
    assert first.by == second.by
    assert (first.name, second.name) == ("first", "second")


def test_work_that_hangs_keeps_nobody_waiting():
    crew, hold = Crew(), threading.Event()
    hanging, others = [_Seen(hold) for _ in range(5)], [_Seen() for _ in range(5)]
    for work in (*hanging, *others):
        crew.do(work, "work")
    assert all(work.done.wait(PATIENCE) for work in others)
    assert not any(work.done.is_set() for work in hanging)
    hold.set()
    assert all(work.done.wait(PATIENCE) for work in hanging)


def test_a_thread_with_nothing_to_do_ends_after_a_while():
    crew, work = Crew(idle=0.05), _Seen()
    crew.do(work, "a name of its own")
    assert work.done.wait(PATIENCE)
    _free(crew, 1)
    _free(crew, 0)


def test_work_that_raises_is_in_the_log_and_its_thread_goes_on(caplog: pytest.LogCaptureFixture):
    crew, next_ = Crew(), _Seen()

    def fails() -> None:
        raise LookupError("not there")

    with caplog.at_level(logging.ERROR):
        crew.do(fails, "the failing one")
        _free(crew, 1)
    assert "the failing one failed" in caplog.text
    crew.do(next_, "next")
    assert next_.done.wait(PATIENCE)
