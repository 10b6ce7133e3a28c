"""The door to a bare TCP port: who listens, who refuses, who is silent. Says nothing, reads nothing, closes at once."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from runbook.clock import host_monotonic
from runbook.doctor.seen import Knock, Reach

_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def knock(url: str, seconds: float = 3.0) -> Knock:
    """Connect to the host and port of `url`; `seconds` is the most it may take."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 80)
    host = parts.hostname or ""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    begun = host_monotonic()

    def answer(reach: Reach, said: str = "") -> Knock:
        return Knock(address, reach, host_monotonic() - begun, said)

    try:
        socket.create_connection((host, port), seconds).close()
    except socket.gaierror as exc:
        return answer(Reach.NO_NAME, exc.strerror or "")
    except ConnectionRefusedError:
        return answer(Reach.REFUSED)
    except TimeoutError:
        return answer(Reach.TIMEOUT)
    except OSError as exc:
        return answer(Reach.FAILED, exc.strerror or type(exc).__name__)
    return answer(Reach.OPEN)
