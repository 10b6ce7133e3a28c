"""The door to commands of the host, here or through ssh: argv lists of an allow-list, bounded in time and size, never a shell."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from runbook.host import HERE, Command, Ran, target

_MOST = 256 * 1024  # bytes of an answer that are kept
_SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ClearAllForwardings=yes")
_NOT_FOUND = 127
_SSH_FAILED = 255


class Host:
    """Runs commands on `where`: "" for this host, else USER@HOST through ssh, which never asks for a password."""

    def __init__(self, where: str = HERE) -> None:
        self.where = target(where)

    def run(self, command: Command, seconds: float = 10.0) -> Ran:
        """Run it; what does not end in `seconds` is killed with all it started. Never raises for what the command does."""
        words = list(command.words)
        if self.where:
            # sshd hands what follows to a login shell as one line: each word is quoted so that it stays one
            words = [*_SSH, "--", self.where, *map(shlex.quote, words)]
        # Into files: an answer without end fills a disk for some seconds, and never our memory.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                child = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True,
                    env=_environment(), cwd=Path("/"),
                )  # fmt: skip
            except FileNotFoundError:
                return Ran(None, fault=f"there is no `{words[0]}` on this host")
            except OSError as exc:
                return Ran(None, fault=f"`{words[0]}` cannot be run: {exc.strerror or type(exc).__name__}")
            try:
                child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return Ran(None, fault=f"`{command.words[0]}` did not end within {seconds:g} s")
            said = Ran(child.returncode, _end(out), _end(err))
        if self.where and child.returncode == _SSH_FAILED:
            return Ran(None, fault=f"ssh {self.where}: {_last(said.err) or 'no connection'}")
        if self.where and child.returncode == _NOT_FOUND:
            return Ran(None, fault=f"there is no `{command.words[0]}` on {self.where}")
        return said


def _environment() -> dict[str, str]:
    """Enough to find commands and the ssh agent; nothing that holds a secret of the site, and words in English."""
    kept = {
        name: os.environ[name] for name in ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK") if name in os.environ
    }
    return kept | {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


def _end(file: IO[bytes]) -> str:
    """The end of what was written, whole lines only where it had to be cut."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MOST))
    text = file.read().decode("utf-8", "replace")
    return text if size <= _MOST else text.partition("\n")[2]


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
