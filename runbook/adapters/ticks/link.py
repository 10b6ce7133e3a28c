"""One connection of the stream: a reader thread, which does all the sending too; whoever listens only enqueues.

Its generation ends with exactly one `Closed` or `ConnectFailed`, unless it was silenced: then nothing more is emitted. Other
threads leave a note and wake the reader, so two threads never write to one socket.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import websocket

from runbook.adapters.ticks import frames
from runbook.adapters.ticks.dial import Dial, NotConnected, said_of
from runbook.adapters.ticks.dialogue import Dialogue
from runbook.adapters.ticks.frames import Frames, Message
from runbook.clock import Clock, host_monotonic
from runbook.feed.events import Closed, ConnectFailed, StreamEvent, Ticks
from runbook.market import Instrument, Tick
from runbook.redact import words

MAX_FRAME = 4 * 1024 * 1024
_READ = 65536  # bytes
_SEND = 1.0  # seconds: what we say is short, and a peer that does not take it is stuck
_CLOSE_CODES = {
    1001: "OpenAlgo's stream is shutting down",
    1011: "OpenAlgo's stream failed, or missed our pongs",
    4401: "OpenAlgo's stream closed a connection that had not authenticated",
}

Emit = Callable[[StreamEvent], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection waits, in seconds of the host; `lull` is in seconds of the clock.

    A wake-up costs more than what is read in it. So after a read the next one comes `lull` later, or `hurry` later where
    someone is in one, unless an answer is due: a tick after a silence is read at once, a stream of them in batches.
    """

    connect: float = 5.0  # for TCP, and once more for TLS and the handshake together
    reply: float = 15.0  # to authenticate or subscribe: as long as OpenAlgo gives a client to authenticate
    ping_every: float = 10.0
    pong_within: float = 5.0
    frame: float = 5.0  # a message that has begun must end
    close: float = 1.5  # twice: for the listener to return, and for the reader to end
    lull: float = 0.05
    hurry: float = 0.0038  # of the host: at a thousand ticks a second a quarter of the CPU of none at all


class _Gone(Exception):
    """How the reader leaves its loop: `event` says why, None when nobody wants to hear it."""

    def __init__(self, event: StreamEvent | None) -> None:
        super().__init__()
        self.event = event


