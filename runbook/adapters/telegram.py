"""The door to Telegram's bot API: sends the messages of one channel with buttons under them, and hears what people say.

The token is a part of every address, so no address is ever logged, and no error of the library, which quotes them, leaves here.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import requests
from urllib3.exceptions import NameResolutionError

from runbook.adapters.paced import PacedAdapter, Wait, causes, within
from runbook.clock import host_monotonic
from runbook.errors import (
    PhoneError,
    PhoneFlooded,
    PhoneRefused,
    PhoneRejected,
    PhoneShared,
    PhoneUnreachable,
    RunbookError,
)
from runbook.phone import Batch, Button, Heard, Keyboard
from runbook.ports import Delivery, Message
from runbook.redact import MASK

log = logging.getLogger(__name__)

API = "https://api.telegram.org"
ROOM = 4000  # of 4096 characters, markup included
CUT = "\n… (cut)"
TOAST = 190  # of 200 characters
_TITLE = 250
_CONNECT, _READ = 8.0, 15.0  # seconds
_SLACK = 10.0  # seconds beyond a long poll's own time, before its connection counts as dead
_SHORT_WAIT = 5.0  # a 429 that asks for no more is waited for within the send
_CHAT_GONE = re.compile(
    r"chat not found|blocked by the user|kicked|deactivated|not a member|not enough rights", re.IGNORECASE
)


class Bot:
    """One bot; threads may share it. Implements `ports.Telephone`."""

    def __init__(self, token: str, *, api: str = API) -> None:
        self._token = token
        self._base = f"{api}/bot{token}/"
        self._stop = threading.Event()
        self._session = requests.Session()
        self._session.headers.update({"Accept-Encoding": "identity", "User-Agent": "runbook"})
        adapter = PacedAdapter(pool_connections=1, pool_maxsize=4)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __repr__(self) -> str:
        return f"Bot({self.number})"

    @property
    def number(self) -> int:
        """The bot's own user id: the token's public half."""
        head = self._token.partition(":")[0]
        return int(head) if head.isdecimal() else 0

    def name(self) -> str:
        told = self.call("getMe", {})
        return str(told.get("username", "")) if isinstance(told, dict) else ""

    def listen(self, after: int | None, seconds: float) -> Batch:
        fields: dict[str, object] = {"timeout": int(seconds), "allowed_updates": ["message", "callback_query"]}
        if after is not None:
            fields["offset"] = after
        told = self.call("getUpdates", fields, read=seconds + _SLACK)
        rows = [row for row in told if isinstance(row, dict) and isinstance(row.get("update_id"), int)]
        if not rows:
            return Batch()
        heard = (_heard(row) for row in sorted(rows, key=lambda row: row["update_id"]))
        return Batch(tuple(h for h in heard if h is not None), max(row["update_id"] for row in rows) + 1)

    def say(self, chat: int, text: str, keyboard: Keyboard = (), reply_to: int = 0) -> None:
        self.send(chat, escape(fit(text, ROOM), quote=False), keyboard, reply_to)

    def send(
        self, chat: int, html: str, keyboard: Keyboard = (), reply_to: int = 0, *, seconds: float = _CONNECT + _READ
    ) -> None:
        """Send a text that is HTML already, within `seconds`."""
        fields: dict[str, object] = {
            "chat_id": chat,
            "text": html,
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        if keyboard:
            fields["reply_markup"] = _markup(keyboard)
        if reply_to:
            fields["reply_parameters"] = {"message_id": reply_to, "allow_sending_without_reply": True}
        connect = min(_CONNECT, seconds / 3)
        self.call("sendMessage", fields, connect=connect, read=seconds - connect)

    def answer(self, press: str, text: str) -> None:
        shown = text if len(text) <= TOAST else text[: TOAST - 3] + "..."
        self.call("answerCallbackQuery", {"callback_query_id": press, "text": shown})

    def buttons(self, chat: int, message: int, keyboard: Keyboard) -> None:
        fields = {"chat_id": chat, "message_id": message, "reply_markup": _markup(keyboard)}
        self.call("editMessageReplyMarkup", fields)

    def close(self) -> None:
        self._stop.set()
        self._session.close()

    def call(self, method: str, fields: Mapping[str, object], *, connect: float = _CONNECT, read: float = _READ) -> Any:
        """One call and its result, within `connect` and `read` seconds together; raises a PhoneError."""
        if self._stop.is_set():
            raise PhoneUnreachable("runbook is stopping")
        wait = Wait(until=host_monotonic() + connect + read, idle=read, stop=self._stop)
        try:
            with (
                within(wait),
                self._session.post(
                    self._base + method, json=fields, timeout=(connect, read), stream=True, allow_redirects=False
                ) as response,
            ):
                status, body = response.status_code, b"".join(response.iter_content(65536))
        except (requests.RequestException, OSError) as exc:
            why, taken = _why(exc, wait)
        else:
            return self._result(method, status, body)
        # Outside of the handler, so that nothing is chained: what the library says quotes the address, which holds the token.
        raise PhoneUnreachable(f"{method}: {why}", taken=taken)

    def _result(self, method: str, status: int, body: bytes) -> Any:
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict) or "ok" not in told:
            raise PhoneUnreachable(f"{method}: HTTP {status}, and no answer of Telegram's")
        if told["ok"] is True:
            return told.get("result")
        more = told.get("parameters")
        more = more if isinstance(more, dict) else {}
        said = " ".join(str(told.get("description", "no reason given")).replace(self._token, MASK).split())[:200]
        text = f"{method}: {said} (error={status})"
        match status:
            case 401 | 404:
                raise PhoneRefused(text)
            case 409:
                raise PhoneShared(text)
            case 429:
                raise PhoneFlooded(text, seconds=_number(more.get("retry_after"), 30.0))
            case code if code >= 500:
                raise PhoneUnreachable(text)
        moved = more.get("migrate_to_chat_id")
        raise PhoneRejected(text, moved_to=moved if isinstance(moved, int) else None)


class TelegramNotifier:
    """Sends to one chat, with the buttons that `keyboard` gives for what a message is about; implements `ports.Notifier`."""

    def __init__(self, bot: Bot, chat: int, keyboard: Callable[[Sequence[str]], Keyboard] = lambda _about: ()) -> None:
        self._bot = bot
        self._chat = chat
        self._keyboard = keyboard
        self._still_until = 0.0  # host seconds: Telegram asked for silence until then
        self._stopped = threading.Event()

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        """(what became of it, why); blocks at most `timeout` real seconds. What Telegram asks to wait for is waited for."""
        del channel
        deadline = host_monotonic() + timeout
        keyboard, text, tries = self._offer(message.about), shaped(message), 0
        while True:
            left = deadline - host_monotonic()
            wait = self._still_until - host_monotonic()
            if wait > min(_SHORT_WAIT, left - 1.0):
                return Delivery.FAILED, f"Telegram asks for {wait:.0f} s of silence (error=429)"
            if wait > 0 and self._stopped.wait(wait):
                return Delivery.FAILED, "runbook is stopping"
            tries += 1
            try:
                self._bot.send(self._chat, text, keyboard, seconds=max(0.1, deadline - host_monotonic()))
            except PhoneFlooded as exc:
                self._still_until = host_monotonic() + exc.seconds
            except PhoneRejected as exc:
                if exc.moved_to is not None and tries < 3:
                    log.warning("the group has become another chat: set `chat: %d` in config.yaml", exc.moved_to)
                    self._chat = exc.moved_to
                elif keyboard and tries < 3 and not _CHAT_GONE.search(str(exc)):
                    log.warning("Telegram refuses the buttons; the message goes out without: %s", exc)
                    keyboard = ()  # they must never cost the alert
                else:
                    return Delivery.FAILED, str(exc)
            except PhoneRefused as exc:
                return Delivery.MISCONFIGURED, str(exc)
            except PhoneUnreachable as exc:
                return Delivery.UNKNOWN if exc.taken else Delivery.FAILED, str(exc)
            except PhoneError as exc:
                return Delivery.FAILED, str(exc)
            else:
                return Delivery.SENT, ""

    def _offer(self, about: Sequence[str]) -> Keyboard:
        try:
            return self._keyboard(about) if about else ()
        except RunbookError as exc:
            log.warning("no buttons under a message: %s", exc)
            return ()

    def close(self) -> None:
        self._stopped.set()
        self._bot.close()


def shaped(message: Message) -> str:
    """The message as Telegram's HTML: the title bold, every character as it was typed, within what one message holds."""
    title = escape(" ".join(message.title.split())[:_TITLE], quote=False)
    body = fit(message.body.rstrip(), ROOM - len(title) - len("<b></b>\n"))
    return f"<b>{title}</b>\n{escape(body, quote=False)}" if body else f"<b>{title}</b>"


