"""Sends the messages of one channel through Apprise, in a process of its own: JSON lines in on stdin, JSON lines out.

Started by path from notify.py and never imported by runbook: Apprise loads 180 plug-ins (25 MB, half a second) and may block
for as long as a server drips bytes. First line in: `{"url": ..., "idle": seconds}`. Then one request at a time,
`{"title", "body", "timeout"}` or `{"check": true}`: answered by `{"taken": true}` before anything is sent, then by
`{"status", "reason", "bye"}`. It ends at end of file, when idle, and after a send that Apprise gave up waiting for.
Imports nothing of runbook; logs nowhere: at DEBUG Apprise logs tokens, and it is listened to at DEBUG here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import select
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from apprise import AppriseResult

SERVICE_TIMEOUT = 20.0  # one send, everything included
TELEGRAM_ROOM = 3500  # of 4096, markup included
CUT = "\n… (cut)"
_TITLE_ROOM = 250
_REASON_ROOM = 200
_CHUNK = 65536
_BLANK = "\u00a0"  # Telegram's plug-in drops empty lines; one that holds a no-break space survives

# What `requests` and smtplib say when the message was out and the answer did not come: it may have arrived.
_MAY_HAVE_ARRIVED = re.compile(
    r"read timed out|read operation timed out|connection aborted|connection broken|remotedisconnected|incompleteread",
    re.IGNORECASE,
)
_MAIL_OUT = re.compile(
    r"timed out|connection unexpectedly closed|connection reset|broken pipe|server not connected", re.IGNORECASE
)
_WHY = (
    (re.compile(r"connection refused", re.IGNORECASE), "connection refused"),
    (re.compile(r"connecttimeout|connect timeout", re.IGNORECASE), "no connection in time"),
    (
        re.compile(r"name or service not known|name resolution|getaddrinfo|nodename", re.IGNORECASE),
        "the host's name is not found",
    ),
    (re.compile(r"tunnel connection failed|proxyerror", re.IGNORECASE), "the proxy refused"),
    (re.compile(r"certificate|sslerror|ssl:", re.IGNORECASE), "TLS failed"),
    (re.compile(r"timed out", re.IGNORECASE), "no answer in time"),
    (re.compile(r"aborted|broken|reset|closed|disconnected", re.IGNORECASE), "the connection was cut"),
    (re.compile(r"\b(535|534|530)\b|authenticat", re.IGNORECASE), "the login was refused"),
)
# What no retry mends: a token that is not one (Telegram answers 401 or 404), a bot that was thrown out, a chat that is none.
_FOR_GOOD = re.compile(r"error=40[134]\b|chat not found", re.IGNORECASE)
_TOKEN = re.compile(r"(?<!\d)\d{6,}:[A-Za-z0-9_-]{30,}")
_SAFE_SCHEME = re.compile(r"[a-z0-9]{2,20}")


class _Heard(logging.Handler):
    """Keeps what Apprise says while a URL is parsed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    """Serve one channel until stdin ends or stays silent."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # a plug-in that prints must not spoil an answer
    os.dup2(null, 2)
    lines = _Lines(0)
    hello = json.loads(lines.next(None) or "{}")
    url, idle = str(hello.get("url", "")), float(hello.get("idle", 60))
    channel: _Channel | None = None
    while line := lines.next(idle):
        request = json.loads(line)
        print(json.dumps({"taken": True}), file=answers, flush=True)
        try:
            channel = channel or _Channel(url)
            answer = channel.answer(request)
        except Exception as exc:  # noqa: BLE001 - whatever a plug-in does, the parent gets a line; never a traceback
            answer = {"status": "failed", "reason": redact(f"{type(exc).__name__}: {exc}", url)}
        print(json.dumps(answer), file=answers, flush=True)
        if answer.get("bye"):
            break
    os._exit(0)  # Apprise's worker threads would hold a normal exit until the dripping server is done


class _Lines:
    """Whole lines of a descriptor; None at its end, or after `seconds` of silence."""

    def __init__(self, fd: int) -> None:
        self._fd, self._held = fd, b""
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def next(self, seconds: float | None) -> bytes | None:
        while b"\n" not in self._held:
            if not self._poll.poll(None if seconds is None else seconds * 1000):
                return None
            if not (chunk := os.read(self._fd, _CHUNK)):
                return None
            self._held += chunk
        line, self._held = self._held.split(b"\n", 1)
        return line


class _Channel:
    """One Apprise object for one URL."""

    def __init__(self, url: str) -> None:
        import apprise

        logger = logging.getLogger("apprise")
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
        logging.lastResort = None
        self._url = url
        self._asset = apprise.AppriseAsset(
            app_id="runbook",
            app_desc="runbook",
            storage_mode=apprise.PersistentStoreMode.MEMORY,  # a cache of tokens on disk is one more place to leak from
            service_timeout=SERVICE_TIMEOUT,
        )
        heard = _Heard()
        logger.addHandler(heard)
        self._service: Any = apprise.Apprise.instantiate(url, asset=self._asset)
        logger.removeHandler(heard)
        self._fault = self._judge(heard.lines)
        self._apprise = apprise.Apprise(asset=self._asset)
        if self._service is not None and self._fault is None:
            self._service.retry = 0  # the outbox owns retries and spacing, whatever the URL says
            self._service.request_rate_per_sec = 0
            self._service.overflow_mode = apprise.OverflowMode.TRUNCATE  # should our own cut ever be too long
            self._apprise.add(self._service)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Check the URL, or send; the answer carries no secret."""
        if self._fault is not None:
            return {"status": "misconfigured", "reason": self._fault}
        if request.get("check"):
            return {"status": "sent", "reason": ""}
        title, body, form = self._shape(str(request["title"]), str(request["body"]))
        with self._apprise.notify(
            title=title,
            body=body,
            body_format=form,
            timeout=min(SERVICE_TIMEOUT, float(request["timeout"])),
            log_level=logging.DEBUG,  # only there stands why a connection failed; it never leaves this process
        ) as result:
            return self._verdict(result)

    def _judge(self, heard: list[str]) -> str | None:
        """Why Apprise cannot use the URL, or None; None too for targets it only drops silently, where some are left."""
        scheme, mark, _ = self._url.partition("://")
        if not mark:
            return "this is no URL: it starts with no scheme such as tgram:// or mailto://"
        scheme = scheme.strip().lower()
        if not _SAFE_SCHEME.fullmatch(scheme):
            return "this is no URL: its scheme is not a word"
        from apprise import NotificationManager

        plugins: Any = NotificationManager
        if scheme not in plugins().schemas(True):
            return f"Apprise knows no service {scheme}://"
        # Lines that quote the whole URL are of no use; what is left is redacted.
        said = "; ".join(line.strip() for line in heard if "://" not in line)
        if self._service is None:
            form = "; it must read tgram://BOT_TOKEN/CHAT_ID" if scheme == "tgram" else ""
            return redact(f"Apprise does not understand this {scheme}:// URL{form}{': ' * bool(said)}{said}", self._url)
        if scheme in ("tgram", "mailto", "mailtos") and not self._service.targets:
            # Without a chat Apprise would ask getUpdates who wrote last: that breaks the poller that owns the bot.
            return redact(f"this {scheme}:// URL names nobody to send to{': ' * bool(said)}{said}", self._url)
        return None

    def _shape(self, title: str, body: str) -> tuple[str, str, str | None]:
        """(title, body, body_format) such that every character arrives as it was typed, within the channel's length.

        Telegram gets HTML of our own: Apprise's own conversion drops indentation and empty lines. Mail gets <pre>, beside
        which Apprise puts the plain text. Everything else is handed over as text, and Apprise escapes what the service needs.
        """
        from apprise import NotifyFormat

        service = self._service
        html = service.resolve_format(None) == NotifyFormat.HTML
        title = " ".join(title.split())[:_TITLE_ROOM]
        body = body.rstrip() or title
        if service.service_name == "Telegram" and html:
            room = TELEGRAM_ROOM - len(_html(title)) - len("<b></b>\r\n")
            lines = (line if line.strip() else _BLANK for line in fit(body, room).split("\n"))
            return _html(title), _html("\n".join(lines)), None
        room = max(100, service.body_maxlen - len(_html(title)) - 100)
        if service.secure_protocol == "mailtos" and html:
            return title, f"<pre>{_html(fit(body, room))}</pre>", NotifyFormat.HTML.value
        return title, fit(body, room), NotifyFormat.TEXT.value

    def _verdict(self, result: AppriseResult) -> dict[str, Any]:
        from apprise import AppriseResultStatus as Status

        logs = list(result.logs())
        debug = "\n".join(entry.message for entry in logs if entry.level == "DEBUG")
        said = [entry.message.strip().rstrip(".") for entry in logs if entry.level in ("WARNING", "ERROR", "CRITICAL")]
        trouble = "\n".join(line for line in debug.splitlines() if "Exception:" in line)
        why = next((word for pattern, word in _WHY if pattern.search(trouble)), "")
        reason = redact("; ".join(dict.fromkeys([*said, why] if why else said)), self._url)
        if result.status == Status.SUCCESS:
            return {"status": "sent", "reason": ""}
        if result.status == Status.NOMATCH:
            return {"status": "misconfigured", "reason": reason or "Apprise found nothing to notify"}
        if result.status == Status.TIMEOUT:
            # Its thread goes on and would deliver late, perhaps after the repeat: this process ends with it.
            return {"status": "unknown", "reason": reason or "no answer in time", "bye": True}
        if self._url.startswith("tgram:") and _FOR_GOOD.search(reason):
            return {"status": "misconfigured", "reason": reason}
        mail_out = any(line.startswith("Sending email to") for line in said) and _MAIL_OUT.search(trouble)
        unknown = bool(mail_out or _MAY_HAVE_ARRIVED.search(trouble))
        return {"status": "unknown" if unknown else "failed", "reason": reason or "Apprise reports a failure"}


