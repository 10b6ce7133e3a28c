"""The door to commands: argv lists in process groups of their own, bounded in time and size, ended to the last member.

What a command starts ends with it, and it ends with runbook: beside each stands a guard (commands_guard.py) that sees to it when
runbook is killed. Only what leaves its process group on purpose (a daemon's own `setsid`) goes on; a service belongs to
systemd, not to a command of ours.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from runbook.adapters.commands_guard import OVER
from runbook.clock import host_monotonic
from runbook.command import Ended, Ending
from runbook.redact import MASK

log = logging.getLogger(__name__)

MOST = 64 * 1024  # bytes kept of one command: of both streams the beginning and the end
GRACE = 5.0  # seconds between TERM and KILL
_MARGIN = 4096  # kept beyond a cut until it is redacted, so that no secret is cut in two and shown by halves
_PART = MOST // 4 - _MARGIN
_TURN = 0.05  # seconds: how soon a stop is noticed
_HURRY = 1.0  # seconds between TERM and KILL once the door is being closed
_LINGER = 0.2  # seconds that a pipe is read on after the command has ended
_KILLED = 2.0  # seconds that the kernel is given to end what was killed
_CHUNK = 65536
_GUARD = Path(__file__).with_name("commands_guard.py")
_GUARD_ENDS = 1.0  # seconds
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")


class ChildCommands:
    """Runs commands in `folder`; what they print passes through `redact`. Any thread may run; none waits for another."""

    def __init__(self, redact: Callable[[str], str], folder: Path = Path("/"), *, grace: float = GRACE) -> None:
        self._redact = redact
        self._folder = folder
        self._grace = grace
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._live: dict[int, _Group] = {}

    def run(
        self, argv: Sequence[str], timeout: float, stop: threading.Event | None = None, env: Sequence[str] = ()
    ) -> Ended:
        """Run it; at the end of `timeout` real seconds, at `stop` or at `close` its whole group gets TERM, then KILL.

        Blocks at most `timeout` and some seconds more. Never raises for what the command does.
        """
        began = host_monotonic()
        with self._lock:  # a child is never started behind the back of `close`
            if self._closing.is_set():
                return Ended(Ending.STOPPED)
            try:
                group = _Group(argv, self._folder, self._environment(env), self._grace)
            except FileNotFoundError:
                return Ended(Ending.NOT_FOUND, fault=f"there is no `{argv[0]}` on this host")
            except (OSError, ValueError) as exc:
                why = exc.strerror if isinstance(exc, OSError) else str(exc)
                return Ended(Ending.NOT_FOUND, fault=f"`{argv[0]}` cannot be run: {why}")
            self._live[group.pid] = group
        try:
            ending = self._follow(group, began + timeout, stop)
            code = group.end(0.0 if ending is Ending.EXITED else self._grace, self._closing)
        finally:
            with self._lock:
                del self._live[group.pid]
            group.close()
        seconds = host_monotonic() - began
        if ending is Ending.EXITED and code is not None and code < 0:
            ending, code = Ending.SIGNALLED, -code
        elif ending is not Ending.EXITED:
            code = None if code is None else abs(code)
        out, err = (tail.text(self._redact) for tail in group.tails)
        return Ended(ending, code, out, err, seconds)

    def close(self) -> None:
        """End whatever runs; each `run` returns STOPPED. Waits until it has."""
        self._closing.set()
        until, pause = host_monotonic() + _HURRY + _LINGER + _KILLED, threading.Event()
        while self._live and host_monotonic() < until:
            pause.wait(_TURN)

    def kill(self) -> None:
        """KILL whatever runs, now and without waiting: for a process that is about to end itself."""
        self._closing.set()
        for group in list(self._live.values()):
            group.signal(signal.SIGKILL)

    def _follow(self, group: _Group, until: float, stop: threading.Event | None) -> Ending:
        """Read what it prints until it ends, or must."""
        while not group.over:
            if self._closing.is_set() or (stop is not None and stop.is_set()):
                return Ending.STOPPED
            if (left := until - host_monotonic()) <= 0:
                return Ending.TIMED_OUT
            group.read(min(left, _TURN))
        return Ending.EXITED

    def _environment(self, names: Sequence[str]) -> dict[str, str]:
        """Enough to find programs, the ssh agent and what was asked for; a variable that is a secret of ours stays here."""
        kept = {name: os.environ[name] for name in (*_KEPT, *names) if name in os.environ}
        plain = {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
        return {name: value for name, value in kept.items() if self._redact(value) != MASK} | plain


class _Tail:
    """The beginning and the end of a stream; what lies between is counted and let go."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._end = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        room = max(0, _PART + _MARGIN - len(self._head))
        self._head += chunk[:room]
        self._end += chunk[room:]
        if (over := len(self._end) - _PART - _MARGIN) > 0:
            del self._end[:over]
            self._dropped += over

    def text(self, redact: Callable[[str], str]) -> str:
        if not self._dropped:
            return redact(bytes(self._head + self._end).decode("utf-8", "replace"))
        head = redact(self._head.decode("utf-8", "replace"))[:-_MARGIN]
        end = redact(self._end.decode("utf-8", "replace"))[_MARGIN:]
        return f"{head}\n... {self._dropped + 2 * _MARGIN} bytes left out ...\n{end}"


