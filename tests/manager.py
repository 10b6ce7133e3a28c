"""A service manager's notification socket, as systemd would listen on it."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress


class Manager:
    """The socket that systemd would listen on."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)
        self.environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}

    def listen(self) -> list[str]:
        """Read on in a thread, as the real one does; gives the list that grows."""
        words: list[str] = []

        def read() -> None:
            self.socket.settimeout(None)
            with suppress(OSError):
                while True:
                    words.append(self.socket.recv(4096).decode())

        threading.Thread(target=read, daemon=True).start()
        return words

    def heard(self) -> list[str]:
        """The lines of the next word."""
        return self.socket.recv(4096).decode().split("\n")

    def all(self) -> list[str]:
        """Every word that is there already."""
        self.socket.setblocking(False)
        words = []
        try:
            while True:
                words.append(self.socket.recv(4096).decode())
        except BlockingIOError:
            return words
        finally:
            self.socket.settimeout(5)
