"""The command line: parses, dispatches, and turns errors into one clear line and an exit code.

Exit codes: 0 all well, 1 attention or failed, 2 usage or configuration, 3 no live daemon, 70 the daemon ended itself because
something in it hangs (systemd starts it again), 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import date, time, timedelta
from pathlib import Path

from runbook.errors import ConfigError, RunbookError, UsageError
from runbook.trigger import parse_duration

OK, ATTENTION, USAGE, NO_DAEMON, INTERRUPTED = 0, 1, 2, 3, 130

_EPILOG = """\
a first day:
  runbook rehearse                 watch a short trading day go wrong and right again, on loopback
  runbook init my-site             write a site: config.yaml, jobs/, calendar/
  runbook config check             every fault of the site at once
  runbook doctor                   every hop from runbook to the bot, now
  runbook serve                    run; beside it: status, plan, report, history
"""


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; accepted: YYYY-MM-DD, for example 2026-11-23") from exc


def _year(text: str) -> int:
    if text.isascii() and text.isdigit() and 1990 <= int(text) <= 2100:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no year; accepted: 1990 to 2100, for example 2027")


def _number(text: str) -> int:
    """As people write it: messages call an alert #3."""
    bare = text.removeprefix("#")
    if bare.isascii() and bare.isdigit() and int(bare) > 0:
        return int(bare)
    raise argparse.ArgumentTypeError(f"{text!r} is no number; accepted: 1 or more, for example 3")


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number; accepted: for example 5") from exc


def _clock(text: str) -> str:
    try:
        return time.fromisoformat(text if len(text) == 5 else f"0{text}").strftime("%H:%M")
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is no time of day; accepted: HH:MM, for example 18:00") from exc


def _until(text: str) -> str:
    """Past midnight the hours count on, as in the files: 24:15, to 30:00."""
    if re.fullmatch(r"2[4-9]:[0-5][0-9]|30:00", text):
        return text
    return _clock(text)


