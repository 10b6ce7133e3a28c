"""The door to a dead-man's switch outside: healthchecks' ping API, which its hosted service and its copies speak.

The address is a capability: who knows it can silence the alarm. So no error names more of it than its host, and none of the
library's words is passed on: they hold the path.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

import requests

from runbook.adapters.paced import PacedAdapter, Wait, within
from runbook.clock import host_monotonic

TIMEOUT = 10.0  # seconds for a ping in all, a slow answer included
_MOST = 200  # bytes of the answer that are looked at


class Healthchecks:
    """Pings checks by name; `urls` maps the name to the address. Calls may take seconds: not for a thread that must not wait."""

    def __init__(self, urls: Mapping[str, str], *, timeout: float = TIMEOUT) -> None:
        self._urls = dict(urls)
        self._timeout = timeout
        self._stop = threading.Event()
        self._session = requests.Session()
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, PacedAdapter())

    def ping(self, check: str, signal: str, body: str, run: UUID | None = None) -> str:
        """Say `signal` ("" success, start, fail) to `check`; gives "" when it was taken, else why not. Never raises."""
        url = self._urls[check]
        where = urlsplit(url).hostname or "?"
        wait = Wait(host_monotonic() + self._timeout, self._timeout, self._stop)
        try:
            with within(wait), self._session.post(
                _address(url, signal, run), data=body.encode(), timeout=self._timeout, stream=True, allow_redirects=False,
                headers={"Content-Type": "application/json", "User-Agent": "runbook"},
            ) as answer:  # fmt: skip
                said = next(answer.iter_content(_MOST), b"").decode("utf-8", "replace")
                status = answer.status_code
        except requests.exceptions.SSLError:
            return f"{where}: its certificate is not accepted"
        except requests.exceptions.ConnectTimeout:
            return f"{where}: no connection within {self._timeout:g} s"
        except requests.exceptions.Timeout:
            return f"{where}: {wait.ended or f'no answer within {self._timeout:g} s'}"
        except requests.exceptions.ConnectionError:
            return f"{where}: {wait.ended or 'no connection'}"
        except (requests.exceptions.RequestException, ValueError, OSError) as exc:
            return f"{where}: {type(exc).__name__}"
        if "not found" in said.lower():  # some servers answer 200 for an address they do not know
            return f"{where} does not know this check: copy its ping URL again"
        return "" if status == 200 else f"{where} answered {status}"

    def close(self) -> None:
        """Give up what is under way, within a quarter of a second."""
        self._stop.set()
        self._session.close()


def _address(url: str, signal: str, run: UUID | None) -> str:
    """`url` with the signal at the end of its path and the run's id in its query."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/{signal}" if signal else parts.path
    query = "&".join(q for q in (parts.query, urlencode({"rid": str(run)}) if run else "") if q)
    return urlunsplit((parts.scheme, parts.netloc, path, query, ""))
