"""The channels themselves: one that delivers nothing is told over the others; all of them at once are this host's network."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from runbook.alert import ChannelMoved, UplinkMoved
from runbook.engine.alerting import Alerting
from runbook.engine.parts import Parts
from runbook.outbox import Row, State, Trouble, trouble

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look

log = logging.getLogger(__name__)

DEAD = timedelta(minutes=5)  # of failed tries
OFFLINE = timedelta(minutes=1)  # of them on every channel
_BACK = timedelta(hours=24)


class Channels:
    """Judges the channels by what became of their messages, whenever one was tried, and when a trouble has lasted."""

    def __init__(self, alerting: Alerting, parts: Parts) -> None:
        self._alerting = alerting
        self._p = parts
        self._seen: int | None = None  # the teller's tries at the last look
        self._again: datetime | None = None  # when a trouble is old enough to be told

    def next(self, books: Books, now: datetime) -> datetime | None:
        del books
        return self._again if self._again is not None and self._again > now else None

    def due(self, store: Look, now: datetime) -> None:
        """Tell of a channel that is dead, and of one that sends again."""
        tries = self._p.teller.tries
        if tries == self._seen and (self._again is None or now < self._again):
            return
        with store.read(anew=True) as books:  # what those tries came to
            causes = list(self._causes(books, now))
        if causes:
            day = self._alerting.hours.calendar.today(now)
            with store.write() as books:
                for cause in list(self._causes(books, now)):
                    others = self._others(cause) if isinstance(cause, ChannelMoved) else None
                    self._alerting.decide(books, [cause], now, day, others)
        self._seen = tries

    def _causes(self, books: Books, now: datetime) -> Iterator[ChannelMoved | UplinkMoved]:
        """What has changed since the ledger last heard of it."""
        rows = {c: books.alerts.tried(c, now - _BACK) for c in self._p.voice.channels}
        found = {c: trouble(held) for c, held in rows.items()}
        told = {a.fingerprint: a for a in books.alerts.unresolved()}
        waits: list[datetime] = []
        reach: Literal["remote", "local"] = "remote" if self._p.voice.policy.remote else "local"
        offline, uplink = self._offline(found), told.get(f"uplink{{reach={reach}}}")
        if uplink is None and offline is not None:
            if now >= offline + OFFLINE:
                reasons = "; ".join(f"{c}: {t.reason}" for c, t in found.items() if t)
                yield UplinkMoved(reach, now, reasons)
            else:
                waits.append(offline + OFFLINE)
        elif uplink is not None and (name := next((c for c in rows if _arrived(rows[c], uplink.opened_at)), None)):
            yield UplinkMoved(reach, now, f"channel {name} was reached again", over=True)
        for channel, held in found.items():
            known = told.get(f"channel{{channel={channel}}}")
            if known is not None and _arrived(rows[channel], known.opened_at):
                yield ChannelMoved(channel, now, "it has delivered a message", over=True)
            elif known is None and held is not None:
                if held.permanent or now >= held.since + DEAD:
                    yield ChannelMoved(channel, now, held.reason)
                else:
                    waits.append(held.since + DEAD)
        self._again = min(waits, default=None)

    @staticmethod
    def _offline(found: Mapping[str, Trouble | None]) -> datetime | None:
        """Since when every channel fails as it does on a host without a network; None when one does not."""
        held = [t for t in found.values() if t is not None and t.offline]
        return max(t.since for t in held) if held and len(held) == len(found) else None

    def _others(self, cause: ChannelMoved) -> list[str]:
        """Who can be told that this channel is dead."""
        others = [c for c in self._p.voice.channels if c != cause.channel]
        if not others and not cause.over:
            log.error("channel %s delivers nothing, and there is no other to say so: %s", cause.channel, cause.reason)
        return others


def _arrived(rows: Sequence[Row], since: datetime) -> bool:
    """Whether a message was delivered after `since`, and nothing has failed after it."""
    return trouble(rows) is None and any(r.state is State.SENT and r.changed_at and r.changed_at > since for r in rows)
