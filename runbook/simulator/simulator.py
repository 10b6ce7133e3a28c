"""The Simulator: an OpenAlgo on two loopback ports, in one background thread, with its faults at hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Literal, Self, TypeVar

import uvicorn

from runbook.clock import Clock, SystemClock, host_monotonic
from runbook.errors import RunbookError
from runbook.market import Instrument
from runbook.simulator import faults as switches
from runbook.simulator.book import Book, Order, Ticket
from runbook.simulator.control import Control
from runbook.simulator.faults import EVENTS, OPPOSITES, Active, Fault
from runbook.simulator.market import Market, Window
from runbook.simulator.openalgo import Call, OpenAlgo
from runbook.simulator.rest import Rest
from runbook.simulator.script import Step, steps_of
from runbook.simulator.stream import Stream

_HOST = "127.0.0.1"
_SLICE = 0.02  # real seconds at most between looks at the clock, so that a jump is noticed
_SLICE_LEAST = 0.004
_LOOK = 0.25  # seconds of the clock between looks
_START_BUDGET = 10.0
_STOP_BUDGET = 2.0
_SWITCH_BUDGET = 5.0
_T = TypeVar("_T")


class SimulatorFailed(RunbookError):
    """The simulator could not start."""

    hint = "is another program on that port? give --rest-port 0 --stream-port 0 for free ones"


class Simulator:
    """A whole OpenAlgo: REST and stream on 127.0.0.1, a seeded market, a book, and every fault by name.

    `session` is one (open, close) pair in UTC, a sequence of such pairs, or None for a market that never shuts.
    `script` is a sequence of Steps or of (when, fault[, arguments]); when counts from the start or is an instant.
    All market time is the clock's; `auth_deadline` and `ping` are real seconds, as a socket's patience is.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 7,
        session: Window | Sequence[Window] | None = None,
        mode: Literal["live", "analyze"] = "live",
        rest_port: int = 0,
        stream_port: int = 0,
        control_port: int | None = None,
        script: Iterable[Step | tuple[object, ...]] = (),
        auth_deadline: float = 15.0,
        ping: tuple[float, float] = (20.0, 20.0),
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self._server = OpenAlgo(self.clock, seed, _windows(session), analyze=mode == "analyze")
        self._rest = Rest(self._server)
        self._stream = Stream(self._server, _HOST, auth_deadline, ping)
        self._control = Control(self) if control_port is not None else None
        self._wanted = (rest_port, stream_port, control_port or 0)
        self._script = steps_of(script)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._halt: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._urls = ("", "", "")
        for book, analyze in ((self._server.paper, True), (self._server.live, False)):
            book.listeners.append(self._pusher(analyze=analyze))

    # -- what a client needs -----------------------------------------------------------------------------------------

    @property
    def rest_url(self) -> str:
        return self._urls[0]

    @property
    def stream_url(self) -> str:
        return self._urls[1]

    @property
    def control_url(self) -> str:
        return self._urls[2]

    @property
    def api_key(self) -> str:
        return self._server.api_key

    # -- what a test needs -------------------------------------------------------------------------------------------

    @property
    def market(self) -> Market:
        return self._server.market

    @property
    def calls(self) -> list[Call]:
        """What was asked, oldest first: (instant, method, path); WS and the action for the stream. The last 20 000."""
        return list(self._server.calls)

    @property
    def faults(self) -> Mapping[Fault, Active]:
        """The faults that are on."""
        return self._server.faults.active

    @property
    def mode(self) -> str:
        return "analyze" if self._server.analyze else "live"

    @property
    def paper(self) -> Book:
        return self._server.paper

    @property
    def live(self) -> Book:
        return self._server.live

    @property
    def stream_clients(self) -> int:
        """How many sockets are open."""
        return self._stream.clients

    @property
    def order_listeners(self) -> int:
        """How many of them are told of orders."""
        return self._stream.order_listeners

    def price(self, instrument: Instrument) -> float:
        """What the instrument costs now, as the stream says it."""
        return self.market.price_at(instrument, self.clock.now())

    def book_live(
        self, ticket: Ticket, price: float, when: datetime | None = None, order_id: str | None = None
    ) -> Order:
        """A trade that is in the live books as if made elsewhere."""
        return self._server.live.enter(ticket, price, when or self.clock.now(), order_id)

    def book_paper(
        self, ticket: Ticket, price: float, when: datetime | None = None, order_id: str | None = None
    ) -> Order:
        """A trade that is in the analyzer's books as if made elsewhere (a square-off, another bot)."""
        return self._server.paper.enter(ticket, price, when or self.clock.now(), order_id)

    # -- faults ------------------------------------------------------------------------------------------------------

    def switch(self, name: str, **arguments: object) -> None:
        """Make a fault happen, or by its opposite (`unmute`, `accept`, `thaw`, `unban`) end it; from any thread.

        Returns when it has happened, sockets included. UsageError names what is wrong with the name or an argument.
        """
        opposite = OPPOSITES.get(name.strip().lower())
        if opposite is not None:
            self._do(self._cleared(*opposite))
            return
        fault = switches.named(name)
        self._do(self._begun(fault, switches.arguments_of(fault, arguments)))

    def clear(self, name: str) -> None:
        """End one fault; ending one that is not on is no error."""
        opposite = OPPOSITES.get(name.strip().lower())
        self._do(self._cleared(*(opposite or (switches.named(name),))))

    def clear_all(self) -> None:
        self._do(self._cleared(*Fault))

    async def _begun(self, fault: Fault, arguments: Mapping[str, float | str]) -> None:
        server = self._server
        if fault not in EVENTS:
            server.faults.begin(fault, server.now(), arguments)
        if fault is Fault.LOGIN:
            server.faults.end(Fault.TOKEN_DEAD, Fault.SESSION_REVOKED)
        if fault in (Fault.LOGIN, Fault.EVICT, Fault.SESSION_REVOKED):
            self._stream.evict()
        if fault is Fault.KICK:
            self._stream.reset()
        await self._settle()

    async def _cleared(self, *faults: Fault) -> None:
        self._server.faults.end(*faults)
        await self._settle()

    async def _settle(self) -> None:
        if self._loop is not None:
            await self._stream.settle()

    def _do(self, work: Coroutine[object, object, None]) -> None:
        """Run on the server's loop and wait; before the start, and in the loop's own thread, there is nothing to wait for."""
        loop = self._loop
        if loop is None:
            _drive(work)
        elif threading.current_thread() is self._thread:
            raise RuntimeError("switch() would wait for itself here: the loop uses apply()")
        else:
            asyncio.run_coroutine_threadsafe(work, loop).result(_SWITCH_BUDGET)

    async def apply(self, step: Step) -> None:
        """One step of a script, for callers on the server's own loop."""
        if step.clear:
            await self._cleared(*step.faults)
        else:
            for fault in step.faults:
                await self._begun(fault, step.arguments)

    # -- life --------------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Returns once both ports accept; SimulatorFailed when they do not."""
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_BUDGET) or self._failure is not None:
            self.stop()
            raise SimulatorFailed(f"the simulator did not start: {self._failure or 'no answer'}") from self._failure
        return self

    def stop(self) -> None:
        """Close the sockets (1001) and end the thread, within two seconds; a second call does nothing."""
        loop, thread = self._loop, self._thread
        if loop is not None and self._halt is not None:
            self._server.faults.end(Fault.HANG, Fault.SLOW)
            with contextlib.suppress(RuntimeError):  # the loop ended by itself
                loop.call_soon_threadsafe(self._halt.set)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_BUDGET)
        self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._failure is not None and error is None:  # it died on the way, and a test that saw nothing must not pass
            raise SimulatorFailed(f"the simulator died: {self._failure!r}") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told by start(), in the caller's thread
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._halt = asyncio.Event()
        rest_port, stream_port, control_port = self._wanted
        webs: list[tuple[_Web, socket.socket]] = []
        try:
            webs.append(_web(self._rest.app, rest_port))
            if self._control is not None:
                webs.append(_web(self._control.app, control_port))
            await self._stream.listen(stream_port)
        except OSError:
            for _, sock in webs:
                sock.close()
            raise
        tasks = [asyncio.create_task(server.serve(sockets=[sock])) for server, sock in webs]
        try:
            await _all_up([server for server, _ in webs])
            ports = [sock.getsockname()[1] for _, sock in webs]
            self._urls = (
                f"http://{_HOST}:{ports[0]}",
                f"ws://{_HOST}:{self._stream.port}",
                f"http://{_HOST}:{ports[1]}" if len(ports) > 1 else "",
            )
            await self._stream.settle()
            self._ready.set()
            await self._beat(self._halt)
        finally:
            for server, _ in webs:
                server.halt.set()
            await self._stream.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _beat(self, halt: asyncio.Event) -> None:
        """The heart: script, ticks and paper fills, as the clock says, until halted."""
        started = self.clock.now()
        todo = sorted(self._script, key=lambda s: s.due(started))
        matched = started
        while not halt.is_set():
            now = self.clock.now()
            while todo and todo[0].due(started) <= now:
                await self.apply(todo.pop(0))
            self._stream.pump(now)
            if now - matched >= timedelta(seconds=1):
                matched = now
                self._server.paper.match(now)
                self._server.live.match(now)
            pause = max(_SLICE_LEAST, min(_SLICE, self.clock.real(_LOOK)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(halt.wait(), pause)

    def _pusher(self, *, analyze: bool) -> Callable[[Order, float], None]:
        def push(order: Order, price: float) -> None:
            loop = self._loop
            if loop is None:
                return
            if threading.current_thread() is self._thread:
                self._stream.tell_order(order, price, analyze=analyze)
            else:
                loop.call_soon_threadsafe(lambda: self._stream.tell_order(order, price, analyze=analyze))

        return push


def _windows(session: Window | Sequence[Window] | None) -> Sequence[Window]:
    if session is None:
        return ()
    first = session[0]
    if isinstance(first, datetime):
        return ((first, session[1]),)  # type: ignore[return-value]  # a pair, told by its first
    return session  # type: ignore[return-value]


class _Web(uvicorn.Server):
    """uvicorn's server, stopped by an event at once: its own loop looks every 100 ms, and its stop sleeps as long."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.halt = asyncio.Event()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.halt.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1.0)
        for task in list(self.server_state.tasks):
            task.cancel()


def _web(app: object, port: int) -> tuple[_Web, socket.socket]:
    # named TCP, or asyncio leaves Nagle on and each answer waits 40 ms for an acknowledgement
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((_HOST, port))
    except OSError:
        sock.close()
        raise
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # any ASGI application
        log_config=None,
        log_level="critical",
        access_log=False,
        lifespan="off",
        http="h11",
        ws="none",
        server_header=False,
        date_header=False,
    )
    return _Web(config), sock


async def _all_up(servers: list[_Web]) -> None:
    until = host_monotonic() + _START_BUDGET
    while not all(server.started for server in servers):
        if host_monotonic() > until:
            raise SimulatorFailed
        await asyncio.sleep(0.005)


def _drive(work: Coroutine[object, object, _T]) -> None:
    """Run a coroutine that never really waits, where there is no loop yet."""
    with contextlib.suppress(StopIteration):
        work.send(None)
