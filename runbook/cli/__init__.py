"""The command line: parses, dispatches, and turns errors into one clear line and an exit code.

Exit codes: 0 all well, 1 attention or failed, 2 usage or configuration, 3 no live daemon, 70 the daemon ended itself because
something in it hangs (systemd starts it again), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from runbook.cli.parser import parser
from runbook.errors import ConfigError, RunbookError, UsageError

OK, ATTENTION, USAGE, NO_DAEMON, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["simulator"]:  # it has options of its own
        from runbook.simulator.__main__ import main as simulate

        return simulate(given[1:])
    args = parser().parse_args(given)
    if args.version:
        from importlib.metadata import version

        print(f"runbook {version('openalgo-runbook')}")
        return OK
    if not args.command:
        parser().print_help()
        return USAGE
    try:
        return _handler(args.handler)(args)
    except (ConfigError, UsageError) as exc:
        return _say(exc, USAGE, debug=args.debug)
    except RunbookError as exc:
        return _say(exc, ATTENTION, debug=args.debug)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `runbook report | head` is no error
        return OK
    except OSError as exc:  # a folder that cannot be written, a disk that is full: the operator's to mend
        if args.debug:
            raise
        print(f"runbook: {exc.strerror or exc}{f': {exc.filename}' if exc.filename else ''}", file=sys.stderr)
        return ATTENTION


def _handler(name: str) -> Callable[[argparse.Namespace], int]:
    """The function behind a command; imported late, so that `status` loads no scheduler and no HTTP client."""
    import importlib

    module, _, function = name.partition(":")
    found: Callable[[argparse.Namespace], int] = getattr(
        importlib.import_module(f"runbook.commands.{module}"), function
    )
    return found


def _say(exc: RunbookError, code: int, *, debug: bool) -> int:
    print(f"runbook: {exc}", file=sys.stderr)
    if exc.hint:
        print(f"  -> {exc.hint}", file=sys.stderr)
    if debug:
        import traceback

        traceback.print_exception(exc)
    return code
