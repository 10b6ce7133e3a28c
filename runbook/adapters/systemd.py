"""The door to systemd's notification socket: a datagram a word. Without NOTIFY_SOCKET nothing is sent, and nothing is wrong."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

from runbook.clock import host_monotonic

log = logging.getLogger(__name__)

_PATIENCE = 2.0  # seconds for a word that is said only once


class Systemd:
    """Says how the service stands: READY, WATCHDOG, RELOADING, STOPPING, each with a line for `systemctl status`.

    `environment` holds NOTIFY_SOCKET (a path, or @name for an abstract one), WATCHDOG_USEC and WATCHDOG_PID, as systemd
    sets them for a unit of Type=notify.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watched = _watchdog(environment) is not None
        self._failed = False

    @property
    def listens(self) -> bool:
        """Whether anybody asked to be told."""
        return bool(self._address)

    def ready(self, status: str = "") -> None:
        self._say("READY=1", _status(status))

    def alive(self, status: str = "") -> None:
        """Feed the watchdog, where the unit has one; to be called by what has just proved that it works, and nobody else."""
        # a manager that does not read must not hold up the pulse; the next turn says it again
        self._say("WATCHDOG=1" if self._watched else "", _status(status), patience=0.0)

    def reloading(self) -> None:
        self._say("RELOADING=1", f"MONOTONIC_USEC={int(host_monotonic() * 1e6)}")

    def stopping(self, status: str = "") -> None:
        self._say("STOPPING=1", _status(status))

    def _say(self, *lines: str, patience: float = _PATIENCE) -> None:
        text = "\n".join(line for line in lines if line)
        if not self._address or not text:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(patience)
                out.sendto(text.encode(), self._address)
            self._failed = False
        except OSError as exc:
            if not self._failed:
                log.warning("systemd could not be told (%s); its watchdog may end this process", exc.strerror or exc)
            self._failed = True


def _watchdog(environment: Mapping[str, str]) -> int | None:
    """Microseconds within which the watchdog wants a word; None where there is none, or it is meant for another process."""
    text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not (text.isascii() and text.isdigit() and int(text) > 0) or pid not in ("", str(os.getpid())):
        return None
    return int(text)


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}" if text else ""
