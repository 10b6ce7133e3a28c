"""OpenAlgo's stream: `frames` cuts bytes into messages, `dialogue` knows what is said, `dial` makes a connection,
`link` is one, of the `stream`.
"""

from runbook.adapters.ticks.link import Patience
from runbook.adapters.ticks.stream import OpenAlgoStream

__all__ = ["OpenAlgoStream", "Patience"]
