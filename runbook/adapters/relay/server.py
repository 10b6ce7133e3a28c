"""The relay's sockets: one thread with an asyncio loop. Who publishes writes to them at once or leaves a note, and never waits.

What is published while the loop is at it, or while a client's socket is full, is noted for the loop, and what comes after
it too: prices and changes of the feed reach every client in the order in which they were published. A client that does not
read is let go before it holds up the others. When the relay itself fails, every client's socket is closed: a bot must never
take a dead relay for a quiet market.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from runbook.adapters.relay.client import Client
from runbook.adapters.relay.dialogue import MOST_SYMBOLS, House, Wanted
from runbook.adapters.relay.frames import feed_status, market_data
from runbook.clock import Clock, host_monotonic
from runbook.errors import RelayFailed, UsageError
from runbook.feed.price import FeedStatus, Price
from runbook.feed.state import State
from runbook.feed.table import Mode
from runbook.market import Instrument

_GOING_AWAY, _INTERNAL, _TRY_LATER, _AUTH_TIMEOUT = 1001, 1011, 1013, 4401
_MOST_CLIENTS = 64
_MOST_NOTES = 20_000  # of the feed that wait for the loop: twenty seconds of a thousand ticks
_LARGEST_REQUEST = 64 * 1024  # bytes: a subscription of two hundred symbols takes a fifth of it
_LONGEST_PAUSE = 16.0
_LONG_LIFE = 60.0  # seconds: who ran so long may start again at once

_log = logging.getLogger(__name__)
_wire = logging.getLogger(f"{__name__}.wire")
_wire.setLevel(logging.CRITICAL)  # it would print each frame, and with it the key; what fails is told here


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the relay waits, in seconds of the host, and how much it keeps for one client, in bytes.

    `gather` is for how long after a write ticks are collected for the next; a tick that comes alone does not wait.
    """

    authenticate: float = 15.0
    ping_every: float = 20.0
    pong_within: float = 20.0
    goodbye: float = 1.0  # for the answer to a close
    gather: float = 0.001
    behind: int = 512 * 1024
    kernel: int = 64 * 1024  # of the kernel's own send buffer, so that it does not hide who reads nothing
    restart: float = 1.0  # after a failure; doubled by each that follows


_DEFAULT = Patience()