class _Group:
    """One child and the process group it leads. The child is reaped last: until then its number is nobody else's."""

    def __init__(self, argv: Sequence[str], folder: Path, environment: dict[str, str], grace: float) -> None:
        self._guard = _Guard(grace)  # before, so that it is told the number the moment there is one
        try:
            self._child = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                start_new_session=True, close_fds=True, cwd=folder, env=environment,
            )  # fmt: skip
        except BaseException:
            self._guard.close()
            raise
        self.pid = self._child.pid
        self._guard.watch(self.pid)
        self.tails = (_Tail(), _Tail())
        self._reaping = threading.Lock()
        self._poll = select.poll()
        self._pipes: dict[int, tuple[IO[bytes], _Tail]] = {}
        for pipe, tail in zip((self._child.stdout, self._child.stderr), self.tails, strict=True):
            assert pipe is not None  # both were asked for
            os.set_blocking(pipe.fileno(), False)
            self._poll.register(pipe.fileno(), select.POLLIN)
            self._pipes[pipe.fileno()] = (pipe, tail)

    @property
    def over(self) -> bool:
        """True when the child has ended, whoever of its own may still be there; it is not reaped by this."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def read(self, seconds: float) -> bool:
        """Take what comes within `seconds`; False when nothing came, or nobody holds the pipes any more."""
        if not self._pipes:
            threading.Event().wait(seconds)
            return False
        came = False
        for number, _ in self._poll.poll(seconds * 1000):
            pipe, tail = self._pipes[number]
            with contextlib.suppress(BlockingIOError):
                chunk = os.read(number, _CHUNK)
                if chunk:
                    tail.add(chunk)
                    came = True
                else:
                    self._poll.unregister(number)
                    del self._pipes[number]
                    pipe.close()
        return came

    def end(self, grace: float, hurry: threading.Event) -> int | None:
        """TERM to the group, `grace` seconds, KILL; gives the child's return code, or None when even KILL did not end it.

        `hurry` leaves it one second of them. Also after the child ended by itself: what it left behind in its group is ended with it.
        """
        until = host_monotonic() + grace
        if grace:
            self.signal(signal.SIGTERM)
            while not self.over and host_monotonic() < until:
                self.read(_TURN)
                if hurry.is_set():
                    until = min(until, host_monotonic() + _HURRY)
                    hurry = threading.Event()
        until = host_monotonic() + _LINGER
        while host_monotonic() < until and self._pipes and self.read(_TURN):  # what it printed with its last breath
            pass
        self.signal(signal.SIGKILL)
        until = host_monotonic() + _KILLED
        while not self.over:
            if host_monotonic() > until:
                return None  # it hangs in the kernel, where no signal reaches it
            self.read(_TURN)
        with self._reaping:
            self._guard.dismiss()  # before the number may be another's
            return self._child.wait()

    def signal(self, number: signal.Signals) -> None:
        with self._reaping:
            if self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, number)

    def close(self) -> None:
        for pipe, _ in self._pipes.values():
            pipe.close()
        self._guard.close()


class _Guard:
    """A process that ends a group when this one is gone. Where none can be started the command does without."""

    def __init__(self, grace: float) -> None:
        words = [sys.executable, "-I", "-S", str(_GUARD), str(grace)]
        try:
            self._child: subprocess.Popen[bytes] | None = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0,
                start_new_session=True, cwd="/", env={},
            )  # fmt: skip
        except OSError as exc:
            log.warning("a command runs without a guard: %s", exc.strerror)
            self._child = None

    def watch(self, group: int) -> None:
        self._say(b"%d\n" % group)

    def dismiss(self) -> None:
        """There is nothing left to end."""
        self._say(OVER)

    def close(self) -> None:
        if self._child is None:
            return
        try:
            self._child.communicate(timeout=_GUARD_ENDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _say(self, words: bytes) -> None:
        if self._child is not None and self._child.stdin is not None:
            with contextlib.suppress(OSError):  # somebody ended it
                self._child.stdin.write(words)
