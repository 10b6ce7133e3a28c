"""Telegram's bot API on loopback, and the people behind it: what a bot sees of the real one, on a real socket.

Imitated, as the public documentation of the Bot API and its open server have it:

- `/bot<token>/<method>`, JSON in, `{"ok", "result"}` or `{"ok": false, "error_code", "description", "parameters"}` out; a token that
  has no form answers 404, an unknown one 401, an unknown method 404.
- `getUpdates` waits up to `timeout` (at most 50 s) for an update; `offset` confirms and forgets all before it, a negative one
  counts from the end; `limit` 1 to 100; `allowed_updates` is remembered. A second `getUpdates` ends the one that waits with 409;
  with a webhook set every one ends with 409. Update ids go up one by one, and start anew at will (`renumber`), as after a week.
- `sendMessage` knows HTML and refuses what cannot be parsed, a text of more than 4096 characters after parsing, an empty one,
  a button with more than 64 bytes of data, a chat it does not know (400), one that blocked it (403), one that moved (400 with
  `migrate_to_chat_id`). `editMessageReplyMarkup` refuses a change that changes nothing. `answerCallbackQuery` takes a press once.
- A private chat has the id of its user; groups have negative ids. A press comes without its own time. An anonymous
  administrator speaks as the group (`sender_chat`). A message that is forwarded says so.

At will: 429 with `retry_after`, any other refusal, an answer that never comes, and answers that are not Telegram's.
"""

from __future__ import annotations

import json
import re
import socketserver
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.adapters.targets import AUTHORITY

TOKEN = "987654321:AAFxm-phone_phone_phone_phone_phone"
BOT_NAME = "runbook_desk_bot"
ME, STRANGER = 4711004711, 666000666
GROUP = -1001234567890
_TAGS = "b|strong|i|em|u|s|code|pre"


class Refused(Exception):
    def __init__(self, code: int, description: str, **parameters: object) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


@dataclass
class Sent:
    """A message of the bot as it stands in the chat now."""

    number: int
    chat: int
    text: str  # as HTML
    keyboard: list[list[dict[str, str]]] = field(default_factory=list)
    reply_to: int = 0

    @property
    def plain(self) -> str:
        bare = re.sub(rf"</?(?:{_TAGS})>", "", self.text)
        return bare.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    @property
    def buttons(self) -> list[str]:
        return [button["text"] for row in self.keyboard for button in row]


