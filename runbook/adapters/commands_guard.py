"""Stands by one command: when the runbook that started it is gone, whatever way it went, the command's process group ends.

Started by path from commands.py; imports nothing of runbook. On stdin it is told the group's number, and later that all is over. An
end of file before that is the end of runbook, which a KILL leaves no time to tidy up.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

OVER = b"over\n"
_TURN = 0.05  # seconds between two looks at what was asked to end


def main(grace: float) -> None:
    """Read until the other end closes; then TERM, `grace` seconds, KILL, where nobody said that it is over."""
    told = b""
    while part := os.read(0, 64):
        told += part
    group = told.partition(b"\n")[0]
    if group and not told.endswith(OVER):
        end(int(group), grace)


def end(group: int, grace: float) -> None:
    """End the group to the last member; what has ended by itself is well too."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGTERM)
        for _ in range(round(grace / _TURN)):
            select.select((), (), (), _TURN)
            os.killpg(group, 0)  # raises when nobody is left
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main(float(sys.argv[1]))
