"""Findings: what a broker check or the feed says that a person has to put right, as far as the ledger knows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runbook.day import FeedChange

if TYPE_CHECKING:
    from runbook.run import Entry, Try

_ILL = ("FALLBACK", "BLIND")
_LOGIN = "log in"
_BEHIND_THE_KEY = ("key", "broker", "funds", "stream", "subscribe")


class Finding(StrEnum):
    """What a person is needed for.

    GATEWAY_DOWN: OpenAlgo, or its stream server, does not answer. BROKER_REFUSED: somebody has to log in to the broker.
    TICKS_NEVER_CAME: the broker is verified, yet no session ever had ticks. FEED_MUTE: they came once, and have stopped.
    """

    GATEWAY_DOWN = "gateway_down"
    BROKER_REFUSED = "broker_refused"
    TICKS_NEVER_CAME = "ticks_never_came"
    FEED_MUTE = "feed_mute"


@dataclass(frozen=True, slots=True)
class Seen:
    """One finding: `where` is the rung or the hop, `says` what was seen there, `since` when it began.

    `since` None: it was so, and is not known to be over (the feed is on probation, or not watched any more).
    """

    finding: Finding
    where: str
    says: str
    since: datetime | None

    @property
    def by_check(self) -> bool:
        """True when the broker check found it, which is looked at minutely, and False when the feed did."""
        return self.where.startswith("rung")

    def evidence(self) -> dict[str, Any]:
        """What does not change while the finding holds."""
        return {"finding": str(self.finding)}


def findings(checks: Sequence[Entry], changes: Sequence[FeedChange], *, ever_live: bool) -> tuple[Seen, ...]:
    """What holds by the newest broker check and the newest word of the feed, each finding once.

    `checks` are the rows of the broker check of a session with their tries, `changes` the feed's of that session.
    `ever_live`: ticks were seen on the stream at some time, so the broker's plan includes them.
    """
    newest = newest_try(checks)
    found = [*_of_check(newest), *_of_feed(changes, verified=_passed(newest), ever_live=ever_live)]
    return tuple({one.finding: one for one in reversed(found)}.values())


def newest_try(checks: Sequence[Entry]) -> Try | None:
    """The newest try that says anything: one that broke off leaves the word to the one before it."""
    tries = [one for entry in checks for one in entry.tries if one.ended is not None]
    telling = [one for one in tries if _passed(one) or isinstance(one.facts.get("rungs"), list)]
    return max(telling, key=lambda one: one.started, default=None)


def _passed(one: Try | None) -> bool:
    return one is not None and str(one.verdict) == "ok"


def _of_check(newest: Try | None) -> list[Seen]:
    rungs = newest.facts.get("rungs") if newest is not None else None
    if newest is None or not isinstance(rungs, list):
        return []
    bad = next((r for r in rungs if isinstance(r, Mapping) and r.get("verdict") == "bad"), None)
    if bad is None:
        return []
    name, says, fix = str(bad.get("name")), str(bad.get("evidence", "")), str(bad.get("fix", "")).lower()
    finding = None
    if name == "server":
        finding = Finding.GATEWAY_DOWN
    elif name == "tick":
        finding = Finding.FEED_MUTE
    elif name in _BEHIND_THE_KEY and _LOGIN in fix:
        finding = Finding.BROKER_REFUSED
    elif name in ("stream", "subscribe") and "restart" in fix:
        finding = Finding.GATEWAY_DOWN
    return [Seen(finding, f"rung {name}", f"{name}: {says}", newest.ended)] if finding else []


def _of_feed(changes: Sequence[FeedChange], *, verified: bool, ever_live: bool) -> list[Seen]:
    last = next((n for n in range(len(changes) - 1, -1, -1) if changes[n].now in (*_ILL, "LIVE")), None)
    if last is None or changes[last].now == "LIVE":
        return []
    broken, says = _first_broken(changes[last])
    since: datetime | None = None
    if last == len(changes) - 1:
        begun = last
        while begun > 0 and changes[begun].was in _ILL:
            begun -= 1
        since = changes[begun].at
    hint = (changes[last].hint or "").lower()
    found: list[Finding] = []
    if broken == "H1":
        found = [Finding.GATEWAY_DOWN]
    elif broken in ("H2", "H4"):
        found = [Finding.BROKER_REFUSED] if _LOGIN in hint else []
    elif broken == "H3":
        found = [Finding.FEED_MUTE, *([Finding.TICKS_NEVER_CAME] if verified and not ever_live else [])]
    return [Seen(finding, f"hop {broken}", f"{broken}: {says}", since) for finding in found]


def _first_broken(change: FeedChange) -> tuple[str, str]:
    hops = change.evidence.get("hops")
    for name, said in hops.items() if isinstance(hops, Mapping) else ():
        if isinstance(said, list | tuple) and len(said) == 2 and said[0] == "broken":
            return str(name), str(said[1])
    return "", ""
