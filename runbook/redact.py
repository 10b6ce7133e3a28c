"""What must not be read by others: a Redactor takes secrets out of a text, those it was told and those it can recognise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

MASK = "***"
_SHORTEST = 6  # a shorter "secret" (an empty variable, a `1`) would blot out ordinary words

# (what, by what): each keeps the words around the secret, so that a reader still sees what was said
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # a Telegram bot's token, wherever it stands: in a URL path, after tgram://, percent-encoded
    (re.compile(r"(?i)(?<!\d)\d{6,20}(?::|%3a)[a-z0-9_-]{30,}"), MASK),
    # "apikey": "…" in JSON and in a Python repr; then the same as JSON within JSON
    (re.compile(r"""(?i)("api_?key"\s*:\s*")(?:\\.|[^"\\])*"""), rf"\1{MASK}"),
    (re.compile(r"""(?i)('api_?key'\s*:\s*')(?:\\.|[^'\\])*"""), rf"\1{MASK}"),
    (re.compile(r"""(?i)(\\{1,8}"api_?key\\{1,8}"\s*:\s*\\{1,8}")[^"\\]*"""), rf"\1{MASK}"),
    # ?apikey=… and &api_key=… in an address, apikey=… in a log line
    (re.compile(r"""(?i)(\bapi_?key=)(["']?)[^&\s"',;)#]+"""), rf"\1\2{MASK}"),
    # the user and password of an address: mailto://me:secret@host, also when the password itself holds an @
    (re.compile(r"""(?i)(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/?#"'<>]{1,2000}@"""), rf"\1{MASK}@"),
)


class Redactor:
    """Masks the given secrets, also as they look percent-encoded or inside JSON, and what looks like a secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            bare = secret.strip()
            if len(bare) >= _SHORTEST:
                forms |= {bare, quote(bare), quote(bare, safe=""), quote_plus(bare), json.dumps(bare)[1:-1]}
        longest_first = sorted(forms, key=len, reverse=True)  # a secret may be part of another
        self._told = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __repr__(self) -> str:
        return "Redactor()"

    def __call__(self, text: str) -> str:
        """The text with every secret replaced by ***."""
        if self._told is not None:
            text = self._told.sub(MASK, text)
        for pattern, by in _PATTERNS:
            text = pattern.sub(by, text)
        return text


# What other programs' logs hold: more than we ever print ourselves. Better a word too many than a token.
_LOOSE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){1,2}"), MASK),  # a JWT, as brokers' sessions and feeds use
    (re.compile(r"(?i)\b((?:bearer|basic)\s+)[\w.~+/=-]{6,}"), rf"\1{MASK}"),
    (
        re.compile(
            r"""(?i)(\b[\w-]*(?:token|secret|passw(?:or)?d|totp|jwt|cookie|session_?id|api[_-]?key|authorization)["']?\s*[:=]\s*["']?)"""
            r"""[^\s"',;&)}]{4,}"""
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?<![\w])[0-9a-fA-F]{32,}(?![\w])"), MASK),  # OpenAlgo's own keys are 64 of these
)


def careful(redact: Redactor) -> Callable[[str], str]:
    """`redact`, and besides everything that looks like a token: for what other programs wrote."""

    def apply(text: str) -> str:
        text = redact(text)
        for pattern, by in _LOOSE:
            text = pattern.sub(by, text)
        return text

    return apply


def words(message: object, secret: str) -> str:
    """What another program said, as one line a person can read, without `secret`; {field: [text]} is spelt out."""
    if isinstance(message, dict):
        message = "; ".join(f"{k}: {' '.join(map(str, v)) if isinstance(v, list) else v}" for k, v in message.items())
    text = " ".join(str(message).split())
    if secret:
        text = text.replace(secret, MASK)
    return text if len(text) <= 300 else text[:297] + "..."
