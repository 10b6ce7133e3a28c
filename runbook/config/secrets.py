"""What must never be shown: `${ENV}` and `*_file`, filled in from outside, remembered and masked."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runbook.config.channels import as_channel
from runbook.fault import Document, Fault, dotted
from runbook.fault import Path as Key


@dataclass(frozen=True, slots=True)
class Secrets:
    """What must never be shown. `missing` lists what the file asks for and the environment does not hold.

    `channels` holds for each its URL, or its bot's token. `given` is what the environment put into the `with:` of jobs: nobody here knows what a step needs a token for.
    """

    api_key: str | None
    channels: Mapping[str, str]
    missing: tuple[Fault, ...] = ()
    given: tuple[str, ...] = ()
    pings: Mapping[str, str] = field(default_factory=dict)  # under `watch:`, by name

    def values(self) -> Iterator[str]:
        """Each secret text, for the redactor: the URLs whole, and their parts that carry a token."""
        if self.api_key:
            yield self.api_key
        yield from self.given
        for url in (*self.channels.values(), *self.pings.values()):
            yield url
            try:
                parts = urlsplit(url)
            except ValueError:  # no URL at all: `config check` says so
                continue
            yield from (
                text for text in (parts.password, parts.netloc, parts.path.strip("/")) if text and len(text) >= 8
            )


def mask_url(url: str) -> str:
    """The kind of a channel and nothing of its secrets: `tgram://***`."""
    return f"{url.partition('://')[0]}://***" if "://" in url else "not set"


_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Za-z_]\w*)(?::\?(?P<message>[^}]*))?\}", re.ASCII)


class Expander:
    """Fills in `${ENV}`; remembers which values came from outside, and which are missing."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self._document = document
        self._environment = environment
        self.missing: list[Fault] = []
        self.filled: set[Key] = set()
        self.given: list[str] = []  # what was filled into the `with:` of a job

    def expand(self, value: Any, path: Key = ()) -> Any:
        if isinstance(value, dict):
            return {k: self.expand(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expand(v, (*path, i)) for i, v in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            return _VARIABLE.sub(lambda m: self._one(m, path), value)
        return value

    def _one(self, match: re.Match[str], path: Key) -> str:
        if match[0] == "$$":
            return "$"
        self.filled.add(path)
        if found := self._environment.get(match["name"]):
            if path[0] == "jobs" and path[2:3] == ("with",):
                self.given.append(found)
            return found
        why = match["message"] or f"environment variable {match['name']} is not set"
        self.missing.append(
            self._document.fault(
                path, f"missing secret: {why}", "the variable in the environment", f"export {match['name']}=..."
            )
        )
        return match[0]


def gather(data: Mapping[str, Any], expander: Expander, where: Document, site: Path) -> tuple[Secrets, list[Fault]]:
    faults: list[Fault] = []
    missing = list(expander.missing)
    unset = {fault.path for fault in missing}
    openalgo = mapping(data.get("openalgo"))
    key, key_file = (_text_of(openalgo, name) for name in ("api_key", "api_key_file"))
    if key_file is not None:
        if key is not None:
            faults.append(where.fault(("openalgo", "api_key_file"), "both api_key and api_key_file", "one of them"))
        key = _secret_file(key_file, ("openalgo", "api_key_file"), where, site, faults, missing)
    elif key is None:
        accepted, example = "the key from OpenAlgo's API Key page", "api_key: ${OPENALGO_API_KEY}"
        missing.append(where.fault(("openalgo", "api_key"), "missing secret: no api_key", accepted, example))
    channels: dict[str, str] = {}
    literal: list[Key] = [("openalgo", "api_key")] if _text_of(openalgo, "api_key") else []
    pings: dict[str, str] = {}
    watch = mapping(data.get("watch"))
    hidden = [("notify", name, given) for name, given in mapping(data.get("notify")).items()]
    hidden += [("watch", name, watch[name]) for name in ("ping", "milestones") if name in watch]
    for part, name, given in hidden:
        channel = mapping(as_channel(given))
        if part == "notify" and "telegram" in channel:
            if token := _bot(name, mapping(channel["telegram"]), where, site, literal, faults, missing, unset):
                channels[name] = token
            continue
        url, url_file = _text_of(channel, "url"), _text_of(channel, "url_file")
        place: Key = (part, name)
        if url:
            literal.append(place)
        if url_file is not None:
            url, place = (
                _secret_file(url_file, (*place, "url_file"), where, site, faults, missing),
                (*place, "url_file"),
            )
        if not url or f"{part}.{name}" in unset or f"{part}.{name}.url" in unset:
            continue
        if part == "notify":
            channels[name] = url
        elif _pingable(url):
            pings[name] = url
        else:  # the address itself is not quoted: who knows it can silence the alarm
            accepted = "an address that begins with https:// or http://"
            faults.append(where.fault(place, "it is no ping URL", accepted, "https://hc-ping.com/your-check"))
    held = [p for p in literal if not any(f[: len(p)] == p for f in expander.filled)]
    if held and _world_readable(site / "config.yaml"):
        accepted = "mode 600, or the secret in the environment"
        faults += [
            where.fault(p, "a secret in a file that everyone on this host can read", accepted, "chmod 600 config.yaml")
            for p in held
        ]
    key = None if "openalgo.api_key" in unset else key
    return Secrets(key, channels, tuple(missing), tuple(expander.given), pings), faults


def _pingable(url: str) -> bool:
    """Whether `url` can be pinged."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        return False


_TOKEN = re.compile(r"[1-9][0-9]{5,19}:[A-Za-z0-9_-]{30,}", re.ASCII)


def _bot(
    name: str,
    given: Mapping[str, Any],
    where: Document,
    site: Path,
    literal: list[Key],
    faults: list[Fault],
    missing: list[Fault],
    unset: set[str],
) -> str | None:
    """The token of a telegram channel; None, and a fault, where there is none to use."""
    path: Key = ("notify", name, "telegram")
    token, file = _text_of(given, "token"), _text_of(given, "token_file")
    if token is not None:
        literal.append((*path, "token"))
    if file is not None:
        token = _secret_file(file, (*path, "token_file"), where, site, faults, missing)
    if given.get("chat") is None:
        accepted = "the number that `runbook notify setup telegram` prints"
        missing.append(where.fault((*path, "chat"), "missing: no chat to send to yet", accepted, "chat: 123456789"))
    if token is None or dotted((*path, "token")) in unset:
        return None
    if not _TOKEN.fullmatch(token):
        accepted, example = "a bot's token, as @BotFather gives it", "123456789:AA..."
        here = (*path, "token" if file is None else "token_file")
        faults.append(where.fault(here, "a value that is not shown is no bot's token", accepted, example))
        return None
    return token


def _text_of(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _secret_file(
    name: str, path: Key, where: Document, site: Path, faults: list[Fault], missing: list[Fault]
) -> str | None:
    file = site / Path(name).expanduser()
    try:
        if _world_readable(file):
            faults.append(
                where.fault(path, f"{name} can be read by everyone on this host", "mode 600", f"chmod 600 {name}")
            )
            return None
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
        missing.append(
            where.fault(path, f"missing secret: {name} cannot be read: {why}", "a file with the secret on one line")
        )
        return None
    if not text or "\n" in text:
        missing.append(
            where.fault(path, f"missing secret: {name} does not hold one line", "the secret alone on one line")
        )
        return None
    return text


def _world_readable(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False


def mapping(value: object) -> dict[str, Any]:
    """`value` where it is a mapping, else an empty one: for looking into data that may be wrong elsewhere too."""
    return value if isinstance(value, dict) else {}