def fit(text: str, room: int) -> str:
    """`text`, cut so that it needs at most `room` characters once it is escaped; a cut says so and splits no entity."""
    if _size(text) <= room:
        return text
    left = room - _size(CUT)
    for at, char in enumerate(text):
        left -= _size(char)
        if left < 0:
            return text[:at].rstrip() + CUT
    return text


def _size(text: str) -> int:
    """Telegram counts as UTF-16 does: a character outside the basic plane is two."""
    return len(escape(text, quote=False).encode("utf-16-le", errors="replace")) // 2


def _markup(keyboard: Keyboard) -> dict[str, object]:
    return {"inline_keyboard": [[{"text": b.text, "callback_data": b.data} for b in row] for row in keyboard]}


def _heard(row: Mapping[str, Any]) -> Heard | None:
    """An update as the noun has it; None for what is neither a text nor a press."""
    try:
        if (press := row.get("callback_query")) is not None:
            under = press["message"]
            return Heard(
                row["update_id"], int(press["from"]["id"]), int(under["chat"]["id"]), None,
                press=str(press["id"]), data=str(press.get("data", "")), message=int(under["message_id"]),
                private=under["chat"].get("type") == "private", borrowed=bool(press["from"].get("is_bot")),
                who=_who(press["from"]), keyboard=_buttons(under),
            )  # fmt: skip
        said = row["message"]
        borrowed = any(k in said for k in ("forward_origin", "forward_date", "sender_chat", "via_bot"))
        return Heard(
            row["update_id"], int(said["from"]["id"]), int(said["chat"]["id"]), datetime.fromtimestamp(int(said["date"]), UTC),
            text=str(said["text"]), message=int(said["message_id"]), private=said["chat"].get("type") == "private",
            borrowed=borrowed or bool(said["from"].get("is_bot")), who=_who(said["from"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return None


def _buttons(message: Mapping[str, Any]) -> Keyboard:
    rows = (message.get("reply_markup") or {}).get("inline_keyboard", [])
    return tuple(tuple(Button(str(b["text"]), str(b.get("callback_data", ""))) for b in row) for row in rows)


def _who(user: Mapping[str, Any]) -> str:
    names = [str(user.get(key, "")) for key in ("first_name", "last_name")]
    handle = f"@{user['username']}" if user.get("username") else ""
    return " ".join(text for text in (*names, handle) if text)


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


def _why(exc: BaseException, wait: Wait) -> tuple[str, bool]:
    """(why there is no answer, whether the request may have been received), without anything the library quotes."""
    if wait.ended == "given up":
        return "runbook is stopping", True
    if wait.ended is not None:
        return f"no answer in time: {wait.ended}", True
    found = causes(exc)
    if any(isinstance(c, ConnectionRefusedError) for c in found):
        return "connection refused", False
    if any(isinstance(c, NameResolutionError) for c in found):
        return "the host's name is not found", False
    if isinstance(exc, requests.exceptions.ProxyError):
        return "the proxy refused", False
    if isinstance(exc, requests.exceptions.SSLError):
        return "TLS failed", False
    if isinstance(exc, requests.ConnectTimeout):
        return "no connection in time", False
    if isinstance(exc, requests.exceptions.Timeout):
        return "no answer in time", True
    if any(isinstance(c, ConnectionResetError | BrokenPipeError) for c in found):
        return "the connection was cut", True
    inner = next((c.strerror for c in reversed(found) if isinstance(c, OSError) and c.strerror), "")
    cut = any(type(c).__name__ in ("RemoteDisconnected", "IncompleteRead", "ProtocolError") for c in found)
    return ("the connection was cut" if cut else f"no connection{': ' * bool(inner)}{inner}"), cut