def _length(text: str) -> timedelta:
    from runbook.fault import Unfit
    from runbook.trigger import parse_duration

    try:
        return parse_duration(text)
    except Unfit as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _words(text: str) -> str:
    if said := " ".join(text.split()):
        return said
    raise argparse.ArgumentTypeError("nothing is said; accepted: words, for example 'NSE/CMTR/72260'")


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
    one.add_argument("--next", type=_count, metavar="N", help="the next N days (default 3)")
    json_too(one)
    one = add("status", "read:status", "how things stand now")
    json_too(one)
    one = add("report", "read:report", "the day: the newest session that has opened, or the one you name")
    one.add_argument("--session", type=_day, metavar="D")
    one.add_argument("--format", choices=("text", "md", "json"), default="text")
    json_too(one)
    one = add("history", "read:history", "the last sessions, a line each")
    one.add_argument("--last", type=_count, default=10, metavar="N")
    json_too(one)
    _calendar(add, json_too)
    one = add("explain", "calendars:explain", "one job on one day: when, by what arithmetic and rules, and what now")
    one.add_argument("job", metavar="STEP", help="a name under `jobs:`")
    one.add_argument("--date", type=_day, metavar="D", help="default: today")
    json_too(one)
    _feed(add, json_too)
    _db(add, json_too)
    one = add("doctor", "doctor:doctor", "every hop from runbook to the bot, now; read-only, safe against bans")
    one.add_argument("--probe", action="store_true", help="open a stream of its own although a daemon watches one")
    one.add_argument(
        "--host",
        nargs="?",
        const="",
        metavar="USER@HOST",
        help="look at OpenAlgo's host too: here, or there through ssh",
    )
    one.add_argument("--bundle", type=Path, metavar="FILE.zip", help="pack it all for support, without a secret")
    one.add_argument(
        "--log", type=Path, metavar="FILE", help="with --bundle: the daemon's log (default: the one it names)"
    )
    json_too(one)
    one = add("serve", "run:serve", "run the daemon until SIGTERM or Ctrl-C")
    one.add_argument("--log", type=Path, metavar="FILE", help="log to this file too")
    one = add("watch", "guard:watch", "a second process: tell when the daemon is gone, and when it is back")
    one.add_argument("--once", action="store_true", help="one look, for a timer; exit 0 there or not due, 3 absent")
    one = add("reload", "run:reload", "have the live daemon read config.yaml again: whole or not at all")
    one.add_argument("--now", action="store_true", help="also between ten minutes before the open and the close")
    one = add(
        "drill", "run:drill", "play a silence of the feed up to the acknowledged alert; the feed itself is not touched"
    )
    one.add_argument("what", choices=("feed",))
    one.add_argument(
        "--within", type=_length, default="5m", metavar="TIME", help="until it is acknowledged (default 5m)"
    )
    one.add_argument("--yes", action="store_true", help="although the bot trades live")
    one = add("service", "service:print_", "units for systemd, from this site: they watch and confine the daemon")
    one.add_argument("what", choices=("print",))
    one.add_argument("--user", action="store_true", help="for `systemctl --user`")
    one.add_argument("--watch", action="store_true", help="the units of `runbook watch`: a service and its timer")
    one.add_argument("--polkit", action="store_true", help="the rule by which it may restart what it may restart")
    one.add_argument("--into", type=Path, metavar="DIR", help="write the files there, the daemon's among them")
    one = add("run", "run:run", "run one job now: by the live daemon, or here without one")
    one.add_argument("job")
    one.add_argument("--session", type=_day, metavar="D", help="default: the session now, or the newest")
    one.add_argument("--slot", metavar="S", help="which of the job's anchors (default: the last)")
    one.add_argument("--reason", default="", help="why, for the ledger")
    one.add_argument("--again", action="store_true", help="also when it has succeeded already")
    _alerts(add, json_too)
    _people(add, json_too)
    top_remedy = add(
        "remedy", "remedy:show", "what may be done about an alert, whether now and why not; one run by hand"
    )
    actions = top_remedy.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "each remedy with its command and its gates as they stand now"
    one = actions.add_parser("list", help=text, description=text)
    one.set_defaults(handler="remedy:show")
    json_too(one)
    text = "one run by hand through the live daemon, within the same limits"
    one = actions.add_parser("run", help=text, description=text)
    one.set_defaults(handler="remedy:run")
    one.add_argument("name", metavar="NAME")
    one.add_argument(
        "--dry-run", action="store_true", help="print the words and every gate, start nothing; exit 0 allowed, 1 not"
    )
    one.add_argument("--reason", default="", help="why, for the ledger")
    json_too(one)
    one = add("notify", "run:notify", "send a numbered test message on each channel; or set a Telegram bot up")
    one.add_argument("what", choices=("test", "setup"), help="setup: print the chat and the user a bot hears from")
    one.add_argument("service", nargs="?", choices=("telegram",), help="with setup")
    one.add_argument("--channel", metavar="NAME")
    json_too(one)
    one = add(
        "rehearse", "run:rehearse", "one short trading day against the simulator, with everything real but the market"
    )
    one.add_argument("scenario", nargs="?", default="incident")
    one.add_argument("--seed", type=_count, default=7)
    one.add_argument(
        "--speed", type=float, default=30.0, metavar="X", help="at most this pace while the feed is live (1 to 30)"
    )
    one.add_argument("--keep", type=Path, metavar="DIR", help="keep the rehearsed site and its ledger there")
    one = add("simulator", "run:simulator", "an OpenAlgo on loopback to try a bot against")
    one.add_argument("rest", nargs=argparse.REMAINDER, help="see `runbook simulator --help`")
    return top


