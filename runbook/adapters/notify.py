"""The door to Apprise: each channel is served by a short-lived child process that is ours to kill.

A child starts with the first message, serves while there are messages, ends when idle, and is killed with its whole group when
a send outlives its time. The channel's URL is a secret: it goes over the child's stdin, never into argv or the environment.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runbook.clock import host_monotonic
from runbook.ports import Delivery, Message, Notifier

IDLE = 60.0  # seconds of silence after which a child ends: 45 MB are not kept for the next alarm of the day
CHECK_TIMEOUT = 15.0
_CHILD = Path(__file__).with_name("notify_child.py")
_MOST = 10_000  # characters of a body: a request must fit into a pipe, or a hung child would block its sender
_MOST_TITLE = 500
_CHUNK = 65536


class ChildNotifier:
    """Sends through Apprise: `channels` maps a name to an Apprise URL. Any thread may send; channels do not wait for each other."""

    def __init__(self, channels: Mapping[str, str], *, idle: float = IDLE, child: Path = _CHILD) -> None:
        self._channels = {name: _Channel(url, idle, child) for name, url in channels.items()}

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        """(what became of it, why in one line without secrets); blocks at most `timeout` real seconds."""
        found = self._channels.get(channel)
        if found is None:
            return Delivery.MISCONFIGURED, f"there is no channel {channel!r} under `notify:`"
        request = {"title": message.title[:_MOST_TITLE], "body": message.body[:_MOST], "timeout": timeout}
        return found.ask(request, timeout)

    def close(self) -> None:
        """Kill what is still sending; it may have arrived, and its sender is told so."""
        for channel in self._channels.values():
            channel.close()


class ByChannel:
    """Several notifiers as one: those that serve a channel of their own, and one for all the others."""

    def __init__(self, own: Mapping[str, Notifier], rest: Notifier) -> None:
        self._own = dict(own)
        self._rest = rest

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        return self._own.get(channel, self._rest).send(channel, message, timeout)

    def close(self) -> None:
        for notifier in (*self._own.values(), self._rest):
            notifier.close()


def check_url(url: str, timeout: float = CHECK_TIMEOUT) -> str | None:
    """Why Apprise does not understand `url`, without printing it; None when it does. Sends nothing."""
    channel = _Channel(url, IDLE, _CHILD)
    try:
        delivery, reason = channel.ask({"check": True}, timeout)
    finally:
        channel.close()
    return None if delivery is Delivery.SENT else reason


@dataclass(frozen=True, slots=True)
class _Said:
    """What a child said before it answered, ended or ran out of time."""

    taken: bool
    answer: dict[str, Any] | None
    late: bool = False


class _Channel:
    """One URL and the child that serves it now, if any."""

    def __init__(self, url: str, idle: float, program: Path) -> None:
        self._hello = {"url": url, "idle": idle}
        self._program = program
        self._turn = threading.Lock()  # one message at a time
        self._state = threading.Lock()  # guards the two below
        self._child: _Child | None = None
        self._closed = False

    def ask(self, request: Mapping[str, object], timeout: float) -> tuple[Delivery, str]:
        deadline = host_monotonic() + timeout
        if not self._turn.acquire(timeout=timeout):
            return Delivery.FAILED, f"the channel was busy for {timeout:g} s with the message before"
        try:
            return self._ask(request, timeout, deadline)
        finally:
            self._turn.release()

    def _ask(self, request: Mapping[str, object], timeout: float, deadline: float) -> tuple[Delivery, str]:
        while True:
            try:
                child, fresh = self._ready()
            except OSError as exc:
                return Delivery.FAILED, f"the sending process cannot be started: {exc.strerror}"
            if child is None:
                return Delivery.FAILED, "runbook is stopping"
            said = child.ask(request, deadline)
            if said.answer is not None:
                if said.answer.get("bye"):
                    self._drop(child)
                return Delivery(said.answer["status"]), str(said.answer["reason"])
            self._drop(child)
            if said.late:
                state = Delivery.UNKNOWN if said.taken else Delivery.FAILED
                return state, f"no answer within {timeout:g} s" + ("" if said.taken else ", and nothing was sent")
            if said.taken:
                return Delivery.UNKNOWN, "the sending process ended in mid-send"
            if fresh:
                return Delivery.FAILED, "the sending process ended before it took the message"
            # The old child had gone idle just now and took nothing: a fresh one gets it.

    def close(self) -> None:
        with self._state:
            self._closed = True
            child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        with self._turn:  # whoever was asking is told at once, since the pipe has ended
            child.release()

    def _ready(self) -> tuple[_Child | None, bool]:
        """The running child, or a new one and True; None once closed."""
        with self._state:
            if self._closed:
                return None, False
            if self._child is not None and self._child.alive:
                return self._child, False
            if self._child is not None:
                self._child.release()
            self._child = _Child(self._program, self._hello)
            return self._child, True

    def _drop(self, child: _Child) -> None:
        with self._state:
            if self._child is child:
                self._child = None
        child.release()


class _Child:
    """A sending process in a group of its own. Only `kill` may be called from another thread."""

    def __init__(self, program: Path, hello: Mapping[str, object]) -> None:
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        # -P: no file beside the child, nor in a site, can stand in for a module. Own group: Ctrl-C at the terminal is ours.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program)], stdin=pipe, stdout=pipe, stderr=null, bufsize=0, process_group=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._held = b""
        self._write(hello)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Mapping[str, object], deadline: float) -> _Said:
        """One request and its answer; kills the child when the deadline passes."""
        self._write(request)
        taken = late = False
        while True:
            try:
                line = self._line(deadline)
            except TimeoutError:
                if late:
                    return _Said(taken, None, late)
                late = True
                self.kill()
                continue  # what it said before it was killed still counts
            if line is None:
                return _Said(taken, None, late)
            said = json.loads(line)
            if "status" in said:
                return _Said(taken=True, answer=said | {"bye": late or said.get("bye", False)})
            taken = True

    def kill(self) -> None:
        """End the whole group now; harmless when it has ended."""
        if self.alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def release(self) -> None:
        """Kill it and close its pipes; by the thread that asks, or when none does."""
        self.kill()
        for pipe in (self._in, self._out):
            with suppress(OSError):
                pipe.close()

    def _write(self, request: Mapping[str, object]) -> None:
        line = json.dumps(request, ensure_ascii=False).encode(errors="replace") + b"\n"
        with suppress(OSError):  # it has ended: the read that follows says so
            self._in.write(line)

    def _line(self, deadline: float) -> bytes | None:
        """The next line, or None at the end of file; raises TimeoutError when the deadline passes first."""
        while b"\n" not in self._held:
            left = max(0.0, deadline - host_monotonic())
            if not self._poll.poll(left * 1000):
                raise TimeoutError
            if not (chunk := os.read(self._out.fileno(), _CHUNK)):
                return None
            self._held += chunk
        line, self._held = self._held.split(b"\n", 1)
        return line
