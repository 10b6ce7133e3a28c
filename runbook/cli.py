"""The command line: parses, dispatches, and turns errors into one clear line and an exit code.

Exit codes: 0 all well, 1 attention or failed, 2 usage or configuration, 3 no live daemon, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from runbook.errors import ConfigError, RunbookError, UsageError

OK, ATTENTION, USAGE, NO_DAEMON, INTERRUPTED = 0, 1, 2, 3, 130

_EPILOG = """\
a first day:
  runbook rehearse                 watch a short trading day go wrong and right again, on loopback
  runbook init my-site             write a site: config.yaml, jobs/, calendar/
  runbook config check             every fault of the site at once
  runbook doctor                   the ladder to the broker, rung by rung, now
  runbook serve                    run; beside it: status, plan, report, history
"""


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; accepted: YYYY-MM-DD, for example 2026-11-23") from exc


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="runbook", description="A go-live runbook that runs beside your bot: it observes, reports and never trades.",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    top.add_argument("--site", type=Path, default=Path(), metavar="DIR", help="the site's folder (default: here)")
    top.add_argument("--debug", action="store_true", help="log more, and show where an error came from")
    top.add_argument("--version", action="store_true", help="print the version")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, handler: str, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(handler=handler)
        return made

    def json_too(made: argparse.ArgumentParser) -> None:
        made.add_argument("--json", action="store_true", help="as JSON, keys as in docs/json.md")

    one = add("init", "site:init", "write a new site and compute its calendar")
    one.add_argument("dir", nargs="?", type=Path, help="the folder to write (default: the site's)")
    one = add("config", "site:config", "check the site, or show it with every default")
    one.add_argument("what", choices=("check", "show"))
    json_too(one)
    one = add("plan", "read:plan", "what runs when: sessions, holidays, steps")
    one.add_argument("--date", type=_day, metavar="D")
    one.add_argument("--from", dest="first", type=_day, metavar="D1")
    one.add_argument("--to", dest="last", type=_day, metavar="D2")
    one.add_argument("--next", type=int, metavar="N", help="the next N days (default 3)")
    json_too(one)
    one = add("status", "read:status", "how things stand now")
    json_too(one)
    one = add("report", "read:report", "the day: the newest session that has opened, or the one you name")
    one.add_argument("--session", type=_day, metavar="D")
    one.add_argument("--format", choices=("text", "md", "json"), default="text")
    json_too(one)
    one = add("history", "read:history", "the last sessions, a line each")
    one.add_argument("--last", type=int, default=10, metavar="N")
    json_too(one)
    one = add("doctor", "run:doctor", "climb the ladder to the broker now; read-only, safe against bans")
    json_too(one)
    one = add("serve", "run:serve", "run the daemon until SIGTERM or Ctrl-C")
    one.add_argument("--log", type=Path, metavar="FILE", help="log to this file too")
    one = add("run", "run:run", "run one job now: by the live daemon, or here without one")
    one.add_argument("job")
    one.add_argument("--session", type=_day, metavar="D", help="default: the session now, or the newest")
    one.add_argument("--slot", metavar="S", help="which of the job's anchors (default: the last)")
    one.add_argument("--reason", default="", help="why, for the ledger")
    one.add_argument("--again", action="store_true", help="also when it has succeeded already")
    one = add("notify", "run:notify", "send a numbered test message on each channel")
    one.add_argument("what", choices=("test",))
    one.add_argument("--channel", metavar="NAME")
    json_too(one)
    one = add(
        "rehearse", "run:rehearse", "one short trading day against the simulator, with everything real but the market"
    )
    one.add_argument("scenario", nargs="?", default="incident")
    one.add_argument("--seed", type=int, default=7)
    one.add_argument(
        "--speed", type=float, default=30.0, metavar="X", help="at most this pace while the feed is live (1 to 30)"
    )
    one.add_argument("--keep", type=Path, metavar="DIR", help="keep the rehearsed site and its ledger there")
    one = add("simulator", "run:simulator", "an OpenAlgo on loopback to try a bot against")
    one.add_argument("rest", nargs=argparse.REMAINDER, help="see `runbook simulator --help`")
    return top


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