def fit(text: str, room: int) -> str:
    """`text`, cut so that it needs at most `room` characters once it is escaped; a cut says so and splits no entity."""
    if len(_html(text)) <= room:
        return text
    left = room - len(CUT)
    for at, char in enumerate(text):
        left -= len(_html(char))
        if left < 0:
            return text[:at].rstrip() + CUT
    return text


def redact(text: str, url: str) -> str:
    """`text` on one line, without anything of `url` that may be a secret: userinfo, path, option values, odd hosts."""
    _, _, rest = url.partition("://")
    address, _, query = rest.partition("?")
    authority, _, path = address.partition("/")
    user, _, host = authority.rpartition("@")
    pieces = [*re.split(r"[:]", user), *re.split(r"[/,;]", path)]
    pieces += [value for pair in re.split(r"[&;]", query) for value in re.split(r"[=,]", pair)[1:]]
    if "." not in host and not host.startswith("localhost"):
        pieces += host.split(":")  # a token, as Telegram's or Slack's, not the name of a machine
    pieces += [part for piece in pieces for part in re.split(r"[:\s]", unquote(piece))] + [unquote(p) for p in pieces]
    for piece in sorted({p.strip() for p in pieces}, key=len, reverse=True):
        if len(piece) > 2:
            text = text.replace(piece, "***")
    return " ".join(_TOKEN.sub("***", text).split())[:_REASON_ROOM]


def _html(text: str) -> str:
    return escape(text, quote=False)


if __name__ == "__main__":
    main()
