"""The door to the bundle: a zip for support that is written once, for its owner alone, and never over another file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from runbook.errors import UsageError

_TAIL = 256 * 1024


def pack(file: Path, texts: Mapping[str, str], at: datetime) -> None:
    """Write `texts` (name -> content) to `file`, mode 0600; raises UsageError when something of that name is there."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as exc:
        raise UsageError(
            f"{file} is there already", hint="give the bundle another name; nothing is overwritten"
        ) from exc
    with os.fdopen(handle, "wb") as out, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in texts.items():
            entry = zipfile.ZipInfo(name, at.timetuple()[:6])
            entry.external_attr = 0o600 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, text.encode("utf-8", "backslashreplace"))


def free(file: Path) -> None:
    """Refuse at once what `pack` would refuse after half a minute of looking."""
    if os.path.lexists(file):
        raise UsageError(f"{file} is there already", hint="give the bundle another name; nothing is overwritten")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {file.absolute().parent}", hint="name a folder that is there")


def tail(file: Path, lines: int) -> str:
    """The last lines of a text file; why it cannot be read, where it cannot."""
    try:
        with file.open("rb") as held:
            size = held.seek(0, os.SEEK_END)
            held.seek(max(0, size - _TAIL))
            text = held.read().decode("utf-8", "replace")
    except OSError as exc:
        return f"{file}: {exc.strerror or type(exc).__name__}\n"
    return "\n".join(text.splitlines()[-lines:]) + "\n"