class Relay:
    """Serves the feed's prices at `address` (ws://HOST:PORT) in OpenAlgo's protocol; `start` and `stop` mirror each other.

    `state` is how the feed stands now, None while nothing is watched. `wanted` is told, on the relay's thread, which
    instruments clients ask for that the feed does not watch. `on_clients` hears, there too, how many are authenticated.
    """

    def __init__(
        self,
        address: str,
        api_key: str,
        clock: Clock,
        state: Callable[[], State | None],
        *,
        wanted: Wanted | None = None,
        on_clients: Callable[[int], object] = lambda _count: None,
        patience: Patience = _DEFAULT,
        most_symbols: int = MOST_SYMBOLS,
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme != "ws" or not parts.hostname or parts.port is None:
            raise UsageError("the relay's address is not one of ws://HOST:PORT", hint="e.g. ws://127.0.0.1:8766")

        def wall(at: float) -> datetime:
            return clock.now() - timedelta(seconds=clock.monotonic() - at)

        status = FeedStatus(Mode.OFF, None, clock.now(), "no session is watched yet")
        self.house = House(api_key.encode(), state, wall, clock.now, status, wanted, most_symbols)
        self.host, self.port = parts.hostname, parts.port  # 0: any; the one that was taken once it listens
        self.patience = patience
        self.clients = 0  # that are authenticated
        self.subscriptions = 0  # instruments, counted once for each client that hears of them
        self.sending = threading.Lock()  # whoever holds it may write prices
        self._on_clients = on_clients
        self._notes: deque[Sequence[Price] | FeedStatus] = deque()
        self._woken = False
        self._halt = threading.Event()
        self._life: _Life | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Relay(ws://{self.host}:{self.port})"

    # -- from any thread -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; raises RelayFailed when the port cannot be had."""
        self._halt.clear()
        listening: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="relay", daemon=True)
        self._thread.start()
        try:
            listening.result(timeout=10.0)
        except (OSError, TimeoutError) as exc:
            why = os.strerror(exc.errno) if isinstance(exc, OSError) and exc.errno else f"{type(exc).__name__} {exc}"
            raise RelayFailed(f"the relay cannot listen on {self.host}:{self.port}: {why}") from exc

    def publish(self, prices: Sequence[Price]) -> None:
        """Hand on what the feed trusts; returns at once, and does nothing while nobody listens."""
        if prices and self.clients and not self._written(prices):
            self._note(prices)

    def publish_status(self, status: FeedStatus) -> None:
        """Hand on how the feed stands; returns at once."""
        self._note(status)

    def stop(self) -> None:
        """Send what is there, close all sockets with 1001, and end."""
        self._halt.set()
        life, thread = self._life, self._thread
        if life is not None:
            with suppress(RuntimeError):  # it has ended by itself
                life.loop.call_soon_threadsafe(life.end)
        if thread is not None:
            thread.join(timeout=2 * self.patience.goodbye + 1.0)

    def _written(self, prices: Sequence[Price]) -> bool:
        """Write on this thread, if nothing came before: to wake another for each read of the stream costs more than all else."""
        life = self._life
        if life is None or not self.sending.acquire(blocking=False):
            return False
        try:
            return not self._notes and life.write(prices)
        finally:
            self.sending.release()

    def _note(self, note: Sequence[Price] | FeedStatus) -> None:
        self._notes.append(note)
        life = self._life
        if life is not None and not self._woken:
            self._woken = True
            with suppress(RuntimeError):
                life.loop.call_soon_threadsafe(life.wake)

    # -- the relay's thread --------------------------------------------------------------------------------------------

    def _run(self, listening: Future[None]) -> None:
        pause = self.patience.restart
        while not self._halt.is_set():
            began = host_monotonic()
            try:
                asyncio.run(self._live(listening))
            except Exception as exc:  # noqa: BLE001 - told to who waits for the start, else to the log
                if not listening.done():
                    listening.set_exception(exc)
                    return
                _log.exception("the relay failed: its clients are disconnected, and it begins anew in %.0f s", pause)
                if host_monotonic() - began > _LONG_LIFE:
                    pause = self.patience.restart
                self._halt.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _live(self, listening: Future[None]) -> None:
        life = _Life(self)
        try:
            await life.run(listening)
        finally:
            self._life = None
            self._count(0)

    def _begun(self, life: _Life) -> None:
        self._woken = False
        self._life = life

    def _taken(self) -> list[Sequence[Price] | FeedStatus]:
        """The notes since the last look."""
        self._woken = False  # first: what is noted from here on wakes the loop again
        count = len(self._notes)
        taken = [self._notes.popleft() for _ in range(count)]
        if count > _MOST_NOTES:
            raise RelayFailed(f"the relay fell {count} notes behind the feed")
        return taken

    def _count(self, clients: int) -> None:
        if clients != self.clients:
            self.clients = clients
            self._on_clients(clients)


class _Life:
    """The relay from listening to the end of its loop; everything here but `write` runs on that loop."""

    def __init__(self, relay: Relay) -> None:
        self.loop = asyncio.get_running_loop()
        self._relay = relay
        self._patience = relay.patience
        self._house = relay.house
        self._over: asyncio.Future[None] = self.loop.create_future()
        self._clients: list[Client] = []
        self._index: dict[Instrument, dict[int, list[Client]]] = {}
        self._wrote_at = float("-inf")
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, listening: Future[None]) -> None:
        """Serve until `end` or a failure, which is raised; either way no socket is left open."""
        relay, patience = self._relay, self._patience
        self.loop.set_exception_handler(self._broken)
        server = await serve(
            self._handle, relay.host, relay.port, compression=None, max_size=_LARGEST_REQUEST, logger=_wire,
            ping_interval=patience.ping_every, ping_timeout=patience.pong_within, close_timeout=patience.goodbye,
        )  # fmt: skip
        relay.port = next(iter(server.sockets)).getsockname()[1]
        relay._begun(self)  # noqa: SLF001 - two halves of one thing
        self.wake()
        if not listening.done():
            listening.set_result(None)
        if relay._halt.is_set():  # noqa: SLF001 - told before there was a loop to tell
            self.end()
        code, reason = _INTERNAL, "the relay failed"
        try:
            await self._over
            code, reason = _GOING_AWAY, "runbook stops"
            self.drain()
        finally:
            server.server.close()  # at once; the library's own close begins only when the loop turns
            await self._goodbye(code, reason)

    def end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _fail(self, exc: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(exc)

    def _broken(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """What the loop could not hand to anybody: a socket's trouble, for `drain` answers for itself."""
        exc = context.get("exception")
        _log.error("relay: %s", context.get("message"), exc_info=exc if isinstance(exc, BaseException) else None)

    async def _goodbye(self, code: int, reason: str) -> None:
        leaving = [asyncio.create_task(self._bye(client, code, reason)) for client in self._clients]
        if pending := {*leaving, *self._leaving}:
            await asyncio.wait(pending, timeout=2 * self._patience.goodbye)

    async def _bye(self, client: Client, code: int, reason: str) -> None:
        client.leaving = True
        try:
            await asyncio.wait_for(client.connection.close(code, reason), self._patience.goodbye)
        except (TimeoutError, OSError):
            pass
        finally:
            client.connection.transport.abort()

    # -- clients -------------------------------------------------------------------------------------------------------

    async def _handle(self, connection: ServerConnection) -> None:
        if len(self._clients) >= _MOST_CLIENTS:
            await connection.close(_TRY_LATER, f"the relay serves at most {_MOST_CLIENTS} clients")
            return
        client = Client(connection, self._house, self._patience.behind, self._patience.kernel)
        self._clients.append(client)
        self._house.clients.append(client.dialogue)
        deadline = self.loop.call_later(self._patience.authenticate, self._expire, client)
        try:
            async for message in connection:
                self._answer(client, message)
        except ConnectionClosed:
            pass  # the client is gone, whichever way
        except Exception:
            _log.exception("a relay client's request failed; its socket is closed")
            raise
        finally:
            deadline.cancel()
            self._clients.remove(client)
            self._house.clients.remove(client.dialogue)
            self._settle()
            with self._relay.sending:
                client.close()

    def _answer(self, client: Client, message: str | bytes) -> None:
        self.drain()  # what was published before the request goes out before its answer
        dialogue = client.dialogue
        before = dialogue.changes, dialogue.authenticated
        # And what is published meanwhile goes out after it: it may be newer than the price in the answer.
        with self._relay.sending:
            replies = dialogue.hear(message)
            if (dialogue.changes, dialogue.authenticated) != before:
                self._settle()
            self._send({client: [_frame(text) for text in replies]})

    def _expire(self, client: Client) -> None:
        if not client.dialogue.authenticated:
            self._let_go(client, _AUTH_TIMEOUT, "auth timeout")

    def _let_go(self, client: Client, code: int, reason: str) -> None:
        client.leaving = True
        task = asyncio.create_task(self._bye(client, code, reason))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _settle(self) -> None:
        """Who is to hear of which instrument, in which mode; once a client, in the highest it asked for."""
        self._index = {}
        for client in self._clients:
            for instrument, modes in client.dialogue.modes.items():
                self._index.setdefault(instrument, {}).setdefault(max(modes), []).append(client)
        self._relay.subscriptions = sum(len(c.dialogue.modes) for c in self._clients)
        self._relay._count(sum(c.dialogue.authenticated for c in self._clients))  # noqa: SLF001 - as above

    # -- prices --------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Drain now, or when the time to gather is over."""
        wait = self._wrote_at + self._patience.gather - self.loop.time()
        if wait > 0:
            self.loop.call_later(wait, self.drain)
        else:
            self.drain()

    def drain(self) -> None:
        """Send what was noted: each price is encoded once a mode, each client gets one write."""
        self._wrote_at = self.loop.time()
        try:
            with self._relay.sending:
                batches: dict[Client, list[bytes]] = {}
                for note in self._relay._taken():  # noqa: SLF001
                    if isinstance(note, FeedStatus):
                        self._house.status = note
                        frame = _frame(feed_status(note))
                        for client in self._clients:
                            if client.dialogue.authenticated:
                                batches.setdefault(client, []).append(frame)
                        self._house.ask_again()
                    else:
                        self._encode(note, batches)
                self._send(batches)
        except Exception as exc:  # noqa: BLE001  whatever it is, the clients must see the end of it
            self._fail(exc)

    def write(self, prices: Sequence[Price]) -> bool:
        """The same at once, on the thread of who publishes and holds the relay's lock; False: all of it is left to `drain`."""
        now = self.loop.time()
        if now - self._wrote_at < self._patience.gather:
            return False
        batches: dict[Client, list[bytes]] = {}
        try:
            self._encode(prices, batches)
        except Exception:  # noqa: BLE001  `drain` meets it again, and ends the relay
            return False
        ready = [(client, b"".join(frames)) for client, frames in batches.items()]
        if not all(client.has_room(len(data)) for client, data in ready):
            return False
        self._wrote_at = now
        for client, data in ready:
            if not client.push(data):
                with suppress(RuntimeError):  # the loop has ended, and its sockets with it
                    self.loop.call_soon_threadsafe(self._cut_off, client)
        return True

    def _cut_off(self, client: Client) -> None:
        _log.warning("a relay client's socket took half a frame; its connection is broken off")
        client.connection.transport.abort()

    def _encode(self, prices: Sequence[Price], batches: dict[Client, list[bytes]]) -> None:
        for price in prices:
            for mode, clients in self._index.get(price.instrument, {}).items():
                frame = _frame(market_data(price, mode, self._house.broker))
                for client in clients:
                    batches.setdefault(client, []).append(frame)

    def _send(self, batches: dict[Client, list[bytes]]) -> None:
        for client, frames in batches.items():
            if not client.write(frames):
                _log.warning("a relay client does not read: more than %d bytes wait; let go", self._patience.behind)
                self._let_go(client, _TRY_LATER, "too slow: the prices that wait are too many; connect again")


def _frame(text: str) -> bytes:
    """A whole text frame: unmasked and uncompressed, so that the same bytes go to every client."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
