"""Where the site lies that came with this runbook: the root of a checkout, or beside the code in a wheel."""

from __future__ import annotations

from pathlib import Path


def shipped_site() -> Path:
    """A folder with config.yaml, jobs/ and calendar/; an upgrade replaces it, so nobody's own files belong there."""
    package = Path(__file__).resolve().parent
    # the checkout first: an editable install can keep a copy in site/ from the day it was made
    return package.parent if (package.parent / "pyproject.toml").is_file() else package / "site"
