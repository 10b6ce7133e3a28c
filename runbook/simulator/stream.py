"""The stream side: OpenAlgo's WebSocket proxy, from the handshake to the ticks, on the library the real one uses."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from datetime import datetime

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from runbook.simulator import frames
from runbook.simulator.book import Order
from runbook.simulator.contracts import Contract
from runbook.simulator.faults import Fault
from runbook.simulator.frames import Frame
from runbook.simulator.openalgo import OpenAlgo
from runbook.simulator.proxy import Client, Proxy
from runbook.simulator.upstream import Adapter, Print, Upstream

_GOING_AWAY = 1001
_AUTH_TIMEOUT = 4401
_PORT_TRIES = 50
_quiet = logging.getLogger("runbook.simulator.wire")
_quiet.setLevel(logging.CRITICAL)  # a refused handshake is this server's business, not an error to print


class Stream:
    """Serves one OpenAlgo's ticks. Everything runs on one asyncio loop."""

    def __init__(self, server: OpenAlgo, host: str, auth_deadline: float, ping: tuple[float, float]) -> None:
        self._server = server
        self._host = host
        self._auth_deadline = auth_deadline
        self._ping = ping
        self._listener: Server | None = None
        self._settling = asyncio.Lock()
        self._upstream = Upstream(server)
        self._proxy = Proxy(server, self._upstream)
        self._garbled = 0
        self.port = 0

    def evict(self) -> None:
        """The broker adapter goes; no client hears of it."""
        self._proxy.evict()

    @property
    def clients(self) -> int:
        return len(self._proxy.clients)

    @property
    def order_listeners(self) -> int:
        """Clients that asked to be told of orders."""
        return sum(client.orders for client in tuple(self._proxy.clients))

    # -- the door ----------------------------------------------------------------------------------------------------

    async def listen(self, port: int) -> None:
        """Accept on the port (0: any); tries again for a while, since the same port is given up and taken back."""
        for left in reversed(range(_PORT_TRIES)):
            try:
                self._listener = await serve(
                    self._handle,
                    self._host,
                    port,
                    process_request=self._at_the_door,
                    ping_interval=self._ping[0],
                    ping_timeout=self._ping[1],
                    compression=None,
                    logger=_quiet,
                )
                break
            except OSError:
                if port == 0 or not left or self.port == 0:
                    raise
                await asyncio.sleep(0.02)
        if self._listener is not None:
            self.port = next(iter(self._listener.sockets)).getsockname()[1]

    async def settle(self) -> None:
        """Bring the sockets in line with the faults that are on."""
        async with self._settling:  # two switches at once must not both take the port back
            faults = self._server.faults
            by_tcp = Fault.REFUSE in faults and faults.word(Fault.REFUSE, "how") == "tcp"
            shut = Fault.DROP in faults or by_tcp
            if shut:
                self._stop_listening()
            if Fault.DROP in faults:
                await self._hang_up()
            if not shut and self._listener is None:
                await self.listen(self.port)

    async def close(self) -> None:
        """Refuse new sockets, then say goodbye to the open ones."""
        self._stop_listening()
        await self._hang_up()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.server.close()  # at once: the library's own close begins only when the loop turns
            self._listener.close(close_connections=False)
            self._listener = None

    async def _hang_up(self) -> None:
        leaving = [asyncio.create_task(c.connection.close(_GOING_AWAY)) for c in self._proxy.clients]
        if not leaving:
            return
        _, stubborn = await asyncio.wait(leaving, timeout=1.0)
        for task in stubborn:
            task.cancel()
        if stubborn:
            self.reset()

    def reset(self) -> None:
        """Cut every socket the hard way: the client sees a reset, not a close."""
        for client in tuple(self._proxy.clients):
            transport = client.connection.transport
            sock = transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()

    def _at_the_door(self, connection: ServerConnection, request: Request) -> Response | None:  # noqa: ARG002
        if Fault.REFUSE in self._server.faults:
            return connection.respond(502, "<html><head><title>502 Bad Gateway</title></head></html>\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        client = Client(connection)
        self._proxy.clients.add(client)
        deadline = asyncio.create_task(self._expect_authentication(client))
        try:
            async for message in connection:
                await connection.send(json.dumps(self._proxy.reply(client, message)))
        except ConnectionClosed:
            pass  # the client is gone, whichever way
        finally:
            deadline.cancel()
            self._proxy.leave(client)

    async def _expect_authentication(self, client: Client) -> None:
        await asyncio.sleep(self._auth_deadline)  # real seconds: a socket's patience is the host's
        if not client.authenticated:
            await client.connection.close(_AUTH_TIMEOUT, "auth timeout")

    # -- ticks -------------------------------------------------------------------------------------------------------

    def pump(self, now: datetime) -> None:
        """Send what has become due."""
        if self._proxy.adapter is None:
            return
        for print_ in tuple(self._upstream.ticks(self._proxy.adapter, now)):
            contract = self._server.market.contract(print_.instrument)
            if contract is not None:
                self._publish(contract, print_, self._proxy.adapter, now)

    def _publish(self, contract: Contract, tick: Print, adapter: Adapter, now: datetime) -> None:
        highest = max((mode for i, mode in adapter.tracked if i == tick.instrument), default=1)
        market = self._server.market
        # an LTP tick shows no range, and the range is what costs after a jump of the clock
        whole = market.day_at if highest > 1 else market.last_at
        day = whole(tick.instrument, tick.priced)
        data = frames.tick(contract, day, highest, tick.traded, now)
        for client in tuple(self._proxy.clients):
            modes = client.modes.get(tick.instrument)
            if modes:
                broadcast([client.connection], self._spell(frames.market_data(data, max(modes))))

    def _spell(self, frame: Frame) -> str | bytes:
        if Fault.GARBAGE not in self._server.faults:
            return json.dumps(frame)
        self._garbled += 1
        return frames.garbage(self._garbled - 1, frame)

    def tell_order(self, order: Order, price: float, *, analyze: bool) -> None:
        """Push an order's change to those who asked for it."""
        text = json.dumps(frames.order_update(order, price, analyze=analyze))
        broadcast([c.connection for c in self._proxy.clients if c.orders], text)
