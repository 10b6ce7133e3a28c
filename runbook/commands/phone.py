"""`notify setup telegram`: who speaks to the bot, as the numbers that config.yaml wants."""

from __future__ import annotations

import argparse
import sys
import threading
from typing import TYPE_CHECKING

from runbook import app
from runbook.clock import SystemClock, host_monotonic
from runbook.errors import PhoneFlooded, PhoneShared, PhoneUnreachable, UsageError
from runbook.fault import nearest
from runbook.report.layout import plain

if TYPE_CHECKING:
    from runbook.config import Config
    from runbook.phone import Heard
    from runbook.ports import Telephone

WAIT = 60.0  # seconds
_POLL = 10.0
_AGAIN = 1.0  # seconds after which a conflict is no echo of an earlier process any more
_EXAMPLE = "notify: {phone: {telegram: {token_file: ~/.runbook/bot}}}"


def setup(args: argparse.Namespace) -> int:
    """Wait for a message to the bot, and print the chat and the user it came from."""
    config = app.load_config(args.site)
    name, token = _channel(args, config)
    spec = config.settings.notify[name].telegram
    if spec is not None and spec.users and app.locked(config):
        raise UsageError(
            f"`runbook serve` listens on the bot of {name} now, and a bot has one listener",
            hint="stop it first; or write to the bot: the daemon's log names the number of everybody it does not know",
        )
    bot = app.bot_of(token)
    try:
        print(f"the bot of {name} is @{plain(bot.name())}; write anything to it, from the chat it is to send to")
        print(f"(in a group: /start@{plain(bot.name())}); waiting {WAIT:.0f} s ...", flush=True)
        heard = _wait(bot)
    finally:
        bot.close()
    if not heard:
        print("nobody has written; is it the right bot? Try again", file=sys.stderr)
        return 1
    for (user, chat, private), one in {(h.user, h.chat, h.private): h for h in heard}.items():
        where = "in private" if private else "in a group: everybody in it reads what is sent there"
        when = f", at {one.at:%H:%M:%S} UTC" if one.at else ""
        print(f"\n{plain(one.who) or 'somebody'} wrote {where}{when}. If that was you, config.yaml wants:")
        print(f"  telegram: {{..., chat: {chat}, users: [{user}]}}")
    return 0


def _channel(args: argparse.Namespace, config: Config) -> tuple[str, str]:
    """The telegram channel that is meant, and its token."""
    found = app.bots(config)
    missing = [f for f in config.secrets.missing if f.path.startswith("notify.") and not f.path.endswith(".chat")]
    if args.channel is not None and args.channel not in found:
        if unset := next((f for f in missing if f.path.startswith(f"notify.{args.channel}.")), None):
            raise UsageError(str(unset))
        names = [*found]
        accepted = nearest(args.channel, names) + (", ".join(names) or "a channel with `telegram:`; there is none yet")
        raise UsageError(f"no telegram channel {args.channel!r}; accepted: {accepted}, for example {_EXAMPLE}")
    if not found:
        unset = next(iter(missing), None)
        raise UsageError(
            str(unset)
            if unset
            else f"no channel of `notify:` has a bot; accepted: one with `telegram:`, for example {_EXAMPLE}",
            hint="make a bot at @BotFather with /newbot, one of runbook's own, and put its token into a file of mode 600",
        )
    if args.channel is None and len(found) > 1:
        raise UsageError(f"which channel? accepted: --channel {' or --channel '.join(found)}")
    name = args.channel or next(iter(found))
    return name, found[name]


def _wait(bot: Telephone) -> tuple[Heard, ...]:
    """What is said within the time; nothing is confirmed, so that whoever else owns the bot loses nothing.

    Raises PhoneShared when another program polls it, which is asked twice: the first may be an echo.
    """
    until, pause, conflicts = host_monotonic() + WAIT, threading.Event(), 0
    clock = SystemClock()
    while (left := until - host_monotonic()) > 0:
        try:
            if heard := bot.listen(None, min(_POLL, left)).heard:
                return heard
        except PhoneShared as exc:
            conflicts += 1
            if conflicts > 1 or "webhook" in str(exc):
                raise
            clock.wait(pause, min(_AGAIN, left))
        except PhoneFlooded as exc:
            clock.wait(pause, min(exc.seconds, left))
        except PhoneUnreachable as exc:
            print(f"{exc}; trying again", file=sys.stderr)
            clock.wait(pause, min(_AGAIN, left))
    return ()
