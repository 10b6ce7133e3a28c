"""`runbook feed watch`: the daemon's pulse on the screen, once a second until Ctrl-C. Reads two small files, asks nobody."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading

from runbook import app
from runbook.clock import SystemClock
from runbook.pulse import heard
from runbook.screen import WIDTH, exit_code, view

_EVERY = 1.0
_WIDEST = 100


def watch(args: argparse.Namespace) -> int:
    """One view (`--once`), or one each second; exit 0 well, 1 not, 3 no live daemon. Ctrl-C ends it with 0."""
    config = app.load_config(args.site)
    file, clock = app.pulse_file(config), SystemClock()
    tty = sys.stdout.isatty()
    colour = tty and "NO_COLOR" not in os.environ
    pause = threading.Event()
    try:
        if tty and not args.once:
            sys.stdout.write("\x1b[?25l\x1b[2J")  # no cursor that jumps about
        while True:
            pulse = heard(file.read(), clock.now())
            size = shutil.get_terminal_size((WIDTH, 24))
            width = min(size.columns, _WIDEST) if tty else WIDTH
            locked = app.locked(config)
            lines = view(pulse, locked=locked, colour=colour, width=width)
            if args.once:
                print("\n".join(lines))
                return exit_code(pulse, locked=locked)
            if tty:  # over what was there, so that nothing flickers
                lines = lines[: max(1, size.lines - 1)]
                sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
            else:
                sys.stdout.write("\n".join(lines) + "\n\n")
            sys.stdout.flush()
            pause.wait(_EVERY)
    except KeyboardInterrupt:
        return 0
    finally:
        if tty and not args.once:
            sys.stdout.write("\x1b[?25h")
            sys.stdout.flush()
