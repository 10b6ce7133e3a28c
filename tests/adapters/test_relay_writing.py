"""Prices are written by whoever publishes them, or by the relay's loop: whichever way, each client hears all of them in order."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runbook.adapters.relay import Relay
from runbook.adapters.relay.client import Client
from runbook.clock import host_monotonic
from runbook.feed.price import FeedStatus, Price
from runbook.feed.state import State
from runbook.feed.table import Mode
from runbook.market import Source
from tests.fakes import until
from tests.relay_world import NIFTY, SBIN, Bot, Feed, Patience, RelayWorld, price, relay_world, status

AT_ONCE = Patience(gather=0.0)


@pytest.fixture
def world() -> Iterator[RelayWorld]:
    with relay_world() as made:
        yield made


class Loop:
    """The relay's loop, which the test holds and lets go."""

    def __init__(self, relay: Relay) -> None:
        self._relay, self._go = relay, threading.Event()

    def hold(self) -> None:
        held = threading.Event()
        life = self._relay._life
        assert life is not None

        def stand_still() -> None:
            held.set()
            self._go.wait(10)

        life.loop.call_soon_threadsafe(stand_still)
        assert held.wait(10)

    def let_go(self) -> None:
        self._go.set()


def figures(deaf: socket.socket, heard: bytes, last: float) -> list[float]:
    """The prices in what was heard, and in what comes until `last`."""
    while b'"data": {"ltp": %.1f' % last not in heard:
        more = deaf.recv(65536)
        assert more, "the relay hung up"
        heard += more
    return [float(part.split(b",")[0]) for part in heard.split(b'"data": {"ltp": ')[1:]]


def prices(bot: Bot, count: int) -> list[float]:
    return [bot.tick()["data"]["ltp"] for _ in range(count)]


def test_a_price_is_written_by_who_publishes_it_and_no_other_thread_need_wake(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=AT_ONCE)
    bot = world.bot(NIFTY)
    loop = Loop(relay)
    loop.hold()
    for n in range(3):
        relay.publish([price(ltp=1.0 + n), price(ltp=1.5 + n)])
    assert prices(bot, 6) == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    loop.let_go()


def test_prices_that_follow_one_another_closely_are_gathered_for_one_write(
    world: RelayWorld, monkeypatch: pytest.MonkeyPatch
):
    relay = world.relay_of(Feed(NIFTY), patience=Patience(gather=0.5))
    bot = world.bot(NIFTY)
    writes: list[int] = []
    real = Client.write

    def write(self: Client, frames: Sequence[bytes]) -> bool:
        writes.append(len(frames))
        return real(self, frames)

    monkeypatch.setattr(Client, "write", write)
    relay.publish([price(ltp=1.0)])
    for n in range(5):
        relay.publish([price(ltp=2.0 + n)])
    assert prices(bot, 6) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert writes[-1] >= 5


def test_a_price_does_not_overtake_how_the_feed_stands_while_that_waits_for_the_loop(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=AT_ONCE)
    bot = world.bot(NIFTY)
    loop = Loop(relay)
    loop.hold()
    relay.publish([price(ltp=1.0)])
    relay.publish_status(status(Mode.FALLBACK, Source.REST_POLLING))
    relay.publish([price(ltp=2.0, source=Source.REST_POLLING)])
    loop.let_go()
    frames = [json.loads(bot.connection.recv(timeout=5)) for _ in range(3)]
    assert [f["type"] for f in frames] == ["market_data", "feed_status", "market_data"]


def test_a_price_does_not_overtake_one_that_the_loop_is_about_to_write(
    world: RelayWorld, monkeypatch: pytest.MonkeyPatch
):
    relay = world.relay_of(Feed(NIFTY), patience=AT_ONCE)
    bot = world.bot(NIFTY)
    real = relay._taken

    def taken() -> list[Sequence[Price] | FeedStatus]:
        found = real()
        if found:
            other = threading.Thread(target=lambda: relay.publish([price(ltp=2.0)]))
            other.start()
            other.join(10)
        return found

    monkeypatch.setattr(relay, "_taken", taken)
    relay._note([price(ltp=1.0)])
    assert prices(bot, 2) == [1.0, 2.0]


def test_a_price_does_not_overtake_what_waits_for_a_full_socket(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=replace(AT_ONCE, kernel=4096))
    deaf = world.deaf()
    until(lambda: relay.subscriptions == 1, "it follows")
    life = relay._life
    assert life is not None
    transport = life._clients[0].connection.transport
    sent = 0
    while not transport.get_write_buffer_size():
        sent += 1
        assert sent < 5000
        relay.publish([price(ltp=float(sent))])
        until(lambda: not relay._notes, "the loop has it")
    loop = Loop(relay)
    loop.hold()
    deaf.settimeout(0.5)
    heard = b""
    with contextlib.suppress(TimeoutError):  # all that the kernel had
        while True:
            heard += deaf.recv(65536)
    assert transport.get_write_buffer_size()
    relay.publish([price(ltp=sent + 1.0)])
    loop.let_go()
    deaf.settimeout(5)
    assert figures(deaf, heard, sent + 1) == [1.0 + n for n in range(sent + 1)]


