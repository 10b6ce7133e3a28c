"""OpenAlgo's stream: `dialogue` knows what is said, `stream` moves the bytes."""

from runbook.adapters.ticks.stream import OpenAlgoStream, Patience

__all__ = ["OpenAlgoStream", "Patience"]
