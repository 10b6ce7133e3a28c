"""The frames of a WebSocket, read ahead: bytes as they come go in, whole messages come out (RFC 6455, section 5)."""

from __future__ import annotations

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_CONTINUED = 0
_KNOWN = frozenset({_CONTINUED, TEXT, BINARY, CLOSE, PING, PONG})
_LAST, _RESERVED, _CONTROL, _OPCODE = 0x80, 0x70, 0x08, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_WHOLE_TEXT = _LAST | TEXT

Message = tuple[int, bytes]


class Frames:
    """What one connection has received; no message may have more than `limit` bytes.

    `fault` says what broke the protocol, None while all is well: what came before it is still given out, and then no more.
    """

    def __init__(self, limit: int) -> None:
        self.fault: str | None = None
        self._limit = limit
        self._held: list[bytes] = []  # a frame that is not complete; joined once there is enough, whatever it drips in
        self._have = 0
        self._need = 2
        self._passed = 0  # bytes of the connection before those
        self._pieces: list[bytes] = []
        self._size = 0  # of all of them
        self._kind: int | None = None  # of the message whose pieces these are
        self._opened = 0  # where that one began

    @property
    def unfinished(self) -> int | None:
        """Where the oldest message begins that is not complete, in bytes of the connection; None between two messages."""
        if self._kind is not None:
            return self._opened
        return self._passed if self._have else None

    def take(self, chunk: bytes) -> list[Message]:
        """The messages that `chunk` completes, in order: (opcode, payload)."""
        if chunk:
            self._held.append(chunk)
            self._have += len(chunk)
        if self._have < self._need or self.fault is not None:
            return []
        data = chunk if len(self._held) == 1 else b"".join(self._held)
        out: list[Message] = []
        at, size = 0, len(data)
        while True:
            start = at + 2
            if start > size:
                need = 2
                break
            first, second = data[at], data[at + 1]
            length = second & _LENGTH
            if length == 126:
                start = at + 4
                if start > size:
                    need = 4
                    break
                length = data[at + 2] << 8 | data[at + 3]
            elif length == 127:
                start = at + 10
                if start > size:
                    need = 10
                    break
                length = int.from_bytes(data[at + 2 : start], "big")
            if second & _MASKED:
                start += 4
            # Refused by its head: nobody waits for, or keeps, what the rest of such a frame would be.
            if (first != _WHOLE_TEXT or self._kind is not None or length > 0xFFFF) and not self._allowed(first, length):
                need = 2
                break
            end = start + length
            if end > size:
                need = end - at
                break
            payload = data[start:end]
            if second & _MASKED:  # no server should, and the library we stand in for reads it all the same
                payload = _unmasked(data[start - 4 : start], payload)
            if first == _WHOLE_TEXT:
                out.append((TEXT, payload))
            else:
                self._piece(first, payload, self._passed + at, out)
            at = end
        rest = data[at:]
        self._held = [rest] if rest else []
        self._have = len(rest)
        self._need = need
        self._passed += at
        return out

    def _allowed(self, first: int, length: int) -> bool:
        """False, and `fault` says why, for a frame that may not come now."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            self.fault = "a frame with reserved bits, which nobody negotiated"
        elif opcode not in _KNOWN:
            self.fault = f"a frame of the unknown kind {opcode}"
        elif opcode & _CONTROL:
            if not first & _LAST or length > 125:
                self.fault = "a control frame that is too long, or in pieces"
        elif (opcode == _CONTINUED) is (self._kind is None):
            self.fault = "a piece of no message" if self._kind is None else "a message within another one"
        elif length + self._size > self._limit:
            self.fault = f"a frame of {length} bytes, more than {self._limit} in one message"
        return self.fault is None

    def _piece(self, first: int, payload: bytes, at: int, out: list[Message]) -> None:
        """Take in anything but a whole text; control frames may come between the pieces of a message."""
        opcode = first & _OPCODE
        if opcode & _CONTROL:
            out.append((opcode, payload))
            return
        if self._kind is None:
            self._kind, self._opened = opcode, at
        self._pieces.append(payload)
        self._size += len(payload)
        if first & _LAST:
            out.append((self._kind, b"".join(self._pieces)))
            self._kind, self._pieces, self._size = None, [], 0


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")
