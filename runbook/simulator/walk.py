"""A seeded walk: a curve of time that looks like a price and can be read at any second without its past.

A real random walk needs every step before the one asked for. This one adds lattice noise of several time scales, each
interpolated between seeded nodes, so that REST and stream, asked in any order, agree and a clock may jump.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

_MINUTE = 60
_64 = 2**64 - 1
# (seconds between nodes, share of the price). The slow ones make the day; they are whole minutes, so that between two
# minutes their sum is one straight line and need not be added up again for each second.
_SLOW: tuple[tuple[int, float], ...] = ((10_800, 0.0045), (2_700, 0.0022), (720, 0.0011), (180, 0.0006))
# The fast ones make each second differ from the one before.
_FAST: tuple[tuple[int, float], ...] = ((45, 0.0003), (11, 0.00014), (3, 0.00007), (1, 0.00004))


@lru_cache(maxsize=65_536)
def node(seed: int, name: str, scale: int, index: int) -> float:
    """A number in [-1, 1) that depends on the arguments alone, on every machine (splitmix64 over a hash of the name)."""
    mixed = (_stream(seed, name, scale) + index * 0x9E3779B97F4A7C15) & _64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _64
    return ((mixed ^ (mixed >> 31)) >> 11) / 2**52 - 1.0


@lru_cache(maxsize=1024)
def _stream(seed: int, name: str, scale: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}/{scale}".encode(), digest_size=8).digest(), "big")


def drift(seed: int, name: str, second: int) -> float:
    """How far the price has moved away from its base at `second` (epoch), as a share of the base."""
    minute, within = divmod(second, _MINUTE)
    total = _slow(seed, name, minute)
    if within:
        total += (_slow(seed, name, minute + 1) - total) * within / _MINUTE
    return total + _sum(_FAST, seed, name, second)


@lru_cache(maxsize=16_384)
def _slow(seed: int, name: str, minute: int) -> float:
    return _sum(_SLOW, seed, name, minute * _MINUTE)


def _sum(scales: tuple[tuple[int, float], ...], seed: int, name: str, second: int) -> float:
    total = 0.0
    for scale, share in scales:
        index, within = divmod(second, scale)
        left = node(seed, name, scale, index)
        if within:
            left += (node(seed, name, scale, index + 1) - left) * within / scale
        total += left * share
    return total