def test_a_price_that_is_newer_than_the_one_in_an_answer_comes_after_it(world: RelayWorld):
    feed = Feed(NIFTY, SBIN)
    relay = world.relay_of(feed, patience=AT_ONCE)
    bot = world.bot(SBIN)
    asked, go = threading.Event(), threading.Event()
    real = relay.house.state

    def slow() -> State | None:
        seen = real()
        asked.set()
        assert go.wait(10)
        return seen

    relay.house.state = slow
    bot.say({"action": "subscribe", "symbols": [{"symbol": "NIFTY", "exchange": "NSE_INDEX"}], "mode": 1})
    assert asked.wait(10)
    relay.publish([price(SBIN, ltp=900.0), price(ltp=2.0)])  # while the answer is being thought of
    go.set()
    said: list[tuple[str, float | None]] = []
    while not said or said[-1] != ("market_data", 2.0):
        frame = json.loads(bot.connection.recv(timeout=5))
        said.append((frame["type"], frame.get("data", {}).get("ltp")))
    assert [kind for kind, _ in said].index("subscribe") < said.index(("market_data", 2.0))
    assert said.index(("market_data", 900.0)) < said.index(("market_data", 2.0))


def test_a_reader_who_pauses_misses_nothing_and_hears_all_of_it_in_order(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=replace(AT_ONCE, kernel=4096))
    deaf = world.deaf()
    until(lambda: relay.subscriptions == 1, "it follows")
    for n in range(1500):  # some two hundred kilobytes: far more than the kernel takes, and less than is too much
        relay.publish([price(ltp=1.0 + n)])
    deaf.settimeout(5)
    assert figures(deaf, b"", 1500.0) == [1.0 + n for n in range(1500)]


def test_one_full_socket_holds_nobody_up_and_the_order_stays_for_all(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=replace(AT_ONCE, kernel=4096))
    world.deaf()
    until(lambda: relay.subscriptions == 1, "it follows")
    bot = world.bot(NIFTY)
    for n in range(300):
        relay.publish([price(ltp=1.0 + n)])
    assert prices(bot, 300) == [1.0 + n for n in range(300)]
    assert relay.clients == 2


@pytest.mark.parametrize("takes", [2, None], ids=["half of it", "nothing"])
def test_a_kernel_that_does_not_take_a_whole_frame_after_all_has_got_the_clients_last(
    world: RelayWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, takes: int | None
):
    relay = world.relay_of(Feed(NIFTY), patience=AT_ONCE)
    deaf = world.deaf()
    until(lambda: relay.subscriptions == 1, "it follows")
    whole = socket.socket.send

    def cut(self: socket.socket, data: bytes) -> int:
        """A kernel without memory; the loop's own wake-up is one byte."""
        if len(data) == 1:
            return whole(self, data)
        if takes is None:
            raise BlockingIOError
        return whole(self, data[: len(data) // takes])

    loop = Loop(relay)
    loop.hold()
    with monkeypatch.context() as patched:
        patched.setattr(socket.socket, "send", cut)
        relay.publish([price(ltp=1.0)])
    relay.publish([price(ltp=2.0)])
    loop.let_go()
    deaf.settimeout(5)
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        while more := deaf.recv(65536):
            heard += more
    assert b'"ltp": 2.0' not in heard
    until(lambda: relay.clients == 0, "it is let go")
    assert "half a frame" in caplog.text
    again = world.bot(NIFTY)
    relay.publish([price(ltp=3.0)])
    assert prices(again, 1) == [3.0]


def test_what_no_encoder_can_say_ends_the_relay_and_not_who_publishes_it(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=replace(AT_ONCE, restart=60.0))
    bot = world.bot(NIFTY)
    relay.publish([price(ltp=object())])
    assert bot.end() == (1011, "the relay failed")


def test_a_client_that_is_gone_harms_nobody(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY), patience=AT_ONCE)
    bot, other = world.bot(NIFTY), world.bot(NIFTY)
    loop = Loop(relay)
    loop.hold()
    other.connection.socket.shutdown(socket.SHUT_RDWR)
    for n in range(20):
        relay.publish([price(ltp=1.0 + n)])
    assert prices(bot, 20) == [1.0 + n for n in range(20)]
    loop.let_go()
    until(lambda: relay.clients == 1, "it is gone")


def test_clients_that_come_and_go_leave_no_descriptor(world: RelayWorld):
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    relay = world.relay_of(Feed(NIFTY))
    world.bot(NIFTY).connection.close()
    until(lambda: relay.clients == 0, "the first is gone")
    before = held()
    for _ in range(30):
        bot = world.bot(NIFTY)
        relay.publish([price()])
        bot.tick()
        bot.connection.close()
    until(lambda: relay.clients == 0 and held() <= before, f"{held()} descriptors, {before} before")


def test_prices_from_two_threads_are_whole_frames_and_none_is_lost(world: RelayWorld):
    relay = world.relay_of(Feed(NIFTY, SBIN), patience=AT_ONCE)
    bot = world.bot(NIFTY, SBIN)

    def pour(first: float, instrument: object) -> None:
        for n in range(400):
            relay.publish([price(instrument, ltp=first + n)])  # type: ignore[arg-type]

    threads = [threading.Thread(target=pour, args=one) for one in ((1.0, NIFTY), (5001.0, SBIN))]
    for one in threads:
        one.start()
    began = host_monotonic()
    got = prices(bot, 800)
    for one in threads:
        one.join(10)
    assert [ltp for ltp in got if ltp < 5000] == [1.0 + n for n in range(400)]
    assert [ltp for ltp in got if ltp > 5000] == [5001.0 + n for n in range(400)]
    assert host_monotonic() - began < 60
