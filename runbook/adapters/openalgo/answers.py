"""What an answer of OpenAlgo means: its data, or the named error. Pure; `client` asks, this judges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from runbook.adapters.openalgo.transport import Answer
from runbook.errors import (
    AccessUnknown,
    BadAnswer,
    Banned,
    BrokerTokenDead,
    BrokerTrouble,
    GatewayError,
    GatewayRejected,
    GatewayUnreachable,
    RateLimited,
    SymbolUnknown,
    WrongKey,
)
from runbook.redact import words

Json = Mapping[str, Any]

_KEY_REFUSED = "invalid openalgo apikey"
# What the brokers' plug-ins say when a token has died overnight; OpenAlgo passes their words on inside a 500 or a 200.
_TOKEN_WORDS = (
    "invalid token",
    "token is invalid",
    "token expired",
    "expired token",
    "token has expired",
    "tokenexception",
    "access_token",
    "access token",
    "authentication failed",
    "unauthorized",
    "unauthorised",
    "session expired",
    "invalid session",
    "session is invalid",
    "ag8001",
)
_LIMIT_WORDS = ("rate limit", "too many requests", "access rate", "http 429", "status 429")
_NO_SYMBOL = "not found for exchange"
_DOWN_HINT = "a proxy answers, OpenAlgo behind it does not: `systemctl status openalgo`"
_OWN_FAULT = "OpenAlgo itself failed: see its log (`journalctl -u openalgo`)"
_OTHER_SERVER = "check `openalgo.url`: another program, or an OpenAlgo older than 1.0.0.41, answers there"


class KeyRefused(GatewayError):
    """403 with the words that mean either a wrong key or no broker session; a `search` decides which."""


def judge(answer: Answer, secret: str) -> Json:
    """The JSON object of a successful answer; raises the error that a failed one means.

    Success is HTTP 200 *and* status "success": brokers' failures come as 200 too.
    """
    at, status = answer.where, answer.status
    if 300 <= status < 400:
        if "rate-limited" in answer.location:
            raise RateLimited(f"{at}: HTTP {status}, OpenAlgo's own rate limit")
        to_tls = answer.location.startswith("https://") and "(GET http:" not in at
        raise BadAnswer(
            f"{at}: HTTP {status}, redirected elsewhere", hint="use https:// in `openalgo.url`" if to_tls else None
        )
    body = parse(answer)
    if body is None:
        raise _not_json(answer, secret)
    said = words(body.get("message", ""), secret)
    failed = f"{at}: HTTP {status}: {said or 'no message'}"
    if status == 200 and body.get("status") == "success":
        return body
    if _KEY_REFUSED in said.lower():
        raise KeyRefused(failed)
    if status == 429:
        raise RateLimited(failed)
    if status == 403:
        raise AccessUnknown(failed)
    if status == 404:
        raise GatewayRejected(failed, hint=_OTHER_SERVER)
    if _NO_SYMBOL in said:
        raise SymbolUnknown(failed)
    if 400 <= status < 500:
        raise GatewayRejected(failed, hint=WrongKey.hint if "apikey" in said else None)
    if status == 200 and body.get("status") != "error":
        raise BadAnswer(f"{at}: HTTP 200 without a status of success or error")
    raise _broker_fault(answer, said, failed)


def parse(answer: Answer) -> Json | None:
    """The body as a JSON object, or None: then it was written by something else, or cut short."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _broker_fault(answer: Answer, said: str, failed: str) -> GatewayError:
    low = said.lower()
    if any(w in low for w in _LIMIT_WORDS):
        return RateLimited(failed)
    if any(w in low for w in _TOKEN_WORDS):
        return BrokerTokenDead(failed)
    if answer.endpoint.broker:
        return BrokerTrouble(failed)
    return BadAnswer(failed, hint=_OWN_FAULT)


def _not_json(answer: Answer, secret: str) -> GatewayError:
    at, status = answer.where, answer.status
    text = answer.body[:2000].decode("utf-8", "replace")
    if status == 403 and "banned" in text.lower():
        return Banned(f"{at}: HTTP 403: {words(text, secret)}")
    if status == 429:
        return RateLimited(f"{at}: HTTP 429")
    if status in {502, 503, 504}:  # OpenAlgo answers in JSON: this is the page of nginx, whose upstream is down
        return GatewayUnreachable(f"{at}: HTTP {status} from a proxy", hint=_DOWN_HINT)
    if status == 404:
        return GatewayRejected(f"{at}: HTTP 404, no such page", hint=_OTHER_SERVER)
    kind = answer.content_type.split(";", 1)[0] or "no content type"
    if "json" in kind:
        return BadAnswer(f"{at}: HTTP {status} with JSON that is cut short or no object: {words(text[:60], secret)!r}")
    return BadAnswer(f"{at}: HTTP {status} with {kind} instead of JSON")