def _people(
    add: Callable[[str, str, str], argparse.ArgumentParser], json_too: Callable[[argparse.ArgumentParser], None]
) -> None:
    """What a person is asked, and what he says: asks, answer, recheck, pause, resume, skip."""
    one = add("asks", "people:asks", "what waits for an answer of yours, with all you need to give it")
    one.add_argument("--all", action="store_true", help="the answered and the closed ones too, the newest 50")
    json_too(one)
    one = add("answer", "people:answer", "answer what was asked; an answer counts once")
    one.add_argument("number", type=_number, metavar="N", help="the number of the ask")
    one.add_argument("choice", metavar="CHOICE", help="one of its choices")
    one.add_argument("--note", default="", metavar="TEXT", help="for the ledger and the report")
    add("recheck", "people:recheck", "have the daemon verify the broker again now, stream included")
    one = add("pause", "people:pause", "hold a step back for maintenance; what falls into it ends as skipped")
    one.add_argument("step", metavar="STEP", help="a name under `jobs:`, or all")
    one.add_argument("--until", metavar="WHEN", help="30m, 15:30 or 2026-11-27; default: until it is resumed")
    one.add_argument("--reason", required=True, type=_words, metavar="TEXT", help="why, for the report")
    one = add("resume", "people:resume", "end a pause")
    one.add_argument("step", metavar="STEP", help="what was paused, or all")
    one = add("skip", "people:skip", "skip what is still to come of a step in one session")
    one.add_argument("step", metavar="STEP", help="a name under `jobs:`")
    one.add_argument("--session", type=_day, metavar="D", help="default: the next that has anything of it")
    one.add_argument("--reason", required=True, type=_words, metavar="TEXT", help="why, for the report")


def _span(text: str) -> timedelta:
    try:
        length = parse_duration(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
    if not length:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all; accepted: more than nothing, for example 30m")
    return length


def _alerts(
    add: Callable[[str, str, str], argparse.ArgumentParser], json_too: Callable[[argparse.ArgumentParser], None]
) -> None:
    """What is wrong, that it was seen, and what not to be told of for a while."""
    one = add("alerts", "alerts:alerts", "what is wrong now: number, age, who was told, who has seen it")
    one.add_argument("--all", action="store_true", help="those of the last 30 days too, over or not")
    json_too(one)
    one = add("ack", "alerts:ack", "say that you have seen an alert: no more reminders, nobody else is called")
    one.add_argument("number", type=_number, metavar="N", help="as in #41")
    one.add_argument("--note", default="", metavar="TEXT", help="kept with it, and in the report")
    one = add(
        "silence", "alerts:silence", "do not tell me of something for a while; it is stored and shown all the same"
    )
    one.add_argument("pattern", metavar="PATTERN", help="feed, feed.symbol, or job{job=check_feed}")
    one.add_argument("--for", dest="length", type=_span, required=True, metavar="TIME", help="for example 30m")
    one.add_argument("--reason", required=True, type=_words, metavar="TEXT", help="why, for the ledger")
    one.add_argument("--critical", action="store_true", help="also for longer than 2h what may be critical")
    one = add("silences", "alerts:silences", "what is silenced now, until when, by whom and why")
    one.add_argument("--all", action="store_true", help="those that are over too")
    json_too(one)
    one = add("unsilence", "alerts:unsilence", "end a silence now; what is still wrong is told then")
    one.add_argument("number", type=_number, metavar="N", help="as `runbook silences` shows it")


def _feed(
    add: Callable[[str, str, str], argparse.ArgumentParser], json_too: Callable[[argparse.ArgumentParser], None]
) -> None:
    """`runbook feed ...`: the feed as the daemon sees it, and what recorded ticks say of its settings."""
    top = add("feed", "watch:watch", "the feed live, and what recorded ticks say of its settings")
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "a live view in the terminal: hops, mode, source, rates and ages; Ctrl-C ends it"
    one = actions.add_parser("watch", help=text, description=text)
    one.set_defaults(handler="watch:watch")
    one.add_argument("--once", action="store_true", help="one view; exit 0 well, 1 not, 3 no daemon")
    text = "play recorded sessions to the detector: alarms, time to see a loss, gaps by symbol"
    one = actions.add_parser("calibrate", help=text, description=text)
    one.set_defaults(handler="feed:calibrate")
    one.add_argument("--session", type=_day, metavar="D", help="that session alone")
    one.add_argument("--last", type=_count, metavar="N", help="the last N recorded sessions (default 5)")
    one.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="KEY=VALUE",
        help="a key under `feed:` with another value, held against config.yaml; again for each",
    )  # fmt: skip
    one.add_argument("--cuts", type=_count, default=40, metavar="N", help="losses made of each session (default 40)")
    json_too(one)


