"""One client of the relay: its conversation, and the two ways in which frames reach its socket.

Prices are written by whoever publishes them, where the socket has room for all of them; everything else, and what has to
wait, by the loop. Both write whole frames in one call, so neither can part the other's.
"""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
from collections.abc import Sequence

from websockets.asyncio.server import ServerConnection
from websockets.protocol import State

from runbook.adapters.relay.dialogue import Dialogue, House


class Client:
    """`behind` is how many bytes may wait for it in the loop, `kernel` the size of the kernel's own buffer for it."""

    def __init__(self, connection: ServerConnection, house: House, behind: int, kernel: int) -> None:
        self.connection = connection
        self.dialogue = Dialogue(house)
        self.leaving = False
        self._behind = behind
        self._room = kernel // 2  # the kernel counts its own bookkeeping, too
        sock = connection.transport.get_extra_info("socket")  # asyncio has set TCP_NODELAY on it
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, kernel)
        self._line: socket.socket = sock.dup()  # asyncio's own cannot be written to

    @property
    def _mute(self) -> bool:
        """True when nothing is said to it any more."""
        return self.leaving or self.connection.protocol.state is not State.OPEN

    def write(self, frames: Sequence[bytes]) -> bool:
        """The loop's: hand whole frames to asyncio; False when too much waits already."""
        if self._mute:
            return True
        transport = self.connection.transport
        if transport.get_write_buffer_size() > self._behind:
            return False
        transport.write(b"".join(frames))
        return True

    def has_room(self, size: int) -> bool:
        """True when so many bytes can be written at once, and nothing that came before them still waits."""
        if self._mute:
            return True
        if self.connection.transport.get_write_buffer_size():
            return False
        try:
            queued = int.from_bytes(fcntl.ioctl(self._line, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return True  # it is gone
        return queued + size <= self._room

    def push(self, data: bytes) -> bool:
        """Any thread's, which holds the relay's lock and saw `has_room`: write now; False when the frames were cut off."""
        if self._mute:
            return True
        try:
            whole = self._line.send(data) == len(data)
        except BlockingIOError:
            whole = False
        except OSError:
            return True  # it is gone, and the loop hears of it
        self.leaving = not whole  # nothing may follow half a frame
        return whole

    def close(self) -> None:
        """Give back the descriptor; under the relay's lock, so that nobody writes into whose number is taken next."""
        self._line.close()
