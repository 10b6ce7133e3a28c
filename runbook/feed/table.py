"""The feed's modes, and every way from one to another, as data. docs/feed.md shows the same table; a test compares."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Mode(StrEnum):
    """What the feed is at the moment."""

    OFF = "OFF"  # not started, or no ticks are promised in this phase
    ARMED = "ARMED"  # the first moving tick is awaited
    LIVE = "LIVE"  # ticks on the WebSocket
    SUSPECT = "SUSPECT"  # silent too long: warned, healing
    FALLBACK = "FALLBACK"  # prices from REST
    PROBATION = "PROBATION"  # ticks are back and must hold; REST keeps running
    BLIND = "BLIND"  # no price from either side that can be trusted
    MARKET_SILENT = "MARKET_SILENT"  # neither side moves, and both answer: nothing is traded


class Cause(StrEnum):
    """Why the mode changed."""

    TICKS_DUE = "ticks due"
    NONE_DUE = "none due"
    STOPPED = "stopped"
    MOVING = "moving"
    SILENT = "silent"
    CLOSED = "closed"
    MOVED = "moved"
    STILL = "still"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    REST_FAILED = "rest failed"
    REST_FROZEN = "rest frozen"
    REST_BACK = "rest back"
    RETURNED = "returned"
    HELD = "held"
    BROKEN = "broken"
    BROKEN_BLIND = "broken blind"


def _table() -> dict[tuple[Mode, Cause], Mode]:
    table = {
        (Mode.OFF, Cause.TICKS_DUE): Mode.ARMED,
        (Mode.ARMED, Cause.MOVING): Mode.LIVE,
        (Mode.ARMED, Cause.SILENT): Mode.SUSPECT,
        (Mode.ARMED, Cause.CLOSED): Mode.SUSPECT,
        (Mode.LIVE, Cause.SILENT): Mode.SUSPECT,
        (Mode.LIVE, Cause.CLOSED): Mode.SUSPECT,
        (Mode.SUSPECT, Cause.MOVING): Mode.LIVE,
        (Mode.SUSPECT, Cause.MOVED): Mode.FALLBACK,
        (Mode.SUSPECT, Cause.STILL): Mode.MARKET_SILENT,
        (Mode.SUSPECT, Cause.VERIFIED): Mode.FALLBACK,
        (Mode.SUSPECT, Cause.UNVERIFIED): Mode.BLIND,
        (Mode.FALLBACK, Cause.REST_FAILED): Mode.BLIND,
        (Mode.FALLBACK, Cause.REST_FROZEN): Mode.BLIND,
        (Mode.FALLBACK, Cause.RETURNED): Mode.PROBATION,
        (Mode.BLIND, Cause.REST_BACK): Mode.FALLBACK,
        (Mode.BLIND, Cause.RETURNED): Mode.PROBATION,
        (Mode.MARKET_SILENT, Cause.MOVING): Mode.LIVE,
        (Mode.MARKET_SILENT, Cause.MOVED): Mode.FALLBACK,
        (Mode.MARKET_SILENT, Cause.REST_FAILED): Mode.BLIND,
        (Mode.MARKET_SILENT, Cause.REST_FROZEN): Mode.BLIND,
        (Mode.PROBATION, Cause.HELD): Mode.LIVE,
        (Mode.PROBATION, Cause.BROKEN): Mode.FALLBACK,
        (Mode.PROBATION, Cause.BROKEN_BLIND): Mode.BLIND,
    }
    for mode in Mode:
        if mode is not Mode.OFF:
            table[mode, Cause.NONE_DUE] = Mode.OFF
            table[mode, Cause.STOPPED] = Mode.OFF
    return table


TRANSITIONS: Mapping[tuple[Mode, Cause], Mode] = MappingProxyType(_table())
