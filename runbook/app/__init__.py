"""The composition root: the only importer of doors.

site     what a site holds: configuration, ledger, calendar, files
doors    OpenAlgo, the channels, the bot, the host
phone    buttons and listeners of the telegram channels
daemon   the daemon, put together
upkeep   the database's backup, retention, check and restore
library  the feed without a daemon, for a bot's own process
"""

from runbook.app.daemon import Daemon, Hooks
from runbook.app.doors import (
    bot_watch,
    bundle_target,
    commands,
    follow_sources,
    gateway,
    host,
    knock,
    locked,
    log_tail,
    notifier,
    pulse_file,
    stream,
    watch_file,
    write_bundle,
)
from runbook.app.library import open_feed
from runbook.app.phone import bot_of, bots
from runbook.app.site import (
    CONFIG,
    almanac,
    calendar_faults,
    calendar_files,
    channel_faults,
    command_faults,
    day_facts,
    load_config,
    need_secrets,
    open_record,
    open_store,
    overlay,
    policy_of,
    prepare,
    read_bot_trades,
    recorded_sessions,
    recorded_ticks,
    status_facts,
    warnings,
    year_list,
)
from runbook.app.upkeep import back_up_now, examine, restore

__all__ = [
    "CONFIG",
    "Daemon",
    "Hooks",
    "almanac",
    "back_up_now",
    "bot_of",
    "bot_watch",
    "bots",
    "bundle_target",
    "calendar_faults",
    "calendar_files",
    "channel_faults",
    "command_faults",
    "commands",
    "day_facts",
    "examine",
    "follow_sources",
    "gateway",
    "host",
    "knock",
    "load_config",
    "locked",
    "log_tail",
    "need_secrets",
    "notifier",
    "open_feed",
    "open_record",
    "open_store",
    "overlay",
    "policy_of",
    "prepare",
    "pulse_file",
    "read_bot_trades",
    "recorded_sessions",
    "recorded_ticks",
    "restore",
    "status_facts",
    "stream",
    "warnings",
    "watch_file",
    "write_bundle",
    "year_list",
]
