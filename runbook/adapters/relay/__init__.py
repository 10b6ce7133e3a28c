"""The relay: OpenAlgo's own stream protocol, served to the bot. `dialogue` knows what is said, `server` moves the bytes."""

from runbook.adapters.relay.server import Patience, Relay

__all__ = ["Patience", "Relay"]
