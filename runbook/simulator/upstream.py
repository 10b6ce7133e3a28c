"""The broker's socket behind OpenAlgo's proxy: which ticks it sends, when, and when it keeps silent."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbook.market import Instrument
from runbook.simulator.contracts import Contract, Kind
from runbook.simulator.faults import Fault
from runbook.simulator.openalgo import OpenAlgo

SNAPSHOT_AFTER = timedelta(seconds=0.5)  # the plug-in batches subscriptions
_WATCHDOG = timedelta(seconds=90)  # Angel's plug-in reconnects after this long without data ...
_WATCHDOG_STEP = timedelta(seconds=30)  # ... which it looks at this often ...
_RECONNECT = timedelta(seconds=10)  # ... and is back so much later
_SILENCE = (Fault.MUTE, Fault.SNAPSHOT_ONLY, Fault.TOKEN_DEAD, Fault.SESSION_REVOKED)
_PERIOD = {Kind.FUTURE: 0.5}


@dataclass(frozen=True, slots=True)
class Print:
    """One tick as the broker sends it: the price of `priced`, traded at `traded`."""

    instrument: Instrument
    priced: datetime
    traded: datetime


@dataclass(slots=True)
class Subscription:
    """One instrument the broker was asked for."""

    contract: Contract
    since: datetime
    snapshot_due: datetime | None
    beat: int = -1  # number of the last regular tick


@dataclass(slots=True)
class Adapter:
    """One broker connection of the user; a login or the last client's leaving ends it."""

    born: datetime
    tracked: dict[tuple[Instrument, int], int] = field(default_factory=dict)  # (instrument, mode) -> clients
    wanted: dict[Instrument, Subscription] = field(default_factory=dict)
    last_data: datetime | None = None
    looked: datetime | None = None
    back_at: datetime | None = None  # a watchdog reconnect is under way until then


class Upstream:
    """Turns time into ticks for one adapter, through the faults that lie between."""

    def __init__(self, server: OpenAlgo) -> None:
        self._server = server

    def subscribe(self, adapter: Adapter, contract: Contract, now: datetime) -> None:
        """A subscription that reaches the broker: one tick soon, whatever the hour, then those of the session."""
        if Fault.MUTE in self._server.faults and self._server.faults.word(Fault.MUTE, "until") == "resubscribe":
            self._server.faults.end(Fault.MUTE)
        known = adapter.wanted.get(contract.instrument)
        if known is None:
            adapter.wanted[contract.instrument] = Subscription(contract, now, now + SNAPSHOT_AFTER)
            if adapter.last_data is None:
                adapter.last_data = now
        else:
            known.snapshot_due = now + SNAPSHOT_AFTER

    def connected(self, adapter: Adapter) -> None:
        """A new broker connection: it heals a mute that belonged to the old one."""
        faults = self._server.faults
        began = faults.since(Fault.MUTE)
        if began is not None and adapter.born > began and faults.word(Fault.MUTE, "until") == "reconnect":
            faults.end(Fault.MUTE)

    def ticks(self, adapter: Adapter, now: datetime) -> Iterator[Print]:
        """What has become due since the last look; after a jump of the clock only the newest of each instrument."""
        faults = self._server.faults
        silent = faults.any(*_SILENCE)
        self._watch(adapter, now)
        for subscription in tuple(adapter.wanted.values()):
            if subscription.snapshot_due is not None and subscription.snapshot_due <= now:
                subscription.snapshot_due = None
                subscription.beat = self._beat(subscription.contract, now)
                if not silent or self._snapshots():
                    yield self._print(subscription, now, adapter)
                continue
            if subscription.snapshot_due is not None or not self._server.market.is_open(now):
                continue
            beat = self._beat(subscription.contract, now)
            if beat > subscription.beat:
                subscription.beat = beat
                if not silent:
                    yield self._print(subscription, now, adapter)

    def _snapshots(self) -> bool:
        """The one thing a dead feed may still say."""
        faults = self._server.faults
        return Fault.SNAPSHOT_ONLY in faults and not faults.any(Fault.MUTE, Fault.TOKEN_DEAD, Fault.SESSION_REVOKED)

    def _print(self, subscription: Subscription, now: datetime, adapter: Adapter) -> Print:
        adapter.last_data = now
        held = self._server.faults.since(Fault.FROZEN_ALL, Fault.SNAPSHOT_ONLY)
        shown = held if held is not None else now
        return Print(subscription.contract.instrument, shown, self._server.market.last_trade(shown))

    def _beat(self, contract: Contract, now: datetime) -> int:
        """The number of the tick due by `now`; instruments do not all tick at the same moment."""
        phase = zlib.crc32(str(contract.instrument).encode()) % 1000 / 1000
        return int((now.timestamp() - phase) / _PERIOD.get(contract.kind, 1.0))

    def _watch(self, adapter: Adapter, now: datetime) -> None:
        """The plug-in's data watchdog, where it can be seen: its reconnect subscribes again and so asks for snapshots."""
        if Fault.SNAPSHOT_ONLY not in self._server.faults or adapter.last_data is None:
            adapter.back_at = None
            return
        if adapter.back_at is not None:
            if now >= adapter.back_at:
                adapter.back_at = None
                adapter.last_data = now
                for subscription in adapter.wanted.values():
                    subscription.snapshot_due = now
            return
        if adapter.looked is None or now - adapter.looked >= _WATCHDOG_STEP:
            adapter.looked = now
            if now - adapter.last_data >= _WATCHDOG:
                adapter.back_at = now + _RECONNECT
