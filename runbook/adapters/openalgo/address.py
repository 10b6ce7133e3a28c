"""What an address says without asking any name server: where the stream is, and whether the key travels in clear."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from runbook.errors import UsageError

STREAM_PORT = 8765  # OpenAlgo's own default; behind nginx the stream is a path instead
_PRIVATE_ENDINGS = (".local", ".lan", ".home", ".internal", ".intranet", ".localdomain", ".localhost", ".home.arpa")


def parsed(url: str) -> SplitResult:
    """The parts of an http(s) address; raises UsageError when it is none, without repeating a password in it."""
    try:
        parts = urlsplit(url)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError as e:
        raise UsageError(f"the address of OpenAlgo cannot be read: {e}", hint=_EXAMPLE) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_number:
        raise UsageError("the address of OpenAlgo is not one of http:// or https://", hint=_EXAMPLE)
    return parts


def shown(parts: SplitResult) -> str:
    """An address as it may be printed: no user, no password, no query."""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{_bracketed(parts.hostname or '')}{port}{parts.path.rstrip('/')}"


def stream_url(rest_url: str) -> str:
    """Where OpenAlgo's stream is, given its REST address: its own port without TLS, the path /ws behind nginx."""
    parts = parsed(rest_url)
    host = _bracketed(parts.hostname or "")
    if parts.scheme == "http":
        return f"ws://{host}:{STREAM_PORT}"
    port = f":{parts.port}" if parts.port and parts.port != 443 else ""
    return f"wss://{host}{port}/ws"


def plaintext_warning(url: str) -> str | None:
    """A sentence to shout when the API key would cross a public network unencrypted, or None.

    No name is looked up: a name is private when it has no dot or ends like a home network's, public otherwise.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return None
    if parts.scheme not in {"http", "ws"} or not host or _private(host):
        return None
    return (
        f"the OpenAlgo API key travels in CLEAR TEXT to {parts.scheme}://{_bracketed(host)}: whoever reads it on the way"
        " can trade with it; put TLS in front (https://, wss://) or reach the server through a tunnel"
    )


def _private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        name = host.lower()
        if name == "localhost" or name.endswith(_PRIVATE_ENDINGS):
            return True
        # a bare name can only be a neighbour's; bare digits are an old way to write a public address
        return "." not in name and any(c.isalpha() for c in name) and not name.startswith("0x")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return not address.ipv4_mapped.is_global
    return not address.is_global


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


_EXAMPLE = "for example http://127.0.0.1:5000 or https://openalgo.example.in"