class Link:
    """One connection of one generation."""

    def __init__(
        self,
        url: str,
        generation: int,
        dialogue: Dialogue,
        clock: Clock,
        patience: Patience,
        sink: Emit,
        *,
        hurried: bool = False,
    ) -> None:
        self._generation = generation
        self._dialogue = dialogue
        self._clock = clock
        self._patience = patience
        self._sink = sink
        self._hurried = hurried
        self._silent = threading.Event()
        self._emitting = threading.RLock()  # re-entrant: who listens may close from within
        self._again = threading.Event()
        self._authenticating = True  # what `_again` asks for
        self._newcomers: deque[Instrument] = deque()
        self._dial = Dial(url, patience.connect, dialogue.failed)
        self._reply_by: float | None = None
        self._frames = Frames(MAX_FRAME)
        self._frame_by = 0.0  # when the message that is unfinished must be complete
        self._full = False  # the last read was not all there is
        self._rest_until = 0.0  # when ticks may be looked for again, by the host ...
        self._read_at = 0.0  # ... and when the latest were read
        self._ended = False  # the other side has sent its last byte
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._noted = threading.Event()  # the same for a reader who rests
        self._wake_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"stream-{generation}", daemon=True)

    # --- from any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def ask_again(self, *, authenticate: bool) -> None:
        self._authenticating = authenticate
        self._again.set()
        self._wake()

    def follow(self, instruments: Sequence[Instrument]) -> None:
        self._newcomers.extend(instruments)
        self._wake()

    def hurry(self, on: bool) -> None:
        self._hurried = on
        self._wake()

    def silence(self) -> None:
        """Emit nothing from now on, and let the reader close the socket; an emit that is under way is waited for."""
        self._silent.set()
        if self._emitting.acquire(timeout=self._patience.close):
            self._emitting.release()
        self._wake()
        self._dial.give_up()

    def join(self, seconds: float) -> None:
        if self._thread is threading.current_thread():
            return
        self._thread.join(seconds / 2)
        if self._thread.is_alive():  # the polite way is stuck in a dead peer, or in who listens
            self._dial.cut()
            self._thread.join(seconds / 2)

    def _wake(self) -> None:
        with self._wake_lock, contextlib.suppress(OSError):
            self._noted.set()
            self._waker.send(b"!")

    # --- the reader thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        end: StreamEvent | None = None
        ws: websocket.WebSocket | None = None
        try:
            ws = self._dial.connect()
            ws.settimeout(0)  # its handshake has read not one byte too many: from here on the reading is ours
            self._converse(ws)
        except NotConnected as e:
            end = e.failed
        except _Gone as gone:
            end = gone.event
        except Exception as e:  # noqa: BLE001  a reader that dies in silence is the very fault we are here to find
            _log.exception("stream %d: the reader failed", self._generation)
            end = Closed(self._generation, f"the reader failed: {type(e).__name__}")
        finally:
            self._shut(ws)
        if end is not None:
            self._emit(end)

    def _converse(self, ws: websocket.WebSocket) -> None:
        """Authenticate, then read until the generation is over."""
        dialogue, patience, sock = self._dialogue, self._patience, self._dial.socket
        assert sock is not None
        polled = select.poll()
        polled.register(self._woken, select.POLLIN)
        polled.register(sock, select.POLLIN)
        link, note = sock.fileno(), self._woken.fileno()
        next_ping = host_monotonic() + patience.ping_every
        pong_left: float | None = None  # seconds we may still wait for it; what who listens takes does not count
        last_chance = False
        dialogue.authenticate()
        while not self._silent.is_set():
            if self._again.is_set() and dialogue.awaited is None:
                self._again.clear()
                (dialogue.authenticate if self._authenticating else dialogue.subscribe_again)()
            self._let_join()
            if dialogue.outbox:
                self._send_all(ws)
            asked = host_monotonic()
            if pong_left is None and asked >= next_ping:
                self._send(ws, "", websocket.ABNF.OPCODE_PING)
                pong_left, last_chance = patience.pong_within, False
                next_ping = asked + patience.ping_every
            wait = next_ping - asked if pong_left is None else pong_left
            if self._reply_by is not None:
                wait = min(wait, self._reply_by - asked)
            unfinished = self._frames.unfinished
            if unfinished is not None:
                wait = min(wait, self._frame_by - asked)
            # What is due is looked for at once; only ticks can wait.
            due = unfinished is not None or pong_left is not None or self._reply_by is not None
            rest_until = min(self._rest_until, self._read_at + patience.hurry) if self._hurried else self._rest_until
            if asked < rest_until and not (due or self._full):  # to the microsecond, which poll is not; then it reads
                ready = {note} if self._noted.wait(max(0.0, min(wait, rest_until - asked))) else {link}
            else:  # TLS holds bytes that poll cannot see
                woke = polled.poll(0 if self._full else max(0.0, wait) * 1000 + 1)
                ready = {fd for fd, _ in woke} | ({link} if self._full else set())
            now = host_monotonic()
            if note in ready:
                self._noted.clear()
                with contextlib.suppress(BlockingIOError):  # the byte is on its way
                    self._woken.recv(64)
            if pong_left is not None:
                pong_left -= now - asked
                if pong_left <= 0:
                    if link not in ready or last_chance:
                        raise self._closed(f"no pong within {patience.pong_within:g} s of a ping")
                    # the host may have slept: read first what has come meanwhile
                    pong_left, last_chance = min(1.0, patience.pong_within), True
            if link in ready:
                messages = self._read(now)
                if self._act_on(messages, ws):
                    pong_left = None
            if self._frames.unfinished is not None and now >= self._frame_by:
                raise self._closed(f"a frame began and did not end within {patience.frame:g} s")
            if link not in ready and self._reply_by is not None and now >= self._reply_by:
                self._reply_by = None
                self._told(dialogue.unanswered(patience.reply))

    def _let_join(self) -> None:
        if self._newcomers and self._dialogue.takes_more:
            self._dialogue.follow([self._newcomers.popleft() for _ in range(len(self._newcomers))])

    def _read(self, now: float) -> list[Message]:
        """The messages that are complete with what is there now."""
        before = self._frames.unfinished
        messages = self._frames.take(self._receive())
        unfinished = self._frames.unfinished
        if unfinished is not None and unfinished != before:
            self._frame_by = now + self._patience.frame
        return messages

    def _receive(self) -> bytes:
        """All that has come, as far as one read goes; empty when nothing has, or nothing ever will."""
        sock = self._dial.socket
        assert sock is not None
        got: list[bytes] = []
        size = 0
        try:
            while size < _READ:
                got.append(sock.recv(_READ))
                size += len(got[-1])
                if not got[-1]:
                    self._ended = True
                    break
                if not isinstance(sock, ssl.SSLSocket):  # one record a call there
                    break
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # TLS wakes us for records of its own, with nothing in them
        except (OSError, ValueError) as e:
            if not size:
                raise self._closed(f"the connection broke: {said_of(e)}") from None
            # what came before is worth hearing; the fault is still there at the next read
        self._full = size >= _READ
        return got[0] if len(got) == 1 else b"".join(got)

    def _act_on(self, messages: list[Message], ws: websocket.WebSocket) -> bool:
        """Hear what was said, and end the generation when that was the last of it; True when a pong was among it."""
        at = self._clock.monotonic()
        self._let_join()  # before an answer is heard which they may still go along with
        hear, ticks = self._dialogue.hear, list[Tick]()
        ping: bytes | None = None
        pong = False
        for opcode, payload in messages:
            if opcode == frames.TEXT:
                heard = hear(payload)
                if isinstance(heard, Tick):
                    ticks.append(heard)
                    continue
                self._pour(ticks, at)
                self._told(heard)
            elif opcode == frames.PONG:
                pong = True
            elif opcode == frames.PING:
                ping = payload
            elif opcode == frames.BINARY:
                self._pour(ticks, at)
                self._emit(self._dialogue.garbage(f"a binary frame of {len(payload)} bytes"))
            else:
                self._pour(ticks, at)
                raise self._goodbye(payload)
        self._pour(ticks, at)
        if self._dialogue.awaited is None:
            self._reply_by = None
        if ping is not None:  # the newest answers for those before it
            self._send(ws, ping, websocket.ABNF.OPCODE_PONG)
        if self._frames.fault is not None:
            raise self._closed(f"the connection broke: {self._frames.fault}")
        if self._ended:
            raise self._closed("the connection was lost without a close")
        return pong

    def _pour(self, ticks: list[Tick], at: float) -> None:
        if ticks:
            batch = Ticks(self._generation, tuple(ticks), at)
            ticks.clear()
            self._read_at = host_monotonic()
            self._rest_until = self._read_at + self._clock.real(self._patience.lull)
            self._emit(batch)

    def _goodbye(self, payload: bytes) -> _Gone:
        """What a close frame says."""
        code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
        said = words(payload[2:].decode("utf-8", "replace"), "")
        known = _CLOSE_CODES.get(code or 0, "closed by the server")
        return self._closed(f"{known} ({said})" if said else known, code)

    def _told(self, event: StreamEvent | None) -> None:
        """Pass on what a frame meant; a failure ends the generation."""
        if isinstance(event, ConnectFailed):
            raise _Gone(event)
        if event is not None:
            self._emit(event)

    def _send_all(self, ws: websocket.WebSocket) -> None:
        for frame in self._dialogue.outbox:
            self._send(ws, frame)
        self._dialogue.outbox.clear()
        self._reply_by = host_monotonic() + self._patience.reply

    def _send(self, ws: websocket.WebSocket, payload: str | bytes, opcode: int = websocket.ABNF.OPCODE_TEXT) -> None:
        try:
            ws.settimeout(_SEND)
            ws.send(payload, opcode)
            ws.settimeout(0)
        except (OSError, websocket.WebSocketException) as e:
            raise self._closed(f"sending failed: {said_of(e)}") from None

    def _emit(self, event: StreamEvent) -> None:
        with self._emitting:
            if not self._silent.is_set():
                self._sink(event)

    def _closed(self, reason: str, code: int | None = None) -> _Gone:
        return _Gone(Closed(self._generation, reason, code))

    def _shut(self, ws: websocket.WebSocket | None) -> None:
        """Say goodbye if that is possible at once, and free every descriptor."""
        sock = self._dial.socket
        if ws is not None and ws.connected:
            with contextlib.suppress(OSError, ValueError, websocket.WebSocketException):
                ws.settimeout(0.2)
                ws.send_close()
                until = host_monotonic() + 0.2
                # What is unread when a socket closes makes it a reset, and the goodbye is lost with it.
                while sock is not None and host_monotonic() < until and sock.recv(65536):
                    pass
        if sock is not None:
            self._dial.cut()
            with contextlib.suppress(OSError):
                sock.close()
        with self._wake_lock:
            self._woken.close()
            self._waker.close()