def _db(
    add: Callable[[str, str, str], argparse.ArgumentParser], json_too: Callable[[argparse.ArgumentParser], None]
) -> None:
    """`runbook db ...`: the database's own keep."""
    top = add("db", "db:check", "the database: read all of it, copy it, go back to a copy")
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text)
        made.set_defaults(handler=f"db:{name}")
        return made

    json_too(action("check", "every page read: damage, version, sizes, growth, what will be rolled up; 0 well, 1 not"))
    one = action("backup", "a copy while the daemon runs, read back before it gets its name")
    one.add_argument("file", nargs="?", type=Path, metavar="FILE", help="default: by the time, among the daily ones")
    one = action("restore", "a copy in the place of the database, which is kept; not while a daemon runs")
    one.add_argument("file", type=Path, metavar="FILE", help="what `db backup` or the step backup_db wrote")
    one.add_argument("--yes", action="store_true", help="without asking")


def _calendar(
    add: Callable[[str, str, str], argparse.ArgumentParser], json_too: Callable[[argparse.ArgumentParser], None]
) -> None:
    """`runbook calendar ...`: what is known of days, and the desk's own word on them."""
    top = add("calendar", "calendars:show", "what is known of days, and from whom; and the desk's own word on them")
    top.epilog = "the rest of the year's list comes out in December: `runbook calendar import FILE --source ...`"
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, handler: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text)
        made.set_defaults(handler=handler)
        if name != "schema":
            made.add_argument("--exchange", metavar="X", help="default: the one in config.yaml")
        return made

    def states(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--source", required=True, type=_words, metavar="TEXT", help="the circular's number, or the page"
        )
        made.add_argument("--confidence", choices=("high", "medium", "low"), default="high", help="default: high")
        made.add_argument("--note", type=_words, metavar="TEXT", help="shown with the day")
        made.add_argument("--replace", action="store_true", help="in place of what the site says of the day")

    one = action("show", "calendars:show", "the days of a year: a chart, or one JSON object each")
    one.add_argument("--year", type=_year, metavar="Y", help="default: this year")
    one.add_argument("--from", dest="first", type=_day, metavar="D1")
    one.add_argument("--to", dest="last", type=_day, metavar="D2")
    json_too(one)
    one = action("why", "calendars:why", "who says what of a day, which word counts, and when each job runs on it")
    one.add_argument("day", type=_day, metavar="D")
    json_too(one)
    one = action("check", "calendars:check", "held against OpenAlgo's own calendar; at most ten calls, read-only")
    one.add_argument("--year", type=_year, metavar="Y", help="all of that year; default: from today on")
    json_too(one)
    one = action("close", "statements:close", "state in calendar/ that a day has no trading")
    one.add_argument("day", type=_day, metavar="D")
    one.add_argument("--reason", "--name", required=True, type=_words, metavar="TEXT", help="what the day is called")
    states(one)
    one.add_argument("--dry-run", action="store_true", help="print what would change, write nothing")
    one = action("open", "statements:open_day", "state in calendar/ that a day has trading, of any weekday")
    one.add_argument("day", type=_day, metavar="D")
    one.add_argument(
        "--from", dest="starts", action="append", type=_clock, metavar="HH:MM", help="again for each window"
    )
    one.add_argument(
        "--until",
        dest="ends",
        action="append",
        type=_until,
        metavar="HH:MM",
        help="neither: the regular hours; 24:15 is past midnight",
    )
    one.add_argument(
        "--name", "--reason", required=True, type=_words, metavar="TEXT", help="what the session is called"
    )
    states(one)
    one.add_argument("--dry-run", action="store_true", help="print what would change, write nothing")
    one = action("import", "statements:import_list", "take in a year's list (CSV or YAML) after a preview")
    one.add_argument("file", type=Path, metavar="FILE", help="date,name[,kind,open,close], or as in calendar/")
    states(one)
    one.add_argument(
        "--covers", choices=("guess", "year", "part"), default="guess", help="whether the list is all of its year"
    )
    one.add_argument("--yes", action="store_true", help="write without asking")
    action("schema", "calendars:schema", "the format of calendar/*.yaml as JSON Schema, for editors")


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
