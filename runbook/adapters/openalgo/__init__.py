"""OpenAlgo over REST, read-only: `OpenAlgo` is the Gateway, the rest of the package is how it asks and what it believes."""

from runbook.adapters.openalgo.address import plaintext_warning, stream_url
from runbook.adapters.openalgo.client import OpenAlgo

__all__ = ["OpenAlgo", "plaintext_warning", "stream_url"]
