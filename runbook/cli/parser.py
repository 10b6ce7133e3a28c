"""The whole command line, as argparse has it: which commands there are, and which function each calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from runbook.cli import groups, kinds

_EPILOG = """\
a first day:
  runbook rehearse                 watch a short trading day go wrong and right again, on loopback
  runbook init my-site             write a site: config.yaml, jobs/, calendar/
  runbook config check             every fault of the site at once
  runbook doctor                   every hop from runbook to the bot, now
  runbook serve                    run; beside it: status, plan, report, history
"""


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
    one.add_argument("--date", type=kinds.day, metavar="D")
    one.add_argument("--from", dest="first", type=kinds.day, metavar="D1")
    one.add_argument("--to", dest="last", type=kinds.day, metavar="D2")
    one.add_argument("--next", type=kinds.count, metavar="N", help="the next N days (default 3)")
    json_too(one)
    one = add("status", "read:status", "how things stand now")
    json_too(one)
    one = add("report", "read:report", "the day: the newest session that has opened, or the one you name")
    one.add_argument("--session", type=kinds.day, metavar="D")
    one.add_argument("--format", choices=("text", "md", "json"), default="text")
    json_too(one)
    one = add("history", "read:history", "the last sessions, a line each")
    one.add_argument("--last", type=kinds.count, default=10, metavar="N")
    json_too(one)
    groups.calendar(add, json_too)
    one = add("explain", "calendars:explain", "one job on one day: when, by what arithmetic and rules, and what now")
    one.add_argument("job", metavar="STEP", help="a name under `jobs:`")
    one.add_argument("--date", type=kinds.day, metavar="D", help="default: today")
    json_too(one)
    groups.feed(add, json_too)
    groups.db(add, json_too)
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
        "--within", type=kinds.length, default="5m", metavar="TIME", help="until it is acknowledged (default 5m)"
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
    one.add_argument("--session", type=kinds.day, metavar="D", help="default: the session now, or the newest")
    one.add_argument("--slot", metavar="S", help="which of the job's anchors (default: the last)")
    one.add_argument("--reason", default="", help="why, for the ledger")
    one.add_argument("--again", action="store_true", help="also when it has succeeded already")
    groups.alerts(add, json_too)
    groups.people(add, json_too)
    groups.remedy(add, json_too)
    one = add("notify", "run:notify", "send a numbered test message on each channel; or set a Telegram bot up")
    one.add_argument("what", choices=("test", "setup"), help="setup: print the chat and the user a bot hears from")
    one.add_argument("service", nargs="?", choices=("telegram",), help="with setup")
    one.add_argument("--channel", metavar="NAME")
    json_too(one)
    one = add(
        "rehearse", "run:rehearse", "one short trading day against the simulator, with everything real but the market"
    )
    one.add_argument("scenario", nargs="?", default="incident")
    one.add_argument("--seed", type=kinds.count, default=7)
    one.add_argument(
        "--speed", type=float, default=30.0, metavar="X", help="at most this pace while the feed is live (1 to 30)"
    )
    one.add_argument("--keep", type=Path, metavar="DIR", help="keep the rehearsed site and its ledger there")
    one = add("simulator", "run:simulator", "an OpenAlgo on loopback to try a bot against")
    one.add_argument("rest", nargs=argparse.REMAINDER, help="see `runbook simulator --help`")
    return top
