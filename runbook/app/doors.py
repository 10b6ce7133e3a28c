"""Doors to the world: OpenAlgo, the channels, the bot, the host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook.app import phone, site
from runbook.clock import Clock
from runbook.config import Config, environment
from runbook.phone import Keyboard
from runbook.ports import Commands, Notifier, Switch, TickStream

if TYPE_CHECKING:
    from runbook.adapters.botwatch import BotWatch
    from runbook.adapters.host import Host
    from runbook.adapters.openalgo import OpenAlgo
    from runbook.adapters.pulsefile import PulseFile
    from runbook.adapters.relay import Relay
    from runbook.adapters.systemd import Systemd
    from runbook.doctor import Knock
    from runbook.follower import Sources
    from runbook.monitor import Monitor

log = logging.getLogger(__name__)


def gateway(config: Config, clock: Clock, *, read_timeout: float = 8.0) -> OpenAlgo:
    from runbook.adapters.openalgo import OpenAlgo

    assert config.secrets.api_key is not None  # need_secrets was asked before
    return OpenAlgo(config.settings.openalgo.url, config.secrets.api_key, clock, read_timeout=read_timeout)


def stream(config: Config, clock: Clock, *, orders: bool = False, often: bool = False) -> TickStream:
    """A stream of its own; `often` pings so that a look of a few seconds can say whether pings are answered."""
    from runbook.adapters.ticks import OpenAlgoStream, Patience

    assert config.secrets.api_key is not None
    patience = Patience(connect=3.0, reply=6.0, ping_every=1.5, pong_within=2.0) if often else Patience()
    return OpenAlgoStream(config.stream_url, config.secrets.api_key, clock, patience, orders=orders)


def relay(config: Config, clock: Clock, monitor: Callable[[], Monitor], ticks: TickStream) -> Relay | None:
    """The relay for the bot, where one is configured; it does not listen yet."""
    from runbook.adapters.relay import Relay
    from runbook.monitor import MOST_WATCHED

    address, key = config.settings.feed.relay, config.secrets.api_key
    if address is None or key is None:
        return None
    return Relay(
        address, key, clock, lambda: monitor().view().state,
        wanted=lambda new: monitor().follow(new, "a client of the relay asks for it"),
        on_clients=lambda count: ticks.hurry(count > 0), most_symbols=MOST_WATCHED,
    )  # fmt: skip


def knock(url: str) -> Knock:
    """A bare TCP connection to the address, closed again."""
    from runbook.adapters.knock import knock

    return knock(url)


def bot_watch(config: Config, clock: Clock) -> BotWatch:
    """The eye on the bot; its `declared` says whether there is anything to look at."""
    from runbook.adapters.botwatch import BotWatch

    bot = config.settings.bot
    return BotWatch(clock, config.site, ticks=bot.ticks, heartbeat=bot.heartbeat, log=bot.log)


def pulse_file(config: Config) -> PulseFile:
    """The daemon's second-by-second word, beside the database."""
    from runbook.adapters.pulsefile import PulseFile

    return PulseFile(config.database_path)


def watch_file(config: Config) -> PulseFile:
    """What `runbook watch` remembers between two looks, beside the database."""
    from runbook.adapters.pulsefile import PulseFile

    return PulseFile(config.database_path, "watch")


def host(where: str) -> Host:
    """Commands on this host ("") or on another through ssh, of the allow-list only."""
    from runbook.adapters.host import Host

    return Host(where)


def bundle_target(file: Path) -> None:
    """Refuse a bundle that could not be written."""
    from runbook.adapters.bundle import free

    free(file)


def write_bundle(file: Path, texts: Mapping[str, str], now: datetime) -> None:
    from runbook.adapters.bundle import pack

    pack(file, texts, now)


def log_tail(file: Path, lines: int) -> str:
    from runbook.adapters.bundle import tail

    return tail(file, lines)


def locked(config: Config) -> bool:
    """True when some process holds the daemon's lock on this database now."""
    from runbook.adapters.lock import DatabaseLock

    return DatabaseLock(config.database_path).held()


def systemd() -> Systemd:
    """The service manager, where it started us and wants to be told."""
    from runbook.adapters.systemd import Systemd

    return Systemd(environment())


def switch(config: Config) -> Switch | None:
    """The dead-man's switch outside, where `watch:` names one."""
    from runbook.adapters.heartbeat import Healthchecks

    return Healthchecks(config.secrets.pings) if config.secrets.pings else None


def notifier(config: Config, offer: Callable[[Sequence[str]], Keyboard] = lambda _about: ()) -> Notifier:
    """Every channel of the site; `offer` gives the buttons under a message, for the channels that can have some."""
    from runbook.adapters.notify import ByChannel, ChildNotifier
    from runbook.adapters.telegram import TelegramNotifier

    own: dict[str, Notifier] = {}
    for name, token in phone.bots(config).items():
        spec = config.settings.notify[name].telegram
        if spec is not None and spec.chat is not None:
            own[name] = TelegramNotifier(phone.bot_of(token), spec.chat, offer)
    rest = ChildNotifier({name: url for name, url in config.secrets.channels.items() if name not in own})
    return ByChannel(own, rest) if own else rest


def commands(config: Config) -> Commands:
    """What is on the allow-list, in process groups of its own; what it prints is redacted with more care than our own words."""
    from runbook.adapters.commands import ChildCommands
    from runbook.redact import Redactor, careful

    return ChildCommands(careful(Redactor(config.secrets.values())), config.site)


def follow_sources(config: Config, openalgo: OpenAlgo, spent: Callable[[], None]) -> Sources:
    """What of the bot is followed, as `feed.follow` and `bot:` say."""
    from runbook.adapters.botfiles import bot_log, traded
    from runbook.follower import Sources

    bot, wanted = config.settings.bot, config.settings.feed.follow
    made = Sources()
    if "orders" in wanted:
        made = replace(made, orders=lambda budget: openalgo.orders(budget)[1], spent=spent)
    if "bot" in wanted and bot.log is not None:
        tail = bot_log(bot.log, config.site)
        made = replace(made, lines=tail.lines, skip=tail.skip, fault=lambda: tail.fault, close=tail.close)
    if "bot" in wanted and bot.trades is not None:
        made = replace(
            made, trades=traded(bot.trades.files, config.site, lambda day: site.read_bot_trades(config, day))
        )
    return made
