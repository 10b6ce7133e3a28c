"""Commands that belong together: alerts, people, and those that have actions of their own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from runbook.cli import kinds

Add = Callable[[str, str, str], argparse.ArgumentParser]  # name, handler, what it does
Option = Callable[[argparse.ArgumentParser], None]


def alerts(add: Add, json_too: Option) -> None:
    """What is wrong, that it was seen, and what not to be told of for a while."""
    one = add("alerts", "alerts:alerts", "what is wrong now: number, age, who was told, who has seen it")
    one.add_argument("--all", action="store_true", help="those of the last 30 days too, over or not")
    json_too(one)
    one = add("ack", "alerts:ack", "say that you have seen an alert: no more reminders, nobody else is called")
    one.add_argument("number", type=kinds.number, metavar="N", help="as in #41")
    one.add_argument("--note", default="", metavar="TEXT", help="kept with it, and in the report")
    one = add(
        "silence", "alerts:silence", "do not tell me of something for a while; it is stored and shown all the same"
    )
    one.add_argument("pattern", metavar="PATTERN", help="feed, feed.symbol, or job{job=check_feed}")
    one.add_argument("--for", dest="length", type=kinds.length, required=True, metavar="TIME", help="for example 30m")
    one.add_argument("--reason", required=True, type=kinds.words, metavar="TEXT", help="why, for the ledger")
    one.add_argument("--critical", action="store_true", help="also for longer than 2h what may be critical")
    one = add("silences", "alerts:silences", "what is silenced now, until when, by whom and why")
    one.add_argument("--all", action="store_true", help="those that are over too")
    json_too(one)
    one = add("unsilence", "alerts:unsilence", "end a silence now; what is still wrong is told then")
    one.add_argument("number", type=kinds.number, metavar="N", help="as `runbook silences` shows it")


def people(add: Add, json_too: Option) -> None:
    """What a person is asked, and what he says: asks, answer, recheck, pause, resume, skip."""
    one = add("asks", "people:asks", "what waits for an answer of yours, with all you need to give it")
    one.add_argument("--all", action="store_true", help="the answered and the closed ones too, the newest 50")
    json_too(one)
    one = add("answer", "people:answer", "answer what was asked; an answer counts once")
    one.add_argument("number", type=kinds.number, metavar="N", help="the number of the ask")
    one.add_argument("choice", metavar="CHOICE", help="one of its choices")
    one.add_argument("--note", default="", metavar="TEXT", help="for the ledger and the report")
    add("recheck", "people:recheck", "have the daemon verify the broker again now, stream included")
    one = add("pause", "people:pause", "hold a step back for maintenance; what falls into it ends as skipped")
    one.add_argument("step", metavar="STEP", help="a name under `jobs:`, or all")
    one.add_argument("--until", metavar="WHEN", help="30m, 15:30 or 2026-11-27; default: until it is resumed")
    one.add_argument("--reason", required=True, type=kinds.words, metavar="TEXT", help="why, for the report")
    one = add("resume", "people:resume", "end a pause")
    one.add_argument("step", metavar="STEP", help="what was paused, or all")
    one = add("skip", "people:skip", "skip what is still to come of a step in one session")
    one.add_argument("step", metavar="STEP", help="a name under `jobs:`")
    one.add_argument("--session", type=kinds.day, metavar="D", help="default: the next that has anything of it")
    one.add_argument("--reason", required=True, type=kinds.words, metavar="TEXT", help="why, for the report")


def remedy(add: Add, json_too: Option) -> None:
    """`runbook remedy ...`: what may be done about an alert."""
    top = add("remedy", "remedy:show", "what may be done about an alert, whether now and why not; one run by hand")
    actions = top.add_subparsers(dest="action", metavar="ACTION", required=True)
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


def feed(add: Add, json_too: Option) -> None:
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
    one.add_argument("--session", type=kinds.day, metavar="D", help="that session alone")
    one.add_argument("--last", type=kinds.count, metavar="N", help="the last N recorded sessions (default 5)")
    one.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="KEY=VALUE",
        help="a key under `feed:` with another value, held against config.yaml; again for each",
    )  # fmt: skip
    one.add_argument(
        "--cuts", type=kinds.count, default=40, metavar="N", help="losses made of each session (default 40)"
    )
    json_too(one)


def db(add: Add, json_too: Option) -> None:
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


def calendar(add: Add, json_too: Option) -> None:
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
            "--source", required=True, type=kinds.words, metavar="TEXT", help="the circular's number, or the page"
        )
        made.add_argument("--confidence", choices=("high", "medium", "low"), default="high", help="default: high")
        made.add_argument("--note", type=kinds.words, metavar="TEXT", help="shown with the day")
        made.add_argument("--replace", action="store_true", help="in place of what the site says of the day")

    one = action("show", "calendars:show", "the days of a year: a chart, or one JSON object each")
    one.add_argument("--year", type=kinds.year, metavar="Y", help="default: this year")
    one.add_argument("--from", dest="first", type=kinds.day, metavar="D1")
    one.add_argument("--to", dest="last", type=kinds.day, metavar="D2")
    json_too(one)
    one = action("why", "calendars:why", "who says what of a day, which word counts, and when each job runs on it")
    one.add_argument("day", type=kinds.day, metavar="D")
    json_too(one)
    one = action("check", "calendars:check", "held against OpenAlgo's own calendar; at most ten calls, read-only")
    one.add_argument("--year", type=kinds.year, metavar="Y", help="all of that year; default: from today on")
    json_too(one)
    one = action("close", "statements:close", "state in calendar/ that a day has no trading")
    one.add_argument("day", type=kinds.day, metavar="D")
    one.add_argument(
        "--reason", "--name", required=True, type=kinds.words, metavar="TEXT", help="what the day is called"
    )
    states(one)
    one.add_argument("--dry-run", action="store_true", help="print what would change, write nothing")
    one = action("open", "statements:open_day", "state in calendar/ that a day has trading, of any weekday")
    one.add_argument("day", type=kinds.day, metavar="D")
    one.add_argument(
        "--from", dest="starts", action="append", type=kinds.clock, metavar="HH:MM", help="again for each window"
    )
    one.add_argument(
        "--until",
        dest="ends",
        action="append",
        type=kinds.until,
        metavar="HH:MM",
        help="neither: the regular hours; 24:15 is past midnight",
    )
    one.add_argument(
        "--name", "--reason", required=True, type=kinds.words, metavar="TEXT", help="what the session is called"
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
