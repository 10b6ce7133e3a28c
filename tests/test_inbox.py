"""The inbox: in order, by one thread at a time, and the owner comes first."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runbook.monitor.inbox import Inbox


class Taker:
    """Notes what it takes, and on which thread; `within` is done in the middle of one."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, str]] = []
        self.within: dict[int, Callable[[], object]] = {}
        self.inbox = Inbox[int](self.take)

    def take(self, item: int) -> None:
        self.within.pop(item, lambda: None)()
        self.taken.append((item, threading.current_thread().name))

    def items(self) -> list[int]:
        return [item for item, _ in self.taken]


def elsewhere(do: Callable[[], object], name: str = "reader") -> None:
    one = threading.Thread(target=do, name=name)
    one.start()
    one.join(10.0)
    assert not one.is_alive(), f"{name} waits"


def test_what_is_put_waits_for_the_owner_and_what_is_brought_is_taken_by_who_brings_it_after_what_waited():
    taker = Taker()
    taker.inbox.put(1)
    assert taker.taken == []
    elsewhere(lambda: taker.inbox.bring(2))
    assert taker.taken == [(1, "reader"), (2, "reader")]
    taker.inbox.put(3)
    taker.inbox.take()
    assert taker.taken[2] == (3, threading.current_thread().name)


def test_what_is_brought_during_a_turn_is_left_to_the_owner_who_is_woken_for_it():
    taker = Taker()
    with taker.inbox.turn():
        elsewhere(lambda: taker.inbox.bring(1))
    assert taker.taken == []
    taker.inbox.wait(600.0)  # returns at once
    taker.inbox.take()
    assert taker.items() == [1]


def test_what_two_bring_at_once_is_taken_by_one_at_a_time_and_all_of_it():
    taker = Taker()
    taker.within[1] = lambda: elsewhere(lambda: taker.inbox.bring(2), "other")
    elsewhere(lambda: taker.inbox.bring(1))
    assert taker.items() == [1]
    taker.inbox.wait(600.0)
    taker.inbox.take()
    assert taker.items() == [1, 2]


def test_an_owner_who_waits_for_his_turn_has_it_before_more_is_brought(monkeypatch: pytest.MonkeyPatch):
    class Late:
        """A lock whose owner is held up for a moment before he has it."""

        def __init__(self, lock: threading.Lock) -> None:
            self.acquire, self.release = lock.acquire, lock.release

        def __enter__(self) -> None:
            elsewhere(lambda: taker.inbox.bring(2), "other")
            self.acquire()

        def __exit__(self, *_: object) -> None:
            self.release()

    taker = Taker()
    taker.inbox.put(1)
    monkeypatch.setattr(taker.inbox, "_turn", Late(threading.Lock()))
    taker.inbox.take()
    here = threading.current_thread().name
    assert taker.taken == [(1, here), (2, here)]
    elsewhere(lambda: taker.inbox.bring(3))
    assert taker.taken[2:] == [(3, "reader")]


def test_a_turn_takes_what_waited_when_it_began_so_that_a_flood_holds_nobody_up():
    taker = Taker()
    taker.within[1] = lambda: taker.inbox.put(2)
    taker.inbox.put(1)
    taker.inbox.take()
    assert taker.items() == [1]
    taker.inbox.take()
    assert taker.items() == [1, 2]


def test_a_fault_on_a_readers_thread_is_the_owners_and_nothing_more_is_taken():
    def fail() -> None:
        raise ValueError("no such state")

    taker = Taker()
    taker.within[1] = fail
    elsewhere(lambda: taker.inbox.bring(1))
    elsewhere(lambda: taker.inbox.bring(2))
    taker.inbox.wait(600.0)
    with pytest.raises(ValueError, match="no such state"):
        taker.inbox.take()
    assert taker.taken == []


def test_after_the_close_what_comes_is_passed_over():
    taker = Taker()
    taker.inbox.put(1)
    with taker.inbox.turn():
        taker.inbox.close()
    elsewhere(lambda: taker.inbox.bring(2))
    taker.inbox.take()
    assert taker.taken == []
