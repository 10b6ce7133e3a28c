"""`runbook service print`: units for systemd, from this site and this interpreter. Writes nothing outside, starts nothing."""

from __future__ import annotations

import argparse
import getpass
import re
import sys
from pathlib import Path

from runbook import app, service
from runbook.config import Config
from runbook.errors import UsageError

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_]\w*)(?::\?[^}]*)?\}(/[\w.-]+)?", re.ASCII)
_CREDENTIALS = "CREDENTIALS_DIRECTORY"
_RULES = "50-runbook.rules"


def print_(args: argparse.Namespace) -> int:
    """The daemon's unit, or with `--watch` and `--polkit` those; on the screen, or as files in `--into`."""
    if args.user and args.polkit:
        raise UsageError("--polkit is for a unit of the system", hint="leave --user out: a user's unit asks as you")
    config = app.load_config(args.site)
    place = place_of(config)
    files: dict[str, str] = {}
    if args.watch:
        files |= service.watch(place, user=args.user)
    if args.polkit:
        files[_RULES] = service.polkit(place)
    if not files or args.into is not None:
        files = {"runbook.service": service.daemon(place, user=args.user)} | files
    if args.into is None:
        print("\n".join(files.values()), end="")
        return 0
    args.into.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (args.into / name).write_text(text, encoding="utf-8")
        print(args.into / name)
    units = [name for name in files if name.endswith((".service", ".timer"))]
    start = [name for name in units if name != "runbook-watch.service"]
    where, how = ("~/.config/systemd/user", "systemctl --user") if args.user else ("/etc/systemd/system", "systemctl")
    print(
        f"then: copy {' '.join(units)} to {where}; {how} daemon-reload; {how} enable --now {' '.join(start)}",
        file=sys.stderr,
    )
    if _RULES in files:
        print(f"      and {_RULES} to /etc/polkit-1/rules.d", file=sys.stderr)
    return 0


def place_of(config: Config) -> service.Place:
    """Where this desk lives, and what of the world it needs."""
    lines = (config.site / app.CONFIG).read_text(encoding="utf-8").splitlines()
    asked = _VARIABLE.findall("\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines))
    bot = config.settings.bot
    files = [bot.trades.files if bot.trades else None, bot.ticks, bot.log]
    reads = tuple(Path(name.split("::", maxsplit=1)[0]).expanduser() for name in files if name)
    user = getpass.getuser()
    return service.Place(
        config.site.resolve(), config.database_path, Path(sys.executable).absolute(),
        "runbook" if user == "root" else user, config.settings.openalgo.unit,
        tuple(config.site.resolve() / path for path in reads),
        tuple(dict.fromkeys(name for name, _ in asked if name != _CREDENTIALS)),
        tuple(dict.fromkeys(file[1:] for name, file in asked if name == _CREDENTIALS and file)),
        restartable(config),
    )  # fmt: skip


def restartable(config: Config) -> tuple[str, ...]:
    """The units that this site lets runbook restart."""
    return service.restarts(one.argv for one in config.commands.values())
