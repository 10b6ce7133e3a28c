"""Faults: everything that can go wrong at an OpenAlgo server, by name, with the switch that makes it so."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from runbook.errors import UsageError


class Fault(StrEnum):
    """A fault by its name; `says` is what it does in one line."""

    says: str

    def __new__(cls, name: str, says: str) -> Fault:  # noqa: PYI034 - an enum's members are of the enum, not of Self
        member = str.__new__(cls, name)
        member._value_ = name
        member.says = says
        return member

    # the stream
    MUTE = "mute", "the broker's socket is open and sends nothing; acknowledgements, pongs and REST go on"
    SNAPSHOT_ONLY = (
        "snapshot_only",
        "mute, but every subscription that reaches the broker brings one tick: old ltp, old ltt, fresh timestamp",
    )
    FROZEN_ALL = (
        "frozen_all",
        "ltp and ltt stand still on the stream and over REST while ticks go on with fresh timestamps",
    )
    DROP = "drop", "the stream server goes down: sockets close with 1001, new ones are refused until `accept`"
    REFUSE = "refuse", "new stream connections are refused; open ones live on, and so does REST"
    KICK = "kick", "every stream socket is reset at once (TCP RST); new ones are accepted"
    EVICT = (
        "evict",
        "the broker adapter vanishes: sockets stay open and silent until they authenticate and subscribe again",
    )
    GARBAGE = "garbage", "the stream sends frames no client should trust: not JSON, arrays, odd prices, unknown symbols"
    # the broker behind REST
    FROZEN = "frozen", "the REST price stands still; the stream moves on"
    TOKEN_DEAD = (
        "token_dead",
        "the broker refuses OpenAlgo's token: quotes fail, live funds and books are empty, no ticks",
    )
    BROKER_502 = "broker_502", "the broker's gateway answers OpenAlgo with an HTML error page"
    BROKER_LIMITED = "broker_limited", "the broker's own rate limit is hit"
    ZERO = "zero", "quotes say success with a last price of 0"
    EMPTY_SUCCESS = "empty_success", "broker answers say success with nothing in them"
    SYMBOLS_GONE = "symbols_gone", "the master contract is being reloaded: no symbol is found"
    # OpenAlgo itself
    SESSION_REVOKED = (
        "session_revoked",
        "nobody is logged in to the broker: 403 for a right key, the adapter is evicted",
    )
    WRONG_KEY = "wrong_key", "every key is refused"
    WRONG_MODE = "wrong_mode", "somebody flipped the analyzer switch: the server is in the other mode"
    RATE_LIMITED = "rate_limited", "every REST call is over OpenAlgo's own limit (429)"
    BANNED = "banned", "this address is banned: 403 text/plain on every path"
    HTML_502 = "html_502", "a proxy answers for OpenAlgo with an HTML 502 page"
    SLOW = "slow", "REST answers late"
    HANG = "hang", "REST accepts and never answers until this is cleared"
    LOGIN = "login", "a broker login with a new token: ends token_dead and session_revoked, evicts the adapter"


# What may be said beside a fault's name: argument -> default; the type of the default is the type that is accepted.
ARGUMENTS: Mapping[Fault, Mapping[str, float | str]] = MappingProxyType(
    {
        # until: "cleared"; "resubscribe": a subscription that reaches the broker heals it; "reconnect": only a new
        # broker connection does, which OpenAlgo makes when the last client has left or after an eviction
        Fault.MUTE: {"until": "cleared"},
        Fault.SLOW: {"seconds": 5.0},
        Fault.TOKEN_DEAD: {"answer": "invalid_token"},  # or "http_403", the other wording
        Fault.REFUSE: {"how": "tcp"},  # or "502", the way nginx refuses
    }
)
_WORDS: Mapping[tuple[Fault, str], tuple[str, ...]] = MappingProxyType(
    {
        (Fault.MUTE, "until"): ("cleared", "resubscribe", "reconnect"),
        (Fault.TOKEN_DEAD, "answer"): ("invalid_token", "http_403"),
        (Fault.REFUSE, "how"): ("tcp", "502"),
    }
)
EVENTS = frozenset({Fault.KICK, Fault.EVICT, Fault.LOGIN})  # they happen at once and leave nothing to clear
# The way a person says that a fault is over.
OPPOSITES: Mapping[str, tuple[Fault, ...]] = MappingProxyType(
    {
        "unmute": (Fault.MUTE, Fault.SNAPSHOT_ONLY),
        "accept": (Fault.DROP, Fault.REFUSE),
        "thaw": (Fault.FROZEN, Fault.FROZEN_ALL),
        "unban": (Fault.BANNED,),
    }
)


@dataclass(frozen=True, slots=True)
class Active:
    """A fault that is on: since when, and how."""

    since: datetime
    arguments: Mapping[str, float | str] = field(default_factory=dict)


def named(word: str) -> Fault:
    """The fault of that name; UsageError names the nearest and lists the rest."""
    fault = Fault.__members__.get(word.strip().upper().replace("-", "_"))
    if fault is None:
        raise UsageError(f"there is no fault {word!r}{nearest(word, list(Fault))}", hint=known())
    return fault


def nearest(word: str, among: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(among), n=1)
    return f"; did you mean {str(near[0])!r}?" if near else ""


def known() -> str:
    return "faults: " + ", ".join(Fault) + "; opposites: " + ", ".join(OPPOSITES)


def arguments_of(fault: Fault, given: Mapping[str, object]) -> dict[str, float | str]:
    """The arguments of a fault, defaults filled in; UsageError for one it does not take."""
    defaults = dict(ARGUMENTS.get(fault, {}))
    for name, value in given.items():
        if name not in defaults:
            takes = ", ".join(defaults) or "none"
            raise UsageError(f"fault {fault!s} takes no argument {name!r}; it takes {takes}")
        words = _WORDS.get((fault, name))
        if words:
            if str(value) not in words:
                raise UsageError(f"fault {fault!s}: {name} is {value!r}, it may be {' | '.join(words)}")
            defaults[name] = str(value)
        elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise UsageError(f"fault {fault!s}: {name} is {value!r}, it must be a number of seconds")
        else:
            defaults[name] = float(value)
    return defaults


class Faults:
    """The faults that are on now; safe to read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: Mapping[Fault, Active] = {}

    def __contains__(self, fault: Fault) -> bool:
        return fault in self._active

    def any(self, *faults: Fault) -> bool:
        return any(f in self._active for f in faults)

    @property
    def active(self) -> Mapping[Fault, Active]:
        return self._active

    def since(self, *faults: Fault) -> datetime | None:
        """When the first of these began that is on, or None when none is."""
        begun = [self._active[f].since for f in faults if f in self._active]
        return min(begun) if begun else None

    def word(self, fault: Fault, name: str) -> str:
        """A word argument of a fault, on or off."""
        return str(self._argument(fault, name))

    def seconds(self, fault: Fault, name: str = "seconds") -> float:
        return float(self._argument(fault, name))

    def _argument(self, fault: Fault, name: str) -> float | str:
        active = self._active.get(fault)
        return active.arguments[name] if active else ARGUMENTS[fault][name]

    def begin(self, fault: Fault, now: datetime, arguments: Mapping[str, float | str]) -> None:
        """Switch on; one that is on keeps its beginning and takes the new arguments."""
        with self._lock:
            before = self._active.get(fault)
            since = before.since if before else now
            self._active = {**self._active, fault: Active(since, dict(arguments))}

    def end(self, *faults: Fault) -> None:
        with self._lock:
            self._active = {f: a for f, a in self._active.items() if f not in faults}