class TelegramWorld:
    """The server; `with TelegramWorld() as world:` runs it."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.sent: list[Sent] = []
        self.toasts: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.chats: dict[int, str] = {ME: "private", STRANGER: "private", GROUP: "supergroup"}
        self.blocked: set[int] = set()
        self.moved: dict[int, int] = {}
        self.webhook = ""
        self.refusals: dict[str, list[Refused]] = {}
        self.garbage: dict[str, list[tuple[int, str]]] = {}
        self.hangs: set[str] = set()
        self.reached = threading.Event()  # a call hangs now
        self._updates: list[dict[str, Any]] = []
        self._next_update = 700001
        self._newest: dict[str, Any] = {}
        self._message = 100
        self._presses: set[str] = set()
        self._allowed: list[str] = []
        self._polls = 0
        self._changed = threading.Condition()
        self._over = threading.Event()
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                world._serve(self, json.loads(self.rfile.read(length) or b"{}"))

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *args: object) -> None:
                pass

        self._handler = Handler
        self._proxy: socketserver.ThreadingTCPServer | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.api = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with self._changed:
            self._changed.notify_all()
        for server in (self._server, self._proxy):
            if server is not None:
                server.shutdown()
                server.server_close()
        self._thread.join()

    def proxied(self, folder: Path) -> dict[str, str]:
        """An environment in which https://api.telegram.org is this server: behind a proxy, by a certificate that is trusted."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("api.telegram.org").configure_cert(tls)
        AUTHORITY.cert_pem.write_to_path(folder / "authority.pem")
        api = self._handler

        class Proxy(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                connect = self.rfile.readline().decode()
                while self.rfile.readline().strip():
                    pass
                assert connect.startswith("CONNECT api.telegram.org:443 "), connect
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                try:
                    with tls.wrap_socket(self.request, server_side=True) as secured:
                        api(secured, self.client_address, self.server)
                except OSError:  # whoever called has gone
                    pass

        self._proxy = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
        self._proxy.daemon_threads = True
        threading.Thread(target=self._proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        port = self._proxy.server_address[1]
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(folder / "authority.pem"),
        }

    # -- people -----------------------------------------------------------------------------------------------------

    def says(self, text: str, user: int = ME, chat: int | None = None, *, ago: float = 0.0, **more: object) -> int:
        """Somebody writes to the bot, `ago` seconds before now; gives the message's number."""
        chat = user if chat is None else chat
        said = {
            "message_id": self._number(),
            "from": {"id": user, "is_bot": False, "first_name": "Asha", "username": "asha"},
            "chat": {"id": chat, "type": self.chats[chat]},
            "date": int(time.time() - ago),
            "text": text,
            **more,
        }
        self._put({"message": said})
        return int(said["message_id"])  # type: ignore[call-overload]

    def presses(self, button: str, message: int | None = None, user: int = ME) -> None:
        """Somebody presses a button that stands under a message (the newest that has it)."""
        under = next(s for s in reversed(self.sent) if s.number == (message or s.number) and button in s.buttons)
        data = next(b["callback_data"] for row in under.keyboard for b in row if b["text"] == button)
        self.presses_data(data, under, user)

    def presses_data(self, data: str, under: Sent, user: int = ME) -> None:
        """A press with any data at all: a button that an older message had, or none had ever."""
        number = f"{self._number()}0009"
        self._presses.add(number)
        standing = {
            "message_id": under.number,
            "chat": {"id": under.chat, "type": self.chats[under.chat]},
            "date": int(time.time()),
            "reply_markup": {"inline_keyboard": under.keyboard},
        }
        who = {"id": user, "is_bot": False, "first_name": "Asha"}
        self._put({"callback_query": {"id": number, "from": who, "message": standing, "data": data}})

    def posts_something_else(self) -> None:
        """A picture without a word."""
        who = {"id": ME, "is_bot": False, "first_name": "Asha"}
        said = {
            "message_id": self._number(),
            "from": who,
            "chat": {"id": ME, "type": "private"},
            "date": int(time.time()),
        }
        self._put({"message": said | {"photo": []}})

    def renumber(self, start: int) -> None:
        """Update ids begin anew, as they do after a week without any."""
        self._next_update = start

    def sends_again(self) -> None:
        """The newest update comes once more: its confirmation did not arrive."""
        with self._changed:
            self._updates = [self._newest]
            self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Updates that are not confirmed yet."""
        return len(self._updates)

    @property
    def polled(self) -> int:
        return sum(method == "getUpdates" for method, _ in self.calls)

    def texts(self, chat: int = ME) -> list[str]:
        return [one.plain for one in self.sent if one.chat == chat]

    def other_poller(self) -> None:
        """Another program asks for updates: whoever waits for them is ended."""
        with self._changed:
            self._polls += 1
            self._changed.notify_all()

    def refuse(self, method: str, code: int, description: str, times: int = 1, **parameters: object) -> None:
        self.refusals.setdefault(method, []).extend([Refused(code, description, **parameters)] * times)

    def flood(self, method: str, seconds: int, times: int = 1) -> None:
        self.refuse(method, 429, f"Too Many Requests: retry after {seconds}", times, retry_after=seconds)

    # -- the server -------------------------------------------------------------------------------------------------

    def _number(self) -> int:
        with self._changed:
            self._message += 1
            return self._message

    def _put(self, update: dict[str, Any]) -> None:
        with self._changed:
            if not self._allowed or next(iter(update)) in self._allowed:
                self._newest = {"update_id": self._next_update} | update
                self._updates.append(self._newest)
                self._next_update += 1
            self._changed.notify_all()

    def _serve(self, request: BaseHTTPRequestHandler, fields: dict[str, Any]) -> None:
        method = request.path.rpartition("/")[2]
        self.calls.append((method, fields))
        if method in self.hangs:
            self.reached.set()
            self._over.wait(30)
            request.close_connection = True
            return
        if self.garbage.get(method):
            self._reply(request, *self.garbage[method].pop(0), kind="text/html")
            return
        try:
            told: dict[str, Any] = {"ok": True, "result": self._result(request.path, method, fields)}
            code = 200
        except Refused as exc:
            code = exc.code
            told = {"ok": False, "error_code": code, "description": exc.description}
            if exc.parameters:
                told["parameters"] = exc.parameters
        self._reply(request, code, json.dumps(told))

    def _reply(self, request: BaseHTTPRequestHandler, code: int, text: str, kind: str = "application/json") -> None:
        body = text.encode()
        try:
            request.send_response(code)
            request.send_header("Content-Type", kind)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        except OSError:  # whoever asked has gone
            request.close_connection = True

    def _result(self, path: str, method: str, fields: dict[str, Any]) -> object:
        match = re.fullmatch(r"/bot([^/]+)/\w+", path)
        if match is None or not re.fullmatch(r"[1-9]\d+:[\w-]+", match[1]):
            raise Refused(404, "Not Found")
        if match[1] != self.token:
            raise Refused(401, "Unauthorized")
        if self.refusals.get(method):
            raise self.refusals[method].pop(0)
        known = {
            "getMe": self._me,
            "getUpdates": self._get_updates,
            "sendMessage": self._send,
            "editMessageReplyMarkup": self._edit,
            "answerCallbackQuery": self._answer,
        }
        if method not in known:
            raise Refused(404, "Not Found: method not found")
        return known[method](fields)

    def _me(self, fields: dict[str, Any]) -> object:
        return {"id": int(self.token.partition(":")[0]), "is_bot": True, "first_name": "desk", "username": BOT_NAME}

    def _get_updates(self, fields: dict[str, Any]) -> object:
        if self.webhook:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first")
        limit = min(100, max(1, int(fields.get("limit", 100))))
        until = time.monotonic() + min(50, int(fields.get("timeout", 0)))
        offset = int(fields.get("offset", 0))
        with self._changed:
            self._polls += 1
            mine = self._polls
            self._changed.notify_all()
            self._allowed = fields.get("allowed_updates", self._allowed)
            if offset > 0:
                self._updates = [u for u in self._updates if u["update_id"] >= offset]
            elif offset < 0:
                self._updates = self._updates[offset:]
            while not self._updates and not self._over.is_set():
                if self._polls != mine:
                    break
                if (left := until - time.monotonic()) <= 0:
                    return []
                self._changed.wait(left)
            if self._polls != mine:
                said = "terminated by other getUpdates request; make sure that only one bot instance is running"
                raise Refused(409, f"Conflict: {said}")
            return self._updates[:limit]

    def _send(self, fields: dict[str, Any]) -> object:
        chat, text = fields["chat_id"], fields["text"]
        if chat in self.moved:
            raise Refused(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                migrate_to_chat_id=self.moved[chat],
            )
        if chat not in self.chats:
            raise Refused(400, "Bad Request: chat not found")
        if chat in self.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        shown = text
        if fields.get("parse_mode") == "HTML":
            bare = re.sub(rf"</?(?:{_TAGS})>", "", text)
            if "<" in bare or ">" in bare or re.search(r"&(?!(?:lt|gt|amp|quot|#\d+);)", bare):
                raise Refused(400, "Bad Request: can't parse entities: unsupported start tag")
            if any(text.count(f"<{t}>") != text.count(f"</{t}>") for t in _TAGS.split("|")):
                raise Refused(400, "Bad Request: can't parse entities: can't find end tag")
            shown = re.sub(r"&\w+;", "&", bare)
        elif "parse_mode" in fields:
            raise Refused(400, "Bad Request: unsupported parse_mode")
        if not shown.strip():
            raise Refused(400, "Bad Request: message text is empty")
        if len(shown) > 4096:
            raise Refused(400, "Bad Request: message is too long")
        reply = fields.get("reply_parameters") or {}
        keyboard = _keyboard(fields)
        made = Sent(self._number(), chat, text, keyboard, int(reply.get("message_id", 0)))
        self.sent.append(made)
        return {"message_id": made.number, "date": int(time.time()), "chat": {"id": chat, "type": self.chats[chat]}}

    def _edit(self, fields: dict[str, Any]) -> object:
        found = [s for s in self.sent if (s.chat, s.number) == (fields["chat_id"], fields["message_id"])]
        if not found:
            raise Refused(400, "Bad Request: message to edit not found")
        keyboard = _keyboard(fields)
        if keyboard == found[0].keyboard:
            said = "message is not modified: specified new message content and reply markup are exactly the same"
            raise Refused(400, f"Bad Request: {said}")
        found[0].keyboard = keyboard
        return True

    def _answer(self, fields: dict[str, Any]) -> object:
        if fields["callback_query_id"] not in self._presses:
            raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        if len(fields.get("text", "")) > 200:
            raise Refused(400, "Bad Request: MESSAGE_TOO_LONG")
        self._presses.discard(fields["callback_query_id"])
        self.toasts.append(fields.get("text", ""))
        return True


def _keyboard(fields: dict[str, Any]) -> list[list[dict[str, str]]]:
    rows: list[list[dict[str, str]]] = (fields.get("reply_markup") or {}).get("inline_keyboard", [])
    for row in rows:
        for button in row:
            if not button.get("text"):
                raise Refused(400, "Bad Request: inline keyboard button text must be non-empty")
            if not 1 <= len(button["callback_data"].encode()) <= 64:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return rows
