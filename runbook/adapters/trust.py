"""Whose certificates are believed: REST and the stream believe the same, and both what the environment says."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def authorities() -> str | None:
    """A PEM file that vouches for a desk's own server: SSL_CERT_FILE, as OpenSSL has it, or REQUESTS_CA_BUNDLE.

    None: neither is set, or it names no file, which is logged; then those are believed whom everybody believes.
    """
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if named := os.environ.get(name):
            if Path(named).is_file():
                return named
            log.warning("%s names %s, which is no file: the usual authorities are believed", name, named)
    return None
